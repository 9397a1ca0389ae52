//! A sequencer that holds a store and does nothing by itself.

use super::*;
use crate::effect::{Effect, PartitionEffect};
use crate::sequencer::Sequencer;
use crate::types::Lsn;

pub(super) async fn hold(memory: &Memory, seed: u64) -> (Metadata, Sequencer) {
    let kv = Arc::new(memory.clone());
    start(kv, options(seed)).await.unwrap()
}

/// Over a fresh store with one topic.
pub(super) async fn fresh(partitions: i32) -> (Memory, Metadata, Sequencer) {
    let memory = Memory::new();
    let (metadata, mut sequencer) = hold(&memory, 1).await;
    let create = CreateTopic {
        name: "orders".to_owned(),
        id: TOPIC,
        partitions,
        replication_factor: 1,
        configs: [].into(),
    };
    sequencer
        .command(Command::CreateTopic(create))
        .await
        .unwrap();
    (memory, metadata, sequencer)
}

/// A whole one.
pub(super) async fn checkpoint(sequencer: &mut Sequencer) {
    sequencer.begin_checkpoint();
    while sequencer.is_checkpointing() {
        sequencer.step_and_wait().await.unwrap();
    }
}

/// Does to a partition what no command does yet.
pub(super) async fn fold(sequencer: &mut Sequencer, index: i32, what: PartitionEffect) {
    let effect = Effect::Partition {
        partition: partition(index),
        what,
    };
    let (lsn, now) = (Lsn(sequencer.state.lsn.0 + 1), sequencer.time.now());
    sequencer.state.fold(lsn, now, &effect);
    sequencer.write_own(lsn, now, vec![effect]).await.unwrap();
}
