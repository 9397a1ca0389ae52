//! Numbers an agent's commands in the order in which they are asked, and keeps that order when one of them is refused:
//! those that were asked before their agent heard of it must not be decided, for they may build on it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::command::Answer;
use crate::error::Error;
use crate::handle::{NO_SESSION, Shared};

/// A session's number and that of a command in it.
type Place = (u64, u64);

/// The numbers of a handle's commands.
#[derive(Debug)]
pub(crate) struct Numbering {
    pub(crate) id: u64,
    pub(crate) next: u64,
    pub(crate) closing: bool,
    /// Commands whose answers nobody has heard yet, of this session or an earlier one.
    unheard: BTreeSet<Place>,
    /// One failed: what is asked now waits until all have been heard.
    broken: bool,
}

/// A command whose answer is not heard yet. Whoever drops it does not care.
#[derive(Debug)]
pub(crate) struct Unheard {
    shared: Arc<Shared>,
    place: Place,
}

impl Numbering {
    pub(crate) fn new(id: u64) -> Self {
        Self {
            id,
            next: 1,
            closing: false,
            unheard: BTreeSet::new(),
            broken: false,
        }
    }

    /// A new session. Of what was asked in the old one nobody knows what became of it.
    pub(crate) fn begin(&mut self, id: u64) {
        self.id = id;
        self.next = 1;
        self.broken = !self.unheard.is_empty();
    }

    /// A command was refused before it had a number. Whoever asked hears of it behind the answers to those before it, and
    /// asks for more meanwhile.
    pub(crate) fn refused(&mut self) {
        self.broken = !self.unheard.is_empty();
    }

    /// Whether a command may be asked now.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        if self.closing {
            return Err(Error::Closing);
        }
        if self.id == NO_SESSION {
            return Err(Error::unavailable("no session with a sequencer yet"));
        }
        self.broken &= !self.unheard.is_empty();
        if self.broken {
            return Err(Error::unavailable("a command before it was refused"));
        }
        Ok(())
    }

    /// The answers of all commands below are heard.
    pub(crate) fn seen(&self) -> u64 {
        let first = self
            .unheard
            .range((self.id, 0)..=(self.id, u64::MAX))
            .next();
        first.map_or(self.next, |(_, sequence)| *sequence)
    }

    /// The next number is taken.
    pub(crate) fn took(&mut self, shared: &Arc<Shared>) -> Unheard {
        let place = (self.id, self.next);
        self.unheard.insert(place);
        self.next += 1;
        Unheard {
            shared: Arc::clone(shared),
            place,
        }
    }
}

impl Unheard {
    /// Its answer is heard.
    pub(crate) fn heard(self, answer: &Result<Answer, Error>) {
        if answer.is_err() {
            self.shared.session.lock().broken = true;
        }
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        self.shared.session.lock().unheard.remove(&self.place);
    }
}
