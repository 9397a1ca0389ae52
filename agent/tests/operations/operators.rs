//! What operators are told: by words that are said once, and by a process that ends by itself.

use std::process::Stdio;

use protocol::messages::FindCoordinatorRequest;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::processes::{Process, free};
use super::tools::{run, until};
use crate::support::broker::{Broker, PATIENCE, penstock};
use crate::support::client::Client;

/// A store that was used, its folder's bucket beside it, as flags.
async fn used(data: &std::path::Path) -> [String; 4] {
    let broker = Broker::in_folder(data, &[]).await;
    assert!(broker.terminate().await.success());
    let store = format!("redb://{}", data.join("metadata.redb").display());
    let bucket = format!("file://{}", data.join("bucket").display());
    ["--store".to_owned(), store, "--bucket".to_owned(), bucket]
}

/// Each part, in what it says that was done.
async fn said(word: &str, flags: &[String], parts: &[&str]) {
    let ran = run(penstock(["metadata", "--log", "off", word]).args(flags)).await;
    assert!(ran.status.success(), "{ran:?}");
    for part in parts {
        assert!(ran.stdout.contains(part), "no {part:?} in {ran:?}");
    }
}

#[tokio::test]
async fn what_is_so_already_is_said_to_be() {
    let data = tempfile::tempdir().unwrap();
    let flags = used(data.path()).await;
    let already = ["writes at feature level", "already"];
    said("finalize", &flags, &already).await;
    let no_hold = ["There is no hold:", "Nothing was changed"];
    said("release-hold", &flags, &no_hold).await;
    let both: Vec<&str> = flags.iter().map(String::as_str).collect();
    let metadata = Process::start("metadata", &both).await;
    metadata.until_ready("200").await;
    // The file is that one's.
    let ran = run(penstock(["metadata", "--log", "off", "finalize"]).args(&flags)).await;
    ran.refused(&[
        "open in another process",
        "--metadata HOST:PORT",
        "stop that one",
    ]);
    let there = ["--metadata".to_owned(), metadata.listen.to_string()];
    said("finalize", &there, &already).await;
    said("release-hold", &there, &no_hold).await;
    metadata.terminate().await;
}

#[tokio::test]
async fn why_a_process_ended_is_said_once() {
    let data = tempfile::tempdir().unwrap();
    let flags = used(data.path()).await;
    let (file, older) = (data.path().join("metadata.redb"), data.path().join("older"));
    std::fs::copy(&file, &older).unwrap();
    let broker = Broker::in_folder(data.path(), &[]).await;
    assert!(broker.terminate().await.success());
    std::fs::copy(&older, &file).unwrap();
    let mut command = penstock(["metadata", "--listen", "127.0.0.1:0"]);
    let ran = run(command.args(&flags)).await;
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    let why = "penstock: stopped because the metadata ";
    assert!(ran.stderr.contains(why), "{ran:?}");
    assert_eq!(
        ran.stderr.matches("went back in time").count(),
        1,
        "{ran:?}"
    );
}

#[tokio::test]
async fn a_metadata_process_says_where_it_listens_and_which_flag_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let nowhere = free().await.to_string();
    let more = ["--store", "memory:", "--advertise", &nowhere];
    let metadata = Process::start_logging("metadata", "info", Some(log.clone()), &more).await;
    let listens = format!("\"listen\":\"{}\"", metadata.listen);
    let advertised = format!("\"advertise\":\"{nowhere}\"");
    until("it says so", async || {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let parts = [&listens, &advertised, "correct --advertise"];
        parts.iter().all(|part| said.contains(part))
    })
    .await;
    metadata.terminate().await;
}

/// The store may be well: this process does not know.
#[tokio::test]
async fn an_agent_without_metadata_names_whom_it_does_not_reach() {
    let nowhere = free().await.to_string();
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let more = ["--bucket", "memory:", "--metadata", &nowhere];
    let agent = Process::start_logging("agent", "info", Some(log.clone()), &more).await;
    let nobody = format!("no process of `penstock metadata` answers at {nowhere} (");
    until("it says that nobody answers", async || {
        let page = agent.page("/health/ready").await.unwrap_or_default();
        assert!(!page.contains("store"), "{page}");
        page.starts_with("HTTP/1.1 503") && page.contains(&nobody)
    })
    .await;
    // Nor does it say that it serves, until it does.
    let said = || std::fs::read_to_string(&log).unwrap();
    until("it says that it is not ready", async || {
        said().contains("not ready: no process of `penstock metadata` answers")
    })
    .await;
    assert!(!said().contains("\"serving\""), "{}", said());
    let at = nowhere.parse().unwrap();
    let flags = ["--store", "memory:", "--listen", &nowhere, "--log", "warn"];
    let metadata = Process::with("metadata", at, None, &flags).await;
    until("it says that it serves", async || {
        said().contains("\"serving\"")
    })
    .await;
    agent.terminate().await;
    metadata.terminate().await;
}

#[tokio::test]
async fn whoever_waits_for_metadata_is_told_so_before_the_end() {
    let nowhere = free().await.to_string();
    let mut command = penstock([
        "metadata",
        "finalize",
        "--log",
        "off",
        "--metadata",
        &nowhere,
    ]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = timeout(PATIENCE, said.next_line()).await.unwrap().unwrap();
    let line = line.unwrap_or_default();
    for part in [&nowhere, "answers at", "waiting for one until", "UTC"] {
        assert!(line.contains(part), "no {part:?} in {line:?}");
    }
    // It waits: that was not its last word.
    assert!(child.try_wait().unwrap().is_none());
}

#[tokio::test]
async fn a_topic_that_is_named_and_is_none_is_said_to_have_that_name() {
    let data = tempfile::tempdir().unwrap();
    let flags = used(data.path()).await;
    let word = ["metadata", "--log", "off", "mark-lost"];
    let records = ["--records", "nope:0:0-99"];
    let ran = run(penstock(word).args(records).args(&flags)).await;
    ran.refused(&["nope:0:0-99", "there is no topic named nope"]);
}

/// Clients show nothing of it and ask again without end.
#[tokio::test]
async fn who_asks_for_a_consumer_group_is_named_in_the_log_once() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let more = ["--bucket", "memory:", "--store", "memory:"];
    let agent = Process::start_logging("agent", "warn", Some(log.clone()), &more).await;
    agent.until_ready("200").await;
    for group in ["one", "two", "one", "two", "one"] {
        let mut client = Client::connect(agent.listen).await;
        let request = FindCoordinatorRequest {
            key: group.to_owned(),
            ..FindCoordinatorRequest::default()
        };
        client.ask(3, &request).await;
    }
    let said = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("consumer group"))
        .collect();
    assert_eq!(lines.len(), 2, "{said}");
    for (line, group) in lines.iter().zip(["\"one\"", "\"two\""]) {
        for part in ["127.0.0.1", group, "not supported yet", "by hand"] {
            assert!(line.contains(part), "no {part:?} in {said}");
        }
    }
    agent.terminate().await;
}

#[tokio::test]
async fn pages_are_read_and_nothing_else() {
    let broker = Broker::in_memory(&[]).await;
    let asked = async |method: &str, path: &str| {
        let mut socket = TcpStream::connect(broker.http).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).await.unwrap();
        text
    };
    for path in ["/metrics", "/health/live", "/health/ready"] {
        for method in ["POST", "PUT", "DELETE"] {
            let said = asked(method, path).await;
            assert!(said.starts_with("HTTP/1.1 405 "), "{said}");
            assert!(said.contains("allow: GET, HEAD\r\n"), "{said}");
        }
    }
    assert!(asked("HEAD", "/metrics").await.starts_with("HTTP/1.1 200 "));
    let live = asked("GET", "/health/live").await;
    assert!(live.ends_with("live\n"), "{live}");
}

/// A cluster on one machine is as it was made: whoever asks for another is told, before anything is started.
#[tokio::test]
async fn a_cluster_that_was_made_otherwise_is_not_what_was_asked_for() {
    let data = tempfile::tempdir().unwrap();
    let process = |role| format!("{{\"role\": \"{role}\", \"name\": \"{role}-1\", \"pid\": 0}}");
    let processes = [process("metadata"), process("agent"), process("agent")].join(", ");
    let made = format!("{{\"processes\": [{processes}]}}");
    std::fs::write(data.path().join("cluster.json"), made).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/local-cluster");
    let mut command = tokio::process::Command::new(script);
    command
        .arg("--data")
        .arg(data.path())
        .args(["up", "--agents", "1", "--metadata", "1"]);
    let ran = run(&mut command).await;
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    for part in ["made with --agents 2", "down --wipe"] {
        assert!(ran.stderr.contains(part), "no {part:?} in {ran:?}");
    }
}

/// So that the first one is a rise that an alert sees.
#[tokio::test]
async fn what_alerts_watch_is_there_from_the_start() {
    let broker = Broker::in_memory(&[]).await;
    let (_, page) = broker.page("/metrics").await;
    for line in [
        "penstock_damage_total{kind=\"missing\"} 0",
        "penstock_answers_not_believed_total 0",
    ] {
        assert!(page.lines().any(|each| each == line), "no {line}");
    }
}

/// Whoever mistypes a step is not told half an hour later, and whoever asks for help is given it.
#[tokio::test]
async fn scripts_say_which_steps_and_tests_they_know() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    for (script, part) in [
        (".ci/test", "lint install rust sim"),
        (
            "agent/tests/two-versions/run",
            "each_binary_says_which_levels_it_knows",
        ),
    ] {
        let script = format!("{root}/{script}");
        let mut command = tokio::process::Command::new(&script);
        let ran = run(command.arg("--help")).await;
        assert!(ran.status.success() && ran.stdout.contains(part), "{ran:?}");
        let mut command = tokio::process::Command::new(&script);
        let ran = run(command.arg("bogus")).await;
        assert_eq!(ran.status.code(), Some(2), "{ran:?}");
        for part in ["there is no", "\"bogus\"", part] {
            assert!(ran.stderr.contains(part), "no {part:?} in {ran:?}");
        }
    }
}
