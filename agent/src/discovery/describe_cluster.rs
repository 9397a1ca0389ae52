//! DescribeCluster: the cluster's id and its brokers (KIP-700).

use protocol::ErrorCode;
use protocol::messages::describe_cluster::DescribeClusterBroker;
use protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};

use super::operations;
use crate::context::Context;

/// Brokers; 2 would be controllers (KIP-919), of which there are none to talk to.
const BROKERS: i8 = 1;

pub(crate) async fn handle(
    context: &Context,
    request: DescribeClusterRequest,
    _: i16,
) -> DescribeClusterResponse {
    if request.endpoint_type != BROKERS {
        let message = format!(
            "endpoints of type {} are not here, only brokers ({BROKERS})",
            request.endpoint_type
        );
        return DescribeClusterResponse {
            error_code: ErrorCode::UNSUPPORTED_ENDPOINT_TYPE,
            error_message: Some(message),
            endpoint_type: request.endpoint_type,
            ..DescribeClusterResponse::default()
        };
    }
    let node = &context.node;
    let asked = request.include_cluster_authorized_operations;
    DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: context.metadata.cluster_id().to_owned(),
        controller_id: node.id,
        brokers: vec![DescribeClusterBroker {
            broker_id: node.id,
            host: node.host.clone(),
            port: node.port.into(),
            rack: node.zone.clone(),
            is_fenced: false,
        }],
        cluster_authorized_operations: operations::cluster(asked),
        ..DescribeClusterResponse::default()
    }
}
