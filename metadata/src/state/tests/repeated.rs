//! Topic ids that come again, as from a peer that repeats them in its commands: whatever is decided, each start finds the
//! rows that were written, and in them what was there.

use super::replay::Portrait;
use super::*;
use crate::checkpoint::{Checkpoint, checkpoint_row};
use crate::command::{Command, CreateTopic, Outcome, Submission};
use crate::effect::LogBytes;
use crate::keys::Key;
use crate::kv::{Kv, Memory, Transaction};
use crate::sequencer::takeover::replay;
use crate::state::invariants;
use crate::types::Lsn;

const IDS: u128 = 2;

#[derive(Clone, Copy, Debug)]
enum Event {
    Create(u128),
    Delete(u128),
    Commit(u128),
    /// So many transactions of a checkpoint, which is begun if none is under way.
    Checkpoint(usize),
    /// Another process goes on with what is in the store.
    Restart,
}

/// A store, and the process that writes it.
struct Process {
    kv: Memory,
    state: State,
    checkpoint: Option<Checkpoint>,
    commands: u32,
}

impl Process {
    async fn new() -> Self {
        let kv = Memory::new();
        let mut transaction = Transaction::default();
        transaction.set(Key::Checkpoint.encode(), checkpoint_row(Lsn(0)));
        kv.commit(transaction).await.unwrap();
        Self {
            kv,
            state: State::default(),
            checkpoint: None,
            commands: 0,
        }
    }

    async fn happens(&mut self, event: Event) {
        match event {
            Event::Create(id) => drop(self.create(id).await),
            Event::Delete(id) => drop(self.does(Command::DeleteTopic(TopicId(id))).await),
            Event::Commit(id) => {
                let object = ObjectKey::new(NamingEpoch(0), self.commands.into(), 0);
                let one = batch(1, Timestamp(START), None);
                let commit = commit(object, vec![(partition(id, 1), vec![one])]);
                self.does(Command::CommitObject(commit)).await;
            }
            Event::Checkpoint(transactions) => self.checkpoint(transactions).await,
            Event::Restart => self.restart().await,
        }
        invariants::check(&self.state);
    }

    /// Under a name of its own, so that the id alone is what comes again.
    async fn create(&mut self, id: u128) -> Outcome {
        let create = CreateTopic {
            name: format!("topic-{}", self.commands),
            id: TopicId(id),
            partitions: 2,
            replication_factor: 1,
            configs: [].into(),
        };
        self.does(Command::CreateTopic(create)).await
    }

    async fn does(&mut self, command: Command) -> Outcome {
        self.commands += 1;
        let lsn = Lsn(self.state.lsn.0 + 1);
        let asked = Submission::own(command);
        let decision = self.state.execute(lsn, Timestamp(START), &asked);
        if decision.effects.is_empty() {
            return decision.outcome;
        }
        let mut log = LogBytes::new(Timestamp(START));
        decision.effects.iter().for_each(|effect| log.push(effect));
        let mut transaction = Transaction::default();
        for (part, row) in (0..).zip(log.into_rows(lsn, 1_000)) {
            transaction.set(Key::Log(lsn, part).encode(), row);
        }
        self.kv.commit(transaction).await.unwrap();
        decision.outcome
    }

    async fn checkpoint(&mut self, transactions: usize) {
        for _ in 0..transactions {
            let begun = self.checkpoint.take();
            let begin = || Checkpoint::begin(&mut self.state).in_steps_of(SMALL_STEPS);
            let mut checkpoint = begun.unwrap_or_else(begin);
            let step = checkpoint.step(&self.kv, &mut self.state).await.unwrap();
            self.kv.commit(step).await.unwrap();
            if checkpoint.is_done() {
                return;
            }
            self.checkpoint = Some(checkpoint);
        }
    }

    async fn restart(&mut self) {
        self.checkpoint = None;
        let (loaded, _) = replay(&self.kv, self.state.lsn).await.unwrap();
        let found = Portrait::of(&loaded, &self.kv).await;
        let mut before = Portrait::of(&self.state, &self.kv).await;
        // What a finished checkpoint wrote lies in the store only.
        before
            .objects
            .retain(|key, _| found.objects.contains_key(key));
        assert_eq!(found, before);
        self.state = loaded;
    }
}

/// Checkpoints that are cut off anywhere, before the id comes again and after.
#[tokio::test]
async fn an_id_that_comes_again_makes_no_store_that_is_refused() {
    for (first, before, after) in
        (0..3).flat_map(|a| (0..8).flat_map(move |b| (0..8).map(move |c| (a, b, c))))
    {
        let mut process = Process::new().await;
        for event in [
            Event::Create(1),
            Event::Checkpoint(first * 3),
            Event::Delete(1),
            Event::Checkpoint(before),
            Event::Create(1),
            Event::Commit(1),
            Event::Checkpoint(after),
            Event::Restart,
            Event::Create(1),
            Event::Commit(1),
            Event::Checkpoint(after),
            Event::Restart,
            Event::Checkpoint(100),
            Event::Restart,
        ] {
            process.happens(event).await;
        }
    }
}

/// A topic that held nothing leaves nothing, also of its id.
#[tokio::test]
async fn an_id_is_free_again_once_no_log_tells_of_it() {
    let mut process = Process::new().await;
    let refused = Outcome::Rejected(crate::command::Rejected::InvalidCommand);
    process.happens(Event::Create(1)).await;
    process.happens(Event::Create(2)).await;
    // It writes the row of the other one first.
    process.happens(Event::Checkpoint(1)).await;
    // Its rows are cleared by the checkpoint under way, which began before: the log still says so afterwards.
    process.happens(Event::Delete(1)).await;
    process.happens(Event::Checkpoint(100)).await;
    for _ in 0..2 {
        assert_eq!(process.create(1).await, refused);
        process.happens(Event::Restart).await;
    }
    process.happens(Event::Checkpoint(100)).await;
    assert_eq!(process.create(1).await, Outcome::TopicCreated(TopicId(1)));
    process.happens(Event::Commit(1)).await;
    process.happens(Event::Delete(1)).await;
    process.happens(Event::Checkpoint(100)).await;
    assert_eq!(process.create(1).await, refused, "it held a record");
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..=IDS).prop_map(Event::Create),
        3 => (1..=IDS).prop_map(Event::Delete),
        1 => (1..=IDS).prop_map(Event::Commit),
        4 => (1..8_usize).prop_map(Event::Checkpoint),
        1 => Just(Event::Checkpoint(100)),
        2 => Just(Event::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, max_shrink_iters: 3000, ..ProptestConfig::default() })]

    #[test]
    fn ids_that_come_again_and_checkpoints_that_are_cut_off_are_replayed_to_the_same(
        events in prop::collection::vec(event(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut process = Process::new().await;
            for event in &events {
                process.happens(*event).await;
            }
            for end in [Event::Restart, Event::Checkpoint(100), Event::Restart] {
                process.happens(end).await;
            }
        });
    }
}
