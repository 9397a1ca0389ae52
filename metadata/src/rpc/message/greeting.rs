//! The first frame of each side, and the versions of the protocol.
//!
//! Every process speaks a range of versions. An agent's [`Hello`] names its range, and the two speak the smaller of the two
//! maxima, which the [`Welcome`] names; where that is below either minimum there is none, and the agent is told so in a
//! sentence ([`no_common_version`]). From then on neither says what that version does not know: a frame, a variant or a
//! field that is unknown is damage and ends the link, never a thing to be skipped, for what is skipped in silence may be
//! what an ack rests on. So a process that learns to say something new counts [`SPOKEN`] up, and says it only where the
//! version that was agreed on has it.
//!
//! What is said before a version is agreed on keeps its bytes for ever: the kinds of `Hello`, `Who`, `Welcome`, `Redirect`,
//! `Iam`, `TooNew` and `End`, the versions behind those of `Hello` and `Welcome`, and all of the others. Fields of a `Hello`
//! are only ever appended; one who knows fewer of them ignores the rest if a newer process sent it.

use std::sync::Arc;

use super::agent::{decode_agent, encode_agent};
use super::parts::{decode_option, encode_option};
use crate::catalogue::Agent;
use crate::codec::{Decoder, Encoder, Unreadable};
use crate::history::{Chain, Point};
use crate::sequencer::lineage::Lineage;
use crate::types::{Lsn, NamingEpoch, SessionId};

/// What this process speaks.
pub(crate) const SPOKEN: Versions = of_level(crate::level::WRITER_LEVEL);

/// What a version that knows this process' level speaks.
pub(crate) fn spoken() -> Versions {
    of_level(crate::level::known())
}

/// Versions 1 and 2 were never in a release; 4 is of tests with processes of two levels.
const fn of_level(level: u32) -> Versions {
    Versions {
        min: 3,
        max: 2 + level,
    }
}

/// Those of ours have 22.
const CLUSTER_ID_BYTES_MAX: usize = 64;

/// Versions of the protocol, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Versions {
    pub(crate) min: u32,
    pub(crate) max: u32,
}

/// Of an agent, to whomever it hopes to be the sequencer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) versions: Versions,
    /// The highest feature level that it can read.
    pub(crate) level: u32,
    /// The one it had before; [`SessionId::NONE`] if none.
    pub(crate) session: SessionId,
    /// What it was last told is durable.
    pub(crate) remembered: Option<Point>,
    /// For clients to be sent to; none of an agent that takes none.
    pub(crate) agent: Option<Agent>,
}

/// Who asks which process this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    /// The highest feature level that it can read.
    pub(crate) level: u32,
    /// Where others reach it.
    pub(crate) address: String,
}

/// To an agent that has a session from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Welcome {
    /// Spoken from now on, by both.
    pub(crate) version: u32,
    pub(crate) cluster_id: String,
    pub(crate) session: SessionId,
    /// Who wrote the store, and how far it is durable: the agent goes on only if that holds what it remembers.
    pub(crate) lineage: Lineage,
    /// The cluster's feature level.
    pub(crate) level: u32,
    /// Objects are named in this epoch.
    pub(crate) naming: NamingEpoch,
}

impl Versions {
    pub(crate) fn contains(self, version: u32) -> bool {
        (self.min..=self.max).contains(&version)
    }

    /// What both speak, if anything.
    pub(crate) fn common(self, other: Self) -> Option<u32> {
        let version = self.max.min(other.max);
        (version >= self.min.max(other.min)).then_some(version)
    }

    pub(super) fn encode(self, frame: &mut Encoder) {
        frame.u32(self.min);
        frame.u32(self.max);
    }

    pub(super) fn decode(frame: &mut Decoder) -> Result<Self, Unreadable> {
        let (min, max) = (frame.u32()?, frame.u32()?);
        match min <= max {
            true => Ok(Self { min, max }),
            false => Err(Unreadable),
        }
    }
}

impl std::fmt::Display for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.min == self.max {
            true => write!(f, "version {}", self.max),
            false => write!(f, "versions {} to {}", self.min, self.max),
        }
    }
}

/// To one whose versions are all too old or too new.
pub(crate) fn no_common_version(ours: Versions, theirs: Versions) -> String {
    let older = match ours.max < theirs.max {
        true => "the metadata process",
        false => "the agent",
    };
    format!(
        "the metadata process speaks {ours} of the protocol and the agent {theirs}: upgrade {older}, by way of a release between the two"
    )
}

impl Asker {
    pub(super) fn encode(&self, frame: &mut Encoder) {
        frame.u32(self.level);
        frame.text(&self.address);
    }

    pub(super) fn decode(frame: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(Self {
            level: frame.u32()?,
            address: frame.text()?,
        })
    }
}

impl Hello {
    pub(super) fn encode(&self, frame: &mut Encoder) {
        self.versions.encode(frame);
        frame.u32(self.level);
        encode_session(self.session, frame);
        encode_option(self.remembered.as_ref(), frame, Point::encode);
        encode_option(self.agent.as_ref(), frame, encode_agent);
    }

    /// What follows the versions; the rest, if a newer process sent it, is left.
    pub(super) fn decode(versions: Versions, frame: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(Self {
            versions,
            level: frame.u32()?,
            session: decode_session(frame)?,
            remembered: decode_option(frame, Point::decode)?,
            agent: decode_option(frame, decode_agent)?,
        })
    }
}

impl Welcome {
    pub(super) fn encode(&self, frame: &mut Encoder) {
        frame.u32(self.version);
        frame.text(&self.cluster_id);
        encode_session(self.session, frame);
        self.lineage.chain.encode(frame);
        frame.u64(self.lineage.durable.0);
        frame.u32(self.level);
        frame.u32(self.naming.0);
    }

    pub(super) fn decode(frame: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(Self {
            version: frame.u32()?,
            cluster_id: decode_cluster(frame)?,
            session: decode_session(frame)?,
            lineage: Lineage {
                chain: Arc::new(Chain::decode(frame)?),
                durable: Lsn(frame.u64()?),
            },
            level: frame.u32()?,
            naming: NamingEpoch(frame.u32()?),
        })
    }
}

/// It is shown in sentences, and to clients as it is.
fn decode_cluster(frame: &mut Decoder) -> Result<String, Unreadable> {
    let id = frame.text()?;
    let is_plain = id.bytes().all(|byte| byte.is_ascii_graphic());
    match is_plain && id.len() <= CLUSTER_ID_BYTES_MAX {
        true => Ok(id),
        false => Err(Unreadable),
    }
}

fn encode_session(session: SessionId, frame: &mut Encoder) {
    frame.u64(session.id);
    frame.u64(session.nonce);
}

fn decode_session(frame: &mut Decoder) -> Result<SessionId, Unreadable> {
    Ok(SessionId {
        id: frame.u64()?,
        nonce: frame.u64()?,
    })
}
