//! What agents and the sequencer's process say to each other, as bytes. A frame is a kind and its fields; the first frame
//! of each side carries the protocol's version. Nothing that comes from the other side is trusted: what cannot be read
//! ends the link.

use std::sync::Arc;

use bytes::Bytes;

use super::command::{decode_command, encode_command};
use crate::catalogue::{Agent, Listener, Roles, Topic};
use crate::codec::{Decoder, Encoder, Unreadable};
use crate::command::{Command, Outcome};
use crate::effect::{decode_extent, decode_outcome, encode_extent, encode_outcome};
use crate::sequencer::subscribers::{Scope, TopicsUpdate, ViewUpdate};
use crate::types::{
    Bounds, Extent, Located, Lsn, Offset, PartitionIndex, Timestamp, TopicPartition,
};

/// Of the protocol. Another one is refused with a sentence.
pub(crate) const VERSION: u8 = 2;
/// A frame that is longer is not sent, and ends the link it came by.
pub(crate) const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Snapshots and long lists are cut into frames of about so many bytes.
pub(crate) const FRAME_BYTES: usize = 256 * 1024;

/// From an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Up {
    /// Always first. `session` is the one it had before, 0 if none.
    Hello {
        session: u64,
        /// For clients to be sent to; none of an agent that takes none.
        agent: Option<Agent>,
    },
    /// A command of its session.
    Submit {
        sequence: u64,
        seen: u64,
        command: Command,
    },
    /// A question; answers name its number.
    Ask { id: u64, question: Question },
    /// It looks at these partitions no longer.
    Unwatch(Vec<TopicPartition>),
    /// It takes no more clients.
    Withdraw,
    /// It lives.
    Ping,
    /// It leaves and wants its session closed. Nothing follows.
    Goodbye,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Bounds(Vec<TopicPartition>),
    /// Answered after the views of those that there are.
    Watch(Vec<TopicPartition>),
    Locate {
        partition: TopicPartition,
        offset: Offset,
        raw_bytes_max: u64,
    },
    Timestamp(TopicPartition, Timestamp),
    MaxTimestamp(TopicPartition),
}

/// To an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Down {
    /// Not here: ask there. An empty address: nobody is known yet.
    Redirect(String),
    /// What it holds, and from now on everything that is new.
    Welcome {
        cluster_id: String,
        session: u64,
    },
    /// What became of a command.
    Answer {
        sequence: u64,
        lsn: Lsn,
        outcome: Outcome,
    },
    /// Part of a change of the catalogue; `last` completes it.
    Topics {
        update: TopicsUpdate,
        last: bool,
    },
    Views(Vec<ViewUpdate>),
    /// All that serve clients.
    Agents(Vec<Arc<Agent>>),
    Reply {
        id: u64,
        reply: Reply,
    },
    /// It lives.
    Pong,
    /// For the agent's log: its operator has to do something.
    Warning(String),
    /// The link ends for this reason; nothing that is unanswered is known.
    End(String),
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Bounds(Vec<Option<Bounds>>),
    /// Which of the partitions there are.
    Watched(Vec<bool>),
    Located(Located),
    Extent(Option<Extent>),
    /// It cannot be answered; a damaged index row is the one reason.
    Failed(String),
}

impl Up {
    pub(crate) fn encode(&self) -> Bytes {
        let mut frame = Encoder::default();
        match self {
            Self::Hello { session, agent } => {
                frame.u8(1);
                frame.u8(VERSION);
                frame.u64(*session);
                encode_option(agent.as_ref(), &mut frame, encode_agent);
            }
            Self::Submit {
                sequence,
                seen,
                command,
            } => return submit(*sequence, *seen, &command_bytes(command)),
            Self::Ask { id, question } => {
                frame.u8(3);
                frame.u64(*id);
                question.encode(&mut frame);
            }
            Self::Unwatch(partitions) => {
                frame.u8(4);
                encode_partitions(partitions, &mut frame);
            }
            Self::Ping => frame.u8(5),
            Self::Goodbye => frame.u8(6),
            Self::Withdraw => frame.u8(7),
        }
        frame.into_bytes()
    }

    pub(crate) fn decode(frame: Bytes) -> Result<Self, Unreadable> {
        let mut frame = Decoder::new(frame);
        let up = match frame.u8()? {
            1 => {
                if frame.u8()? != VERSION {
                    return Err(Unreadable);
                }
                Self::Hello {
                    session: frame.u64()?,
                    agent: decode_option(&mut frame, decode_agent)?,
                }
            }
            2 => Self::Submit {
                sequence: frame.u64()?,
                seen: frame.u64()?,
                command: decode_command(&mut frame)?,
            },
            3 => Self::Ask {
                id: frame.u64()?,
                question: Question::decode(&mut frame)?,
            },
            4 => Self::Unwatch(frame.list(decode_partition)?),
            5 => Self::Ping,
            6 => Self::Goodbye,
            7 => Self::Withdraw,
            _ => return Err(Unreadable),
        };
        frame.end()?;
        Ok(up)
    }
}

/// A command as it lies in an [`Up::Submit`], kept so until it is answered.
pub(crate) fn command_bytes(command: &Command) -> Bytes {
    let mut bytes = Encoder::default();
    encode_command(command, &mut bytes);
    bytes.into_bytes()
}

/// An [`Up::Submit`].
pub(crate) fn submit(sequence: u64, seen: u64, command: &[u8]) -> Bytes {
    let mut frame = Encoder::default();
    frame.u8(2);
    frame.u64(sequence);
    frame.u64(seen);
    frame.bytes(command);
    frame.into_bytes()
}

impl Question {
    fn encode(&self, frame: &mut Encoder) {
        match self {
            Self::Bounds(partitions) => {
                frame.u8(1);
                encode_partitions(partitions, frame);
            }
            Self::Watch(partitions) => {
                frame.u8(2);
                encode_partitions(partitions, frame);
            }
            Self::Locate {
                partition,
                offset,
                raw_bytes_max,
            } => {
                frame.u8(3);
                encode_partition(*partition, frame);
                frame.i64(offset.0);
                frame.u64(*raw_bytes_max);
            }
            Self::Timestamp(partition, timestamp) => {
                frame.u8(4);
                encode_partition(*partition, frame);
                frame.i64(timestamp.0);
            }
            Self::MaxTimestamp(partition) => {
                frame.u8(5);
                encode_partition(*partition, frame);
            }
        }
    }

    fn decode(frame: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(match frame.u8()? {
            1 => Self::Bounds(frame.list(decode_partition)?),
            2 => Self::Watch(frame.list(decode_partition)?),
            3 => Self::Locate {
                partition: decode_partition(frame)?,
                offset: Offset(frame.i64()?),
                raw_bytes_max: frame.u64()?,
            },
            4 => Self::Timestamp(decode_partition(frame)?, Timestamp(frame.i64()?)),
            5 => Self::MaxTimestamp(decode_partition(frame)?),
            _ => return Err(Unreadable),
        })
    }
}

impl Down {
    pub(crate) fn encode(&self) -> Bytes {
        let mut frame = Encoder::default();
        match self {
            Self::Redirect(address) => {
                frame.u8(1);
                frame.u8(VERSION);
                frame.text(address);
            }
            Self::Welcome {
                cluster_id,
                session,
            } => {
                frame.u8(2);
                frame.u8(VERSION);
                frame.text(cluster_id);
                frame.u64(*session);
            }
            Self::Answer {
                sequence,
                lsn,
                outcome,
            } => {
                frame.u8(3);
                frame.u64(*sequence);
                frame.u64(lsn.0);
                encode_outcome(outcome, &mut frame);
            }
            Self::Topics { update, last } => {
                frame.u8(4);
                frame.u8(u8::from(*last));
                encode_topics(update, &mut frame);
            }
            Self::Views(views) => {
                frame.u8(5);
                frame.u64(views.len() as u64);
                views.iter().for_each(|view| encode_view(view, &mut frame));
            }
            Self::Reply { id, reply } => {
                frame.u8(6);
                frame.u64(*id);
                reply.encode(&mut frame);
            }
            Self::Pong => frame.u8(7),
            Self::Agents(agents) => {
                frame.u8(9);
                frame.u64(agents.len() as u64);
                agents
                    .iter()
                    .for_each(|agent| encode_agent(agent, &mut frame));
            }
            Self::End(reason) => {
                frame.u8(8);
                frame.text(reason);
            }
            Self::Warning(text) => {
                frame.u8(10);
                frame.text(text);
            }
        }
        frame.into_bytes()
    }

    pub(crate) fn decode(frame: Bytes) -> Result<Self, Unreadable> {
        let mut frame = Decoder::new(frame);
        let down = match frame.u8()? {
            kind @ (1 | 2) => {
                if frame.u8()? != VERSION {
                    return Err(Unreadable);
                }
                match kind {
                    1 => Self::Redirect(frame.text()?),
                    _ => Self::Welcome {
                        cluster_id: frame.text()?,
                        session: frame.u64()?,
                    },
                }
            }
            3 => Self::Answer {
                sequence: frame.u64()?,
                lsn: Lsn(frame.u64()?),
                outcome: decode_outcome(&mut frame)?,
            },
            4 => Self::Topics {
                last: decode_flag(&mut frame)?,
                update: decode_topics(&mut frame)?,
            },
            5 => Self::Views(frame.list(decode_view)?),
            6 => Self::Reply {
                id: frame.u64()?,
                reply: Reply::decode(&mut frame)?,
            },
            7 => Self::Pong,
            8 => Self::End(frame.text()?),
            9 => Self::Agents(frame.list(|frame| decode_agent(frame).map(Arc::new))?),
            10 => Self::Warning(frame.text()?),
            _ => return Err(Unreadable),
        };
        frame.end()?;
        Ok(down)
    }
}

impl Reply {
    fn encode(&self, frame: &mut Encoder) {
        match self {
            Self::Bounds(bounds) => {
                frame.u8(1);
                frame.u64(bounds.len() as u64);
                for each in bounds {
                    frame.u8(u8::from(each.is_some()));
                    if let Some(each) = each {
                        encode_bounds(*each, frame);
                    }
                }
            }
            Self::Watched(found) => {
                frame.u8(2);
                frame.u64(found.len() as u64);
                found.iter().for_each(|found| frame.u8(u8::from(*found)));
            }
            Self::Located(Located::Extents { bounds, extents }) => {
                frame.u8(3);
                encode_bounds(*bounds, frame);
                encode_extents(extents, frame);
            }
            Self::Located(Located::OutOfRange(bounds)) => {
                frame.u8(4);
                encode_bounds(*bounds, frame);
            }
            Self::Located(Located::UnknownPartition) => frame.u8(5),
            Self::Extent(None) => frame.u8(6),
            Self::Extent(Some(extent)) => {
                frame.u8(7);
                encode_extent(extent, frame);
            }
            Self::Failed(reason) => {
                frame.u8(8);
                frame.text(reason);
            }
        }
    }

    fn decode(frame: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(match frame.u8()? {
            1 => Self::Bounds(frame.list(|frame| {
                Ok(match decode_flag(frame)? {
                    true => Some(decode_bounds(frame)?),
                    false => None,
                })
            })?),
            2 => Self::Watched(frame.list(decode_flag)?),
            3 => Self::Located(Located::Extents {
                bounds: decode_bounds(frame)?,
                extents: frame.list(decode_extent)?,
            }),
            4 => Self::Located(Located::OutOfRange(decode_bounds(frame)?)),
            5 => Self::Located(Located::UnknownPartition),
            6 => Self::Extent(None),
            7 => Self::Extent(Some(decode_extent(frame)?)),
            8 => Self::Failed(frame.text()?),
            _ => return Err(Unreadable),
        })
    }
}

fn encode_agent(agent: &Agent, frame: &mut Encoder) {
    frame.i64(agent.node_id.into());
    frame.u64(agent.listeners.len() as u64);
    for listener in &agent.listeners {
        frame.text(&listener.name);
        frame.text(&listener.host);
        frame.u32(listener.port.into());
    }
    encode_option(agent.zone.as_deref(), frame, |zone, frame| frame.text(zone));
    frame.u8(u8::from(agent.roles.produce));
    frame.u8(u8::from(agent.roles.fetch));
}

fn decode_agent(frame: &mut Decoder) -> Result<Agent, Unreadable> {
    let listener = |frame: &mut Decoder| {
        Ok(Listener {
            name: frame.text()?,
            host: frame.text()?,
            port: u16::try_from(frame.u32()?).map_err(|_| Unreadable)?,
        })
    };
    let agent = Agent {
        node_id: frame.i32()?,
        listeners: frame.list(listener)?,
        zone: decode_option(frame, Decoder::text)?,
        roles: Roles {
            produce: decode_flag(frame)?,
            fetch: decode_flag(frame)?,
        },
    };
    match agent.node_id {
        0.. if !agent.listeners.is_empty() => Ok(agent),
        _ => Err(Unreadable),
    }
}

fn encode_option<T: ?Sized>(
    value: Option<&T>,
    frame: &mut Encoder,
    encode: impl FnOnce(&T, &mut Encoder),
) {
    frame.u8(u8::from(value.is_some()));
    if let Some(value) = value {
        encode(value, frame);
    }
}

fn decode_option<T>(
    frame: &mut Decoder,
    decode: impl FnOnce(&mut Decoder) -> Result<T, Unreadable>,
) -> Result<Option<T>, Unreadable> {
    Ok(match decode_flag(frame)? {
        true => Some(decode(frame)?),
        false => None,
    })
}

fn encode_topics(update: &TopicsUpdate, frame: &mut Encoder) {
    frame.u64(update.lsn.0);
    frame.u8(u8::from(update.scope == Scope::All));
    frame.u64(update.changed.len() as u64);
    update
        .changed
        .iter()
        .for_each(|topic| encode_topic(topic, frame));
    frame.u64(update.gone.len() as u64);
    update.gone.iter().for_each(|topic| frame.topic(*topic));
}

fn decode_topics(frame: &mut Decoder) -> Result<TopicsUpdate, Unreadable> {
    Ok(TopicsUpdate {
        lsn: Lsn(frame.u64()?),
        scope: decode_scope(frame)?,
        changed: frame.list(|frame| decode_topic(frame).map(Arc::new))?,
        gone: frame.list(Decoder::topic)?,
    })
}

fn encode_topic(topic: &Topic, frame: &mut Encoder) {
    frame.topic(topic.id);
    frame.text(&topic.name);
    frame.i64(topic.partitions.into());
    frame.i64(topic.replication_factor.into());
    frame.texts(&topic.configs);
    frame.i64(topic.created.0);
}

fn decode_topic(frame: &mut Decoder) -> Result<Topic, Unreadable> {
    let topic = Topic {
        id: frame.topic()?,
        name: frame.text()?,
        partitions: frame.i32()?,
        replication_factor: frame.i16()?,
        configs: frame.texts()?,
        created: Timestamp(frame.i64()?),
    };
    match topic.partitions {
        1.. => Ok(topic),
        _ => Err(Unreadable),
    }
}

fn encode_view(view: &ViewUpdate, frame: &mut Encoder) {
    encode_partition(view.partition, frame);
    frame.u8(u8::from(view.scope == Scope::All));
    encode_bounds(view.bounds, frame);
    encode_extents(&view.extents, frame);
}

fn decode_view(frame: &mut Decoder) -> Result<ViewUpdate, Unreadable> {
    Ok(ViewUpdate {
        partition: decode_partition(frame)?,
        scope: decode_scope(frame)?,
        bounds: decode_bounds(frame)?,
        extents: frame.list(decode_extent)?,
    })
}

fn decode_flag(frame: &mut Decoder) -> Result<bool, Unreadable> {
    match frame.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Unreadable),
    }
}

fn decode_scope(frame: &mut Decoder) -> Result<Scope, Unreadable> {
    Ok(match decode_flag(frame)? {
        true => Scope::All,
        false => Scope::Change,
    })
}

fn encode_extents(extents: &[Extent], frame: &mut Encoder) {
    frame.u64(extents.len() as u64);
    extents
        .iter()
        .for_each(|extent| encode_extent(extent, frame));
}

fn encode_bounds(bounds: Bounds, frame: &mut Encoder) {
    frame.i64(bounds.log_start.0);
    frame.i64(bounds.last_stable.0);
    frame.i64(bounds.high_watermark.0);
    frame.i64(bounds.leader_epoch.into());
}

fn decode_bounds(frame: &mut Decoder) -> Result<Bounds, Unreadable> {
    Ok(Bounds {
        log_start: Offset(frame.i64()?),
        last_stable: Offset(frame.i64()?),
        high_watermark: Offset(frame.i64()?),
        leader_epoch: frame.i32()?,
    })
}

fn encode_partitions(partitions: &[TopicPartition], frame: &mut Encoder) {
    frame.u64(partitions.len() as u64);
    partitions
        .iter()
        .for_each(|partition| encode_partition(*partition, frame));
}

fn encode_partition(partition: TopicPartition, frame: &mut Encoder) {
    frame.topic(partition.topic);
    frame.i64(partition.partition.0.into());
}

fn decode_partition(frame: &mut Decoder) -> Result<TopicPartition, Unreadable> {
    Ok(TopicPartition {
        topic: frame.topic()?,
        partition: PartitionIndex(frame.i32()?),
    })
}
