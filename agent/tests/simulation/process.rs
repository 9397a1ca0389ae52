//! One process of the product: an agent with the sequencer inside, over its own link to the store and its own clock. It can
//! be frozen, killed, drained, and its clock set; it ends by itself as the real one does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use metadata::Options;
use object_store::ObjectStore;
use object_store::path::Path;
use parking_lot::Mutex;
use penstock::clock::Clock;
use penstock::config::{CompressionLevel, StoreUrl};
use penstock::context::{AutoCreate, Node};
use penstock::life::{Held, Life};
use penstock::server::{Order, Outside, Rooms, Settings};
use penstock::storage::{Store, StoreOptions};
use penstock::tasks::Tasks;
use tokio::io::DuplexStream;
use tokio::sync::watch;

use crate::history::History;
use crate::link::Link;
use crate::world::{Dice, EPOCH_MS, World};

/// In each direction of a connection, before the sender waits.
const SOCKET_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: u32,
    pub(crate) link: Link,
    life: Arc<Held>,
    history: Arc<History>,
    clock: Arc<AtomicI64>,
    frozen: AtomicBool,
    ended: Arc<AtomicBool>,
    rooms: Arc<Mutex<Option<Arc<Rooms>>>>,
    stop: watch::Sender<bool>,
    connections: AtomicU64,
}

/// What a process' main task needs.
struct Main {
    id: u32,
    link: Link,
    options: Options,
    bucket: Arc<dyn ObjectStore>,
    dice: Dice,
    clock: Clock,
    settings: Settings,
    tasks: Tasks,
    rooms: Arc<Mutex<Option<Arc<Rooms>>>>,
    stop: watch::Receiver<bool>,
}

impl Process {
    pub(crate) fn start(world: &World, id: u32) -> Arc<Self> {
        let dice = world.dice.fork();
        let link = Link::new(
            world.memory.clone(),
            Arc::clone(&world.history),
            dice.fork(),
            id,
        );
        let clock = Arc::new(AtomicI64::new(world.now_ms()));
        let life = Arc::new(Held::default());
        let tasks = Tasks::of(Life::Held(Arc::clone(&life)));
        let (stop, stopping) = watch::channel(false);
        let rooms = Arc::default();
        let (ended, random) = (Arc::new(AtomicBool::new(false)), dice.random());
        let manual = Clock::Manual(Arc::clone(&clock));
        let now = manual.clone();
        let options = Options {
            random: Arc::new(move || random.u64()),
            checkpoint_interval: dice.millis(300, 6000),
            checkpoint_log_bytes: dice.between(2_000, 200_000),
            ..Options::new(Arc::new(move || now.now()))
        };
        let main = Main {
            id,
            link: link.clone(),
            options,
            bucket: Arc::clone(&world.bucket) as Arc<dyn ObjectStore>,
            settings: settings(&dice),
            dice,
            clock: manual,
            tasks: tasks.clone(),
            rooms: Arc::clone(&rooms),
            stop: stopping,
        };
        let (history, over, held) = (
            Arc::clone(&world.history),
            Arc::clone(&ended),
            Arc::clone(&life),
        );
        tasks.spawn("main", async move {
            let id = main.id;
            let why = main.run().await;
            history.note(format!("process {id} ends: {why}"));
            over.store(true, Ordering::Relaxed);
            held.kill();
            Ok(())
        });
        Arc::new(Self {
            id,
            link,
            life,
            history: Arc::clone(&world.history),
            clock,
            frozen: AtomicBool::new(false),
            ended,
            rooms,
            stop,
            connections: AtomicU64::new(0),
        })
    }

    /// The client's end of a new connection, if the port is open.
    pub(crate) fn connect(&self) -> Option<DuplexStream> {
        let rooms = self.rooms.lock().clone()?;
        if self.has_ended() || *self.stop.borrow() {
            return None;
        }
        let (ours, theirs) = tokio::io::duplex(SOCKET_BYTES);
        let id = self.connections.fetch_add(1, Ordering::Relaxed);
        rooms.connect(id, tokio::io::split(theirs));
        Some(ours)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Whether it serves: up, not frozen and not ending.
    pub(crate) fn serves(&self) -> bool {
        !self.has_ended() && !self.is_frozen() && !*self.stop.borrow()
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    pub(crate) fn freeze(&self) {
        self.history.note(format!("process {} freezes", self.id));
        self.frozen.store(true, Ordering::Relaxed);
        self.life.freeze();
    }

    pub(crate) fn thaw(&self) {
        self.history.note(format!("process {} goes on", self.id));
        self.frozen.store(false, Ordering::Relaxed);
        self.life.thaw();
    }

    pub(crate) fn kill(&self) {
        self.history.note(format!("process {} is killed", self.id));
        self.ended.store(true, Ordering::Relaxed);
        self.rooms.lock().take();
        self.life.kill();
    }

    /// As by SIGTERM.
    pub(crate) fn terminate(&self) {
        self.history.note(format!("process {} drains", self.id));
        self.stop.send_replace(true);
    }

    pub(crate) fn clock_forward(&self, millis: i64) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Main {
    /// Until the process is told to stop, or cannot go on; why.
    async fn run(mut self) -> String {
        let (metadata, sequencer) = match metadata::start(Arc::new(self.link), self.options).await {
            Ok(started) => started,
            Err(error) => return format!("cannot start: {error}"),
        };
        self.tasks
            .spawn("sequencer", async move { Ok(sequencer.run().await?) });
        let outside = Outside {
            metadata,
            store: Store::with_random(self.bucket, Path::default(), false, self.dice.random()),
            clock: self.clock,
            random: self.dice.random(),
            tasks: self.tasks,
        };
        let node = Node {
            id: 1,
            host: "simulated".to_owned(),
            port: 9092,
            zone: None,
        };
        let rooms = Arc::new(Rooms::start(&self.settings, node, outside));
        *self.rooms.lock() = Some(Arc::clone(&rooms));
        let failed = tokio::select! {
            biased;
            failed = rooms.failed() => Some(failed),
            () = told(&mut self.stop) => None,
        };
        self.rooms.lock().take();
        match failed {
            Some(failed) => failed,
            None => {
                rooms.drain(self.settings.shutdown_grace).await;
                "drained".to_owned()
            }
        }
    }
}

/// Until it is true.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Of which simulation needs few; sizes are small, so that every bound is met.
fn settings(dice: &Dice) -> Settings {
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    Settings {
        listen: nowhere,
        http: None,
        advertise: None,
        node_id: Some(1),
        zone: None,
        bucket: "simulated".to_owned(),
        bucket_options: StoreOptions::default(),
        order: Order::Here {
            store: StoreUrl::Memory,
            peer: None,
        },
        peer_tls: None,
        data: None,
        auto_create: AutoCreate::Disabled,
        num_partitions: 1,
        segment_bytes: 500 + dice.index(20_000),
        age_max: dice.millis(5, 250),
        puts_per_second: dice.between(2, 40) as f64,
        buffer_memory: 1 << 20,
        cache_memory: dice.index(3) * 8 * 1024,
        compression: match dice.chance(500) {
            true => CompressionLevel::Zstd(1),
            false => CompressionLevel::Off,
        },
        connections_max: 1000,
        shutdown_grace: Duration::from_secs(5),
    }
}

impl World {
    /// What a machine's clock says when it is right.
    pub(crate) fn now_ms(&self) -> i64 {
        EPOCH_MS + i64::try_from(self.history.elapsed().as_millis()).unwrap_or_default()
    }
}
