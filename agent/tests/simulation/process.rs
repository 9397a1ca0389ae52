//! One process of the product, over its own ways to store, bucket and other processes, and its own clock. It can be frozen,
//! killed, drained, and its clock set; it ends by itself as the real one does. `roles` has what it does.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use metadata::{Options, Status, Steps};
use parking_lot::Mutex;
use penstock::clock::Clock;
use penstock::execution::{Execution, Simulated};
use penstock::server::Rooms;
use penstock::tasks::Tasks;
use tokio::io::DuplexStream;
use tokio::sync::watch;

use crate::history::History;
use crate::link::Link;
use crate::net::Net;
use crate::outlet::Outlet;
use crate::roles::{Main, Role, settings};
use crate::versions;
use crate::world::{Dice, EPOCH_MS, World};

/// In each direction of a connection, before the sender waits.
const SOCKET_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: u32,
    pub(crate) role: Role,
    /// The highest that it knows.
    pub(crate) level: u32,
    pub(crate) link: Link,
    pub(crate) outlet: Outlet,
    net: Net,
    execution: Arc<Simulated>,
    history: Arc<History>,
    clock: Arc<AtomicI64>,
    frozen: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    rooms: Arc<Mutex<Option<Arc<Rooms>>>>,
    standing: Arc<OnceLock<Status>>,
    stop: watch::Sender<bool>,
    connections: AtomicU64,
}

impl Process {
    pub(crate) fn start(world: &World, id: u32, role: Role) -> Arc<Self> {
        let dice = world.dice.fork();
        let link = Link::new(world, dice.fork(), id);
        let clock = Arc::new(AtomicI64::new(world.now_ms() + world.skew(role)));
        let level = world.versions.level(&dice, world.has_healed());
        if world.versions.are_mixed() {
            world
                .history
                .note(format!("process {id} is of level {level}"));
        }
        let execution = Arc::new(versions::life(level));
        let tasks = Tasks::of(Execution::Simulated(Arc::clone(&execution)));
        let (stop, stopping) = watch::channel(false);
        let (rooms, standing) = (Arc::default(), Arc::<OnceLock<Status>>::default());
        let (ended, random) = (Arc::new(AtomicBool::new(false)), dice.random());
        let (frozen, outlet) = (Arc::default(), Outlet::new(Arc::clone(&world.bucket)));
        let manual = Clock::Manual(Arc::clone(&clock));
        let now = manual.clone();
        let checkpoint_steps = steps(&dice);
        let upkeep = dice.millis(500, 10_000);
        let options = Options {
            random: Arc::new(move || random.u64()),
            checkpoint_steps,
            expiry_interval: upkeep,
            leftovers_interval: upkeep,
            witness: Some(outlet.witness()),
            checkpoint_interval: dice.millis(300, 6000),
            checkpoint_log_bytes: dice.between(2_000, 200_000),
            log_bytes_max: dice.between(2_000, 600_000),
            ..Options::new(Arc::new(move || now.now()))
        };
        let main = Main {
            id,
            role,
            link: link.clone(),
            options,
            outlet: outlet.clone(),
            net: world.net.clone(),
            metadata: world.fleet.metadata(role),
            frozen: Arc::clone(&frozen),
            settings: settings(&dice),
            dice,
            clock: manual,
            tasks: tasks.clone(),
            rooms: Arc::clone(&rooms),
            standing: Arc::clone(&standing),
            stop: stopping,
        };
        let process = Arc::new(Self {
            id,
            role,
            level,
            link,
            outlet,
            net: world.net.clone(),
            execution,
            history: Arc::clone(&world.history),
            clock,
            frozen,
            ended,
            rooms,
            standing,
            stop,
            connections: AtomicU64::new(0),
        });
        let this = Arc::clone(&process);
        tasks.sibling().spawn("main", async move {
            let why = main.run().await;
            this.history.note(format!("process {id} ends: {why}"));
            this.end();
            Ok(())
        });
        process
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

    /// Whether it takes itself for the one that holds the order.
    pub(crate) fn holds_the_order(&self) -> bool {
        !self.has_ended() && self.standing.get().is_some_and(Status::holds)
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    pub(crate) fn freeze(&self) {
        self.history.note(format!("process {} freezes", self.id));
        self.frozen.store(true, Ordering::Relaxed);
        self.execution.freeze();
    }

    pub(crate) fn thaw(&self) {
        self.history.note(format!("process {} goes on", self.id));
        self.frozen.store(false, Ordering::Relaxed);
        self.execution.thaw();
    }

    pub(crate) fn kill(&self) {
        self.history.note(format!("process {} is killed", self.id));
        self.end();
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.net.close(self.id);
        self.rooms.lock().take();
        self.execution.kill();
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

/// Each size its own: one that is small beside one that is large takes other ways through a checkpoint than two of a kind.
fn steps(dice: &Dice) -> Steps {
    let Steps {
        bytes,
        extents,
        cleared,
    } = Steps::default();
    Steps {
        bytes: [1, 1 + dice.index(500), bytes][dice.index(3)],
        extents: [1 + dice.index(3), 1 + dice.index(30), extents][dice.index(3)],
        cleared: [1, cleared][dice.index(2)],
    }
}

impl World {
    /// What a machine's clock says when it is right.
    pub(crate) fn now_ms(&self) -> i64 {
        EPOCH_MS + i64::try_from(self.history.elapsed().as_millis()).unwrap_or_default()
    }
}
