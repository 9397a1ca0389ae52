//! From a frame to the room that answers it: api key and version, decode, the room's handler, encode.
//! Called by `connection/`; the only place that knows every room.

use std::sync::Arc;

use bytes::Bytes;
use protocol::{ApiKey, DecodeError, ErrorCode, Reader, Request, RequestHeader, messages};

use crate::admission::Permit;
use crate::call::{Arrival, Call, Close, PendingReply, Reply};
use crate::context::Context;
use crate::discovery::ClusterMetadata;
use crate::fetch::{self, Fetch};
use crate::metrics::count_request;
use crate::named::READ_MAX;
use crate::produce::Produce;
use crate::{admin, discovery, offsets, transactions};

/// How many times larger than its frame a Produce request may be once decoded. Its batches stay where they are in the frame,
/// and it is charged for no more than that until they are looked at; what is told of the smallest batch takes about as much
/// as the batch.
const PRODUCE_FACTOR: usize = 2;

/// All rooms of an agent that have something of their own.
#[derive(Debug)]
pub(crate) struct Dispatch {
    pub(crate) context: Arc<Context>,
    pub(crate) produce: Produce,
    pub(crate) fetch: Fetch,
    pub(crate) cluster_metadata: ClusterMetadata,
}

/// Makes `answer` of a list with a row for each API: the request, and what answers it. What a row `in order` does happens
/// before the connection's next request is looked at. All others are decoded by then, so that nonsense closes the
/// connection at once, and so does what a check refuses; they are answered when their turn comes. An API without a row does
/// not compile.
macro_rules! answer {
    (|$rooms:ident, $call:ident, $request:ident|
        in order: $first:ident => $begin:expr;
        $($kind:ident $(checked by $check:path)? => $handle:expr;)*) => {
        /// As [`Dispatch::begin`], once it is known whose request it is.
        pub(crate) async fn answer(
            $rooms: &Arc<Dispatch>,
            api: ApiKey,
            $call: Call,
            reader: &mut Reader,
        ) -> Result<PendingReply, Close> {
            match api {
                <messages::$first as Request>::KEY => {
                    let $request: messages::$first = read(reader, $call.version)?;
                    $begin.await
                }
                $(<messages::$kind as Request>::KEY => {
                    let $request: messages::$kind = read(reader, $call.version)?;
                    $($check(&$request)?;)?
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
    FetchRequest checked by fetch::check => rooms.fetch.handle(call, request);
    ListOffsetsRequest => offsets::list_offsets::handle(call, request);
    MetadataRequest => rooms.cluster_metadata.handle(call, request);
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
        let frame_bytes = frame.len();
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
        reader.hold_to_entries(READ_MAX);
        if api == ApiKey::Produce {
            reader.hold_to(PRODUCE_FACTOR);
        }
        let (context, arrival) = (Arc::clone(&self.context), Arc::clone(arrival));
        let call = Call::new(context, arrival, api, header, (permit, frame_bytes));
        answer(self, api, call, &mut reader).await
    }
}

fn read<R: Request>(reader: &mut Reader, version: i16) -> Result<R, Close> {
    R::decode(reader, version).map_err(|error| match error {
        DecodeError::TooMany => Close::Refused(format!(
            "a {} request with more than {READ_MAX} entries in its lists, which are not read: ask for less at once",
            R::KEY.name()
        )),
        error => error.into(),
    })
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
                ..Reply::default()
            })
        }));
    }
    Err(Close::Refused(format!(
        "version {} of {} is not spoken here",
        header.api_version,
        api.name()
    )))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use protocol::acl::{Operation, ResourceType};
    use protocol::messages::create_partitions::CreatePartitionsTopic;
    use protocol::messages::metadata::MetadataRequestTopic;
    use protocol::messages::{CreatePartitionsRequest, MetadataRequest};
    use protocol::{Encode, encode_request};

    use super::*;
    use crate::call::ConnectionId;
    use crate::origin::Origin;
    use crate::rights::requests::{
        configs, coordinator, create, delete, epochs, fetch, list_offsets, metadata_of, produce,
        producer_id,
    };
    use crate::rights::rooms::{OTHER, Right, TOPIC, ask, with_rooms, without};

    /// The table's rows as they are tried, and which rights they were about.
    struct Rows<'a> {
        rooms: &'a Arc<Dispatch>,
        tried: BTreeSet<(ApiKey, Operation, ResourceType)>,
    }

    impl Rows<'_> {
        /// Without those rights, of which one is enough, a request is refused with that code. With any of them it is not.
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

    /// Five bytes are a name: a million and a half were read in one go, and then looked at.
    #[tokio::test]
    async fn a_request_with_entries_beyond_all_measure_is_not_read() {
        with_rooms(async |rooms| {
            let begin = async |names| {
                let named = MetadataRequestTopic {
                    name: Some("abc".to_owned()),
                    ..MetadataRequestTopic::default()
                };
                let request = MetadataRequest {
                    topics: Some(vec![named; names]),
                    ..MetadataRequest::default()
                };
                let header = RequestHeader {
                    api_key: ApiKey::Metadata.code(),
                    api_version: 9,
                    ..RequestHeader::default()
                };
                let frame = Bytes::from(encode_request(&header, &request).concat()).split_off(4);
                let arrival = Arc::new(Arrival::new(ConnectionId(1), String::new(), None));
                let admission = &rooms.context.admission;
                let permit = admission.frame(Origin::of(None), frame.len()).await;
                rooms.begin(&arrival, frame, permit).await
            };
            assert!(begin(READ_MAX).await.is_ok());
            match begin(READ_MAX + 1).await {
                Err(Close::Refused(said)) => assert!(said.contains("262144 entries"), "{said}"),
                Err(other) => panic!("{other}"),
                Ok(_) => panic!("it was read"),
            }
        })
        .await;
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
            // The tests of `rights` are about these: without them less is told, or another reason.
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
}
