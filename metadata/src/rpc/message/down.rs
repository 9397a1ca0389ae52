//! Frames to an agent.

use bytes::Bytes;

use super::update::{decode_update, encode_update};
use super::{Reply, Welcome};
use crate::codec::{Decoder, Encoder, Unreadable, Wire};
use crate::command::Outcome;
use crate::types::Lsn;
use crate::update::Update;

const REDIRECT: u8 = 1;
const WELCOME: u8 = 2;
const ANSWER: u8 = 3;
const UPDATE: u8 = 4;
const REPLY: u8 = 5;
const ALIVE: u8 = 6;
const WARNING: u8 = 7;
const END: u8 = 8;
const IAM: u8 = 9;
const TOO_NEW: u8 = 10;

/// To an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Down {
    /// Not here: ask there. An empty address: nobody is known yet.
    Redirect(String),
    /// First to an agent that is served here. What there is follows, and then everything that is new.
    Welcome(Welcome),
    /// The cluster's feature level, to an agent that cannot read it: nobody ever serves it again, so it is to stop.
    TooNew {
        level: u32,
    },
    /// The answer to [`super::Up::Who`]: a random number that a process draws when it starts.
    Iam {
        nonce: u64,
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
    /// Said twice a second: it lives, and everything up to there is durable.
    Alive {
        durable: Lsn,
    },
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
                frame.text(address);
            }
            Self::Welcome(welcome) => {
                frame.u8(WELCOME);
                welcome.encode(&mut frame);
            }
            Self::TooNew { level } => {
                frame.u8(TOO_NEW);
                frame.u32(*level);
            }
            Self::Iam { nonce } => {
                frame.u8(IAM);
                frame.u64(*nonce);
            }
            Self::Answer {
                sequence,
                lsn,
                outcome,
            } => {
                frame.u8(ANSWER);
                frame.u64(*sequence);
                frame.u64(lsn.0);
                outcome.put(&mut frame);
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
            Self::Alive { durable } => {
                frame.u8(ALIVE);
                frame.u64(durable.0);
            }
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
            REDIRECT => Self::Redirect(frame.text()?),
            WELCOME => Self::Welcome(Welcome::decode(&mut frame)?),
            TOO_NEW => Self::TooNew {
                level: frame.u32()?,
            },
            IAM => Self::Iam {
                nonce: frame.u64()?,
            },
            ANSWER => Self::Answer {
                sequence: frame.u64()?,
                lsn: Lsn(frame.u64()?),
                outcome: Outcome::take(&mut frame)?,
            },
            UPDATE => Self::Update(decode_update(&mut frame)?),
            REPLY => Self::Reply {
                id: frame.u64()?,
                reply: Reply::decode(&mut frame)?,
            },
            ALIVE => Self::Alive {
                durable: Lsn(frame.u64()?),
            },
            WARNING => Self::Warning(frame.text()?),
            END => Self::End(frame.text()?),
            _ => return Err(Unreadable),
        };
        frame.end()?;
        Ok(down)
    }
}
