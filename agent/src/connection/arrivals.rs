//! What is known of bytes that have arrived at a socket and were not read yet.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// A socket's reading side.
pub(crate) trait Arrivals: AsyncRead + Unpin {
    /// Whether so many bytes can be read without waiting for the peer. Some sockets cannot tell, and of what does not fit in
    /// its buffer none can: then they never can. It only looks: a runtime that is told that there is not enough yet takes
    /// that for nothing, and waits for more before it reads what there is, which a peer with no room to send in never sends.
    fn has(&mut self, bytes: usize) -> bool;

    /// Whether the peer sends no more, also where bytes lie before that end which nobody reads. Some sockets cannot tell: then
    /// it never is so.
    fn has_left(&mut self) -> bool;
}

/// One that cannot tell.
#[derive(Debug)]
pub(crate) struct Unknown<R>(pub(crate) R);

impl<R: AsyncRead + Unpin> AsyncRead for Unknown<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<R: AsyncRead + Unpin> Arrivals for Unknown<R> {
    fn has(&mut self, _: usize) -> bool {
        false
    }

    fn has_left(&mut self) -> bool {
        false
    }
}
