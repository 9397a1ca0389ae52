//! A socket's reading side that acknowledges at once, and knows what has arrived. A client that does not turn Nagle's
//! algorithm off holds back what it has until all before is acknowledged, and Linux takes its time with that, up to 40 ms,
//! hoping for a reply to send along.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use crate::connection::Arrivals;

#[derive(Debug)]
pub(super) struct PromptReads(pub(super) OwnedReadHalf);

impl AsyncRead for PromptReads {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.0).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            acknowledge(self.0.as_ref());
        }
        polled
    }
}

impl Arrivals for PromptReads {
    fn has(&mut self, bytes: usize) -> bool {
        let socket: &TcpStream = self.0.as_ref();
        let arrived = rustix::io::ioctl_fionread(socket);
        arrived.is_ok_and(|arrived| arrived >= bytes as u64)
    }

    fn has_left(&mut self) -> bool {
        let ready = self.0.ready(Interest::READABLE).now_or_never();
        let ready = ready.and_then(Result::ok);
        ready.is_some_and(|ready| ready.is_read_closed())
    }
}

/// What was read is acknowledged now. The system forgets the option as soon as it sends a reply, so it is set after each
/// read. Where it cannot be set, the client waits longer and nothing else is wrong.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn acknowledge(socket: &TcpStream) {
    let _ = socket.set_quickack(true);
}

/// Other systems have no such option.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn acknowledge(_: &TcpStream) {}
