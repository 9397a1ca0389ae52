//! Whether the bucket answers, takes objects and gives them back, and how fast.

use std::time::Duration;

use tokio::time::Instant;

use super::report::{Report, sentence};
use super::s3;
use crate::config::Doctor;
use crate::storage::{OpenError, Store, StoreOptions};

/// Requests whose latency is measured.
pub(super) const ROUNDS: usize = 20;
/// What is stored to see whether it comes back.
pub(super) const PROBE: &[u8] = b"written by penstock doctor, may be deleted";

pub(super) fn store_options(options: &Doctor) -> StoreOptions {
    StoreOptions {
        s3_endpoint: options.s3_endpoint.clone(),
    }
}

/// The bucket, if it can be asked. One that is not there is not made.
///
/// # Errors
/// When what was typed names none.
pub(super) async fn check_bucket(
    options: &Doctor,
    report: &mut Report,
) -> anyhow::Result<Option<Store>> {
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
pub(super) fn left(key: &str) -> String {
    format!(" The object {key} is left in it, and harms nobody.")
}

/// How long requests took.
pub(super) fn latency(puts: Vec<Duration>, gets: Vec<Duration>) -> String {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::TryStreamExt as _;
    use object_store::ObjectStore as _;
    use object_store::path::Path;

    use super::*;
    use crate::storage::tests::faulty::{Faulty, Planned};

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
