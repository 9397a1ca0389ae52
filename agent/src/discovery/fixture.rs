//! Tests only: an agent's context over metadata in memory. Used by the tests of the rooms that need nothing else.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use metadata::{Agent, Listener, Options, Timestamp, kv};

use crate::clock::Clock;
use crate::context::{Arrival, AutoCreate, Client, Context, TopicDefaults};
use crate::random::Random;
use crate::zones::ClientZones;

/// What the clock says.
pub(crate) const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// Somebody who came by the only listener.
pub(crate) fn client(arrival: &Arrival) -> Client<'_> {
    Client { arrival, id: None }
}

/// Where they came in.
pub(crate) fn arrival() -> Arrival {
    Arrival {
        listener: Listener::UNNAMED.to_owned(),
        address: None,
    }
}

/// Runs a test beside the sequencer that it needs.
pub(crate) async fn with_context(auto_create: AutoCreate, test: impl AsyncFnOnce(&Context)) {
    let options = Options::new(Arc::new(|| NOW));
    let store = Arc::new(kv::Memory::new());
    let (metadata, sequencer) = metadata::start(store, options).await.unwrap();
    let context = Context {
        metadata,
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
    };
    let test = async {
        test(&context).await;
        context.metadata.close().await;
    };
    let running = Box::pin(sequencer.run());
    let (ended, ()) = futures::join!(running, test);
    ended.unwrap();
}
