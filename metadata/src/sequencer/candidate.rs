//! A process that could hold the order: watches whoever does, takes over when that one is gone, serves until another
//! takes over, and watches again. Nothing rests on its being right: two that hold at once are told apart by the store.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::lineage::{Memory, Past, ask, leave_last_word, leave_word};
use super::probe::{Found, Probe};
use super::seen::Seen;
use super::status::{Role, Status, Trouble};
use super::store::{Address, Owner};
use super::time::StateTime;
use super::{Held, Options, Sequencer, Serves, assemble, takeover};
use crate::error::Error;
use crate::handle::{Metadata, NO_SESSION};
use crate::history::Point;
use crate::kv::Kv;
use crate::level::{self, Format};

/// Between looks at the holder.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// A holder whose head stood still for so long is taken for gone. It rewrites the head every 900 ms, a busy store costs it
/// 0.6 s more at worst, and a look in between comes up to [`LOOK_INTERVAL`] late: 1.7 s, and the rest is for round trips.
/// One that lives all the same loses the order and a second, never a record; one that stands still costs clients this.
const HEAD_STILL_MAX: Duration = Duration::from_secs(2);
/// The same of a holder at this process's own address, where only this process answers: most likely one that ended there
/// before it. Longer than a beat and a look, so that two that share an address never take the order from each other.
const OWN_STILL_MAX: Duration = Duration::from_millis(1300);
/// One that does not say who it is in this time does not say it. Short, for the head is looked at between two questions.
const PROBE_TIME_MAX: Duration = Duration::from_millis(300);
/// Questions to this process's own address when it starts, for what stands between may lead to any of several.
const OWN_PROBES: usize = 8;
const OWN_PROBE_TIME_MAX: Duration = Duration::from_secs(2);
/// A bucket that takes longer is not waited for by one that need not: the holder is not looked at meanwhile.
const ASK_TIME_MAX: Duration = Duration::from_secs(2);
/// After the store did not answer.
const STORE_PAUSE: Duration = Duration::from_millis(500);

/// See the file. Does nothing until [`Candidate::run`] is polled.
#[derive(Debug)]
pub struct Candidate {
    kv: Arc<dyn Kv>,
    options: Options,
    address: String,
    probe: Probe,
    roles: watch::Sender<Role>,
    /// The cluster that it saw in the store.
    watched: OnceLock<String>,
    /// The newest point that this process ever saw in the store, or wrote, once it is known that it counts: it may have been
    /// an older store that nobody is to serve.
    remembered: Mutex<Option<Point>>,
    /// Tells this process from others that answer at its address.
    nonce: u64,
    /// Addresses of processes that took the order while this one held it and lived: what lies between may refuse for them.
    /// Where one refuses, only its head is believed, until it was reached.
    doubted: Mutex<BTreeSet<String>>,
    /// Why it can neither watch nor take over.
    trouble: Trouble,
}

/// What a candidate says of itself until it has compared the store with what is remembered of it.
const NOT_LOOKED: &str = "it has not looked at the metadata store yet";

impl Candidate {
    /// One that agents reach at `address`, which must be this process's alone, and by a [`crate::rpc::Server`] with its
    /// status.
    #[must_use]
    pub fn new(kv: Arc<dyn Kv>, mut options: Options, address: String, probe: Probe) -> Self {
        options.serves = Serves::Network(address.clone());
        let holder = String::new();
        Self {
            kv,
            address,
            probe,
            roles: watch::Sender::new(Role::Waiting { holder }),
            nonce: (options.random)(),
            doubted: Mutex::default(),
            trouble: Arc::new(Mutex::new(Some(NOT_LOOKED.to_owned()))),
            watched: OnceLock::new(),
            remembered: Mutex::new(None),
            options,
        }
    }

    /// For the server, for health and for metrics.
    #[must_use]
    pub fn status(&self) -> Status {
        let random = Arc::clone(&self.options.random);
        let trouble = Arc::clone(&self.trouble);
        Status::new(self.roles.subscribe(), self.nonce, random, trouble)
    }

    /// Until `stop` resolves: then the last checkpoint is written and others may take over at once.
    ///
    /// # Errors
    /// When the store is damaged, went back in time or was written by a newer version, and when another process answers at
    /// the address.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        tokio::pin!(stop);
        let (mut is_alone, mut deposed) = (false, false);
        loop {
            let waiting = async {
                if !is_alone {
                    self.look_for_others().await?;
                }
                self.wait(deposed).await
            };
            let (metadata, sequencer) = tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                held = waiting => held?,
            };
            is_alone = true;
            tracing::info!(
                address = self.address,
                writes = metadata.shared().level.load(Ordering::Acquire),
                reads = level::known(),
                "holds the order"
            );
            self.roles.send_replace(Role::Holding(metadata.clone()));
            let running = sequencer.run();
            tokio::pin!(running);
            let ended = tokio::select! {
                biased;
                ended = &mut running => ended,
                () = &mut stop => {
                    let (ended, ()) = tokio::join!(&mut running, metadata.close());
                    self.step_down();
                    return ended;
                }
            };
            self.step_down();
            self.remember(metadata.shared().point());
            match ended {
                Err(Error::Fenced) => {
                    tracing::warn!("another process holds the order now");
                    deposed = true;
                }
                ended => return ended,
            }
        }
    }

    fn memory(&self) -> Option<Memory> {
        (*self.remembered.lock()).map(Memory::own)
    }

    fn remember(&self, point: Option<Point>) {
        if point.is_some() {
            *self.remembered.lock() = point;
        }
    }

    fn step_down(&self) {
        let holder = String::new();
        self.roles.send_replace(Role::Waiting { holder });
    }

    /// Two processes behind one address, as of a load balancer, would take each other for themselves.
    async fn look_for_others(&self) -> Result<(), Error> {
        let mut unclear = None;
        for _ in 0..OWN_PROBES {
            let asked = timeout(OWN_PROBE_TIME_MAX, self.probe.of(&self.address)).await;
            match asked {
                Ok(Found::Process(nonce)) if nonce != self.nonce => return Err(self.shared()),
                Ok(Found::Process(_)) => {}
                Ok(Found::Nobody) => unclear = Some("the connection is refused".to_owned()),
                Ok(Found::Unclear(reason)) => unclear = Some(reason),
                Err(_) => {
                    unclear = Some("no answer".to_owned());
                    break;
                }
            }
        }
        if let Some(reason) = unclear {
            let address = &self.address;
            tracing::warn!(
                address,
                reason,
                "cannot reach itself at the address that others are told: correct --advertise (an agent: --peer-advertise)"
            );
        }
        Ok(())
    }

    fn shared(&self) -> Error {
        Error::AddressShared(self.address.clone())
    }

    /// Watches, until it holds the order. `deposed`: by whoever holds it now, for no reason of its own.
    async fn wait(&self, mut deposed: bool) -> Result<(Metadata, Sequencer), Error> {
        let mut seen: Option<Seen> = None;
        loop {
            if std::mem::take(&mut deposed)
                && let Err(error) = self.doubt_holder().await
            {
                tracing::debug!(%error, "cannot see who holds the order");
                deposed = true;
            }
            let looked = self.look(&mut seen).await;
            if looked.is_ok() {
                *self.trouble.lock() = None;
            }
            match looked {
                Ok(Some(held)) => return Ok(held),
                Ok(None) => sleep(LOOK_INTERVAL).await,
                Err(Error::Unavailable { reason, .. }) => {
                    self.troubled(reason);
                    if let Some(seen) = &mut seen {
                        seen.store_failed();
                    }
                    sleep(STORE_PAUSE).await;
                }
                // Somebody was faster in the middle of it: the next look sees who.
                Err(Error::Fenced) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Said once for each reason: it is looked again twice a second.
    fn troubled(&self, reason: String) {
        let mut trouble = self.trouble.lock();
        if trouble.as_ref() != Some(&reason) {
            tracing::warn!(
                reason,
                "the metadata store can be neither watched nor taken over"
            );
        }
        *trouble = Some(reason);
    }

    async fn look(&self, seen: &mut Option<Seen>) -> Result<Option<(Metadata, Sequencer)>, Error> {
        let kv = self.kv.as_ref();
        let Format { cluster_id, .. } = self.open().await?;
        // Before the store, which is never behind what the bucket remembers of it.
        let begun = Instant::now();
        let asked = match Seen::is_to_be_vouched_for(seen.as_ref()) {
            true => Some(self.ask_in_passing(&cluster_id).await),
            false => None,
        };
        let reading = Instant::now();
        let past = Past::read(kv).await?;
        let memory = self.memory();
        if let Some(memory) = &memory
            && let Err(error) = past.check(memory)
        {
            let witness = self.options.witness.as_ref();
            leave_word(kv, witness, &cluster_id, Some(memory.point)).await;
            return Err(error);
        }
        let before = seen.take();
        let seen = seen.insert(Seen::next(before, &past, reading)?);
        if let Some(asked) = asked {
            let agrees = |known: Option<Memory>| known.is_none_or(|it| past.check(&it).is_ok());
            seen.asked(begun, asked.is_ok_and(agrees));
        }
        if seen.counts() {
            self.remember(past.point()?);
        }
        let owner = past.owner;
        let holder = Owner::decode(owner.clone())?;
        if !self.is_gone(&holder, seen.still()).await? {
            return Ok(None);
        }
        let witness = match seen.counts() {
            true => match self.ask_in_passing(&cluster_id).await {
                // It was frozen meanwhile, and another may have held the order.
                Err(Error::Unavailable { .. }) if !seen.is_of_now() => return Ok(None),
                Err(Error::Unavailable { reason, .. }) => {
                    tracing::warn!(reason, "takes over by what this process saw itself");
                    None
                }
                witness => witness?,
            },
            false => ask(self.options.witness.as_ref(), &cluster_id).await?,
        };
        let memories: Vec<_> = memory.into_iter().chain(witness).collect();
        let taken = takeover::succeed(kv, &self.options, owner, &memories).await?;
        let Some((holder, state)) = taken else {
            return Ok(None);
        };
        let held = Held {
            time: StateTime::take_over(state.cluster.now, &self.options),
            holder,
            state,
        };
        let (kv, options) = (Arc::clone(&self.kv), self.options.clone());
        Ok(Some(assemble(kv, options, held, cluster_id, NO_SESSION)))
    }

    /// What the bucket remembers, if it says so soon.
    async fn ask_in_passing(&self, cluster_id: &str) -> Result<Option<Memory>, Error> {
        let asking = ask(self.options.witness.as_ref(), cluster_id);
        let late = |_| Error::bucket_away("it does not answer".to_owned());
        timeout(ASK_TIME_MAX, asking).await.map_err(late)?
    }

    /// The store, of one cluster for as long as this process lives.
    async fn open(&self) -> Result<Format, Error> {
        let kv = self.kv.as_ref();
        let Some(watched) = self.watched.get() else {
            let format = takeover::open(kv, &self.options).await?;
            self.watched.get_or_init(|| format.cluster_id.clone());
            return Ok(format);
        };
        let opened = takeover::open_again(kv, watched).await;
        let point = *self.remembered.lock();
        if let Err(Error::Replaced { .. }) = &opened {
            leave_last_word(self.options.witness.as_ref(), watched, point).await;
        }
        opened
    }

    async fn doubt_holder(&self) -> Result<(), Error> {
        let Past { owner, .. } = Past::read(self.kv.as_ref()).await?;
        if let Some(Address::At(address)) = Owner::decode(owner)?.serves {
            self.doubted.lock().insert(address);
        }
        Ok(())
    }

    async fn is_gone(&self, holder: &Owner, still: Duration) -> Result<bool, Error> {
        if self.kv.is_exclusive() {
            return Ok(true);
        }
        let address = match &holder.serves {
            // It had the store to itself, and now this process has opened it.
            None | Some(Address::Left) => return Ok(true),
            Some(Address::At(address)) => address,
        };
        let holder = address.clone();
        self.roles.send_replace(Role::Waiting { holder });
        if still >= HEAD_STILL_MAX {
            tracing::warn!(holder = address, "the holder of the order is silent");
            return Ok(true);
        }
        let found = timeout(PROBE_TIME_MAX, self.probe.of(address)).await;
        if let Ok(Found::Process(_)) = found {
            self.doubted.lock().remove(address);
        }
        match found {
            Ok(Found::Nobody) => Ok(!self.doubted.lock().contains(address)),
            Ok(Found::Process(nonce)) if nonce == self.nonce => Ok(still >= OWN_STILL_MAX),
            // Whoever it is, it came to an address that is this process's.
            Ok(Found::Process(_)) if *address == self.address => Err(self.shared()),
            Ok(Found::Process(_) | Found::Unclear(_)) | Err(_) => Ok(false),
        }
    }
}
