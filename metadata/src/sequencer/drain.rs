//! A drain: commands taken from the queue are decided on the state in memory, their effects written in one transaction,
//! and only then answered, together with the reads that came meanwhile.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::Sequencer;
use super::reads::Read;
use super::store::log_transactions;
use crate::command::{Answer, Command, Outcome, Submission};
use crate::effect::{Effect, LogBytes};
use crate::error::Error;
use crate::handle::Asked;
use crate::types::{Lsn, Timestamp};

/// A drain takes no more commands when its log is so large: stores limit transactions.
const DRAIN_BYTES_MAX: usize = 500 * 1024;
type Reply = oneshot::Sender<Result<Answer, Error>>;

/// Commands decided together.
struct Drain {
    log: LogBytes,
    effects: Vec<Effect>,
    answers: Vec<(u64, Outcome, Reply)>,
    reads: Vec<Read>,
}

impl Sequencer {
    /// Takes what fits from the front of `waiting`, up to a request to close.
    pub(super) async fn drain(&mut self, waiting: &mut VecDeque<Asked>) -> Result<(), Error> {
        let now = (self.options.now)();
        let lsn = Lsn(self.state.lsn.0 + 1);
        let mut drain = Drain {
            log: LogBytes::new(now),
            effects: Vec::new(),
            answers: Vec::new(),
            reads: Vec::new(),
        };
        while drain.log.len() < DRAIN_BYTES_MAX {
            match waiting.pop_front() {
                Some(Asked::Command(submission, reply)) => {
                    let decision = self.state.execute(lsn, now, &submission);
                    let effects = decision.effects.iter();
                    effects.for_each(|effect| drain.log.push(effect));
                    drain.effects.extend(decision.effects);
                    drain
                        .answers
                        .push((submission.sequence, decision.outcome, reply));
                }
                Some(Asked::Read(read)) => drain.reads.push(read),
                Some(Asked::Close) => {
                    waiting.push_front(Asked::Close);
                    break;
                }
                None => break,
            }
        }
        let Drain {
            log,
            effects,
            answers,
            reads,
        } = drain;
        let written = match effects.is_empty() {
            true => self.holder.check_owner(self.shared.kv.as_ref()).await,
            false => self.write(lsn, log).await,
        };
        match written {
            Ok(()) => {
                self.publish(&effects);
                self.answer(answers, reads);
                Ok(())
            }
            Err(error) => {
                for (sequence, _, reply) in answers {
                    self.seen(sequence);
                    let _ = reply.send(Err(error.clone()));
                }
                reads.into_iter().for_each(|read| read.refuse(&error));
                Err(error)
            }
        }
    }

    async fn write(&mut self, lsn: Lsn, log: LogBytes) -> Result<(), Error> {
        let bytes = log.len() as u64;
        let transactions = log_transactions(lsn, log);
        self.log_bytes += bytes;
        let counts = &self.shared.counts;
        counts.log_bytes.fetch_add(bytes, Ordering::Relaxed);
        counts.drains.fetch_add(1, Ordering::Relaxed);
        let count = transactions.len() as u64;
        counts.transactions.fetch_add(count, Ordering::Relaxed);
        let kv = self.shared.kv.as_ref();
        self.holder
            .append(kv, lsn, transactions, &self.options)
            .await
    }

    fn answer(&mut self, answers: Vec<(u64, Outcome, Reply)>, reads: Vec<Read>) {
        let lsn = self.state.lsn;
        for (sequence, outcome, reply) in answers {
            self.seen(sequence);
            // Whoever asked may have gone; what was decided stays.
            let _ = reply.send(Ok(Answer { lsn, outcome }));
        }
        for read in reads {
            read.answer(&self.state, &self.shared.views);
        }
    }

    /// In process an answer given is an answer seen.
    fn seen(&self, sequence: u64) {
        self.shared.seen.fetch_max(sequence + 1, Ordering::AcqRel);
    }

    pub(super) fn refuse(&mut self, asked: Asked, error: &Error) {
        match asked {
            Asked::Command(submission, reply) => {
                self.seen(submission.sequence);
                // Nothing of it was ever written, whatever became of the drain before it.
                let _ = reply.send(Err(error.clone().never_happened()));
            }
            Asked::Read(read) => read.refuse(error),
            Asked::Close => self.closing = true,
        }
    }

    /// A command of the sequencer's own.
    pub(super) async fn expire_producers(&mut self, before: Timestamp) -> Result<(), Error> {
        let own = Submission {
            session: 0,
            sequence: 0,
            seen: 0,
            command: Command::ExpireProducers { before },
        };
        let now = (self.options.now)();
        let lsn = Lsn(self.state.lsn.0 + 1);
        let decision = self.state.execute(lsn, now, &own);
        if decision.effects.is_empty() {
            return Ok(());
        }
        let mut log = LogBytes::new(now);
        decision.effects.iter().for_each(|effect| log.push(effect));
        self.write(lsn, log).await
    }
}
