//! A peer's frames as they come in, counted among what all links take: what has come of a frame, from its first byte on,
//! until it is in other hands. What a peer only announces takes nothing, for memory is taken as bytes come; and nothing is
//! left of a frame once it is gone, however large it was.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tonic::{Code, Status};

use super::budget::{OVER, Part};
use super::message::{FRAME_BYTES_MAX, GREETING_BYTES_MAX};
use crate::shown::Shown;

/// Of gRPC before each message: whether it is compressed, and its length.
const HEAD_BYTES: usize = 5;
/// Memory for a frame is taken in such steps at least, and in steps that double.
const STEP_BYTES: usize = 4 * 1024;
/// Bytes on their way that nobody has taken yet: what a peer may send while this process listens to nothing it says.
pub(super) const WINDOW_BYTES: u32 = 256 * 1024;

/// The body of a request.
pub(super) struct Counted {
    body: Incoming,
    /// Of the body, and not looked at yet.
    data: Bytes,
    frames: Frames,
}

/// Puts frames together.
struct Frames {
    part: Arc<Part>,
    head: Vec<u8>,
    /// Of the frame whose head has come.
    length: usize,
    /// What has come of it.
    frame: Vec<u8>,
    greeted: bool,
}

impl Counted {
    pub(super) fn new(body: Incoming, part: Arc<Part>) -> Self {
        Self {
            body,
            data: Bytes::new(),
            frames: Frames::new(part),
        }
    }

    /// Frames from the peer, until there are no more or nobody wants them. With why this process takes no more of them, if
    /// so.
    pub(super) async fn pump(mut self, into: mpsc::Sender<Bytes>) -> Result<(), String> {
        loop {
            let frame = tokio::select! {
                frame = self.next() => frame,
                () = into.closed() => return Ok(()),
            };
            match frame {
                Ok(Some(frame)) => match into.try_send(frame) {
                    Ok(()) => {}
                    Err(TrySendError::Closed(_)) => return Ok(()),
                    Err(TrySendError::Full(frame)) => {
                        let part = Arc::clone(&self.frames.part);
                        if wait(&part, &into, frame).await.is_none() {
                            return Ok(());
                        }
                    }
                },
                Ok(None) => return Ok(()),
                Err(status) if status.code() == Code::ResourceExhausted => {
                    return Err(status.message().to_owned());
                }
                Err(status) => {
                    tracing::debug!(status = %Shown::sentence(status), "a link broke");
                    return Ok(());
                }
            }
        }
    }

    /// The next frame; `None` behind the last. Dropping the future is no loss.
    async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(frame) = self.frames.take(&mut self.data)? {
                return Ok(Some(frame));
            }
            let piece = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await;
            let Some(piece) = piece else {
                return Ok(None);
            };
            let piece = piece.map_err(|error| Status::from_error(Box::new(error)))?;
            if let Ok(data) = piece.into_data() {
                self.data = data;
            }
        }
    }
}

/// Until there is room for the frame. Meanwhile the peer may fill the window, which nobody else counts.
async fn wait(part: &Part, into: &mpsc::Sender<Bytes>, frame: Bytes) -> Option<()> {
    let window = WINDOW_BYTES as usize;
    part.add(window);
    let sent = into.send(frame).await;
    part.sub(window);
    sent.ok()
}

impl Frames {
    fn new(part: Arc<Part>) -> Self {
        Self {
            part,
            head: Vec::with_capacity(HEAD_BYTES),
            length: 0,
            frame: Vec::new(),
            greeted: false,
        }
    }

    /// Takes from `data` what is of the next frame: the frame, if it is whole then; otherwise all of it was.
    fn take(&mut self, data: &mut Bytes) -> Result<Option<Bytes>, Status> {
        if self.head.len() < HEAD_BYTES {
            let of_head = (HEAD_BYTES - self.head.len()).min(data.len());
            self.head.extend_from_slice(&data.split_to(of_head));
            let [compressed, length @ ..] = self.head.as_slice() else {
                return Ok(None);
            };
            let Ok(length) = length.try_into() else {
                return Ok(None);
            };
            if *compressed != 0 {
                return Err(Status::unimplemented("frames are not compressed"));
            }
            self.begin(u32::from_be_bytes(length) as usize)?;
        }
        let piece = data.split_to((self.length - self.frame.len()).min(data.len()));
        self.append(&piece)?;
        if self.frame.len() < self.length {
            return Ok(None);
        }
        self.head.clear();
        Ok(Some(std::mem::take(&mut self.frame).into()))
    }

    fn begin(&mut self, length: usize) -> Result<(), Status> {
        let (what, max) = match self.greeted {
            true => ("frame", FRAME_BYTES_MAX),
            false => ("greeting", GREETING_BYTES_MAX),
        };
        if length > max {
            let reason = format!("a {what} of {length} bytes");
            return Err(Status::resource_exhausted(reason));
        }
        self.greeted = true;
        self.length = length;
        Ok(())
    }

    fn append(&mut self, piece: &[u8]) -> Result<(), Status> {
        if piece.is_empty() {
            return Ok(());
        }
        self.part.add(piece.len());
        if self.part.is_over() {
            return Err(Status::resource_exhausted(OVER));
        }
        let needed = self.frame.len() + piece.len();
        if needed > self.frame.capacity() {
            // As much again as has come, never more than the frame.
            let room = needed.max(2 * self.frame.len()).max(STEP_BYTES);
            let room = room.min(self.length);
            self.frame.reserve_exact(room - self.frame.len());
        }
        self.frame.extend_from_slice(piece);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::*;

    fn frames() -> Frames {
        Frames::new(Budget::default().part(None))
    }

    fn all(frames: &mut Frames, piece: &[u8]) -> Result<Vec<Bytes>, Status> {
        let (mut data, mut found) = (Bytes::copy_from_slice(piece), Vec::new());
        while let Some(frame) = frames.take(&mut data)? {
            found.push(frame);
        }
        assert!(data.is_empty());
        Ok(found)
    }

    /// However they are cut on their way.
    #[test]
    fn frames_are_found_in_pieces_of_any_size() {
        let lengths = [3_u32, 0, 0, 300, 1, 70_000];
        let mut bytes = Vec::new();
        for length in lengths {
            bytes.push(0);
            bytes.extend(length.to_be_bytes());
            bytes.extend(vec![0xff; length as usize]);
        }
        for size in [1, 2, 7, 64, 4_096, bytes.len()] {
            let mut frames = frames();
            let mut found = Vec::new();
            for piece in bytes.chunks(size) {
                found.extend(all(&mut frames, piece).unwrap());
            }
            let found: Vec<_> = found.iter().map(Bytes::len).collect();
            assert_eq!(found, lengths.map(|length| length as usize));
            // What was added comes off again.
            frames.part.sub(70_304);
        }
    }

    #[test]
    fn a_greeting_is_short_and_what_follows_it_need_not_be() {
        let large = [0, 1, 0, 0, 0];
        assert!(
            all(&mut frames(), &large).is_err(),
            "16 MiB before any greeting"
        );
        let mut greeted = frames();
        all(&mut greeted, &[0, 0, 0, 0, 1, 9]).unwrap();
        assert!(all(&mut greeted, &large).is_ok());
        assert!(all(&mut greeted, &[1; 5]).is_ok(), "of the frame");
        let compressed = [1, 0, 0, 0, 1, 9];
        assert!(all(&mut frames(), &compressed).is_err());
    }

    /// An announcement costs its sender five bytes.
    #[test]
    fn what_is_announced_counts_and_takes_memory_only_as_it_comes() {
        let budget = Budget::of(100_000);
        let mut greedy: Vec<_> = (0..50).map(|_| Frames::new(budget.part(None))).collect();
        for frames in &mut greedy {
            all(frames, &[0, 0, 0, 0, 1, 9]).unwrap();
            all(frames, &[0, 1, 0, 0, 0]).unwrap();
            assert_eq!(frames.frame.capacity(), 0);
        }
        let mut agent = Frames::new(budget.part(None));
        let piece = [&[0, 0, 0, 0x40, 0], [7; 0x4000].as_slice()].concat();
        assert_eq!(all(&mut agent, &piece).unwrap().len(), 1);
        let cut = greedy.iter_mut().any(|frames| {
            let sent = all(frames, &[7; 10_000]);
            assert!(frames.frame.capacity() <= 10_000);
            sent.is_err()
        });
        assert!(cut, "what has come is counted");
    }

    #[test]
    fn nothing_is_left_of_a_large_frame_once_it_is_gone() {
        let mut frames = frames();
        all(&mut frames, &[0, 0, 0, 0, 1, 9]).unwrap();
        all(&mut frames, &[0, 0, 0x80, 0, 0]).unwrap();
        let mut found = Vec::new();
        for _ in 0..0x80 {
            found.extend(all(&mut frames, &[7; 0x1_0000]).unwrap());
        }
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].len(), 0x80_0000);
        assert_eq!(frames.frame.capacity(), 0);
    }
}
