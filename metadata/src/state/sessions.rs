//! Sessions of agents: their commands are numbered, and an outcome is kept until the agent has seen it, so that asking
//! again after an unclear answer returns the first verdict.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::limits::Limits;
use super::table::{Dirty, Page, Table, Wrote, decode_row};
use super::tally::{Mark, Tally};
use crate::codec::{Decoder, Encoder, Unreadable, Wire};
use crate::command::{Command, Outcome, Rejected, Submission, Verdict};
use crate::effect::{Asked, SessionEffect, cut};
use crate::error::Error;
use crate::keys::Key;
use crate::types::Lsn;

/// A wide outcome is cut to rows of so many bytes; stores limit values.
const ROW_BYTES: usize = 60 * 1024;

/// All open sessions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions {
    sessions: BTreeMap<u64, Session>,
    /// What the outcomes of all of them take.
    bytes: u64,
    dirty: Dirty<u64>,
    /// Of the session that is written next: the sequence and part of the outcome to go on with.
    next: (u64, u16),
    /// What the store has of sessions that are closed, until it is cleared.
    closed: BTreeMap<u64, Stored>,
    /// Parts of outcomes loaded, until their session's row comes.
    loading: BTreeMap<(u64, u64), BytesMut>,
}

/// What the store has of a session.
#[derive(Clone, Debug, Default, PartialEq)]
struct Stored {
    row: Mark,
    /// Rows of outcomes, among them such as the agent has seen, by sequence and part. A range of them may be more than a
    /// store clears at once.
    outcomes: BTreeMap<(u64, u16), Mark>,
}

impl Stored {
    fn rows(&self) -> impl Iterator<Item = Mark> {
        std::iter::once(self.row).chain(self.outcomes.values().copied())
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Session {
    /// Tells it from another one that had this id, in a store that went back in time.
    pub(crate) nonce: u64,
    /// The last command answered.
    pub(crate) last: u64,
    /// Outcomes the agent may still ask for, by sequence.
    pub(crate) outcomes: BTreeMap<u64, Outcome>,
    /// What they take.
    bytes: u64,
    stored: Stored,
    /// The row this was loaded from holds everything up to here.
    pub(crate) as_of: Lsn,
    dirty: bool,
}

wire_struct! {
    struct Row {
        as_of: Lsn,
        last: u64,
        nonce: u64,
    }
}

impl Sessions {
    /// Whether that one is open: another nonce is another session.
    pub(crate) fn is_open(&self, session: u64, nonce: u64) -> bool {
        self.get(session).is_some_and(|known| known.nonce == nonce)
    }

    pub(crate) fn get(&self, session: u64) -> Option<&Session> {
        self.sessions.get(&session)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.sessions.keys().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Rows that are in the store.
    pub(super) fn rows(&self) -> Tally {
        let open = self.sessions.values().map(|session| &session.stored);
        open.chain(self.closed.values())
            .flat_map(Stored::rows)
            .collect()
    }

    /// What the outcomes of all sessions take.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The outcome of a submission that was answered before, or that its session forbids; it is not decided then. A gap
    /// is none: what was refused for want of the store was never decided.
    pub(super) fn earlier(&self, asked: &Submission, limits: &Limits) -> Option<Outcome> {
        // Session 0 is the sequencer itself, which never asks twice.
        if asked.session == 0 {
            return None;
        }
        let Some(session) = self.sessions.get(&asked.session) else {
            return Some(Outcome::Rejected(Rejected::SessionClosed));
        };
        planted!("decided-again", return None);
        if asked.sequence > session.last {
            let full = self.is_full(session, asked, limits);
            return full.then_some(Outcome::Rejected(Rejected::TooManyOutcomes));
        }
        let known = session.outcomes.get(&asked.sequence).cloned();
        Some(known.unwrap_or(Outcome::Rejected(Rejected::InvalidCommand)))
    }

    /// Whether a session may have no more outcomes, not that of what it asks. It may always have a small one.
    fn is_full(&self, session: &Session, asked: &Submission, limits: &Limits) -> bool {
        let room = |kept: u64| {
            limits
                .outcome_bytes
                .saturating_sub(self.bytes - session.bytes + kept)
        };
        let most = bytes_at_most(&asked.command);
        let fits = |kept: u64| kept + most <= room(kept + most);
        if session.outcomes.len() < limits.session_outcomes && fits(session.bytes) {
            return false;
        }
        let unseen = session.outcomes.range(asked.seen..);
        let (count, kept) = unseen.fold((0, 0), |(count, kept), (_, outcome)| {
            (count + 1, kept + bytes(outcome))
        });
        let first = count == 0 && most <= OUTCOME_BYTES_SMALL;
        count >= limits.session_outcomes || !(first || fits(kept))
    }

    /// Whether one before it was refused, without its agent having heard of that when it asked for this one: what was
    /// asked in order is decided in order, or not at all.
    pub(crate) fn skips(&self, asked: &Submission) -> bool {
        let last = self
            .sessions
            .get(&asked.session)
            .map(|session| session.last);
        last.is_some_and(|last| {
            asked.sequence > last.saturating_add(1) && asked.seen < asked.sequence
        })
    }

    pub(super) fn fold(&mut self, lsn: Lsn, session: u64, what: &SessionEffect) {
        match what {
            SessionEffect::Opened { nonce } => {
                let known = self.sessions.get(&session);
                if known.is_none_or(|known| known.as_of < lsn) {
                    // Of a checkpoint that a crash cut short before the session's own row.
                    let mut stored = self.closed.remove(&session).unwrap_or_default();
                    if let Some(before) = self.sessions.remove(&session) {
                        self.bytes -= before.bytes;
                        stored = before.stored;
                    }
                    let opened = Session {
                        nonce: *nonce,
                        stored,
                        ..Session::default()
                    };
                    self.sessions.insert(session, opened);
                    self.touched(session);
                }
            }
            SessionEffect::Closed => {
                // Its row is cleared, whether or not it is listed already.
                if let Some(closed) = self.sessions.remove(&session) {
                    self.bytes -= closed.bytes;
                    self.closed.insert(session, closed.stored);
                    self.dirty.mark(session);
                }
            }
            SessionEffect::Answered {
                sequence,
                seen,
                outcome,
            } => {
                let asked = Asked {
                    session,
                    sequence: *sequence,
                    seen: *seen,
                };
                self.fold_answered(lsn, asked, || outcome.clone());
            }
        }
    }

    pub(super) fn fold_answered(
        &mut self,
        lsn: Lsn,
        asked: Asked,
        outcome: impl FnOnce() -> Outcome,
    ) {
        let known = self.sessions.get_mut(&asked.session);
        let Some(known) = known.filter(|known| known.as_of < lsn) else {
            return;
        };
        known.last = known.last.max(asked.sequence);
        while let Some(first) = known.outcomes.first_entry()
            && *first.key() < asked.seen
        {
            let seen = bytes(&first.remove());
            (known.bytes, self.bytes) = (known.bytes - seen, self.bytes - seen);
        }
        if asked.sequence >= asked.seen {
            let outcome = outcome();
            let more = bytes(&outcome);
            // A replay says again what a row that is newer holds.
            let before = known.outcomes.insert(asked.sequence, outcome);
            let less = before.as_ref().map_or(0, bytes);
            known.bytes = known.bytes + more - less;
            self.bytes = self.bytes + more - less;
        }
        self.touched(asked.session);
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        for session in self.sessions.values() {
            let kept: u64 = session.outcomes.values().map(bytes).sum();
            assert_eq!(session.bytes, kept);
        }
        let all: u64 = self.sessions.values().map(|session| session.bytes).sum();
        assert_eq!(self.bytes, all);
    }

    fn touched(&mut self, session: u64) {
        if let Some(known) = self.sessions.get_mut(&session)
            && !std::mem::replace(&mut known.dirty, true)
        {
            self.dirty.mark(session);
        }
    }

    /// Outcomes first, then the row that vouches for them. False: there are more.
    fn write_session(&mut self, id: u64, page: &mut Page) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            let stored = self.closed.entry(id).or_default();
            if !clear_outcomes(id, stored, |_| true, page) {
                return false;
            }
            page.clear(Key::Session(id), stored.row);
            self.closed.remove(&id);
            return true;
        };
        let first_kept = session.outcomes.keys().next();
        // Whatever number an agent gave its last command, there is one behind it.
        let behind = session.last.saturating_add(1);
        let seen = first_kept.copied().unwrap_or(behind);
        if !clear_outcomes(id, &mut session.stored, |sequence| sequence < seen, page) {
            return false;
        }
        for (sequence, outcome) in session.outcomes.range(self.next.0..) {
            let mut whole = Encoder::default();
            outcome.put(&mut whole);
            let mut parts = 0;
            for (part, piece) in (0..).zip(cut(whole.into_bytes(), ROW_BYTES)) {
                parts = part + 1;
                if (*sequence, part) < self.next {
                    continue;
                }
                if page.is_full() {
                    self.next = (*sequence, part);
                    return false;
                }
                let stored = session.stored.outcomes.entry((*sequence, part));
                let key = Key::Outcome(id, *sequence, part);
                page.set(key, &Piece(piece), stored.or_default());
            }
            // With the last part: a version that wrote it otherwise may have left more, which would be read as its end.
            let left = (*sequence, parts)..=(*sequence, u16::MAX);
            for ((_, part), mark) in session.stored.outcomes.extract_if(left, |_, _| true) {
                page.clear(Key::Outcome(id, *sequence, part), mark);
            }
        }
        let row = Row {
            as_of: page.lsn,
            last: session.last,
            nonce: session.nonce,
        };
        page.set(Key::Session(id), &row, &mut session.stored.row);
        session.dirty = false;
        true
    }
}

/// Clears rows of outcomes, the first ones, as many as the page takes: of an outcome all or none. False: there are more.
fn clear_outcomes(
    id: u64,
    stored: &mut Stored,
    is_seen: impl Fn(u64) -> bool,
    page: &mut Page,
) -> bool {
    let (mut last, mut cleared) = (None, Tally::default());
    let outcomes = &mut stored.outcomes;
    while let Some(first) = outcomes.first_entry() {
        let sequence = first.key().0;
        let is_begun = last == Some(sequence);
        if !is_seen(sequence) || (page.clearable() <= 0 && !is_begun) {
            break;
        }
        last = Some(sequence);
        cleared.add(first.remove());
        page.cleared(1);
    }
    if let Some(last) = last {
        let all = (Key::Outcome(id, 0, 0), Key::Outcome(id, last, u16::MAX));
        page.clear_range(all.0, all.1, cleared);
    }
    let next = outcomes.keys().next();
    next.is_none_or(|(sequence, _)| !is_seen(*sequence))
}

/// An outcome of no more is small: as many as there may be sessions take less than there is room.
const OUTCOME_BYTES_SMALL: u64 = 16 * 1024;

/// Of the outcome that a command will have.
fn bytes_at_most(command: &Command) -> u64 {
    bytes_with(match command {
        Command::CommitObject(commit) => {
            commit.blocks.iter().map(|block| block.batches.len()).sum()
        }
        _ => 0,
    })
}

/// About what an outcome takes in memory.
pub(crate) fn bytes(outcome: &Outcome) -> u64 {
    bytes_with(match outcome {
        Outcome::Committed(verdicts) => verdicts.len(),
        _ => 0,
    })
}

fn bytes_with(verdicts: usize) -> u64 {
    (size_of::<Outcome>() + verdicts * size_of::<Verdict>()) as u64
}

/// Part of an outcome.
struct Piece(Bytes);

impl Wire for Piece {
    fn put(&self, row: &mut Encoder) {
        row.bytes(&self.0);
    }

    fn take(row: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(Self(row.take_rest()))
    }
}

impl Table for Sessions {
    fn begin(&mut self) {
        self.dirty.begin();
        // Another session's turn may have come first.
        self.next = (0, 0);
    }

    fn write(&mut self, page: &mut Page) -> Result<Wrote, Error> {
        while let Some(id) = self.dirty.first() {
            if page.is_full() || !self.write_session(id, page) {
                return Ok(Wrote::Full);
            }
            self.dirty.pop();
            self.next = (0, 0);
        }
        Ok(Wrote::All)
    }

    fn load(&mut self, key: Key, row: Decoder, stored: Mark) -> Result<(), Unreadable> {
        match key {
            Key::Outcome(session, sequence, part) => {
                let closed = self.closed.entry(session).or_default();
                closed.outcomes.insert((sequence, part), stored);
                let joined = self.loading.entry((session, sequence)).or_default();
                joined.extend_from_slice(&decode_row::<Piece>(row)?.0);
            }
            Key::Session(id) => {
                let row: Row = decode_row(row)?;
                let mut session = Session {
                    stored: Stored {
                        row: stored,
                        ..self.closed.remove(&id).unwrap_or_default()
                    },
                    as_of: row.as_of,
                    last: row.last,
                    nonce: row.nonce,
                    ..Session::default()
                };
                // Outcomes past the last are of a checkpoint that a crash cut short; the log has them.
                for ((_, sequence), joined) in self.loading.range_mut((id, 0)..=(id, row.last)) {
                    let outcome = decode_row(Decoder::new(joined.split().freeze()))?;
                    session.bytes += bytes(&outcome);
                    session.outcomes.insert(*sequence, outcome);
                }
                self.bytes += session.bytes;
                self.sessions.insert(id, session);
            }
            _ => return Err(Unreadable),
        }
        Ok(())
    }

    fn loaded(&mut self, _: Lsn) {
        self.loading = BTreeMap::new();
        // Of sessions without a row: the log opens them, or nobody ever will.
        self.closed.keys().for_each(|id| self.dirty.mark(*id));
    }
}
