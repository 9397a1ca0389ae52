//! From a frame to the room that answers it: api key and version, decode, the room's handler, encode.
//! Called by `connection/`; the only place that knows every room.

use std::sync::Arc;

use bytes::Bytes;
use protocol::{ApiKey, Decode, ErrorCode, Reader, Request, RequestHeader, messages};

use crate::admission::Permit;
use crate::call::{Arrival, Call, Close, PendingReply, Reply};
use crate::context::Context;
use crate::fetch::Fetch;
use crate::metrics::count_request;
use crate::produce::Produce;
use crate::{admin, discovery, offsets, transactions};

/// All rooms of an agent that have something of their own.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) context: Arc<Context>,
    pub(crate) produce: Produce,
    pub(crate) fetch: Fetch,
}

/// Makes `answer` of a list with a row for each API: the request, and what answers it. What a row `in order` does happens
/// before the connection's next request is looked at. All others are decoded by then, so that nonsense closes the
/// connection at once, and answered when their turn comes. An API without a row does not compile.
macro_rules! answer {
    (|$rooms:ident, $call:ident, $request:ident|
        in order: $first:ident => $begin:expr;
        $($kind:ident => $handle:expr;)*) => {
        /// As [`Dispatch::begin`], once it is known whose request it is.
        pub(crate) async fn answer(
            $rooms: &Arc<Dispatch>,
            api: ApiKey,
            $call: Call,
            reader: &mut Reader,
        ) -> Result<PendingReply, Close> {
            match api {
                <messages::$first as Request>::KEY => {
                    let $request = messages::$first::decode(reader, $call.version)?;
                    $begin.await
                }
                $(<messages::$kind as Request>::KEY => {
                    let $request = messages::$kind::decode(reader, $call.version)?;
                    let $rooms = Arc::clone($rooms);
                    Ok(Box::pin(async move {
                        let response = {
                            let $call = &$call;
                            $handle.await
                        };
                        // The only use where the call is all that a room needs.
                        drop($rooms);
                        Ok($call.reply::<messages::$kind>(response))
                    }))
                })*
            }
        }
    };
}

answer! { |rooms, call, request|
    in order: ProduceRequest => rooms.produce.begin(call, request);
    FetchRequest => rooms.fetch.handle(call, request);
    ListOffsetsRequest => offsets::list_offsets::handle(call, request);
    MetadataRequest => discovery::cluster_metadata::handle(call, request);
    FindCoordinatorRequest => discovery::find_coordinator::handle(call, request);
    ApiVersionsRequest => discovery::api_versions::handle(call, request);
    CreateTopicsRequest => admin::create_topics::handle(call, request);
    DeleteTopicsRequest => admin::delete_topics::handle(call, request);
    InitProducerIdRequest => transactions::init_producer_id::handle(call, request);
    OffsetForLeaderEpochRequest => offsets::offset_for_leader_epoch::handle(call, request);
    DescribeConfigsRequest => admin::describe_configs::handle(call, request);
    CreatePartitionsRequest => admin::create_partitions::handle(call, request);
    DescribeClusterRequest => discovery::describe_cluster::handle(call, request);
}

impl Dispatch {
    /// Takes a request's place in its connection's order and returns what is left to do.
    ///
    /// # Errors
    /// When the frame cannot be understood, or speaks a version we do not: as in Kafka, that ends the connection.
    pub(crate) async fn begin(
        self: &Arc<Self>,
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
        let (context, arrival) = (Arc::clone(&self.context), Arc::clone(arrival));
        let call = Call::new(context, arrival, api, header, permit);
        answer(self, api, call, &mut reader).await
    }
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
