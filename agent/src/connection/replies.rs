//! Replies onto a socket, in the order of their requests, without copying what they carry.

use std::io::IoSlice;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::in_flight::Charge;
use super::{Close, PendingReply};
use crate::admission::Permit;

/// A client that takes nothing for so long is dropped, because its replies hold memory.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// The same where others wait for that memory: clients that never read must not hold up those that do.
const STALLED_WANTED_MAX: Duration = Duration::from_secs(1);
/// Slices given to one `writev`.
const SLICES_MAX: usize = 128;

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
    mut replies: mpsc::Receiver<InOrder>,
    mut socket: impl AsyncWrite + Unpin,
) -> Result<(), Close> {
    while let Some(InOrder {
        pending,
        charge,
        written,
    }) = replies.recv().await
    {
        let reply = pending.await?;
        write_slices(&mut socket, reply.slices, reply.permit.as_ref()).await?;
        drop((reply.permit, charge));
        if let Some(written) = written {
            // The reader ends before its client's last reply only where the client is gone.
            let _ = written.send(reply.silence);
        }
    }
    // The client may be gone already; there is nobody left to tell.
    let _ = socket.shutdown().await;
    Ok(())
}

async fn write_slices(
    socket: &mut (impl AsyncWrite + Unpin),
    slices: Vec<Bytes>,
    permit: Option<&Permit>,
) -> Result<(), Close> {
    let mut slices: std::collections::VecDeque<Bytes> = slices.into();
    slices.retain(|slice| !slice.is_empty());
    while !slices.is_empty() {
        let vectors: Vec<IoSlice<'_>> = slices
            .iter()
            .take(SLICES_MAX)
            .map(|slice| IoSlice::new(slice))
            .collect();
        let written = write_some(socket, &vectors, permit).await?;
        if written == 0 {
            return Err(Close::Gone);
        }
        advance(&mut slices, written);
    }
    Ok(())
}

/// Writes at least a byte. Nothing is lost where a step is cut off: the socket has then taken nothing.
async fn write_some(
    socket: &mut (impl AsyncWrite + Unpin),
    vectors: &[IoSlice<'_>],
    permit: Option<&Permit>,
) -> Result<usize, Close> {
    let mut stalled = Duration::ZERO;
    while stalled < STALLED_MAX {
        match timeout(STALLED_WANTED_MAX, socket.write_vectored(vectors)).await {
            Ok(written) => return Ok(written?),
            Err(_) if permit.is_some_and(Permit::is_wanted) => break,
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
    use super::*;

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
