//! A candidate that holds the order, on a thread of its own whose time is taken, and agents with sessions of their own
//! that reach it as they do in the product.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context as _;
use metadata::rpc::{
    Budget, ConnectOptions, Dial, DialError, Link, Server, Wire, accept, connect, dial, pair,
};
use metadata::{
    Candidate, Command, CommitObject, CreateTopic, Error, Found, Metadata, Options, Probe, TopicId,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::figures::{Figures, Thread, process_cpu};
use crate::stores::Opened;
use crate::workload::{self, Agent, Schedule, Shape, answered};

const TOPIC: TopicId = TopicId(7);

/// How agents reach the sequencer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Travel {
    Links,
    Grpc,
}

struct Cluster {
    sequencer: JoinHandle<Result<(), Error>>,
    thread: Thread,
    stop: oneshot::Sender<()>,
    dial: Dial,
    /// Sessions, sockets, the agents' ends.
    tasks: JoinSet<anyhow::Result<()>>,
}

pub(crate) async fn run(
    store: &Opened,
    agents: u32,
    shape: &Shape,
    travel: Travel,
) -> anyhow::Result<Figures> {
    let mut cluster = start(store, travel).await?;
    let mut handles = Vec::new();
    for number in 0..agents {
        handles.push(cluster.agent(number).await);
    }
    create_topic(
        handles.first().context("at least one agent")?,
        shape.partitions,
    )
    .await?;
    let known = once_around(&handles, shape).await?;
    let begin = Instant::now();
    let mut running = JoinSet::new();
    for (number, (metadata, agent)) in (0..).zip(known) {
        let schedule = Schedule::new(begin, number, agents, shape);
        running.spawn(commits(metadata, agent, schedule));
    }
    sleep_until(begin + shape.warm_up).await;
    let (process, sequencer) = (process_cpu()?, cluster.thread.cpu()?);
    store.kv.take();
    sleep_until(begin + shape.warm_up + shape.measured).await;
    let (transactions, conflicts) = store.kv.take();
    let mut figures = Figures {
        seconds: shape.measured.as_secs_f64(),
        transactions,
        conflicts,
        process_cpu: process_cpu()?.saturating_sub(process),
        sequencer_cpu: Some(cluster.thread.cpu()?.saturating_sub(sequencer)),
        ..Figures::default()
    };
    while let Some(done) = running.join_next().await {
        figures.commits.extend(done??);
    }
    figures.entries = figures.commits.len() as u64 * u64::try_from(shape.entries)?;
    cluster.stop().await?;
    Ok(figures)
}

/// Every agent's producer becomes known to every partition, so that what is measured stays as it is.
async fn once_around(
    handles: &[Metadata],
    shape: &Shape,
) -> anyhow::Result<Vec<(Metadata, Agent)>> {
    let mut running = JoinSet::new();
    for (number, metadata) in (0..).zip(handles.iter().cloned()) {
        let mut agent = Agent::new(number, TOPIC, *shape)?;
        running.spawn(async move {
            for _ in 0..agent.commits_for_all() {
                commit(&metadata, agent.segment()?).await?;
            }
            anyhow::Ok((metadata, agent))
        });
    }
    let mut known = Vec::new();
    while let Some(done) = running.join_next().await {
        known.push(done??);
    }
    Ok(known)
}

async fn commit(metadata: &Metadata, segment: CommitObject) -> anyhow::Result<()> {
    let answer = metadata.submit(Command::CommitObject(segment)).await?;
    answered(&answer.outcome)
}

/// One after the other, to the end.
async fn commits(
    metadata: Metadata,
    mut agent: Agent,
    mut schedule: Schedule,
) -> anyhow::Result<Vec<std::time::Duration>> {
    let mut segment = agent.segment()?;
    while let Some(begun) = schedule.next().await {
        let submitted = metadata.submit(Command::CommitObject(segment));
        // Made while the other is under way, as an agent does.
        segment = agent.segment()?;
        answered(&submitted.await?.outcome)?;
        schedule.done(begun);
    }
    Ok(schedule.took())
}

async fn create_topic(metadata: &Metadata, partitions: i32) -> anyhow::Result<()> {
    // Agents use their own numbers, which must have been handed out.
    let ids = Command::AllocateProducerIds { count: 1_000 };
    metadata.submit(ids).await?;
    let create = CreateTopic {
        name: "commits".to_owned(),
        id: TOPIC,
        partitions,
        replication_factor: 1,
        configs: BTreeMap::new(),
    };
    metadata.submit(Command::CreateTopic(create)).await?;
    Ok(())
}

async fn start(store: &Opened, travel: Travel) -> anyhow::Result<Cluster> {
    let mut tasks = JoinSet::new();
    let (links, incoming) = mpsc::channel(16);
    let candidate = Candidate::new(
        Arc::clone(&store.kv) as _,
        Options::new(Arc::new(workload::now)),
        "bench:1".to_owned(),
        Probe::new(|_| async { Found::Unclear("nobody else is there".to_owned()) }),
    );
    let server = Server::new(incoming, candidate.status());
    let (stop, stopped) = oneshot::channel::<()>();
    let (tell, told) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let sequencer = std::thread::Builder::new()
        .name("sequencer".to_owned())
        .spawn(move || {
            // Nobody listens only if the bench has ended.
            let _ = tell.send(Thread::current());
            runtime.block_on(candidate.run(async { drop(stopped.await) }))
        })?;
    tasks.spawn(async move {
        server.run().await;
        Ok(())
    });
    let dial = match travel {
        Travel::Links => in_memory(links),
        Travel::Grpc => over_sockets(links, &mut tasks).await?,
    };
    Ok(Cluster {
        sequencer,
        thread: told.await??,
        stop,
        dial,
        tasks,
    })
}

fn in_memory(links: mpsc::Sender<Link>) -> Dial {
    Dial::new(move |_| {
        let links = links.clone();
        async move {
            let (near, far) = pair();
            links.send(far).await.map_err(|_| DialError::Refused)?;
            Ok(near)
        }
    })
}

async fn over_sockets(
    links: mpsc::Sender<Link>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<Dial> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let budget = Budget::default();
    tasks.spawn(async move {
        let mut sockets = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await?;
            let links = links.clone();
            let budget = budget.clone();
            sockets.spawn(async move { accept(&Wire::Plain, socket, links, &budget).await });
        }
    });
    Ok(Dial::new(move |_| {
        let address = address.clone();
        async move { dial(&Wire::Plain, &address).await }
    }))
}

impl Cluster {
    /// Connected.
    async fn agent(&mut self, number: u32) -> Metadata {
        let (metadata, client) = connect(ConnectOptions {
            witness: None,
            addresses: vec!["bench:1".to_owned()],
            dial: self.dial.clone(),
            agent: None,
            random: Arc::new(move || number.into()),
        });
        self.tasks.spawn(async move { Ok(client.run().await?) });
        metadata.joined().await;
        metadata
    }

    async fn stop(self) -> anyhow::Result<()> {
        let Self {
            sequencer,
            stop,
            mut tasks,
            ..
        } = self;
        // It may have failed before, which it says now.
        let _ = stop.send(());
        let ended = tokio::task::spawn_blocking(move || sequencer.join()).await?;
        tasks.shutdown().await;
        ended.map_err(|_| anyhow::anyhow!("the sequencer panicked"))??;
        Ok(())
    }
}
