//! What is told, and what is kept silent, where some rights are missing.

use protocol::acl::{Operation, ResourceType};
use protocol::messages::metadata::MetadataRequestTopic;
use protocol::messages::{ApiVersionsRequest, DescribeClusterRequest, MetadataRequest};
use protocol::{Encode, ErrorCode, Uuid};

use super::requests::{
    coordinator, create, delete, epochs, fetch, list_offsets, metadata_of, produce,
};
use super::rooms::{OTHER, Right, TOPIC, ask, ask_in, with_rooms, without, without_one};

#[tokio::test]
async fn transactions_are_refused_for_another_reason_to_those_who_may_not_know_of_them() {
    let right = (Operation::Describe, ResourceType::TransactionalId);
    with_rooms(async |rooms| {
        for (access, reason) in [
            (without(&[]), "not offered yet"),
            (without(&[right]), "not allowed"),
        ] {
            let answer = ask(rooms, access, &coordinator(1)).await;
            let message = answer.coordinators[0].error_message.as_deref();
            assert!(
                message.is_some_and(|said| said.contains(reason)),
                "{answer:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn what_a_client_may_not_see_leaves_the_rest_as_it_is() {
    use Operation::{Describe, Read, Write};
    let topic = ResourceType::Topic;
    let both = [TOPIC, OTHER];
    let code = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
    with_rooms(async |rooms| {
        let access = |operation| without_one((operation, topic), TOPIC);
        let produced = ask(rooms, access(Write), &produce(&both, None)).await;
        let refused = produced.responses.iter().map(Encode::first_error);
        let [first, second] = refused.collect::<Vec<_>>()[..] else {
            panic!("{produced:?}");
        };
        assert!(first == code && second != code, "{first} {second}");

        let fetched = ask(rooms, access(Read), &fetch(&both)).await;
        let codes = fetched.responses.iter().map(Encode::first_error);
        assert!(codes.eq([code, ErrorCode::NONE]));

        // Those that are told come first.
        let ends = ask(rooms, access(Describe), &list_offsets(&both)).await;
        let codes = ends
            .topics
            .iter()
            .map(|t| (t.name.as_str(), t.first_error()));
        assert!(codes.eq([(OTHER, ErrorCode::NONE), (TOPIC, code)]));
        let ends = ask(rooms, access(Describe), &epochs(&both)).await;
        let codes = (ends.topics.iter()).map(|t| (t.topic.as_str(), t.first_error()));
        assert!(codes.eq([(OTHER, ErrorCode::NONE), (TOPIC, code)]));

        let named = ask(rooms, access(Describe), &metadata_of(Some(&both))).await;
        let codes = named.topics.iter().map(|t| (t.topic_id.0, t.error_code));
        assert!(codes.eq([(0, code), (2, ErrorCode::NONE)]));
        // Asked for all, Kafka does not say that there are others.
        let all = ask(rooms, access(Describe), &metadata_of(None)).await;
        let names = all.topics.iter().map(|t| t.name.as_deref());
        assert!(names.eq([Some(OTHER)]) && all.first_error() == ErrorCode::NONE);
    })
    .await;
}

#[tokio::test]
async fn a_topic_given_by_its_id_keeps_its_name_from_those_who_may_not_know_it() {
    use Operation::{Delete, Describe};
    use ResourceType::{Cluster, Topic};
    let code = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
    with_rooms(async |rooms| {
        let mut request = metadata_of(Some(&[]));
        let topic_id = Uuid(1);
        let wanted = MetadataRequestTopic {
            topic_id,
            name: None,
        };
        request.topics = Some(vec![wanted]);
        let answer = ask(rooms, without(&[(Describe, Topic)]), &request).await;
        let topic = &answer.topics[0];
        assert_eq!((topic.error_code, topic.topic_id), (code, topic_id));
        assert_eq!(topic.name, None);

        let delete_it = [(Delete, Topic), (Delete, Cluster)];
        let know_it = [(Describe, Topic), delete_it[0], delete_it[1]];
        for (rights, name) in [(&delete_it[..], Some(TOPIC)), (&know_it, None)] {
            let answer = ask(rooms, without(rights), &delete(None, 1)).await;
            let topic = &answer.responses[0];
            assert_eq!((topic.error_code, topic.topic_id), (code, topic_id));
            assert_eq!(topic.name.as_deref(), name);
        }
        assert_eq!(rooms.context.metadata.catalogue().topics().count(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_topic_is_made_without_its_settings_shown() {
    let right = (Operation::DescribeConfigs, ResourceType::Topic);
    with_rooms(async |rooms| {
        let answer = ask(rooms, without(&[right]), &create("made")).await;
        let topic = &answer.topics[0];
        assert_eq!(topic.error_code, ErrorCode::NONE);
        let code = ErrorCode::TOPIC_AUTHORIZATION_FAILED;
        assert_eq!(topic.topic_config_error_code, code);
        assert_eq!((topic.num_partitions, topic.replication_factor), (-1, -1));
        assert_eq!(topic.configs.as_deref(), Some(&[][..]));
    })
    .await;
}

#[tokio::test]
async fn who_asks_is_told_what_is_allowed() {
    let (cluster, topic) = (ResourceType::Cluster, ResourceType::Topic);
    with_rooms(async |rooms| {
        let request = MetadataRequest {
            include_cluster_authorized_operations: true,
            include_topic_authorized_operations: true,
            ..metadata_of(Some(&[TOPIC]))
        };
        // The last version that tells the cluster's.
        let bits = async |rights: &[Right]| {
            let answer = ask_in(rooms, without(rights), 10, &request).await;
            let of_cluster = answer.cluster_authorized_operations;
            (answer.topics[0].topic_authorized_operations, of_cluster)
        };
        assert_eq!(bits(&[]).await, (0x0df8, 0x1fa0));
        let (write, alter) = (Operation::Write, Operation::Alter);
        let fewer = bits(&[(write, topic), (alter, cluster)]).await;
        assert_eq!(fewer, (0x0df8 & !(1 << 4), 0x1fa0 & !(1 << 7)));
        let describe = (Operation::Describe, cluster);
        assert_eq!(bits(&[describe]).await, (0x0df8, 0));
        let request = DescribeClusterRequest {
            include_cluster_authorized_operations: true,
            ..DescribeClusterRequest::default()
        };
        for (rights, bits) in [(&[][..], 0x1fa0), (&[describe], 0)] {
            let answer = ask(rooms, without(rights), &request).await;
            assert_eq!(answer.error_code, ErrorCode::NONE);
            assert_eq!(answer.cluster_authorized_operations, bits);
        }
        // This one is answered before anybody could have logged in.
        let request = ApiVersionsRequest {
            client_software_name: "a".to_owned(),
            client_software_version: "1".to_owned(),
        };
        let answer = ask(rooms, without(&[describe]), &request).await;
        assert_eq!(answer.error_code, ErrorCode::NONE);
    })
    .await;
}
