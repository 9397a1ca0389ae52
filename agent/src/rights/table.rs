//! The table: API, request, rights, and Kafka's code without them.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::acl::{Operation, ResourceType};
use protocol::messages::CreatePartitionsRequest;
use protocol::messages::create_partitions::CreatePartitionsTopic;
use protocol::{ApiKey, Encode, ErrorCode, Request};

use super::requests::{
    configs, coordinator, create, delete, epochs, fetch, list_offsets, metadata_of, produce,
    producer_id,
};
use super::rooms::{OTHER, Right, TOPIC, ask, with_rooms, without};
use crate::dispatch::Dispatch;

/// The table's rows as they are tried, and which rights they were about.
struct Rows<'a> {
    rooms: &'a Arc<Dispatch>,
    tried: BTreeSet<(ApiKey, Operation, ResourceType)>,
}

impl Rows<'_> {
    /// Without those rights, which only help together, a request is refused with that code. With them it is not.
    async fn row<R: Request>(&mut self, request: R, rights: &[Right], code: ErrorCode) {
        let refused = ask(self.rooms, without(rights), &request).await;
        assert_eq!(refused.first_error(), code, "{} {rights:?}", R::KEY.name());
        for (left, (operation, kind)) in rights.iter().enumerate() {
            self.tried.insert((R::KEY, *operation, *kind));
            let mut others = rights.to_vec();
            others.remove(left);
            let answer = ask(self.rooms, without(&others), &request).await;
            let case = format!("{} with {operation} on {kind}", R::KEY.name());
            assert_ne!(answer.first_error(), code, "{case}");
        }
    }
}

#[tokio::test]
async fn every_right_that_an_api_names_is_asked_for() {
    use ErrorCode as E;
    use Operation::{
        Alter, Create, Delete, Describe, DescribeConfigs, IdempotentWrite, Read, Write,
    };
    use ResourceType::{Cluster, Group, Topic, TransactionalId};
    with_rooms(async |rooms| {
        let mut rows = Rows {
            rooms,
            tried: BTreeSet::new(),
        };
        let topic = E::TOPIC_AUTHORIZATION_FAILED;
        let cluster = E::CLUSTER_AUTHORIZATION_FAILED;
        let transaction = E::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        rows.row(produce(&[TOPIC], None), &[(Write, Topic)], topic)
            .await;
        // Whether the topic is there is not said.
        rows.row(produce(&["none"], None), &[(Write, Topic)], topic)
            .await;
        rows.row(
            produce(&[TOPIC], Some("x")),
            &[(Write, TransactionalId)],
            transaction,
        )
        .await;
        rows.row(fetch(&[TOPIC]), &[(Read, Topic)], topic).await;
        rows.row(fetch(&["none"]), &[(Read, Topic)], topic).await;
        rows.row(list_offsets(&[TOPIC]), &[(Describe, Topic)], topic)
            .await;
        rows.row(list_offsets(&["none"]), &[(Describe, Topic)], topic)
            .await;
        rows.row(metadata_of(Some(&[TOPIC])), &[(Describe, Topic)], topic)
            .await;
        let either = [(Create, Topic), (Create, Cluster)];
        rows.row(metadata_of(Some(&["fresh"])), &either, topic)
            .await;
        rows.row(
            coordinator(0),
            &[(Describe, Group)],
            E::GROUP_AUTHORIZATION_FAILED,
        )
        .await;
        rows.row(create("made"), &either, topic).await;
        rows.row(create("made"), &[(DescribeConfigs, Topic)], topic)
            .await;
        let either = [(Write, Topic), (IdempotentWrite, Cluster)];
        rows.row(producer_id(None), &either, cluster).await;
        // With the right it is refused, too, as no id at all.
        rows.row(
            producer_id(Some("")),
            &[(Write, TransactionalId)],
            transaction,
        )
        .await;
        rows.row(epochs(&[TOPIC]), &[(Describe, Topic)], topic)
            .await;
        rows.row(configs(2, TOPIC), &[(DescribeConfigs, Topic)], topic)
            .await;
        rows.row(configs(4, "7"), &[(DescribeConfigs, Cluster)], cluster)
            .await;
        rows.row(
            CreatePartitionsRequest {
                topics: vec![CreatePartitionsTopic {
                    name: OTHER.to_owned(),
                    count: 2,
                    assignments: None,
                }],
                ..CreatePartitionsRequest::default()
            },
            &[(Alter, Topic)],
            topic,
        )
        .await;
        let known = [(Describe, Topic), (Delete, Cluster)];
        rows.row(delete(Some("none"), 0), &known, topic).await;
        // Last, for then it is gone.
        let either = [(Delete, Topic), (Delete, Cluster)];
        rows.row(delete(Some(TOPIC), 0), &either, topic).await;
        // The tests of `told` are about these: without them less is told, or another reason.
        rows.tried.extend([
            (ApiKey::Metadata, Describe, Cluster),
            (ApiKey::DescribeCluster, Describe, Cluster),
            (ApiKey::FindCoordinator, Describe, TransactionalId),
        ]);
        let named = ApiKey::ALL.iter().flat_map(|api| {
            let rights = api.rights().iter();
            rights.map(|(operation, kind)| (*api, *operation, *kind))
        });
        assert_eq!(rows.tried, named.collect());
    })
    .await;
}
