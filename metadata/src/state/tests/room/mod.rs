//! How much there may be of everything, and who is refused past it.

mod producers;
mod sessions;
mod topics;

use super::*;
use crate::command::{Command, CreateTopic, Outcome, Rejected, Submission};
use crate::state::Limits;
use crate::types::Lsn;

pub(super) fn execute(state: &mut State, now: i64, command: Command) -> Outcome {
    let lsn = Lsn(state.lsn.0 + 1);
    let own = Submission::own(command);
    state.execute(lsn, Timestamp(now), &own).outcome
}

/// With a topic of one partition, and ids handed out after it was made, so that it takes none of them at its word.
fn with_topic(limits: Limits) -> State {
    let mut state = State {
        limits,
        ..State::default()
    };
    create(&mut state, 1, 1);
    execute(
        &mut state,
        START,
        Command::AllocateProducerIds { count: 100_000 },
    );
    state
}

pub(super) fn create(state: &mut State, id: u128, partitions: i32) -> Outcome {
    create_with(state, id, partitions, BTreeMap::new())
}

fn create_with(
    state: &mut State,
    id: u128,
    partitions: i32,
    configs: BTreeMap<String, String>,
) -> Outcome {
    let create = CreateTopic {
        name: format!("topic-{id}"),
        id: TopicId(id),
        partitions,
        replication_factor: 1,
        configs,
    };
    execute(state, START, Command::CreateTopic(create))
}

/// A batch of one record; what became of it.
pub(super) fn send(
    state: &mut State,
    now: i64,
    (producer, sequence): (i64, i32),
    share: u16,
) -> Result<(i64, bool), Rejected> {
    let mut one = batch(1, Timestamp(now), Some((producer, 0, sequence)));
    one.producer.as_mut().unwrap().share = Share(share);
    let number = u32::try_from(state.lsn.0).unwrap();
    let object = ObjectKey::new(NamingEpoch(0), 7, number);
    let command = Command::CommitObject(commit(object, vec![(partition(1, 0), vec![one])]));
    match execute(state, now, command) {
        Outcome::Committed(verdicts) => {
            verdicts[0].map(|placed| (placed.base_offset.0, placed.duplicate))
        }
        other => panic!("{other:?}"),
    }
}
