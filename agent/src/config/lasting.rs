//! What to say of a process that keeps only one of bucket and metadata beyond its end: one is worth nothing without the other.

use super::StoreUrl;

/// As `--bucket` has it.
const MEMORY: &str = "memory:";

/// Of one that serves from the store itself. The bucket of `penstock metadata` may not be named: it is that of agents, which
/// is not in this process.
#[must_use]
pub fn ends_without(store: &StoreUrl, bucket: Option<&str>) -> Option<String> {
    match (store, bucket) {
        (StoreUrl::Memory, Some(MEMORY)) => None,
        (StoreUrl::Memory, bucket) => {
            let named = |url| format!("--bucket {url}");
            let bucket = bucket.map_or_else(|| "the agents' bucket".to_owned(), named);
            Some(format!(
                "--store memory: ends with this process, and {bucket} does not: at the next start it belongs to metadata that \
                 is gone, nobody can read what lies there, and it is refused. To keep records give --store redb:///path; to \
                 keep none give --bucket memory:, too"
            ))
        }
        (lasting, Some(MEMORY)) => Some(format!(
            "--bucket memory: ends with this process, and the metadata in {lasting} does not: at the next start it names \
             records that are gone, and is refused. To keep records give --bucket file:///path or s3://bucket/prefix; to keep \
             none give --store memory:, too"
        )),
        _ => None,
    }
}

/// Of an agent whose order is kept elsewhere.
#[must_use]
pub fn ends_without_order(bucket: &str) -> Option<&'static str> {
    (bucket == MEMORY).then_some(
        "--bucket memory: ends with this process, and no other agent can read what lies there: the metadata names records that \
         are gone then, and this agent is refused when it is started again. Give all agents one --bucket s3://bucket/prefix",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_end_or_last_together_nothing_is_said() {
        let lasting: StoreUrl = "redb:///m.redb".parse().unwrap();
        assert_eq!(ends_without(&StoreUrl::Memory, Some(MEMORY)), None);
        assert_eq!(ends_without(&lasting, Some("file:///b")), None);
        assert_eq!(ends_without(&lasting, None), None);
        assert_eq!(ends_without_order("s3://b/p"), None);
    }

    #[test]
    fn of_one_that_lasts_alone_it_is_said_what_that_means_and_what_to_give() {
        let lasting: StoreUrl = "redb:///m.redb".parse().unwrap();
        let file = Some("file:///b");
        let of_memory = "--store redb:///path";
        for (store, bucket, parts) in [
            (&StoreUrl::Memory, file, ["--bucket file:///b", of_memory]),
            (&StoreUrl::Memory, None, ["the agents' bucket", of_memory]),
            (
                &lasting,
                Some(MEMORY),
                ["redb:///m.redb", "--bucket file:///path"],
            ),
        ] {
            let said = ends_without(store, bucket).expect("one of them ends");
            for part in parts {
                assert!(said.contains(part), "no {part:?} in {said}");
            }
        }
        let said = ends_without_order(MEMORY).expect("it ends");
        assert!(said.contains("Give all agents one --bucket"), "{said}");
    }
}
