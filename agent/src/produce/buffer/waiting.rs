//! Whether anybody could still add to the open segment.

use std::collections::HashMap;

use crate::call::ConnectionId;

/// Connections that are remembered although they have nothing unanswered, however few have.
pub(super) const IDLE_MIN: usize = 1024;

/// What is known of the connections that produce: how many requests each has unanswered, and how many it had at most.
/// One that is at its most is taken to wait; a client that can do more shows it, and its most grows. Nobody says when a
/// connection ends: of those with nothing unanswered as many are known as have something, or [`IDLE_MIN`].
#[derive(Debug, Default)]
pub(super) struct Producers {
    pub(super) connections: HashMap<ConnectionId, Unanswered>,
    /// How many are below their most.
    pub(super) able: usize,
    /// With so many, those that have nothing unanswered are forgotten.
    full: usize,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unanswered {
    pub(super) now: u32,
    pub(super) most: u32,
}

impl Producers {
    pub(super) fn asked(&mut self, connection: ConnectionId) {
        if self.connections.len() >= self.full.max(IDLE_MIN)
            && !self.connections.contains_key(&connection)
        {
            self.make_room();
        }
        let unanswered = self.connections.entry(connection).or_default();
        let was_able = unanswered.now < unanswered.most;
        unanswered.now += 1;
        unanswered.most = unanswered.most.max(unanswered.now);
        if was_able && unanswered.now == unanswered.most {
            self.able -= 1;
        }
    }

    pub(super) fn answered(&mut self, connection: ConnectionId) {
        if let Some(unanswered) = self.connections.get_mut(&connection) {
            if unanswered.now == unanswered.most {
                self.able += 1;
            }
            unanswered.now -= 1;
        }
    }

    pub(super) fn all_wait(&self) -> bool {
        self.able == 0
    }

    /// Drops who has nothing under way. Seldom enough that it costs each that comes next to nothing.
    fn make_room(&mut self) {
        self.connections.retain(|_, unanswered| unanswered.now > 0);
        let all = self.connections.values();
        self.able = all.filter(|each| each.now < each.most).count();
        self.full = 2 * self.connections.len();
    }

    /// Takes everyone's present for their most, and drops who has nothing under way.
    pub(super) fn forget_idle(&mut self) {
        self.connections.retain(|_, unanswered| {
            unanswered.most = unanswered.now;
            unanswered.now > 0
        });
        self.able = 0;
    }
}
