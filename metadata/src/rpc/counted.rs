//! A peer's frames as they come in: how long each is, it says before it sends it. Counted from then on, so that many peers
//! that send large frames slowly are seen before they are all here.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, Incoming};
use tonic::Status;

use super::budget::{OVER, Part};
use super::message::{FRAME_BYTES_MAX, GREETING_BYTES_MAX};

/// Of gRPC before each message: whether it is compressed, and its length.
const HEAD_BYTES: usize = 5;

/// The body of a request.
pub(super) struct Counted {
    body: Incoming,
    frames: Frames,
}

/// Finds where frames begin.
struct Frames {
    part: Arc<Part>,
    head: Vec<u8>,
    /// Of the frame whose head has come.
    left: usize,
    greeted: bool,
}

impl Counted {
    pub(super) fn new(body: Incoming, part: Arc<Part>) -> Self {
        let frames = Frames {
            part,
            head: Vec::with_capacity(HEAD_BYTES),
            left: 0,
            greeted: false,
        };
        Self { body, frames }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let next = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(next.map(|next| {
            let next = next.map_err(|error| Status::from_error(Box::new(error)))?;
            if let Some(data) = next.data_ref() {
                self.frames.pass(data)?;
            }
            Ok(next)
        }))
    }
}

impl Frames {
    fn pass(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            let of_frame = self.left.min(data.len());
            data.advance(of_frame);
            self.left -= of_frame;
            let of_head = (HEAD_BYTES - self.head.len()).min(data.len());
            self.head.extend_from_slice(&data[..of_head]);
            data.advance(of_head);
            if let [_, length @ ..] = self.head.as_slice()
                && let Ok(length) = length.try_into()
            {
                let length = u32::from_be_bytes(length);
                self.head.clear();
                self.begin(usize::try_from(length).unwrap_or(usize::MAX))?;
            }
        }
        Ok(())
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
        self.left = length;
        self.part.add(length);
        match self.part.is_over() {
            true => Err(Status::resource_exhausted(OVER)),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::*;

    fn frames() -> Frames {
        Frames {
            part: Budget::default().part(),
            head: Vec::new(),
            left: 0,
            greeted: false,
        }
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
            for piece in bytes.chunks(size) {
                frames.pass(piece).unwrap();
            }
            assert_eq!(frames.left, 0);
            // What was added comes off again.
            frames.part.sub(70_304);
        }
    }

    #[test]
    fn a_greeting_is_short_and_what_follows_it_need_not_be() {
        let large = [0, 1, 0, 0, 0];
        assert!(frames().pass(&large).is_err(), "16 MiB before any greeting");
        let mut greeted = frames();
        greeted.pass(&[0, 0, 0, 0, 1, 9]).unwrap();
        assert!(greeted.pass(&large).is_ok());
    }
}
