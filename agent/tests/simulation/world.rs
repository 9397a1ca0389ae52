//! What a run has one of: history, randomness, metadata store, bucket, and the processes there are. Everything of it
//! happens in one thread, in simulated time, and follows from the seed.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use metadata::kv::Memory;
use parking_lot::Mutex;
use penstock::random::Random;
use tokio::time::sleep;

use crate::bucket::Bucket;
use crate::damage::Holes;
use crate::fleet::Fleet;
use crate::history::History;
use crate::link::Traffic;
use crate::net::Net;
use crate::process::Process;
use crate::roles::Role;
use crate::swarm;
use crate::versions::Versions;
use crate::wire::Wire;

/// Where the clocks of all processes begin.
pub(crate) const EPOCH_MS: i64 = 1_790_000_000_000;

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) history: Arc<History>,
    pub(crate) holes: Holes,
    pub(crate) memory: Memory,
    pub(crate) traffic: Traffic,
    pub(crate) bucket: Arc<Bucket>,
    pub(crate) net: Net,
    pub(crate) fleet: Fleet,
    pub(crate) versions: Versions,
    pub(crate) has_a_swarm: bool,
    pub(crate) dice: Dice,
    processes: Mutex<Vec<Arc<Process>>>,
    /// What the clocks of machines are wrong by, in milliseconds, whichever process runs there.
    skews: Mutex<BTreeMap<String, i64>>,
    next_process: AtomicU32,
    next_wire: AtomicU32,
    healed: AtomicBool,
}

impl World {
    /// Of an even seed with one process that has everything inside, now and then several; of an odd one with a fleet.
    pub(crate) fn new(seed: u64, holes: Holes) -> Arc<Self> {
        let history = Arc::new(History::new());
        let dice = Dice::new(seed);
        let fleet = match seed.is_multiple_of(2) {
            true => Fleet::alone(),
            false => Fleet::draw(&dice),
        };
        history.note(format!("{fleet:?}"));
        let bucket = Arc::new(Bucket::new(Arc::clone(&history), dice.fork()));
        Arc::new(Self {
            history,
            holes,
            memory: Memory::new(),
            traffic: Traffic::default(),
            bucket,
            net: Net::new(dice.fork()),
            fleet,
            versions: Versions::draw(&dice),
            has_a_swarm: swarm::comes(seed),
            dice,
            processes: Mutex::default(),
            skews: Mutex::default(),
            next_process: AtomicU32::new(1),
            next_wire: AtomicU32::new(1),
            healed: AtomicBool::new(false),
        })
    }

    /// A new process, whatever the others do.
    pub(crate) fn start(&self, role: Role) {
        let id = self.next_process.fetch_add(1, Ordering::Relaxed);
        self.history.note(format!("process {id} starts: {role:?}"));
        let process = Process::start(self, id, role);
        self.processes.lock().push(process);
    }

    /// What a new process finds its machine's clock wrong by.
    pub(crate) fn skew(&self, role: Role) -> i64 {
        let mut skews = self.skews.lock();
        let drawn = || match self.dice.chance(250) {
            true => self.dice.jump(),
            false => 0,
        };
        *skews.entry(role.name()).or_insert_with(drawn)
    }

    /// A machine's clock is set wrong, or right, for good.
    pub(crate) fn skew_more(&self, role: Role, by: i64) {
        *self.skews.lock().entry(role.name()).or_default() += by;
    }

    /// All that there are to be.
    pub(crate) fn start_all(&self) {
        self.fleet.0.iter().for_each(|role| self.start(*role));
    }

    /// From now on nobody makes trouble.
    pub(crate) fn heal(&self) {
        self.healed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_healed(&self) -> bool {
        self.healed.load(Ordering::Relaxed)
    }

    /// Those that have not ended.
    pub(crate) fn processes(&self) -> Vec<Arc<Process>> {
        let mut processes = self.processes.lock();
        processes.retain(|process| !process.has_ended());
        processes.clone()
    }

    /// Moves every process' clock on. Called now and then by the run.
    pub(crate) fn tick(&self, by: Duration) {
        for process in self.processes.lock().iter() {
            process.clock_forward(i64::try_from(by.as_millis()).unwrap_or_default());
        }
    }

    /// A connection to that process, if its port answers.
    pub(crate) fn wire(&self, process: &Process) -> Option<Wire> {
        let socket = process.connect()?;
        let number = self.next_wire.fetch_add(1, Ordering::Relaxed);
        Some(Wire::new(socket, process.id, number))
    }

    /// A connection to some process whose port answers; frozen ones take connections too, as a kernel does for them.
    pub(crate) async fn connect(&self, dice: &Dice) -> Wire {
        loop {
            sleep(dice.latency()).await;
            let mut processes = self.processes();
            processes.retain(|process| process.role.serves_clients());
            if !processes.is_empty() {
                let chosen = &processes[dice.index(processes.len())];
                if let Some(wire) = self.wire(chosen) {
                    return wire;
                }
            }
            sleep(Duration::from_millis(20 + dice.below(80))).await;
        }
    }
}

/// Starts a task of the world itself, which no process' end touches.
#[expect(
    clippy::disallowed_methods,
    reason = "the world owns its tasks: they end with the runtime"
)]
pub(crate) fn spawn(
    task: impl Future<Output = ()> + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(task)
}

/// A seed's chances.
#[derive(Clone, Debug)]
pub(crate) struct Dice(Random);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Random::seeded(seed.wrapping_mul(0x1000_0000_01b3)))
    }

    /// Dice of somebody's own, so that what others do changes them not.
    pub(crate) fn fork(&self) -> Self {
        Self(Random::seeded(self.0.u64()))
    }

    pub(crate) fn random(&self) -> Random {
        Random::seeded(self.0.u64())
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.u64()
    }

    pub(crate) fn below(&self, end: u64) -> u64 {
        self.0.u64() % end.max(1)
    }

    /// Into something that long.
    pub(crate) fn index(&self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }

    pub(crate) fn between(&self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from).max(1))
    }

    pub(crate) fn chance(&self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    pub(crate) fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.between(from, to))
    }

    /// Of a clock, in milliseconds, either way: by seconds, minutes, hours or days.
    pub(crate) fn jump(&self) -> i64 {
        let far = [1_000, 5 * 60_000, 7 * 3_600_000, 72 * 3_600_000][self.index(4)];
        i64::try_from(self.below(2 * far)).unwrap_or(0) - i64::try_from(far).unwrap_or(0)
    }

    /// Of a message between two machines.
    pub(crate) fn latency(&self) -> Duration {
        Duration::from_micros(self.between(200, 3000))
    }
}
