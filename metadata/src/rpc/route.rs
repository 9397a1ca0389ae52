//! Finds the sequencer: asks at the addresses given, and where it is sent from there, one after the other and each as soon
//! as the one before did not answer soon, until one welcomes this agent. Between rounds there are pauses that grow and
//! differ between agents. Which links were lost, and why, `client` says.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout};

use super::link::{Dial, Link};
use super::message::{Down, Welcome};
use crate::error::Error;
use crate::handle::Shared;
use crate::level;
use crate::sequencer::ADDRESS_BYTES_MAX;
use crate::shown::Shown;
use crate::sought;

/// For a connection, its handshakes and the first answer; a sequencer takes no longer to begin a session. Others are asked
/// long before.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(5);
/// When the next one is asked, too: a process that stands still takes connections and answers nothing.
const STAGGER: Duration = Duration::from_millis(300);
/// Asked at a time.
const ATTEMPTS_MAX: usize = 4;
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// Between two lines of the log on the same address.
const SAID_INTERVAL: Duration = Duration::from_secs(30);
/// Redirects followed in a round: two processes may each take the other for the one.
const REDIRECTS_MAX: u32 = 3;
/// So long after its silence nobody is followed to an address: others find out a little later that it stands still.
const SHUNNED_TIME: Duration = Duration::from_secs(5);

pub(super) struct Route {
    addresses: Vec<String>,
    dial: Dial,
    random: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Of the handle, which says what is met meanwhile.
    shared: Arc<Shared>,
    /// Where the next round begins.
    next: usize,
    /// What is left to be asked in this round.
    round: VecDeque<String>,
    redirects: u32,
    pause: Duration,
    /// Where the last welcome came from, and when.
    arrived: Option<(String, Instant)>,
    /// Where a sequencer fell silent, and when.
    silent: Option<(String, Instant)>,
    /// When the log was last told of an address, since a sequencer was there.
    said: BTreeMap<String, Instant>,
}

/// Who was met at an address.
enum Met {
    Sequencer(Link, Welcome),
    /// One that waits, and whom it sends agents to.
    Other(String),
    Nobody(String),
    /// A cluster of a feature level that this version cannot read.
    TooNew(Error),
}

type Attempts = FuturesUnordered<Pin<Box<dyn Future<Output = (String, Met)> + Send>>>;

impl Route {
    pub(super) fn new(
        addresses: Vec<String>,
        dial: Dial,
        random: Arc<dyn Fn() -> u64 + Send + Sync>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            addresses,
            dial,
            random,
            shared,
            next: 0,
            round: VecDeque::new(),
            redirects: 0,
            pause: Duration::ZERO,
            arrived: None,
            silent: None,
            said: BTreeMap::new(),
        }
    }

    /// The first that welcomes an agent which greets so, however long it takes. Dropping the future is no loss.
    ///
    /// # Errors
    /// `NewerFormat` when the cluster writes what this version cannot read.
    pub(super) async fn find(&mut self, hello: Bytes) -> Result<(Link, Welcome), Error> {
        let mut attempts = Attempts::new();
        let mut asked: Vec<String> = Vec::new();
        let mut due = Instant::now() + self.pause();
        loop {
            tokio::select! {
                biased;
                Some((address, met)) = attempts.next(), if !attempts.is_empty() => {
                    asked.retain(|each| *each != address);
                    match met {
                        Met::Sequencer(link, welcome) => {
                            self.arrive(address);
                            return Ok((link, welcome));
                        }
                        Met::Other(to) => {
                            self.shared.sought.met(&address, &sought::Met::Idle);
                            self.follow(to, &asked);
                        }
                        Met::Nobody(reason) => self.failed(address, reason),
                        Met::TooNew(error) => return Err(error),
                    }
                    if !self.round.is_empty() {
                        due = Instant::now();
                    }
                }
                () = sleep_until(due), if attempts.len() < ATTEMPTS_MAX => {
                    if self.round.is_empty() {
                        self.begin_round();
                    }
                    self.round.retain(|each| !asked.contains(each));
                    if let Some(address) = self.round.pop_front() {
                        asked.push(address.clone());
                        attempts.push(Box::pin(attempt(self.dial.clone(), address, hello.clone())));
                    }
                    due = Instant::now() + match self.round.is_empty() {
                        true => self.pause(),
                        false => STAGGER,
                    };
                }
            }
        }
    }

    /// All addresses, each time from the next one on; the one that fell silent is asked last.
    fn begin_round(&mut self) {
        self.redirects = 0;
        let start = self.next % self.addresses.len().max(1);
        self.next = self.next.wrapping_add(1);
        let (before, from) = self.addresses.split_at(start);
        self.round = from.iter().chain(before).cloned().collect();
        if let Some((silent, _)) = &self.silent
            && let Some(at) = self.round.iter().position(|each| each == silent)
        {
            self.round.rotate_left(at + 1);
        }
    }

    /// Between one half and all of a pause that doubles.
    fn pause(&mut self) -> Duration {
        let most = u64::try_from(self.pause.as_millis()).unwrap_or(u64::MAX);
        let pause = most / 2 + (self.random)() % (most / 2 + 1);
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        Duration::from_millis(pause)
    }

    /// The one asked knows better, if it does not send agents to where nobody answers.
    fn follow(&mut self, to: String, asked: &[String]) {
        self.redirects += 1;
        let shunned = self
            .silent
            .as_ref()
            .is_some_and(|(silent, since)| *silent == to && since.elapsed() < SHUNNED_TIME);
        let is_address = (1..=ADDRESS_BYTES_MAX).contains(&to.len());
        if self.redirects <= REDIRECTS_MAX && is_address && !shunned && !asked.contains(&to) {
            self.round.retain(|each| *each != to);
            self.round.push_front(to);
        }
    }

    /// The log is told now and then, for it is tried again all the time.
    fn failed(&mut self, address: String, reason: String) {
        let met = sought::Met::Nobody(reason.clone());
        self.shared.sought.met(&address, &met);
        // Redirects lead to ever other addresses, if they like.
        self.said.retain(|_, said| said.elapsed() < SAID_INTERVAL);
        let shown = Shown::name(&address);
        if self.said.contains_key(&address) {
            return tracing::debug!(address = %shown, reason, "no sequencer here");
        }
        tracing::warn!(address = %shown, reason, "no sequencer here");
        self.said.insert(address, Instant::now());
    }

    fn arrive(&mut self, address: String) {
        self.round.clear();
        self.said.clear();
        self.shared.sought.forget();
        self.silent = None;
        self.arrived = Some((address, Instant::now()));
    }

    /// The link to where the last welcome came from was lost; `silent`: for nothing was heard.
    pub(super) fn lost(&mut self, silent: bool) {
        let Some((address, since)) = self.arrived.take() else {
            return;
        };
        // One that welcomes and breaks off at once is not asked without a pause.
        if since.elapsed() >= PAUSE_MAX {
            self.pause = Duration::ZERO;
        }
        self.silent = silent.then(|| (address, Instant::now()));
    }
}

async fn attempt(dial: Dial, address: String, hello: Bytes) -> (String, Met) {
    let met = timeout(ATTEMPT_TIME_MAX, greet(&dial, &address, hello)).await;
    let met = met.unwrap_or_else(|_| Met::Nobody("no answer".to_owned()));
    (address, met)
}

async fn greet(dial: &Dial, address: &str, hello: Bytes) -> Met {
    let nobody = |reason: &str| Met::Nobody(reason.to_owned());
    let mut link = match dial.to(address).await {
        Ok(link) => link,
        Err(error) => return Met::Nobody(error.to_string()),
    };
    if link.sender.send(hello).await.is_err() {
        return nobody("the link takes nothing");
    }
    match link.receiver.recv().await.map(Down::decode) {
        Some(Ok(Down::Welcome(welcome))) => Met::Sequencer(link, welcome),
        Some(Ok(Down::Redirect(to))) => Met::Other(to),
        Some(Ok(Down::End(reason))) => Met::Nobody(Shown::sentence(reason).to_string()),
        Some(Ok(Down::TooNew { level })) => match level::check(level) {
            Err(error) => Met::TooNew(error),
            Ok(()) => nobody("it takes this agent for an older one"),
        },
        Some(_) => nobody("it does not speak the protocol"),
        None => nobody("nobody answered the greeting"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::rpc::link::DialError;

    /// A process that sends agents to ever other places, or to what is none, fills no memory with them.
    #[tokio::test(start_paused = true)]
    async fn redirects_are_followed_to_addresses_and_forgotten_again() {
        let dial = Dial::new(|_| async { Err(DialError::Refused) });
        let at = vec!["one:1".to_owned()];
        let shared = Arc::new(Shared::elsewhere(&at));
        let mut route = Route::new(at, dial, Arc::new(|| 0), shared);
        for number in 0..1_000 {
            route.begin_round();
            route.follow("x".repeat(1_000_000), &[]);
            route.follow(String::new(), &[]);
            assert_eq!(route.round, ["one:1"]);
            let address = format!("invented:{number}");
            route.follow(address.clone(), &[]);
            assert_eq!(route.round.pop_front(), Some(address.clone()));
            route.failed(address, "refused".to_owned());
            advance(Duration::from_secs(1)).await;
        }
        let said = u64::try_from(route.said.len()).unwrap();
        assert!(said <= SAID_INTERVAL.as_secs() + 1, "{said}");
    }
}
