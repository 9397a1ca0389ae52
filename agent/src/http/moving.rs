//! A connection whose peer has to keep it moving: who takes nothing for too long is let go, and when there are too many,
//! the one that stands still longest makes room, so that a probe of health always finds some.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};

/// A peer that takes nothing of its answer for so long.
const STALLED_MAX: Duration = Duration::from_secs(10);

/// The connections of a port.
#[derive(Debug, Default)]
pub(super) struct Moving(Vec<Weak<Shared>>);

/// One of them.
#[derive(Debug)]
pub(super) struct Kept<S> {
    socket: S,
    shared: Arc<Shared>,
    /// Since the peer took something last.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// Resolves when the connection is to make room.
#[derive(Debug)]
pub(super) struct MakeRoom(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    moved: Mutex<Instant>,
    make_room: Notify,
}

impl Moving {
    /// One more. Where there are `most` already, another one makes room; whether that was so.
    pub(super) fn keep<S>(&mut self, socket: S, most: usize) -> (Kept<S>, MakeRoom, bool) {
        self.0.retain(|shared| shared.strong_count() > 0);
        let full = self.0.len() >= most;
        if full {
            let still = self.0.iter().enumerate().filter_map(|(place, shared)| {
                let shared = shared.upgrade()?;
                let moved = *shared.moved.lock();
                Some((moved, place, shared))
            });
            if let Some((_, place, shared)) = still.min_by_key(|(moved, place, _)| (*moved, *place))
            {
                shared.make_room.notify_one();
                self.0.remove(place);
            }
        }
        let shared = Arc::new(Shared {
            moved: Mutex::new(Instant::now()),
            make_room: Notify::new(),
        });
        self.0.push(Arc::downgrade(&shared));
        let kept = Kept {
            socket,
            shared: Arc::clone(&shared),
            stalled: None,
        };
        (kept, MakeRoom(shared), full)
    }
}

impl MakeRoom {
    pub(super) async fn wanted(&self) {
        self.0.make_room.notified().await;
    }
}

impl<S> Kept<S> {
    fn moved(&mut self) {
        self.stalled = None;
        *self.shared.moved.lock() = Instant::now();
    }

    /// What came of writing; an error where that waits for too long.
    fn watched<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.moved();
            return written;
        }
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(STALLED_MAX)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Kept<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            *self.shared.moved.lock() = Instant::now();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Kept<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.watched(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.watched(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{advance, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_let_go() {
        let (ours, mut theirs) = duplex(100);
        let (mut kept, _room, _) = Moving::default().keep(ours, 1);
        let writing = async { kept.write_all(&[0; 1000]).await.map_err(|e| e.kind()) };
        let reading = async {
            for _ in 0..5 {
                sleep(STALLED_MAX / 2).await;
                theirs.read_exact(&mut [0; 100]).await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        let written = async {
            tokio::select! {
                written = writing => written,
                () = reading => Ok(()),
            }
        };
        let written = timeout(STALLED_MAX * 5, written).await;
        assert_eq!(written, Ok(Err(io::ErrorKind::TimedOut)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_stands_still_longest_makes_room() {
        let mut all = Moving::default();
        let mut kept = Vec::new();
        for _ in 0..3 {
            let (ours, theirs) = duplex(100);
            let (socket, room, full) = all.keep(ours, 3);
            assert!(!full);
            kept.push((socket, room, theirs));
            advance(Duration::from_secs(1)).await;
        }
        kept[0].0.write_all(b"moves").await.unwrap();
        let (_one, _room, full) = all.keep(duplex(1).0, 3);
        assert!(full);
        for (at, leaves) in [(0, false), (1, true), (2, false)] {
            assert_eq!(poll!(Box::pin(kept[at].1.wanted())).is_ready(), leaves);
        }
    }
}
