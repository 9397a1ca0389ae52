//! Who waits, who leaves, and for whom.

use std::time::Duration;

use futures::poll;

use super::state::GRACE;
use super::*;
use crate::origin::Origin;

const MIB: usize = 1 << 20;

fn from(last: u8) -> Origin {
    Origin::of(Some([10, 0, 0, last].into()))
}

fn late(milliseconds: u64) -> Duration {
    GRACE + Duration::from_millis(milliseconds)
}

#[tokio::test]
async fn a_slow_frame_makes_room_where_others_wait_and_not_before() {
    let alone = ArrivingLane::new(MIB).take(from(1), MIB).await;
    let waited = Duration::from_secs(1000);
    assert!(!alone.must_leave(waited, 1), "nobody waits");
    let lane = ArrivingLane::new(MIB);
    let slow = lane.take(from(1), MIB).await;
    let mut next = Box::pin(lane.take(from(1), 10));
    assert!(poll!(&mut next).is_pending());
    assert!(
        !slow.must_leave(late(0), 0),
        "it may be a packet that got lost"
    );
    // A megabyte in eight seconds is not slow.
    assert!(!slow.must_leave(late(3900), MIB / 2));
    assert!(slow.must_leave(late(4100), MIB / 2));
    assert!(slow.must_leave(late(4100), MIB), "what was said is said");
    drop(slow);
    assert!(poll!(&mut next).is_ready());
}

#[tokio::test]
async fn the_slowest_leave_first_and_no_more_than_are_in_the_way() {
    let lane = ArrivingLane::new(3 * MIB);
    let mut holders = Vec::new();
    for waited in [100, 300, 200] {
        let room = lane.take(from(1), MIB).await;
        assert!(!room.must_leave(late(waited), 0));
        holders.push(room);
    }
    let mut next = Box::pin(lane.take(from(1), MIB + 1));
    assert!(poll!(&mut next).is_pending());
    assert!(!holders[0].must_leave(late(100), 0));
    assert!(holders[1].must_leave(late(300), 0));
    assert!(holders[2].must_leave(late(200), 0));
    holders.truncate(1);
    assert!(poll!(&mut next).is_ready());
}

#[tokio::test]
async fn who_was_late_before_anybody_waited_is_told_at_once() {
    let lane = ArrivingLane::new(MIB);
    let slow = lane.take(from(1), MIB).await;
    assert!(!slow.must_leave(late(100), 0));
    let mut told = Box::pin(slow.told_to_leave());
    assert!(poll!(&mut told).is_pending());
    let mut next = Box::pin(lane.take(from(1), MIB));
    assert!(poll!(&mut next).is_pending());
    assert!(poll!(&mut told).is_ready());
}

#[tokio::test]
async fn one_that_is_here_is_waited_for() {
    let lane = ArrivingLane::new(2 * MIB);
    let slow = lane.take(from(1), MIB).await;
    let other = lane.take(from(1), MIB).await;
    assert!(!slow.must_leave(late(1000), 0));
    slow.is_whole();
    let mut next = Box::pin(lane.take(from(1), MIB));
    assert!(poll!(&mut next).is_pending());
    assert!(other.must_leave(late(1), 0), "though it waits for less");
    assert_eq!(lane.0.lock().leaving, MIB);
}

#[tokio::test]
async fn room_goes_to_the_origin_that_has_least() {
    let lane = ArrivingLane::new(4);
    let all: Vec<Room> = [lane.take(from(1), 2).await, lane.take(from(1), 2).await].into();
    let mut more = Box::pin(lane.take(from(1), 2));
    assert!(poll!(&mut more).is_pending(), "a lone origin has it all");
    let mut other = Box::pin(lane.take(from(2), 2));
    assert!(poll!(&mut other).is_pending());
    let mut all = all.into_iter();
    drop(all.next());
    // Held from here on.
    let other = poll!(&mut other);
    assert!(other.is_ready() && poll!(&mut more).is_pending());
    drop(all.next());
    assert!(poll!(&mut more).is_ready());
}

#[tokio::test]
async fn an_origin_past_its_share_must_be_faster_where_another_waits() {
    let lane = ArrivingLane::new(4 * MIB);
    let mut holders = Vec::new();
    for _ in 0..4 {
        holders.push(lane.take(from(1), MIB).await);
    }
    // Half a megabyte in two seconds: not slow, but for those who have more than others.
    let report = |room: &Room| room.must_leave(late(2000), MIB / 2);
    let mut own = Box::pin(lane.take(from(1), MIB));
    assert!(poll!(&mut own).is_pending());
    assert!(!holders.iter().any(report));
    drop(own);
    let mut other = Box::pin(lane.take(from(2), 4 * MIB));
    assert!(poll!(&mut other).is_pending());
    let leave = holders.iter().filter(|room| report(room)).count();
    assert_eq!(leave, 2, "half is its share");
}

#[tokio::test]
async fn who_gives_up_waiting_or_holding_leaves_nothing_behind() {
    let lane = ArrivingLane::new(2);
    let first = lane.take(from(1), 2).await;
    let mut second = Box::pin(lane.take(from(2), 2));
    let mut third = Box::pin(lane.take(from(3), 2));
    assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
    drop(second);
    assert!(first.is_wanted());
    drop(first);
    // Granted, and never looked at again.
    drop(third);
    let state = lane.0.lock();
    assert_eq!((state.free, state.leaving), (2, 0));
    assert!(state.origins.is_empty() && state.holders.is_empty() && !state.is_wanted(from(1)));
}

#[tokio::test]
async fn in_a_shared_lane_an_origin_leaves_as_much_as_it_has() {
    let lane = ArrivingLane::shared(16);
    let first: Vec<Room> = std::iter::from_fn(|| lane.take_now(from(1), 1)).collect();
    assert_eq!(first.len(), 8);
    let second: Vec<Room> = std::iter::from_fn(|| lane.take_now(from(2), 1)).collect();
    assert_eq!(second.len(), 4);
    let mut more = Box::pin(lane.take(from(1), 1));
    assert!(poll!(&mut more).is_pending());
    assert!(first[0].is_wanted(), "by its own");
    assert!(!second[0].is_wanted());
    let third = lane.take_now(from(3), 3);
    assert!(third.is_some(), "who has nothing finds something");
    assert!(second[0].is_wanted(), "hardly anything is left");
    drop(third);
    drop(second);
    assert!(poll!(&mut more).is_pending(), "it has half");
    drop(first);
    assert!(poll!(&mut more).is_ready());
}

/// Whatever is larger than the lane goes alone, and nobody overtakes who waits for room and may have it.
#[tokio::test]
async fn in_a_shared_lane_too_who_wants_all_of_it_has_his_turn() {
    let lane = ArrivingLane::shared(16);
    let small = lane.take(from(1), 1).await;
    let mut all = Box::pin(lane.take(from(2), 100));
    assert!(poll!(&mut all).is_pending());
    let mut behind = Box::pin(lane.take(from(3), 1));
    assert!(poll!(&mut behind).is_pending());
    drop(small);
    let held = poll!(&mut all);
    assert!(held.is_ready() && poll!(&mut behind).is_pending());
    drop(held);
    assert!(poll!(&mut behind).is_ready());
}

/// What is given back goes to who is next, at once.
#[tokio::test]
async fn who_gives_back_a_part_holds_the_rest() {
    let lane = ArrivingLane::shared(16);
    let mut first = lane.take(from(1), 100).await;
    assert_eq!((first.bytes(), lane.taken()), (16, 16), "all there is");
    let mut next = Box::pin(lane.take(from(2), 10));
    assert!(poll!(&mut next).is_pending());
    first.shrink(7);
    assert!(poll!(&mut next).is_pending());
    first.shrink(6);
    assert!(poll!(&mut next).is_ready());
    first.shrink(8);
    assert_eq!((first.bytes(), lane.taken()), (6, 6), "it does not grow");
    drop(first);
    assert_eq!(lane.taken(), 0);
}

/// However many of it came before.
#[tokio::test]
async fn origins_take_turns() {
    let lane = ArrivingLane::new(1);
    let first = lane.take(from(1), 1).await;
    let mut crowd: Vec<_> = (0..3).map(|_| Box::pin(lane.take(from(1), 1))).collect();
    for waits in &mut crowd {
        assert!(poll!(waits).is_pending());
    }
    let mut other = Box::pin(lane.take(from(2), 1));
    assert!(poll!(&mut other).is_pending());
    drop(first);
    let held = poll!(&mut crowd[0]);
    assert!(held.is_ready(), "it came first");
    drop(held);
    assert!(poll!(&mut crowd[1]).is_pending(), "it had its turn");
    let held = poll!(&mut other);
    assert!(held.is_ready());
    drop(held);
    assert!(poll!(&mut crowd[1]).is_ready());
}

/// Three behind one address that announced a frame and stopped made the fourth wait until they were given up.
#[tokio::test]
async fn in_a_shared_lane_slow_frames_make_room_for_others_of_their_own_origin() {
    let lane = ArrivingLane::shared_by_arriving(16 * MIB);
    let mut own = Vec::new();
    for _ in 0..4 {
        own.push(lane.take(from(1), 2 * MIB).await);
    }
    let other = lane.take(from(2), MIB).await;
    let mut next = Box::pin(lane.take(from(1), 2 * MIB));
    assert!(poll!(&mut next).is_pending());
    assert!(!own[0].must_leave(late(0), 0), "it is not late yet");
    assert!(!other.must_leave(late(9000), 0), "it is in nobody's way");
    assert!(!own[1].must_leave(late(1000), MIB), "it comes");
    assert!(own[2].must_leave(late(200), 0));
    assert!(own[0].must_leave(late(100), 0), "one makes too little room");
    assert!(!own[3].must_leave(late(50), 0), "two make enough");
    own.remove(0);
    assert!(poll!(&mut next).is_pending());
    own.remove(1);
    assert!(poll!(&mut next).is_ready());
}

#[tokio::test]
async fn who_was_late_before_another_of_its_origin_waited_is_told_at_once() {
    let lane = ArrivingLane::shared_by_arriving(4 * MIB);
    let slow = lane.take(from(1), 2 * MIB).await;
    assert!(!slow.must_leave(late(100), 0));
    let mut told = Box::pin(slow.told_to_leave());
    assert!(poll!(&mut told).is_pending());
    let mut next = Box::pin(lane.take(from(1), MIB));
    assert!(poll!(&mut next).is_pending());
    assert!(poll!(&mut told).is_ready());
    drop(told);
    drop(slow);
    assert!(poll!(&mut next).is_ready());
}
