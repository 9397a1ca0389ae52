//! The network between agents and those that may hold the order: ports by name, and links whose frames take their time,
//! are held up while the way is cut in their direction, and arrive in order. Nobody learns that the other end is gone
//! unless that, too, finds its way.

use std::collections::{BTreeMap, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use metadata::Probe;
use metadata::rpc::{Dial, DialError, Link, who};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

use crate::world::{Dice, spawn};

/// Frames in each buffer between two processes, of which a link has two in each direction.
const FRAMES_MAX: usize = 16;
/// Links that nobody has taken in yet.
const BACKLOG: usize = 16;
/// How often it is looked whether a way is open again.
const LOOK: Duration = Duration::from_millis(20);

/// From an agent to whoever listens, or back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    There,
    Back,
}

#[derive(Clone, Debug)]
pub(crate) struct Net(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dice: Dice,
    ports: Mutex<BTreeMap<String, Port>>,
    ways: Mutex<BTreeMap<(String, String), Arc<Way>>>,
}

/// Where a process listens.
#[derive(Clone, Debug)]
struct Port {
    process: u32,
    links: mpsc::Sender<Link>,
    frozen: Arc<AtomicBool>,
}

/// Between two machines.
#[derive(Debug)]
pub(crate) struct Way {
    dice: Dice,
    cut: [AtomicBool; 2],
    /// Whoever comes is refused, as if nobody listened there.
    refuses: AtomicBool,
    /// How often all that was joined over it broke, and word of it.
    broken: AtomicU64,
    breaks: Notify,
    /// Up to so many ms are added to the time that a frame takes.
    slow_ms: AtomicU64,
}

impl Way {
    pub(crate) fn cut(&self, direction: Direction, cut: bool) {
        self.cut[direction as usize].store(cut, Ordering::Relaxed);
    }

    pub(crate) fn slow(&self, millis: u64) {
        self.slow_ms.store(millis, Ordering::Relaxed);
    }

    pub(crate) fn refuse(&self, refuse: bool) {
        self.refuses.store(refuse, Ordering::Relaxed);
    }

    /// Ends all links, for both ends.
    pub(crate) fn break_links(&self) {
        self.broken.fetch_add(1, Ordering::Relaxed);
        self.breaks.notify_waiters();
    }

    fn takes(&self) -> Duration {
        let slow = self.slow_ms.load(Ordering::Relaxed);
        self.dice.latency() + Duration::from_millis(self.dice.below(slow + 1))
    }

    async fn open(&self, direction: Direction) {
        while self.cut[direction as usize].load(Ordering::Relaxed) {
            sleep(LOOK).await;
        }
    }

    async fn travel(&self, direction: Direction) {
        sleep(self.takes()).await;
        self.open(direction).await;
    }

    /// An agent's end, and the other.
    fn link(self: &Arc<Self>) -> (Link, Link) {
        let (up, from_agent) = mpsc::channel(FRAMES_MAX);
        let (to_far, from_up) = mpsc::channel(FRAMES_MAX);
        let (down, from_far) = mpsc::channel(FRAMES_MAX);
        let (to_agent, from_down) = mpsc::channel(FRAMES_MAX);
        for (direction, from, to) in [
            (Direction::There, from_agent, to_far),
            (Direction::Back, from_far, to_agent),
        ] {
            spawn(carry(Arc::clone(self), direction, from, to));
        }
        (Link::new(up, from_down), Link::new(down, from_up))
    }
}

/// Until the sender is gone, which the receiver learns behind the last frame. A receiver that is gone says so on its own
/// way back; until then what is sent to it gets lost.
async fn carry(
    way: Arc<Way>,
    direction: Direction,
    mut from: mpsc::Receiver<Bytes>,
    to: mpsc::Sender<Bytes>,
) {
    let mut carried: VecDeque<(Instant, Option<Bytes>)> = VecDeque::new();
    let broken = way.broken.load(Ordering::Relaxed);
    while way.broken.load(Ordering::Relaxed) == broken {
        let last = carried.back().is_some_and(|(_, frame)| frame.is_none());
        let next = async {
            match carried.front() {
                Some((at, _)) => sleep_until(*at).await,
                None => pending().await,
            }
            way.open(direction).await;
        };
        tokio::select! {
            biased;
            frame = from.recv(), if !last && carried.len() < FRAMES_MAX => {
                let earliest = carried.back().map_or_else(Instant::now, |(at, _)| *at);
                carried.push_back((earliest.max(Instant::now() + way.takes()), frame));
            }
            () = next => match carried.pop_front() {
                Some((_, Some(frame))) => drop(to.send(frame).await),
                _ => return,
            },
            () = way.breaks.notified() => {}
        }
    }
}

impl Net {
    pub(crate) fn new(dice: Dice) -> Self {
        Self(Arc::new(Inner {
            dice,
            ports: Mutex::default(),
            ways: Mutex::default(),
        }))
    }

    /// The port of a process; one that had the same name before has it no longer.
    pub(crate) fn listen(
        &self,
        name: &str,
        process: u32,
        frozen: Arc<AtomicBool>,
    ) -> mpsc::Receiver<Link> {
        let (links, incoming) = mpsc::channel(BACKLOG);
        let port = Port {
            process,
            links,
            frozen,
        };
        self.0.ports.lock().insert(name.to_owned(), port);
        incoming
    }

    /// The process' port refuses from now on, if it still has it.
    pub(crate) fn close(&self, process: u32) {
        self.0
            .ports
            .lock()
            .retain(|_, port| port.process != process);
    }

    pub(crate) fn way(&self, from: &str, to: &str) -> Arc<Way> {
        let mut ways = self.0.ways.lock();
        let way = ways.entry((from.to_owned(), to.to_owned()));
        let way = way.or_insert_with(|| {
            Arc::new(Way {
                dice: self.0.dice.fork(),
                cut: [false.into(), false.into()],
                refuses: false.into(),
                broken: 0.into(),
                breaks: Notify::new(),
                slow_ms: 0.into(),
            })
        });
        Arc::clone(way)
    }

    pub(crate) fn ways(&self) -> Vec<((String, String), Arc<Way>)> {
        let ways = self.0.ways.lock();
        let ways = ways.iter();
        ways.map(|(ends, way)| (ends.clone(), Arc::clone(way)))
            .collect()
    }

    /// All ways are open and fast.
    pub(crate) fn heal(&self) {
        for (_, way) in self.ways() {
            way.cut(Direction::There, false);
            way.cut(Direction::Back, false);
            way.slow(0);
            way.refuse(false);
        }
    }

    /// There, and whether somebody listens.
    async fn arrive(&self, way: &Way, to: &str) -> Result<Port, DialError> {
        way.travel(Direction::There).await;
        let port = self.0.ports.lock().get(to).cloned();
        let port = port.filter(|_| !way.refuses.load(Ordering::Relaxed));
        if port.is_none() {
            way.travel(Direction::Back).await;
        }
        port.ok_or(DialError::Refused)
    }

    /// How the machine of that name reaches others.
    pub(crate) fn dial(&self, from: &str) -> Dial {
        let (net, from) = (self.clone(), from.to_owned());
        Dial::new(move |to| {
            let (net, way) = (net.clone(), net.way(&from, &to));
            async move { net.link(&way, &to).await }
        })
    }

    async fn link(&self, way: &Arc<Way>, to: &str) -> Result<Link, DialError> {
        let port = self.arrive(way, to).await?;
        // A frozen process' kernel takes the connection, but nobody answers on it.
        while port.frozen.load(Ordering::Relaxed) {
            sleep(LOOK).await;
        }
        let (near, far) = way.link();
        let sent = port.links.try_send(far);
        way.travel(Direction::Back).await;
        sent.map(|()| near)
            .map_err(|error| DialError::Failed(error.to_string()))
    }

    /// How it asks who is there.
    pub(crate) fn probe(&self, from: &str) -> Probe {
        let (net, from) = (self.clone(), from.to_owned());
        Probe::new(move |to| {
            let (net, way) = (net.clone(), net.way(&from, &to));
            let from = from.clone();
            async move { who(net.link(&way, &to).await, from).await }
        })
    }
}
