//! An agent that watches many busy partitions at a new sequencer: its stream is not cut off, however slow it takes what it
//! is told, and in the end it knows all of them.

use std::collections::BTreeMap;

use super::*;
use crate::command::Submission;
use crate::sequencer::feed::{Waiting, feed};
use crate::sequencer::reads::Read;
use crate::types::{Scope, SessionId};
use crate::update::Update;

const PARTITIONS: i32 = 5_000;
/// With their partitions they are more than a stream holds.
const EXTENTS: u64 = 60;
/// Of an agent's question.
const ASKED: usize = 1_000;

/// One batch in each of the partitions of a part of the topic.
fn everywhere(number: u64, part: i32) -> Command {
    let Command::CommitObject(mut command) = plain(number, 0) else {
        unreachable!()
    };
    let block = command.blocks.remove(0);
    command.blocks = (part * 500..(part + 1) * 500)
        .map(|index| CommitBlock {
            partition: PartitionIndex(index),
            ..block.clone()
        })
        .collect();
    Command::CommitObject(command)
}

async fn round(metadata: &Metadata, number: u64) {
    for part in 0..PARTITIONS / 500 {
        let unique = number * 100 + u64::try_from(part).unwrap();
        let answer = metadata.submit(everywhere(unique, part)).await.unwrap();
        placed(&answer.outcome);
    }
}

async fn asked<T>(
    metadata: &Metadata,
    read: impl FnOnce(tokio::sync::oneshot::Sender<Result<T, Error>>) -> Read,
) -> T {
    metadata.read(read).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn many_busy_partitions_are_watched_at_once_and_nobody_is_cut_off() {
    let memory = Memory::new();
    let options = |seed| Options {
        checkpoint_interval: Duration::from_secs(100_000),
        ..options(seed)
    };
    let running = run(memory.clone(), options(1)).await;
    create_topic(&running.metadata, TOPIC, "orders", PARTITIONS).await;
    seconds(5).await;
    for number in 0..EXTENTS {
        round(&running.metadata, number).await;
    }
    running.kill().await;
    // All that was appended since the last checkpoint is in the memory of the next one.
    let running = run(memory, options(2)).await;
    let metadata = &running.metadata;
    let opened = metadata.resubmit(Submission::own(Command::OpenSession {
        closing: Vec::new(),
        nonce: 7,
    }));
    let Outcome::SessionOpened(id) = opened.await.unwrap().outcome else {
        panic!("a session")
    };
    let (feed, mut updates) = feed();
    let attached = asked(metadata, |reply| Read::Attach {
        session: SessionId { id, nonce: 7 },
        agent: None,
        level: u32::MAX,
        feed,
        from: None,
        reply,
    });
    let subscriber = attached.await.unwrap().subscriber;
    let all: Vec<_> = (0..PARTITIONS).map(partition).collect();
    for some in all.chunks(ASKED) {
        let found = asked(metadata, |reply| Read::Watch {
            subscriber,
            partitions: some.to_vec(),
            reply,
        });
        assert!(found.await.iter().all(|found| *found));
    }
    round(metadata, EXTENTS).await;
    let mut known: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    loop {
        match updates.waiting() {
            Waiting::Nothing => break,
            Waiting::CutOff => panic!("the stream is cut off"),
            Waiting::Update(Update::Views(views)) => {
                for view in views {
                    let end = view.bounds.high_watermark.0;
                    // What it is told follows what it was told.
                    let mut next = match view.scope {
                        Scope::All => view
                            .extents
                            .first()
                            .map_or(end, |first| first.base_offset.0),
                        Scope::Change => known[&view.partition],
                    };
                    for extent in &view.extents {
                        assert_eq!(extent.base_offset.0, next);
                        next = extent.end_offset().0;
                    }
                    assert_eq!(next, end);
                    known.insert(view.partition, end);
                }
            }
            Waiting::Update(_) => {}
        }
    }
    assert_eq!(known.len(), all.len());
    let end = i64::try_from(EXTENTS + 1).unwrap() * 10;
    assert!(known.values().all(|known| *known == end));
    running.kill().await;
}
