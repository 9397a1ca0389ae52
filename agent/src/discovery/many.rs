//! Answers that tell of many topics: what they hold, and that they are the same however they are made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metadata::{Command, CreateTopic, Outcome, TopicId};
use protocol::messages::metadata::{MetadataRequestTopic, MetadataResponseTopic};
use protocol::messages::{MetadataRequest, MetadataResponse};
use protocol::{ApiKey, Elements, ErrorCode, Uuid, encode_response};
use tokio::time::timeout;

use super::ClusterMetadata;
use super::fixture::{call, call_from, with_context};
use super::topics::{Described, Size, Terms, listed, names};
use crate::brokers::Brokers;
use crate::call::Reply;
use crate::context::{AutoCreate, Context};

pub(super) async fn create(context: &Arc<Context>, id: u128, name: &str, partitions: i32) {
    let create = CreateTopic {
        name: name.to_owned(),
        id: TopicId(id),
        partitions,
        replication_factor: 1,
        configs: BTreeMap::new(),
    };
    let made = context.metadata.submit(Command::CreateTopic(create)).await;
    assert_eq!(
        made.unwrap().outcome,
        Outcome::TopicCreated(TopicId(id)),
        "{name}"
    );
}

fn all(include_topic_authorized_operations: bool) -> MetadataRequest {
    MetadataRequest {
        topics: None,
        include_topic_authorized_operations,
        ..MetadataRequest::default()
    }
}

/// An agent's room, which asks itself.
struct Room<'a> {
    context: &'a Arc<Context>,
    metadata: ClusterMetadata,
}

impl Room<'_> {
    async fn ask(&self, version: i16, request: MetadataRequest) -> Reply {
        let call = call(self.context, ApiKey::Metadata, version).await;
        let answer = self.metadata.handle(&call, request).await;
        call.reply::<MetadataRequest>(answer)
    }

    async fn create(&self, id: u128, name: &str, partitions: i32) {
        create(self.context, id, name, partitions).await;
    }

    /// The answer as a message of structs, encoded as a whole.
    async fn plain(&self, version: i16, operations: i32) -> Vec<u8> {
        let call = call(self.context, ApiKey::Metadata, version).await;
        let brokers = Brokers::of(&call);
        let terms = Terms {
            version,
            leader_epoch: 0,
            placement: brokers.placement().clone(),
        };
        let catalogue = self.context.metadata.catalogue();
        let topics = catalogue.topics();
        let topics =
            topics.map(|topic| terms.topic(Described::Found(Arc::clone(topic), operations)));
        let response = MetadataResponse {
            brokers: listed(&brokers),
            cluster_id: Some(self.context.metadata.cluster_id().to_owned()),
            controller_id: 7,
            topics: topics.collect::<Vec<_>>(),
            ..MetadataResponse::default()
        };
        encode_response::<MetadataRequest>(0, version, &response).concat()
    }

    /// Bytes of all answers that are made, or not written yet.
    fn held(&self) -> usize {
        self.context.admission.answer_bytes()
    }
}

async fn with_room(test: impl AsyncFnOnce(&Room<'_>)) {
    with_context(AutoCreate::Disabled, async |context| {
        let room = Room {
            context,
            metadata: ClusterMetadata::default(),
        };
        test(&room).await;
        let admission = context.admission.clone();
        drop(room);
        assert_eq!(admission.answer_bytes(), 0, "all is given back");
    })
    .await;
}

#[tokio::test]
async fn whoever_is_told_of_topics_is_told_the_same_bytes_in_every_version() {
    with_room(async |room| {
        for (id, partitions) in [(1, 1), (2, 5000), (3, 20)] {
            room.create(id, &format!("t{id}"), partitions).await;
        }
        for version in ApiKey::Metadata.versions() {
            let named = (1..=3).map(|id| MetadataRequestTopic {
                name: Some(format!("t{id}")),
                topic_id: Uuid::default(),
            });
            let named: Vec<_> = named.collect();
            let told = room.plain(version, i32::MIN).await;
            let none_or_empty = MetadataRequest {
                topics: (version == 0).then(Vec::new),
                ..all(false)
            };
            // Made first, and kept then.
            for _ in 0..2 {
                let shared = room.ask(version, none_or_empty.clone()).await;
                assert!(shared.slices.concat() == told, "{version}");
            }
            let named = MetadataRequest {
                topics: Some(named),
                ..all(false)
            };
            let alone = room.ask(version, named.clone()).await;
            assert!(alone.slices.concat() == told, "{version}");
            if version >= 8 {
                let with_operations = room.plain(version, 0x0df8).await;
                let shared = room.ask(version, all(true)).await;
                assert!(shared.slices.concat() == with_operations, "{version}");
                let named = MetadataRequest {
                    include_topic_authorized_operations: true,
                    ..named
                };
                let alone = room.ask(version, named).await;
                assert!(alone.slices.concat() == with_operations, "{version}");
            }
        }
    })
    .await;
}

/// 64 answers of 1.3 MB that nobody reads were 64 times that.
#[tokio::test]
async fn many_who_ask_for_all_topics_hold_one_answer_and_the_last_gives_it_back() {
    with_room(async |room| {
        room.create(1, "a", 50_000).await;
        let mut unread = Vec::new();
        for _ in 0..64 {
            unread.push(room.ask(12, all(false)).await);
        }
        let bytes = unread[0].slices.concat().len();
        let held = room.held();
        assert!(bytes > 1_000_000 && held <= bytes, "{held} for {bytes}");
        assert!(held * 100 > bytes * 99, "{held} for {bytes}");
        let permits = unread.iter().map(|reply| reply.permit.as_ref().unwrap());
        assert!(
            permits
                .map(|permit| permit.bytes())
                .all(|each| each == held)
        );
        // Other topics: the one before is there only as long as it is written.
        room.create(2, "b", 1).await;
        let newer = room.ask(12, all(false)).await;
        assert!(room.held() > 2 * held);
        drop(unread);
        let one = room.held();
        assert!(one > held && one < held + 100, "{one} instead of {held}");
        drop(newer);
    })
    .await;
}

#[tokio::test]
async fn a_topic_is_told_as_soon_as_it_was_made_and_no_longer_than_it_is_there() {
    with_room(async |room| {
        for id in 1..20 {
            room.create(id, &format!("t{id}"), 1).await;
            let told = room.ask(12, all(false)).await.slices.concat();
            assert!(told == room.plain(12, i32::MIN).await, "{id}");
        }
        let deleted = Command::DeleteTopic(TopicId(7));
        room.context.metadata.submit(deleted).await.unwrap();
        let told = room.ask(12, all(false)).await.slices.concat();
        assert!(told == room.plain(12, i32::MIN).await);
    })
    .await;
}

#[tokio::test]
async fn those_who_wait_for_the_same_answer_wait_for_one_and_nobody_makes_it_for_those_who_left() {
    with_room(async |room| {
        room.create(1, "a", 10).await;
        let everything = room.context.admission.shared_answer(usize::MAX).await;
        let before = room.held();
        let mut left: Vec<_> = (0..10)
            .map(|_| Box::pin(room.ask(12, all(false))))
            .collect();
        for waits in &mut left {
            assert!(futures::poll!(waits).is_pending());
        }
        drop(left);
        let mut waits: Vec<_> = (0..10)
            .map(|_| Box::pin(room.ask(12, all(false))))
            .collect();
        for waits in &mut waits {
            assert!(futures::poll!(waits).is_pending());
        }
        // What they wait for is of when it is made.
        room.create(2, "b", 10).await;
        assert_eq!(room.held(), before, "they hold nothing");
        drop(everything);
        let told = futures::future::join_all(waits).await;
        let expected = room.plain(12, i32::MIN).await;
        assert!(told.iter().all(|told| told.slices.concat() == expected));
        let same = |reply: &Reply| reply.slices.iter().map(|s| s.as_ptr()).nth(1);
        assert!(told.iter().all(|reply| same(reply) == same(&told[0])));
    })
    .await;
}

/// Nobody waits for room that only kept answers take.
#[tokio::test]
async fn kept_answers_make_room_for_others() {
    with_room(async |room| {
        // What making them takes besides their bytes is little so.
        for id in 1..=50 {
            room.create(id, &format!("t{id}"), 200).await;
        }
        for version in 0..=6 {
            room.ask(version.max(1), all(false)).await;
        }
        let kept = room.held();
        assert!(kept > 6 * 260_000, "{kept}");
        assert_eq!(
            room.context.admission.shared_answers_short_of(usize::MAX),
            kept
        );
        // All that is left but for less than an answer.
        let rest = (96 << 20) - kept - 100_000;
        let others = room.context.admission.shared_answer(rest).await;
        for version in 7..=13 {
            let asked = room.ask(version, all(false));
            let asked = timeout(Duration::from_secs(60), asked).await;
            asked.expect("kept answers are in the way");
        }
        assert!(room.held() > rest + 260_000);
        drop(others);
    })
    .await;
}

#[tokio::test]
async fn what_an_answer_takes_is_never_more_than_was_said_before() {
    with_room(async |room| {
        room.create(1, &"n".repeat(249), 300).await;
        room.create(2, "a", 1).await;
        let catalogue = room.context.metadata.catalogue();
        for version in ApiKey::Metadata.versions() {
            let call = call(room.context, ApiKey::Metadata, version).await;
            let brokers = Brokers::of(&call);
            let terms = Terms {
                version,
                leader_epoch: 0,
                placement: brokers.placement().clone(),
            };
            let refused = |length| {
                let wanted = MetadataRequestTopic {
                    name: Some("x".repeat(length)),
                    topic_id: Uuid::default(),
                };
                Described::Refused(wanted, ErrorCode::INVALID_TOPIC_EXCEPTION)
            };
            let found = catalogue.topics().map(Arc::clone);
            let described = found.map(|topic| Described::Found(topic, 1));
            for described in described.chain([0, 100, 20_000].map(refused)) {
                let mut size = Size::new(&terms);
                size.add_described(std::slice::from_ref(&described));
                let topic: MetadataResponseTopic = terms.topic(described);
                let encoded = Elements::size_of::<MetadataRequest>(version, &topic);
                let foreseen = size.encoded;
                assert!(encoded <= foreseen, "{version}: {encoded} of {foreseen}");
            }
            let mut size = Size::new(&terms);
            size.add_brokers(names(&brokers));
            let listed = listed(&brokers);
            let strings = listed.iter().map(|broker| {
                let rack = broker.rack.as_ref().map_or(0, String::len);
                size_of_val(broker) + broker.host.len() + rack
            });
            let held = strings.sum::<usize>() + terms.brokers(&listed).bytes();
            assert!(held <= size.bytes(), "{version}: {held}");
        }
    })
    .await;
}

#[tokio::test]
async fn topics_that_are_named_are_charged_for_each_answer_until_it_is_dropped() {
    with_room(async |room| {
        room.create(1, "a", 50_000).await;
        let named = MetadataRequestTopic {
            name: Some("a".to_owned()),
            topic_id: Uuid::default(),
        };
        let request = MetadataRequest {
            topics: Some(vec![named; 1000]),
            ..MetadataRequest::default()
        };
        let unread = [
            room.ask(12, request.clone()).await,
            room.ask(12, request).await,
        ];
        let bytes = unread[0].slices.concat().len();
        let held = room.held();
        assert!(
            (2 * bytes..2 * bytes + 10_000).contains(&held),
            "{held} for two of {bytes}"
        );
        drop(unread);
    })
    .await;
}

/// One that asked for a topic of 100,000 partitions again and again had everybody else wait in a line behind it.
#[tokio::test]
async fn answers_for_one_address_leave_room_for_those_for_others() {
    with_room(async |room| {
        let ask = |last| call_from(last, room.context, ApiKey::Metadata, 12);
        for bytes in [50_000, 20 << 20] {
            let mut crowd = Vec::new();
            loop {
                let call = ask(1).await;
                let charged = tokio::task::unconstrained(call.charge(bytes));
                if futures::poll!(Box::pin(charged)).is_pending() {
                    break;
                }
                crowd.push(call);
            }
            let more = [ask(1).await, ask(1).await];
            let mut line: Vec<_> = more
                .iter()
                .map(|call| Box::pin(call.charge(bytes)))
                .collect();
            for waits in &mut line {
                assert!(futures::poll!(waits).is_pending());
            }
            let other = ask(2).await;
            assert!(futures::poll!(Box::pin(other.charge(bytes))).is_ready());
            drop(other);
            drop(crowd);
            futures::future::join_all(line).await;
        }
    })
    .await;
}
