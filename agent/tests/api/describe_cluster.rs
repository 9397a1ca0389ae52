//! DescribeCluster: the same cluster that Metadata tells of.

use protocol::messages::{DescribeClusterRequest, MetadataRequest};
use protocol::{ApiKey, ErrorCode};

use crate::shapes::start;

#[tokio::test]
async fn the_cluster_is_the_one_of_metadata() {
    let (_broker, mut client) = start(&["--zone", "z"]).await;
    let metadata = client.ask(12, &MetadataRequest::default()).await;
    for version in ApiKey::DescribeCluster.versions() {
        let cluster = client
            .ask(version, &DescribeClusterRequest::default())
            .await;
        assert_eq!(
            (cluster.error_code, &cluster.error_message),
            (ErrorCode::NONE, &None)
        );
        assert_eq!(Some(cluster.cluster_id), metadata.cluster_id);
        assert_eq!(cluster.controller_id, metadata.controller_id);
        let here: Vec<_> = cluster
            .brokers
            .iter()
            .map(|b| (b.broker_id, &b.host, b.port, &b.rack))
            .collect();
        let there: Vec<_> = metadata
            .brokers
            .iter()
            .map(|b| (b.node_id, &b.host, b.port, &b.rack))
            .collect();
        assert_eq!(here, there);
        assert!(
            here.iter().any(|broker| broker.0 == cluster.controller_id),
            "the controller is a broker"
        );
        assert!(cluster.brokers.iter().all(|broker| !broker.is_fenced));
        assert_eq!(cluster.cluster_authorized_operations, i32::MIN);
        let asking = DescribeClusterRequest {
            include_cluster_authorized_operations: true,
            ..Default::default()
        };
        assert!(
            client
                .ask(version, &asking)
                .await
                .cluster_authorized_operations
                > 0
        );
    }
}

#[tokio::test]
async fn there_are_no_controllers_to_talk_to() {
    let (_broker, mut client) = start(&[]).await;
    for version in 1..=*ApiKey::DescribeCluster.versions().end() {
        for endpoint_type in [2, 0, -1, 3] {
            let request = DescribeClusterRequest {
                endpoint_type,
                ..Default::default()
            };
            let refused = client.ask(version, &request).await;
            assert_eq!(refused.error_code, ErrorCode::UNSUPPORTED_ENDPOINT_TYPE);
            assert!(refused.error_message.is_some() && refused.brokers.is_empty());
        }
    }
}
