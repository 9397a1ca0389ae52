//! Who must be able to read a feature level before it is raised: agents say up to which level they read when they greet,
//! and candidates that wait say it with each look at the holder.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::{Sequencer, Serves};
use crate::catalogue::Agent;
use crate::command::{Command, Submission};
use crate::level;
use crate::shown::Shown;

/// A candidate that did not look for so long waits no more. Looks are 0.2 s apart, where the store answers.
const WAITING_TIME: Duration = Duration::from_secs(5);
/// Candidates remembered at a time, more than any cluster has.
const WAITING_MAX: usize = 64;
/// Addresses that are longer are of nobody.
pub(crate) const ADDRESS_BYTES_MAX: usize = 300;

/// Candidates that wait for their turn, and when each last looked.
#[derive(Debug, Default)]
pub(crate) struct Waiting(BTreeMap<Looker, Instant>);

/// What one that looks says of itself, and where it really is: others may say the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Looker {
    /// The machine, where it came by a network.
    pub(crate) from: Option<IpAddr>,
    /// Where others reach it.
    pub(crate) address: String,
    /// Up to which level it reads.
    pub(crate) level: u32,
}

impl Waiting {
    pub(crate) fn looked(&mut self, looker: Looker) {
        if !(1..=ADDRESS_BYTES_MAX).contains(&looker.address.len()) {
            return;
        }
        let now = Instant::now();
        self.0.retain(|_, at| now - *at < WAITING_TIME);
        self.0.insert(looker, now);
        if self.0.len() > WAITING_MAX
            && let Some(least) = self.least()
        {
            self.0.remove(&least);
        }
    }

    /// One of the machine that has most of the room, so that none takes it from the others; of these one that reads most,
    /// for it stands least in the way; of these the one that has not looked for longest.
    fn least(&self) -> Option<Looker> {
        let mut of_machine: BTreeMap<Option<IpAddr>, usize> = BTreeMap::new();
        for looker in self.0.keys() {
            *of_machine.entry(looker.from).or_default() += 1;
        }
        let weight = |(looker, at): &(&Looker, &Instant)| {
            let beside = of_machine.get(&looker.from).copied();
            (beside, looker.level, Reverse(**at))
        };
        let least = self.0.iter().max_by_key(weight);
        least.map(|(looker, _)| looker.clone())
    }

    fn below(&self, level: u32) -> Option<(&str, u32)> {
        let mut waiting = self.0.iter();
        let below = waiting.find(|(who, at)| who.level < level && at.elapsed() < WAITING_TIME);
        below.map(|(who, _)| (who.address.as_str(), who.level))
    }
}

impl Sequencer {
    /// A feature level that somebody cannot read is not raised to.
    pub(super) fn readable(&self, submission: Submission) -> Submission {
        let Command::RaiseFeatureLevel(level) = submission.command else {
            return submission;
        };
        let level = level.unwrap_or_else(level::known);
        match self.stands_in_the_way(level, submission.session) {
            Some(why) => Submission {
                command: Command::KeepFeatureLevel(why),
                ..submission
            },
            None => submission,
        }
    }

    /// Who, and what to do about it.
    fn stands_in_the_way(&self, level: u32, asking: u64) -> Option<String> {
        if level <= self.state.cluster.level() || matches!(self.options.serves, Serves::ThisProcess)
        {
            return None;
        }
        if let Some((session, agent, reads)) = self.subscribers.below(level) {
            return Some(match agent {
                _ if session == asking => format!(
                    "the command that asks for level {level} reads up to level {reads} itself: say it with the newer version"
                ),
                Some(agent) => format!(
                    "{} reads up to level {reads} and not level {level}: upgrade it first",
                    name(agent)
                ),
                None => format!(
                    "a process that takes no clients (session {session}) reads up to level {reads} and not level {level}: \
                     upgrade it first"
                ),
            });
        }
        if let Some((address, reads)) = self.shared.waiting.lock().below(level) {
            return Some(format!(
                "the metadata process at {}, which waits for its turn, reads up to level {reads} and not level {level}: \
                 upgrade it first",
                Shown::name(address)
            ));
        }
        let mut sessions = self.state.sessions.ids();
        let away = sessions.find(|session| !self.subscribers.has(*session))?;
        Some(format!(
            "an agent (session {away}) is away, and up to which level it reads is not known: say it again once it is back, \
             or once its session is closed, {} s after it was last heard of",
            self.options.session_timeout.as_secs()
        ))
    }
}

fn name(agent: &Agent) -> String {
    let at = agent.listeners.first();
    let at = at.map_or_else(String::new, |at| {
        format!(" at {}:{}", Shown::name(&at.host), at.port)
    });
    format!("agent {}{at}", agent.node_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looker(from: u8, address: &str, level: u32) -> Looker {
        Looker {
            from: Some(IpAddr::from([10, 0, 0, from])),
            address: address.to_owned(),
            level,
        }
    }

    #[test]
    fn no_machine_takes_the_room_of_another() {
        for level in [0, 1, 2] {
            let mut waiting = Waiting::default();
            waiting.looked(looker(2, "two:2", 1));
            for number in 0..3 * WAITING_MAX {
                waiting.looked(looker(9, &format!("invented:{number}"), level));
            }
            // Nor does one that says it is the other.
            waiting.looked(looker(9, "two:2", 2));
            waiting.looked(looker(3, "three:3", 1));
            assert!(waiting.0.len() <= WAITING_MAX);
            for real in [looker(2, "two:2", 1), looker(3, "three:3", 1)] {
                assert!(waiting.0.contains_key(&real), "{real:?} of {level}");
            }
        }
    }

    /// Behind one address, as in tests or behind a proxy, who reads little is not hidden by those who read much.
    #[test]
    fn those_who_read_least_are_remembered() {
        let mut waiting = Waiting::default();
        waiting.looked(looker(1, "two:2", 1));
        for number in 0..3 * WAITING_MAX {
            waiting.looked(looker(1, &format!("invented:{number}"), 2));
        }
        waiting.looked(looker(1, "two:2", 2));
        assert_eq!(waiting.below(2), Some(("two:2", 1)));
    }
}
