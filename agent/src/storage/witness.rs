//! Whose bucket it is: the object `penstock.json`, which names the cluster and the bucket. It is made by whoever uses a
//! bucket first, and read by everybody who starts: records lie here and their order in the metadata, and one without the
//! other is worth nothing. Used by `server` and `commands`, which compare it with the metadata.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use metadata::history::{HistoryId, Point};
use metadata::{BucketId, Lsn};
use std::sync::atomic::Ordering;

use object_store::{ObjectStoreExt, PutMode, PutOptions, UpdateVersion};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::sleep;

use super::error::{ErrorKind, StoreError};
use super::paths;
use super::store::{Cause, GET_DEADLINE, Op, Store};

/// Of what `penstock.json` says. A higher one is of a newer Penstock.
const FORMAT: u64 = 1;
/// A larger object is not one of ours, and is not read.
const BYTES_MAX: u64 = 64 * 1024;
/// For people who look into the bucket.
const ABOUT: &str = "Penstock keeps here whose bucket this is. Do not delete, change or copy it.";
/// Where a store cannot refuse the second of two PUTs, both have been made after this long, and one is there to be read.
const RACE_PAUSE: Duration = Duration::from_secs(1);

/// What a bucket says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Witness {
    /// The metadata's name for itself.
    pub cluster: String,
    pub bucket: BucketId,
    /// The metadata's history, once the process that holds the order wrote it.
    pub history: Option<HistoryId>,
    /// How far it had come; the history is that one.
    pub point: Option<Point>,
    /// What other versions wrote, which is kept.
    rest: Map<String, Value>,
}

/// Which `penstock.json` was read, so that it is not written over once it is another.
#[derive(Clone, Debug)]
pub struct WitnessVersion(UpdateVersion);

/// Whose bucket it is cannot be told.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WitnessError {
    #[error("penstock.json cannot be read or written: {0}")]
    Store(#[from] StoreError),
    /// With a sentence that follows "penstock.json".
    #[error("penstock.json {0}")]
    Unreadable(String),
}

/// The object's fields that every version has.
#[derive(Deserialize, Serialize)]
struct Fields {
    about: Option<String>,
    format: u64,
    cluster: String,
    bucket: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    history: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    point: Option<PointFields>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What is random is text: readers in other languages round large numbers.
#[derive(Deserialize, Serialize)]
struct PointFields {
    epoch: u64,
    nonce: String,
    lsn: u64,
}

impl Witness {
    /// Of a bucket that nobody used before.
    #[must_use]
    pub fn new(cluster: &str, bucket: BucketId) -> Self {
        Self {
            cluster: cluster.to_owned(),
            bucket,
            history: None,
            point: None,
            rest: Map::new(),
        }
    }

    /// As it lies in the bucket.
    #[must_use]
    pub fn encode(&self) -> String {
        let fields = Fields {
            about: Some(ABOUT.to_owned()),
            format: FORMAT,
            cluster: self.cluster.clone(),
            bucket: self.bucket.to_string(),
            history: self.history.map(|history| history.to_string()),
            point: self.point.map(|point| PointFields {
                epoch: point.epoch,
                nonce: format!("{:016x}", point.nonce),
                lsn: point.lsn.0,
            }),
            rest: self.rest.clone(),
        };
        serde_json::to_string_pretty(&fields).expect("it is made of text and numbers")
    }

    /// # Errors
    /// With what is wrong with it, as the rest of a sentence.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let fields: Fields = serde_json::from_slice(bytes)
            .map_err(|error| format!("is not what Penstock writes ({error})"))?;
        if fields.format > FORMAT {
            return Err(format!(
                "is of a newer Penstock (format {}, known is {FORMAT}): use that one",
                fields.format
            ));
        }
        let history = match &fields.history {
            None => None,
            Some(history) => Some(HistoryId(number(history)?)),
        };
        let point = match (fields.point, history) {
            (Some(fields), Some(history)) => Some(Point {
                history,
                epoch: fields.epoch,
                nonce: number(&fields.nonce)?,
                lsn: Lsn(fields.lsn),
            }),
            (None, _) => None,
            (Some(_), None) => return Err("has a point without a history".to_owned()),
        };
        Ok(Self {
            cluster: fields.cluster,
            bucket: BucketId(hexadecimal(&fields.bucket, 32)?),
            history,
            point,
            rest: fields.rest,
        })
    }
}

/// Exactly so many digits.
fn hexadecimal(text: &str, digits: usize) -> Result<u128, String> {
    let fits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| fits);
    number.ok_or_else(|| format!("has something that is not {digits} hexadecimal digits"))
}

fn number(text: &str) -> Result<u64, String> {
    let number = hexadecimal(text, 16)?;
    Ok(u64::try_from(number).expect("16 digits fit"))
}

impl Store {
    /// What the bucket says of itself; `None` where nobody said anything yet.
    ///
    /// # Errors
    /// When the bucket does not answer, refuses, or holds something that no Penstock wrote there.
    pub async fn witness(&self) -> Result<Option<(Witness, WitnessVersion)>, WitnessError> {
        let path = paths::witness(self.prefix());
        let get = || async {
            let found = self.objects().get(&path).await?;
            let size = found.meta.size;
            let version = UpdateVersion {
                e_tag: found.meta.e_tag.clone(),
                version: found.meta.version.clone(),
            };
            if size > BYTES_MAX {
                return Ok(((size, Bytes::new(), version), 0));
            }
            let bytes = found.bytes().await?;
            let length = bytes.len();
            Ok(((size, bytes, version), length))
        };
        let read = self.run(Op::Get, Cause::Witness, None, GET_DEADLINE, get);
        let (size, bytes, version) = match read.await {
            Ok(read) => read,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if size > BYTES_MAX {
            let said = format!("is not what Penstock writes (it has {size} bytes)");
            return Err(WitnessError::Unreadable(said));
        }
        let witness = Witness::decode(&bytes).map_err(WitnessError::Unreadable)?;
        Ok(Some((witness, WitnessVersion(version))))
    }

    /// Says whose bucket it is, unless somebody did before. Returns what the bucket says then: of several who try at
    /// once, all get the same.
    ///
    /// # Errors
    /// As [`Store::witness`]. It may have been made all the same; trying again does no harm.
    pub async fn claim(&self, wanted: &Witness) -> Result<Witness, WitnessError> {
        let made = match self.put_witness(wanted, PutMode::Create).await {
            Err(error) if cannot_compare(&error) && self.witness().await?.is_none() => {
                self.put_witness(wanted, PutMode::Overwrite).await
            }
            made => made,
        };
        // Some stores look at the condition and store in two steps, or do not look at all: what all read once all have
        // written is the same. This happens once in the life of a bucket.
        if made.is_ok() && !self.is_local() {
            sleep(RACE_PAUSE).await;
        }
        match (self.witness().await?, made) {
            (Some((there, _)), _) => Ok(there),
            (None, Err(error)) => Err(error.into()),
            (None, Ok(_)) => {
                let said = "was written and is not there";
                Err(WitnessError::Unreadable(said.to_owned()))
            }
        }
    }

    /// Writes it anew, unless it is another by now than the one that was read.
    ///
    /// # Errors
    /// When the bucket does not answer, refuses, or holds another one.
    pub async fn rewrite_witness(
        &self,
        witness: &Witness,
        read: WitnessVersion,
    ) -> Result<(), StoreError> {
        let without_conditions = self.without_conditions();
        if !without_conditions.load(Ordering::Relaxed) {
            match self.put_witness(witness, PutMode::Update(read.0)).await {
                Err(error) if cannot_compare(&error) => {
                    without_conditions.store(true, Ordering::Relaxed);
                }
                written => return written,
            }
        }
        // One process at a time holds the order and writes it, nearly always: a condition is only a belt.
        self.put_witness(witness, PutMode::Overwrite).await
    }

    /// Takes back what [`Store::claim`] said of a bucket that is not used after all. Best effort.
    pub async fn disclaim(&self) {
        let path = paths::witness(self.prefix());
        let delete = || async { Ok((self.objects().delete(&path).await?, 0)) };
        let deleted = self.run(Op::Delete, Cause::Witness, None, GET_DEADLINE, delete);
        if let Err(error) = deleted.await {
            tracing::warn!(%error, "penstock.json could not be deleted from a bucket that is not used");
        }
    }

    /// The key of any segment, if there is one.
    ///
    /// # Errors
    /// When the bucket does not answer or refuses.
    pub async fn any_segment(&self) -> Result<Option<String>, StoreError> {
        let folder = paths::segments(self.prefix());
        let list = || async {
            let mut listed = self.objects().list(Some(&folder));
            let first = listed.next().await.transpose()?;
            Ok((first.map(|object| object.location.to_string()), 0))
        };
        let listing = self.run(Op::List, Cause::Witness, None, GET_DEADLINE, list);
        match listing.await {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            listed => listed,
        }
    }

    /// Tried once: whether it worked is best seen by reading.
    async fn put_witness(&self, witness: &Witness, mode: PutMode) -> Result<(), StoreError> {
        let path = paths::witness(self.prefix());
        let payload = Bytes::from(witness.encode());
        let length = payload.len();
        let put = async {
            let options = PutOptions::from(mode);
            let objects = self.objects();
            objects.put_opts(&path, payload.into(), options).await?;
            Ok(((), length))
        };
        self.once(Op::Put, Cause::Witness, put).await
    }
}

/// Whether a store does not know conditional PUTs.
fn cannot_compare(error: &StoreError) -> bool {
    error.is_not_implemented()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;
    use object_store::path::Path;

    use super::*;

    fn store(objects: &Arc<InMemory>) -> Store {
        Store::from_object_store(Arc::<InMemory>::clone(objects), Path::from("a/b"), true)
    }

    async fn put(objects: &InMemory, text: &str) {
        let path = Path::from("a/b/penstock.json");
        objects.put(&path, text.to_owned().into()).await.unwrap();
    }

    #[test]
    fn it_comes_back_with_what_other_versions_wrote() {
        let mut witness = Witness::new("cluster", BucketId(7));
        witness.rest.insert("later".into(), Value::from("kept"));
        let history = HistoryId(u64::MAX - 1);
        witness.history = Some(history);
        witness.point = Some(Point {
            history,
            epoch: 3,
            nonce: u64::MAX,
            lsn: Lsn(u64::MAX),
        });
        let text = witness.encode();
        assert_eq!(Witness::decode(text.as_bytes()), Ok(witness));
        assert!(text.contains("\"later\": \"kept\""), "{text}");
        assert!(text.contains("\"bucket\": \"00000000000000000000000000000007\""));
    }

    #[tokio::test]
    async fn what_is_not_ours_is_said_and_not_read_at_length() {
        let objects = Arc::new(InMemory::new());
        let bucket = store(&objects);
        assert!(bucket.witness().await.unwrap().is_none());
        let long = " ".repeat(usize::try_from(BYTES_MAX).unwrap() + 1);
        for (text, said) in [
            ("", "is not what Penstock writes"),
            ("{}", "missing field"),
            ("[1]", "is not what Penstock writes"),
            (&long, "65537 bytes"),
            (
                r#"{"format":1,"cluster":"c","bucket":"xyz"}"#,
                "32 hexadecimal digits",
            ),
            (
                r#"{"format":1,"cluster":"c","bucket":"+0000000000000000000000000000007"}"#,
                "32 hexadecimal digits",
            ),
            (
                r#"{"format":1,"cluster":"c","bucket":"00000000000000000000000000000007","history":"1"}"#,
                "16 hexadecimal digits",
            ),
            (
                r#"{"format":1,"cluster":"c","bucket":"00000000000000000000000000000007",
                    "point":{"epoch":1,"nonce":"0000000000000001","lsn":1}}"#,
                "a point without a history",
            ),
            (
                r#"{"format":2,"cluster":"c","bucket":"7"}"#,
                "newer Penstock",
            ),
        ] {
            put(&objects, text).await;
            let error = bucket.witness().await.unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[tokio::test]
    async fn of_two_clusters_that_race_for_a_bucket_one_wins() {
        let bucket = store(&Arc::new(InMemory::new()));
        let one = Witness::new("one", BucketId(1));
        let other = Witness::new("other", BucketId(2));
        let (a, b) = tokio::join!(bucket.claim(&one), bucket.claim(&other));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(a, b);
        assert_eq!(bucket.claim(&other).await.unwrap(), a);
        bucket.disclaim().await;
        assert_eq!(bucket.claim(&other).await.unwrap(), other);
    }

    #[tokio::test]
    async fn a_segment_is_found_and_nothing_else() {
        let objects = Arc::new(InMemory::new());
        let bucket = store(&objects);
        bucket.claim(&Witness::new("c", BucketId(1))).await.unwrap();
        assert_eq!(bucket.any_segment().await.unwrap(), None);
        bucket
            .put_segment(metadata::ObjectKey(1), vec![Bytes::from_static(b"x")])
            .await
            .unwrap();
        let found = bucket.any_segment().await.unwrap().unwrap();
        assert!(found.starts_with("a/b/segments/01/"), "{found}");
    }
}
