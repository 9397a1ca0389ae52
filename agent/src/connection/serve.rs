//! The life of one connection: a reader and a writer side by side in one task.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::frames::{Frames, Turn};
use super::in_flight::{InFlight, REQUESTS_MAX};
use super::replies::{self, InOrder};
use super::{Close, PendingReply};
use crate::admission::Admission;
use crate::call::Arrival;
use crate::dispatch::Dispatch;
use crate::reading::Reader;
use crate::tasks::Stop;

/// What was asked before a request that ends the connection is answered for so long.
const LAST_REPLIES_MAX: Duration = Duration::from_secs(10);

/// Serves a socket, given as its two directions, until the client leaves, misbehaves, or the agent stops and all replies are written.
pub(crate) async fn serve(
    arrival: Arrival,
    (read, write): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    dispatch: Arc<Dispatch>,
    (admission, reader): (Admission, Reader),
    stop: Stop,
) -> Result<(), Close> {
    let (sender, receiver) = mpsc::channel(REQUESTS_MAX);
    let in_flight = InFlight::new(admission.connection_bytes_max());
    let (arrival, frames) = (Arc::new(arrival), Frames::new(read, admission));
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
            Err(close @ (Close::Malformed(_) | Close::Refused(_))) => {
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
    mut frames: Frames<impl AsyncRead + Unpin>,
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
        let pending = dispatch.begin(&arrival, frame.bytes, frame.permit).await?;
        match turn {
            Turn::Pipelined => place.send(InOrder { pending, charge }),
            Turn::Alone => {
                let (pending, answered) = watched(pending);
                place.send(InOrder { pending, charge });
                tokio::select! {
                    biased;
                    _ = answered => {}
                    close = frames.hung_up() => return Err(close),
                }
            }
        }
    }
}

/// A reply, and something that ends once there is one.
fn watched(pending: PendingReply) -> (PendingReply, oneshot::Receiver<Infallible>) {
    let (held, answered) = oneshot::channel();
    let watched = async move {
        let reply = pending.await;
        drop(held);
        reply
    };
    (Box::pin(watched), answered)
}
