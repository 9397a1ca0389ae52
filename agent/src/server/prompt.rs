//! A socket's reading side that acknowledges at once, and knows what has arrived. A client that does not turn Nagle's algorithm off holds back what it
//! has until all before is acknowledged, and Linux takes its time with that, up to 40 ms, hoping for a reply to send along.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

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
    fn poll_here(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        let socket: &TcpStream = self.0.as_ref();
        let mut before = None;
        loop {
            // A socket that fails will say so when it is read.
            let _ = ready!(socket.poll_read_ready(cx));
            let mut arrived = 0;
            let looked = socket.try_io(Interest::READABLE, || {
                arrived = rustix::io::ioctl_fionread(socket)?;
                // Then the runtime looks for more.
                let enough = arrived >= bytes as u64;
                enough.then_some(()).ok_or(io::ErrorKind::WouldBlock.into())
            });
            match looked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return Poll::Ready(()),
            }
            // It is ready all the same where its peer has sent all that it ever will.
            if before == Some(arrived) {
                return Poll::Pending;
            }
            before = Some(arrived);
        }
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
