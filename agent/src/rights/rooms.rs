//! The rooms that are asked, and the rules under which they are.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metadata::{Command, CreateTopic, TopicId};
use protocol::acl::{Operation, ResourceType};
use protocol::{
    Encode, Reader, Request, RequestHeader, decode_response, encode_request, encode_response,
};

use crate::access::{Access, Forbidden, Principal};
use crate::context::AutoCreate;
use crate::discovery::ClusterMetadata;
use crate::discovery::fixture::{call, with_context};
use crate::dispatch::{Dispatch, answer};
use crate::fetch::Fetch;
use crate::produce::{Flusher, Produce, SealPolicy, Upload};
use crate::reading::Reading;
use crate::storage::segment::Compression;
use crate::storage::{Store, StoreOptions};
use crate::tasks::Tasks;

pub(crate) type Right = (Operation, ResourceType);

/// What a client is asked to be silent for, in ms.
pub(crate) const SILENCE: i32 = 77;
/// Topics that are there.
pub(crate) const TOPIC: &str = "t";
pub(crate) const OTHER: &str = "u";

/// Something that nobody may do, to all resources of the kind.
pub(crate) fn without(rights: &[Right]) -> Access {
    let forbidden = rights.iter().map(|(operation, kind)| Forbidden {
        who: Principal::Anonymous,
        operation: *operation,
        kind: *kind,
        name: None,
    });
    Access {
        forbidden: forbidden.collect(),
    }
}

/// The same to one of them.
pub(crate) fn without_one((operation, kind): Right, name: &str) -> Access {
    let mut access = without(&[(operation, kind)]);
    access.forbidden[0].name = Some(name.to_owned());
    access
}

/// All rooms, over metadata and a bucket in memory, with two topics of a partition.
pub(crate) async fn with_rooms(test: impl AsyncFnOnce(&Arc<Dispatch>)) {
    with_context(AutoCreate::Enabled, async |context| {
        for (id, name) in [(1, TOPIC), (2, OTHER)] {
            let create = CreateTopic {
                name: name.to_owned(),
                id: TopicId(id),
                partitions: 1,
                replication_factor: 1,
                configs: BTreeMap::new(),
            };
            let made = context.metadata.submit(Command::CreateTopic(create)).await;
            made.unwrap();
        }
        let tasks = Tasks::new();
        let admission = context.admission.clone();
        let store = Store::open("memory:", &StoreOptions::default()).await;
        let upload = Upload {
            context: Arc::clone(context),
            store: store.unwrap(),
            cache: context.cache.clone(),
            compression: Compression::Off,
            names: Arc::default(),
        };
        let policy = SealPolicy {
            segment_bytes: 1 << 20,
            age_max: Duration::from_millis(1),
            eager_segments: 2,
            puts_per_second: None,
        };
        let (flusher, handle) = Flusher::new(upload, tasks.clone(), policy, Reading::default());
        tasks.spawn("flusher", flusher.run(tasks.stopping()));
        let rooms = Arc::new(Dispatch {
            context: Arc::clone(context),
            produce: Produce::new(admission.clone(), handle),
            fetch: Fetch::new(admission, context.cache.clone(), tasks.stopping()),
            cluster_metadata: ClusterMetadata::default(),
        });
        test(&rooms).await;
        tasks.stop();
        tasks.wait(Duration::from_secs(10)).await;
    })
    .await;
}

/// What a request is answered with under those rules, in a version.
pub(crate) async fn ask_in<R: Request>(
    rooms: &Arc<Dispatch>,
    access: Access,
    version: i16,
    request: &R,
) -> R::Response {
    let header = RequestHeader {
        api_key: R::KEY.code(),
        api_version: version,
        correlation_id: 0,
        client_id: None,
    };
    let frame = Bytes::from(encode_request(&header, request).concat()).split_off(4);
    let mut reader = Reader::new(frame);
    RequestHeader::decode(&mut reader).unwrap();
    let call = call(&rooms.context, R::KEY, version).await;
    let pending = answer(rooms, R::KEY, call.under(access, SILENCE), &mut reader);
    let reply = pending.await.unwrap().await.unwrap();
    let frame = Bytes::from(reply.slices.concat()).split_off(4);
    let mut response = decode_response::<R>(version, frame.clone()).unwrap().1;
    response.set_throttle_time(0);
    let silent = encode_response::<R>(0, version, &response).concat();
    assert_ne!(silent[4..], frame, "{} says no time", R::KEY.name());
    response.set_throttle_time(SILENCE);
    let told = encode_response::<R>(0, version, &response).concat();
    assert_eq!(told[4..], frame, "{} says another time", R::KEY.name());
    response
}

pub(crate) async fn ask<R: Request>(
    rooms: &Arc<Dispatch>,
    access: Access,
    request: &R,
) -> R::Response {
    ask_in(rooms, access, *R::KEY.versions().end(), request).await
}
