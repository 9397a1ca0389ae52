//! The checks in their order, each as far as those before it lead.

use std::process::ExitCode;

use metadata::Checked;

#[cfg(feature = "fdb")]
use super::fdb;
use super::identity::check_identity;
use super::metadata_file;
use super::objects::{check_bucket, store_options};
#[cfg(feature = "postgres")]
use super::postgres;
use super::report::Report;
use super::space;
use crate::commands::{logging, panics};
use crate::config::{Doctor, StoreUrl};
use crate::identity::{Found, Names};

/// Checks what was asked for. Exit code 0 only if nothing is wrong.
///
/// # Errors
/// When the log filter is none, or the bucket's URL.
pub(in crate::commands) async fn run(options: Doctor) -> anyhow::Result<ExitCode> {
    logging::start(&options.log)?;
    let mut report = Report::default();
    end_with_report(&options, &report);
    let bucket = check_bucket(&options, &mut report).await?;
    // Where nothing can be stored more was said.
    let folder = space::folder_of(&options.bucket).filter(|_| report.wrongs() == 0);
    // Before the metadata: an agent at work may add to both, and the bucket must not remember what was added since.
    let found = match &bucket {
        Some(store) if options.bucket != "memory:" => Some(Found::look(store).await),
        _ => None,
    };
    let before = report.wrongs();
    let metadata = check_metadata(&options, &mut report).await;
    let file = match &options.store {
        Some(StoreUrl::Redb(path)) if report.wrongs() == before => Some(path),
        _ => None,
    };
    let folder = folder.iter().map(|folder| ("the bucket", folder.as_path()));
    let file = file
        .into_iter()
        .map(|file| ("the metadata", file.as_path()));
    space::check(&folder.chain(file).collect::<Vec<_>>(), &mut report);
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

/// What the metadata says of itself, if it can be read.
async fn check_metadata(options: &Doctor, report: &mut Report) -> Option<Checked> {
    match &options.store {
        None => {
            report.note("No metadata store was named; give --store to have it checked.");
            None
        }
        Some(StoreUrl::Memory) => {
            report.well("The metadata is kept in memory only.");
            None
        }
        Some(StoreUrl::Redb(path)) => metadata_file::check(path, report).await,
        #[cfg(feature = "postgres")]
        Some(StoreUrl::Postgres(url)) => postgres::check(url, report).await,
        #[cfg(feature = "fdb")]
        Some(StoreUrl::FoundationDb {
            cluster_file,
            prefix,
        }) => fdb::check(cluster_file, prefix, report).await,
    }
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
