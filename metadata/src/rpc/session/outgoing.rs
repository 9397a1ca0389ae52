//! Frames for an agent, which may be slow to take them.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::rpc::message::{Down, FRAME_BYTES};
use crate::rpc::topics::Frames;
use crate::update::Update;

/// When so many frames, or bytes of them, wait to be taken, nothing more is made for the agent.
const FRAMES_MAX: usize = 64;
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Frames of the catalogue that wait to be taken; the others are made when these are gone.
const CATALOGUE_FRAMES_MAX: usize = 2;
/// About what an extent takes in a frame.
const EXTENT_BYTES: usize = 50;

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Of all that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether more may be made.
    pub(super) fn has_room(&self) -> bool {
        self.frames.len() < FRAMES_MAX && self.bytes < BYTES_MAX
    }

    pub(super) fn has_room_for_the_catalogue(&self) -> bool {
        self.frames.len() < CATALOGUE_FRAMES_MAX
    }

    pub(super) fn push(&mut self, down: &Down) {
        self.push_frame(down.encode());
    }

    fn push_frame(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    pub(super) fn pop(&mut self) -> Bytes {
        let frame = self.frames.pop_front().unwrap_or_default();
        self.bytes -= frame.len();
        frame
    }

    /// An update in frames of bounded size.
    pub(super) fn tell(&mut self, update: Update) {
        match update {
            Update::Topics(topics) => {
                let mut frames = Frames::change(topics);
                while let Some(frame) = frames.next() {
                    self.push(&frame);
                }
            }
            Update::Views(views) => {
                let mut part = Vec::new();
                let mut bytes = 0;
                for view in views {
                    bytes += 64 + view.extents.len() * EXTENT_BYTES;
                    part.push(view);
                    if bytes >= FRAME_BYTES {
                        bytes = 0;
                        self.push(&Down::Update(Update::Views(std::mem::take(&mut part))));
                    }
                }
                if !part.is_empty() {
                    self.push(&Down::Update(Update::Views(part)));
                }
            }
            Update::Agents(agents) => {
                let told = Down::Update(Update::Agents(Arc::clone(&agents)));
                self.push_frame(agents.frame(|| told.encode()));
            }
            small @ Update::Naming(_) => self.push(&Down::Update(small)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Agent;
    use crate::update::Agents;

    /// The list of all agents may take a megabyte, and goes to each of them.
    #[test]
    fn the_list_of_agents_is_made_once_for_all_links() {
        let agent = Arc::new(Agent::new(1, "host".to_owned(), 9092));
        let agents = Arc::new(Agents::new(vec![agent]));
        let told = || {
            let mut outgoing = Outgoing::default();
            outgoing.tell(Update::Agents(Arc::clone(&agents)));
            outgoing.pop()
        };
        let (one, other) = (told(), told());
        assert_eq!(one.as_ptr(), other.as_ptr());
        let update = Down::Update(Update::Agents(agents));
        assert_eq!(Down::decode(one), Ok(update));
    }
}
