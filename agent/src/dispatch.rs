//! From a frame to the room that answers it: api key and version, decode, the room's handler, encode.
//! Called by `connection/`; the only place that knows every room.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use protocol::messages::{
    ApiVersionsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeClusterRequest, DescribeConfigsRequest, FetchRequest, FindCoordinatorRequest,
    InitProducerIdRequest, ListOffsetsRequest, MetadataRequest, OffsetForLeaderEpochRequest,
    ProduceRequest,
};
use protocol::{ApiKey, Decode, ErrorCode, Reader, Request, RequestHeader};

use crate::admission::Permit;
use crate::connection::{Close, ConnectionId, PendingReply, Reply};
use crate::context::{Arrival, Client, Context};
use crate::fetch::Fetch;
use crate::metrics::count_request;
use crate::produce::Produce;
use crate::transactions::ProducerIds;
use crate::{admin, discovery, offsets, transactions};

/// All rooms of an agent.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) context: Arc<Context>,
    pub(crate) produce: Produce,
    pub(crate) fetch: Fetch,
    pub(crate) producer_ids: ProducerIds,
}

impl Dispatch {
    /// Takes a request's place in its connection's order and returns what is left to do.
    ///
    /// # Errors
    /// When the frame cannot be understood, or speaks a version we do not: as in Kafka, that ends the connection.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        connection: ConnectionId,
        arrival: &Arc<Arrival>,
        frame: Bytes,
        permit: Permit,
    ) -> Result<PendingReply, Close> {
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader)?;
        let Some(api) = ApiKey::from_code(header.api_key) else {
            return Err(Close::Refused(format!(
                "api key {} is not spoken here",
                header.api_key
            )));
        };
        if !api.versions().contains(&header.api_version) {
            return unsupported_version(api, &header);
        }
        if api == ApiKey::Produce {
            let request = ProduceRequest::decode(&mut reader, header.api_version)?;
            return (self.produce)
                .begin(connection, arrival, &header, request, permit)
                .await;
        }
        self.route(api, arrival, header, &mut reader, permit)
    }

    /// Everything whose work may happen after its place in the order is taken.
    fn route(
        self: &Arc<Self>,
        api: ApiKey,
        arrival: &Arc<Arrival>,
        header: RequestHeader,
        reader: &mut Reader,
        permit: Permit,
    ) -> Result<PendingReply, Close> {
        let version = header.api_version;
        let (all, arrival) = (Arc::clone(self), Arc::clone(arrival));
        match api {
            ApiKey::Produce => unreachable!("Produce went its own way"),
            ApiKey::Fetch => {
                let request = FetchRequest::decode(reader, version)?;
                Ok(Box::pin(async move {
                    drop(permit);
                    Ok(all.fetch.handle(&header, &arrival, request).await)
                }))
            }
            ApiKey::ApiVersions => later(
                header,
                reader,
                permit,
                move |request: ApiVersionsRequest| async move {
                    discovery::api_versions::handle(&all.context, request, version).await
                },
            ),
            ApiKey::Metadata => {
                let client_id = header.client_id.clone();
                later(
                    header,
                    reader,
                    permit,
                    move |request: MetadataRequest| async move {
                        let client = Client {
                            arrival: &arrival,
                            id: client_id.as_deref(),
                        };
                        let context = &all.context;
                        discovery::cluster_metadata::handle(context, request, version, client).await
                    },
                )
            }
            ApiKey::FindCoordinator => later(
                header,
                reader,
                permit,
                move |request: FindCoordinatorRequest| async move {
                    discovery::find_coordinator::handle(&all.context, request, version).await
                },
            ),
            ApiKey::DescribeCluster => later(
                header,
                reader,
                permit,
                move |request: DescribeClusterRequest| async move {
                    let client = Client {
                        arrival: &arrival,
                        id: None,
                    };
                    discovery::describe_cluster::handle(&all.context, request, client).await
                },
            ),
            ApiKey::CreateTopics => later(
                header,
                reader,
                permit,
                move |request: CreateTopicsRequest| async move {
                    admin::create_topics::handle(&all.context, request, version).await
                },
            ),
            ApiKey::DeleteTopics => later(
                header,
                reader,
                permit,
                move |request: DeleteTopicsRequest| async move {
                    admin::delete_topics::handle(&all.context, request, version).await
                },
            ),
            ApiKey::CreatePartitions => later(
                header,
                reader,
                permit,
                move |request: CreatePartitionsRequest| async move {
                    admin::create_partitions::handle(&all.context, request, version).await
                },
            ),
            ApiKey::DescribeConfigs => later(
                header,
                reader,
                permit,
                move |request: DescribeConfigsRequest| async move {
                    admin::describe_configs::handle(&all.context, request, version).await
                },
            ),
            ApiKey::ListOffsets => later(
                header,
                reader,
                permit,
                move |request: ListOffsetsRequest| async move {
                    offsets::list_offsets::handle(&all.context, all.fetch.cache(), request, version)
                        .await
                },
            ),
            ApiKey::OffsetForLeaderEpoch => later(
                header,
                reader,
                permit,
                move |request: OffsetForLeaderEpochRequest| async move {
                    offsets::offset_for_leader_epoch::handle(&all.context, request, version).await
                },
            ),
            ApiKey::InitProducerId => later(
                header,
                reader,
                permit,
                move |request: InitProducerIdRequest| async move {
                    transactions::init_producer_id::handle(
                        &all.context,
                        &all.producer_ids,
                        request,
                        version,
                    )
                    .await
                },
            ),
        }
    }
}

/// Decodes now, so that nonsense closes the connection at once; answers when its turn comes.
fn later<R, F, A>(
    header: RequestHeader,
    reader: &mut Reader,
    permit: Permit,
    handle: F,
) -> Result<PendingReply, Close>
where
    R: Request + Send + 'static,
    R::Response: Send + Sync,
    F: FnOnce(R) -> A + Send + 'static,
    A: Future<Output = R::Response> + Send,
{
    let request = R::decode(reader, header.api_version)?;
    Ok(Box::pin(async move {
        let response = handle(request).await;
        count_request(R::KEY, ErrorCode::NONE);
        let slices =
            protocol::encode_response::<R>(header.correlation_id, header.api_version, &response);
        Ok(Reply {
            slices,
            permit: Some(permit),
        })
    }))
}

/// ApiVersions is answered whatever its version, so that newer clients can step down (KIP-511); others are refused as
/// Kafka does.
fn unsupported_version(api: ApiKey, header: &RequestHeader) -> Result<PendingReply, Close> {
    count_request(api, ErrorCode::UNSUPPORTED_VERSION);
    if api == ApiKey::ApiVersions {
        let slices = protocol::unsupported_version_response(header.correlation_id);
        return Ok(Box::pin(async move {
            Ok(Reply {
                slices,
                permit: None,
            })
        }));
    }
    Err(Close::Refused(format!(
        "version {} of {} is not spoken here",
        header.api_version,
        api.name()
    )))
}
