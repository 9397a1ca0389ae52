//! Topics of a form that no agent asks for.

use super::room::execute;
use super::*;
use crate::checkpoint::{self, Checkpoint};
use crate::command::{Command, CreateTopic, Outcome, Rejected};
use crate::effect::{Effect, TopicCreated, TopicEffect};
use crate::kv::{Kv, Memory};
use crate::state::invariants;
use crate::types::Lsn;

fn orders() -> CreateTopic {
    CreateTopic {
        name: "orders".to_owned(),
        id: TopicId(1),
        partitions: 1,
        replication_factor: 1,
        configs: [].into(),
    }
}

#[test]
fn names_and_numbers_that_no_topic_has_are_refused() {
    let named = |name: &str| CreateTopic {
        name: name.to_owned(),
        ..orders()
    };
    let mut wrong: Vec<_> = ["", ".", "..", "x\0y", "a b", "a/b", "gr\u{fc}n"]
        .map(named)
        .into();
    wrong.extend([250, 60_000].map(|length| named(&"x".repeat(length))));
    wrong.extend([0, -1, i16::MIN].map(|replication_factor| CreateTopic {
        replication_factor,
        ..orders()
    }));
    wrong.push(CreateTopic {
        id: TopicId(0),
        ..orders()
    });
    let mut state = State::default();
    let mut made = |create| execute(&mut state, START, Command::CreateTopic(create));
    for create in wrong {
        let refused = Outcome::Rejected(Rejected::InvalidCommand);
        assert_eq!(made(create.clone()), refused, "{create:?}");
    }
    for partitions in [0, -1, i32::MIN] {
        let refused = Outcome::Rejected(Rejected::InvalidPartitions);
        let create = CreateTopic {
            partitions,
            ..orders()
        };
        assert_eq!(made(create), refused, "{partitions}");
    }
    let longest = named(&"x".repeat(249));
    assert_eq!(made(longest), Outcome::TopicCreated(TopicId(1)));
    assert_eq!(state.usage().topics, 1);
}

/// A store and its log may hold them from before there was a rule.
#[tokio::test]
async fn topics_of_any_form_that_are_there_are_loaded_and_can_be_deleted() {
    let (kv, mut state) = (Memory::new(), State::default());
    let names = [String::new(), "x\0y".to_owned(), "x".repeat(60_000)];
    for (id, name) in (1..).zip(&names) {
        let created = TopicCreated {
            name: name.clone(),
            partitions: 1,
            replication_factor: i16::MIN,
            configs: [].into(),
            first_producer: ProducerId(0),
            created: Timestamp(START),
        };
        let effect = Effect::topic(TopicId(id), TopicEffect::Created(created));
        state.fold(Lsn(state.lsn.0 + 1), Timestamp(START), &effect);
    }
    let mut checkpoint = Checkpoint::begin(&mut state);
    while !checkpoint.is_done() {
        let writes = checkpoint.step(&kv, &mut state).await.unwrap();
        kv.commit(writes).await.unwrap();
    }
    let mut loaded = checkpoint::load(&kv).await.unwrap();
    invariants::check(&loaded);
    for (id, name) in (1..).zip(&names) {
        assert_eq!(loaded.topics.named(name), Some(TopicId(id)));
        let delete = Command::DeleteTopic(TopicId(id));
        assert_eq!(execute(&mut loaded, START, delete), Outcome::TopicDeleted);
    }
    invariants::check(&loaded);
}
