//! DescribeCluster: the cluster's id and its brokers (KIP-700).

use protocol::ErrorCode;
use protocol::messages::describe_cluster::DescribeClusterBroker;
use protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};

use super::operations;
use crate::brokers::Brokers;
use crate::call::Call;

/// Brokers; 2 would be controllers (KIP-919), of which there are none to talk to.
const BROKERS: i8 = 1;

/// What a broker takes besides its names where it is encoded.
const ENCODED_BYTES: usize = 64;

pub(crate) async fn handle(
    call: &Call,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let context = call.context.as_ref();
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
    let brokers = Brokers::of(call);
    let bytes = brokers.all().map(|(agent, at)| {
        let names = at.host.len() + agent.zone.as_ref().map_or(0, String::len);
        size_of::<DescribeClusterBroker>() + ENCODED_BYTES + 2 * names
    });
    call.charge(bytes.sum()).await;
    let listed = brokers.all().map(|(agent, at)| DescribeClusterBroker {
        broker_id: agent.node_id,
        host: at.host.clone(),
        port: at.port.into(),
        rack: agent.zone.clone(),
        is_fenced: false,
    });
    let asked = request.include_cluster_authorized_operations;
    DescribeClusterResponse {
        endpoint_type: BROKERS,
        cluster_id: context.metadata.cluster_id().to_owned(),
        controller_id: brokers.controller(),
        brokers: listed.collect(),
        cluster_authorized_operations: operations::cluster(call, asked),
        ..DescribeClusterResponse::default()
    }
}
