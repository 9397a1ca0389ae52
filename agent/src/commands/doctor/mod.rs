//! `penstock doctor`: looks at a bucket and a metadata store as an agent would, and says in sentences what is wrong and
//! what to do. Called by `commands`.

mod metadata_file;
#[cfg(feature = "postgres")]
mod postgres;
mod s3;
mod still_open;

#[cfg(feature = "fdb")]
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use metadata::Checked;
use metadata::kv::Kv;
use tokio::time::Instant;

use super::say::answer;
use super::{logging, panics};
use crate::config::{Doctor, StoreUrl};
use crate::identity::{self, Found, Join, Known, Names};
use crate::storage::{OpenError, Store, StoreOptions, Witness, WitnessError};

/// Requests whose latency is measured.
const ROUNDS: usize = 20;
/// What is stored to see whether it comes back.
const PROBE: &[u8] = b"written by penstock doctor, may be deleted";

/// Checks what was asked for. Exit code 0 only if nothing is wrong.
///
/// # Errors
/// When the log filter is none, or the bucket's URL.
pub(super) async fn run(options: Doctor) -> anyhow::Result<ExitCode> {
    logging::start(&options.log)?;
    let mut report = Report::default();
    end_with_report(&options, &report);
    let bucket = check_bucket(&options, &mut report).await?;
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
        Some(StoreUrl::Redb(path)) => metadata_file::check(path, &mut report).await,
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
        let bucket = Some(options.bucket.clone());
        let names = Names::of_store(store.to_string(), bucket, &store_options(&options));
        check_identity(&names, found, &metadata, &mut report);
    }
    Ok(report.finish())
}

/// Also where a check panics, which ends the process: the product aborts then.
fn end_with_report(options: &Doctor, report: &Report) {
    let (file, report) = (options.store.clone(), report.clone());
    panics::end_with(move |damaged| {
        let mut report = report.clone();
        match (damaged, &file) {
            (Some((at_work_on, words)), Some(StoreUrl::Redb(path))) => {
                metadata_file::panicked(path, at_work_on, &words, &mut report);
            }
            _ => report.fault(),
        }
        report.finish();
    });
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

/// What was found so far. Said at once, so that a check that takes long does not look like none. Clones share it.
#[derive(Clone, Debug, Default)]
struct Report {
    wrong: Arc<AtomicUsize>,
    /// Whether something was left out that was asked for.
    is_partial: Arc<AtomicBool>,
}

impl Report {
    fn well(&self, sentence: &str) {
        say("ok   ", sentence);
    }

    /// Worth knowing, harmless.
    fn note(&self, sentence: &str) {
        say("note ", sentence);
    }

    /// The same of what was not looked at.
    fn left_out(&self, sentence: &str) {
        self.is_partial.store(true, Ordering::Relaxed);
        self.note(sentence);
    }

    fn wrong(&mut self, sentence: &str) {
        self.wrong.fetch_add(1, Ordering::Relaxed);
        say("WRONG", sentence);
    }

    /// A check panicked, which standard error describes.
    fn fault(&mut self) {
        self.wrong(
            "A check failed by itself, and those that follow it were not made: that is a fault of Penstock, please report \
             it.",
        );
    }

    fn finish(&self) -> ExitCode {
        match self.wrong.load(Ordering::Relaxed) {
            0 => {
                let end = match self.is_partial.load(Ordering::Relaxed) {
                    true => "What was looked at is well.",
                    false => "All is well.",
                };
                say("     ", end);
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

fn say(verdict: &str, sentence: &str) {
    answer(format_args!("{verdict} {sentence}"));
}

fn store_options(options: &Doctor) -> StoreOptions {
    StoreOptions {
        s3_endpoint: options.s3_endpoint.clone(),
    }
}

/// The bucket, if it can be asked. One that is not there is not made.
///
/// # Errors
/// When what was typed names none.
async fn check_bucket(options: &Doctor, report: &mut Report) -> anyhow::Result<Option<Store>> {
    let store_options = store_options(options);
    let store = match Store::open_existing(&options.bucket, &store_options).await {
        Ok(store) => store,
        Err(error @ OpenError::Misused(_)) => return Err(error.into()),
        Err(error) => {
            report.wrong(&sentence(&error.to_string()));
            return Ok(None);
        }
    };
    if let Err(error) = store.check().await {
        report.wrong(&sentence(&error.to_string()));
        return Ok(None);
    }
    report.well("The bucket is there and lets us read.");
    if store.is_local() {
        check_objects(&store, report).await;
    } else {
        s3::check(&options.bucket, &store_options, report).await;
    }
    Ok(Some(store))
}

/// Stores, reads and deletes as an agent does, but not among its segments.
async fn check_objects(store: &Store, report: &mut Report) {
    let (mut puts, mut gets) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        match try_object(store).await {
            Ok((put, get)) => {
                puts.push(put);
                gets.push(get);
            }
            Err(said) => return report.wrong(&said),
        }
    }
    report.well("Objects can be stored, read and deleted.");
    report.well(&latency(puts, gets));
}

/// How long it took to store and to read one; else what is wrong.
async fn try_object(store: &Store) -> Result<(Duration, Duration), String> {
    const ADVICE: &str = "make room in it, or check its permissions";
    let trial = store.trial(rand::random());
    let began = Instant::now();
    let stored = trial.put(PROBE).await;
    let put = began.elapsed();
    stored.map_err(|error| format!("Nothing can be stored in the bucket ({error}): {ADVICE}."))?;
    let began = Instant::now();
    let read = trial.get().await;
    let get = began.elapsed();
    let deleted = trial.delete().await;
    deleted.map_err(|error| {
        let left = left(trial.key());
        format!("Nothing can be deleted from the bucket ({error}): check its permissions.{left}")
    })?;
    match read {
        Ok(bytes) if bytes == PROBE => Ok((put, get)),
        Ok(_) => Err("What is read from the bucket is not what was stored in it.".to_owned()),
        Err(error) => Err(format!("What was stored cannot be read: {error}.")),
    }
}

/// What nobody deleted, as one more sentence.
fn left(key: &str) -> String {
    format!(" The object {key} is left in it, and harms nobody.")
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

/// Tries whether the metadata takes writes; `what` is what it is called, and `advice` says what to do about a reason why it
/// does not. An agent may be at work: nothing that it needs is touched.
async fn check_writes(
    kv: &dyn Kv,
    what: &str,
    advice: impl Fn(&str) -> &'static str,
    report: &mut Report,
) {
    let why = match metadata::takes_writes(kv).await {
        Ok(true) => return report.well(&sentence(&format!("{what} can be written"))),
        Ok(false) => return,
        Err(metadata::Error::Unavailable { reason, .. }) => reason,
        Err(error) => error.to_string(),
    };
    let advice = advice(&why);
    report.wrong(&format!(
        "Nothing can be written to {what} ({why}): {advice}."
    ));
}

/// An agent may be at work.
#[cfg(feature = "fdb")]
async fn check_foundationdb(
    cluster_file: &Path,
    prefix: &str,
    report: &mut Report,
) -> Option<Checked> {
    let opened = metadata::kv::FoundationDb::open(cluster_file, prefix);
    let read = match &opened {
        Ok(store) => metadata::check(store).await,
        Err(error) => Err(error.clone().into()),
    };
    let shown = cluster_file.display();
    match read {
        Ok(checked) => {
            report.well(&format!(
                "The metadata under the prefix {prefix} in the cluster of {shown} can be read."
            ));
            if let Ok(store) = &opened {
                let advice = |_: &str| "see what the status of fdbcli says";
                check_writes(store, "it", advice, report).await;
            }
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

/// As a sentence: with a capital, unless it begins with the name of something, and a full stop.
fn sentence(text: &str) -> String {
    let text = text.trim_end_matches('.');
    let begins = text.split_whitespace().next().unwrap_or_default();
    let word = begins.trim_end_matches([',', ':', ';']);
    if !word.chars().all(char::is_alphabetic) {
        return format!("{text}.");
    }
    let mut rest = text.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    first.chain(rest).chain(['.']).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::TryStreamExt as _;
    use object_store::ObjectStore as _;
    use object_store::path::Path;

    use super::*;
    use crate::storage::tests::faulty::{Faulty, Planned};

    #[test]
    fn a_sentence_has_a_capital_and_names_stay_as_they_are() {
        for (text, expected) in [
            ("the bucket is empty", "The bucket is empty."),
            ("nothing, at all.", "Nothing, at all."),
            ("penstock.json is damaged", "penstock.json is damaged."),
            ("a/b.redb: is it there", "a/b.redb: is it there."),
        ] {
            assert_eq!(sentence(text), expected);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_deleted_is_named_and_is_no_segment() {
        let faulty = Arc::new(Faulty::default());
        let store = Store::from_object_store(faulty.clone(), Path::from("p"), true);
        try_object(&store).await.unwrap();
        let left = async || {
            let listed = faulty.objects.list(None);
            listed.try_collect::<Vec<_>>().await.unwrap()
        };
        assert_eq!(left().await, []);
        faulty.plan([Planned::Works, Planned::Works], Planned::Refused);
        let said = try_object(&store).await.unwrap_err();
        let left = left().await;
        let key = left[0].location.as_ref();
        assert!(key.starts_with("p/doctor/"), "{key}");
        for part in ["Nothing can be deleted", "permissions", key] {
            assert!(said.contains(part), "no {part:?} in {said:?}");
        }
        let stored = try_object(&store).await.unwrap_err();
        assert!(stored.contains("Nothing can be stored"), "{stored}");
    }
}
