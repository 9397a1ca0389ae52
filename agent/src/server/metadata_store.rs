//! Opens the metadata store and starts the sequencer; where that is refused, says what to do. Called by `start`.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use metadata::kv::{Kv, KvError, Memory, Redb};
#[cfg(feature = "postgres")]
use metadata::kv::{Postgres, PostgresUrl};
use metadata::rpc::Wire;
use metadata::{Agent, Limits, Metadata, Options, Status};

use super::peers::{PeerPort, connect, wire};
use super::settings::{Sequencing, Settings};
use super::unanswered::Watched;
use crate::clock::Clock;
use crate::config::StoreUrl;
use crate::http::StoreCalls;
use crate::identity::{self, Names};
use crate::storage::Store;
use crate::tasks::Tasks;

/// What to do about a store that cannot be read.
const RESTORE: &str = "start nothing with it, keep it, and bring back a copy";
/// And about one that another process has, by whoever would serve from it.
pub(super) const STOP: &str = "stop that one, or choose another folder with --data or --store";
const UPGRADE: &str = "use a newer Penstock";

/// What is needed to speak with other processes, made ready before anything is written.
#[derive(Debug)]
pub(super) struct Peers {
    wire: Wire,
    port: Option<PeerPort>,
}

impl Peers {
    pub(super) fn prepare(settings: &Settings) -> anyhow::Result<Self> {
        let wire = wire(settings.peer_tls.as_ref())?;
        let Sequencing::InProcess { store, peer, .. } = &settings.order else {
            return Ok(Self { wire, port: None });
        };
        check_folder(store, settings.data.as_deref())?;
        let port = match peer {
            None => None,
            Some(peer) => {
                let (wire, advertise) = (wire.clone(), peer.advertise.clone());
                Some(PeerPort::take(peer.listen, advertise, wire, "peer-listen")?)
            }
        };
        Ok(Self { wire, port })
    }
}

/// What the sequencer needs from this process. Where there is a bucket, it remembers how far the metadata had come.
pub(super) fn options(bucket: Option<&Store>, state_memory: u64) -> Options {
    let clock = Clock::Real;
    Options {
        limits: Limits::within(state_memory),
        witness: bucket.map(Store::memory),
        ..Options::new(Arc::new(move || clock.now()))
    }
}

/// The metadata, as a process has it.
pub(super) struct Opened {
    pub(super) metadata: Metadata,
    /// Of a process that may hold the order for others.
    pub(super) candidate: Option<Status>,
    /// Of the store, where this process works on it.
    pub(super) calls: Arc<StoreCalls>,
}

/// Opens the store and starts the sequencer, or reaches for one elsewhere, as some of `rooms`.
pub(super) async fn open(
    order: &Sequencing,
    peers: Peers,
    agent: Agent,
    bucket: &Store,
    names: &Names,
    rooms: &Tasks,
) -> anyhow::Result<Opened> {
    let (store, state_memory) = match order {
        Sequencing::Remote { addresses } => {
            let metadata = connect(
                addresses.clone(),
                peers.wire,
                Some(agent),
                Some(bucket),
                names,
                rooms,
            );
            return Ok(Opened {
                metadata,
                candidate: None,
                calls: Arc::default(),
            });
        }
        Sequencing::InProcess {
            store,
            state_memory,
            ..
        } => (store, *state_memory),
    };
    let options = options(Some(bucket), state_memory);
    let (kv, calls) = Watched::over(open_store(store, STOP).await?);
    if let Some(port) = peers.port {
        // One path for all agents, this one included: whoever holds the order may be another process.
        let address = port.address().to_owned();
        let status = port.serve(kv, options, names.clone(), rooms)?;
        let (at, agent) = (vec![address], Some(agent));
        let metadata = connect(at, peers.wire, agent, Some(bucket), names, rooms);
        return Ok(Opened {
            metadata,
            candidate: Some(status),
            calls,
        });
    }
    let (metadata, sequencer) = metadata::start(kv, options)
        .await
        .map_err(|error| refused(names, error))?;
    let names = names.clone();
    rooms.spawn("sequencer", async move {
        let ended = sequencer.run().await;
        ended.map_err(|error| refused(&names, error))
    });
    Ok(Opened {
        metadata,
        candidate: None,
        calls,
    })
}

/// Opens the store. `in_use`: what to do where another process has it.
pub(super) async fn open_store(url: &StoreUrl, in_use: &str) -> anyhow::Result<Arc<dyn Kv>> {
    let kv: Arc<dyn Kv> = match url {
        StoreUrl::Memory => Arc::new(Memory::new()),
        StoreUrl::Redb(path) => {
            let path = path.clone();
            let opened = tokio::task::spawn_blocking(move || {
                Redb::open(&path).map_err(|error| (path, error))
            });
            let opened = opened.await.context("the store's thread ended")?;
            Arc::new(opened.map_err(|(path, error)| store_refused(&path, error, in_use))?)
        }
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => {
            let opened = Postgres::open(url).await;
            Arc::new(opened.map_err(|error| database_refused(url, &error))?)
        }
        #[cfg(feature = "fdb")]
        StoreUrl::FoundationDb {
            cluster_file,
            prefix,
        } => Arc::new(
            metadata::kv::FoundationDb::open(cluster_file, prefix)
                .context("cannot open the metadata in FoundationDB")?,
        ),
    };
    Ok(kv)
}

/// Why the file of the metadata was not opened, and what to do.
fn store_refused(path: &Path, error: KvError, in_use: &str) -> anyhow::Error {
    let advice = match &error {
        KvError::InUse(_) => in_use,
        KvError::Corrupt(_) => RESTORE,
        KvError::NewerFormat(_) => UPGRADE,
        error if says_disk_full(&error.to_string()) => {
            "make room on its disk, or choose another with --data or --store"
        }
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

/// What the database says already names what to do, in most cases.
#[cfg(feature = "postgres")]
pub(super) fn database_refused(url: &PostgresUrl, error: &KvError) -> anyhow::Error {
    let what = format!("cannot open the metadata in {url}: {error}");
    match error {
        KvError::Corrupt(_) => anyhow::anyhow!("{what}: {RESTORE}"),
        KvError::NewerFormat(_) => anyhow::anyhow!("{what}: {UPGRADE}"),
        _ => anyhow::anyhow!(what),
    }
}

/// Why the metadata was opened but cannot be worked with, and what to do.
pub(super) fn refused(names: &Names, error: metadata::Error) -> anyhow::Error {
    match error {
        metadata::Error::Corrupt(_) => anyhow::anyhow!("{error}: {RESTORE}"),
        metadata::Error::OtherBucket { bucket, metadata } => {
            anyhow::anyhow!(identity::other_cluster(names, &bucket, &metadata))
        }
        metadata::Error::Emptied(bucket) => anyhow::anyhow!(identity::emptied(names, &bucket)),
        error if has_no_room(&error) => anyhow::anyhow!(
            "there is no room for the metadata in {}: make room on its disk, and try again",
            names.metadata()
        ),
        error => anyhow::anyhow!(identity::went_back(names, &error)),
    }
}

/// Whether it is the store's disk that is full: not the bucket's, nor that of a database, which says itself what to do. What
/// the store says of going on is true of a process that does.
fn has_no_room(error: &metadata::Error) -> bool {
    let said = error.to_string();
    let is_store = matches!(error, metadata::Error::Unavailable { .. })
        && said.starts_with("the metadata store is not available");
    is_store && says_disk_full(&said) && !said.contains("make room")
}

/// Whether that is what the system says of a full disk; redb passes it on as text.
pub(crate) fn says_disk_full(said: &str) -> bool {
    ["No space left on device", "Disk quota exceeded"]
        .iter()
        .any(|full| said.contains(full))
}

/// A store whose folder is missing is refused before anything is made.
pub(super) fn check_folder(store: &StoreUrl, made_here: Option<&Path>) -> anyhow::Result<()> {
    let StoreUrl::Redb(path) = store else {
        return Ok(());
    };
    let folder = path.parent();
    if (folder.is_some() && folder == made_here) || folder.is_some_and(Path::is_dir) {
        return Ok(());
    }
    anyhow::bail!(
        "the folder of the metadata, {}, does not exist: make it, or correct --store",
        folder.unwrap_or(path).display()
    )
}

#[cfg(test)]
mod tests {
    use metadata::Happened;

    use super::*;
    use crate::storage::StoreOptions;

    fn unavailable(reason: &str) -> metadata::Error {
        metadata::Error::Unavailable {
            happened: Happened::No,
            reason: reason.to_owned(),
        }
    }

    #[test]
    fn whoever_ends_for_a_full_disk_says_to_make_room_and_not_that_it_goes_on() {
        let names = Names::of_store(
            "redb:///a/m.redb".to_owned(),
            None,
            &StoreOptions::default(),
        );
        let full = "I/O error: No space left on device (os error 28)";
        for reason in [
            full.to_owned(),
            format!("the database failed ({full}) and is opened again soon"),
        ] {
            let said = refused(&names, unavailable(&reason)).to_string();
            let right = said.contains("redb:///a/m.redb: make room on its disk");
            assert!(right && !said.contains("again soon"), "{said}");
        }
        for reason in [
            "I/O error: Input/output error (os error 5)",
            &format!("the bucket is not available: {full}"),
            &format!("PostgreSQL says \"{full}\": make room on the disk of its server"),
        ] {
            let said = refused(&names, unavailable(reason)).to_string();
            assert!(said.ends_with(reason), "{said}");
        }
        let said = store_refused(
            Path::new("/m.redb"),
            KvError::Unavailable(full.into()),
            STOP,
        );
        let said = said.to_string();
        assert!(said.contains("/m.redb: "), "{said}");
        assert!(said.contains("make room on its disk"), "{said}");
    }
}
