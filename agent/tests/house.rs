//! The rules of the house that no compiler checks: what may import what, what every file begins with, and that lists in
//! documents are complete. Reads the sources of the whole workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use protocol::ApiKey;

/// Which parts of the agent each part may import, besides itself. Rooms that answer requests know what all of them use,
/// never each other; `dispatch` knows the rooms, `server` starts everything. A new part needs a line here.
const AGENT: &[(&str, &[&str])] = &[
    ("access", &[]),
    (
        "admin",
        &[
            "call",
            "context",
            "making",
            "origin",
            "refusal",
            "topic_config",
            "topic_id",
            "topic_name",
        ],
    ),
    ("admission", &["arriving", "origin"]),
    ("arriving", &["origin"]),
    ("brokers", &["call", "context"]),
    (
        "call",
        &[
            "access",
            "admission",
            "context",
            "metrics",
            "origin",
            "storage",
        ],
    ),
    ("clock", &[]),
    (
        "commands",
        &[
            "clock", "config", "context", "identity", "server", "storage",
        ],
    ),
    ("config", &["zones"]),
    (
        "connection",
        &[
            "admission",
            "call",
            "dispatch",
            "origin",
            "reading",
            "tasks",
        ],
    ),
    (
        "context",
        &[
            "admission",
            "clock",
            "producer_ids",
            "random",
            "storage",
            "zones",
        ],
    ),
    ("damage", &["metrics", "refusal", "said", "storage"]),
    (
        "discovery",
        &[
            "admission",
            "brokers",
            "call",
            "context",
            "making",
            "origin",
            "refusal",
            "tasks",
            "topic_id",
            "topic_name",
            "zones",
        ],
    ),
    (
        "dispatch",
        &[
            "admin",
            "admission",
            "call",
            "context",
            "discovery",
            "fetch",
            "metrics",
            "offsets",
            "produce",
            "transactions",
        ],
    ),
    (
        "fetch",
        &[
            "admission",
            "brokers",
            "call",
            "context",
            "damage",
            "metrics",
            "refusal",
            "storage",
            "tasks",
        ],
    ),
    (
        "http",
        &[
            "admission",
            "context",
            "identity",
            "metrics",
            "origin",
            "storage",
            "tasks",
        ],
    ),
    ("identity", &["random", "storage", "tasks"]),
    ("life", &[]),
    ("making", &["origin", "tasks"]),
    ("metrics", &["tasks"]),
    (
        "offsets",
        &[
            "call",
            "context",
            "damage",
            "origin",
            "refusal",
            "storage",
            "unpacking",
        ],
    ),
    (
        "produce",
        &[
            "admission",
            "call",
            "context",
            "metrics",
            "reading",
            "refusal",
            "storage",
            "tasks",
            "topic_config",
            "unpacking",
        ],
    ),
    ("origin", &[]),
    ("producer_ids", &[]),
    ("random", &[]),
    ("reading", &[]),
    ("refusal", &["storage"]),
    ("said", &[]),
    (
        "server",
        &[
            "admission",
            "call",
            "clock",
            "config",
            "connection",
            "context",
            "discovery",
            "dispatch",
            "fetch",
            "http",
            "identity",
            "metrics",
            "origin",
            "produce",
            "producer_ids",
            "random",
            "reading",
            "said",
            "storage",
            "tasks",
            "unpacking",
            "zones",
        ],
    ),
    ("storage", &["metrics", "random", "tasks"]),
    ("tasks", &["arriving", "life", "origin"]),
    ("topic_config", &[]),
    ("topic_id", &["random"]),
    ("topic_name", &[]),
    ("transactions", &["call", "context"]),
    ("unpacking", &["tasks"]),
    ("zones", &[]),
];

/// The truth and the store below it know next to nothing of the rest of `metadata`.
const METADATA: &[(&str, &[&str])] = &[
    ("shown", &[]),
    ("topic_name", &["shown"]),
    (
        "accounting",
        &["error", "index", "kv", "sequencer", "state", "types"],
    ),
    ("catalogue", &["types"]),
    ("index", &["codec", "error", "keys", "kv", "types"]),
    ("codec", &["types"]),
    ("command", &["codec", "types"]),
    ("effect", &["codec", "command", "keys", "level", "types"]),
    ("history", &["codec", "keys", "types"]),
    ("kv", &[]),
    ("level", &["codec", "error", "keys"]),
    (
        "state",
        &[
            "catalogue",
            "codec",
            "command",
            "effect",
            // A table writes its rows itself.
            "error",
            "index",
            "keys",
            "kv",
            "level",
            "topic_name",
            "types",
        ],
    ),
    ("types", &[]),
    ("update", &["catalogue", "types"]),
];

/// Crates of the workspace that each of them may depend on.
const CRATES: &[(&str, &[&str])] = &[
    ("protocol/derive", &[]),
    ("protocol", &["protocol-derive"]),
    ("metadata", &[]),
    ("metadata/fdb-look-alike", &[]),
    ("loadtest", &["protocol"]),
    ("agent", &["metadata", "protocol"]),
];

/// Where crates may be used that only one part should know.
const OUTSIDE: &[(&str, &[&str])] = &[
    ("object_store", &["commands", "storage"]),
    ("aws_sdk_s3", &["commands", "storage"]),
    ("aws_config", &["storage"]),
    ("aws_credential_types", &["storage"]),
    ("redb", &[]),
    ("tokio_postgres", &[]),
    ("foundationdb", &[]),
    ("hyper", &["http"]),
    ("clap", &["commands", "config"]),
    ("rand", &["commands", "random", "server"]),
];

fn root() -> PathBuf {
    let agent = Path::new(env!("CARGO_MANIFEST_DIR"));
    agent
        .parent()
        .expect("the agent is a member of a workspace")
        .to_owned()
}

/// All files below, but for what is built or downloaded.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let skipped = [
        "target",
        ".git",
        "node_modules",
        "__pycache__",
        "penstock-data",
    ];
    let entries = std::fs::read_dir(folder).expect("a folder of the workspace");
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() && !skipped.contains(&name.as_str()) {
            files(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

/// Path below the root and contents of every file whose name ends so.
fn texts(endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&root(), &mut found);
    let wanted = found.into_iter().filter(|path| {
        let extension = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        endings.contains(&extension.as_str())
    });
    let mut texts: Vec<_> = wanted
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("text in UTF-8");
            let path = path
                .strip_prefix(root())
                .expect("below the root")
                .display()
                .to_string();
            (path, text)
        })
        .collect();
    texts.sort();
    assert!(texts.len() > 3, "the workspace was not found");
    texts
}

/// Rust files below a source folder, without those that exist for tests alone.
fn sources(folder: &str) -> Vec<(String, String)> {
    let all = texts(&["rs"]).into_iter();
    let below: Vec<(String, String)> = all
        .filter_map(|(path, text)| Some((path.strip_prefix(folder)?.to_owned(), text)))
        .collect();
    let for_tests: BTreeSet<String> = below
        .iter()
        .flat_map(|(path, text)| test_modules(path, text))
        .collect();
    let is_for_tests = |path: &str| {
        let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
        for_tests
            .iter()
            .any(|module| stem == module || stem.starts_with(&format!("{module}/")))
    };
    below
        .into_iter()
        .filter(|(path, _)| !is_for_tests(path))
        .collect()
}

/// The paths of modules that a file declares under `cfg(test)`.
fn test_modules(path: &str, text: &str) -> Vec<String> {
    let stem = path.trim_end_matches(".rs");
    let folder = match stem.rsplit_once('/') {
        Some((folder, "mod")) => format!("{folder}/"),
        None if ["mod", "lib", "main"].contains(&stem) => String::new(),
        _ => format!("{stem}/"),
    };
    let declared = text.split("#[cfg(test)]\n").skip(1);
    declared
        .filter_map(|after| {
            let (_, name) = after.lines().next()?.split_once("mod ")?;
            Some(format!("{folder}{}", name.strip_suffix(';')?))
        })
        .collect()
}

/// A source without comments and without its tests at the end.
fn code(text: &str) -> String {
    let without_tests = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default();
    let lines = without_tests
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The part of its crate that a file belongs to: its folder, or the file itself.
fn part(path: &str) -> &str {
    path.split('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs")
}

/// What a file takes from the root of its crate: by `crate::a`, `crate::{a, b::c}`, or `super::` out of its part.
fn imports(path: &str, text: &str) -> BTreeSet<String> {
    let depth = path.split('/').filter(|step| *step != "mod.rs").count();
    let code = code(text);
    let mut found = BTreeSet::new();
    for (place, _) in code.match_indices("crate::") {
        let begins =
            !code[..place].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        if begins {
            found.extend(names(&code[place + "crate::".len()..]));
        }
    }
    for (place, _) in code.match_indices("super::") {
        if code[..place].ends_with("super::") {
            continue;
        }
        let mut rest = &code[place..];
        let mut steps = 0;
        while let Some(after) = rest.strip_prefix("super::") {
            (rest, steps) = (after, steps + 1);
        }
        if steps >= depth {
            found.extend(names(rest));
        }
    }
    found
}

/// The first names of a path, or of each path in braces.
fn names(path: &str) -> Vec<String> {
    let name = |text: &str| {
        text.trim()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (place, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.push(name(&group[start..place]));
                start = place + 1;
                if letter == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// Imports that the table does not allow, as sentences.
fn forbidden(table: &[(&str, &[&str])], files: &[(String, String)]) -> Vec<String> {
    let table: BTreeMap<&str, &[&str]> = table.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in files {
        let Some(allowed) = table.get(part(path)) else {
            continue;
        };
        for import in imports(path, text) {
            if import != part(path) && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{path} imports {import}"));
            }
        }
    }
    wrong
}

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

#[test]
fn wrong_imports_are_noticed() {
    let file = |path: &str, text: &str| vec![(path.to_owned(), text.to_owned())];
    for (path, text) in [
        ("fetch/plan.rs", "use crate::produce::Produce;"),
        ("fetch/plan.rs", "use crate::{context, produce::Produce};"),
        (
            "fetch/plan.rs",
            "use crate::{context::{Node, Context}, admin};",
        ),
        ("fetch/plan.rs", "fn f() { super::super::produce::g() }"),
        ("fetch/mod.rs", "use super::produce;"),
        ("fetch/deep/mod.rs", "use super::super::produce;"),
        ("context.rs", "use super::produce;"),
        (
            "storage/cache.rs",
            "fn f() -> crate::connection::Reply { todo() }",
        ),
    ] {
        assert_eq!(
            forbidden(AGENT, &file(path, text)).len(),
            1,
            "{path}: {text}"
        );
    }
    for (path, text) in [
        (
            "fetch/plan.rs",
            "use crate::context::Context;\nuse crate::fetch::read;",
        ),
        ("fetch/plan.rs", "use super::read;"),
        (
            "fetch/plan.rs",
            "// not crate::produce\n#[cfg(test)]\nmod tests {\n use crate::produce;\n}",
        ),
        ("fetch/deep/mod.rs", "use super::plan;"),
        ("fetch/deep/file.rs", "use super::super::plan;"),
    ] {
        assert_eq!(
            forbidden(AGENT, &file(path, text)),
            [""; 0],
            "{path}: {text}"
        );
    }
    assert_eq!(
        test_modules("admin/mod.rs", "#[cfg(test)]\nmod tests;\nmod x;"),
        ["admin/tests"]
    );
    assert_eq!(
        test_modules("lib.rs", "#[cfg(test)]\npub(crate) mod golden;"),
        ["golden"]
    );
    assert_eq!(
        test_modules("view.rs", "#[cfg(test)]\nmod tests;"),
        ["view/tests"]
    );
}

#[test]
fn every_source_says_first_what_lives_there() {
    for (path, text) in texts(&["rs"]) {
        assert!(
            text.starts_with("//! "),
            "{path} begins with something else"
        );
    }
}

#[test]
fn sources_are_ascii_and_finished() {
    // Not written out, or this file would be the only one with them.
    let unfinished = [
        ["FIX", "ME"].concat(),
        ["TO", "DO"].concat(),
        ["XX", "X"].concat(),
    ];
    for (path, text) in texts(&[
        "rs", "toml", "md", "py", "go", "js", "json", "xml", "service",
    ]) {
        for (number, line) in (1..).zip(text.lines()) {
            let prose = path.ends_with(".md");
            assert!(prose || line.is_ascii(), "{path}:{number} is not ASCII");
            let found = unfinished.iter().find(|word| line.contains(word.as_str()));
            assert_eq!(found, None, "{path}:{number}");
        }
    }
}

#[test]
fn every_api_has_a_section_of_its_own() {
    let document =
        std::fs::read_to_string(root().join("protocol/SUPPORTED.md")).expect("the document");
    for key in ApiKey::ALL {
        let heading = format!("\n## {} ({}): ", key.name(), key.code());
        assert!(
            document.contains(&heading),
            "{} is not described",
            key.name()
        );
    }
}

#[test]
fn every_api_has_tests_of_its_own() {
    let named = texts(&["rs"]);
    for key in ApiKey::ALL {
        let snake = key.name().chars().fold(String::new(), |mut snake, letter| {
            if letter.is_uppercase() && !snake.is_empty() {
                snake.push('_');
            }
            snake.extend(letter.to_lowercase());
            snake
        });
        let file = match snake.as_str() {
            // Together with what its ids are for.
            "init_producer_id" => "idempotence",
            other => other,
        };
        let path = format!("agent/tests/api/{file}.rs");
        assert!(
            named.iter().any(|(name, _)| *name == path),
            "{path} is missing"
        );
    }
}

/// Read by tools, so they keep their names.
const METRICS: [(&str, &str, &[&str]); 17] = [
    (
        "counter",
        "penstock_object_store_requests_total",
        &["op", "cause", "outcome"],
    ),
    (
        "counter",
        "penstock_object_store_bytes_total",
        &["op", "cause"],
    ),
    ("histogram", "penstock_object_store_seconds", &["op"]),
    ("histogram", "penstock_produce_seconds", &["stage"]),
    ("counter", "penstock_fetch_bytes_total", &["source"]),
    ("counter", "penstock_segments_total", &[]),
    ("histogram", "penstock_segment_bytes", &[]),
    ("gauge", "penstock_holds_order", &[]),
    ("counter", "penstock_drains_total", &[]),
    ("counter", "penstock_damage_total", &["kind"]),
    ("gauge", "penstock_cluster_usage", &["kind"]),
    ("gauge", "penstock_cluster_usage_max", &["kind"]),
    ("counter", "penstock_answers_not_believed_total", &[]),
    ("gauge", "penstock_buffered_bytes", &[]),
    ("gauge", "penstock_connections", &[]),
    ("counter", "penstock_turned_away_total", &["reason"]),
    ("counter", "penstock_requests_total", &["api", "error"]),
];

/// An alert over a metric that nobody keeps is silent for ever.
#[test]
fn alerts_watch_metrics_that_are_kept() {
    let alerts = std::fs::read_to_string(root().join("deploy/alerts.yml")).expect("the alerts");
    let exprs = alerts.lines().filter_map(|line| line.split_once("expr: "));
    let words = exprs.flat_map(|(_, expr)| expr.split(|c: char| !c.is_alphanumeric() && c != '_'));
    let watched: BTreeSet<&str> = words.filter(|w| w.starts_with("penstock_")).collect();
    assert!(watched.contains("penstock_damage_total"), "{watched:?}");
    for name in watched {
        let kept = METRICS.iter().any(|(_, kept, _)| *kept == name);
        assert!(kept, "nobody promises to keep {name}");
    }
}

#[test]
fn every_metric_is_kept_under_its_name_and_labels() {
    let files = sources("agent/src/");
    for (kind, name, labels) in METRICS {
        let written = format!("{kind}!(\"{name}\"");
        let keeps = |code: &str| {
            let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
            // `describe_counter!` only says what it would be.
            let mut places = code.match_indices(&written);
            places.any(|(place, _)| !code[..place].ends_with('_'))
        };
        let keepers: Vec<String> = files
            .iter()
            .map(|(_, text)| code(text))
            .filter(|code| keeps(code))
            .collect();
        assert!(!keepers.is_empty(), "nobody keeps {name}");
        for label in labels {
            let label = format!("\"{label}\"");
            assert!(
                keepers.iter().all(|code| code.contains(&label)),
                "{name} has no label {label}"
            );
        }
    }
}
