//! The log of a cluster whose feature level was raised: the level that wrote it reads it, and the one before says why it
//! does not.

use std::sync::Arc;

use super::store::{commit, create, of_bytes, options, to_bytes};
use super::{TOPIC, golden};
use crate::error::Error;
use crate::keys::Key;
use crate::kv::{Kv, Memory, Transaction};
use crate::level::{As, Format};
use crate::types::{Offset, TopicId};
use crate::{Command, Raised, start};

/// A log that begins at level 1 and goes on with effects of level 2, as of a process that was killed.
async fn store() -> Memory {
    let memory = Memory::new();
    let (metadata, sequencer) = start(Arc::new(memory.clone()), options()).await.unwrap();
    let script = async {
        let ids = Command::AllocateProducerIds { count: 100 };
        for command in [ids, create(TOPIC, "orders"), commit(1, 0)] {
            metadata.submit(command).await.unwrap();
        }
        let raised = metadata.raise_feature_level(None).await.unwrap();
        assert_eq!(raised, Raised::At(2));
        for command in [create(TopicId(9), "of-level-2"), commit(2, 10)] {
            metadata.submit(command).await.unwrap();
        }
    };
    tokio::select! {
        _ = sequencer.run() => unreachable!("nobody closes it"),
        () = script => {}
    }
    memory
}

/// Of a store that this version must not write.
async fn refused(memory: &Memory) -> String {
    let rows = memory.snapshot();
    let refused = start(Arc::new(memory.clone()), options()).await.err();
    let refused = refused.expect("it is refused");
    assert!(matches!(refused, Error::NewerFormat { .. }), "{refused}");
    assert_eq!(memory.snapshot(), rows, "nothing is written");
    refused.to_string()
}

/// On a clock that stands still, for the time is in the bytes.
#[tokio::test(start_paused = true)]
async fn a_log_of_level_2_is_read_by_that_level_and_refused_by_the_one_before() {
    let level = As::level(2);
    let bytes = golden("store-2.bin", &to_bytes(&Box::pin(store()).await));
    let memory = of_bytes(bytes).await;
    drop(level);

    let level = As::level(1);
    let said = refused(&memory).await;
    assert!(said.contains("has format level 2"), "{said}");
    assert!(said.contains("levels up to 1"), "{said}");
    // Also where only the log says so.
    let log_alone = of_bytes(to_bytes(&memory)).await;
    let mut transaction = Transaction::default();
    let format = Format::new("of a cluster".to_owned()).encode();
    transaction.set(Key::Format.encode(), format);
    log_alone.commit(transaction).await.unwrap();
    let said = refused(&log_alone).await;
    assert!(said.contains("has format level 2"), "{said}");
    drop(level);

    let _level = As::level(2);
    let (metadata, sequencer) = start(Arc::new(memory), options()).await.unwrap();
    let script = async {
        for topic in ["orders", "of-level-2"] {
            assert!(metadata.catalogue().topic(topic).is_some(), "{topic}");
        }
        let answer = metadata.submit(commit(3, 20)).await.unwrap();
        let crate::Outcome::Committed(verdicts) = answer.outcome else {
            panic!("{answer:?}")
        };
        assert_eq!(verdicts[0].unwrap().base_offset, Offset(20));
        metadata.close().await;
    };
    let (run, ()) = tokio::join!(sequencer.run(), script);
    run.unwrap();
}
