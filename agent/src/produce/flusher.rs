//! Seals the open segment, stores it, and commits segments strictly in the order they were sealed. One task; uploads
//! run beside it, several at once. Called by `handler` through [`Handle`]; started and stopped by `server.rs`.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use metadata::{Answer, ObjectKey, Outcome, Shown, Verdict, planted};
use protocol::ErrorCode;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::budget::PutBudget;
use super::buffer::{Append, BatchOutcome, Buffer, SealedBlock, Waiters};
use super::failures::Failures;
use super::patience::{Hold, Patience};
use super::receipts::Receipts;
use super::upload::{Failed, Upload, Uploaded};
use crate::metrics;
use crate::reading::Reading;
use crate::refusal;
use crate::said::warn_seldom;
use crate::storage::segment::Receipt;
use crate::tasks::{Stop, Tasks};

pub(crate) use super::buffer::SealPolicy;

/// Requests on their way to the flusher. Their bytes are bounded by permits; this bounds their number.
const APPENDS_MAX: usize = 1024;

/// How `handler` reaches the flusher.
#[derive(Clone, Debug)]
pub(crate) struct Handle(mpsc::Sender<Append>);

impl Handle {
    /// Queues a request's batches; the order of calls is the order of offsets.
    ///
    /// # Errors
    /// Gives the request back when the agent is stopping.
    pub(super) async fn append(&self, append: Append) -> Result<(), Append> {
        self.0.send(append).await.map_err(|refused| refused.0)
    }
}

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A segment that is stored and waits for the sequencer.
struct Committing {
    object: ObjectKey,
    blocks: Vec<SealedBlock>,
    waiters: Waiters,
    receipts: Vec<Receipt>,
    put: Duration,
    submitted: Instant,
    answer: Result<Answer, ErrorCode>,
}

/// The task that owns the open segment.
pub(crate) struct Flusher {
    upload: Upload,
    tasks: Tasks,
    appends: mpsc::Receiver<Append>,
    buffer: Buffer,
    reading: Reading,
    patience: Patience,
    hold: Hold,
    /// Every task had its turn since the last append, and none brought another one.
    all_had_turns: bool,
    policy: SealPolicy,
    budget: PutBudget,
    failures: Failures,
    receipts: Receipts,
    uploads: FuturesOrdered<Pending<Result<Uploaded, Failed>>>,
    commits: FuturesOrdered<Pending<Committing>>,
    metrics: metrics::Produce,
}

impl std::fmt::Debug for Flusher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flusher")
            .field("buffer", &self.buffer)
            .field("uploads", &self.uploads.len())
            .field("commits", &self.commits.len())
            .finish_non_exhaustive()
    }
}

enum Event {
    Append(Append),
    Old,
    AllRead,
    Turns,
    InVain,
    Uploaded(Result<Uploaded, Failed>),
    Committed(Committing),
    Stop,
}

impl Flusher {
    pub(crate) fn new(
        upload: Upload,
        tasks: Tasks,
        policy: SealPolicy,
        reading: Reading,
    ) -> (Self, Handle) {
        let (sender, appends) = mpsc::channel(APPENDS_MAX);
        let flusher = Self {
            upload,
            tasks,
            appends,
            buffer: Buffer::new(policy),
            reading,
            patience: Patience::default(),
            hold: Hold::Off,
            all_had_turns: false,
            policy,
            budget: PutBudget::new(policy.puts_per_second, Instant::now()),
            failures: Failures::default(),
            receipts: Receipts::default(),
            uploads: FuturesOrdered::new(),
            commits: FuturesOrdered::new(),
            metrics: metrics::Produce::new(),
        };
        (flusher, Handle(sender))
    }

    /// Runs until told to stop and everything that was appended is answered.
    ///
    /// # Errors
    /// None: what fails is answered to those who wait for it.
    pub(crate) async fn run(mut self, mut stop: Stop) -> anyhow::Result<()> {
        let mut stopping = false;
        while !(stopping && self.is_done()) {
            match self.select(&mut stop, stopping).await {
                Event::Append(append) => {
                    self.all_had_turns = false;
                    self.buffer.add(append);
                }
                Event::Old => {
                    self.buffer.waited_in_vain();
                    self.budget.spend(Instant::now());
                    self.seal();
                }
                Event::AllRead => {}
                Event::Turns => self.all_had_turns = true,
                Event::InVain => self.buffer.waited_in_vain(),
                Event::Uploaded(uploaded) => self.submit(uploaded),
                Event::Committed(committing) => self.answer(committing),
                Event::Stop => {
                    stopping = true;
                    self.appends.close();
                }
            }
            if self.should_seal(stopping) {
                self.seal();
            }
        }
        Ok(())
    }

    async fn select(&mut self, stop: &mut Stop, stopping: bool) -> Event {
        let deadline = self.buffer.deadline();
        tokio::select! {
            // Finished work first: it frees memory and answers clients. Appends before the clock, so that what has
            // arrived already is part of the segment.
            biased;
            Some(committing) = self.commits.next() => Event::Committed(committing),
            Some(uploaded) = self.uploads.next() => Event::Uploaded(uploaded),
            Some(append) = self.appends.recv() => Event::Append(append),
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Event::Old,
            () = self.reading.none(), if self.hold == Hold::Readers => Event::AllRead,
            () = yield_now(), if self.hold == Hold::Turns => Event::Turns,
            () = self.hold.ends(), if self.hold.is_timed() => Event::InVain,
            () = stop.requested(), if !stopping => Event::Stop,
            else => Event::Stop,
        }
    }

    fn is_done(&self) -> bool {
        self.appends.is_empty()
            && self.buffer.deadline().is_none()
            && self.uploads.is_empty()
            && self.commits.is_empty()
    }

    fn should_seal(&mut self, stopping: bool) -> bool {
        self.hold = Hold::Off;
        if self.buffer.is_full() {
            return true;
        }
        if stopping && self.appends.is_empty() {
            return self.buffer.deadline().is_some();
        }
        let Some(opened) = self.buffer.opened() else {
            return false;
        };
        // Appends that are here already cost nothing to wait for.
        if !self.appends.is_empty()
            || self.uploads.len() + self.commits.len() >= self.policy.eager_segments
        {
            return false;
        }
        let now = Instant::now();
        let expected = !self.buffer.waiting_is_pointless();
        self.hold = if self.reading.any() {
            Hold::Readers
        } else if !self.all_had_turns {
            Hold::Turns
        } else {
            self.patience.hold(expected, opened, now)
        };
        self.hold == Hold::Off && self.budget.take(now)
    }

    fn seal(&mut self) {
        let Some(sealed) = self.buffer.seal() else {
            return;
        };
        for arrived in sealed.waiters.arrivals() {
            self.metrics.buffer.record(arrived.elapsed());
        }
        self.failures.sealed();
        let receipts = self.receipts.take();
        let uploading = Box::pin(self.upload.start(&self.tasks, sealed, receipts));
        planted!("commit-order-swapped", {
            self.uploads.push_front(uploading);
            return;
        });
        self.uploads.push_back(uploading);
    }

    /// The order of these calls is the order of seals, because `uploads` yields in that order.
    fn submit(&mut self, uploaded: Result<Uploaded, Failed>) {
        let now = Instant::now();
        self.failures.next_turn(now);
        let Uploaded {
            mut commit,
            blocks,
            waiters,
            put,
            receipts,
        } = match uploaded {
            Ok(uploaded) => uploaded,
            Err(Failed {
                blocks,
                mut waiters,
                receipts,
                code,
            }) => {
                self.receipts.put_back(receipts);
                self.failures.failed(&blocks, now);
                waiters.settle_all(code);
                self.buffer.answer(waiters);
                return;
            }
        };
        self.failures.withhold(&mut commit, now);
        self.metrics.put.record(put);
        self.metrics.segments.increment(1);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a histogram needs no more than 52 bits"
        )]
        self.metrics.segment_bytes.record(commit.size as f64);
        planted!("hedge-committed-too", {
            let mut hedge = commit.clone();
            hedge.object.0 ^= 1 << 95;
            drop(self.upload.submit(hedge));
        });
        let submitted = Instant::now();
        let object = commit.object;
        let answer = self.upload.submit(commit);
        self.commits.push_back(Box::pin(async move {
            let answer = answer.await.map_err(|error| {
                warn_seldom!(%error, "a segment was stored but its commit failed");
                refusal::metadata(&error)
            });
            Committing {
                object,
                blocks,
                waiters,
                receipts,
                put,
                submitted,
                answer,
            }
        }));
    }

    fn answer(&mut self, committing: Committing) {
        let Committing {
            object,
            blocks,
            mut waiters,
            receipts,
            put,
            submitted,
            answer,
        } = committing;
        let commit = submitted.elapsed();
        self.metrics.commit.record(commit);
        self.patience.stored_in(put + commit);
        match committed(answer, batches(&blocks)) {
            Committed::Each(outcomes) => {
                self.receipts.settled(object, &outcomes);
                waiters.settle(&blocks, outcomes);
            }
            Committed::All(code) => {
                self.receipts.put_back(receipts);
                self.failures.failed(&blocks, Instant::now());
                waiters.settle_all(code);
            }
        }
        for waited in self.buffer.answer(waiters) {
            self.metrics.total.record(waited);
        }
    }
}

/// What became of a segment whose commit was asked for.
#[derive(Debug, PartialEq)]
enum Committed {
    /// One outcome for each of its batches, in their order.
    Each(Vec<BatchOutcome>),
    /// The same for all.
    All(ErrorCode),
}

/// Reads the sequencer's answer to the commit of that many batches. One that cannot be the answer to it (verdicts of
/// another segment, after a store that went back in time) says nothing about this one: whether it happened is not known.
fn committed(answer: Result<Answer, ErrorCode>, batches: usize) -> Committed {
    let outcome = match answer {
        Ok(answer) => answer.outcome,
        Err(code) => return Committed::All(code),
    };
    match outcome {
        Outcome::Committed(verdicts) if verdicts.len() == batches => {
            let each = |verdict: Verdict| verdict.map_err(refusal::rejected);
            Committed::Each(verdicts.into_iter().map(each).collect())
        }
        Outcome::Rejected(rejected) => {
            warn_seldom!(%rejected, "the sequencer refused a segment");
            Committed::All(refusal::rejected_segment(rejected))
        }
        other => {
            metrics::count_answer_not_believed();
            let said = match other {
                Outcome::Committed(verdicts) => format!("{} verdicts", verdicts.len()),
                other => Shown::sentence(format_args!("{other:?}")).to_string(),
            };
            tracing::error!(
                batches,
                said,
                "the sequencer answered a segment's commit with what is no answer to it; clients are told that the \
                 outcome is not known"
            );
            Committed::All(ErrorCode::REQUEST_TIMED_OUT)
        }
    }
}

fn batches(blocks: &[SealedBlock]) -> usize {
    blocks.iter().map(|block| block.batches.len()).sum()
}

#[cfg(test)]
mod tests {
    use metadata::{Lsn, Offset, Placed, ProducerId, Rejected};

    use super::*;

    fn answered(outcome: Outcome) -> Result<Answer, ErrorCode> {
        let lsn = Lsn(1);
        Ok(Answer { lsn, outcome })
    }

    fn placed(offset: i64) -> Placed {
        Placed {
            base_offset: Offset(offset),
            log_start_offset: Offset(0),
            duplicate: false,
        }
    }

    #[test]
    fn every_batch_gets_its_own_verdict() {
        let verdicts = vec![Ok(placed(4)), Err(Rejected::OutOfOrderSequence)];
        let expected = vec![Ok(placed(4)), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER)];
        let read = committed(answered(Outcome::Committed(verdicts)), 2);
        assert_eq!(read, Committed::Each(expected));
    }

    #[test]
    fn an_answer_to_something_else_is_not_believed() {
        let others = [
            Outcome::Committed(Vec::new()),
            Outcome::Committed(vec![Ok(placed(4))]),
            Outcome::Committed(vec![Ok(placed(4)); 3]),
            Outcome::SessionOpened(7),
            Outcome::ProducerIds {
                first: ProducerId(1),
                count: 2,
            },
        ];
        for outcome in others {
            let said = format!("{outcome:?}");
            let read = committed(answered(outcome), 2);
            assert_eq!(read, Committed::All(ErrorCode::REQUEST_TIMED_OUT), "{said}");
        }
    }
}
