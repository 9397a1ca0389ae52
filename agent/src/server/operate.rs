//! What an operator says once to a metadata store that nobody serves from, or to the processes that do: `penstock metadata
//! finalize`, `release-hold`, `mark-lost` and `--accept-older-store`. Called by `commands/metadata`.

use std::sync::Arc;
use std::time::Duration;

use metadata::kv::Kv;
use metadata::rpc::Wire;
use metadata::{
    Acceptance, Checked, Metadata, Options, Raised, Rejected, STATE_BYTES_MAX, Timestamp,
    WRITER_LEVEL,
};
use tokio::time::timeout;

use super::metadata_store::{self, check_folder, open_store, refused};
use super::peers::{connect, wire};
use super::readable::refuse_readable;
use crate::clock::Clock;
use crate::config::{Misuse, PeerTls, Records, StoreUrl};
use crate::identity::{self, Names};
use crate::storage::{Store, StoreOptions};
use crate::tasks::Tasks;

/// To reach a process that holds the order, and to be answered.
const REACH_TIME_MAX: Duration = Duration::from_secs(30);
/// Then it is said that it is waited for.
const SILENT_TIME_MAX: Duration = Duration::from_secs(2);
const CLOSE_TIME_MAX: Duration = Duration::from_secs(3);

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// From now on the cluster writes what this version, or the sequencer's, can write.
    Finalize,
    /// Objects that the metadata does not know may be deleted again.
    ReleaseHold,
    /// The cluster goes on from a store that went back in time.
    AcceptOlderStore,
    /// Readers step over records that cannot be read.
    MarkLost(Records, IfReadable),
}

/// What to do about records that are not lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfReadable {
    /// They are looked for in the bucket, and kept.
    Refuse,
    /// Nobody looks.
    GiveUp,
}

/// To whom it is said.
#[derive(Clone, Debug)]
pub enum Operated {
    /// A store that nobody serves from.
    Store(StoreUrl),
    /// Processes that hold the order or know who does.
    Processes {
        addresses: Vec<String>,
        tls: Option<PeerTls>,
    },
}

/// Does it, and returns what to tell the operator. `meanwhile` is told why that takes long.
///
/// # Errors
/// With a sentence for the operator.
pub async fn operate(
    operation: Operation,
    operated: Operated,
    bucket: Option<String>,
    options: StoreOptions,
    meanwhile: impl Fn(&str),
) -> anyhow::Result<String> {
    match operated {
        Operated::Processes { addresses, tls } => {
            let names = Names::of_processes(&addresses, bucket.clone(), &options);
            // Only who looks into it needs it: the processes have one of their own.
            let looks = matches!(operation, Operation::MarkLost(_, IfReadable::Refuse));
            let opened = open_bucket(bucket.filter(|_| looks), &options).await?;
            let wire = wire(tls.as_ref())?;
            let opened = opened.as_ref();
            say_to_processes(operation, addresses, wire, opened, &names, meanwhile).await
        }
        Operated::Store(store) => {
            check_folder(&store, None)?;
            exists(&store).await?;
            let opened = open_bucket(bucket.clone(), &options).await?;
            let names = Names::of_store(store.to_string(), bucket, &options);
            say_to_store(operation, &store, opened.as_ref(), &names).await
        }
    }
}

/// Whoever says one of these words means a bucket that is.
async fn open_bucket(
    bucket: Option<String>,
    options: &StoreOptions,
) -> anyhow::Result<Option<Store>> {
    Ok(match bucket {
        Some(url) => Some(Store::open_existing(&url, options).await?),
        None => None,
    })
}

async fn say_to_processes(
    operation: Operation,
    addresses: Vec<String>,
    wire: Wire,
    bucket: Option<&Store>,
    names: &Names,
    meanwhile: impl Fn(&str),
) -> anyhow::Result<String> {
    let rooms = Tasks::new();
    let metadata = connect(addresses, wire, None, None, names, &rooms);
    let unreached = |_| {
        anyhow::anyhow!(
            "no process that holds the order answers within {} s at {}: correct --metadata, or give --store URL (and --bucket \
             URL) if none runs",
            REACH_TIME_MAX.as_secs(),
            names.metadata()
        )
    };
    let said = async {
        let joined = timeout(REACH_TIME_MAX, reach(&metadata, meanwhile)).await;
        joined.map_err(unreached)?;
        look(&operation, &metadata, bucket, names).await?;
        let said = timeout(REACH_TIME_MAX, say(&metadata, operation)).await;
        said.map_err(unreached)?
    };
    let said = tokio::select! {
        said = said => said,
        failure = rooms.failed() => anyhow::bail!("{failure}"),
    };
    // The sequencer closes its session by itself, if it does not hear of the end.
    let _ = timeout(CLOSE_TIME_MAX, metadata.close()).await;
    said
}

/// Whoever waits for long is told for what, and until when.
async fn reach(metadata: &Metadata, meanwhile: impl Fn(&str)) {
    if timeout(SILENT_TIME_MAX, metadata.joined()).await.is_ok() {
        return;
    }
    let left = REACH_TIME_MAX.saturating_sub(SILENT_TIME_MAX);
    if let Some(why) = metadata.unreached() {
        let until = time_of_day(Clock::Real.now(), left);
        let seconds = left.as_secs();
        meanwhile(&format!(
            "{why}: waiting for one until {until}, for {seconds} s"
        ));
    }
    metadata.joined().await;
}

/// That long after `now`.
fn time_of_day(now: Timestamp, later: Duration) -> String {
    let now = u64::try_from(now.0).unwrap_or_default();
    let seconds = now / 1000 + later.as_secs();
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02} UTC", seconds % 60)
}

/// Refuses to give up what can be read.
async fn look(
    operation: &Operation,
    metadata: &Metadata,
    bucket: Option<&Store>,
    names: &Names,
) -> anyhow::Result<()> {
    match (operation, bucket) {
        (Operation::MarkLost(records, IfReadable::Refuse), Some(bucket)) => {
            refuse_readable(records, metadata, bucket, names).await
        }
        (Operation::MarkLost(_, IfReadable::Refuse), None) => Err(Misuse::say(
            "give --bucket URL, where it is looked whether these records can be read, or --force",
        )),
        _ => Ok(()),
    }
}

/// The same in a store that nobody serves from: this process does, for as long as it looks.
async fn look_into_store(
    operation: &Operation,
    kv: &Arc<dyn Kv>,
    bucket: Option<&Store>,
    names: &Names,
) -> anyhow::Result<Result<(), metadata::Error>> {
    let Operation::MarkLost(Records { range, .. }, IfReadable::Refuse) = operation else {
        return Ok(Ok(()));
    };
    let options = || metadata_store::options(bucket, STATE_BYTES_MAX);
    // No topic has that name, so it changes nothing, and finds out whether somebody serves from a store that is shared.
    if let Err(error) = metadata::mark_lost(kv.as_ref(), options(), "", *range).await {
        return Ok(Err(error));
    }
    let (metadata, sequencer) = match metadata::start(Arc::clone(kv), options()).await {
        Ok(started) => started,
        Err(error) => return Ok(Err(error)),
    };
    let rooms = Tasks::new();
    rooms.spawn("sequencer", async move { Ok(sequencer.run().await?) });
    let looked = look(operation, &metadata, bucket, names).await;
    let _ = timeout(CLOSE_TIME_MAX, metadata.close()).await;
    looked.map(Ok)
}

async fn say_to_store(
    operation: Operation,
    store: &StoreUrl,
    bucket: Option<&Store>,
    names: &Names,
) -> anyhow::Result<String> {
    let in_use = in_use(&operation);
    let shared = open_store(store, in_use).await?;
    let kv = shared.as_ref();
    if metadata::is_empty(kv).await? {
        return Err(nothing(store));
    }
    if let Some(bucket) = bucket {
        let checked = identity::check_bucket(names, kv, bucket).await;
        checked.map_err(anyhow::Error::msg)?;
    }
    let before = metadata::check(kv).await;
    let before = before.map_err(|error| refused(names, error))?;
    if operation == Operation::AcceptOlderStore && bucket.is_none() {
        needs_bucket(&before, names)?;
    }
    let done = match look_into_store(&operation, &shared, bucket, names).await? {
        Ok(()) => {
            change(
                kv,
                metadata_store::options(bucket, STATE_BYTES_MAX),
                &before,
                operation,
            )
            .await
        }
        Err(error) => Err(error),
    };
    done.unwrap_or_else(|error| match error {
        metadata::Error::InUse(_) => Err(anyhow::anyhow!("{error}: {in_use}")),
        error => Err(refused(names, error)),
    })
}

/// What to tell the operator; inside, why it was not done where the store is not to blame.
async fn change(
    kv: &dyn Kv,
    options: Options,
    before: &Checked,
    operation: Operation,
) -> Result<anyhow::Result<String>, metadata::Error> {
    Ok(match operation {
        Operation::Finalize => {
            let level = metadata::finalize(kv, options).await?;
            Ok(raised(before.level, level))
        }
        Operation::ReleaseHold => {
            let held = metadata::release_hold(kv, options).await?;
            Ok(released(held))
        }
        Operation::AcceptOlderStore => {
            let accepted = metadata::accept_older_store(kv, options).await?;
            Ok(lost(&accepted))
        }
        Operation::MarkLost(records, _) => {
            let Records { topic, range } = &records;
            let marked = metadata::mark_lost(kv, options, topic, *range).await?;
            given_up(&records, marked)
        }
    })
}

/// A store that is not there is not made: whoever says one of these words means one that is, and named another.
async fn exists(store: &StoreUrl) -> anyhow::Result<()> {
    let exists = match store {
        StoreUrl::Redb(path) => path.exists(),
        #[cfg(feature = "postgres")]
        StoreUrl::Postgres(url) => {
            let examined = metadata::kv::Postgres::examine(url).await;
            examined
                .map_err(|error| metadata_store::database_refused(url, &error))?
                .exists
        }
        // Is empty where it is not there, and opening it makes nothing.
        _ => true,
    };
    if exists { Ok(()) } else { Err(nothing(store)) }
}

/// What to do where a process has the store.
fn in_use(operation: &Operation) -> &'static str {
    match operation {
        Operation::AcceptOlderStore => "stop that one first",
        Operation::Finalize | Operation::ReleaseHold | Operation::MarkLost(..) => {
            "stop that one first, or say it to that one, with --metadata HOST:PORT where it listens for agents (penstock dev \
             listens for none)"
        }
    }
}

/// Without the bucket that remembers it, a store that went back in time cannot be told from one that is well; and what is
/// accepted is not undone.
fn needs_bucket(before: &Checked, names: &Names) -> anyhow::Result<()> {
    match before.bucket {
        None => Ok(()),
        Some(bucket) => anyhow::bail!(
            "the metadata in {} keeps its records in a bucket (id {bucket}), which remembers how far it had come: give --bucket \
             URL of that one, for without it nobody knows whether the store went back in time, or what that lost. Nothing was \
             changed",
            names.metadata()
        ),
    }
}

fn nothing(store: &StoreUrl) -> anyhow::Error {
    anyhow::anyhow!("there is no metadata in {store}, and nothing was changed: correct --store")
}

async fn say(metadata: &Metadata, operation: Operation) -> anyhow::Result<String> {
    metadata.joined().await;
    let before = metadata.feature_level();
    match operation {
        Operation::Finalize => match metadata.raise_feature_level(None).await? {
            Raised::At(level) => Ok(raised(before, level)),
            Raised::Kept(why) => anyhow::bail!("the feature level stays as it is: {why}"),
        },
        Operation::ReleaseHold => {
            let held = metadata.release_hold().await?;
            Ok(released(held))
        }
        Operation::AcceptOlderStore => {
            anyhow::bail!("stop all processes, and give the store itself: --store URL")
        }
        Operation::MarkLost(records, _) => {
            let marked = metadata.mark_lost(&records.topic, records.range).await?;
            given_up(&records, marked)
        }
    }
}

fn given_up(records: &Records, marked: Result<(), Rejected>) -> anyhow::Result<String> {
    match marked {
        Ok(()) => Ok(format!(
            "{records} is given up: readers who get there go on behind it, and agents log that once in a while. Nothing brings \
             these records back."
        )),
        Err(Rejected::UnknownTopic) => anyhow::bail!(
            "{records} is not given up, and nothing was changed: there is no topic named {}",
            records.topic
        ),
        Err(why) => anyhow::bail!("{records} is not given up, and nothing was changed: {why}"),
    }
}

fn released(held: bool) -> String {
    let said = match held {
        true => {
            "The hold is released: objects that the metadata does not know may be deleted again."
        }
        false => {
            "There is no hold: objects that the metadata does not know may be deleted. Nothing was changed."
        }
    };
    said.to_owned()
}

fn raised(before: u32, level: u32) -> String {
    let mut said = if before == level {
        format!("The cluster writes at feature level {level} already, and nothing was changed.")
    } else {
        format!(
            "The cluster writes at feature level {level} from now on. Processes that cannot read it are refused, and going \
             back to their version is no longer possible."
        )
    };
    if level < WRITER_LEVEL {
        said.push_str(" The process that holds the order knows no higher one: upgrade it, and say this again.");
    }
    said
}

fn lost(accepted: &Acceptance) -> String {
    match accepted {
        Acceptance::Needless => {
            "The store holds all that the bucket remembers of it, or was accepted without it before: there is nothing to \
             accept, and nothing was changed."
                .to_owned()
        }
        Acceptance::Accepted {
            history,
            kept,
            remembered,
        } => {
            let what = match remembered {
                Some(point) => format!(
                    "Lost is what followed log position {} of the store: the bucket remembers position {} of history {}, \
                     and up to ten seconds may have followed that. Of each partition lost are the records from its present \
                     end on, and changes of topics made since.",
                    kept.0, point.lsn.0, point.history
                ),
                None => format!(
                    "Lost is what followed log position {} of the store. How much that is nobody remembers: it was never \
                     joined to a bucket, or that one holds no point of it.",
                    kept.0
                ),
            };
            format!(
                "History {history} begins. {what}\n2^32 session ids and 2^40 producer ids were skipped, so that none is \
                 handed out twice; consumers that were past a partition's end are told by a new leader epoch. Objects that the \
                 metadata does not know are kept until `penstock metadata release-hold`: the records lost lie in them."
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_when_is_a_time_of_day() {
        let at = |ms| time_of_day(Timestamp(ms), Duration::from_secs(28));
        assert_eq!(at(0), "00:00:28 UTC");
        assert_eq!(
            at(1_000 * (86_400 + 23 * 3600 + 59 * 60 + 40)),
            "00:00:08 UTC"
        );
        assert_eq!(at(1_000 * (5 * 3600 + 6 * 60 + 7) + 999), "05:06:35 UTC");
    }
}
