//! Flags, variables and file: which of them wins, and what is refused.

use std::ffi::OsString;
use std::io::Write;

use clap::CommandFactory as _;

use super::command::Cli;
use super::parse::{SAID_ONCE, is_typed};
use super::variables::with_variables;
use super::{Bytes, Command, StoreUrl, parse};

fn parse_words(words: &[&str]) -> Result<Command, clap::Error> {
    let words = std::iter::once("penstock").chain(words.iter().copied());
    parse(words.map(OsString::from)).map(|(command, _)| command)
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("temporary file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

#[test]
fn the_command_line_is_consistent() {
    with_variables(Cli::command()).debug_assert();
}

#[test]
fn every_option_has_a_variable() {
    for subcommand in with_variables(Cli::command()).get_subcommands() {
        for argument in subcommand
            .get_arguments()
            .filter(|argument| argument.get_long().is_some())
            .filter(|argument| !is_typed(subcommand.get_name(), argument.get_id().as_str()))
        {
            let long = argument.get_long().expect("filtered");
            let variable = format!("PENSTOCK_{}", long.replace('-', "_").to_uppercase());
            assert_eq!(
                argument.get_env().and_then(|name| name.to_str()),
                Some(variable.as_str())
            );
        }
    }
}

/// Left behind in one of these, it would be said again at each start.
#[test]
fn what_is_said_once_is_said_on_the_command_line_alone() {
    for subcommand in with_variables(Cli::command()).get_subcommands() {
        for said in SAID_ONCE {
            let found = subcommand
                .get_arguments()
                .find(|argument| argument.get_id() == said);
            assert!(found.is_none_or(|argument| argument.get_env().is_none()));
        }
    }
    // What agents read from the file or the environment beside it.
    let agents = file("metadata = \"here:1\"\n");
    let path = agents.path().to_str().expect("utf-8");
    let serve = ["metadata", "--store", "memory:", "--listen", "127.0.0.1:0"];
    let Ok(Command::Metadata(metadata)) = parse_words(&[&serve[..], &["--config", path]].concat())
    else {
        panic!("refused");
    };
    assert!(metadata.metadata.is_empty());
    let file = file("accept-older-store = true\n");
    let path = file.path().to_str().expect("utf-8");
    let refused = parse_words(&["metadata", "--store", "memory:", "--config", path]).unwrap_err();
    assert!(refused.to_string().contains("unknown key"), "{refused}");
}

#[test]
fn a_key_that_is_none_is_told_apart_from_a_flag_and_from_a_slip() {
    for (text, part) in [
        (
            "accept-older-store = true",
            "--accept-older-store is for the command line alone",
        ),
        (
            "accept-old-store = true",
            "--accept-older-store is for the command line alone",
        ),
        (
            "records = 't:0:0-9'",
            "--records is for the command line alone",
        ),
        ("force = true", "--force is for the command line alone"),
        ("config = 'x'", "--config is for the command line alone"),
        ("s3_endpoint = 'x'", "did you mean `s3-endpoint`?"),
        ("num-partition = 1", "did you mean `num-partitions`?"),
        ("buffer-memroy = 1", "did you mean `buffer-memory`?"),
    ] {
        let file = file(text);
        let path = file.path().to_str().expect("utf-8");
        let refused = parse_words(&["dev", "--config", path]).unwrap_err();
        assert!(refused.to_string().contains(part), "{refused}");
    }
    let file = file("qqqq = 1");
    let path = file.path().to_str().expect("utf-8");
    let refused = parse_words(&["dev", "--config", path]).unwrap_err();
    assert!(!refused.to_string().contains("did you mean"), "{refused}");
}

#[test]
fn of_quotes_it_is_said_only_where_they_may_be_missing() {
    for (text, has_hint) in [
        ("preset = fast", true),
        ("bucket = s3://b/p", true),
        ("zone = 'a'\nzone = 'b'", false),
    ] {
        let file = file(text);
        let path = file.path().to_str().expect("utf-8");
        let refused = parse_words(&["dev", "--config", path]).unwrap_err();
        let said = refused.to_string();
        assert_eq!(said.contains("stands in quotes"), has_hint, "{said}");
        assert_eq!(said.contains("each key stands once"), !has_hint, "{said}");
    }
}

#[test]
fn force_is_for_what_it_is_meant_for() {
    let finalize = ["metadata", "finalize", "--store", "memory:", "--force"];
    let refused = parse_words(&finalize).unwrap_err();
    assert!(refused.to_string().contains("for mark-lost alone"));
}

/// A variable is seen in `agent/tests/operations`.
#[test]
fn of_store_and_metadata_the_one_that_is_typed_counts() {
    let file = |text: &str| {
        file(&format!(
            "bucket = 'memory:'\nlisten = '127.0.0.1:0'\n{text}"
        ))
    };
    let agent = |words: &[&str], file: &tempfile::NamedTempFile| {
        let path = file.path().to_str().expect("utf-8");
        match parse_words(&[&["agent", "--config", path], words].concat()) {
            Ok(Command::Agent(agent)) => Ok(agent),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    };
    let stored = file("store = 'memory:'\npeer-listen = '127.0.0.1:1'\npeer-advertise = 'a:1'\n");
    let elsewhere = agent(&["--metadata", "here:1"], &stored).unwrap();
    assert_eq!(elsewhere.store, None);
    assert_eq!(elsewhere.metadata.len(), 1);
    assert_eq!(elsewhere.peer_listen, None, "it was for that store");
    assert_eq!(elsewhere.peer_advertise, None);
    let served = file("metadata = 'here:1'\n");
    let here = agent(&["--store", "memory:"], &served).unwrap();
    assert_eq!(here.store, Some(StoreUrl::Memory));
    assert!(here.metadata.is_empty());
    let both = file("store = 'memory:'\nmetadata = 'here:1'\n");
    let refused = agent(&[], &both).unwrap_err();
    assert!(refused.contains("the config file has both"), "{refused}");
    let typed = ["--store", "memory:", "--metadata", "here:1"];
    let refused = agent(&typed, &both).unwrap_err();
    assert!(refused.contains("not both"), "{refused}");
}

#[test]
fn a_flag_beats_the_file() {
    let file = file("num-partitions = 4\nzone = \"a\"\n");
    let path = file.path().to_str().expect("utf-8");
    let Ok(Command::Dev(dev)) = parse_words(&["dev", "--config", path, "--zone", "b"]) else {
        panic!("refused");
    };
    assert_eq!(
        (dev.common.num_partitions, dev.common.zone.as_deref()),
        (4, Some("b"))
    );
}

#[test]
fn a_required_option_may_come_from_the_file() {
    let file = file("bucket = \"memory:\"\nstore = \"memory:\"\nlisten = \"127.0.0.1:0\"\n");
    let path = file.path().to_str().expect("utf-8");
    assert!(matches!(
        parse_words(&["agent", "--config", path]),
        Ok(Command::Agent(_))
    ));
    assert!(parse_words(&["agent"]).is_err());
}

/// Whether it serves or is told something once.
#[test]
fn metadata_takes_store_and_address_from_the_file() {
    let file = file("store = \"memory:\"\nbucket = \"memory:\"\nlisten = \"127.0.0.1:0\"\n");
    let path = file.path().to_str().expect("utf-8");
    for words in [
        &["metadata", "--config", path][..],
        &["metadata", "finalize", "--config", path],
        &["metadata", "--accept-older-store", "--config", path],
    ] {
        let Ok(Command::Metadata(metadata)) = parse_words(words) else {
            panic!("{words:?} refused");
        };
        assert_eq!(metadata.store, Some(StoreUrl::Memory), "{words:?}");
        assert!(metadata.listen.is_some(), "{words:?}");
    }
}

/// The store of the file is what a process beside it serves from, and what is typed beats it.
#[test]
fn what_is_said_goes_to_the_processes_that_are_typed() {
    let file = file("store = \"memory:\"\n");
    let path = file.path().to_str().expect("utf-8");
    let say = ["metadata", "finalize", "--metadata", "here:1"];
    let Ok(Command::Metadata(metadata)) = parse_words(&[&say[..], &["--config", path]].concat())
    else {
        panic!("refused");
    };
    assert_eq!(metadata.metadata.len(), 1);
    let both = parse_words(&[&say[..], &["--store", "memory:"]].concat()).unwrap_err();
    assert!(both.to_string().contains("not both"), "{both}");
}

#[test]
fn what_metadata_lacks_is_named() {
    for (words, parts) in [
        (&["metadata"][..], &["--store URL", "--listen ADDR"][..]),
        (
            &["metadata", "finalize"],
            &["--metadata HOST:PORT", "--store URL"],
        ),
        (
            &["metadata", "release-hold"],
            &["--metadata HOST:PORT", "--store URL"],
        ),
        (
            &["metadata", "--accept-older-store"],
            &["--store URL", "--bucket URL"],
        ),
        (
            &[
                "metadata",
                "mark-lost",
                "--store",
                "memory:",
                "--records",
                "t:0:1-1",
            ],
            &["--bucket URL", "--force"],
        ),
    ] {
        let error = parse_words(words).expect_err("refused");
        assert_eq!(error.exit_code(), 2, "{words:?}");
        for part in parts {
            assert!(error.to_string().contains(part), "{words:?} said {error}");
        }
    }
}

#[test]
fn the_example_of_deploy_is_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/penstock.toml");
    let Ok(Command::Agent(agent)) = parse_words(&["agent", "--config", path]) else {
        panic!("refused");
    };
    assert_eq!(agent.bucket, "s3://example-bucket/penstock");
    assert_eq!(agent.common.buffer_memory, Bytes(256 << 20));
}

#[cfg(not(feature = "fdb"))]
#[test]
fn a_binary_without_foundationdb_says_how_to_build_one_with_it() {
    let said = "fdb:///etc/foundationdb/fdb.cluster".parse::<StoreUrl>();
    let said = said.expect_err("there is no client library in it");
    assert!(said.contains("built without FoundationDB"), "{said}");
    assert!(said.contains("-p penstock --features fdb"), "{said}");
}

#[cfg(feature = "fdb")]
#[test]
fn a_store_in_foundationdb_is_a_cluster_file_and_a_prefix() {
    let store = |prefix: &str| StoreUrl::FoundationDb {
        cluster_file: "/etc/foundationdb/fdb.cluster".into(),
        prefix: prefix.to_string(),
    };
    let url = "fdb:///etc/foundationdb/fdb.cluster";
    assert_eq!(url.parse(), Ok(store("penstock")));
    assert_eq!(format!("{url}?prefix=a b").parse(), Ok(store("a b")));
    for wrong in [
        "fdb:",
        "fdb:///",
        "fdb://host/file",
        "fdb:///file?",
        "fdb:///file?prefix=",
        "fdb:///file?prefix=a&b=c",
        "fdb:///file?tenant=a",
    ] {
        let said = wrong.parse::<StoreUrl>().expect_err(wrong);
        assert!(said.contains("fdb:///path?prefix=NAME"), "{wrong}: {said}");
    }
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let file = file("num-partition = 4\n");
    let said = parse_words(&["dev", "--config", file.path().to_str().expect("utf-8")])
        .expect_err("refused")
        .to_string();
    assert!(
        said.contains("unknown key `num-partition`; did you mean `num-partitions`?"),
        "{said}"
    );
}

#[test]
fn wrong_values_say_what_is_right() {
    for (words, said) in [
        (
            ["dev", "--segment-bytes", "8 apples"],
            "from 1B to 1GiB: write a number and a unit",
        ),
        (["dev", "--segment-bytes", "0"], "as in 8MiB"),
        (["dev", "--segment-bytes", "5GiB"], "from 1B to 1GiB"),
        (["dev", "--cache-memory", "5TiB"], "from 1B to 1TiB"),
        (["dev", "--buffer-memory", ""], "from 1MiB to 1TiB"),
        (
            ["dev", "--shutdown-grace", "10s"],
            "not a number of seconds",
        ),
        (
            ["dev", "--num-partitions", "x"],
            "not a whole number from 1",
        ),
        (
            ["dev", "--connections-max", "0"],
            "not a whole number from 1",
        ),
        (["dev", "--node-id", ""], "not a whole number from 0"),
        (
            ["dev", "--store", "postgres:x"],
            "write memory: or redb:///absolute",
        ),
        (
            ["dev", "--store", "postgres://pen:hush@h/meta?sslmode=allow"],
            "sslmode must be",
        ),
        (
            ["dev", "--advertise", "nowhere"],
            "as in broker.example.com:9092",
        ),
        (["dev", "--compression", "99"], "a zstd level from 1 to 19"),
        (["dev", "--state-memory", "1MiB"], "from 64MiB to 3GiB"),
        (
            ["dev", "--preset", "fastest"],
            "possible values: eco, default, fast",
        ),
        (["dev", "--listen", "9092"], "as in 127.0.0.1:9092"),
        (["dev", "--http", "9644"], "as in 127.0.0.1:9092"),
        (
            ["dev", "--listen", "PLAINTEXT://127.0.0.1:33192"],
            "dev has one listener without a name",
        ),
    ] {
        let error = parse_words(&words).expect_err("refused");
        assert!(error.to_string().contains(said), "{words:?} said {error}");
        assert!(!error.to_string().contains("hush"), "{error}");
        assert_ne!(error.exit_code(), 0);
    }
}

/// Neither a password in a URL that is refused, nor one in the file behind the help.
#[test]
fn passwords_are_not_shown() {
    let file = file("store = \"postgres://pen:hush@h/meta\"\n");
    let path = file.path().to_str().expect("utf-8");
    let Ok(Command::Dev(dev)) = parse_words(&["dev", "--config", path]) else {
        panic!("refused");
    };
    for shown in [
        format!("{dev:?}"),
        parse_words(&["dev", "--config", path, "--help"])
            .expect_err("help")
            .to_string(),
        parse_words(&["dev", "--store", "postgres://pen:hu@sh@h/meta"])
            .expect_err("refused")
            .to_string(),
    ] {
        assert!(
            !shown.contains("hush") && !shown.contains("sh@h"),
            "{shown}"
        );
    }
}

/// As a variable has that a container's file names and does not set.
#[test]
fn no_option_takes_nothing_for_a_value() {
    let values = with_variables(Cli::command());
    for subcommand in values.get_subcommands() {
        for option in subcommand.get_arguments() {
            let Some(flag) = option.get_long() else {
                continue;
            };
            if !option.get_action().takes_values() {
                continue;
            }
            let typed = format!("--{flag}=");
            let refused = parse_words(&[subcommand.get_name(), &typed]).expect_err(&typed);
            let said = refused.to_string();
            let about = format!("'--{flag} <");
            assert!(said.contains(&about), "{typed}: {said}");
        }
    }
}

#[test]
fn what_no_broker_could_work_with_is_refused_at_the_start() {
    for (option, fits, wrong) in [
        ("--buffer-memory", "1MiB", "1023KiB"),
        ("--shutdown-grace", "86400", "9300000000000000000"),
    ] {
        assert!(
            parse_words(&["dev", option, fits]).is_ok(),
            "{option} {fits}"
        );
        let said = parse_words(&["dev", option, wrong]).expect_err("refused");
        assert!(said.to_string().contains(option), "{said}");
    }
}
