//! The life of one connection: a reader and a writer side by side in one task.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

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
    let replies = (sender, in_flight);
    let reading = read_requests(arrival, frames, dispatch, replies, &reader, stop);
    let reading = reader.while_working(reading);
    let writing = replies::write_all(receiver, write);
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
    loop {
        let place = match replies.reserve().await {
            Ok(place) => place,
            Err(_) => return Err(Close::Gone),
        };
        let frame = tokio::select! {
            biased;
            () = stop.requested() => return Ok(()),
            frame = async { in_flight.room().await; frames.next().await } => frame?,
        };
        let charge = in_flight.charge(frame.bytes.len());
        let turn = frame.turn;
        if turn == Turn::Pipelined {
            reader.may_read_more();
        }
        let begun = dispatch.begin(&arrival, frame.bytes, frame.permit);
        let pending = unless_left(begun, &mut frames).await?;
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

/// A request's place in the order, unless its client leaves first. Not at once: who wants no acks says what there is to say
/// and goes.
async fn unless_left(
    begun: impl Future<Output = Result<PendingReply, Close>>,
    frames: &mut Frames<impl Arrivals>,
) -> Result<PendingReply, Close> {
    let mut begun = pin!(begun);
    if let Ok(begun) = timeout(LEFT_AFTER, &mut begun).await {
        return begun;
    }
    tokio::select! {
        biased;
        begun = begun => begun,
        close = frames.hung_up() => Err(close),
    }
}
