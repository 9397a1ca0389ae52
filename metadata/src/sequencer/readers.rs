//! Who must be able to read a feature level before it is raised: agents say up to which level they read when they greet,
//! and candidates that wait say it with each look at the holder.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Sequencer, Serves};
use crate::catalogue::Agent;
use crate::command::{Command, Submission};
use crate::level;

/// A candidate that did not look for so long waits no more. Looks are 0.2 s apart, where the store answers.
const WAITING_TIME: Duration = Duration::from_secs(5);
/// Candidates remembered at a time, more than any cluster has.
const WAITING_MAX: usize = 64;
/// Longer names are cut, and addresses that are longer are of nobody.
const NAME_BYTES_MAX: usize = 300;

/// Candidates that wait for their turn, by their addresses: up to which level they read, and when they last looked.
#[derive(Debug, Default)]
pub(crate) struct Waiting(BTreeMap<String, (u32, Instant)>);

impl Waiting {
    /// A candidate at that address looked.
    pub(crate) fn looked(&mut self, address: String, level: u32) {
        let now = Instant::now();
        self.0.retain(|_, (_, at)| now - *at < WAITING_TIME);
        let room = self.0.len() < WAITING_MAX || self.0.contains_key(&address);
        if room && (1..=NAME_BYTES_MAX).contains(&address.len()) {
            self.0.insert(address, (level, now));
        }
    }

    fn below(&self, level: u32) -> Option<(&str, u32)> {
        let mut waiting = self.0.iter();
        let below = waiting.find(|(_, (reads, at))| *reads < level && at.elapsed() < WAITING_TIME);
        below.map(|(address, (reads, _))| (address.as_str(), *reads))
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
                "the metadata process at {address}, which waits for its turn, reads up to level {reads} and not level \
                 {level}: upgrade it first"
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
    let at = at.map_or_else(String::new, |at| format!(" at {}:{}", at.host, at.port));
    let mut name = format!("agent {}{at}", agent.node_id);
    name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
    name
}
