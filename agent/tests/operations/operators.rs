//! What operators are told: by words that are said once, and by a process that ends by itself.

use super::processes::Process;
use super::tools::run;
use crate::support::broker::{Broker, penstock};

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
    assert!(ran.stderr.contains("penstock: stopped because"), "{ran:?}");
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
    let nowhere = super::processes::free().await.to_string();
    let more = ["--store", "memory:", "--advertise", &nowhere];
    let metadata = Process::start_logging("metadata", "info", Some(log.clone()), &more).await;
    let listens = format!("\"listen\":\"{}\"", metadata.listen);
    let advertised = format!("\"advertise\":\"{nowhere}\"");
    super::tools::until("it says so", async || {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let parts = [&listens, &advertised, "correct --advertise"];
        parts.iter().all(|part| said.contains(part))
    })
    .await;
    metadata.terminate().await;
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
