//! Who is sent where: by the listener that clients come by, by the zone that they are in, and by what an agent may do.

use std::net::SocketAddr;

use protocol::ErrorCode;
use protocol::messages::{FetchRequest, MetadataRequest, MetadataResponse};
use tokio::process::Command;

use super::processes::{Process, free, try_ask};
use super::tools::{records_of, run, until, values};
use crate::support::broker::penstock;
use crate::support::client::{Client, batch, fetch_request};

/// One process with the order, and a bucket.
struct Ground {
    metadata: Process,
    bucket: String,
    folder: tempfile::TempDir,
}

impl Ground {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        Self {
            metadata: Process::start("metadata", &["--store", "memory:"]).await,
            bucket: format!("file://{}", folder.path().join("bucket").display()),
            folder,
        }
    }

    /// An agent, and where its listeners are, in the order given.
    async fn agent<const N: usize>(
        &self,
        names: [&str; N],
        more: &[&str],
    ) -> (Process, [SocketAddr; N]) {
        let mut at = [SocketAddr::from(([127, 0, 0, 1], 0)); N];
        for each in &mut at {
            *each = free().await;
        }
        let listen = names.iter().zip(&at).map(|(name, at)| match *name {
            "" => at.to_string(),
            name => format!("{name}://{at}"),
        });
        let listen = listen.collect::<Vec<_>>().join(",");
        let metadata = self.metadata.listen.to_string();
        let own = [
            "--bucket",
            &self.bucket,
            "--metadata",
            &metadata,
            "--listen",
            &listen,
            "--log",
            "warn",
        ];
        let all: Vec<&str> = own.iter().chain(more).copied().collect();
        let agent = Process::with("agent", at[0], None, &all).await;
        agent.until_ready("200").await;
        (agent, at)
    }
}

async fn told(at: SocketAddr, client_id: Option<&str>) -> MetadataResponse {
    let request = MetadataRequest {
        topics: None,
        ..Default::default()
    };
    let mut client = Client::connect(at).await;
    client.client_id = client_id.map(str::to_owned);
    client.ask(12, &request).await
}

/// Node ids and addresses.
fn brokers(told: &MetadataResponse) -> Vec<(i32, String)> {
    let brokers = told.brokers.iter();
    brokers
        .map(|each| (each.node_id, format!("{}:{}", each.host, each.port)))
        .collect()
}

fn leaders(told: &MetadataResponse) -> Vec<i32> {
    let partitions = told.topics.iter().flat_map(|topic| &topic.partitions);
    let mut leaders: Vec<i32> = partitions.map(|each| each.leader_id).collect();
    leaders.sort_unstable();
    leaders.dedup();
    leaders
}

#[tokio::test]
async fn clients_are_told_addresses_for_the_listener_they_came_by() {
    let ground = Ground::new().await;
    let outside = "out://a.example:19092";
    let more = ["--node-id", "1", "--advertise", outside];
    let (_one, [inside1, out1]) = ground.agent(["in", "out"], &more).await;
    let more = ["--node-id", "2", "--advertise", "out://b.example:19092"];
    let (_two, [out2, inside2]) = ground.agent(["out", "in"], &more).await;
    // Nobody who comes from outside can reach this one.
    let (_three, [inside3]) = ground.agent(["in"], &["--node-id", "3"]).await;
    let from_inside = vec![
        (1, inside1.to_string()),
        (2, inside2.to_string()),
        (3, inside3.to_string()),
    ];
    let from_outside = vec![
        (1, "a.example:19092".to_owned()),
        (2, "b.example:19092".to_owned()),
    ];
    for at in [inside1, inside2, inside3] {
        until("all know all", async || {
            brokers(&told(at, None).await) == from_inside
        })
        .await;
    }
    let mut client = Client::connect(inside1).await;
    assert_eq!(client.create_topic("t", 64, &[]).await, ErrorCode::NONE);
    until("the topic is known", async || {
        let answers = [told(inside1, None).await, told(out2, None).await];
        answers.iter().all(|told| !told.topics.is_empty())
    })
    .await;
    for at in [out1, out2] {
        let told = told(at, None).await;
        assert_eq!(brokers(&told), from_outside);
        assert_eq!(leaders(&told), [1, 2]);
    }
    assert_eq!(leaders(&told(inside3, None).await), [1, 2, 3]);
}

#[tokio::test]
async fn a_clients_zone_is_what_it_says_or_where_it_comes_from() {
    let ground = Ground::new().await;
    let zones = ["--client-zones", "127.0.0.0/24=a,127.0.0.1=b,far=c"];
    let mut agents = Vec::new();
    let mut entrance = None;
    for (id, zone) in [("1", "a"), ("2", "b"), ("3", "c")] {
        let more = [&zones[..], &["--node-id", id, "--zone", zone]].concat();
        let (agent, at) = ground.agent(["near", "far"], &more).await;
        entrance = Some(at);
        agents.push(agent);
    }
    let [near, far] = entrance.unwrap();
    let mut client = Client::connect(near).await;
    assert_eq!(client.create_topic("t", 16, &[]).await, ErrorCode::NONE);
    until("all know all", async || {
        told(near, None).await.brokers.len() == 3
    })
    .await;
    // Its address is in a range, whichever listener it comes by; what it says itself counts more.
    for (at, id, leader) in [
        (near, None, 2),
        (far, Some("app"), 2),
        (near, Some("zone=a"), 1),
        (near, Some("ws_az=c"), 3),
    ] {
        assert_eq!(leaders(&told(at, id).await), [leader], "{id:?}");
    }
    // Without a range for the address the listener says it.
    let zones = ["--client-zones", "10.0.0.0/8=a,far=c", "--node-id", "4"];
    let (_agent, [near, far]) = ground.agent(["near", "far"], &zones).await;
    until("all know all", async || {
        told(near, None).await.brokers.len() == 4
    })
    .await;
    assert_eq!(leaders(&told(far, None).await), [3]);
    assert!(leaders(&told(near, None).await).len() > 1);
}

#[tokio::test]
async fn an_agent_without_a_role_sends_clients_on() {
    let ground = Ground::new().await;
    let (_writer, [writer]) = ground
        .agent([""], &["--node-id", "1", "--roles", "produce"])
        .await;
    let (_reader, [reader]) = ground
        .agent([""], &["--node-id", "2", "--roles", "fetch"])
        .await;
    let mut producer = Client::connect(writer).await;
    let mut consumer = Client::connect(reader).await;
    assert_eq!(producer.create_topic("t", 8, &[]).await, ErrorCode::NONE);
    for at in [writer, reader] {
        until("all know all", async || {
            let told = told(at, None).await;
            told.brokers.len() == 2 && leaders(&told) == [1]
        })
        .await;
        // Consumers go to replicas only.
        let told = told(at, None).await;
        let partition = &told.topics[0].partitions[3];
        assert_eq!(partition.replica_nodes, [1, 2]);
        assert_eq!(partition.isr_nodes, [1, 2]);
    }
    let placed = producer.produce("t", 3, batch(&["x"])).await;
    assert_eq!(placed.error_code, ErrorCode::NONE);
    // The reader takes nothing, and says what makes producers look again.
    let refused = consumer.produce("t", 3, batch(&["y"])).await;
    assert_eq!(refused.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    assert_eq!(values(&mut consumer, "t", 3).await, ["x"]);
    // The leader tells consumers where to read, in every version that has words for it.
    let sent_on = producer.fetch("t", 3, 0).await;
    assert_eq!(
        (sent_on.error_code, sent_on.preferred_read_replica),
        (ErrorCode::NONE, 2)
    );
    assert!(records_of(&sent_on).is_empty());
    let old: FetchRequest = fetch_request("t", 3, 0, 0);
    let refused = try_ask(writer, 10, &old).await.unwrap();
    let refused = &refused.responses[0].partitions[0];
    assert_eq!(refused.error_code, ErrorCode::NOT_LEADER_OR_FOLLOWER);
    let unknown = producer.fetch("t", 8, 0).await;
    assert_eq!(unknown.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[tokio::test]
async fn an_agent_with_anothers_node_id_says_so_in_its_log() {
    let ground = Ground::new().await;
    let (_first, [at]) = ground.agent([""], &["--node-id", "7"]).await;
    let log = ground.folder.path().join("second.log");
    let metadata = ground.metadata.listen.to_string();
    let more = [
        "--bucket",
        &ground.bucket,
        "--metadata",
        &metadata,
        "--node-id",
        "7",
    ];
    let second = Process::start_logging("agent", "info", Some(log.clone()), &more).await;
    second.until_ready("200").await;
    until("it says so", async || {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        said.contains("give each its own --node-id") && said.contains(&at.to_string())
    })
    .await;
}

#[tokio::test]
async fn wrong_listeners_zones_and_roles_are_refused_in_a_sentence() {
    let agent = |more: &[&str]| -> Command {
        let mut command = penstock(["agent", "--bucket", "memory:", "--store", "memory:"]);
        command.args(more);
        command
    };
    let two = "in://127.0.0.1:0,out://127.0.0.1:0";
    for (more, part) in [
        (
            &["--listen", "127.0.0.1:0,127.0.0.1:1"][..],
            "each needs a name",
        ),
        (
            &["--listen", two, "--advertise", "a.example:1"],
            "write NAME://a.example:1",
        ),
        (
            &["--listen", two, "--advertise", "up://a.example:1"],
            "those of --listen are in, out",
        ),
        (
            &["--listen", two, "--client-zones", "10.0.0.0/8=a,up=b"],
            "--client-zones up=",
        ),
    ] {
        run(&mut agent(more)).await.misused(&[part]);
    }
    for (more, part) in [
        (["--client-zones", "10.0.0.1/8=a"], "write 10.0.0.0/8"),
        (["--client-zones", "10.0.0.0/8"], "RANGE=ZONE"),
        (["--roles", "jobs"], "[possible values: produce, fetch]"),
        (["--advertise", "in://nowhere"], "broker.example.com:9092"),
    ] {
        let ran = run(agent(&["--listen", two]).args(more)).await;
        assert_eq!(ran.status.code(), Some(2), "{ran:?}");
        assert!(ran.stderr.contains(part), "{part}: {ran:?}");
    }
}
