//! The two binaries, what they say of themselves, and what operators say with them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use protocol::ErrorCode;

use super::support::broker::program;
use super::support::client::Client;
use super::support::tools::{Ran, run, until};

/// A binary that `run` built.
fn built(variable: &str) -> PathBuf {
    let path = std::env::var_os(variable);
    PathBuf::from(
        path.unwrap_or_else(|| panic!("{variable} is not set: start agent/tests/two-versions/run")),
    )
}

/// That of this tree, which knows level 1.
pub(crate) fn old() -> PathBuf {
    built("PENSTOCK_LEVEL_1")
}

/// That of the next level.
pub(crate) fn new() -> PathBuf {
    built("PENSTOCK_LEVEL_2")
}

/// How often what can be repeated is.
pub(crate) fn rounds() -> usize {
    let rounds = std::env::var_os("PENSTOCK_ROUNDS");
    let rounds = rounds.and_then(|rounds| rounds.to_str().map(str::to_owned));
    rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

/// `penstock metadata` with these words, to its end.
pub(crate) async fn metadata(binary: &Path, words: &[&str]) -> Ran {
    run(program(binary, ["metadata", "--log", "off"]).args(words)).await
}

/// The feature level is raised, at once or a few seconds after the last old process was upgraded: so long it is remembered.
pub(crate) async fn raised(binary: &Path, to: &[&str]) {
    let words = [&["finalize"], to].concat();
    until("the feature level is raised", async || {
        let ran = metadata(binary, &words).await;
        let raised = ran.status.success() && ran.stdout.contains("feature level 2");
        assert!(raised || ran.stderr.contains("stays as it is"), "{ran:?}");
        raised
    })
    .await;
}

/// What a version that cannot read the store says, and that it ends.
pub(crate) fn too_new(ran: &Ran) {
    ran.refused(&["level 2", "levels up to 1", "newer Penstock"]);
}

/// What a server that is not to get far is told besides.
const ANYWHERE: [&str; 6] = [
    "--listen",
    "127.0.0.1:0",
    "--http",
    "127.0.0.1:0",
    "--log",
    "off",
];

/// The old version, started with that command, ends with a sentence.
pub(crate) async fn is_turned_away(command: &str, words: &[&str]) {
    let mut old = program(old(), [command]);
    too_new(&run(old.args(ANYWHERE).args(words)).await);
}

/// With a topic that the new version makes at its level comes the effect that the old one does not know.
pub(crate) async fn make_topic_of_level_2(agent: SocketAddr, number: i32) {
    let mut client = Client::connect(agent).await;
    let name = format!("of-level-2-{number}");
    let made = client.create_topic(&name, 1, &[]).await;
    assert_eq!(made, ErrorCode::NONE);
}

/// At which level the store is written, as the new version sees it.
pub(crate) async fn level(store: &str) -> u32 {
    let ran = run(&mut program(
        new(),
        [
            "doctor", "--log", "off", "--bucket", "memory:", "--store", store,
        ],
    ))
    .await;
    let found = [1, 2].into_iter().find(|level| {
        let said = format!("is written at feature level {level}");
        ran.stdout.contains(&said)
    });
    found.unwrap_or_else(|| panic!("no level: {ran:?}"))
}

#[tokio::test]
async fn each_binary_says_which_levels_it_knows() {
    for (binary, levels) in [
        (old(), "feature level 1)"),
        (new(), "feature levels 1 to 2)"),
    ] {
        let ran = run(&mut program(binary, ["--version"])).await;
        assert!(ran.status.success(), "{ran:?}");
        let version = concat!("penstock ", env!("CARGO_PKG_VERSION"), " (metadata of ");
        assert!(ran.stdout.starts_with(version), "{ran:?}");
        assert!(ran.stdout.trim_end().ends_with(levels), "{ran:?}");
    }
}
