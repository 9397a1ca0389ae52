//! What is typed, in variables or in the file: words that are none, words that do not fit each other, and which one counts.

use protocol::ErrorCode;

use super::{dev, misused};
use crate::support::broker::{Broker, penstock};
use crate::support::client::Client;
use crate::tools::run;

#[tokio::test]
async fn a_wrong_flag_value_or_key_names_what_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    misused(
        &mut dev(&data, &["--presett", "fast"]),
        &["--presett", "similar", "--preset"],
    )
    .await;
    misused(
        &mut dev(&data, &["--preset", "fastest"]),
        &["eco, default, fast"],
    )
    .await;
    misused(
        &mut dev(&data, &["--segment-bytes", "8 apples"]),
        &["from 1B to 1GiB", "as in 8MiB"],
    )
    .await;
    misused(
        dev(&data, &[]).env("PENSTOCK_PRESET", "fastest"),
        &["eco, default, fast"],
    )
    .await;
    let file = folder.path().join("penstock.toml");
    let name = file.to_str().unwrap();
    for (text, parts) in [
        (
            "num-partition = 3",
            [
                name,
                "unknown key `num-partition`; did you mean `num-partitions`?",
            ],
        ),
        ("num-partitions = [3]", [name, "one value, not a list"]),
        (
            "preset = \"fastest\"",
            [
                "eco, default, fast",
                &format!("'preset in the config file {name} (--preset <PRESET>)'"),
            ],
        ),
        ("preset = fast", [name, "text stands in quotes"]),
        (
            "preset = \"fast\"\npreset = \"eco\"",
            [name, "each key stands once: TOML parse error"],
        ),
        (
            "num-partitions = \"x\"",
            [
                "not a whole number from 1",
                &format!("'num-partitions in the config file {name} (--num-partitions <N>)'"),
            ],
        ),
        (
            "auto-create-topics-enable = 3",
            ["[possible values: true, false]", name],
        ),
        ("zone = \"\"", ["it is empty", name]),
        (
            "store = \"x\"",
            [
                "write memory:",
                &format!("'store in the config file {name} (--store <URL>)'"),
            ],
        ),
        ("[agent]\nzone = \"a\"", [name, "`agent` begins a table"]),
        (
            "config = \"x\"",
            [name, "--config is for the command line alone"],
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        misused(&mut dev(&data, &["--config", name]), &parts).await;
        misused(dev(&data, &[]).env("PENSTOCK_CONFIG", name), &parts).await;
    }
    misused(
        &mut dev(&data, &["--config", "/nowhere/penstock.toml"]),
        &["/nowhere/penstock.toml: cannot be read"],
    )
    .await;
    // Whoever did not type it.
    misused(
        dev(&data, &[]).env("PENSTOCK_CONFIG", "/nowhere/penstock.toml"),
        &["/nowhere/penstock.toml, which PENSTOCK_CONFIG names, cannot be read"],
    )
    .await;
    assert!(!data.exists());
}

/// Whoever set a variable looks in vain for a flag among what was typed.
#[tokio::test]
async fn a_wrong_value_is_told_with_the_variable_that_gave_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (variable, value, part) in [
        (
            "PENSTOCK_PRESET",
            "fastest",
            "for 'PENSTOCK_PRESET (--preset <PRESET>)'",
        ),
        (
            "PENSTOCK_SEGMENT_BYTES",
            "8 apples",
            "for 'PENSTOCK_SEGMENT_BYTES (--segment-bytes <SIZE>)'",
        ),
        (
            "PENSTOCK_STORE",
            "nonsense",
            "for 'PENSTOCK_STORE (--store <URL>)'",
        ),
    ] {
        misused(dev(&data, &[]).env(variable, value), &[part]).await;
    }
    let typed = ["--preset", "fastest"];
    let mut command = dev(&data, &typed);
    command.env("PENSTOCK_PRESET", "fast");
    misused(&mut command, &["'fastest' for '--preset <PRESET>'"]).await;
    // What only turns out later.
    let mut command = dev(&data, &[]);
    command.env("PENSTOCK_NUM_PARTITIONS", "100001");
    let parts = [
        "--num-partitions 100001",
        "PENSTOCK_NUM_PARTITIONS gives --num-partitions",
    ];
    run(&mut command).await.misused(&parts);
    assert!(!data.exists());
}

/// Environments are shared, so it is no error.
#[tokio::test]
async fn a_variable_that_is_not_read_is_told_with_what_was_meant() {
    let mut command = penstock(["doctor", "--bucket", "memory:"]);
    command.env("PENSTOCK_S3_ENDPIONT", "http://127.0.0.1:1");
    // As in a container of Kubernetes, beside a service that is named penstock.
    command.env("PENSTOCK_PORT_9092_TCP", "tcp://10.0.0.1:9092");
    // As where the repository's tests are run.
    command.env("PENSTOCK_KIT", "target/kit");
    let ran = run(&mut command).await;
    assert!(ran.status.success(), "{ran:?}");
    let parts = [
        "PENSTOCK_S3_ENDPIONT is not read",
        "did you mean PENSTOCK_S3_ENDPOINT?",
    ];
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    for part in parts {
        assert!(ran.stderr.contains(part), "no {part:?} in {ran:?}");
    }
    // Where it is what is missing.
    let mut command = penstock(["agent", "--listen", "127.0.0.1:0"]);
    command.env("PENSTOCK_BUCKTE", "memory:");
    let parts = ["--bucket <URL>", "did you mean PENSTOCK_BUCKET?"];
    misused(&mut command, &parts).await;
}

#[tokio::test]
async fn an_agent_must_be_told_what_it_works_on() {
    misused(
        &mut penstock(["agent"]),
        &["--bucket <URL>", "--listen <ADDR,...>"],
    )
    .await;
    let agent = ["agent", "--bucket", "memory:", "--listen", "127.0.0.1:0"];
    let both = ["--store", "memory:", "--metadata", "127.0.0.1:1"];
    run(&mut penstock(agent))
        .await
        .misused(&["--store URL", "--metadata HOST:PORT"]);
    misused(
        penstock(agent).args(both),
        &["--store or --metadata, not both"],
    )
    .await;
    let half = ["--store", "memory:", "--peer-advertise", "here:1"];
    run(penstock(agent).args(half))
        .await
        .misused(&["--peer-listen", "give that one, too"]);
    run(penstock(agent).args(["--store", "memory:", "--peer-tls-cert", "x"]))
        .await
        .misused(&["--peer-tls-ca", "together"]);
    misused(
        &mut penstock(["metadata"]),
        &["--store URL", "--listen ADDR"],
    )
    .await;
    misused(&mut penstock(["doctor"]), &["--bucket <URL>"]).await;
    let ran = run(&mut penstock([""; 0])).await;
    assert_eq!(ran.status.code(), Some(2));
    assert!(ran.stderr.contains("Usage: penstock <COMMAND>"), "{ran:?}");
}

/// Of no topic, whoever makes it, could there be so many.
#[tokio::test]
async fn more_partitions_than_a_topic_may_have_are_no_default() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let many = ["--num-partitions", "100001"];
    let parts = ["--num-partitions 100001", "at most 100000"];
    run(&mut dev(&data, &many)).await.misused(&parts);
    assert!(!data.exists());
    let agent = ["agent", "--bucket", "memory:", "--store", "memory:"];
    let mut agent = penstock(agent);
    agent.args(["--listen", "127.0.0.1:0"]).args(many);
    run(&mut agent).await.misused(&parts);
}

/// Left behind for another time, they would be given up by a word that was meant for others.
#[tokio::test]
async fn records_that_are_given_up_are_typed() {
    let mut command = penstock(["metadata", "mark-lost", "--store", "memory:", "--force"]);
    command.env("PENSTOCK_RECORDS", "t:0:0-9");
    misused(&mut command, &["--records"]).await;
}

/// A variable is often there for another command, and what is typed was meant.
#[tokio::test]
async fn a_typed_store_or_metadata_beats_a_variable_of_the_other() {
    let agent = ["agent", "--bucket", "memory:", "--listen", "127.0.0.1:0"];
    let mut both = penstock(agent);
    both.env("PENSTOCK_STORE", "memory:");
    both.env("PENSTOCK_METADATA", "127.0.0.1:1");
    let parts = [
        "PENSTOCK_STORE",
        "PENSTOCK_METADATA",
        "leave one of them out",
    ];
    misused(&mut both, &parts).await;
    // Which of the two counts is seen in what is refused next.
    let mut elsewhere = penstock(agent);
    elsewhere.env("PENSTOCK_STORE", "memory:");
    elsewhere.args(["--metadata", "127.0.0.1:1", "--peer-listen", "127.0.0.1:0"]);
    let parts = ["--peer-listen is for the metadata of --store"];
    run(&mut elsewhere).await.misused(&parts);
    let mut here = penstock(agent);
    here.env("PENSTOCK_METADATA", "127.0.0.1:1");
    here.args(["--store", "redb:///nowhere/m.redb"]);
    run(&mut here).await.refused(&["/nowhere", "--store"]);
}

#[tokio::test]
async fn help_and_version_read_well() {
    for (words, parts) in [
        (
            vec!["--help"],
            vec![
                "dev",
                "agent",
                "metadata",
                "doctor",
                "Usage: penstock <COMMAND>",
            ],
        ),
        (
            vec!["dev", "--help"],
            vec![
                "--listen <ADDR>",
                "127.0.0.1:9092",
                "127.0.0.1:9644",
                "PENSTOCK_DATA",
            ],
        ),
        (
            vec!["agent", "--help"],
            vec![
                "--bucket <URL>",
                "--store <URL>",
                "--metadata <HOST:PORT,...>",
                "--peer-listen <ADDR>",
                "--advertise <HOST:PORT,...>",
                "--zone <ZONE>",
                "--client-zones <RANGE|LISTENER=ZONE,...>",
                "--roles <ROLE,...>",
            ],
        ),
        (
            vec!["doctor", "--help"],
            vec!["--bucket <URL>", "--store <URL>", "PENSTOCK_S3_ENDPOINT"],
        ),
        (
            vec!["--version"],
            vec![concat!("penstock ", env!("CARGO_PKG_VERSION"))],
        ),
        (vec!["dev", "--version"], vec![env!("CARGO_PKG_VERSION")]),
    ] {
        let ran = run(&mut penstock(&words)).await;
        assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
        for part in parts {
            assert!(ran.stdout.contains(part), "no {part:?} in {:?}", ran.stdout);
        }
        assert!(
            ran.stdout.lines().all(|line| line.len() <= 110),
            "{}",
            ran.stdout
        );
    }
}

/// A flag beats its variable, the variable beats the file, the file beats the default: seen in what clients are told.
#[tokio::test]
async fn a_flag_beats_its_variable_beats_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("penstock.toml");
    std::fs::write(
        &file,
        "num-partitions = 2\nnode-id = 12\nadvertise = \"file.example:12\"\nzone = \"a\"",
    )
    .unwrap();
    let mut command = penstock(["dev", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command
        .args([
            "--bucket",
            "memory:",
            "--store",
            "memory:",
            "--node-id",
            "14",
            "--config",
        ])
        .arg(&file)
        .env("PENSTOCK_NODE_ID", "13")
        .env("PENSTOCK_ADVERTISE", "variable.example:13");
    let broker = Broker::start(&mut command).await;
    let mut client = Client::connect(broker.listen).await;
    assert_eq!(client.create_topic("t", -1, &[]).await, ErrorCode::NONE);
    let answer = client
        .ask(9, &protocol::messages::MetadataRequest::default())
        .await;
    let told = &answer.brokers[0];
    assert_eq!(
        (told.node_id, told.host.as_str(), told.port),
        (14, "variable.example", 13)
    );
    assert_eq!(told.rack.as_deref(), Some("a"));
    let topic = answer
        .topics
        .iter()
        .find(|topic| topic.name.as_deref() == Some("t"));
    assert_eq!(topic.unwrap().partitions.len(), 2);
}
