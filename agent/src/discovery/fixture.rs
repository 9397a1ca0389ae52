//! Tests only: an agent's context over metadata in memory. Used by the tests of the rooms that need nothing else.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use metadata::{Options, Timestamp, kv};

use crate::clock::Clock;
use crate::context::{AutoCreate, Context, Node, TopicDefaults};
use crate::random::Random;

/// What the clock says.
pub(crate) const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// Runs a test beside the sequencer that it needs.
pub(crate) async fn with_context(auto_create: AutoCreate, test: impl AsyncFnOnce(&Context)) {
    let options = Options::new(Arc::new(|| NOW));
    let store = Arc::new(kv::Memory::new());
    let (metadata, sequencer) = metadata::start(store, options).await.unwrap();
    let context = Context {
        metadata,
        clock: Clock::Manual(Arc::new(AtomicI64::new(NOW.0))),
        random: Random::Real,
        node: Node {
            id: 7,
            host: "broker.test".to_owned(),
            port: 9092,
            zone: Some("z".to_owned()),
        },
        topics: TopicDefaults {
            auto_create,
            partitions: 3,
        },
    };
    let test = async {
        test(&context).await;
        context.metadata.close().await;
    };
    let (ended, ()) = futures::join!(sequencer.run(), test);
    ended.unwrap();
}
