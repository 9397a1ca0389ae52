//! Replies onto a socket, in the order of their requests, without copying what they carry.

use std::future::ready;
use std::io::IoSlice;
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::in_flight::Charge;
use super::{Close, PendingReply};
use crate::admission::Permit;
use crate::call::{Arrival, Reply};

/// A client that takes nothing for so long is dropped, because its replies hold memory.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// The same where others wait for that memory: clients that never read must not hold up those that do.
const STALLED_WANTED_MAX: Duration = Duration::from_secs(1);
/// Nor those that take a few bytes each second: where others wait, replies are taken at this rate, by what was taken in the
/// last window. It is one for replies that follow one another: small ones are each taken in time.
const BYTES_PER_SECOND_MIN: u64 = 128 * 1024;
const WINDOW: Duration = Duration::from_secs(5);
/// Slices given to one `writev`.
const SLICES_MAX: usize = 128;
/// Where many replies are on their way others have their turn after so many bytes. What the system takes it copies, and
/// hundreds of clients with replies of megabytes would keep a small one waiting for the better part of a second. Where they
/// are few it is written as the system takes it: each step costs a wake-up, and all of them half of what a reader costs.
const STEP_BYTES: usize = 256 * 1024;
const FEW: usize = 8;

/// A reply in the order of requests, and what its request holds until it is written.
pub(super) struct InOrder {
    pub(super) pending: PendingReply,
    pub(super) charge: Charge,
    /// Told once the reply is written, and for how long the client is asked to be silent: what comes next is not read
    /// before, and so is not held for a client that does not read.
    pub(super) written: Option<oneshot::Sender<Duration>>,
}

/// Writes until the requests end, then closes the sending side.
pub(super) async fn write_all(
    arrival: &Arrival,
    mut replies: mpsc::Receiver<InOrder>,
    mut socket: impl AsyncWrite + Unpin,
) -> Result<(), Close> {
    let mut pace = Pace::default();
    loop {
        let mut next = pin!(next_reply(&mut replies));
        let next = tokio::select! {
            biased;
            next = &mut next => next,
            () = ready(()) => {
                // Its client has taken all that there was.
                pace = Pace::default();
                next.await
            }
        };
        let Some((reply, charge, written)) = next? else {
            break;
        };
        let bytes: usize = reply.slices.iter().map(Bytes::len).sum();
        let held = [reply.permit.as_ref(), reply.place.as_ref()];
        write_slices(&mut socket, reply.slices, held, &mut pace).await?;
        arrival.took(bytes);
        drop((reply.permit, reply.place, charge));
        if let Some(written) = written {
            // The reader ends before its client's last reply only where the client is gone.
            let _ = written.send(reply.silence);
        }
    }
    // The client may be gone already; there is nobody left to tell.
    let _ = socket.shutdown().await;
    Ok(())
}

/// A reply that is there, and what goes with it.
type Next = (Reply, Charge, Option<oneshot::Sender<Duration>>);

/// The next one in order; none where the requests have ended.
async fn next_reply(replies: &mut mpsc::Receiver<InOrder>) -> Result<Option<Next>, Close> {
    let Some(next) = replies.recv().await else {
        return Ok(None);
    };
    let reply = next.pending.await?;
    Ok(Some((reply, next.charge, next.written)))
}

/// What is held until a reply is written.
type Held<'a> = [Option<&'a Permit>; 2];

fn is_wanted(held: Held<'_>) -> bool {
    held.into_iter().flatten().any(Permit::is_wanted)
}

async fn write_slices(
    socket: &mut (impl AsyncWrite + Unpin),
    slices: Vec<Bytes>,
    held: Held<'_>,
    pace: &mut Pace,
) -> Result<(), Close> {
    let mut slices: std::collections::VecDeque<Bytes> = slices.into();
    slices.retain(|slice| !slice.is_empty());
    while !slices.is_empty() {
        if pace.is_slow && is_wanted(held) {
            return Err(Close::ReadsSlowly);
        }
        let many = held.iter().flatten().any(|permit| permit.holders() > FEW);
        let most = if many { STEP_BYTES } else { usize::MAX };
        let began = Instant::now();
        let written = write_some(socket, &step(&slices, most), held).await?;
        if written == 0 {
            return Err(Close::Gone);
        }
        advance(&mut slices, written);
        pace.took(written, began.elapsed());
        if many && !slices.is_empty() {
            yield_now().await;
        }
    }
    Ok(())
}

/// What is written next.
fn step(slices: &std::collections::VecDeque<Bytes>, mut room: usize) -> Vec<IoSlice<'_>> {
    let some = slices.iter().take(SLICES_MAX).map_while(|slice| {
        let part = slice.get(..room.min(slice.len()))?;
        room -= part.len();
        (!part.is_empty()).then(|| IoSlice::new(part))
    });
    some.collect()
}

/// How fast a client takes replies, one after another.
#[derive(Default)]
struct Pace {
    /// For how long the client was waited for in this window, and what it took.
    waited: Duration,
    taken: u64,
    /// In the window before.
    is_slow: bool,
}

impl Pace {
    fn took(&mut self, bytes: usize, waited: Duration) {
        self.taken += bytes as u64;
        self.waited += waited;
        if self.waited >= WINDOW {
            *self = Self {
                is_slow: self.taken < BYTES_PER_SECOND_MIN * self.waited.as_secs(),
                ..Self::default()
            };
        }
    }
}

/// Writes at least a byte. Nothing is lost where a step is cut off: the socket has then taken nothing.
async fn write_some(
    socket: &mut (impl AsyncWrite + Unpin),
    vectors: &[IoSlice<'_>],
    held: Held<'_>,
) -> Result<usize, Close> {
    let mut stalled = Duration::ZERO;
    while stalled < STALLED_MAX {
        match timeout(STALLED_WANTED_MAX, socket.write_vectored(vectors)).await {
            Ok(written) => return Ok(written?),
            Err(_) if is_wanted(held) => break,
            Err(_) => stalled += STALLED_WANTED_MAX,
        }
    }
    Err(Close::NotReading)
}

fn advance(slices: &mut std::collections::VecDeque<Bytes>, mut written: usize) {
    while let Some(front) = slices.front_mut() {
        if written < front.len() {
            front.advance(written);
            return;
        }
        written -= front.len();
        slices.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};
    use tokio::time::sleep;

    use super::super::in_flight::InFlight;
    use super::*;
    use crate::admission::{Admission, ReplyBytes};
    use crate::call::ConnectionId;
    use crate::origin::Origin;

    const MIB: usize = 1 << 20;
    const THREE_MIB: ReplyBytes = ReplyBytes {
        least: 3 * MIB,
        wanted: 3 * MIB,
        taken: 0,
    };

    /// What becomes of a reply of so many bytes, of which the client takes some each tenth of a second; and how long it took.
    async fn written(permit: &Permit, bytes: usize, takes: usize) -> (Result<(), Close>, Duration) {
        let (mut ours, mut theirs) = duplex(1024);
        let reading = async {
            let mut some = vec![0; takes];
            while theirs.read_exact(&mut some).await.is_ok() {
                sleep(Duration::from_millis(100)).await;
            }
            std::future::pending::<()>().await;
        };
        let began = Instant::now();
        let reply = vec![Bytes::from(vec![0; bytes])];
        let (held, mut pace) = ([Some(permit), None], Pace::default());
        let done = tokio::select! {
            done = write_slices(&mut ours, reply, held, &mut pace) => done,
            () = reading => unreachable!("it goes on"),
        };
        (done, began.elapsed())
    }

    /// A few bytes a second, and a reply was held for hours.
    #[tokio::test(start_paused = true)]
    async fn who_takes_a_reply_slowly_is_dropped_where_others_wait_and_not_before() {
        let admission = Admission::new(MIB, 4 * MIB);
        let permit = admission.reply(THREE_MIB).await;
        let (done, took) = written(&permit, 20_000, 100).await;
        assert!(done.is_ok() && took > 3 * WINDOW, "nobody waits: {took:?}");
        let mut next = Box::pin(admission.reply(THREE_MIB));
        assert!(futures::poll!(&mut next).is_pending());
        let (done, took) = written(&permit, 20_000, 100).await;
        assert!(matches!(done, Err(Close::ReadsSlowly)), "{done:?}");
        assert!(took < 2 * WINDOW, "{took:?}");
        let (done, took) = written(&permit, 3 * MIB, 20_000).await;
        assert!(done.is_ok() && took > 2 * WINDOW, "{done:?} after {took:?}");
        drop(next);
    }

    /// What counts as taken after a reply of so many bytes, of which so many are read.
    async fn taken(bytes: usize, read: usize) -> (Result<(), Close>, usize) {
        let arrival = Arrival::new(ConnectionId(1), "here".to_owned(), None);
        let (ours, mut theirs) = duplex(1024);
        let (sender, receiver) = mpsc::channel(1);
        let reply = Reply {
            slices: vec![Bytes::from(vec![0; bytes])],
            ..Reply::default()
        };
        let in_order = InOrder {
            pending: Box::pin(async { Ok(reply) }),
            charge: InFlight::new(MIB).charge(0),
            written: None,
        };
        assert!(sender.try_send(in_order).is_ok());
        drop(sender);
        let reading = async {
            theirs.read_exact(&mut vec![0; read]).await.unwrap();
            std::future::pending::<()>().await;
        };
        let done = tokio::select! {
            done = write_all(&arrival, receiver, ours) => done,
            () = reading => unreachable!("it goes on"),
        };
        (done, arrival.taken())
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_counts_as_taken_once_all_of_it_is() {
        let (done, counted) = taken(20_000, 20_000).await;
        assert!(done.is_ok());
        assert_eq!(counted, 20_000);
        let (done, counted) = taken(20_000, 10_000).await;
        assert!(matches!(done, Err(Close::NotReading)), "{done:?}");
        assert_eq!(counted, 0);
    }

    /// What becomes of small replies whose requests have these places, of which one is taken each nine tenths of a second.
    async fn taken_one_by_one(places: Vec<Permit>) -> Result<(), Close> {
        let arrival = Arrival::new(ConnectionId(1), "here".to_owned(), None);
        let (ours, mut theirs) = duplex(64);
        let (sender, receiver) = mpsc::channel(places.len());
        let in_flight = InFlight::new(MIB);
        for place in places {
            let reply = Reply {
                slices: vec![Bytes::from_static(&[0; 100])],
                place: Some(place),
                ..Reply::default()
            };
            let in_order = InOrder {
                pending: Box::pin(async { Ok(reply) }),
                charge: in_flight.charge(100),
                written: None,
            };
            assert!(sender.try_send(in_order).is_ok());
        }
        drop(sender);
        let reading = async {
            let mut one = [0; 100];
            while theirs.read_exact(&mut one).await.is_ok() {
                sleep(Duration::from_millis(900)).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            done = write_all(&arrival, receiver, ours) => done,
            () = reading => unreachable!("it goes on"),
        }
    }

    /// Each was taken in time, and what was held behind them for half a minute.
    #[tokio::test(start_paused = true)]
    async fn who_takes_many_small_replies_slowly_is_dropped_where_others_wait_for_a_place() {
        let admission = Admission::new(MIB, MIB);
        let other = Origin::of(Some([10, 0, 0, 1].into()));
        let places = async || {
            let mut places = Vec::new();
            for _ in 0..30 {
                places.push(admission.place(Origin::of(None), MIB / 10).await);
            }
            places
        };
        let done = taken_one_by_one(places().await).await;
        assert!(done.is_ok(), "nobody waits: {done:?}");
        let (places, began) = (places().await, Instant::now());
        let mut waits = Box::pin(admission.place(other, 100 * MIB));
        assert!(futures::poll!(&mut waits).is_pending());
        let done = taken_one_by_one(places).await;
        assert!(matches!(done, Err(Close::ReadsSlowly)), "{done:?}");
        assert!(began.elapsed() < 2 * WINDOW, "{:?}", began.elapsed());
    }

    #[test]
    fn a_step_is_bounded_in_bytes_and_in_slices() {
        let slices = |sizes: &[usize]| {
            let slices = sizes.iter().map(|size| Bytes::from(vec![0; *size]));
            slices.collect::<std::collections::VecDeque<Bytes>>()
        };
        let sizes = |of: &[usize]| {
            let of = slices(of);
            let step = step(&of, STEP_BYTES);
            step.iter().map(|part| part.len()).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[1, 2]), [1, 2]);
        assert_eq!(sizes(&[1, STEP_BYTES, 5]), [1, STEP_BYTES - 1]);
        assert_eq!(sizes(&[STEP_BYTES, 5]), [STEP_BYTES]);
        assert_eq!(sizes(&[1; 200]).len(), SLICES_MAX);
    }

    #[test]
    fn advancing_drops_whole_slices_and_cuts_the_next() {
        let mut slices: std::collections::VecDeque<Bytes> = [
            Bytes::from_static(b"ab"),
            Bytes::from_static(b"cde"),
            Bytes::from_static(b"f"),
        ]
        .into();
        advance(&mut slices, 3);
        assert_eq!(
            slices,
            [Bytes::from_static(b"de"), Bytes::from_static(b"f")]
        );
        advance(&mut slices, 3);
        assert!(slices.is_empty());
    }
}
