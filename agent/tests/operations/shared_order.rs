//! Several processes over one PostgreSQL, any of which may hold the order of offsets: it goes from one to the other when its
//! holder ends in whatever way, nothing that was acknowledged is lost or there twice, and nobody is told an old end.

use std::time::Duration;

use protocol::ErrorCode;
use protocol::messages::ListOffsetsRequest;
use tokio::time::{Instant, sleep};

use super::database::Server;
use super::processes::{
    Process, RECORDS, all_there, end_offset, produce_both_ways, producer_ids, try_ask,
};
use super::tools::{note, run, until};
use crate::support::broker::{PATIENCE, penstock};
use crate::support::client::{Client, batch};

/// A bucket in a folder.
fn bucket(folder: &tempfile::TempDir) -> String {
    std::fs::create_dir(folder.path().join("bucket")).unwrap();
    format!("file://{}", folder.path().join("bucket").display())
}

async fn holds(process: &Process) {
    until("it holds the order", async || process.holds_order().await).await;
}

/// As they are started where nobody gives them more than a store: on one machine.
#[tokio::test]
async fn agents_that_share_a_store_wait_for_their_turn_and_take_over() {
    let Some(server) = Server::start() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (bucket, store) = (bucket(&folder), server.url(""));
    let agent = || async {
        let more = ["--bucket", &bucket, "--store", &store];
        let agent = Process::start("agent", &more).await;
        agent.until_ready("200").await;
        agent
    };
    let mut agents = [agent().await, agent().await];
    // The second one waits, and both serve.
    assert!(agents[0].holds_order().await && !agents[1].holds_order().await);
    let addresses = [agents[0].listen, agents[1].listen];
    let mut client = Client::connect(addresses[1]).await;
    assert_eq!(client.create_topic("t", 2, &[]).await, ErrorCode::NONE);
    let ids = producer_ids(addresses).await;
    let work = produce_both_ways(addresses, ids);
    let trouble = async {
        for round in 0..4 {
            sleep(Duration::from_millis(500)).await;
            let (holder, other) = (round % 2, 1 - round % 2);
            assert!(agents[holder].holds_order().await, "round {round}");
            agents[holder].kill().await;
            holds(&agents[other]).await;
            assert!(agents[other].runs());
            agents[holder].restart();
            agents[holder].until_ready("200").await;
        }
    };
    let ((one, two), ()) = tokio::join!(work, trouble);
    note(&format!("longest wait for an ack: {:?}", one.max(two)));
    for agent in &agents {
        all_there(agent, 2).await;
    }
    assert!(agents.iter_mut().all(Process::runs));
    // The holder leaves in order, and the other goes on alone.
    agents[0].stop().await;
    holds(&agents[1]).await;
    all_there(&agents[1], 2).await;
    let [_, last] = agents;
    last.terminate().await;
}

struct Cluster {
    metadata: [Process; 2],
    agents: [Process; 2],
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn start(store: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bucket = bucket(&folder);
        let metadata = || async { Process::start("metadata", &["--store", store]).await };
        let metadata = [metadata().await, metadata().await];
        let at = format!("{},{}", metadata[0].listen, metadata[1].listen);
        let agent = || async {
            let agent = Process::start("agent", &["--bucket", &bucket, "--metadata", &at]).await;
            agent.until_ready("200").await;
            agent
        };
        Self {
            agents: [agent().await, agent().await],
            metadata,
            _folder: folder,
        }
    }

    /// Which one holds the order, and which does not.
    async fn holder(&self) -> (usize, usize) {
        let begun = Instant::now();
        loop {
            let [one, two] = [&self.metadata[0], &self.metadata[1]];
            match (one.holds_order().await, two.holds_order().await) {
                (true, false) => return (0, 1),
                (false, true) => return (1, 0),
                _ => sleep(Duration::from_millis(20)).await,
            }
            assert!(begun.elapsed() < PATIENCE, "nobody holds the order");
        }
    }
}

#[tokio::test]
async fn the_order_goes_to_the_other_process_however_its_holder_ends() {
    let Some(server) = Server::start() else {
        return;
    };
    let mut cluster = Cluster::start(&server.url("")).await;
    let addresses = [cluster.agents[0].listen, cluster.agents[1].listen];
    let mut client = Client::connect(addresses[0]).await;
    assert_eq!(client.create_topic("t", 2, &[]).await, ErrorCode::NONE);
    let ids = producer_ids(addresses).await;
    let work = produce_both_ways(addresses, ids);
    let trouble = async {
        for number in [libc::SIGTERM, libc::SIGKILL, libc::SIGSTOP, libc::SIGTERM] {
            sleep(Duration::from_millis(500)).await;
            let (holder, other) = cluster.holder().await;
            match number {
                libc::SIGTERM => cluster.metadata[holder].stop().await,
                libc::SIGKILL => cluster.metadata[holder].kill().await,
                _ => cluster.metadata[holder].signal(number),
            }
            holds(&cluster.metadata[other]).await;
            match number {
                libc::SIGSTOP => cluster.metadata[holder].signal(libc::SIGCONT),
                _ => cluster.metadata[holder].restart(),
            }
            until("the other one waits", async || {
                let said = cluster.metadata[holder].page("/health/ready").await;
                said.is_some_and(|said| said.ends_with("waits for its turn\n"))
            })
            .await;
        }
    };
    let ((one, two), ()) = tokio::join!(work, trouble);
    note(&format!("longest wait for an ack: {:?}", one.max(two)));
    for agent in &cluster.agents {
        all_there(agent, 2).await;
    }
    assert!(cluster.metadata.iter_mut().all(Process::runs));
    let Cluster {
        metadata, agents, ..
    } = cluster;
    for process in agents.into_iter().chain(metadata) {
        process.terminate().await;
    }
}

/// Whoever still has a link to a holder that stood still asks it for an end, and the first thing that it does when it goes on
/// is to find that out.
#[tokio::test]
async fn a_holder_that_stood_still_tells_no_agent_an_old_end() {
    let Some(server) = Server::start() else {
        return;
    };
    let cluster = Cluster::start(&server.url("")).await;
    let [linked, other_agent] = &cluster.agents;
    let mut client = Client::connect(other_agent.listen).await;
    assert_eq!(client.create_topic("t", 1, &[]).await, ErrorCode::NONE);
    let mut end = 0;
    for _ in 0..2 {
        let placed = client.produce("t", 0, batch(&["before"])).await;
        assert_eq!(
            (placed.error_code, placed.base_offset),
            (ErrorCode::NONE, end)
        );
        end += 1;
        let (holder, other) = cluster.holder().await;
        let mut asking = Client::connect(linked.listen).await;
        assert_eq!(asked(&mut asking).await, Some(end));
        // The agent stands still as well, so that its link looks to it as if nothing had happened; what it is asked
        // meanwhile waits in its socket.
        linked.signal(libc::SIGSTOP);
        cluster.metadata[holder].signal(libc::SIGSTOP);
        holds(&cluster.metadata[other]).await;
        // The same value each time: one that was refused and is there all the same does no harm.
        let begun = Instant::now();
        loop {
            let placed = client
                .produce("t", 0, batch(&["while it stood still"]))
                .await;
            if placed.error_code == ErrorCode::NONE {
                end = placed.base_offset + 1;
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{placed:?}");
        }
        asking.send(7, &end_offset(0)).await;
        linked.signal(libc::SIGCONT);
        cluster.metadata[holder].signal(libc::SIGCONT);
        let frame = asking.receive_frame().await.expect("an answer");
        let (_, response) = protocol::decode_response::<ListOffsetsRequest>(7, frame).unwrap();
        let said = &response.topics[0].partitions[0];
        match said.error_code {
            ErrorCode::NONE => assert_eq!(said.offset, end),
            code => assert!(code.is_retriable(), "{code:?}"),
        }
        until("both agents say the end", async || {
            let mut all = true;
            for agent in &cluster.agents {
                let told = try_ask(agent.listen, 7, &end_offset(0)).await;
                let told = told.map(|told| told.topics[0].partitions[0].clone());
                match told {
                    Some(told) if told.error_code == ErrorCode::NONE => {
                        assert_eq!(told.offset, end);
                    }
                    _ => all = false,
                }
            }
            all
        })
        .await;
    }
    assert!(end < i64::from(RECORDS));
    let Cluster {
        metadata, agents, ..
    } = cluster;
    for process in agents.into_iter().chain(metadata) {
        process.terminate().await;
    }
}

/// What the agent says is the end; `None` if it cannot say it.
async fn asked(client: &mut Client) -> Option<i64> {
    let response = client.ask(7, &end_offset(0)).await;
    let said = &response.topics[0].partitions[0];
    (said.error_code == ErrorCode::NONE).then_some(said.offset)
}

/// As behind a load balancer: what others are told is not this process's own.
#[tokio::test]
async fn a_process_that_advertises_anothers_address_stops_with_a_sentence() {
    let Some(server) = Server::start() else {
        return;
    };
    let store = server.url("");
    let first = Process::start("metadata", &["--store", &store]).await;
    holds(&first).await;
    let address = first.listen.to_string();
    let second = ["metadata", "--store", &store, "--listen", "127.0.0.1:0"];
    let second = [&second[..], &["--http", "127.0.0.1:0", "--log", "error"]].concat();
    let ran = run(penstock(&second).args(["--advertise", &address])).await;
    assert!(!ran.status.success(), "{ran:?}");
    for part in ["two metadata processes answer at", &address, "--advertise"] {
        assert!(ran.stderr.contains(part), "{ran:?}");
    }
    assert!(first.holds_order().await);
    first.terminate().await;
}

/// Before anything is asked of the database: nobody answers there.
#[tokio::test]
async fn a_process_that_shares_a_store_must_say_where_the_others_reach_it() {
    let anywhere = "0.0.0.0:0";
    let agent = ["agent", "--bucket", "memory:", "--listen", anywhere];
    for (arguments, part) in [
        (&agent[..], "give --peer-listen ADDR"),
        (
            &[&agent[..], &["--peer-listen", anywhere]].concat()[..],
            "give --peer-advertise HOST:PORT",
        ),
        (
            &["dev", "--listen", anywhere][..],
            "let --listen name 127.0.0.1",
        ),
        (
            &["metadata", "--listen", anywhere][..],
            "give --advertise HOST:PORT",
        ),
    ] {
        let shared = ["--store", "postgres://u@127.0.0.1:1/d"];
        let ran = run(penstock(arguments).args(shared)).await;
        ran.misused(&[part]);
    }
}
