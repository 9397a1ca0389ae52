//! A process that was killed and started again, over a store that no other can have open meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::sequencer::candidate::LOOK_INTERVAL;
use crate::sequencer::{Candidate, Found, Probe};

/// As a file that is locked while it is open.
#[derive(Debug)]
struct Locked {
    kv: Memory,
    is_exclusive: bool,
}

impl OverMemory for Locked {
    fn memory(&self) -> &Memory {
        &self.kv
    }

    fn is_alone(&self) -> bool {
        self.is_exclusive
    }
}

/// A process that finds itself at the address of the one before it; how long it took until it holds the order. Killed then.
async fn until_it_holds(kv: Locked, seed: u64) -> Duration {
    let begun = Instant::now();
    let own = Arc::new(AtomicU64::new(0));
    let answers = Arc::clone(&own);
    let probe = Probe::new(move |_| {
        let nonce = answers.load(Ordering::Relaxed);
        async move { Found::Process(nonce) }
    });
    let candidate = Candidate::new(Arc::new(kv), options(seed), "one:1".to_owned(), probe);
    let status = candidate.status();
    own.store(status.nonce(), Ordering::Relaxed);
    let holds = async {
        while !status.holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        ended = Box::pin(candidate.run(std::future::pending())) => panic!("{ended:?}"),
        () = holds => begun.elapsed(),
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_who_cannot_have_the_store_open() {
    for is_exclusive in [true, false] {
        let kv = Memory::new();
        let again = |seed| {
            let kv = kv.clone();
            Box::pin(until_it_holds(Locked { kv, is_exclusive }, seed))
        };
        again(1).await;
        let took = again(2).await;
        assert_eq!(took < LOOK_INTERVAL, is_exclusive, "{took:?}");
    }
}
