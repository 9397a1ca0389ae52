//! Many agents over one order, in one process: candidates over a shared store in memory, agents that reach them by links
//! in memory or by gRPC over pipes, and everything that can happen to either.

mod addresses;
mod agents;
mod alive;
mod bounds;
mod busy;
mod crowd;
mod failover;
mod frozen;
mod grpc;
mod history;
mod hostile;
mod level;
mod listed;
mod naming;
mod order;
mod others;
mod played;
mod shares;
mod spoken;
mod twice;
mod versions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};

use super::client::{ConnectOptions, connect};
use super::link::{Dial, DialError, Link, pair};
use super::message::{Hello, SPOKEN, Versions, Welcome};
use super::server::Server;
use crate::catalogue::Agent as Node;
use crate::error::Error;
use crate::handle::Metadata;
use crate::history::{Chain, HistoryId};
use crate::kv::{Direction, Kv, KvError, Memory, Rows, Transaction};
use crate::sequencer::lineage::Lineage;
use crate::sequencer::tests::{
    TOPIC, committed, create_topic, high_watermark, options, partition, plain, seconds,
};
use crate::sequencer::{Candidate, Probe};
use crate::types::{Lsn, SessionId};

/// Whatever is waited for comes in this time, on tokio's paused clock.
const PATIENCE: Duration = Duration::from_secs(60);

/// How frames travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Travel {
    Links,
    Grpc,
}

/// All processes that can be reached.
#[derive(Clone, Debug)]
struct Net {
    travel: Travel,
    open: Arc<Mutex<BTreeMap<String, Port>>>,
    /// Addresses that lead to any of several processes, as of a load balancer.
    services: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
    /// Between whom nothing goes.
    cut: Arc<Mutex<Vec<(String, String, Cut)>>>,
    dialed: Arc<AtomicU64>,
    /// What processes and agents speak that are started by this copy.
    versions: Versions,
}

/// What a process finds that tries to reach another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Nothing comes back.
    Dropped,
    /// Something between them answers that nobody listens there.
    Refused,
}

#[derive(Clone, Debug)]
struct Port {
    links: mpsc::Sender<Link>,
    frozen: watch::Receiver<bool>,
}

/// A process that may hold the order.
struct Process {
    /// Sessions and what the network carries for it.
    frozen: watch::Sender<bool>,
    /// The sequencer.
    stuck: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    candidate: JoinHandle<Result<(), Error>>,
    server: JoinHandle<()>,
    address: String,
    net: Net,
}

/// An agent.
struct Agent {
    metadata: Metadata,
    task: JoinHandle<Result<(), Error>>,
    frozen: watch::Sender<bool>,
}

#[expect(clippy::disallowed_methods, reason = "the test owns its tasks")]
fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(task)
}

async fn thaw(frozen: &mut watch::Receiver<bool>) {
    let _ = frozen.wait_for(|frozen| !*frozen).await;
}

/// Is not polled while frozen, as a process that is stopped.
async fn freezable<T>(inner: impl Future<Output = T>, mut frozen: watch::Receiver<bool>) -> T {
    tokio::pin!(inner);
    loop {
        let froze = tokio::select! {
            biased;
            froze = frozen.wait_for(|frozen| *frozen) => froze.is_ok(),
            done = &mut inner => return done,
        };
        if !froze {
            return inner.await;
        }
        thaw(&mut frozen).await;
    }
}

/// Passes frames on, unless either end is frozen.
async fn relay(from: Link, to: Link, frozen: [watch::Receiver<bool>; 2]) {
    let (up, down) = (
        one_way(from.receiver, to.sender, frozen.clone()),
        one_way(to.receiver, from.sender, frozen),
    );
    tokio::join!(up, down);
}

async fn one_way(
    mut from: mpsc::Receiver<Bytes>,
    to: mpsc::Sender<Bytes>,
    mut frozen: [watch::Receiver<bool>; 2],
) {
    loop {
        let frame = tokio::select! {
            frame = from.recv() => frame,
            () = to.closed() => None,
        };
        for each in &mut frozen {
            thaw(each).await;
        }
        let Some(frame) = frame else { return };
        if to.send(frame).await.is_err() {
            return;
        }
    }
}

impl Net {
    fn new(travel: Travel) -> Self {
        Self {
            travel,
            open: Arc::default(),
            services: Arc::default(),
            cut: Arc::default(),
            dialed: Arc::default(),
            versions: SPOKEN,
        }
    }

    /// The sequencer's process sees the other end.
    async fn dial(&self, address: &str, agent: watch::Receiver<bool>) -> Result<Link, DialError> {
        let dialed = self.dialed.fetch_add(1, Ordering::Relaxed);
        let turn = usize::try_from(dialed).unwrap();
        let service = self.services.lock().get(address).cloned();
        let address = match &service {
            Some(behind) => &behind[turn % behind.len()],
            None => address,
        };
        let port = self.open.lock().get(address).cloned();
        let port = port.ok_or(DialError::Refused)?;
        let (near, far) = match self.travel {
            Travel::Links => pair(),
            Travel::Grpc => {
                let (client, server) = tokio::io::duplex(64 * 1024);
                let (links, mut accepted) = mpsc::channel(1);
                spawn(async move {
                    super::grpc::serve(server, None, links, &super::Budget::default()).await
                });
                let near = super::grpc::begin(client).await?;
                (near, accepted.recv().await.ok_or(DialError::Refused)?)
            }
        };
        // `far` is what the server's process has of this link, behind the relay.
        let (agent_end, relay_near) = pair();
        let _ = &near;
        spawn(relay(relay_near, near, [agent, port.frozen]));
        port.links.send(far).await.map_err(|_| DialError::Refused)?;
        Ok(agent_end)
    }

    /// As the process at `from` asks.
    fn probe(&self, from: &str) -> Probe {
        let (net, from) = (self.clone(), from.to_owned());
        Probe::new(move |address| {
            let awake = watch::channel(false).1;
            let cut =
                net.cut.lock().iter().find_map(|(one, other, cut)| {
                    (*one == from && *other == address).then_some(*cut)
                });
            let (net, from) = (net.clone(), from.clone());
            async move {
                match cut {
                    Some(Cut::Dropped) => std::future::pending().await,
                    Some(Cut::Refused) => super::who(Err(DialError::Refused), from).await,
                    None => super::who(net.dial(&address, awake).await, from).await,
                }
            }
        })
    }

    /// Starts a process over the store.
    fn start(&self, kv: impl Kv + 'static, address: &str, seed: u64) -> Process {
        self.start_as(kv, address, address, seed)
    }

    /// One that tells others another address than the one where it listens.
    fn start_as(
        &self,
        kv: impl Kv + 'static,
        address: &str,
        advertised: &str,
        seed: u64,
    ) -> Process {
        let (links, incoming) = mpsc::channel(16);
        let frozen = watch::Sender::new(false);
        let stuck = watch::Sender::new(false);
        let stop = watch::Sender::new(false);
        let port = Port {
            links,
            frozen: frozen.subscribe(),
        };
        self.open.lock().insert(address.to_owned(), port);
        let kv = Arc::new(Freezing {
            kv: Arc::new(kv),
            frozen: stuck.subscribe(),
        });
        let probe = self.probe(address);
        let candidate = Candidate::new(kv, options(seed), advertised.to_owned(), probe);
        let server = Server::new(incoming, candidate.status()).speaking(self.versions);
        let mut stopped = stop.subscribe();
        let running = candidate.run(async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        });
        let candidate = spawn(freezable(running, stuck.subscribe()));
        let server = match self.travel {
            Travel::Grpc => spawn(server.run()),
            Travel::Links => spawn(freezing_server(server, frozen.subscribe())),
        };
        Process {
            stuck,
            frozen,
            stop,
            candidate,
            server,
            address: address.to_owned(),
            net: self.clone(),
        }
    }

    /// Starts an agent that knows these addresses, and waits until it is connected.
    async fn agent(&self, addresses: &[&str], seed: u64) -> Agent {
        let agent = self.agent_alone(addresses, seed);
        timeout(PATIENCE, agent.metadata.joined())
            .await
            .expect("it finds a sequencer");
        agent
    }

    fn agent_alone(&self, addresses: &[&str], seed: u64) -> Agent {
        let frozen = watch::Sender::new(false);
        let (net, thawing) = (self.clone(), frozen.subscribe());
        let dial = Dial::new(move |address| {
            let (net, thawing) = (net.clone(), thawing.clone());
            async move { net.dial(&address, thawing).await }
        });
        let (metadata, client) = connect(ConnectOptions {
            witness: None,
            addresses: addresses.iter().map(|each| (*each).to_owned()).collect(),
            dial,
            agent: Some(node(seed)),
            random: options(seed).random,
        });
        Agent {
            metadata,
            task: spawn(client.speaking(self.versions).run()),
            frozen,
        }
    }
}

/// Who an agent is to clients.
fn node(seed: u64) -> Node {
    let number = i32::try_from(seed).unwrap();
    // Tests number agents from 11 on. Past a hundred, they have the node id of one of those, elsewhere.
    Node::new(number % 100, format!("agent{number}"), 9092)
}

/// The first words of an agent that never had a session and takes no clients.
fn no_session() -> Hello {
    Hello {
        versions: SPOKEN,
        level: 1,
        session: SessionId::NONE,
        remembered: None,
        agent: None,
    }
}

/// What one says that serves an agent.
fn welcome(session: u64) -> Welcome {
    Welcome {
        version: SPOKEN.max,
        cluster_id: "c".to_owned(),
        session: SessionId {
            id: session,
            nonce: 1,
        },
        lineage: Lineage {
            chain: Arc::new(Chain::new(HistoryId(1), 1, 1)),
            durable: Lsn(1),
        },
        level: 1,
        naming: crate::types::NamingEpoch(0),
    }
}

/// As `Server::run`, with sessions that freeze.
async fn freezing_server(mut server: Server, frozen: watch::Receiver<bool>) {
    let mut sessions = JoinSet::new();
    while let Some(session) = server.next().await {
        sessions.spawn(freezable(session, frozen.clone()));
    }
}

impl Process {
    fn freeze(&self) {
        self.frozen.send_replace(true);
        self.stuck.send_replace(true);
    }

    fn go_on(&self) {
        self.frozen.send_replace(false);
        self.stuck.send_replace(false);
    }

    /// As by SIGKILL: nothing is written or said any more, and the port refuses.
    async fn kill(self) {
        self.net.open.lock().remove(&self.address);
        self.candidate.abort();
        self.server.abort();
        let _ = self.candidate.await;
        let _ = self.server.await;
    }

    /// As by SIGTERM.
    async fn terminate(self) {
        self.stop.send_replace(true);
        let ended = timeout(PATIENCE, self.candidate).await.expect("it stops");
        ended.unwrap().unwrap();
        self.net.open.lock().remove(&self.address);
        self.server.abort();
        let _ = self.server.await;
    }
}

impl Agent {
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    async fn close(self) {
        self.metadata.close().await;
        self.task.await.unwrap().unwrap();
    }
}

/// A store that a frozen process cannot reach until it goes on.
#[derive(Debug)]
struct Freezing {
    kv: Arc<dyn Kv>,
    frozen: watch::Receiver<bool>,
}

impl Freezing {
    async fn thaw(&self) {
        thaw(&mut self.frozen.clone()).await;
    }
}

#[async_trait]
impl Kv for Freezing {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        self.thaw().await;
        self.kv.get(key).await
    }

    async fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Rows, KvError> {
        self.thaw().await;
        self.kv.range(start, end, limit, direction).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        self.thaw().await;
        // Stores take their time, in which others go on.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        self.kv.commit(transaction).await
    }

    fn name(&self) -> &'static str {
        "freezing"
    }
}

/// One process, a topic of three partitions, and two agents.
async fn two_agents(travel: Travel) -> (Memory, Net, Process, Agent, Agent) {
    let (memory, net) = (Memory::new(), Net::new(travel));
    let process = net.start(memory.clone(), "one:1", 1);
    let a = net.agent(&["one:1"], 11).await;
    let b = net.agent(&["one:1"], 12).await;
    create_topic(&a.metadata, TOPIC, "orders", 3).await;
    (memory, net, process, a, b)
}

/// Commits until it succeeds, as producers do; the offset, and how long it took.
async fn committed_at_last(metadata: &Metadata, numbers: &mut u64) -> (i64, Duration) {
    let begun = Instant::now();
    loop {
        *numbers += 1;
        match metadata.submit(plain(*numbers, 0)).await {
            Ok(answer) => {
                let offset = crate::sequencer::tests::placed(&answer.outcome)
                    .base_offset
                    .0;
                return (offset, begun.elapsed());
            }
            Err(Error::Unavailable { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => panic!("{error}"),
        }
        assert!(begun.elapsed() < PATIENCE, "it takes too long");
    }
}
