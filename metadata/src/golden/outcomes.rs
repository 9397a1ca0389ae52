//! Every outcome, and every refusal in one.

use super::{TOPIC, cover, golden};
use crate::codec::{Decoder, Encoder, Wire};
use crate::command::{Outcome, Placed, Rejected, Verdict};
use crate::types::{BucketId, Offset, ProducerId};

/// All of them, in the order of the file. Fails to compile when one is missing.
fn rejections() -> Vec<Rejected> {
    macro_rules! all {
        ($($name:ident),+ $(,)?) => {{
            fn exhaustive(sample: Rejected) -> Rejected {
                match sample { $(Rejected::$name => sample,)+ }
            }
            vec![$(exhaustive(Rejected::$name)),+]
        }};
    }
    all![
        UnknownTopic,
        UnknownPartition,
        TopicExists,
        TopicNameCollides,
        InvalidPartitions,
        OutOfOrderSequence,
        InvalidProducerEpoch,
        ObjectTooOld,
        ObjectCommitted,
        SessionClosed,
        InvalidCommand,
        Withheld,
        UnknownProducerId,
        TooManyProducers,
        TooManyTopics,
        TooManyPartitions,
        TooManySessions,
        TooManyOutcomes,
        TooManyDeletedTopics,
        LevelTooHigh,
        NotInLog,
        TooManyLost,
    ]
}

/// Those of the first file.
pub(super) fn outcomes() -> Vec<Outcome> {
    let placed = |base_offset, duplicate| {
        Ok(Placed {
            base_offset: Offset(base_offset),
            log_start_offset: Offset(base_offset / 2),
            duplicate,
        })
    };
    let mut verdicts: Vec<Verdict> = vec![placed(0, false), placed(i64::MAX, true)];
    verdicts.extend(rejections().into_iter().map(Err));
    let mut all = vec![
        Outcome::Committed(Vec::new()),
        Outcome::Committed(verdicts),
        Outcome::TopicCreated(TOPIC),
        Outcome::TopicDeleted,
        Outcome::PartitionsCreated,
        Outcome::ProducerIds {
            first: ProducerId(1000),
            count: u32::MAX,
        },
        Outcome::SessionOpened(300),
        Outcome::ProducersExpired,
        Outcome::SessionClosed,
        Outcome::FeatureLevel(2),
        Outcome::FeatureLevelKept("agent 1 reads up to level 1".to_owned()),
        Outcome::OlderStoreAccepted,
        Outcome::HoldReleased,
        Outcome::MarkedLost,
        Outcome::BucketBound(None),
        Outcome::BucketBound(Some(BucketId(u128::MAX - 1))),
    ];
    all.extend(rejections().into_iter().map(Outcome::Rejected));
    all
}

#[test]
fn every_outcome_is_written_and_read_as_ever() {
    let later = vec![Outcome::NoHold];
    for (name, outcomes) in [
        ("outcomes-1.bin", outcomes()),
        ("outcomes-2.bin", later.clone()),
    ] {
        let mut encoded = Encoder::default();
        outcomes.put(&mut encoded);
        let mut old = Decoder::new(golden(name, &encoded.into_bytes()));
        assert_eq!(Wire::take(&mut old), Ok(outcomes));
        assert_eq!(old.end(), Ok(()));
    }
    let all = [outcomes(), later].concat();
    cover!(
        all,
        Outcome,
        Outcome::Committed(_),
        Outcome::TopicCreated(_),
        Outcome::TopicDeleted,
        Outcome::PartitionsCreated,
        Outcome::ProducerIds { .. },
        Outcome::SessionOpened(_),
        Outcome::ProducersExpired,
        Outcome::SessionClosed,
        Outcome::BucketBound(_),
        Outcome::FeatureLevel(_),
        Outcome::FeatureLevelKept(_),
        Outcome::OlderStoreAccepted,
        Outcome::HoldReleased,
        Outcome::MarkedLost,
        Outcome::NoHold,
        Outcome::Rejected(_),
    );
}
