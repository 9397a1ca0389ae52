//! Who finds room, and who does not.

use super::budgets::{LARGE_POLLS_BYTES_MAX, SMALL_POLL_BYTES_MAX};
use super::*;
use crate::origin::Origin;

fn somewhere() -> Origin {
    Origin::of(None)
}

/// For who took so much before.
fn reply(least: usize, wanted: usize, taken: usize) -> ReplyBytes {
    ReplyBytes {
        least,
        wanted,
        taken,
    }
}

#[tokio::test]
async fn a_crowd_of_large_frames_does_not_delay_smaller_ones() {
    let admission = Admission::new(1 << 20, 1 << 20);
    let arriving = |bytes| admission.arriving_produce(somewhere(), bytes);
    let _first = arriving(20 << 20).await;
    let mut second = Box::pin(arriving(20 << 20));
    assert!(futures::poll!(&mut second).is_pending());
    let _large = arriving(2 << 20).await;
    let _small = arriving(1 << 20).await;
    drop(_first);
    second.await;
}

#[tokio::test]
async fn a_large_request_waits_for_no_produce_and_none_of_another_origin_for_it() {
    let admission = Admission::new(1 << 20, 1 << 20);
    let other = Origin::of(Some([10, 0, 0, 1].into()));
    let produce = |bytes| admission.arriving_produce(somewhere(), bytes);
    let waiting = [produce(4 << 20).await, produce(8 << 20).await];
    let largest = |origin| admission.arriving_frame(origin, 8 << 20);
    let _own = largest(somewhere()).await;
    assert!(futures::poll!(Box::pin(largest(somewhere()))).is_pending());
    assert!(futures::poll!(Box::pin(largest(other))).is_ready());
    drop(waiting);
}

#[tokio::test]
async fn frames_that_are_here_wait_for_none_that_come_slowly() {
    let admission = Admission::new(1 << 20, 1 << 20);
    let arriving = || admission.arriving_produce(somewhere(), 1 << 20);
    let slow = futures::future::join_all((0..24).map(|_| arriving())).await;
    assert!(futures::poll!(Box::pin(arriving())).is_pending());
    let here = admission.frame(somewhere(), FIRST_CHUNK_BYTES);
    assert!(futures::poll!(Box::pin(here)).is_ready());
    drop(slow);
}

/// Permits of an origin, until it waits for the next. The runtime would have whoever is ready so often wait for a turn.
async fn crowd<F: Future<Output = Permit>>(take: impl Fn() -> F) -> Vec<Permit> {
    let mut crowd = Vec::new();
    let take = || Box::pin(tokio::task::unconstrained(take()));
    while let std::task::Poll::Ready(permit) = futures::poll!(take()) {
        crowd.push(permit);
    }
    crowd
}

#[tokio::test]
async fn produce_that_waits_delays_no_other_request_nor_that_of_other_origins() {
    let admission = Admission::new(1 << 20, 1 << 20);
    let other = Origin::of(Some([10, 0, 0, 1].into()));
    let produce = |origin| admission.produce_frame(origin, FIRST_CHUNK_BYTES);
    let crowd = crowd(|| produce(somewhere())).await;
    assert!(futures::poll!(Box::pin(admission.frame(somewhere(), 100))).is_ready());
    assert!(futures::poll!(Box::pin(produce(other))).is_ready());
    drop(crowd);
}

#[tokio::test]
async fn a_request_of_very_many_partitions_delays_no_small_one() {
    let admission = Admission::new(1 << 20, 1 << 20);
    let wide = admission.decode(somewhere(), 8 << 20).await;
    let mut next = Box::pin(admission.decode(somewhere(), 8 << 20));
    assert!(futures::poll!(&mut next).is_pending());
    let small = admission.decode(somewhere(), FIRST_CHUNK_BYTES);
    assert!(futures::poll!(Box::pin(small)).is_ready());
    drop(wide);
    assert!(futures::poll!(&mut next).is_ready());
}

/// Whoever waits for the metadata holds nothing that others need, or does not wait.
#[tokio::test]
async fn those_who_ask_the_metadata_step_aside_or_do_not_ask() {
    let admission = Admission::new(1 << 20, 1 << 20);
    let other = Origin::of(Some([10, 0, 0, 1].into()));
    let decode = |origin| admission.decode(origin, FIRST_CHUNK_BYTES);
    let held = 256 << 10;
    let mut asking = Vec::new();
    loop {
        let mut permit = decode(somewhere()).await;
        if !permit.step_aside(held) {
            break;
        }
        assert!(permit.step_aside(held), "it has");
        asking.push(permit);
    }
    assert_eq!(asking.len(), 32, "half of that lane");
    let crowd = crowd(|| decode(somewhere())).await;
    assert!(!crowd.is_empty());
    assert!(decode(other).await.step_aside(held));
}

/// Four addresses that asked for much had small questions of all others refused.
#[tokio::test]
async fn small_requests_ask_the_metadata_however_many_large_ones_do() {
    let admission = Admission::new(1 << 20, 1 << 20);
    let mut asking = Vec::new();
    for last in 1..=8 {
        let origin = Origin::of(Some([10, 0, 0, last].into()));
        let mut large = admission.decode(origin, 100_000).await;
        large.step_aside(16 << 20);
        asking.push(large);
    }
    let mut small = admission.decode(somewhere(), 100).await;
    assert!(small.step_aside(1024));
}

/// Sixteen megabytes were charged of two hundred.
#[tokio::test]
async fn whoever_asks_the_metadata_is_charged_for_all_that_it_holds_meanwhile() {
    let admission = Admission::new(1 << 20, 1 << 20);
    let others = Origin::of(Some([10, 0, 0, 1].into()));
    let mut wide = admission.decode(somewhere(), 8 << 20).await;
    assert!(wide.step_aside(20 << 20) && wide.step_aside(20 << 20));
    assert_eq!(
        (wide.bytes(), admission.decoded_bytes()),
        (20 << 20, 20 << 20)
    );
    let mut other = admission.decode(others, 3 << 20).await;
    assert!(other.step_aside(2 << 20));
    assert_eq!(admission.decoded_bytes(), 22 << 20);
    drop((wide, other));
    assert_eq!(admission.decoded_bytes(), 0);
}

/// Nobody stands in line behind hundreds who asked for much and do not read.
#[tokio::test]
async fn replies_that_nobody_reads_leave_room_for_others() {
    let admission = Admission::new(1 << 20, 256 << 20);
    let mut unread = Vec::new();
    for count in 0..300 {
        let permit = admission.reply_now(reply(16 << 10, 50 << 20, 0));
        let permit = permit.unwrap_or_else(|| panic!("no room behind {count}"));
        assert!(permit.bytes() >= 16 << 10);
        unread.push(permit);
    }
    assert!(unread[0].bytes() > 30 << 20, "{}", unread[0].bytes());
    assert!(unread[0].is_wanted(), "they are in the way");
    drop(unread);
    assert!(!admission.reply(reply(1, 1, 0)).await.is_wanted());
}

/// What is left when they stood in line was nothing.
#[tokio::test]
async fn a_share_is_of_what_is_left_after_standing_in_line() {
    let admission = Admission::new(1 << 20, 4 << 20);
    let first = admission.reply(reply(3 << 20, 3 << 20, 0)).await;
    let mut line: Vec<_> = (0..3)
        .map(|_| Box::pin(admission.reply(reply(300 << 10, 50 << 20, 0))))
        .collect();
    for waits in &mut line {
        assert!(futures::poll!(waits).is_pending());
    }
    drop(first);
    let shares = futures::future::join_all(line).await;
    let shares: Vec<usize> = shares.iter().map(Permit::bytes).collect();
    assert!(shares.iter().all(|share| *share >= 300 << 10), "{shares:?}");
    assert!(shares.iter().sum::<usize>() <= 3 << 20, "{shares:?}");
}

/// All that is given at once to those who ask for that.
fn all_now(admission: &Admission, bytes: ReplyBytes) -> Vec<Permit> {
    std::iter::from_fn(|| admission.reply_now(bytes)).collect()
}

/// Beside any number of those who ask for all there is and have read nothing yet.
#[tokio::test]
async fn ordinary_replies_find_room_where_all_else_is_taken_and_leave_half_to_readers() {
    let admission = Admission::new(1 << 20, 256 << 20);
    let unread = all_now(&admission, reply(1 << 20, 50 << 20, 0));
    let ordinary = all_now(&admission, reply(1 << 20, 1 << 20, 0));
    assert_eq!(
        ordinary.len(),
        33,
        "half of a quarter, and the one that ends it"
    );
    assert!(ordinary[0].is_wanted(), "or others of their kind find none");
    let read = all_now(&admission, reply(1 << 20, 50 << 20, 2 << 20));
    assert!(read.len() >= 16, "{}", read.len());
    let (most, least) = (4 << 20, 1 << 20);
    assert!(
        read.iter()
            .all(|permit| (least..=most).contains(&permit.bytes()))
    );
    let all: usize = [unread, ordinary, read]
        .iter()
        .flatten()
        .map(Permit::bytes)
        .sum();
    assert!(all <= 256 << 20, "{all}");
}

/// A consumer that handles what it has before it reads on was cut off, beside much that was free.
#[tokio::test]
async fn who_has_much_is_in_nobodys_way_while_others_find_room() {
    let admission = Admission::new(1 << 20, 256 << 20);
    let lagging = reply(1 << 20, 50 << 20, 1 << 30);
    let held: Vec<_> = (0..10)
        .map(|_| admission.reply_now(lagging).unwrap())
        .collect();
    assert!(held.iter().all(|permit| !permit.is_wanted()));
}

/// They have a line of their own.
#[tokio::test]
async fn who_read_before_stands_in_line_behind_nobody_who_did_not() {
    let admission = Admission::new(1 << 20, 256 << 20);
    let (new, known) = (
        reply(1 << 20, 50 << 20, 0),
        reply(1 << 20, 50 << 20, 512 << 10),
    );
    let unread = all_now(&admission, new);
    let mut read = all_now(&admission, known);
    assert_eq!(read.len(), 64);
    let mut crowd: Vec<_> = (0..100).map(|_| Box::pin(admission.reply(new))).collect();
    for waits in &mut crowd {
        assert!(futures::poll!(waits).is_pending());
    }
    let mut next = Box::pin(admission.reply(known));
    assert!(futures::poll!(&mut next).is_pending());
    assert!(read[0].is_wanted());
    read.pop();
    assert!(futures::poll!(&mut next).is_ready());
    // And those have their own turn.
    drop(unread);
    assert!(futures::poll!(&mut crowd[0]).is_ready());
}

/// Where nobody is in the way, who read little gets as much as anybody.
#[tokio::test]
async fn what_a_client_took_bounds_nothing_while_there_is_room() {
    let admission = Admission::new(1 << 20, 256 << 20);
    for taken in [0, 1 << 20, 1 << 30] {
        let permit = admission.reply(reply(1 << 20, 50 << 20, taken)).await;
        assert!(permit.bytes() > 30 << 20, "{taken}: {}", permit.bytes());
    }
}

#[tokio::test]
async fn polls_wait_in_no_line_and_few_large_ones_leave_room_for_many_small_ones() {
    let admission = Admission::new(1 << 20, 1 << 20);
    let other = Origin::of(Some([10, 0, 0, 1].into()));
    let poll = |bytes| admission.poll(somewhere(), bytes);
    assert!(poll(100 << 20).is_none(), "more than there is");
    let large = poll(LARGE_POLLS_BYTES_MAX);
    assert!(large.is_some());
    assert!(poll(SMALL_POLL_BYTES_MAX + 1).is_none());
    let small: Vec<_> = (0..5000).map(|_| poll(12_000)).collect();
    assert!(small.iter().all(Option::is_some));
    drop(large);
    let mut lean = poll(SMALL_POLL_BYTES_MAX + 1).unwrap();
    lean.shrink(1);
    assert!(admission.poll(other, LARGE_POLLS_BYTES_MAX - 1).is_some());
}

#[tokio::test]
async fn polls_of_very_many_partitions_leave_other_origins_as_much_room_as_they_have() {
    let admission = Admission::new(1 << 20, 1 << 20);
    let crowd = |last: u8| -> Vec<Permit> {
        let origin = Origin::of(Some([10, 0, 0, last].into()));
        std::iter::from_fn(|| admission.poll(origin, 1 << 20)).collect()
    };
    let (first, second) = (crowd(1), crowd(2));
    assert_eq!((first.len(), second.len()), (16, 8));
    drop(first);
    assert_eq!(crowd(1).len(), 12);
}

/// Behind a small reply that nobody takes its connection may hold very much.
#[tokio::test]
async fn a_place_tells_whether_others_wait_for_what_its_origin_holds_in_either_lane() {
    let admission = Admission::new(1 << 20, 1 << 20);
    let other = Origin::of(Some([10, 0, 0, 1].into()));
    let small = admission.place(somewhere(), 1000).await;
    let others = admission.place(other, 1000).await;
    let large = admission.place(somewhere(), 10 << 20).await;
    assert!(!small.is_wanted() && !large.is_wanted());
    let mut waits = Box::pin(admission.place(somewhere(), 30 << 20));
    assert!(futures::poll!(&mut waits).is_pending());
    assert!(small.is_wanted() && large.is_wanted());
    assert!(!others.is_wanted(), "it holds nothing there");
    drop(large);
    assert!(futures::poll!(&mut waits).is_ready());
    assert!(!small.is_wanted());
}

#[tokio::test]
async fn a_frame_larger_than_the_lane_goes_alone() {
    let admission = Admission::new(1 << 20, 1 << 20);
    let huge = admission.arriving_produce(somewhere(), 100 << 20).await;
    let mut next = Box::pin(admission.arriving_produce(somewhere(), 5 << 20));
    assert!(futures::poll!(&mut next).is_pending());
    drop(huge);
    next.await;
    assert_eq!(admission.buffered_bytes(), 0);
}

#[tokio::test]
async fn whoever_has_a_permit_sees_whether_others_wait_for_it() {
    let admission = Admission::new(1 << 20, 1 << 20);
    let first = admission.reply(reply(1 << 20, 1 << 20, 0)).await;
    assert!(!first.is_wanted());
    let mut second = Box::pin(admission.reply(reply(1 << 20, 1 << 20, 0)));
    assert!(futures::poll!(&mut second).is_pending());
    assert!(first.is_wanted());
    drop(second);
    assert!(!first.is_wanted());
}
