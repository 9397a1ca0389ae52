//! The life of one connection: a reader and a writer side by side in one task.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::Close;
use super::arrivals::Arrivals;
use super::frames::{Frames, LEFT_AFTER, Turn};
use super::in_flight::{InFlight, REQUESTS_MAX};
use super::replies::{self, InOrder};
use crate::admission::Admission;
use crate::call::{Arrival, PendingReply};
use crate::dispatch::Dispatch;
use crate::reading::Reader;
use crate::tasks::Stop;

/// What was asked before a request that ends the connection is answered for so long.
const LAST_REPLIES_MAX: Duration = Duration::from_secs(10);

/// Serves a socket, given as its two directions, until the client leaves, misbehaves, or the agent stops and all replies are
/// written.
pub(crate) async fn serve(
    arrival: Arrival,
    (read, write): (impl Arrivals, impl AsyncWrite + Unpin),
    dispatch: Arc<Dispatch>,
    (admission, reader): (Admission, Reader),
    stop: Stop,
) -> Result<(), Close> {
    let (sender, receiver) = mpsc::channel(REQUESTS_MAX);
    let in_flight = InFlight::new(admission.connection_bytes_max());
    let frames = Frames::new(read, admission, arrival.origin());
    let arrival = Arc::new(arrival);
    let writing = replies::write_all(&arrival, receiver, write);
    let replies = (sender, in_flight);
    let reading = read_requests(
        Arc::clone(&arrival),
        frames,
        dispatch,
        replies,
        &reader,
        stop,
    );
    let reading = reader.while_working(reading);
    tokio::pin!(reading, writing);
    tokio::select! {
        // In this order, so that simulation repeats itself.
        biased;
        // The writer ends when all replies are out after the reader stopped, or when the socket fails.
        written = &mut writing => written,
        read = &mut reading => match read {
            Ok(()) => writing.await,
            // Without these answers the client could not tell what happened of its earlier requests.
            Err(
                close @ (Close::Malformed(_) | Close::Refused(_) | Close::TooSlow | Close::MadeRoom),
            ) => {
                let _ = timeout(LAST_REPLIES_MAX, writing).await;
                Err(close)
            }
            Err(close) => Err(close),
        },
    }
}

/// Reads and begins requests in order until the agent stops.
async fn read_requests(
    arrival: Arc<Arrival>,
    mut frames: Frames<impl Arrivals>,
    dispatch: Arc<Dispatch>,
    (replies, in_flight): (mpsc::Sender<InOrder>, InFlight),
    reader: &Reader,
    mut stop: Stop,
) -> Result<(), Close> {
    let mut grace = Grace::default();
    loop {
        let place = match replies.reserve().await {
            Ok(place) => place,
            Err(_) => return Err(Close::Gone),
        };
        let frame = tokio::select! {
            biased;
            () = stop.requested() => return Ok(()),
            frame = frames.next(&in_flight) => frame?,
        };
        let charge = in_flight.charge(frame.bytes.len());
        let turn = frame.turn;
        if turn == Turn::Pipelined {
            reader.may_read_more();
        }
        // On the heap: thousands of connections that ask for nothing would each have room for the largest of requests.
        let begun = Box::pin(dispatch.begin(&arrival, frame.bytes, frame.permit));
        let pending = grace.unless_left(begun, &mut frames).await?;
        match turn {
            Turn::Pipelined => place.send(InOrder {
                pending,
                charge,
                written: None,
            }),
            Turn::Alone => {
                let (written, answered) = oneshot::channel();
                place.send(InOrder {
                    pending,
                    charge,
                    written: Some(written),
                });
                let answered = async {
                    // Where nothing was written the connection ends.
                    let silence: Duration = answered.await.unwrap_or_default();
                    if !silence.is_zero() {
                        sleep(silence).await;
                    }
                };
                tokio::select! {
                    biased;
                    () = answered => {}
                    close = frames.hung_up() => return Err(close),
                }
            }
        }
    }
}

/// For how long it is still worked for a client that has left. Not given up at once: who wants no acks says what there is to
/// say and goes. But it is one time for all that he said: a thousand requests that take a moment each lie in the socket of one
/// who is gone.
#[derive(Debug)]
pub(super) struct Grace(Duration);

impl Default for Grace {
    fn default() -> Self {
        Self(LEFT_AFTER)
    }
}

impl Grace {
    /// A request's place in the order, unless its client leaves first.
    pub(super) async fn unless_left(
        &mut self,
        begun: impl Future<Output = Result<PendingReply, Close>>,
        frames: &mut Frames<impl Arrivals>,
    ) -> Result<PendingReply, Close> {
        let mut begun = pin!(begun);
        let (began, had_left) = (Instant::now(), frames.has_left());
        // It is asked first whether it has begun: what takes no time is taken, however little is left.
        let done = timeout(self.0, &mut begun).await;
        if had_left {
            self.0 = self.0.saturating_sub(began.elapsed());
        }
        match done {
            Ok(begun) => begun,
            Err(_) if frames.has_left() => Err(Close::Gone),
            Err(_) => tokio::select! {
                biased;
                begun = begun => begun,
                close = frames.hung_up() => Err(close),
            },
        }
    }
}
