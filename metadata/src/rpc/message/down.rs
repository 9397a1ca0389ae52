//! Frames to an agent.

use bytes::Bytes;

use super::update::{decode_update, encode_update};
use super::{Reply, VERSION};
use crate::codec::{Decoder, Encoder, Unreadable};
use crate::command::Outcome;
use crate::effect::{decode_outcome, encode_outcome};
use crate::types::Lsn;
use crate::update::Update;

const REDIRECT: u8 = 1;
const WELCOME: u8 = 2;
const ANSWER: u8 = 3;
const UPDATE: u8 = 4;
const REPLY: u8 = 5;
const PONG: u8 = 6;
const WARNING: u8 = 7;
const END: u8 = 8;

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
    /// What became durable, of all that the agent watches.
    Update(Update),
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

impl Down {
    pub(crate) fn encode(&self) -> Bytes {
        let mut frame = Encoder::default();
        match self {
            Self::Redirect(address) => {
                frame.u8(REDIRECT);
                frame.u8(VERSION);
                frame.text(address);
            }
            Self::Welcome {
                cluster_id,
                session,
            } => {
                frame.u8(WELCOME);
                frame.u8(VERSION);
                frame.text(cluster_id);
                frame.u64(*session);
            }
            Self::Answer {
                sequence,
                lsn,
                outcome,
            } => {
                frame.u8(ANSWER);
                frame.u64(*sequence);
                frame.u64(lsn.0);
                encode_outcome(outcome, &mut frame);
            }
            Self::Update(update) => {
                frame.u8(UPDATE);
                encode_update(update, &mut frame);
            }
            Self::Reply { id, reply } => {
                frame.u8(REPLY);
                frame.u64(*id);
                reply.encode(&mut frame);
            }
            Self::Pong => frame.u8(PONG),
            Self::Warning(text) => {
                frame.u8(WARNING);
                frame.text(text);
            }
            Self::End(reason) => {
                frame.u8(END);
                frame.text(reason);
            }
        }
        frame.into_bytes()
    }

    pub(crate) fn decode(frame: Bytes) -> Result<Self, Unreadable> {
        let mut frame = Decoder::new(frame);
        let down = match frame.u8()? {
            kind @ (REDIRECT | WELCOME) => {
                if frame.u8()? != VERSION {
                    return Err(Unreadable);
                }
                match kind {
                    REDIRECT => Self::Redirect(frame.text()?),
                    _ => Self::Welcome {
                        cluster_id: frame.text()?,
                        session: frame.u64()?,
                    },
                }
            }
            ANSWER => Self::Answer {
                sequence: frame.u64()?,
                lsn: Lsn(frame.u64()?),
                outcome: decode_outcome(&mut frame)?,
            },
            UPDATE => Self::Update(decode_update(&mut frame)?),
            REPLY => Self::Reply {
                id: frame.u64()?,
                reply: Reply::decode(&mut frame)?,
            },
            PONG => Self::Pong,
            WARNING => Self::Warning(frame.text()?),
            END => Self::End(frame.text()?),
            _ => return Err(Unreadable),
        };
        frame.end()?;
        Ok(down)
    }
}
