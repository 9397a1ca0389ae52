//! How much one frame may ask a process to hold in memory.

use super::*;
use crate::command::{Command, CommitBatch, CommitBlock, CommitObject, CreateTopic};
use crate::rpc::message::{Down, FRAME_BYTES_MAX, Question, Up};
use crate::types::{
    BatchFlags, BlockCodec, BlockRange, Bounds, Content, Extent, ExtentFlags, ObjectKey, Offset,
    PartitionIndex, Scope, Timestamp, TopicId,
};
use crate::update::{Agents, Update, ViewUpdate};

/// In memory things take several times what they do in a frame: their number has a bound of its own.
#[test]
fn lists_that_would_take_much_more_in_memory_are_refused() {
    let commit = |blocks: usize, batches: usize| {
        let batch = CommitBatch {
            raw_length: 0,
            record_count: 1,
            max_timestamp: Timestamp(0),
            producer: None,
            flags: BatchFlags::default(),
            withheld: false,
        };
        let range = BlockRange {
            position: 0,
            stored_length: 0,
            raw_length: 0,
            codec: BlockCodec::Raw,
            checksum: 0,
        };
        let block = CommitBlock {
            topic: TopicId(0),
            partition: PartitionIndex(0),
            range,
            batches: vec![batch; batches / blocks],
        };
        Command::CommitObject(CommitObject {
            object: ObjectKey(1),
            size: 1,
            blocks: vec![block; blocks],
        })
    };
    let submit = |command| {
        let (sequence, seen) = (1, 1);
        Up::Submit {
            sequence,
            seen,
            command,
        }
    };
    let ask = |question| Up::Ask { id: 1, question };
    let many = |count| vec![partition(0); count];
    let create = |settings: usize| {
        let named = |number: usize| (number.to_string(), String::new());
        Command::CreateTopic(CreateTopic {
            name: "orders".to_owned(),
            id: TopicId(1),
            partitions: 1,
            replication_factor: 1,
            configs: (0..settings).map(named).collect(),
        })
    };
    let long = |bytes: usize| {
        let Command::CreateTopic(mut create) = create(0) else {
            unreachable!()
        };
        create.configs = [("x".to_owned(), "y".repeat(bytes))].into();
        Command::CreateTopic(create)
    };
    for (up, fits) in [
        (submit(long(100_000)), true),
        (submit(long(15_000_000)), false),
        (submit(create(1_000)), true),
        (submit(create(2_000)), false),
        (submit(commit(1, 200_000)), true),
        (submit(commit(200_000, 200_000)), true),
        (submit(commit(1, 300_000)), false),
        (submit(commit(3, 300_000)), false),
        (submit(commit(300_000, 300_000)), false),
        (ask(Question::Bounds(many(4_096))), true),
        (ask(Question::Bounds(many(5_000))), false),
        (ask(Question::Watch(many(1_000))), true),
        (ask(Question::Watch(many(10_000))), false),
        (Up::Unwatch(many(1_000)), true),
        (Up::Unwatch(many(10_000)), false),
    ] {
        assert_eq!(Up::decode(up.encode()).is_ok(), fits);
    }
}

/// All agents go to each of them in one frame: none may take so much that the others find no room.
#[test]
fn an_agent_that_would_fill_the_list_of_all_is_refused() {
    let hello = |listeners: usize, host: usize| {
        let mut agent = Node::new(7, "h".repeat(host), 9092);
        agent.listeners = vec![agent.listeners[0].clone(); listeners];
        let hello = Hello {
            agent: Some(agent),
            ..no_session()
        };
        Up::decode(Up::Hello(hello).encode())
    };
    assert!(hello(1, 253).is_ok() && hello(5, 253).is_ok());
    for (listeners, host) in [(1, 15_000_000), (1, 3_000), (1_000_000, 0), (100, 0)] {
        assert!(hello(listeners, host).is_err());
    }
    // As many as are served at a time.
    let mut agent = Node::new(7, "h".repeat(2 * 1024 - 40), 9092);
    agent.zone = Some("z".to_owned());
    let all = (0..4096).map(|_| Arc::new(agent.clone())).collect();
    let frame = Down::Update(Update::Agents(Arc::new(Agents::new(all)))).encode();
    assert!(frame.len() < FRAME_BYTES_MAX);
    assert!(Down::decode(frame).is_ok());
}

/// What a process hears from whoever says that it holds the order.
#[test]
fn lists_from_a_sequencer_are_bounded_as_well() {
    let update = |extents: usize| {
        let extent = Extent {
            base_offset: Offset(0),
            offset_span: 1,
            record_count: 1,
            max_timestamp: Timestamp(0),
            flags: ExtentFlags::default(),
            content: Content::Lost,
        };
        let view = ViewUpdate {
            partition: partition(0),
            scope: Scope::All,
            bounds: Bounds::default(),
            extents: vec![extent; extents],
        };
        Down::Update(Update::Views(vec![view.clone(), view]))
    };
    for (extents, fits) in [(1_024, true), (30_000, true), (40_000, false)] {
        assert_eq!(Down::decode(update(extents).encode()).is_ok(), fits);
    }
}
