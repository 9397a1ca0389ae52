//! One seed from beginning to end: a world, clients, trouble, healing, a last reading, an audit of the bucket, a verdict.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::{Arc, Once};
use std::time::Duration;

use protocol::ErrorCode;
use protocol::messages::create_topics::CreatableTopic;
use protocol::messages::delete_topics::DeleteTopicState;
use protocol::messages::{CreateTopicsRequest, DeleteTopicsRequest};
use tokio::time::{Instant, sleep, timeout};

use crate::backwards;
use crate::checker::{Anomaly, check};
use crate::damage::Holes;
use crate::history::{Event, Kind, Timed};
use crate::last;
use crate::nemesis;
use crate::producer::{Plan, Producer, topic_name};
use crate::reader::{Reader, asker};
use crate::swarm;
use crate::world::{Dice, World, spawn};

const TICK: Duration = Duration::from_millis(20);
/// Once everything healed, producers must come to an end within so long, and all there is be read.
const PATIENCE: Duration = Duration::from_secs(300);
/// Topics that come and go have numbers from here on.
const PASSING_TOPICS: u32 = 100;
/// Events shown before an anomaly.
const SHOWN: usize = 40;

/// What became of a seed.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) hash: u64,
    pub(crate) simulated: Duration,
    pub(crate) history: Vec<Timed>,
    pub(crate) anomalies: Vec<Anomaly>,
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// A panic in a task ends a real process; here it is an anomaly.
fn catch_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.with_borrow_mut(|panics| panics.push(panic.to_string()));
            before(panic);
        }));
    });
    PANICS.with_borrow_mut(Vec::clear);
}

/// Runs a seed.
pub(crate) fn run(seed: u64) -> Report {
    catch_panics();
    rows_of(index_row_bytes(seed));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without threads");
    let holes = Holes::default();
    let told = async {
        let world = World::new(seed, holes.clone());
        let began = Instant::now();
        story(&world).await;
        for broken in PANICS
            .with_borrow(Clone::clone)
            .into_iter()
            .chain(holes.say())
        {
            world.history.push(Event::Broken(broken));
        }
        let (hash, history) = (world.history.hash(), world.history.take());
        let anomalies = check(&history);
        Report {
            seed,
            hash,
            simulated: began.elapsed(),
            history,
            anomalies,
        }
    };
    let report = metrics::with_local_recorder(&holes, || runtime.block_on(told));
    drop(runtime);
    report
}

/// Of what size index rows are: histories are too short for ordinary ones to have several, or levels above them.
fn index_row_bytes(seed: u64) -> usize {
    [200, 1024, 8 * 1024][usize::try_from(seed / 6 % 3).unwrap_or(0)]
}

#[cfg(feature = "planted-bugs")]
fn rows_of(bytes: usize) {
    metadata::rows_of(bytes);
}

#[cfg(not(feature = "planted-bugs"))]
fn rows_of(_: usize) {}

/// What one run is to be.
struct Shape {
    topics: u32,
    partitions: i32,
    producers: Vec<Plan>,
    readers: u32,
    trouble: Duration,
}

impl Shape {
    fn draw(dice: &Dice, alone: bool) -> Self {
        let (topics, partitions) = (
            1 + u32::from(dice.chance(400)),
            1 + i32::from(dice.chance(600)) + i32::from(dice.chance(300)),
        );
        // Fleets are to have something under way whatever happens, and clients that wait for it.
        let (fewest, most, idempotent) = match alone {
            true => (1, 5, 750),
            false => (3, 7, 600),
        };
        let producers = (0..dice.between(fewest, most)).map(|_| Plan {
            kind: if dice.chance(idempotent) {
                Kind::Idempotent
            } else {
                Kind::Plain
            },
            topic: u32::try_from(dice.below(topics.into())).unwrap_or(0),
            partitions,
            batches: u32::try_from(dice.between(10, 80)).unwrap_or(0),
            pause: dice.millis(0, [5, 100, 1500][dice.index(3)]),
            request_timeout: dice.millis(500, [2_000, 10_000, 30_000][dice.index(3)]),
            delivery_timeout: dice.millis(1_500, [4_000, 20_000, 90_000][dice.index(3)]),
            retries_pipelined: dice.chance(500),
        });
        let producers = producers.collect();
        Self {
            topics,
            partitions,
            producers,
            readers: 1 + u32::from(dice.chance(500)),
            trouble: dice.millis(3_000, 40_000),
        }
    }

    fn of_a_fleet(mut self, dice: &Dice) -> Self {
        self.trouble = dice.millis(3_000, 30_000);
        for plan in &mut self.producers {
            if dice.chance(700) {
                plan.pause = self.trouble * 2 / plan.batches.max(1);
            }
            if dice.chance(600) {
                plan.request_timeout = dice.millis(10_000, 30_000);
                plan.delivery_timeout = plan.request_timeout * 3;
            }
        }
        self
    }
}

async fn story(world: &Arc<World>) {
    let dice = world.dice.fork();
    let mut shape = Shape::draw(&dice, world.fleet.is_alone());
    if !world.fleet.is_alone() {
        shape = shape.of_a_fleet(&dice);
    }
    let ticking = Arc::clone(world);
    spawn(async move {
        loop {
            sleep(TICK).await;
            ticking.tick(TICK);
        }
    });
    world.start_all();
    for topic in 0..shape.topics {
        create(world, &dice, topic, shape.partitions).await;
    }
    let partitions = usize::try_from(shape.partitions).unwrap_or(0);
    let mut clients = Vec::new();
    for number in 0..shape.readers {
        for topic in 0..shape.topics {
            let reader = Reader::new(
                Arc::clone(world),
                10 * number + topic,
                topic,
                shape.partitions,
            );
            clients.push(spawn(reader.run()));
        }
    }
    // In a fleet, what one process knows must hold for the others.
    let askers = if world.fleet.is_alone() { 1 } else { 3 };
    for _ in 0..askers {
        clients.push(spawn(asker(Arc::clone(world), 0, partitions)));
    }
    let producers: Vec<_> = (1..)
        .zip(shape.producers)
        .map(|(number, plan)| spawn(Producer::new(Arc::clone(world), number, plan).run()))
        .collect();
    let swarm = world
        .has_a_swarm
        .then(|| spawn(swarm::swarm(Arc::clone(world))));
    let passing = spawn(passing_topics(Arc::clone(world), dice.fork()));
    let supervisor = spawn(nemesis::supervise(Arc::clone(world)));
    let accountant = spawn(backwards::account(Arc::clone(world), dice.fork()));
    nemesis::trouble(Arc::clone(world), dice.fork(), shape.trouble).await;
    // What goes on by itself, such as thawing, is over soon after.
    nemesis::heal(world, &dice).await;
    let all = async {
        for producer in producers {
            // A producer that panics was noticed.
            let _ = producer.await;
        }
        let _ = passing.await;
        if let Some(swarm) = swarm {
            let _ = swarm.await;
        }
    };
    if timeout(patience(world), all).await.is_err() {
        world.history.push(Event::Broken(
            "not all producers came to an end once everything had healed".to_owned(),
        ));
    }
    last::settle(world, shape.topics, partitions).await;
    clients.into_iter().for_each(|client| client.abort());
    supervisor.abort();
    accountant.abort();
    last::finish(world, &dice, shape.topics, partitions).await;
}

/// A swarm leaves thousands of objects behind, which agents with no memory for them read one at a time.
pub(crate) fn patience(world: &World) -> Duration {
    PATIENCE * if world.has_a_swarm { 10 } else { 1 }
}

async fn create(world: &Arc<World>, dice: &Dice, topic: u32, partitions: i32) {
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic {
            name: topic_name(topic),
            num_partitions: partitions,
            replication_factor: 1,
            ..CreatableTopic::default()
        }],
        ..CreateTopicsRequest::default()
    };
    loop {
        let mut wire = world.connect(dice).await;
        if let Ok(made) = wire
            .ask(7, &request, Instant::now() + Duration::from_secs(15))
            .await
        {
            let code = made.topics[0].error_code;
            world.history.note(format!("topic {topic} is made: {code}"));
            if matches!(code, ErrorCode::NONE | ErrorCode::TOPIC_ALREADY_EXISTS) {
                return;
            }
        }
        sleep(dice.millis(20, 300)).await;
    }
}

/// Topics are made, written to, read and removed.
async fn passing_topics(world: Arc<World>, dice: Dice) {
    for topic in PASSING_TOPICS..PASSING_TOPICS + u32::try_from(dice.below(4)).unwrap_or(0) {
        sleep(dice.millis(100, 5000)).await;
        create(&world, &dice, topic, 1).await;
        let plan = Plan {
            kind: Kind::Idempotent,
            topic,
            partitions: 1,
            batches: 5,
            pause: dice.millis(1, 50),
            request_timeout: Duration::from_secs(5),
            delivery_timeout: Duration::from_secs(60),
            retries_pipelined: true,
        };
        Producer::new(Arc::clone(&world), topic, plan).run().await;
        if dice.chance(500) {
            last::read(&world, &dice, topic, 1).await;
        }
        remove(&world, &dice, topic).await;
    }
}

async fn remove(world: &Arc<World>, dice: &Dice, topic: u32) {
    let request = DeleteTopicsRequest {
        topics: vec![DeleteTopicState {
            name: Some(topic_name(topic)),
            ..DeleteTopicState::default()
        }],
        timeout_ms: 30_000,
        ..DeleteTopicsRequest::default()
    };
    loop {
        let mut wire = world.connect(dice).await;
        if let Ok(removed) = wire
            .ask(6, &request, Instant::now() + Duration::from_secs(15))
            .await
        {
            let code = removed.responses[0].error_code;
            world
                .history
                .note(format!("topic {topic} is removed: {code}"));
            if matches!(
                code,
                ErrorCode::NONE | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            ) {
                return;
            }
        }
        sleep(dice.millis(20, 300)).await;
    }
}

impl Report {
    /// The first anomaly, what happened around it, and how to see it again.
    pub(crate) fn story(&self) -> String {
        let mut text = String::new();
        let Some(first) = self.anomalies.first() else {
            return text;
        };
        let from = first.at.saturating_sub(SHOWN);
        for (at, timed) in self.history.iter().enumerate().skip(from).take(SHOWN + 5) {
            let _ = writeln!(text, "{at:>6} {timed}");
        }
        for anomaly in self.anomalies.iter().take(10) {
            let _ = writeln!(text, "{anomaly}");
        }
        let seed = self.seed;
        let _ = writeln!(
            text,
            "seed {seed}: {} anomalies. Again: cargo sim --seeds {seed}..{} --trace",
            self.anomalies.len(),
            seed + 1
        );
        text
    }
}
