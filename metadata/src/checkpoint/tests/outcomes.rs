//! Outcomes that are kept in several rows.

use super::*;
use crate::command::Outcome;
use crate::effect::SessionEffect;

const SESSION: u64 = 1;

/// The session's first command was answered so.
fn answered(state: &mut State, outcome: Outcome) {
    let what = SessionEffect::Answered {
        sequence: 1,
        seen: 1,
        outcome,
    };
    let lsn = Lsn(state.lsn.0 + 1);
    state.fold(lsn, NOW, &Effect::session(SESSION, what));
}

fn parts(kv: &Memory) -> usize {
    let keys = kv.snapshot().into_keys();
    let parts = keys.filter(|key| matches!(Key::decode(key), Ok(Key::Outcome(SESSION, 1, _))));
    parts.count()
}

/// As where a later version writes what an agent may still ask for in fewer rows.
#[tokio::test]
async fn an_outcome_that_takes_fewer_rows_than_before_leaves_none_of_those() {
    let one_row = Steps {
        bytes: 1,
        ..Steps::default()
    };
    let of_bytes = |bytes| Outcome::FeatureLevelKept("x".repeat(bytes));
    for steps in [Steps::default(), one_row] {
        for (bytes, left) in [(10, 1), (70_000, 2)] {
            let kv = Memory::new();
            let mut state = with_partitions(1);
            let (closing, nonce) = (Vec::new(), 7);
            execute(&mut state, Command::OpenSession { closing, nonce });
            answered(&mut state, of_bytes(200_000));
            write(&kv, &mut state).await;
            assert_eq!(parts(&kv), 4);
            // One process goes on, the other begins with the rows.
            for loads in [false, true] {
                let kv = kv.copy();
                let mut state = match loads {
                    true => load(&kv).await.unwrap(),
                    false => state.clone(),
                };
                answered(&mut state, of_bytes(bytes));
                let mut checkpoint = Checkpoint::begin(&mut state).in_steps_of(steps);
                while !checkpoint.is_done() {
                    let transaction = checkpoint.step(&kv, &mut state).await.unwrap();
                    kv.commit(transaction).await.unwrap();
                }
                assert_eq!(parts(&kv), left, "{steps:?} {loads}");
                let loaded = load(&kv).await.unwrap();
                let session = loaded.sessions.get(SESSION).unwrap();
                assert_eq!(session.outcomes[&1], of_bytes(bytes), "{steps:?} {loads}");
                // Nor is anything left once it was seen.
                let mut state = loaded;
                let asked = Submission {
                    session: SESSION,
                    sequence: 2,
                    seen: 3,
                    command: Command::AllocateProducerIds { count: 1 },
                };
                state.execute(Lsn(state.lsn.0 + 1), NOW, &asked);
                write(&kv, &mut state).await;
                assert_eq!(parts(&kv), 0);
                load(&kv).await.unwrap();
            }
        }
    }
}
