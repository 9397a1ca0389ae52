//! Whether two belong together, by what each says; and what the operator is told where they do not. Pure.

use metadata::BucketId;

use super::names::Names;
use crate::storage::Witness;

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
