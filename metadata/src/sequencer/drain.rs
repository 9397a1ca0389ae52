//! A drain: commands taken from the queue are decided on the state in memory, their effects written in one transaction,
//! and only then answered, together with the reads that came meanwhile.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::Sequencer;
use super::reads::Read;
use crate::command::{Answer, Command, Outcome, Submission};
use crate::effect::{Effect, encode_rows};
use crate::error::Error;
use crate::handle::Asked;
use crate::keys::Key;
use crate::kv::Transaction;
use crate::types::{Lsn, Timestamp};

/// A drain is cut when its effects are about so large: stores limit transactions.
const DRAIN_BYTES_MAX: usize = 500 * 1024;
/// About what one effect takes in the log.
const EFFECT_BYTES: usize = 64;

type Reply = oneshot::Sender<Result<Answer, Error>>;

/// Commands decided together.
#[derive(Default)]
struct Drain {
    effects: Vec<Effect>,
    answers: Vec<(u64, Outcome, Reply)>,
    reads: Vec<Read>,
}

impl Sequencer {
    /// Takes what fits from the front of `waiting`, up to a request to close.
    pub(super) async fn drain(&mut self, waiting: &mut VecDeque<Asked>) -> Result<(), Error> {
        let now = (self.options.now)();
        let lsn = Lsn(self.state.lsn.0 + 1);
        let mut drain = Drain::default();
        while drain.effects.len() * EFFECT_BYTES < DRAIN_BYTES_MAX {
            match waiting.pop_front() {
                Some(Asked::Command(submission, reply)) => {
                    let decision = self.state.execute(lsn, now, &submission);
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
        let written = match drain.effects.is_empty() {
            true => self.holder.check_owner(self.shared.kv.as_ref()).await,
            false => self.write(lsn, now, &drain.effects).await,
        };
        match written {
            Ok(()) => {
                self.publish(&drain.effects);
                self.answer(lsn, drain);
                Ok(())
            }
            Err(error) => {
                for (sequence, _, reply) in drain.answers {
                    self.seen(sequence);
                    let _ = reply.send(Err(error.clone()));
                }
                drain.reads.into_iter().for_each(|read| read.refuse(&error));
                Err(error)
            }
        }
    }

    async fn write(&mut self, lsn: Lsn, now: Timestamp, effects: &[Effect]) -> Result<(), Error> {
        let kv = self.shared.kv.as_ref();
        let mut transaction = Transaction::default();
        for (part, row) in (0..).zip(encode_rows(now, effects, kv.limits().value_bytes_max)) {
            self.log_bytes += row.len() as u64;
            self.shared
                .counts
                .log_bytes
                .fetch_add(row.len() as u64, Ordering::Relaxed);
            transaction.set(Key::Log(lsn, part).encode(), row);
        }
        self.shared.counts.drains.fetch_add(1, Ordering::Relaxed);
        self.shared
            .counts
            .transactions
            .fetch_add(1, Ordering::Relaxed);
        self.holder
            .advance(kv, transaction, lsn, &self.options)
            .await
    }

    fn answer(&mut self, lsn: Lsn, drain: Drain) {
        let lsn = if drain.effects.is_empty() {
            self.state.lsn
        } else {
            lsn
        };
        for (sequence, outcome, reply) in drain.answers {
            self.seen(sequence);
            // Whoever asked may have gone; what was decided stays.
            let _ = reply.send(Ok(Answer { lsn, outcome }));
        }
        for read in drain.reads {
            read.answer(&self.state, &self.shared.views);
        }
    }

    /// In process an answer given is an answer seen.
    fn seen(&self, sequence: u64) {
        self.shared.seen.fetch_max(sequence + 1, Ordering::AcqRel);
    }

    pub(super) fn refuse(&self, asked: Asked, error: &Error) {
        match asked {
            Asked::Command(submission, reply) => {
                self.seen(submission.sequence);
                // Nothing of it was ever written, whatever became of the drain before it.
                let error = match error {
                    Error::Unavailable { reason, .. } => Error::unavailable(reason.clone()),
                    error => error.clone(),
                };
                let _ = reply.send(Err(error));
            }
            Asked::Read(read) => read.refuse(error),
            Asked::Close => {}
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
        self.write(lsn, now, &decision.effects).await
    }
}
