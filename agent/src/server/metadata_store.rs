//! Opens the metadata store and starts the sequencer; where that is refused, says what to do. Called by `start`.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use metadata::kv::{Kv, KvError, Memory, Redb};

use super::Settings;
use crate::clock::Clock;
use crate::config::StoreUrl;
use crate::tasks::Tasks;

/// What to do about a file that cannot be read.
const RESTORE: &str = "start nothing with it, keep the file, and bring back a copy";

/// Opens the store and starts the sequencer as one of `rooms`.
pub(super) async fn open(url: &StoreUrl, rooms: &Tasks) -> anyhow::Result<metadata::Metadata> {
    let kv: Arc<dyn Kv> = match url {
        StoreUrl::Memory => Arc::new(Memory::new()),
        StoreUrl::Redb(path) => {
            let path = path.clone();
            let opened = tokio::task::spawn_blocking(move || {
                Redb::open(&path).map_err(|error| (path, error))
            });
            let opened = opened.await.context("the store's thread ended")?;
            Arc::new(opened.map_err(|(path, error)| store_refused(&path, error))?)
        }
    };
    let clock = Clock::Real;
    let options = metadata::Options::new(Arc::new(move || clock.now()));
    let (metadata, sequencer) = metadata::start(kv, options).await.map_err(start_refused)?;
    rooms.spawn("sequencer", async move { Ok(sequencer.run().await?) });
    Ok(metadata)
}

/// Why the file of the metadata was not opened, and what to do.
fn store_refused(path: &Path, error: KvError) -> anyhow::Error {
    let advice = match &error {
        KvError::InUse(_) => "stop that one, or choose another folder with --data or --store",
        KvError::Corrupt(_) => RESTORE,
        KvError::NewerFormat(_) => "use a newer Penstock",
        _ => {
            "check the path, its permissions and the disk, or choose another with --data or --store"
        }
    };
    // Most of these name the file.
    let said = error.to_string();
    let shown = path.display().to_string();
    if said.contains(&shown) {
        anyhow::anyhow!("cannot open the metadata: {said}: {advice}")
    } else {
        anyhow::anyhow!("cannot open the metadata in {shown}: {said}: {advice}")
    }
}

/// Why the metadata was opened but not started.
fn start_refused(error: metadata::Error) -> anyhow::Error {
    match error {
        metadata::Error::Corrupt(_) => anyhow::anyhow!("{error}: {RESTORE}"),
        error => anyhow::anyhow!(error),
    }
}

/// A store whose folder is missing is refused before anything is made.
pub(super) fn check_folder(settings: &Settings) -> anyhow::Result<()> {
    let StoreUrl::Redb(path) = &settings.store else {
        return Ok(());
    };
    let folder = path.parent();
    if folder == settings.data.as_deref() || folder.is_some_and(Path::is_dir) {
        return Ok(());
    }
    anyhow::bail!(
        "the folder of the metadata, {}, does not exist: make it, or correct --store",
        folder.unwrap_or(path).display()
    )
}
