//! What every agent commits, the same for all ways: segments with a block for each of some neighbouring partitions, which
//! move on with each commit, so that all agents write to all partitions.

use std::time::Duration;

use metadata::{
    BatchProducer, BlockCodec, BlockRange, CommitBatch, CommitBlock, CommitObject, NamingEpoch,
    ObjectKey, Outcome, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Share, Timestamp,
    TopicId,
};
use tokio::time::{Instant, sleep_until};

const RECORDS: u32 = 10;
const BATCH_BYTES: u32 = 1000;

/// Of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) entries: i32,
    pub(crate) partitions: i32,
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// Commits a second of each agent; as many as it can where there is none.
    pub(crate) pace: Option<u32>,
}

/// An agent and its one idempotent producer.
#[derive(Debug)]
pub(crate) struct Agent {
    number: u32,
    shape: Shape,
    topic: TopicId,
    commits: u64,
    /// The partition at which the next commit begins.
    next: i32,
    sequences: Vec<i32>,
}

impl Agent {
    pub(crate) fn new(number: u32, topic: TopicId, shape: Shape) -> anyhow::Result<Self> {
        let next = i32::try_from(number)?.wrapping_mul(37) % shape.partitions;
        let sequences = vec![0; usize::try_from(shape.partitions)?];
        Ok(Self {
            number,
            shape,
            topic,
            commits: 0,
            next,
            sequences,
        })
    }

    /// Commits in which all partitions have their turn.
    pub(crate) fn commits_for_all(&self) -> i32 {
        let Shape {
            entries,
            partitions,
            ..
        } = self.shape;
        (partitions + entries - 1) / entries
    }

    /// The partitions of the next commit.
    pub(crate) fn partitions(&mut self) -> Vec<i32> {
        self.next(self.shape.entries, 1)
    }

    fn next(&mut self, entries: i32, apart: i32) -> Vec<i32> {
        let partitions = self.shape.partitions;
        let first = self.next;
        self.next = (self.next + entries * apart) % partitions;
        let mut all: Vec<i32> = (0..entries)
            .map(|each| (first + each * apart) % partitions)
            .collect();
        all.sort_unstable();
        all
    }

    pub(crate) fn segment(&mut self) -> anyhow::Result<CommitObject> {
        self.segment_of(self.shape.entries, 1)
    }

    /// With so many blocks, of partitions that are so far from each other.
    pub(crate) fn segment_of(&mut self, entries: i32, apart: i32) -> anyhow::Result<CommitObject> {
        self.commits += 1;
        let number = u32::try_from(self.commits)?;
        let mut blocks = Vec::new();
        let topic = self.topic;
        // A network of its own: one alone may have half of the room for producers.
        let share = Share(u16::try_from(self.number % u32::from(u16::MAX))?);
        for (number, partition) in (0_u32..).zip(self.next(entries, apart)) {
            let sequence = &mut self.sequences[usize::try_from(partition)?];
            let producer = BatchProducer {
                id: ProducerId(self.number.into()),
                epoch: ProducerEpoch(0),
                base_sequence: Sequence(*sequence),
                share,
            };
            *sequence += i32::try_from(RECORDS)?;
            blocks.push(CommitBlock {
                topic,
                partition: PartitionIndex(partition),
                range: BlockRange {
                    position: number * BATCH_BYTES,
                    stored_length: BATCH_BYTES,
                    raw_length: BATCH_BYTES,
                    codec: BlockCodec::Raw,
                    checksum: 0,
                },
                batches: vec![CommitBatch {
                    raw_length: BATCH_BYTES,
                    record_count: RECORDS,
                    max_timestamp: now(),
                    producer: Some(producer),
                    flags: metadata::BatchFlags::default(),
                    withheld: false,
                }],
            });
        }
        Ok(CommitObject {
            object: ObjectKey::new(NamingEpoch(0), self.number.into(), number),
            size: u64::try_from(blocks.len())? * u64::from(BATCH_BYTES),
            blocks,
        })
    }
}

/// Whether it is what was asked for, every batch of a commit included.
pub(crate) fn answered(outcome: &Outcome) -> anyhow::Result<()> {
    let refused = match outcome {
        Outcome::Committed(verdicts) => verdicts.iter().find_map(|verdict| verdict.err()),
        Outcome::Rejected(rejected) => Some(*rejected),
        _ => None,
    };
    refused.map_or(Ok(()), |rejected| Err(rejected.into()))
}

/// When an agent commits, and how long each commit took of those that began in the measured time.
#[derive(Debug)]
pub(crate) struct Schedule {
    begin: Instant,
    end: Instant,
    interval: Option<Duration>,
    due: Instant,
    took: Vec<Duration>,
}

impl Schedule {
    /// Agents begin a part of an interval after each other.
    pub(crate) fn new(begin: Instant, number: u32, agents: u32, shape: &Shape) -> Self {
        let interval = shape.pace.map(|pace| Duration::from_secs(1) / pace.max(1));
        Self {
            begin: begin + shape.warm_up,
            end: begin + shape.warm_up + shape.measured,
            interval,
            due: begin + interval.unwrap_or_default() * number / agents,
            took: Vec::new(),
        }
    }

    /// When the next commit begins; `None` at the end. One that is behind began when it was due.
    pub(crate) async fn next(&mut self) -> Option<Instant> {
        let mut begun = Instant::now();
        if let Some(interval) = self.interval {
            if self.due > begun {
                sleep_until(self.due).await;
                begun = Instant::now();
            } else {
                begun = self.due;
            }
            self.due += interval;
        }
        (Instant::now() < self.end).then_some(begun)
    }

    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    pub(crate) fn done(&mut self, begun: Instant) {
        if begun >= self.begin && Instant::now() < self.end {
            self.took.push(begun.elapsed());
        }
    }

    pub(crate) fn took(self) -> Vec<Duration> {
        self.took
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it stands in for the agent's clock"
)]
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX))
}
