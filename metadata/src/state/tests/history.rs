//! The machine beside the model, one random step after the other, over a store that a crash may leave anyhow.

use std::collections::BTreeSet;

use super::model::{Model, end};
use super::replay::{Portrait, extents};
use super::*;
use crate::accounting::account_for;
use crate::checkpoint::{self, Checkpoint, Steps};
use crate::command::{Command, CreatePartitions, CreateTopic, Outcome, Submission};
use crate::effect::{Effect, LogBytes, decode_entry};
use crate::keys::Key;
use crate::kv::{Kv, Memory, Transaction};
use crate::sequencer::takeover::replay;
use crate::state::invariants;
use crate::types::{BucketId, HistoryId, Lsn};

/// Machine, model and store.
pub(super) struct World {
    pub(super) state: State,
    model: Model,
    /// As of the last drain in the store: what a crash goes back to.
    durable_model: Model,
    pub(super) kv: Memory,
    pub(super) now: Timestamp,
    /// The last drain in the store.
    pub(super) durable: Lsn,
    /// Decided, not yet in the store.
    drain: Vec<Effect>,
    checkpoint: Option<UnderWay>,
    /// Has folded the log from its beginning, and was never loaded from rows.
    replayed: State,
    submissions: Vec<Submission>,
    session: u64,
    sequence: u64,
}

/// A checkpoint, and what there was when it began.
struct UnderWay {
    checkpoint: Checkpoint,
    objects: BTreeSet<ObjectKey>,
    vanished: BTreeSet<TopicId>,
}

impl World {
    pub(super) async fn new() -> Self {
        let kv = Memory::new();
        let mut transaction = Transaction::default();
        let row = checkpoint::checkpoint_row(Lsn(0));
        transaction.set(Key::Checkpoint.encode(), row);
        kv.commit(transaction).await.unwrap();
        let mut world = Self {
            state: State::default(),
            model: Model::default(),
            durable_model: Model::default(),
            kv,
            now: Timestamp(START),
            durable: Lsn(0),
            drain: Vec::new(),
            checkpoint: None,
            replayed: State::default(),
            submissions: Vec::new(),
            session: 0,
            sequence: 0,
        };
        world.open(Vec::new());
        world.submit(Command::AllocateProducerIds { count: 10 });
        world
    }

    pub(super) async fn step(&mut self, step: &Step) {
        match step {
            Step::Create {
                name,
                id,
                partitions,
            } => self.submit(Command::CreateTopic(CreateTopic {
                name: NAMES[*name].to_owned(),
                id: TopicId(*id),
                partitions: *partitions,
                replication_factor: 1,
                configs: [].into(),
            })),
            Step::Delete { id } => self.submit(Command::DeleteTopic(TopicId(*id))),
            Step::Partitions { id, total } => {
                let create = CreatePartitions {
                    topic: TopicId(*id),
                    total: *total,
                };
                self.submit(Command::CreatePartitions(create));
            }
            Step::Lose { id, range } => self.submit(Command::MarkLost {
                topic: TopicId(*id),
                range: *range,
            }),
            Step::Commit(segment) => {
                let command = self.segment(segment);
                self.submit(command);
            }
            Step::Allocate { count } => self.submit(Command::AllocateProducerIds { count: *count }),
            Step::Bind { bucket } => {
                let bucket = (*bucket > 0).then_some(BucketId(*bucket));
                self.submit(Command::BindBucket(bucket));
            }
            Step::Operate(Operation::Raise(level)) => {
                let level = Some(*level).filter(|level| *level > 0);
                self.submit(Command::RaiseFeatureLevel(level));
            }
            Step::Operate(Operation::Accept(history)) => {
                // Epochs need not rise for the folds to agree.
                let epoch = i32::try_from(*history).unwrap();
                let history = HistoryId(*history);
                self.execute(own(Command::AcceptOlderStore { history, epoch }));
            }
            Step::Operate(Operation::Release) => self.submit(Command::ReleaseHold),
            Step::Open { closing } => {
                let opened = self.model.sessions_opened;
                let closing = closing.iter().map(|at| *at as u64 % (opened + 1)).collect();
                self.open(closing);
            }
            Step::Expire { older_than_ms } => {
                let before = Timestamp(self.now.0 - older_than_ms);
                self.execute(own(Command::ExpireProducers { before }));
            }
            Step::Again { back } => {
                let at = self.submissions.len().checked_sub(1 + back);
                if let Some(earlier) = at.map(|at| self.submissions[at].clone()) {
                    self.execute(earlier);
                }
            }
            Step::Wait { ms } => {
                self.flush().await;
                self.now.0 += ms;
            }
            Step::Name { epochs } => {
                self.flush().await;
                for _ in 0..*epochs {
                    self.name();
                    self.flush().await;
                }
            }
            Step::NextDrain => self.flush().await,
            Step::Checkpoint {
                transactions,
                steps,
            } => self.checkpoint(*transactions, *steps).await,
            Step::Restart => self.restart().await,
        }
    }

    /// Makes the segment's batches concrete, one after the other, as if each were accepted at once.
    fn segment(&self, segment: &Segment) -> Command {
        let epoch = i64::from(self.model.naming) - segment.age;
        let epoch = NamingEpoch(u32::try_from(epoch).unwrap_or_default());
        let object = ObjectKey::new(epoch, segment.object, 0);
        let mut scratch = self.model.clone();
        let mut blocks = Vec::new();
        for block in &segment.blocks {
            let at = partition(block.topic, block.partition);
            let mut batches = Vec::new();
            for sent in &block.batches {
                let batch = scratch.make(at, *sent, self.now);
                let alone = commit(ObjectKey(0), vec![(at, vec![batch])]);
                let _ = scratch.batch(self.now, ObjectKey(0), &alone.blocks[0], batch, 0);
                batches.push(batch);
            }
            blocks.push((at, batches));
        }
        let mut command = commit(object, blocks);
        if let Some(first) = command.blocks.first_mut().filter(|_| segment.torn) {
            first.range.raw_length += 1;
        }
        Command::CommitObject(command)
    }

    fn open(&mut self, closing: Vec<u64>) {
        self.execute(own(Command::OpenSession { closing, nonce: 1 }));
        self.session = self.model.sessions_opened;
        self.sequence = 0;
    }

    pub(super) fn submit(&mut self, command: Command) {
        self.sequence += 1;
        let asked = Submission {
            session: self.session,
            sequence: self.sequence,
            seen: self.sequence.saturating_sub(4),
            command,
        };
        self.submissions.push(asked.clone());
        self.execute(asked);
    }

    fn execute(&mut self, asked: Submission) {
        let before = *self.state.cluster;
        let lsn = Lsn(self.durable.0 + 1);
        let decision = self.state.execute(lsn, self.now, &asked);
        let expected = self.model.submit(self.now, &asked);
        assert_eq!(decision.outcome, expected, "{asked:?}");
        check_committed(&decision.effects, &decision.outcome);
        self.drain.extend(decision.effects);
        invariants::check(&self.state);
        let after = *self.state.cluster;
        assert!(after.next_producer >= before.next_producer);
        assert!(after.last_session >= before.last_session);
        assert!(after.expired_producer_end >= before.expired_producer_end);
    }

    /// Ten minutes later the naming epoch moves, and not before, nor while nobody has a session.
    fn name(&mut self) {
        let lsn = Lsn(self.durable.0 + 1);
        let due = self.state.cluster.naming_due();
        let early = Timestamp(due.0 - 1);
        assert_eq!(self.state.advance_naming(lsn, early), None);
        self.now = self.now.max(due);
        let moves = !self.model.sessions.is_empty();
        self.drain.extend(self.state.advance_naming(lsn, self.now));
        self.model.naming += u32::from(moves);
        assert_eq!(self.state.cluster.naming, NamingEpoch(self.model.naming));
    }

    /// An effect that no command has yet.
    pub(super) fn inject(&mut self, effect: Effect) {
        let lsn = Lsn(self.durable.0 + 1);
        self.state.fold(lsn, self.now, &effect);
        self.drain.push(effect);
    }

    /// The drain goes to the store.
    pub(super) async fn flush(&mut self) {
        let effects = std::mem::take(&mut self.drain);
        if effects.is_empty() {
            self.durable_model = self.model.clone();
            return;
        }
        self.durable.0 += 1;
        let mut log = LogBytes::new(self.now);
        effects.iter().for_each(|effect| log.push(effect));
        let mut transaction = Transaction::default();
        let rows = log.into_rows(self.durable, 100);
        for (part, row) in (0..).zip(&rows) {
            transaction.set(Key::Log(self.durable, part).encode(), row.clone());
        }
        self.kv.commit(transaction).await.unwrap();
        self.durable_model = self.model.clone();
        let entry = decode_entry(self.durable, rows.concat().into()).unwrap();
        assert_eq!(entry.effects, effects);
        for effect in &entry.effects {
            self.replayed.fold(self.durable, entry.now, effect);
        }
        self.compare().await;
    }

    /// Of all effects that the log has had, what `kind` says of each.
    pub(super) fn kinds_in_log(&self, kind: impl Fn(&Effect) -> usize) -> BTreeSet<usize> {
        let mut drains: BTreeMap<Lsn, Vec<u8>> = BTreeMap::new();
        for (key, row) in self.kv.snapshot() {
            if let Ok(Key::Log(lsn, _)) = Key::decode(&key) {
                drains.entry(lsn).or_default().extend_from_slice(&row);
            }
        }
        let entries = drains.into_iter();
        let effects =
            entries.flat_map(|(lsn, entry)| decode_entry(lsn, entry.into()).unwrap().effects);
        effects.map(|effect| kind(&effect)).collect()
    }

    async fn compare(&mut self) {
        let live = Portrait::of(&self.state, &self.kv).await;
        let empty = Memory::new();
        let mut replayed = Portrait::of(&self.replayed, &empty).await;
        replayed
            .objects
            .retain(|key, _| self.model.objects.contains(key));
        assert_eq!(live, replayed, "the log says the same");
        let topics: Vec<_> = self.model.topics.keys().collect();
        assert_eq!(topics, live.topics.keys().collect::<Vec<_>>());
        // Also of those that held nothing, where something else was known of them.
        assert!(live.deleted.is_superset(&self.model.deleted));
        let gone = &self.model.deleted | &self.model.vanished;
        assert!(live.deleted.is_subset(&gone));
        assert!(live.objects.keys().eq(&self.model.objects));
        assert!(live.sessions.keys().eq(self.model.sessions.keys()));
        for (id, topic) in &self.model.topics {
            for (index, log) in (0..).zip(&topic.partitions) {
                let at = partition(id.0, index);
                let found = self.state.partitions.get(at).unwrap();
                assert_eq!(found.bounds().high_watermark.0, end(log), "{at:?}");
                let known = &self.state.topics.get(*id).unwrap().topic.lost;
                for offset in 0..end(log) {
                    let lost = known.end_of(at.partition, Offset(offset)).is_some();
                    assert_eq!(lost, topic.lost.contains(&(index, offset)), "{at:?}");
                }
                let mut batches = log.iter().peekable();
                for extent in extents(&self.state, &self.kv, at).await {
                    let first = batches.peek().expect("a batch for each extent");
                    assert_eq!(extent.base_offset.0, first.base_offset);
                    let stored = extent.stored().unwrap();
                    assert_eq!(stored.raw_start, first.raw_start);
                    let place = (stored.object, stored.block.position);
                    assert_eq!(place, (first.object, first.position), "{at:?}");
                    let (mut next, mut raw) = (extent.base_offset.0, stored.raw_start);
                    let mut latest = Timestamp(i64::MIN);
                    let (block, flags) = (first.block, first.batch.flags);
                    assert_eq!(extent.flags, flags.into(), "{at:?}");
                    // All batches that lie behind each other in one block and are alike are in one extent.
                    while let Some(accepted) = batches.next_if(|accepted| {
                        let alike = (accepted.block, accepted.batch.flags) == (block, flags);
                        accepted.raw_start == raw && alike
                    }) {
                        next += i64::from(accepted.batch.record_count);
                        raw += accepted.batch.raw_length;
                        latest = latest.max(accepted.batch.max_timestamp);
                    }
                    assert_eq!(extent.end_offset().0, next, "{at:?}");
                    let end = stored.raw_start + extent.raw_length();
                    assert_eq!(end, raw, "{at:?}");
                    assert_eq!(extent.max_timestamp, latest, "{at:?}");
                }
                assert!(batches.next().is_none(), "{at:?}: an extent for each batch");
            }
        }
    }

    pub(super) async fn checkpoint(&mut self, transactions: usize, steps: Steps) {
        self.flush().await;
        for _ in 0..transactions {
            let mut under_way = self.checkpoint.take().unwrap_or_else(|| UnderWay {
                checkpoint: Checkpoint::begin(&mut self.state).in_steps_of(steps),
                objects: self.model.objects.clone(),
                vanished: self.model.vanished.clone(),
            });
            let step = under_way.checkpoint.step(&self.kv, &mut self.state);
            let transaction = step.await.unwrap();
            self.kv.commit(transaction).await.unwrap();
            if under_way.checkpoint.is_done() {
                let UnderWay {
                    objects, vanished, ..
                } = under_way;
                self.model.objects.retain(|key| !objects.contains(key));
                self.model.vanished.retain(|id| !vanished.contains(id));
                self.durable_model = self.model.clone();
            } else {
                self.checkpoint = Some(under_way);
            }
            invariants::check(&self.state);
            account_for(&self.kv, &self.state).await.unwrap();
        }
        self.compare().await;
        self.loads_as_it_is().await;
    }

    /// What another process would find.
    async fn loads_as_it_is(&self) {
        let (loaded, unfinished) = replay(&self.kv, self.durable).await.unwrap();
        assert!(!unfinished);
        invariants::check(&loaded);
        account_for(&self.kv, &loaded).await.unwrap();
        let live = Portrait::of(&self.state, &self.kv).await;
        assert_eq!(
            Portrait::of(&loaded, &self.kv).await,
            live,
            "the store says the same"
        );
    }

    async fn restart(&mut self) {
        self.checkpoint = None;
        self.drain.clear();
        self.model = self.durable_model.clone();
        (self.state, _) = replay(&self.kv, self.durable).await.unwrap();
        invariants::check(&self.state);
        self.compare().await;
    }
}

fn own(command: Command) -> Submission {
    Submission {
        session: 0,
        sequence: 0,
        seen: 0,
        command,
    }
}

/// An object only where one was committed, and the effect says what the agent is told.
fn check_committed(effects: &[Effect], outcome: &Outcome) {
    let committed = effects.iter().filter_map(|effect| match effect {
        Effect::Committed(committed) => Some(committed.outcome()),
        _ => None,
    });
    let committed: Vec<_> = committed.collect();
    let expected = matches!(outcome, Outcome::Committed(_)) && !effects.is_empty();
    assert_eq!(committed.len(), usize::from(expected));
    assert!(committed.iter().all(|said| said == outcome));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, max_shrink_iters: 3000, ..ProptestConfig::default() })]

    #[test]
    fn no_lawful_history_breaks_the_truth(steps in prop::collection::vec(step(), 1..90)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in &steps {
                world.step(step).await;
            }
            world.flush().await;
            world.loads_as_it_is().await;
            world.restart().await;
        });
    }
}
