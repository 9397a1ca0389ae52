//! A message of every kind, and of every kind of what lies in it.

use std::sync::Arc;

use crate::catalogue::{Agent, Derived, Roles, Topic, TopicsUpdate};
use crate::command::{
    BatchProducer, Command, CommitBatch, CommitBlock, CommitObject, CreatePartitions, CreateTopic,
    Outcome, Placed, Rejected,
};
use crate::golden::cover;
use crate::history::{Chain, HistoryId, Point};
use crate::rpc::message::{Asker, Down, Hello, Question, Reply, Up, Versions, Welcome};
use crate::sequencer::lineage::Lineage;
use crate::types::{
    BatchFlags, BlockCodec, BlockRange, Bounds, BucketId, Content, Epochs, Extent, ExtentFlags,
    Located, Lost, LostRange, Lsn, NamingEpoch, ObjectKey, Offset, PartitionIndex, ProducerEpoch,
    ProducerId, Scope, Sequence, SessionId, Share, Stored, Timestamp, TopicId, TopicPartition,
};
use crate::update::{Agents, Update, ViewUpdate};

/// Those of the release whose bytes are kept.
pub(super) const VERSIONS: Versions = Versions { min: 3, max: 3 };

const PARTITION: TopicPartition = TopicPartition {
    topic: TopicId(u128::MAX - 7),
    partition: PartitionIndex(i32::MAX),
};
fn bounds() -> Bounds {
    let mut epochs = Epochs::default();
    epochs.begin(2, Offset(9));
    epochs.begin(i32::MAX, Offset(i64::MAX - 2));
    Bounds {
        log_start: Offset(3),
        last_stable: Offset(i64::MAX - 1),
        high_watermark: Offset(i64::MAX),
        epochs,
    }
}

fn range() -> BlockRange {
    BlockRange {
        position: 1,
        stored_length: 2,
        raw_length: u32::MAX,
        codec: BlockCodec::Zstd,
        checksum: u32::MAX - 1,
    }
}

fn extent() -> Extent {
    Extent {
        base_offset: Offset(300),
        offset_span: 80_000,
        record_count: 70_000,
        max_timestamp: Timestamp(-1),
        flags: ExtentFlags {
            control: true,
            ..ExtentFlags::default()
        },
        content: Content::Stored(Stored {
            object: ObjectKey(1 << 100),
            block: range(),
            raw_start: 5,
            raw_length: 6,
        }),
    }
}

fn point() -> Point {
    Point {
        history: HistoryId(u64::MAX),
        epoch: 5,
        nonce: u64::MAX - 1,
        lsn: Lsn(300),
    }
}

/// Of two owners, in a history that was accepted in place of another.
fn lineage() -> Lineage {
    let mut chain = Chain::new(HistoryId(1), 4, 5);
    chain.begin_history(HistoryId(2));
    chain.extend(400, u64::MAX, Lsn(299));
    Lineage {
        chain: Arc::new(chain),
        durable: Lsn(300),
    }
}

pub(super) fn agent() -> Agent {
    Agent {
        zone: Some("a".to_owned()),
        ..Agent::new(i32::MAX, "broker.test", u16::MAX)
    }
}

fn lost() -> LostRange {
    LostRange {
        partition: PartitionIndex(2),
        from: Offset(0),
        until: Offset(i64::MAX),
    }
}

fn commands() -> Vec<Command> {
    let batch = |producer, withheld| CommitBatch {
        raw_length: 61,
        record_count: 1,
        max_timestamp: Timestamp(1_790_000_000_000),
        producer,
        flags: BatchFlags::default(),
        withheld,
    };
    let flagged = |transactional, control| CommitBatch {
        flags: BatchFlags {
            transactional,
            control,
        },
        ..batch(None, false)
    };
    let producer = BatchProducer {
        id: ProducerId(i64::MAX),
        epoch: ProducerEpoch(i16::MAX),
        base_sequence: Sequence(i32::MAX),
        share: Share(300),
    };
    let block = |codec, batches| CommitBlock {
        topic: TopicId(1),
        partition: PartitionIndex(2),
        range: BlockRange { codec, ..range() },
        batches,
    };
    vec![
        Command::CommitObject(CommitObject {
            object: ObjectKey(u128::MAX),
            size: u64::MAX,
            blocks: vec![
                block(
                    BlockCodec::Raw,
                    [None, Some(producer)]
                        .into_iter()
                        .flat_map(|producer| [batch(producer, false), batch(producer, true)])
                        .collect(),
                ),
                block(
                    BlockCodec::Zstd,
                    vec![
                        flagged(true, false),
                        flagged(true, true),
                        flagged(false, true),
                    ],
                ),
                block(BlockCodec::Zstd, Vec::new()),
            ],
        }),
        Command::CreateTopic(CreateTopic {
            name: "orders".to_owned(),
            id: TopicId(9),
            partitions: 3,
            replication_factor: -1,
            configs: [("retention.ms".to_owned(), "1".to_owned())].into(),
        }),
        Command::DeleteTopic(TopicId(9)),
        Command::CreatePartitions(CreatePartitions {
            topic: TopicId(9),
            total: 7,
        }),
        Command::AllocateProducerIds { count: 1000 },
        Command::BindBucket(None),
        Command::RaiseFeatureLevel(None),
        Command::RaiseFeatureLevel(Some(u32::MAX)),
        Command::ReleaseHold,
        Command::MarkLost {
            topic: TopicId(9),
            range: lost(),
        },
        Command::BindBucket(Some(BucketId(u128::MAX))),
    ]
}

pub(super) fn ups() -> Vec<Up> {
    let questions = [
        Question::Bounds(vec![PARTITION; 3]),
        Question::Watch(vec![PARTITION]),
        Question::Locate {
            partition: PARTITION,
            offset: Offset(-5),
            raw_bytes_max: u64::MAX,
        },
        Question::Timestamp(PARTITION, Timestamp(i64::MIN)),
        Question::MaxTimestamp(PARTITION),
    ];
    let mut all = vec![
        Up::Hello(Hello {
            versions: VERSIONS,
            level: 1,
            session: SessionId {
                id: 300,
                nonce: u64::MAX,
            },
            remembered: Some(point()),
            agent: None,
        }),
        Up::Unwatch(vec![PARTITION; 2]),
        Up::Hello(Hello {
            versions: VERSIONS,
            level: u32::MAX,
            session: SessionId::NONE,
            remembered: None,
            agent: Some(agent()),
        }),
        Up::Who(Asker {
            level: u32::MAX,
            address: "metadata.test:9092".to_owned(),
        }),
        Up::Withdraw,
        Up::Ping,
        Up::Goodbye,
    ];
    all.extend(questions.map(|question| Up::Ask { id: 400, question }));
    all.extend(commands().into_iter().map(|command| Up::Submit {
        sequence: 500,
        seen: 499,
        command,
    }));
    all
}

pub(super) fn downs() -> Vec<Down> {
    let topic = Topic {
        id: TopicId(4),
        name: "orders".to_owned(),
        partitions: 3,
        replication_factor: 1,
        configs: [("a".to_owned(), "b".to_owned())].into(),
        created: Timestamp(5),
        lost: Lost::default().with(lost()).with(LostRange {
            partition: PartitionIndex(0),
            ..lost()
        }),
        derived: Derived::default(),
    };
    let update = TopicsUpdate {
        lsn: Lsn(7),
        scope: Scope::All,
        changed: vec![Arc::new(topic)],
        gone: vec![TopicId(8)],
        more: false,
    };
    let replies = [
        Reply::Bounds(vec![None, Some(bounds())]),
        Reply::Watched(vec![true, false]),
        Reply::Located(Located::Extents {
            bounds: bounds(),
            extents: vec![extent(); 3],
        }),
        Reply::Located(Located::OutOfRange(bounds())),
        Reply::Located(Located::UnknownPartition),
        Reply::Extent(None),
        Reply::Extent(Some(extent())),
        Reply::Failed("why".to_owned()),
    ];
    let placed = Placed {
        base_offset: Offset(9),
        log_start_offset: Offset(0),
        duplicate: true,
    };
    let outcomes = [
        Outcome::Committed(vec![Ok(placed), Err(Rejected::OutOfOrderSequence)]),
        Outcome::Rejected(Rejected::SessionClosed),
    ];
    let mut all = vec![
        Down::Redirect("host:1".to_owned()),
        Down::Welcome(Welcome {
            version: 300,
            cluster_id: "x".repeat(22),
            session: SessionId { id: 3, nonce: 400 },
            lineage: lineage(),
            level: 1,
            naming: NamingEpoch(9),
        }),
        Down::Iam { nonce: u64::MAX },
        Down::Update(Update::Topics(Arc::new(update.clone()))),
        Down::Update(Update::Topics(Arc::new(TopicsUpdate {
            scope: Scope::Change,
            more: true,
            ..update
        }))),
        Down::Update(Update::Views(vec![ViewUpdate {
            partition: PARTITION,
            scope: Scope::Change,
            bounds: bounds(),
            extents: vec![extent()],
        }])),
        Down::Update(Update::Agents(Arc::new(Agents::new(vec![
            Arc::new(agent()),
            Arc::new(Agent {
                zone: None,
                listeners: [agent().listeners, Agent::new(0, "::1", 1).listeners].concat(),
                roles: Roles {
                    produce: false,
                    ..Roles::ALL
                },
                ..agent()
            }),
        ])))),
        Down::Alive {
            durable: Lsn(u64::MAX),
        },
        Down::Update(Update::Naming(NamingEpoch(u32::MAX))),
        Down::TooNew { level: u32::MAX },
        Down::Warning("look".to_owned()),
        Down::End("over".to_owned()),
    ];
    all.extend(replies.map(|reply| Down::Reply { id: 6, reply }));
    all.extend(outcomes.map(|outcome| Down::Answer {
        sequence: 1,
        lsn: Lsn(2),
        outcome,
    }));
    all
}

/// So that a message that is new has a sample here, and bytes that are kept.
#[test]
fn every_message_has_a_sample() {
    // The bytes of a stranger's hello are those of a hello.
    let stranger = Up::Stranger(Versions { min: 1, max: 2 });
    let (ups, downs) = ([ups(), vec![stranger]].concat(), downs());
    cover!(
        ups,
        Up,
        Up::Hello(_),
        Up::Who(_),
        Up::Submit { .. },
        Up::Ask { .. },
        Up::Unwatch(_),
        Up::Withdraw,
        Up::Ping,
        Up::Goodbye,
        Up::Stranger(_),
    );
    let questions = ups.iter().filter_map(|up| match up {
        Up::Ask { question, .. } => Some(question.clone()),
        _ => None,
    });
    let questions: Vec<_> = questions.collect();
    cover_questions(&questions);
    cover_downs(&downs);
    let updates = downs.iter().filter_map(|down| match down {
        Down::Update(update) => Some(update.clone()),
        _ => None,
    });
    cover_updates(&updates.collect::<Vec<_>>());
    let replies = downs.iter().filter_map(|down| match down {
        Down::Reply { reply, .. } => Some(reply.clone()),
        _ => None,
    });
    cover_replies(&replies.collect::<Vec<_>>());
}

fn cover_questions(questions: &[Question]) {
    cover!(
        questions,
        Question,
        Question::Bounds(_),
        Question::Watch(_),
        Question::Locate { .. },
        Question::Timestamp(..),
        Question::MaxTimestamp(_),
    );
}

fn cover_downs(downs: &[Down]) {
    cover!(
        downs,
        Down,
        Down::Redirect(_),
        Down::Welcome(_),
        Down::Iam { .. },
        Down::TooNew { .. },
        Down::Answer { .. },
        Down::Update(_),
        Down::Reply { .. },
        Down::Alive { .. },
        Down::Warning(_),
        Down::End(_),
    );
}

fn cover_updates(updates: &[Update]) {
    cover!(
        updates,
        Update,
        Update::Topics(_),
        Update::Views(_),
        Update::Agents(_),
        Update::Naming(_),
    );
}

fn cover_replies(replies: &[Reply]) {
    cover!(
        replies,
        Reply,
        Reply::Bounds(_),
        Reply::Watched(_),
        Reply::Located(Located::Extents { .. }),
        Reply::Located(Located::OutOfRange(_)),
        Reply::Located(Located::UnknownPartition),
        Reply::Extent(None),
        Reply::Extent(Some(_)),
        Reply::Failed(_),
    );
}
