//! What an operator hears of a state that has no room for what clients ask for: what these are told does not say whose limit
//! it is. Called by `drain`.

use std::time::Duration;

use crate::command::{Outcome, Rejected};
use crate::said::Said;
use crate::state::{Limits, State, Usage};

/// For each kind once in a minute, whoever asks for it and however often.
static FULL: Said<Kind> = Said::new(Duration::from_secs(60), 8);

/// Of what there is as much as [`Limits`] let there be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Topics,
    Partitions,
    DeletedTopics,
    Producers,
}

/// Of a command that was decided on that state.
pub(super) fn warn_where_full(state: &State, outcome: &Outcome) {
    let Some(kind) = Kind::refused_in(outcome) else {
        return;
    };
    if let Some(unsaid) = FULL.admit(kind) {
        tracing::warn!(
            full = kind.figures(&state.usage(), &state.limits),
            unsaid,
            "refused what would be more than --state-memory allows: give all that may hold the order more of it, or delete what is \
             not needed"
        );
    }
}

impl Kind {
    fn refused_in(outcome: &Outcome) -> Option<Self> {
        match outcome {
            Outcome::Rejected(rejected) => Self::of(*rejected),
            Outcome::Committed(verdicts) => {
                let mut refused = verdicts.iter().filter_map(|verdict| verdict.err());
                refused.find_map(Self::of)
            }
            _ => None,
        }
    }

    /// None where something else is wrong, or a limit that does not follow from memory is met.
    fn of(rejected: Rejected) -> Option<Self> {
        match rejected {
            Rejected::TooManyTopics => Some(Self::Topics),
            Rejected::TooManyPartitions => Some(Self::Partitions),
            Rejected::TooManyDeletedTopics => Some(Self::DeletedTopics),
            Rejected::TooManyProducers => Some(Self::Producers),
            _ => None,
        }
    }

    fn figures(self, is: &Usage, may_be: &Limits) -> String {
        match self {
            Self::Topics => format!(
                "topics: {} of {}, bytes of topics' names and settings: {} of {}",
                is.topics, may_be.topics, is.topic_bytes, may_be.topic_bytes
            ),
            Self::Partitions => format!("partitions: {} of {}", is.partitions, may_be.partitions),
            Self::DeletedTopics => format!(
                "deleted topics: {} of {}",
                is.deleted_topics, may_be.deleted_topics
            ),
            // One address has no more than it leaves to others.
            Self::Producers => format!(
                "bytes of idempotent producers: {} of {}, of which one address has half at the most",
                is.producer_bytes, may_be.producer_bytes
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Placed;
    use crate::types::Offset;

    #[test]
    fn a_kind_of_which_there_is_enough_is_named_with_its_figures() {
        let is = Usage {
            topics: 1,
            topic_bytes: 2,
            partitions: 3,
            deleted_topics: 4,
            producer_bytes: 5,
            ..Usage::default()
        };
        let may_be = Limits {
            topics: 10,
            topic_bytes: 20,
            partitions: 30,
            deleted_topics: 40,
            producer_bytes: 50,
            ..Limits::default()
        };
        let said = |outcome: &Outcome| Some(Kind::refused_in(outcome)?.figures(&is, &may_be));
        for (rejected, figures) in [
            (Rejected::TooManyTopics, "topics: 1 of 10, "),
            (Rejected::TooManyTopics, "settings: 2 of 20"),
            (Rejected::TooManyPartitions, "partitions: 3 of 30"),
            (Rejected::TooManyDeletedTopics, "deleted topics: 4 of 40"),
            (Rejected::TooManyProducers, "producers: 5 of 50"),
        ] {
            let said = said(&Outcome::Rejected(rejected)).unwrap();
            assert!(said.contains(figures), "{said}");
        }
        let placed = Placed {
            base_offset: Offset(0),
            log_start_offset: Offset(0),
            duplicate: false,
        };
        let batches = |refused| Outcome::Committed(vec![Ok(placed), Err(refused)]);
        assert!(said(&batches(Rejected::TooManyProducers)).is_some());
        assert_eq!(said(&batches(Rejected::OutOfOrderSequence)), None);
        assert_eq!(said(&Outcome::Rejected(Rejected::TopicExists)), None);
        assert_eq!(said(&Outcome::TopicDeleted), None);
    }
}
