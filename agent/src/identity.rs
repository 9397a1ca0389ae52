//! Whether bucket and metadata belong together. Records lie in the bucket and their order in the metadata: an agent that
//! joins one to a stranger would acknowledge what nobody can read. Checked before anybody is served, and looked at again
//! for as long as the agent runs. Used by `server`, `http` and `penstock doctor`.

use std::sync::OnceLock;
use std::time::Duration;

use metadata::kv::Kv;
use metadata::{BucketId, Metadata};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::jobs::{Budget, Job, Progress, Terms};
use crate::random::Random;
use crate::storage::{Store, StoreOptions, Witness, WitnessError};

/// Between looks at `penstock.json` while an agent serves.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// One is a read and perhaps a list, each of which is tried for 20 s.
const LOOK_TIME_MAX: Duration = Duration::from_secs(60);
/// Before trying again to find out.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A bucket that takes longer is not asked before a start.
const CHECK_TIME_MAX: Duration = Duration::from_secs(10);

/// What the two are called in sentences for the operator.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    bucket: String,
    metadata: String,
    /// Where the metadata is kept, for commands to be typed.
    store: String,
    /// As it was given for the bucket.
    s3_endpoint: Option<String>,
}

/// How help calls what is not known.
const SOME_URL: &str = "URL";

impl Names {
    /// Of a process that works on the store. Where no bucket is given it is named in what to type alone.
    pub(crate) fn of_store(store: String, bucket: Option<String>, options: &StoreOptions) -> Self {
        Self {
            bucket: bucket.unwrap_or_else(|| SOME_URL.to_owned()),
            metadata: store.clone(),
            store,
            s3_endpoint: options.s3_endpoint.clone(),
        }
    }

    /// Of one that asks processes at these addresses.
    pub(crate) fn of_processes(
        addresses: &[String],
        bucket: Option<String>,
        options: &StoreOptions,
    ) -> Self {
        Self {
            metadata: addresses.join(", "),
            ..Self::of_store(SOME_URL.to_owned(), bucket, options)
        }
    }

    /// The metadata, in a sentence.
    pub(crate) fn metadata(&self) -> &str {
        &self.metadata
    }
}

/// What the metadata says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// Empty if it is not made yet.
    pub(crate) cluster: &'a str,
    /// Where its records lie, once an agent said so.
    pub(crate) bucket: Option<BucketId>,
}

/// What lies in the bucket.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Witness(Witness),
    /// No `penstock.json`, but a segment, with that key.
    Segments(String),
    Nothing,
}

/// What is to be done about two that may work together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// They know each other.
    Known(BucketId),
    /// The bucket knows the metadata, which does not know it yet.
    Bind(BucketId),
    /// Neither was ever used.
    Claim,
}

impl Found {
    /// Looks into the bucket.
    pub(crate) async fn look(store: &Store) -> Result<Self, WitnessError> {
        if let Some((witness, _)) = store.witness().await? {
            return Ok(Self::Witness(witness));
        }
        Ok(match store.any_segment().await? {
            Some(key) => Self::Segments(key),
            None => Self::Nothing,
        })
    }
}

/// Whether the two belong together.
///
/// # Errors
/// With a sentence for the operator that names both sides and the way on.
pub(crate) fn judge(names: &Names, known: Known<'_>, found: &Found) -> Result<Join, String> {
    let Names {
        bucket, metadata, ..
    } = names;
    let Known {
        cluster,
        bucket: bound,
    } = known;
    let of_cluster = match cluster {
        "" => String::new(),
        cluster => format!(", of cluster {cluster},"),
    };
    match (found, bound) {
        (Found::Witness(witness), None) if witness.cluster == cluster => {
            Ok(Join::Bind(witness.bucket))
        }
        (Found::Witness(witness), Some(bound)) if witness.cluster == cluster => {
            if witness.bucket == bound {
                return Ok(Join::Known(bound));
            }
            Err(format!(
                "the metadata in {metadata} keeps its records in another bucket (id {bound}) than {bucket} (id {}), \
                 though both are of cluster {cluster}: name the bucket that it began with",
                witness.bucket
            ))
        }
        (Found::Witness(witness), None) => Err(format!(
            "the bucket {bucket} belongs to cluster {}, and the metadata in {metadata} is new{of_cluster} and knows nothing of \
             what lies there: name the metadata of cluster {}, or bring it back from a copy if it was lost, \
             or name a bucket or prefix that is empty",
            witness.cluster, witness.cluster
        )),
        (Found::Witness(witness), Some(bound)) => Err(format!(
            "the bucket {bucket} belongs to cluster {}, and the metadata in {metadata} to cluster {cluster}, whose records lie in \
             another bucket (id {bound}): name that bucket, or the metadata of cluster {}",
            witness.cluster, witness.cluster
        )),
        (Found::Nothing, None) => Ok(Join::Claim),
        (Found::Nothing, Some(bound)) => Err(format!(
            "the metadata in {metadata}, of cluster {cluster}, keeps its records in another bucket (id {bound}), and \
             {bucket} is empty: name that bucket, or bring its objects back if they were lost, or name a new metadata \
             store for this one"
        )),
        (Found::Segments(key), None) => Err(format!(
            "the bucket {bucket} holds segments ({key} is one) but no penstock.json, which would say whose they are, and the \
             metadata in {metadata} is new{of_cluster} and knows nothing of them: bring penstock.json back and \
             name their metadata, or name a bucket or prefix that is empty, or delete them if nobody needs them"
        )),
        (Found::Segments(key), Some(bound)) => Err(format!(
            "the bucket {bucket} holds segments ({key} is one) but no penstock.json, which would say whose they are, and the \
             metadata in {metadata}, of cluster {cluster}, keeps its records in the bucket with the id {bound}: name that \
             bucket; if it is this one beyond doubt, bring penstock.json back, or store it anew with these words: {}",
            words(cluster, bound)
        )),
    }
}

/// What belongs into `penstock.json`, where it says nothing any more.
fn words(cluster: &str, bucket: BucketId) -> String {
    format!("{{\"format\": 1, \"cluster\": \"{cluster}\", \"bucket\": \"{bucket}\"}}")
}

/// The same of a bucket that names another cluster, where no more is known of the metadata.
pub(crate) fn other_cluster(names: &Names, theirs: &str, ours: &str) -> String {
    let Names {
        bucket, metadata, ..
    } = names;
    format!(
        "the bucket {bucket} belongs to cluster {theirs}, and the metadata in {metadata} is that of cluster {ours}: name \
         the metadata of cluster {theirs}, or bring it back from a copy if it was lost, or name the bucket of cluster {ours}, \
         or one that is empty if that was never used"
    )
}

/// The same of a store in which there is nothing.
pub(crate) fn emptied(names: &Names, theirs: &str) -> String {
    let Names {
        bucket, metadata, ..
    } = names;
    format!(
        "the bucket {bucket} belongs to cluster {theirs}, and the metadata in {metadata} is empty: name the metadata of \
         cluster {theirs}, or bring it back from a copy if it was lost, or name a bucket or prefix that is empty"
    )
}

/// Whether that is the bucket of a metadata store which is about to be worked on, as far as it can be told now: another one
/// remembers nothing of it, and a store that went back in time would not be noticed.
///
/// # Errors
/// With a sentence for the operator.
pub(crate) async fn check_bucket(names: &Names, kv: &dyn Kv, bucket: &Store) -> Result<(), String> {
    // What is wrong with the store is said by whoever works on it.
    let Ok(Some((cluster, bound))) = metadata::belongs_to(kv).await else {
        return Ok(());
    };
    let known = Known {
        cluster: &cluster,
        bucket: Some(bound),
    };
    match timeout(CHECK_TIME_MAX, Found::look(bucket)).await {
        Ok(Ok(found)) => judge(names, known, &found).map(|_| ()),
        Ok(Err(WitnessError::Unreadable(said))) => Err(unreadable(names, known, &said)),
        // It is waited for where the order is taken over.
        Ok(Err(WitnessError::Store(_))) | Err(_) => Ok(()),
    }
}

/// What to do about metadata that lacks what somebody remembers of it: the sentence ends with a command, which gets what it
/// wants here.
pub(crate) fn went_back(names: &Names, error: &metadata::Error) -> String {
    let mut said = error.to_string();
    if matches!(error, metadata::Error::WentBack(_)) {
        let endpoint = names.s3_endpoint.as_deref();
        let flags = [
            ("--store", Some(names.store.as_str())),
            ("--bucket", Some(names.bucket.as_str())),
            ("--s3-endpoint", endpoint),
        ];
        for (flag, value) in flags {
            if let Some(value) = value {
                said.push_str(&format!(" {flag} {}", quoted(value)));
            }
        }
    }
    said
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// What is known of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// Not found out yet.
    Unknown,
    /// They belong together; that is the bucket.
    Joined(BucketId),
    /// They do not, or no longer.
    Strangers(String),
}

/// Finds out, and keeps an eye on it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    store: Store,
    metadata: Metadata,
    names: Names,
    random: Random,
    /// What this process names a bucket that has no name: the same at each attempt, for one that was given up may come late.
    name: OnceLock<BucketId>,
    standing: watch::Sender<Standing>,
}

/// Why the two do not belong together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(String);

impl Identity {
    pub(crate) fn new(store: Store, metadata: Metadata, names: Names, random: Random) -> Self {
        Self {
            store,
            metadata,
            names,
            random,
            name: OnceLock::new(),
            standing: watch::Sender::new(Standing::Unknown),
        }
    }

    /// Whether the two belong together, as far as is known: `None`, or a sentence for the operator.
    pub(crate) fn trouble(&self) -> Option<String> {
        match &*self.standing.borrow() {
            Standing::Joined(_) => None,
            Standing::Unknown => {
                Some("whether bucket and metadata belong together is not known yet".to_owned())
            }
            Standing::Strangers(sentence) => Some(sentence.clone()),
        }
    }

    /// Resolves once the two are known to belong together.
    pub(crate) async fn joined(&self) {
        let mut standing = self.standing.subscribe();
        // Fails only if the sender were gone, but this is it.
        let _ = standing
            .wait_for(|standing| matches!(standing, Standing::Joined(_)))
            .await;
    }

    /// Finds out, however long bucket and metadata take to answer. Two that nobody used before are joined.
    pub(crate) async fn settle(&self) -> Result<(), Refused> {
        self.metadata.joined().await;
        loop {
            match self.attempt().await {
                Ok(bucket) => {
                    self.standing.send_replace(Standing::Joined(bucket));
                    return Ok(());
                }
                Err(Attempt::Refused(sentence)) => {
                    self.standing
                        .send_replace(Standing::Strangers(sentence.clone()));
                    return Err(Refused(sentence));
                }
                Err(Attempt::Again(reason)) => {
                    tracing::warn!(
                        reason,
                        "whether bucket and metadata belong together is not known yet; asking again"
                    );
                    sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// The metadata is not asked: it never moves to another bucket.
    ///
    /// # Errors
    /// Where it cannot be told now, with why.
    async fn look_again(&self, bucket: BucketId) -> Result<(), String> {
        let known = Known {
            cluster: self.metadata.cluster_id(),
            bucket: Some(bucket),
        };
        let judged = match Found::look(&self.store).await {
            Ok(found) => judge(&self.names, known, &found).map(|_| ()),
            Err(WitnessError::Unreadable(said)) => Err(unreadable(&self.names, known, &said)),
            Err(WitnessError::Store(error)) => return Err(error.to_string()),
        };
        let standing = match judged {
            Ok(()) => Standing::Joined(bucket),
            Err(sentence) => {
                tracing::error!("{sentence}");
                Standing::Strangers(sentence)
            }
        };
        self.standing.send_replace(standing);
        Ok(())
    }

    /// The bucket that the two have in common.
    async fn attempt(&self) -> Result<BucketId, Attempt> {
        let known = Known {
            cluster: self.metadata.cluster_id(),
            bucket: self.metadata.bucket().await?,
        };
        let found = self.read(known, Found::look(&self.store).await)?;
        let (bucket, made) = match judge(&self.names, known, &found).map_err(Attempt::Refused)? {
            Join::Known(bucket) => return Ok(bucket),
            Join::Bind(bucket) => (bucket, false),
            Join::Claim => {
                // The bucket first: were it the metadata, a crash in between would leave it bound to a bucket that nobody
                // can find.
                let wanted = Witness::new(known.cluster, self.name());
                let there = self.read(known, self.store.claim(&wanted).await)?;
                let found = Found::Witness(there.clone());
                judge(&self.names, known, &found).map_err(Attempt::Refused)?;
                (there.bucket, there.bucket == wanted.bucket)
            }
        };
        let bound = self.metadata.bind_bucket(bucket).await?;
        if bound == bucket {
            tracing::info!(%bucket, "bucket and metadata belong together from now on");
            return Ok(bucket);
        }
        if made {
            // Another agent was faster with another bucket; what was said of this one a moment ago is not true.
            self.store.disclaim().await;
        }
        let known = Known {
            bucket: Some(bound),
            ..known
        };
        let found = if made { Found::Nothing } else { found };
        match judge(&self.names, known, &found) {
            Err(sentence) => Err(Attempt::Refused(sentence)),
            Ok(_) => Err(Attempt::Again("another agent binds a bucket".to_owned())),
        }
    }

    fn name(&self) -> BucketId {
        *self.name.get_or_init(|| BucketId(self.random.u128()))
    }

    fn read<T>(&self, known: Known<'_>, read: Result<T, WitnessError>) -> Result<T, Attempt> {
        read.map_err(|error| match error {
            WitnessError::Store(error) => Attempt::Again(error.to_string()),
            WitnessError::Unreadable(said) => {
                Attempt::Refused(unreadable(&self.names, known, &said))
            }
        })
    }
}

/// The job that looks again once it is settled: a bucket may be wiped or swapped under a running agent. One that stores
/// nothing asks nothing.
#[derive(Debug)]
pub(crate) struct LookAgain {
    identity: Identity,
    /// Known once it is settled.
    bucket: Option<BucketId>,
    /// Segments stored when it looked last.
    stored: u64,
}

impl LookAgain {
    pub(crate) fn at(identity: Identity) -> Self {
        Self {
            stored: identity.store.segments_stored(),
            bucket: None,
            identity,
        }
    }
}

impl Job for LookAgain {
    fn terms(&self) -> Terms {
        Terms {
            name: "bucket identity",
            pause: LOOK_INTERVAL,
            turn_max: LOOK_TIME_MAX,
            requests_per_second: 1,
        }
    }

    async fn turn(&mut self, budget: &Budget) -> Result<Progress, String> {
        let nothing = Ok(Progress::Idle { done: 0 });
        if let Standing::Joined(bucket) = &*self.identity.standing.borrow() {
            self.bucket = Some(*bucket);
        }
        let Some(bucket) = self.bucket else {
            return nothing;
        };
        let stored = self.identity.store.segments_stored();
        if stored == self.stored && self.identity.trouble().is_none() {
            return nothing;
        }
        budget.request().await;
        self.identity.look_again(bucket).await?;
        self.stored = stored;
        Ok(Progress::Idle { done: 1 })
    }
}

/// What to do about a `penstock.json` that says nothing.
pub(crate) fn unreadable(names: &Names, known: Known<'_>, said: &str) -> String {
    let Names {
        bucket, metadata, ..
    } = names;
    let mut sentence = format!(
        "penstock.json in {bucket} {said}, so whether it is the bucket of the metadata in {metadata} cannot be told: bring \
         that object back from a copy, or name another bucket"
    );
    if let Some(bound) = known.bucket {
        sentence.push_str("; if it is this one beyond doubt and was damaged, store that object anew with these words: ");
        sentence.push_str(&words(known.cluster, bound));
    }
    sentence
}

/// Why an attempt did not join the two.
enum Attempt {
    Refused(String),
    Again(String),
}

impl From<metadata::Error> for Attempt {
    fn from(error: metadata::Error) -> Self {
        Self::Again(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use metadata::kv::Memory;
    use object_store::memory::InMemory;
    use object_store::path::Path;

    use super::*;
    use crate::jobs::Jobs;
    use crate::tasks::Tasks;

    const OURS: BucketId = BucketId(1);
    const OTHER: BucketId = BucketId(2);

    fn names() -> Names {
        let bucket = Some("s3://b/p".to_owned());
        Names::of_store("redb:///m".to_owned(), bucket, &StoreOptions::default())
    }

    #[test]
    fn what_to_type_is_whole_and_one_word_each() {
        let error = metadata::Error::WentBack("why".to_owned());
        let options = StoreOptions {
            s3_endpoint: Some("http://127.0.0.1:9000".to_owned()),
        };
        let bucket = Some("s3://b/p".to_owned());
        let store = "postgres://u@h/d?sslmode=disable&schema=it's".to_owned();
        let said = went_back(&Names::of_store(store, bucket.clone(), &options), &error);
        let command = r"penstock metadata --accept-older-store --store 'postgres://u@h/d?sslmode=disable&schema=it'\''s' --bucket s3://b/p --s3-endpoint http://127.0.0.1:9000";
        assert!(said.ends_with(command), "{said}");
        let at = ["here:1".to_owned()];
        let said = went_back(&Names::of_processes(&at, bucket, &options), &error);
        assert!(said.contains("--store URL --bucket s3://b/p"), "{said}");
        let away = metadata::Error::Closing;
        assert!(!went_back(&names(), &away).contains("--store"));
    }

    fn judged(bucket: Option<BucketId>, found: &Found) -> Result<Join, String> {
        let cluster = "mine";
        judge(&names(), Known { cluster, bucket }, found)
    }

    fn of(cluster: &str, bucket: BucketId) -> Found {
        Found::Witness(Witness::new(cluster, bucket))
    }

    /// The metadata of a new cluster, in memory.
    async fn metadata(tasks: &Tasks) -> Metadata {
        let options = metadata::Options::new(Arc::new(|| metadata::Timestamp(0)));
        let started = metadata::start(Arc::new(Memory::new()), options).await;
        let (metadata, sequencer) = started.unwrap();
        tasks.spawn("sequencer", async move { Ok(sequencer.run().await?) });
        metadata
    }

    fn bucket() -> Store {
        Store::from_object_store(Arc::new(InMemory::new()), Path::default(), true)
    }

    fn identity(store: &Store, metadata: &Metadata) -> Identity {
        Identity::new(store.clone(), metadata.clone(), names(), Random::Real)
    }

    #[tokio::test]
    async fn the_first_agent_joins_them_and_others_find_them_joined() {
        let tasks = Tasks::new();
        let (store, ours, theirs) = (bucket(), metadata(&tasks).await, metadata(&tasks).await);
        let first = identity(&store, &ours);
        assert!(first.trouble().unwrap().contains("not known yet"));
        first.settle().await.unwrap();
        first.joined().await;
        assert_eq!(first.trouble(), None);
        let (witness, _) = store.witness().await.unwrap().unwrap();
        assert_eq!(ours.bucket().await.unwrap(), Some(witness.bucket));
        assert_eq!(witness.cluster, ours.cluster_id());
        identity(&store, &ours).settle().await.unwrap();
        let stranger = identity(&store, &theirs);
        let said = stranger.settle().await.unwrap_err().to_string();
        assert!(said.contains("belongs to cluster"), "{said}");
        assert_eq!(stranger.trouble(), Some(said));
        assert_eq!(theirs.bucket().await.unwrap(), None);
    }

    #[tokio::test]
    async fn of_agents_that_race_with_different_buckets_one_wins_and_the_others_claim_nothing() {
        let tasks = Tasks::new();
        let metadata = metadata(&tasks).await;
        let stores: Vec<Store> = (0..4).map(|_| bucket()).collect();
        let settling = stores.iter().map(|store| async {
            let identity = identity(store, &metadata);
            identity.settle().await.is_ok()
        });
        let settled = futures::future::join_all(settling).await;
        assert_eq!(settled.iter().filter(|settled| **settled).count(), 1);
        for (store, settled) in stores.iter().zip(settled) {
            let witness = store.witness().await.unwrap();
            assert_eq!(witness.is_some(), settled);
        }
    }

    #[tokio::test]
    async fn of_clusters_that_race_for_a_bucket_one_wins() {
        let tasks = Tasks::new();
        let store = bucket();
        let (one, other) = (metadata(&tasks).await, metadata(&tasks).await);
        let (one, other) = (identity(&store, &one), identity(&store, &other));
        let (one, other) = tokio::join!(one.settle(), other.settle());
        assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1);
    }

    #[tokio::test]
    async fn an_agent_that_ended_halfway_is_followed_by_another() {
        let tasks = Tasks::new();
        let (store, metadata) = (bucket(), metadata(&tasks).await);
        let wanted = Witness::new(metadata.cluster_id(), OURS);
        store.claim(&wanted).await.unwrap();
        identity(&store, &metadata).settle().await.unwrap();
        assert_eq!(metadata.bucket().await.unwrap(), Some(OURS));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_is_wiped_under_a_running_agent_is_noticed() {
        let tasks = Tasks::new();
        let (store, metadata) = (bucket(), metadata(&tasks).await);
        let identity = identity(&store, &metadata);
        identity.settle().await.unwrap();
        let jobs = Jobs::new(tasks.sibling(), Random::seeded(1));
        jobs.start(LookAgain::at(identity.clone()));
        let segment = async |number| {
            let bytes = vec![bytes::Bytes::from_static(b"segment")];
            let key = metadata::ObjectKey(number);
            store.put_segment(key, bytes).await.unwrap();
            store.delete(key).await.unwrap();
        };
        segment(1).await;
        sleep(2 * LOOK_INTERVAL).await;
        assert_eq!(identity.trouble(), None);
        let (witness, _) = store.witness().await.unwrap().unwrap();
        store.disclaim().await;
        segment(2).await;
        sleep(2 * LOOK_INTERVAL).await;
        assert!(identity.trouble().unwrap().contains("is empty"));
        // And brought back.
        store.claim(&witness).await.unwrap();
        sleep(2 * LOOK_INTERVAL).await;
        assert_eq!(identity.trouble(), None);
    }

    #[test]
    fn those_that_know_each_other_or_nobody_are_joined() {
        assert_eq!(judged(Some(OURS), &of("mine", OURS)), Ok(Join::Known(OURS)));
        assert_eq!(judged(None, &of("mine", OURS)), Ok(Join::Bind(OURS)));
        assert_eq!(judged(None, &Found::Nothing), Ok(Join::Claim));
    }

    #[test]
    fn strangers_are_told_apart_with_both_names_and_a_way_on() {
        let segments = Found::Segments("p/segments/00/x".to_owned());
        for (bucket, found, part) in [
            (
                Some(OURS),
                of("mine", OTHER),
                "the bucket that it began with",
            ),
            (None, of("yours", OTHER), "is new, of cluster mine"),
            (
                Some(OURS),
                of("yours", OTHER),
                "the metadata of cluster yours",
            ),
            // A bucket restored into another account keeps its id.
            (
                Some(OURS),
                of("yours", OURS),
                "the metadata of cluster yours",
            ),
            (Some(OURS), Found::Nothing, "is empty"),
            (None, segments.clone(), "delete them if nobody needs them"),
            (Some(OURS), segments, "\"cluster\": \"mine\""),
        ] {
            let said = judged(bucket, &found).unwrap_err();
            for part in [part, "s3://b/p", "redb:///m", ": "] {
                assert!(said.contains(part), "no {part:?} in {said:?}");
            }
        }
    }
}
