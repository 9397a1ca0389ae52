//! What agents and the sequencer's process say to each other, as bytes. A frame is a kind and its fields; `up` and `down`
//! have the frames of each direction, the other files what lies in them. Nothing that comes from the other side is
//! trusted: what cannot be read ends the link.

mod agent;
mod command;
mod down;
mod greeting;
mod parts;
mod question;
mod reply;
#[cfg(test)]
mod tests;
mod topics;
mod up;
mod update;

pub(crate) use down::Down;
pub(crate) use greeting::{Asker, Hello, SPOKEN, Versions, Welcome, no_common_version, spoken};
pub(crate) use question::Question;
pub(crate) use reply::Reply;
pub(crate) use up::{Up, command_bytes, submit};

/// A frame that is longer is not sent, and ends the link it came by.
pub(crate) const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The first frame of a link, from whoever it is.
pub(crate) const GREETING_BYTES_MAX: usize = 64 * 1024;
/// Listeners of an agent.
const LISTENERS_MAX: usize = 64;
/// Agents, topics, views, or extents of all views in one frame: lists are cut into frames far below that.
const ITEMS_MAX: usize = 64 * 1024;
/// Partitions that are watched, or let go, with one frame; agents name a thousand at a time.
const WATCHED_MAX: usize = 4096;
/// Blocks of a commit, and batches of all of them together. A segment of 8 MiB has fewer, for no batch is smaller than its
/// header.
const BLOCKS_MAX: usize = 256 * 1024;
const BATCHES_MAX: usize = 256 * 1024;
/// A topic's name and its settings. What Kafka knows of them is a few thousand bytes.
const TOPIC_BYTES_MAX: usize = 1024 * 1024;
/// Names of an agent and of its listeners together: the list of all agents goes in one frame.
const AGENT_BYTES_MAX: usize = 2 * 1024;
/// Snapshots and long lists are cut into frames of about so many bytes.
pub(crate) const FRAME_BYTES: usize = 256 * 1024;
