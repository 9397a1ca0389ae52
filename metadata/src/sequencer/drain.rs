//! A drain: commands taken from the queue are decided on the state in memory, their effects written in one transaction,
//! and only then answered, together with the reads that came meanwhile.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::Sequencer;
use super::full::warn_where_full;
use super::reads::Read;
use super::store::{log_transactions, shut_out};
use crate::command::{Answer, Command, Outcome, Submission};
use crate::effect::{Effect, LogBytes};
use crate::error::{Error, Failed};
use crate::queue::{Asked, ReplyTo};
use crate::types::{Lsn, Timestamp};

/// A drain takes no more commands when its log is so large: stores limit transactions.
pub(super) const DRAIN_BYTES_MAX: usize = 500 * 1024;
/// Nor when deciding, or answering again, took so many bytes of memory, whatever is written of it: others wait. Reads count
/// for what their answers make the sequencer do.
const DRAIN_WORK_MAX: u64 = 8 * 1024 * 1024;
const SKIPS: &str = "a command before it was refused";

/// Commands decided together.
struct Drain {
    log: LogBytes,
    effects: Vec<Effect>,
    answers: Vec<(Outcome, ReplyTo)>,
    reads: Vec<Read>,
    /// See [`DRAIN_WORK_MAX`].
    work: u64,
}

impl Sequencer {
    /// Takes what fits from the front of `waiting`, up to a request to close.
    pub(super) async fn drain(&mut self, waiting: &mut VecDeque<Asked>) -> Result<(), Error> {
        let now = self.time.now();
        let lsn = Lsn(self.state.lsn.0 + 1);
        let mut drain = Drain {
            log: LogBytes::new(now),
            effects: Vec::new(),
            answers: Vec::new(),
            reads: Vec::new(),
            work: 0,
        };
        while drain.log.len() < DRAIN_BYTES_MAX && drain.work < DRAIN_WORK_MAX {
            match waiting.pop_front() {
                Some(Asked::Command(submission, reply)) => {
                    if self.state.sessions.skips(&submission) {
                        // One before it was refused, and its agent did not know when it asked.
                        reply.send(Err(Error::unavailable(SKIPS)));
                        continue;
                    }
                    let submission = self.readable(submission);
                    let decision = self.state.execute(lsn, now, &submission);
                    warn_where_full(&self.state, &decision.outcome);
                    let effects = decision.effects.iter();
                    effects.for_each(|effect| drain.log.push(effect));
                    drain.work += decision.work();
                    drain.effects.extend(decision.effects);
                    drain.answers.push((decision.outcome, reply));
                }
                // Its client has left, say.
                Some(Asked::Read(read, _)) if !read.is_wanted() => {}
                Some(Asked::Read(read, _)) => {
                    drain.work += read.weight() as u64;
                    drain.reads.push(read);
                }
                Some(Asked::Close) => {
                    waiting.push_front(Asked::Close);
                    break;
                }
                None => break,
            }
        }
        if !drain.effects.is_empty() {
            // Where nothing ticks it moves with what is written anyway: an idle store stays as it is.
            let advanced = self.state.advance_naming(lsn, now);
            advanced.iter().for_each(|effect| drain.log.push(effect));
            drain.effects.extend(advanced);
        }
        let Drain {
            log,
            effects,
            mut answers,
            reads,
            ..
        } = drain;
        if !effects.is_empty() {
            answers.iter_mut().for_each(|(_, reply)| reply.begin());
        }
        planted!(let answers = "ack-before-commit" => {
            self.answer(answers, Vec::new());
            Vec::new()
        });
        planted!("published-before-commit", self.publish(&effects));
        let written = match effects.is_empty() {
            #[cfg(feature = "planted-bugs")]
            true if matches!(self.options.serves, super::Serves::Network(_))
                && crate::planted::is("deposed-answers-agents") =>
            {
                Ok(())
            }
            true => {
                let checked = self.holder.check_owner(self.kv.as_ref()).await;
                checked.map_err(Failed::from)
            }
            false => self.write(lsn, log, &effects).await,
        };
        planted!(let written = "fenced-drain-answered" => match written {
            Err(Failed { error: Error::Fenced, .. }) => Ok(()),
            other => other,
        });
        planted!(let effects = "view-not-updated" => Vec::new());
        match written {
            Ok(()) => {
                self.publish(&effects);
                self.answer(answers, reads);
                Ok(())
            }
            Err(failed) => {
                for (_, reply) in answers {
                    reply.send(Err(failed.told()));
                }
                let error = failed.error;
                reads.into_iter().for_each(|read| read.refuse(&error));
                Err(error)
            }
        }
    }

    async fn write(&mut self, lsn: Lsn, log: LogBytes, effects: &[Effect]) -> Result<(), Failed> {
        let bytes = log.len();
        let mut transactions = log_transactions(lsn, log);
        let log_rows = transactions.iter().map(|each| each.writes.len()).sum();
        shut_out(self.kv.as_ref(), effects, &mut transactions).await?;
        let rows = match transactions.as_mut_slice() {
            [one] => self
                .let_rows_ride(one, bytes)
                .map_err(Error::never_happened)?,
            _ => 0,
        };
        self.log.appended(lsn, log_rows, bytes);
        let counts = &self.shared.counts;
        counts.log_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        counts.drains.fetch_add(1, Ordering::Relaxed);
        let count = transactions.len() as u64;
        counts.transactions.fetch_add(count, Ordering::Relaxed);
        let kv = self.kv.as_ref();
        let append = self
            .holder
            .append(kv, lsn, transactions, rows, &self.options);
        match &mut self.checkpoint {
            Some(checkpoint) => checkpoint.beside(append).await?,
            None => append.await?,
        }
        self.rows_rode();
        Ok(())
    }

    /// Streams first: an agent that asked to watch a partition is told of it before anything is acknowledged to it. No
    /// acknowledgement waits for what others only want to know.
    fn answer(&mut self, answers: Vec<(Outcome, ReplyTo)>, reads: Vec<Read>) {
        let (streams, questions): (Vec<_>, Vec<_>) =
            reads.into_iter().partition(Read::is_of_a_stream);
        for read in streams {
            self.answer_read(read);
        }
        let lsn = self.state.lsn;
        for (outcome, reply) in answers {
            reply.send(Ok(Answer { lsn, outcome }));
        }
        for read in questions {
            self.answer_read(read);
        }
    }

    pub(super) fn refuse(&mut self, asked: Asked, error: &Error) {
        match asked {
            // Nothing of it was ever written, whatever became of the drain before it.
            Asked::Command(_, reply) => reply.send(Err(error.clone().never_happened())),
            Asked::Read(read, _) => read.refuse(error),
            Asked::Close => self.closing = true,
        }
    }

    /// A command of the sequencer's own. Whether it wrote anything.
    pub(super) async fn command(&mut self, command: Command) -> Result<bool, Error> {
        let own = Submission::own(command);
        let now = self.time.now();
        let lsn = Lsn(self.state.lsn.0 + 1);
        let decision = self.state.execute(lsn, now, &own);
        if decision.effects.is_empty() {
            return Ok(false);
        }
        self.write_own(lsn, now, decision.effects).await?;
        Ok(true)
    }

    /// Writes and publishes what was decided outside a drain.
    pub(super) async fn write_own(
        &mut self,
        lsn: Lsn,
        now: Timestamp,
        effects: Vec<Effect>,
    ) -> Result<(), Error> {
        let mut log = LogBytes::new(now);
        effects.iter().for_each(|effect| log.push(effect));
        self.write(lsn, log, &effects).await?;
        self.publish(&effects);
        Ok(())
    }
}
