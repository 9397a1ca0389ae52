//! Frames of peers that send slowly or never, beside one of a peer that does not, by a clock that the tests move.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use protocol::ApiKey;
use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::time::{Instant, sleep, timeout};

use super::Close;
use super::arrivals::{Arrivals, Unknown};
use super::frames::{Frame, Frames};
use super::serve::Grace;
use crate::admission::{Admission, FIRST_CHUNK_BYTES};
use crate::call::{PendingReply, Reply};
use crate::origin::Origin;

const MIB: usize = 1 << 20;
/// Kafka's default `max.message.bytes`, and some.
const ORDINARY: usize = 1_400_000;

/// A Produce request that is longer than what is read on credit: its start, and how much is missing.
fn start(length: usize) -> (Vec<u8>, usize) {
    start_of(ApiKey::Produce, length)
}

fn start_of(api: ApiKey, length: usize) -> (Vec<u8>, usize) {
    let mut bytes = vec![0; 4 + FIRST_CHUNK_BYTES];
    bytes[..4].copy_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
    // Key, version, correlation id, no client id.
    bytes[4..6].copy_from_slice(&api.code().to_be_bytes());
    bytes[6..14].copy_from_slice(&[0, 3, 0, 0, 0, 7, 0xff, 0xff]);
    (bytes, length - FIRST_CHUNK_BYTES)
}

/// A frame all of which is sent at once, through a socket that cannot tell.
async fn whole(admission: &Admission, origin: Origin, api: ApiKey, length: usize) -> Frame {
    let (ours, mut theirs) = duplex(8 * MIB);
    let (bytes, missing) = start_of(api, length);
    theirs.write_all(&bytes).await.unwrap();
    theirs.write_all(&vec![0; missing]).await.unwrap();
    let mut frames = Frames::new(Unknown(ours), admission.clone(), origin);
    frames.next().await.unwrap()
}

fn from(last: u8) -> Origin {
    Origin::of(Some(IpAddr::from([10, 0, 0, last])))
}

/// What becomes of a frame of which so much comes at once, and then so much every tenth of a second.
async fn sent(
    admission: &Admission,
    origin: Origin,
    length: usize,
    (at_once, more): (usize, usize),
) -> Result<(), Close> {
    let (ours, mut theirs) = duplex(8 * MIB);
    let (bytes, missing) = start(length);
    theirs.write_all(&bytes).await?;
    theirs.write_all(&vec![0; at_once.min(missing)]).await?;
    let trickle = async {
        let piece = vec![0; more];
        loop {
            sleep(Duration::from_millis(100)).await;
            if more > 0 && theirs.write_all(&piece).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut frames = Frames::new(Unknown(ours), admission.clone(), origin);
    tokio::select! {
        frame = frames.next() => frame.map(drop),
        () = trickle => Ok(()),
    }
}

/// Who comes back after each time that it is thrown out.
async fn again_and_again<F: Future<Output = Result<(), Close>>>(mut attack: impl FnMut() -> F) {
    loop {
        let _ = attack().await;
        sleep(Duration::from_millis(50)).await;
    }
}

/// How long somebody's frame takes, all of which is sent at once, beside others who came five seconds earlier.
async fn beside<F: Future<Output = ()>>(
    admission: &Admission,
    attackers: impl Iterator<Item = F>,
    origin: Origin,
    length: usize,
) -> Duration {
    let mut attackers: FuturesUnordered<F> = attackers.collect();
    let honest = async {
        sleep(Duration::from_secs(5)).await;
        let began = Instant::now();
        let whole = sent(admission, origin, length, (length, 0));
        let done = timeout(Duration::from_secs(120), whole).await;
        assert!(matches!(done, Ok(Ok(()))), "{done:?}");
        began.elapsed()
    };
    tokio::select! {
        took = honest => took,
        _ = attackers.next() => unreachable!("they never give up"),
    }
}

fn admission() -> Admission {
    Admission::new(256 * MIB, 256 * MIB)
}

#[tokio::test]
async fn a_produce_that_is_too_large_is_told_from_what_speaks_no_kafka() {
    let next = async |bytes: &[u8]| {
        let (ours, mut theirs) = duplex(MIB);
        theirs.write_all(bytes).await.unwrap();
        let mut frames = Frames::new(Unknown(ours), admission(), from(1));
        frames.next().await.map(drop)
    };
    let (large, _) = start(150 * MIB);
    let refused = next(&large).await;
    let Err(Close::Refused(said)) = refused else {
        unreachable!("{refused:?}");
    };
    for part in ["157286400", "104857600", "no flag", "max.request.size"] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
    for bytes in [&large[..4], b"GET / HTTP/1.1\r\n\r\n"] {
        let nonsense = next(bytes).await;
        assert!(matches!(nonsense, Err(Close::Malformed(_))), "{nonsense:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn frames_that_do_not_come_hold_up_those_that_do_for_a_moment() {
    for (origin, bound) in [(from(1), 3), (from(2), 1)] {
        let admission = admission();
        let attack = || sent(&admission, from(1), ORDINARY, (0, 0));
        let crowd = (0..100).map(|_| again_and_again(attack));
        let took = beside(&admission, crowd, origin, MIB).await;
        assert!(took < Duration::from_secs(bound), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_huge_frame_that_comes_slowly_holds_up_no_other() {
    let admission = admission();
    let attack = || sent(&admission, from(1), 100 * MIB, (0, 7 * 1024));
    let took = beside(
        &admission,
        [again_and_again(attack)].into_iter(),
        from(1),
        2 * MIB,
    );
    assert!(took.await < Duration::from_secs(1));
    let took = beside(
        &admission,
        [again_and_again(attack)].into_iter(),
        from(1),
        7 * MIB,
    );
    assert!(took.await < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn one_address_that_is_not_quite_slow_does_not_hold_up_another() {
    let admission = admission();
    // Ten seconds for each frame, more than there is room for.
    let attack = || sent(&admission, from(1), ORDINARY, (0, 14 * 1024));
    let crowd = (0..60).map(|_| again_and_again(attack));
    let took = beside(&admission, crowd, from(2), MIB).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_sends_slowly_is_let_be_while_nobody_waits() {
    let admission = admission();
    let began = Instant::now();
    let done = sent(&admission, from(1), ORDINARY, (0, 7 * 1024)).await;
    assert!(done.is_ok(), "{done:?}");
    assert!(began.elapsed() > Duration::from_secs(15));
    // But not as slowly as that.
    let done = sent(&admission, from(1), ORDINARY, (0, 2 * 1024)).await;
    assert!(matches!(done, Err(Close::TooSlow)), "{done:?}");
}

/// A socket that tells that everything is here, and that its peer is gone.
struct Here(DuplexStream);

impl AsyncRead for Here {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Arrivals for Here {
    fn has(&mut self, _: usize) -> bool {
        true
    }

    fn has_left(&mut self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_here_waits_for_none_that_is_not() {
    let admission = admission();
    let mut held = Vec::new();
    for _ in 0..17 {
        held.push(admission.arriving_produce(from(1), ORDINARY).await);
    }
    let (ours, mut theirs) = duplex(MIB);
    let (bytes, missing) = start(40_000);
    theirs.write_all(&bytes).await.unwrap();
    theirs.write_all(&vec![0; missing]).await.unwrap();
    let mut frames = Frames::new(Here(ours), admission.clone(), from(1));
    let began = Instant::now();
    // Nobody overtakes it in line, however little he wants.
    let mut first = Box::pin(admission.arriving_produce(from(1), ORDINARY));
    assert!(futures::poll!(&mut first).is_pending());
    let frame = frames.next().await.unwrap();
    assert_eq!(
        (frame.bytes.len(), began.elapsed()),
        (40_000, Duration::ZERO)
    );
}

/// The second one, of another address, beside so many of the first that are never done with.
async fn beside_those_that_stay(
    count: usize,
    first: (ApiKey, usize),
    second: (ApiKey, usize),
) -> Frame {
    let admission = admission();
    let stays = async |(api, length)| {
        let _frame = whole(&admission, from(1), api, length).await;
        std::future::pending::<()>().await;
    };
    let mut crowd: FuturesUnordered<_> = (0..count).map(|_| stays(first)).collect();
    let next = async {
        sleep(Duration::from_secs(1)).await;
        let next = whole(&admission, from(2), second.0, second.1);
        let next = timeout(Duration::from_secs(100), next).await;
        next.expect("the first are in its way")
    };
    tokio::select! {
        frame = next => frame,
        _ = crowd.next() => unreachable!("they stay"),
    }
}

/// Whole, and without room among batches, they had the lane of all that arrive.
#[tokio::test(start_paused = true)]
async fn produce_that_waits_for_room_holds_up_no_other_request_that_arrives() {
    // Of which eighteen are 24 MiB, and leave room for nothing.
    let produce = (ApiKey::Produce, 1_398_101);
    let frame = beside_those_that_stay(300, produce, (ApiKey::ListOffsets, 40_000)).await;
    assert_eq!(frame.bytes.len(), 40_000);
}

/// Those that are too large for the lane of ordinary ones had one together with all requests of their size.
#[tokio::test(start_paused = true)]
async fn large_produce_that_waits_for_room_holds_up_no_other_large_request() {
    for (size, many) in [(2_000_000, 8), (5_000_000, 4)] {
        let produce = (ApiKey::Produce, size);
        let frame = beside_those_that_stay(many, produce, (ApiKey::Metadata, size)).await;
        assert_eq!(frame.bytes.len(), size);
    }
}

/// Nor do requests of one address that wait for room to be decoded, for the same reason.
#[tokio::test(start_paused = true)]
async fn requests_that_wait_to_be_decoded_hold_up_none_of_other_addresses() {
    // Of which eighty are 8 MiB, and 240 are 24.
    let fetch = (ApiKey::Fetch, 104_857);
    let frame = beside_those_that_stay(300, fetch, (ApiKey::Fetch, 40_000)).await;
    assert_eq!(frame.bytes.len(), 40_000);
}

/// A request that takes long is given up for a client that is gone, also where it had asked for more before it left.
#[tokio::test(start_paused = true)]
async fn who_asked_for_more_and_left_is_noticed() {
    let admission = admission();
    let (ours, mut theirs) = duplex(MIB);
    let mut frames = Frames::new(Unknown(ours), admission, from(1));
    theirs.write_all(&start(40_000).0[..100]).await.unwrap();
    let mut left = Box::pin(frames.hung_up());
    assert!(futures::poll!(&mut left).is_pending());
    drop(theirs);
    assert!(matches!(left.await, Close::Gone));
}

/// What lies in its socket is more than is read ahead, and the end lies behind it.
#[tokio::test(start_paused = true)]
async fn who_asked_for_very_much_more_and_left_is_noticed() {
    let (ours, mut theirs) = duplex(MIB);
    let mut frames = Frames::new(Here(ours), admission(), from(1));
    theirs.write_all(&vec![0; 100_000]).await.unwrap();
    let left = timeout(Duration::from_secs(60), frames.hung_up()).await;
    assert!(matches!(left, Ok(Close::Gone)));
}

/// How many of a client's requests find their places, each of which takes four tenths of a second, up to ten; and how the
/// last one ended.
async fn begun(socket: impl Arrivals) -> (usize, Option<Close>) {
    let mut frames = Frames::new(socket, admission(), from(1));
    let mut grace = Grace::default();
    for count in 0..10 {
        let request = async {
            sleep(Duration::from_millis(400)).await;
            let pending: PendingReply = Box::pin(async { Ok(Reply::default()) });
            Ok(pending)
        };
        if let Err(close) = grace.unless_left(request, &mut frames).await {
            return (count, Some(close));
        }
    }
    (10, None)
}

/// Each of them took less than the time after which it is looked whether its client is there.
#[tokio::test(start_paused = true)]
async fn who_left_has_a_second_for_all_that_he_asked_for_and_who_stays_has_more() {
    let (ours, _theirs) = duplex(MIB);
    let (count, close) = begun(Here(ours)).await;
    assert!(
        matches!((count, &close), (2, Some(Close::Gone))),
        "{count} {close:?}"
    );
    let (ours, _theirs) = duplex(MIB);
    let (count, close) = begun(Unknown(ours)).await;
    assert!(matches!((count, &close), (10, None)), "{count} {close:?}");
}

/// As without acks: it is said and gone before anything was looked at.
#[tokio::test(start_paused = true)]
async fn what_takes_no_time_is_taken_of_who_left_however_much_it_is() {
    let (ours, _theirs) = duplex(MIB);
    let mut frames = Frames::new(Here(ours), admission(), from(1));
    let mut grace = Grace::default();
    let slow = async {
        sleep(Duration::from_secs(5)).await;
        let pending: PendingReply = Box::pin(async { Ok(Reply::default()) });
        Ok(pending)
    };
    let slow = grace.unless_left(slow, &mut frames).await;
    assert!(matches!(slow, Err(Close::Gone)));
    for _ in 0..100 {
        let quick = async {
            let pending: PendingReply = Box::pin(async { Ok(Reply::default()) });
            Ok(pending)
        };
        assert!(grace.unless_left(quick, &mut frames).await.is_ok());
    }
}
