//! Tests only: an agent's context over metadata in memory. Used by the tests of the rooms that need nothing else.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use metadata::{Agent, Listener, Options, Sequencer, Timestamp, kv};
use protocol::{ApiKey, RequestHeader};

use crate::admission::{Admission, FIRST_CHUNK_BYTES, Permit};
use crate::call::{Arrival, Call, ConnectionId};
use crate::clock::Clock;
use crate::context::{AutoCreate, Context, TopicDefaults};
use crate::origin::Origin;
use crate::producer_ids::ProducerIds;
use crate::random::Random;
use crate::storage::{Cache, Store, StoreOptions};
use crate::zones::ClientZones;

/// What the clock says.
pub(crate) const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// A request in that version, of somebody who came by the only listener.
pub(crate) async fn call(context: &Arc<Context>, api: ApiKey, version: i16) -> Call {
    let admission = Admission::new(1 << 20, 1 << 20);
    let permit = admission.frame(Origin::of(None), 100).await;
    call_with(context, api, version, permit, None)
}

/// The same, from an address that ends in that.
pub(crate) async fn call_from(last: u8, context: &Arc<Context>, api: ApiKey, version: i16) -> Call {
    let address = IpAddr::from([10, 0, 0, last]);
    let admission = Admission::new(1 << 20, 1 << 20);
    let permit = admission.frame(Origin::of(Some(address)), 100).await;
    call_with(context, api, version, permit, Some(address))
}

/// One that finds all room taken that its origin may have among those who wait for the metadata, while it is crowded.
pub(crate) async fn crowded_call(
    context: &Arc<Context>,
    api: ApiKey,
    version: i16,
) -> (Call, Vec<Permit>) {
    let admission = Admission::new(1 << 20, 1 << 20);
    let somewhere = Origin::of(None);
    let mut crowd = Vec::new();
    loop {
        let mut permit = admission.decode(somewhere, FIRST_CHUNK_BYTES).await;
        if !permit.step_aside(16 * FIRST_CHUNK_BYTES) {
            return (call_with(context, api, version, permit, None), crowd);
        }
        crowd.push(permit);
    }
}

/// One that came in a frame of so many bytes, and where it holds room for that.
pub(crate) async fn call_of(
    frame_bytes: usize,
    context: &Arc<Context>,
    api: ApiKey,
    version: i16,
) -> (Call, Admission) {
    let admission = Admission::new(1 << 20, 1 << 20);
    let permit = admission.decode(Origin::of(None), frame_bytes).await;
    let call = call_with(context, api, version, permit, None);
    (call, admission)
}

/// What comes of it, and how often others had their turn meanwhile.
pub(crate) async fn with_turns<T>(work: impl Future<Output = T>) -> (T, usize) {
    let mut work = pin!(work);
    let mut turns = 0;
    let done = poll_fn(|cx| {
        let done = work.as_mut().poll(cx);
        turns += usize::from(done.is_pending());
        done
    });
    let done = done.await;
    (done, turns)
}

fn call_with(
    context: &Arc<Context>,
    api: ApiKey,
    version: i16,
    permit: Permit,
    address: Option<IpAddr>,
) -> Call {
    let arrival = Arrival::new(ConnectionId(1), Listener::UNNAMED.to_owned(), address);
    let header = RequestHeader {
        api_version: version,
        ..RequestHeader::default()
    };
    Call::new(
        Arc::clone(context),
        Arc::new(arrival),
        api,
        header,
        (permit, 0),
    )
}

/// Runs a test beside the sequencer that it needs.
pub(crate) async fn with_context(auto_create: AutoCreate, test: impl AsyncFnOnce(&Arc<Context>)) {
    let (context, sequencer) = start(auto_create).await;
    let test = async {
        test(&context).await;
        context.metadata.close().await;
    };
    let running = Box::pin(sequencer.run());
    let (ended, ()) = futures::join!(running, test);
    ended.unwrap();
}

/// Runs a test beside a sequencer that answers what comes before it, and then nothing.
pub(crate) async fn with_silent_metadata(
    before: impl AsyncFnOnce(&Arc<Context>),
    test: impl AsyncFnOnce(&Arc<Context>),
) {
    let (context, sequencer) = start(AutoCreate::Enabled).await;
    let mut running = Box::pin(sequencer.run());
    tokio::select! {
        _ = &mut running => unreachable!("nobody closed it"),
        () = before(&context) => {}
    }
    test(&context).await;
}

/// Another agent of the same cluster.
pub(crate) fn another(context: &Context) -> Arc<Context> {
    Arc::new(Context {
        metadata: context.metadata.clone(),
        admission: context.admission.clone(),
        cache: context.cache.clone(),
        producer_ids: ProducerIds::new(),
        clock: context.clock.clone(),
        random: context.random.clone(),
        node: context.node.clone(),
        zones: context.zones.clone(),
        topics: context.topics.clone(),
    })
}

async fn start(auto_create: AutoCreate) -> (Arc<Context>, Sequencer) {
    let options = Options::new(Arc::new(|| NOW));
    let store = Arc::new(kv::Memory::new());
    let (metadata, sequencer) = metadata::start(store, options).await.unwrap();
    let bucket = Store::open("memory:", &StoreOptions::default()).await;
    let context = Arc::new(Context {
        metadata,
        admission: Admission::new(1 << 20, 1 << 20),
        cache: Cache::new(bucket.unwrap(), 1 << 20, Duration::from_secs(60)),
        producer_ids: ProducerIds::new(),
        clock: Clock::Manual(Arc::new(AtomicI64::new(NOW.0))),
        random: Random::Real,
        node: Agent {
            zone: Some("z".to_owned()),
            ..Agent::new(7, "broker.test", 9092)
        },
        zones: ClientZones::default(),
        topics: TopicDefaults {
            auto_create,
            partitions: 3,
        },
    });
    (context, sequencer)
}
