//! Frames from an agent.

use bytes::Bytes;

use super::command::{decode_command, encode_command};
use super::parts::{decode_list, decode_partition, encode_partitions};
use super::{Asker, Hello, Question, SPOKEN, Versions, WATCHED_MAX};
use crate::codec::{Decoder, Encoder, Unreadable};
use crate::command::Command;
use crate::types::TopicPartition;

const HELLO: u8 = 1;
const SUBMIT: u8 = 2;
const ASK: u8 = 3;
const UNWATCH: u8 = 4;
const PING: u8 = 5;
const GOODBYE: u8 = 6;
const WITHDRAW: u8 = 7;
const WHO: u8 = 8;

/// From an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Up {
    /// First, unless it is an [`Up::Who`].
    Hello(Hello),
    /// The hello of one that speaks no version which this process speaks, too; the rest of it cannot be read.
    Stranger(Versions),
    /// First and last: which process is this? Asked by one that may hold the order.
    Who(Asker),
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

impl Up {
    pub(crate) fn encode(&self) -> Bytes {
        let mut frame = Encoder::default();
        match self {
            Self::Hello(hello) => {
                frame.u8(HELLO);
                hello.encode(&mut frame);
            }
            Self::Stranger(versions) => {
                frame.u8(HELLO);
                versions.encode(&mut frame);
            }
            Self::Who(asker) => {
                frame.u8(WHO);
                asker.encode(&mut frame);
            }
            Self::Submit {
                sequence,
                seen,
                command,
            } => return submit(*sequence, *seen, &command_bytes(command)),
            Self::Ask { id, question } => {
                frame.u8(ASK);
                frame.u64(*id);
                question.encode(&mut frame);
            }
            Self::Unwatch(partitions) => {
                frame.u8(UNWATCH);
                encode_partitions(partitions, &mut frame);
            }
            Self::Ping => frame.u8(PING),
            Self::Goodbye => frame.u8(GOODBYE),
            Self::Withdraw => frame.u8(WITHDRAW),
        }
        frame.into_bytes()
    }

    pub(crate) fn decode(frame: Bytes) -> Result<Self, Unreadable> {
        Self::decode_as(SPOKEN, frame)
    }

    /// As a process that speaks `ours`.
    pub(crate) fn decode_as(ours: Versions, frame: Bytes) -> Result<Self, Unreadable> {
        let mut frame = Decoder::new(frame);
        let up = match frame.u8()? {
            HELLO => {
                let versions = Versions::decode(&mut frame)?;
                if ours.common(versions).is_none() {
                    return Ok(Self::Stranger(versions));
                }
                let hello = Hello::decode(versions, &mut frame)?;
                if versions.max > ours.max {
                    // What it appended is for newer ones.
                    return Ok(Self::Hello(hello));
                }
                Self::Hello(hello)
            }
            WHO => Self::Who(Asker::decode(&mut frame)?),
            SUBMIT => Self::Submit {
                sequence: frame.u64()?,
                seen: frame.u64()?,
                command: decode_command(&mut frame)?,
            },
            ASK => Self::Ask {
                id: frame.u64()?,
                question: Question::decode(&mut frame)?,
            },
            UNWATCH => Self::Unwatch(decode_list(&mut frame, WATCHED_MAX, decode_partition)?),
            PING => Self::Ping,
            GOODBYE => Self::Goodbye,
            WITHDRAW => Self::Withdraw,
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
    frame.u8(SUBMIT);
    frame.u64(sequence);
    frame.u64(seen);
    frame.bytes(command);
    frame.into_bytes()
}
