//! Rooms, crates and what lies outside them: nobody imports what he may not.

use std::collections::BTreeSet;

use crate::imports::{forbidden, imports};
use crate::sources::{code, part, root, sources};
use crate::tables::{AGENT, CRATES, METADATA, OUTSIDE};

#[test]
fn rooms_of_the_agent_import_what_they_may() {
    let files = sources("agent/src/");
    assert_eq!(forbidden(AGENT, &files), [""; 0]);
    let parts: BTreeSet<&str> = files.iter().map(|(path, _)| part(path)).collect();
    let listed: BTreeSet<&str> = AGENT
        .iter()
        .map(|(part, _)| *part)
        .chain(["lib", "main"])
        .collect();
    assert_eq!(parts, listed, "the table lists the parts there are");
}

#[test]
fn no_room_that_answers_requests_knows_another() {
    let rooms = [
        "admin",
        "discovery",
        "fetch",
        "offsets",
        "produce",
        "transactions",
    ];
    for (part, allowed) in AGENT.iter().filter(|(part, _)| rooms.contains(part)) {
        assert!(!allowed.iter().any(|other| rooms.contains(other)), "{part}");
    }
}

#[test]
fn the_metadatas_decisions_and_stores_stand_alone() {
    let files = sources("metadata/src/");
    assert_eq!(forbidden(METADATA, &files), [""; 0]);
    for (part_name, _) in METADATA {
        assert!(
            files.iter().any(|(path, _)| part(path) == *part_name),
            "there is no {part_name}"
        );
    }
    // Deciding has no clock, no randomness and no waiting.
    for (path, text) in files.iter().filter(|(path, _)| part(path) == "state") {
        for never in ["tokio", "rand::", "std::time", ".await", "async fn"] {
            assert!(!code(text).contains(never), "{path} has {never}");
        }
    }
}

/// It carries what the others say, so that whatever they are can be served without it.
#[test]
fn nothing_of_the_metadata_knows_how_it_is_reached() {
    for (path, text) in sources("metadata/src/") {
        if !["lib", "rpc"].contains(&part(&path)) {
            assert!(!imports(&path, &text).contains("rpc"), "{path}");
        }
    }
}

#[test]
fn crates_depend_on_what_they_may() {
    let ours = [
        "penstock",
        "metadata",
        "protocol",
        "protocol-derive",
        "loadtest",
        "fdb-look-alike",
    ];
    for (name, allowed) in CRATES {
        let manifest =
            std::fs::read_to_string(root().join(name).join("Cargo.toml")).expect("a manifest");
        let dependencies = manifest
            .split("\n[dependencies]\n")
            .nth(1)
            .expect("dependencies");
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        for line in dependencies.lines() {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            let lawful = !ours.contains(&dependency) || allowed.contains(&dependency);
            assert!(lawful, "{name} depends on {dependency}");
        }
    }
}

#[test]
fn what_one_part_should_know_is_not_used_elsewhere() {
    let files = sources("agent/src/");
    for (name, allowed) in OUTSIDE {
        let used = format!("{name}::");
        for (path, text) in &files {
            let knows = code(text).match_indices(&used).any(|(place, _)| {
                let code = code(text);
                !code[..place].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
            });
            assert!(
                !knows || allowed.contains(&part(path)),
                "{path} uses {name}"
            );
        }
    }
    for (path, text) in files.iter().filter(|(path, _)| part(path) == "storage") {
        assert!(
            !code(text).contains("protocol::"),
            "{path}: the bucket knows nothing of Kafka"
        );
    }
}
