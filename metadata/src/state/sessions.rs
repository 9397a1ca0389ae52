//! Sessions of agents: their commands are numbered, and an outcome is kept until the agent has seen it, so that asking
//! again after an unclear answer returns the first verdict.

use std::collections::BTreeMap;

use crate::command::{Outcome, Rejected, Submission};
use crate::types::Lsn;

/// All open sessions.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sessions(BTreeMap<u64, Session>);

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Session {
    /// Tells it from another one that had this id, in a store that went back in time.
    pub(crate) nonce: u64,
    /// The last command answered.
    pub(crate) last: u64,
    /// Outcomes the agent may still ask for, by sequence.
    pub(crate) outcomes: BTreeMap<u64, Outcome>,
    /// The row this was loaded from holds everything up to here.
    pub(crate) as_of: Lsn,
}

impl Sessions {
    /// Whether that one is open: another nonce is another session.
    pub(crate) fn is_open(&self, session: u64, nonce: u64) -> bool {
        self.0
            .get(&session)
            .is_some_and(|known| known.nonce == nonce)
    }

    pub(crate) fn get(&self, session: u64) -> Option<&Session> {
        self.0.get(&session)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.0.keys().copied()
    }

    pub(crate) fn restore(&mut self, id: u64, session: Session) {
        self.0.insert(id, session);
    }

    /// The outcome of a submission that was answered before, or that its session's end forbids. A gap is none: what was
    /// refused for want of the store was never decided.
    pub(super) fn earlier(&self, asked: &Submission) -> Option<Outcome> {
        // Session 0 is the sequencer itself, which never asks twice.
        if asked.session == 0 {
            return None;
        }
        let Some(session) = self.0.get(&asked.session) else {
            return Some(Outcome::Rejected(Rejected::SessionClosed));
        };
        planted!("decided-again", return None);
        if asked.sequence > session.last {
            return None;
        }
        let known = session.outcomes.get(&asked.sequence).cloned();
        Some(known.unwrap_or(Outcome::Rejected(Rejected::InvalidCommand)))
    }

    /// Whether one before it was refused, without its agent having heard of that when it asked for this one: what was
    /// asked in order is decided in order, or not at all.
    pub(crate) fn skips(&self, asked: &Submission) -> bool {
        let last = self.0.get(&asked.session).map(|session| session.last);
        last.is_some_and(|last| asked.sequence > last + 1 && asked.seen < asked.sequence)
    }

    pub(super) fn fold_opened(&mut self, lsn: Lsn, session: u64, nonce: u64) {
        if self.0.get(&session).is_none_or(|known| known.as_of < lsn) {
            let opened = Session {
                nonce,
                ..Session::default()
            };
            self.0.insert(session, opened);
        }
    }

    pub(super) fn fold_closed(&mut self, session: u64) {
        self.0.remove(&session);
    }

    pub(super) fn fold_answered(
        &mut self,
        lsn: Lsn,
        session: u64,
        sequence: u64,
        seen: u64,
        outcome: &Outcome,
    ) {
        let Some(known) = self.0.get_mut(&session).filter(|known| known.as_of < lsn) else {
            return;
        };
        known.last = known.last.max(sequence);
        known.outcomes = known.outcomes.split_off(&seen);
        if sequence >= seen {
            known.outcomes.insert(sequence, outcome.clone());
        }
    }
}
