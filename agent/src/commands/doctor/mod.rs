//! `penstock doctor`: looks at a bucket and a metadata store as an agent would, and says in sentences what is wrong and
//! what to do. Called by `commands`.

#[cfg(feature = "postgres")]
mod postgres;
mod s3;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use metadata::kv::Redb;
use metadata::{Checked, NamingEpoch, ObjectKey};
use tokio::time::Instant;

use super::logging;
use crate::config::{Doctor, StoreUrl};
use crate::identity::{self, Found, Join, Known, Names};
use crate::storage::{Cause, Store, StoreOptions, Witness, WitnessError};

/// Requests whose latency is measured.
const ROUNDS: usize = 20;
/// What is stored to see whether it comes back.
const PROBE: &[u8] = b"written by penstock doctor, may be deleted";

/// Checks what was asked for. Exit code 0 only if nothing is wrong.
///
/// # Errors
/// When the log filter is none, or standard output cannot be used.
pub(super) async fn run(options: Doctor) -> anyhow::Result<ExitCode> {
    logging::start(&options.log)?;
    let mut report = Report::default();
    let bucket = check_bucket(&options, &mut report).await;
    // Before the metadata: an agent at work may add to both, and the bucket must not remember what was added since.
    let found = match &bucket {
        Some(store) if options.bucket != "memory:" => Some(Found::look(store).await),
        _ => None,
    };
    let metadata = match &options.store {
        None => {
            report.note("No metadata store was named; give --store to have it checked.");
            None
        }
        Some(StoreUrl::Memory) => {
            report.well("The metadata is kept in memory only.");
            None
        }
        Some(StoreUrl::Redb(path)) => check_redb(path, &mut report).await,
        #[cfg(feature = "postgres")]
        Some(StoreUrl::Postgres(url)) => postgres::check(url, &mut report).await,
        #[cfg(feature = "fdb")]
        Some(StoreUrl::FoundationDb {
            cluster_file,
            prefix,
        }) => check_foundationdb(cluster_file, prefix, &mut report).await,
    };
    if let Some(metadata) = &metadata {
        check_level(metadata.level, &report);
    }
    if let (Some(found), Some(metadata), Some(store)) = (found, metadata, &options.store) {
        let names = Names {
            bucket: options.bucket.clone(),
            metadata: store.to_string(),
        };
        check_identity(&names, found, &metadata, &mut report);
    }
    Ok(report.finish())
}

/// At which level the cluster writes, and whether an operator may want to raise it. None of a store that is still empty.
fn check_level(level: u32, report: &Report) {
    let newest = metadata::WRITER_LEVEL;
    if (1..newest).contains(&level) {
        report.note(&format!(
            "The metadata is written at feature level {level}, and this version knows level {newest}: once all processes are \
             of this version, raise it with penstock metadata finalize."
        ));
    } else if level > 0 {
        report.well(&format!(
            "The metadata is written at feature level {level}, the newest that this version knows."
        ));
    }
}

/// Whether the two belong together, and the metadata holds what the bucket remembers of it, as those who start would find
/// out. Binds nothing.
fn check_identity(
    names: &Names,
    found: Result<Found, WitnessError>,
    metadata: &Checked,
    report: &mut Report,
) {
    let known = Known {
        cluster: metadata.cluster.as_deref().unwrap_or_default(),
        bucket: metadata.bucket,
    };
    let found = match found {
        Ok(found) => found,
        Err(WitnessError::Unreadable(said)) => {
            return report.wrong(&sentence(&identity::unreadable(names, known, &said)));
        }
        Err(error) => return report.wrong(&sentence(&error.to_string())),
    };
    match identity::judge(names, known, &found) {
        Ok(Join::Known(_)) => report.well("Bucket and metadata belong together."),
        Ok(Join::Bind(_) | Join::Claim) => report.well(
            "Bucket and metadata know nothing of each other yet; the first agent joins them for good.",
        ),
        Err(said) => return report.wrong(&sentence(&said)),
    }
    if let Found::Witness(Witness {
        point: Some(point), ..
    }) = found
    {
        match metadata.holds(point) {
            Ok(()) => report.well("The metadata holds what the bucket remembers of it."),
            Err(error) => report.wrong(&sentence(&identity::went_back(names, &error))),
        }
    }
}

/// What was found so far. Said at once, so that a check that takes long does not look like none.
#[derive(Debug, Default)]
struct Report {
    wrong: usize,
}

impl Report {
    fn well(&self, sentence: &str) {
        say("ok   ", sentence);
    }

    /// Worth knowing, harmless.
    fn note(&self, sentence: &str) {
        say("note ", sentence);
    }

    fn wrong(&mut self, sentence: &str) {
        self.wrong += 1;
        say("WRONG", sentence);
    }

    fn finish(&self) -> ExitCode {
        match self.wrong {
            0 => {
                say("     ", "All is well.");
                ExitCode::SUCCESS
            }
            1 => {
                say("     ", "One thing is wrong.");
                ExitCode::FAILURE
            }
            many => {
                say("     ", &format!("{many} things are wrong."));
                ExitCode::FAILURE
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "the report is what was asked for")]
fn say(verdict: &str, sentence: &str) {
    println!("{verdict} {sentence}");
}

/// The bucket, if it can be asked.
async fn check_bucket(options: &Doctor, report: &mut Report) -> Option<Store> {
    let store_options = StoreOptions {
        s3_endpoint: options.s3_endpoint.clone(),
    };
    let store = match Store::open(&options.bucket, &store_options).await {
        Ok(store) => store,
        Err(error) => {
            report.wrong(&sentence(&error.to_string()));
            return None;
        }
    };
    if let Err(error) = store.check().await {
        report.wrong(&sentence(&error.to_string()));
        return None;
    }
    report.well("The bucket is there and lets us read.");
    if store.is_local() {
        check_objects(&store, report).await;
    } else {
        s3::check(&options.bucket, &store_options, report).await;
    }
    Some(store)
}

/// Stores, reads and deletes as an agent does.
async fn check_objects(store: &Store, report: &mut Report) {
    let (mut puts, mut gets) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let key = ObjectKey::new(NamingEpoch::default(), rand::random(), 0);
        let began = Instant::now();
        if let Err(error) = store
            .put_segment(key, vec![Bytes::from_static(PROBE)])
            .await
        {
            return report.wrong(&format!("Nothing can be stored in the bucket: {error}."));
        }
        puts.push(began.elapsed());
        let began = Instant::now();
        let read = store.get_range(key, 0..PROBE.len() as u64, Cause::Doctor);
        match read.await {
            Ok(bytes) if bytes == PROBE => gets.push(began.elapsed()),
            Ok(_) => report.wrong("What is read from the bucket is not what was stored in it."),
            Err(error) => report.wrong(&format!("What was stored cannot be read: {error}.")),
        }
        if let Err(error) = store.delete(key).await {
            return report.wrong(&format!("Nothing can be deleted from the bucket: {error}."));
        }
    }
    report.well("Objects can be stored, read and deleted.");
    report.well(&latency(puts, gets));
}

/// How long requests took.
fn latency(puts: Vec<Duration>, gets: Vec<Duration>) -> String {
    let figures = |mut took: Vec<Duration>| {
        took.sort_unstable();
        let median = took.get(took.len() / 2).copied().unwrap_or_default();
        let longest = took.last().copied().unwrap_or_default();
        let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
        format!(
            "{:.1} ms, {:.1} ms at the most",
            millis(median),
            millis(longest)
        )
    };
    format!(
        "A small PUT takes {}; a GET {} (median of {ROUNDS}).",
        figures(puts),
        figures(gets)
    )
}

/// Reads, and writes nothing: a file that is not there is not made. What the metadata says of itself, if it can be read.
async fn check_redb(path: &Path, report: &mut Report) -> Option<Checked> {
    let shown = path.display();
    if !path.exists() {
        let folder = path.parent().is_some_and(Path::is_dir);
        if folder {
            report.well(&format!(
                "There is no metadata in {shown} yet; the first agent makes it."
            ));
            return Some(Checked::default());
        }
        report.wrong(&format!(
            "The folder of {shown} is not there: make it, or correct --store."
        ));
        return None;
    }
    let owned = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || Redb::open(&owned)).await;
    let read = match opened.expect("opening does not panic") {
        Ok(redb) => metadata::check(&redb).await,
        Err(error) => Err(error.into()),
    };
    match read {
        Ok(checked) => {
            report.well(&format!("The metadata in {shown} can be opened and read."));
            return Some(checked);
        }
        // As it is while all is well.
        Err(metadata::Error::InUse(_)) => report.note(&format!(
            "The metadata in {shown} was not looked at, nor whether the bucket is its bucket: a process has it open, which \
             keeps all others out. That one says in its /health/ready how it is; or stop it and ask again."
        )),
        Err(metadata::Error::Corrupt(why)) => report.wrong(&format!(
            "The metadata in {shown} is damaged ({why}): start no agent with it, keep the file, and bring back a copy."
        )),
        Err(error @ metadata::Error::NewerFormat { .. }) => {
            report.wrong(&format!("The metadata in {shown} is not for this version: {error}."));
        }
        Err(error) => report.wrong(&format!(
            "The metadata in {shown} cannot be read ({error}): check the path, its permissions and the disk."
        )),
    }
    None
}

/// Reads, and writes nothing, so an agent may be at work.
#[cfg(feature = "fdb")]
async fn check_foundationdb(
    cluster_file: &Path,
    prefix: &str,
    report: &mut Report,
) -> Option<Checked> {
    let read = match metadata::kv::FoundationDb::open(cluster_file, prefix) {
        Ok(store) => metadata::check(&store).await,
        Err(error) => Err(error.into()),
    };
    let shown = cluster_file.display();
    match read {
        Ok(checked) => {
            report.well(&format!(
                "The metadata under the prefix {prefix} in the cluster of {shown} can be read."
            ));
            return Some(checked);
        }
        Err(metadata::Error::Corrupt(why)) => report.wrong(&format!(
            "What lies under the prefix {prefix} in the cluster of {shown} cannot be read as metadata ({why}): ask again \
             if an agent was at work meanwhile; else start none with it, or choose another prefix."
        )),
        Err(error @ metadata::Error::NewerFormat { .. }) => report.wrong(&format!(
            "The metadata in the cluster of {shown} is not for this version: {error}."
        )),
        Err(error) => report.wrong(&format!(
            "The metadata in the cluster of {shown} cannot be read ({error}): check the cluster file, whether fdbcli \
             reaches the cluster with it, and what its status says."
        )),
    }
    None
}

/// As a sentence: with a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut rest = text.trim_end_matches('.').chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    first.chain(rest).chain(['.']).collect()
}
