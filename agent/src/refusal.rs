//! Every refusal and failure as Kafka's error code: who must act, may it be retried, did it happen. Total matches, so a
//! new refusal cannot be forgotten.

use metadata::{Error, Happened, Rejected};
use protocol::ErrorCode;

use crate::storage::{ErrorKind, StoreError};

/// The metadata was not asked, or for too long: clients ask again, here or at another agent.
pub(crate) const NOT_ASKED: ErrorCode = ErrorCode::NOT_LEADER_OR_FOLLOWER;
/// The same of an administrator's command; see [`metadata_admin`].
pub(crate) const NOT_ASKED_ADMIN: ErrorCode = ErrorCode::NOT_CONTROLLER;
/// The same where too many wait, to clients that know this code (KIP-599): they ask again for what was refused so and for
/// nothing else, once they were silent for as long as they were asked to.
pub(crate) const CROWDED_ADMIN: ErrorCode = ErrorCode::THROTTLING_QUOTA_EXCEEDED;

/// A lawful no to one batch or one command.
pub(crate) fn rejected(rejected: Rejected) -> ErrorCode {
    match rejected {
        Rejected::UnknownTopic | Rejected::UnknownPartition => {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        }
        Rejected::TopicExists => ErrorCode::TOPIC_ALREADY_EXISTS,
        Rejected::TopicNameCollides => ErrorCode::INVALID_TOPIC_EXCEPTION,
        Rejected::InvalidPartitions => ErrorCode::INVALID_PARTITIONS,
        Rejected::OutOfOrderSequence => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
        Rejected::InvalidProducerEpoch => ErrorCode::INVALID_PRODUCER_EPOCH,
        // What failed was a segment before it, so the code is that of `store_produce`.
        Rejected::Withheld => ErrorCode::NOT_ENOUGH_REPLICAS,
        // Nothing was appended and asking again, here or elsewhere, will do.
        Rejected::ObjectTooOld | Rejected::ObjectCommitted | Rejected::SessionClosed => {
            ErrorCode::NOT_LEADER_OR_FOLLOWER
        }
        Rejected::InvalidCommand | Rejected::LevelTooHigh => ErrorCode::UNKNOWN_SERVER_ERROR,
        // Only an operator's command is refused so, and no client's.
        Rejected::NotInLog | Rejected::TooManyLost => ErrorCode::UNKNOWN_SERVER_ERROR,
        // No client asks for another id, whatever it is told: all that helps is another producer. At this code every one
        // fails at once, and Java's for good. At those that seem to fit better (INVALID_PRODUCER_ID_MAPPING,
        // UNKNOWN_PRODUCER_ID, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH) franz-go, and at some of them librdkafka,
        // raises the epoch itself and tries the same id again until its delivery times out, without a word.
        Rejected::UnknownProducerId => ErrorCode::PRODUCER_FENCED,
        // Nothing was appended, and all clients send it again after a pause, without asking for metadata.
        Rejected::TooManyProducers => ErrorCode::NOT_ENOUGH_REPLICAS,
        Rejected::TooManyPartitions => ErrorCode::INVALID_PARTITIONS,
        Rejected::TooManyTopics | Rejected::TooManyDeletedTopics => ErrorCode::POLICY_VIOLATION,
        // Between agent and sequencer: nothing happened.
        Rejected::TooManySessions | Rejected::TooManyOutcomes => ErrorCode::NOT_LEADER_OR_FOLLOWER,
    }
}

/// A no to a whole segment: none of its batches was appended, whatever was wrong with the segment is not the client's
/// fault, so it may try again.
pub(crate) fn rejected_segment(why: Rejected) -> ErrorCode {
    let code = rejected(why);
    if code.is_retriable() {
        code
    } else {
        ErrorCode::NOT_LEADER_OR_FOLLOWER
    }
}

/// The metadata did not answer a producer's commit.
pub(crate) fn metadata(error: &Error) -> ErrorCode {
    match error {
        // Clients try again and idempotence tells a repetition.
        Error::Unavailable {
            happened: Happened::Unknown,
            ..
        } => ErrorCode::REQUEST_TIMED_OUT,
        // Nothing happened. Clients ask for metadata anew, which leads them to another agent.
        Error::Unavailable {
            happened: Happened::No,
            ..
        }
        | Error::TooManyWait
        | Error::Fenced
        | Error::Closing => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        Error::Corrupt(_)
        | Error::Damaged(_)
        | Error::WentBack(_)
        | Error::OtherBucket { .. }
        | Error::OtherCluster { .. }
        | Error::Replaced { .. }
        | Error::Emptied(_)
        | Error::AddressShared(_)
        | Error::NewerFormat { .. }
        | Error::InUse(_) => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}

/// Whether a client knows the leader epoch that is. An older one means that an older store was accepted since, and the
/// client must find out whether what it read is still there. -1: it does not say.
pub(crate) fn leader_epoch(known: i32, current: i32) -> Result<(), ErrorCode> {
    match known {
        0.. if known < current => Err(ErrorCode::FENCED_LEADER_EPOCH),
        0.. if known > current => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
        _ => Ok(()),
    }
}

/// The metadata did not answer a question. Nothing could have happened, so an unclear outcome is no matter; and Java's
/// consumer throws at codes that it does not know from fetching, REQUEST_TIMED_OUT among them.
pub(crate) fn metadata_read(error: &Error) -> ErrorCode {
    match metadata(error) {
        ErrorCode::KAFKA_STORAGE_ERROR => ErrorCode::KAFKA_STORAGE_ERROR,
        _ => ErrorCode::NOT_LEADER_OR_FOLLOWER,
    }
}

/// The metadata did not answer an administrator's command. Admin clients try again by themselves only at NOT_CONTROLLER,
/// so only what certainly did not happen is answered so; anything else a person must look at.
pub(crate) fn metadata_admin(error: &Error) -> ErrorCode {
    match metadata(error) {
        ErrorCode::NOT_LEADER_OR_FOLLOWER => ErrorCode::NOT_CONTROLLER,
        code => code,
    }
}

/// A segment that could not be stored. It was never committed, so nothing happened, wherever its bytes may be.
pub(crate) fn store_produce(error: &StoreError) -> ErrorCode {
    match error.kind {
        ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::Unavailable
        | ErrorKind::Corrupt
        | ErrorKind::Refused => ErrorCode::NOT_ENOUGH_REPLICAS,
    }
}

/// Committed bytes that could not be read.
pub(crate) fn store_fetch(error: &StoreError) -> ErrorCode {
    match error.kind {
        ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::Unavailable
        | ErrorKind::Corrupt
        | ErrorKind::Refused => ErrorCode::KAFKA_STORAGE_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every refusal with its code. The match makes a new variant fail to compile here, until it is listed.
    fn refusals() -> Vec<(Rejected, ErrorCode)> {
        let listed = |rejected| match rejected {
            Rejected::UnknownTopic
            | Rejected::UnknownPartition
            | Rejected::TopicExists
            | Rejected::TopicNameCollides
            | Rejected::InvalidPartitions
            | Rejected::OutOfOrderSequence
            | Rejected::InvalidProducerEpoch
            | Rejected::ObjectTooOld
            | Rejected::ObjectCommitted
            | Rejected::SessionClosed
            | Rejected::InvalidCommand
            | Rejected::LevelTooHigh
            | Rejected::NotInLog
            | Rejected::TooManyLost
            | Rejected::Withheld
            | Rejected::UnknownProducerId
            | Rejected::TooManyProducers
            | Rejected::TooManyTopics
            | Rejected::TooManyPartitions
            | Rejected::TooManySessions
            | Rejected::TooManyOutcomes
            | Rejected::TooManyDeletedTopics => rejected,
        };
        [
            (
                Rejected::UnknownTopic,
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ),
            (
                Rejected::UnknownPartition,
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ),
            (Rejected::TopicExists, ErrorCode::TOPIC_ALREADY_EXISTS),
            (
                Rejected::TopicNameCollides,
                ErrorCode::INVALID_TOPIC_EXCEPTION,
            ),
            (Rejected::InvalidPartitions, ErrorCode::INVALID_PARTITIONS),
            (
                Rejected::OutOfOrderSequence,
                ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
            ),
            (
                Rejected::InvalidProducerEpoch,
                ErrorCode::INVALID_PRODUCER_EPOCH,
            ),
            (Rejected::ObjectTooOld, ErrorCode::NOT_LEADER_OR_FOLLOWER),
            (Rejected::ObjectCommitted, ErrorCode::NOT_LEADER_OR_FOLLOWER),
            (Rejected::SessionClosed, ErrorCode::NOT_LEADER_OR_FOLLOWER),
            (Rejected::InvalidCommand, ErrorCode::UNKNOWN_SERVER_ERROR),
            (Rejected::LevelTooHigh, ErrorCode::UNKNOWN_SERVER_ERROR),
            (Rejected::NotInLog, ErrorCode::UNKNOWN_SERVER_ERROR),
            (Rejected::TooManyLost, ErrorCode::UNKNOWN_SERVER_ERROR),
            (Rejected::Withheld, ErrorCode::NOT_ENOUGH_REPLICAS),
            (Rejected::UnknownProducerId, ErrorCode::PRODUCER_FENCED),
            (Rejected::TooManyProducers, ErrorCode::NOT_ENOUGH_REPLICAS),
            (Rejected::TooManyTopics, ErrorCode::POLICY_VIOLATION),
            (Rejected::TooManyPartitions, ErrorCode::INVALID_PARTITIONS),
            (Rejected::TooManySessions, ErrorCode::NOT_LEADER_OR_FOLLOWER),
            (Rejected::TooManyOutcomes, ErrorCode::NOT_LEADER_OR_FOLLOWER),
            (Rejected::TooManyDeletedTopics, ErrorCode::POLICY_VIOLATION),
        ]
        .map(|(rejected, code)| (listed(rejected), code))
        .into()
    }

    fn errors() -> Vec<Error> {
        let listed = |error| match error {
            Error::Fenced
            | Error::Unavailable { .. }
            | Error::TooManyWait
            | Error::Corrupt(_)
            | Error::Damaged(_)
            | Error::Closing
            | Error::WentBack(_)
            | Error::OtherBucket { .. }
            | Error::OtherCluster { .. }
            | Error::Replaced { .. }
            | Error::Emptied(_)
            | Error::AddressShared(_)
            | Error::NewerFormat { .. }
            | Error::InUse(_) => error,
        };
        let unavailable = |happened| Error::Unavailable {
            happened,
            reason: String::new(),
        };
        [
            Error::Fenced,
            unavailable(Happened::No),
            unavailable(Happened::Unknown),
            Error::TooManyWait,
            Error::Corrupt(String::new()),
            Error::Damaged(String::new()),
            Error::Closing,
            Error::NewerFormat {
                found: String::new(),
                known: String::new(),
            },
            Error::InUse(String::new()),
            Error::WentBack(String::new()),
            Error::OtherBucket {
                bucket: String::new(),
                metadata: String::new(),
            },
            Error::OtherCluster {
                found: String::new(),
                known: String::new(),
            },
            Error::Replaced {
                found: String::new(),
                cluster: String::new(),
            },
            Error::Emptied(String::new()),
        ]
        .map(listed)
        .into()
    }

    #[test]
    fn clients_of_another_leader_epoch_are_told() {
        assert_eq!(leader_epoch(-1, 3), Ok(()));
        assert_eq!(leader_epoch(3, 3), Ok(()));
        assert_eq!(leader_epoch(2, 3), Err(ErrorCode::FENCED_LEADER_EPOCH));
        assert_eq!(leader_epoch(4, 3), Err(ErrorCode::UNKNOWN_LEADER_EPOCH));
    }

    #[test]
    fn every_refusal_has_its_code() {
        for (why, code) in refusals() {
            assert_eq!(rejected(why), code, "{why:?}");
        }
    }

    #[test]
    fn a_refused_segment_may_always_be_tried_again() {
        for (why, _) in refusals() {
            assert!(rejected_segment(why).is_retriable(), "{why:?}");
        }
    }

    #[test]
    fn whatever_is_unclear_or_away_may_be_tried_again() {
        for error in errors() {
            assert!(metadata(&error).is_retriable(), "{error:?}");
        }
    }

    #[test]
    fn only_an_unclear_outcome_is_a_time_out() {
        for error in errors() {
            let unclear = matches!(
                error,
                Error::Unavailable {
                    happened: Happened::Unknown,
                    ..
                }
            );
            let timed_out = |code| code == ErrorCode::REQUEST_TIMED_OUT;
            assert_eq!(timed_out(metadata(&error)), unclear, "{error:?}");
            assert_eq!(timed_out(metadata_admin(&error)), unclear, "{error:?}");
        }
    }

    #[test]
    fn questions_fail_with_codes_that_consumers_know() {
        let known = [
            ErrorCode::NOT_LEADER_OR_FOLLOWER,
            ErrorCode::KAFKA_STORAGE_ERROR,
        ];
        for error in errors() {
            assert!(known.contains(&metadata_read(&error)), "{error:?}");
        }
    }
}
