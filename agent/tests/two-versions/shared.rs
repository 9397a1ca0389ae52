//! Over one PostgreSQL, where processes of both versions may hold the order and wait for it side by side.

use std::path::{Path, PathBuf};

use super::cluster::{Load, agent, bucket, end, holds};
use super::server::{DATABASE, Server};
use super::support::broker::program;
use super::support::processes::Process;
use super::support::tools::{run, until};
use super::versions::{
    is_turned_away, level, make_topic_of_level_2, metadata, new, old, raised, rounds, too_new,
};

async fn until_waiting(process: &Process) {
    until("it waits for its turn", async || {
        let said = process.page("/health/ready").await;
        said.is_some_and(|said| said.ends_with("waits for its turn\n"))
    })
    .await;
}

/// Two that may hold the order, the first of which does, and two agents.
struct Cluster {
    server: Server,
    store: String,
    bucket: String,
    metadata: [Process; 2],
    agents: [Process; 2],
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Of these versions.
    async fn start(processes: [PathBuf; 2], agents: [PathBuf; 2]) -> Option<Self> {
        let server = Server::start()?;
        let folder = tempfile::tempdir().unwrap();
        let (store, bucket) = (server.url(""), bucket(folder.path()));
        let first = Process::of(&processes[0], "metadata", &["--store", &store]).await;
        holds(&first).await;
        let second = Process::of(&processes[1], "metadata", &["--store", &store]).await;
        let at = format!("{},{}", first.listen, second.listen);
        let agents = [
            agent(&agents[0], &bucket, &at).await,
            agent(&agents[1], &bucket, &at).await,
        ];
        Some(Self {
            server,
            store,
            bucket,
            metadata: [first, second],
            agents,
            folder,
        })
    }

    fn addresses(&self) -> String {
        format!("{},{}", self.metadata[0].listen, self.metadata[1].listen)
    }

    async fn load(&self) -> Load {
        Load::start([self.agents[0].listen, self.agents[1].listen]).await
    }

    /// Which one holds the order, and which does not.
    async fn holder(&self) -> (usize, usize) {
        let mut found = None;
        until("somebody holds the order", async || {
            let [one, two] = [&self.metadata[0], &self.metadata[1]];
            found = match (one.holds_order().await, two.holds_order().await) {
                (true, false) => Some((0, 1)),
                (false, true) => Some((1, 0)),
                _ => None,
            };
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// The order goes to the other process, and its holder comes back as one that waits, of that version.
    async fn take_turns(&mut self, crash: bool, comes_back_as: &Path) {
        let (holder, other) = self.holder().await;
        end(&mut self.metadata[holder], crash).await;
        holds(&self.metadata[other]).await;
        self.metadata[holder].restart_as(comes_back_as);
        until_waiting(&self.metadata[holder]).await;
    }

    /// One process after the other becomes of that version: those that hold the order, then the agents.
    async fn roll_to(&mut self, binary: &Path, load: &Load) {
        for _ in 0..2 {
            self.take_turns(false, binary).await;
            load.gets_on().await;
        }
        for agent in 0..2 {
            self.upgrade_agent(agent, binary, load).await;
        }
    }

    async fn upgrade_agent(&mut self, agent: usize, binary: &Path, load: &Load) {
        let agent = &mut self.agents[agent];
        agent.stop().await;
        agent.restart_as(binary);
        agent.until_ready("200").await;
        load.gets_on().await;
    }

    async fn upgrade_waiting(&mut self, binary: &Path) {
        let (_, waits) = self.holder().await;
        self.metadata[waits].stop().await;
        self.metadata[waits].restart_as(binary);
        until_waiting(&self.metadata[waits]).await;
    }

    /// Who may write the store, as it lies there.
    fn owner(&self) -> String {
        let owner = "SELECT encode(v, 'hex') FROM penstock.rows WHERE k = '\\x006f'";
        self.server.sql(DATABASE, owner)
    }

    async fn stop(self) {
        let Self {
            metadata,
            agents,
            server,
            folder,
            ..
        } = self;
        for process in agents.into_iter().chain(metadata) {
            process.terminate().await;
        }
        drop((server, folder));
    }
}

#[tokio::test]
async fn both_versions_take_the_order_from_each_other_under_load() {
    let Some(mut cluster) = Cluster::start([old(), new()], [old(), new()]).await else {
        return;
    };
    let load = cluster.load().await;
    for _ in 0..rounds() {
        // From the old to the new one and back, by a goodbye and by a crash.
        for crash in [false, false, true, true] {
            load.gets_on().await;
            let (holder, _) = cluster.holder().await;
            let same = [old(), new()][holder].clone();
            cluster.take_turns(crash, &same).await;
        }
    }
    load.gets_on().await;
    assert_eq!(level(&cluster.store).await, 1, "nobody raised it");
    load.ends_well(&[&cluster.agents[0], &cluster.agents[1]])
        .await;
    assert!(cluster.metadata.iter_mut().all(Process::runs));
    cluster.stop().await;
}

#[tokio::test]
async fn a_cluster_goes_forward_and_back_and_forward_until_it_is_finalized() {
    let Some(mut cluster) = Cluster::start([old(), old()], [old(), old()]).await else {
        return;
    };
    let load = cluster.load().await;
    for _ in 0..rounds() {
        cluster.roll_to(&new(), &load).await;
        cluster.roll_to(&old(), &load).await;
    }
    // All but an agent, and one that waits for the order.
    cluster.upgrade_waiting(&new()).await;
    cluster.take_turns(false, &old()).await;
    load.gets_on().await;
    cluster.upgrade_agent(0, &new(), &load).await;
    let at = cluster.addresses();
    let finalize = ["finalize", "--metadata", &at];
    let name = cluster.agents[1].listen.to_string();
    let refused = metadata(&new(), &finalize).await;
    refused.refused(&["stays", &name, "up to level 1", "upgrade it first"]);
    cluster.upgrade_agent(1, &new(), &load).await;
    let (_, waits) = cluster.holder().await;
    let name = cluster.metadata[waits].listen.to_string();
    metadata(&new(), &finalize).await.refused(&[
        "stays",
        &name,
        "waits for its turn",
        "up to level 1",
    ]);
    // Nor may the old version say it for others.
    metadata(&old(), &finalize)
        .await
        .refused(&["say it with the newer version"]);
    assert_eq!(level(&cluster.store).await, 1);
    load.gets_on().await;
    cluster.upgrade_waiting(&new()).await;
    raised(&new(), &["--metadata", &at]).await;
    assert_eq!(level(&cluster.store).await, 2);
    make_topic_of_level_2(cluster.agents[0].listen, 1).await;
    load.gets_on().await;
    turns_old_ones_away(&mut cluster).await;
    for crash in [false, true] {
        cluster.take_turns(crash, &new()).await;
        load.gets_on().await;
    }
    load.ends_well(&[&cluster.agents[0], &cluster.agents[1]])
        .await;
    cluster.stop().await;
}

/// Whatever the old version is started as, it ends with a sentence, and the holder goes on.
async fn turns_old_ones_away(cluster: &mut Cluster) {
    let (owner, holder) = (cluster.owner(), cluster.holder().await.0);
    let (store, bucket) = (cluster.store.clone(), cluster.bucket.clone());
    let at = cluster.addresses();
    for (command, more) in [
        ("metadata", vec!["--store", &store]),
        ("agent", vec!["--bucket", &bucket, "--store", &store]),
        ("agent", vec!["--bucket", &bucket, "--metadata", &at]),
    ] {
        is_turned_away(command, &more).await;
    }
    too_new(&metadata(&old(), &["finalize", "--metadata", &at]).await);
    too_new(&metadata(&old(), &["finalize", "--store", &store]).await);
    let doctor = [
        "doctor", "--log", "off", "--bucket", "memory:", "--store", &store,
    ];
    let ran = run(&mut program(old(), doctor)).await;
    assert!(!ran.status.success(), "{ran:?}");
    assert!(ran.stdout.contains("use a newer Penstock"), "{ran:?}");
    assert_eq!(cluster.owner(), owner, "nobody took the order");
    assert!(cluster.metadata[holder].holds_order().await);
}
