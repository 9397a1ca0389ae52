//! Whom an agent asks next: where it was sent, else the addresses it was given, in turn, with pauses that grow and differ
//! between agents.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::link::{Dial, Link};

/// For a connection and its handshakes.
const DIAL_TIME_MAX: Duration = Duration::from_secs(2);
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Between two lines of the log on the same address.
const SAID_INTERVAL: Duration = Duration::from_secs(30);
/// Redirects followed in a row without a pause: two processes may each take the other for the one.
const REDIRECTS_MAX: u32 = 3;

pub(super) struct Route {
    addresses: Vec<String>,
    dial: Dial,
    random: Arc<dyn Fn() -> u64 + Send + Sync>,
    next: usize,
    sent_to: Option<String>,
    redirects: u32,
    pause: Duration,
    /// When the log was last told of an address, since a sequencer was there.
    said: BTreeMap<String, Instant>,
}

impl Route {
    pub(super) fn new(
        addresses: Vec<String>,
        dial: Dial,
        random: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Self {
        Self {
            addresses,
            dial,
            random,
            next: 0,
            sent_to: None,
            redirects: 0,
            pause: Duration::ZERO,
            said: BTreeMap::new(),
        }
    }

    /// The next link, however long it takes. Dropping the future is no loss.
    pub(super) async fn next_link(&mut self) -> Link {
        loop {
            let redirected = self.sent_to.take();
            if redirected.is_none() {
                self.wait().await;
            }
            let address = redirected.unwrap_or_else(|| self.in_turn());
            match timeout(DIAL_TIME_MAX, self.dial.to(&address)).await {
                Ok(Ok(link)) => return link,
                Ok(Err(error)) => self.failed(address, error.to_string()),
                Err(_) => self.failed(address, "no answer".to_owned()),
            }
        }
    }

    /// The log is told now and then, for it is tried again all the time.
    fn failed(&mut self, address: String, reason: String) {
        let said = self.said.get(&address);
        if said.is_some_and(|said| said.elapsed() < SAID_INTERVAL) {
            return tracing::debug!(address, reason, "no sequencer here");
        }
        tracing::warn!(address, reason, "no sequencer here");
        self.said.insert(address, Instant::now());
    }

    /// Between one half and all of a pause that doubles.
    async fn wait(&mut self) {
        let most = u64::try_from(self.pause.as_millis()).unwrap_or(u64::MAX);
        let pause = most / 2 + (self.random)() % (most / 2 + 1);
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        sleep(Duration::from_millis(pause)).await;
    }

    fn in_turn(&mut self) -> String {
        let address = self.addresses.get(self.next % self.addresses.len().max(1));
        self.next = self.next.wrapping_add(1);
        address.cloned().unwrap_or_default()
    }

    /// The one asked knows better.
    pub(super) fn redirect(&mut self, address: String) {
        self.redirects += 1;
        if !address.is_empty() && self.redirects <= REDIRECTS_MAX {
            self.sent_to = Some(address);
        } else {
            self.redirects = 0;
        }
    }

    /// A sequencer was there.
    pub(super) fn arrived(&mut self) {
        self.redirects = 0;
        self.pause = Duration::ZERO;
        self.said.clear();
    }
}
