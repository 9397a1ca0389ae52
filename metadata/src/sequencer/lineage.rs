//! Who wrote the store, and whether it still holds what is remembered of it: a store that went back in time is not
//! served from. What is remembered comes from this process, which held the order or watched whoever did, and from the
//! witness in the bucket.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout};

use super::doubts::Doubts;
use super::store::Head;
use crate::error::Error;
use crate::history::{Chain, HistoryId, Holds, Point};
use crate::keys::Key;
use crate::kv::Kv;
use crate::types::Lsn;
use crate::witness::{Remembered, TIME_MAX, WRITE_INTERVAL, Witness};

/// Attempts to read chain and head as they belong together.
const ATTEMPTS: usize = 10;

/// An agent that knows better has left word by then, if it could.
const DOUBT_PAUSE: Duration = Duration::from_secs(1);

/// A process that ends waits so long for the bucket to remember its last point.
pub(super) const LAST_WRITE_TIME_MAX: Duration = Duration::from_secs(2);

/// What a holder made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lineage {
    pub(crate) chain: Arc<Chain>,
    pub(crate) durable: Lsn,
}

/// The holder writes it, others look.
pub(crate) type Known = Arc<Mutex<Lineage>>;

impl Lineage {
    pub(crate) fn point(&self) -> Option<Point> {
        self.chain.point(self.durable)
    }
}

/// Something remembered, and by whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory {
    pub(super) who: &'static str,
    pub(super) point: Point,
}

impl Memory {
    /// Of this process, which held the order or watched who did.
    pub(super) fn own(point: Point) -> Self {
        let who = "this process";
        Self { who, point }
    }

    /// Of the bucket, which its witness says.
    pub(super) fn of_bucket(point: Point) -> Self {
        let who = "the bucket";
        Self { who, point }
    }

    /// Whether a store with this chain and head may be served from.
    ///
    /// # Errors
    /// `WentBack`.
    pub(super) fn check(&self, chain: &Chain, head: Lsn) -> Result<(), Error> {
        planted!("lineage-not-checked", return Ok(()));
        let Self { who, point } = self;
        match chain.holds(head, point) {
            Holds::Yes => Ok(()),
            Holds::Accepted => {
                tracing::warn!(
                    who,
                    lsn = point.lsn.0,
                    "an older store was accepted: what was remembered past it is given up"
                );
                Ok(())
            }
            Holds::No | Holds::TooOld => Err(Error::WentBack(format!(
                "{who} remembers log position {} of history {}, written by the holder of epoch {}, and the store, \
                 at position {} of history {}, does not hold it",
                point.lsn.0,
                point.history,
                point.epoch,
                head.0,
                chain.history()
            ))),
        }
    }
}

/// The rows that say who writes, as of one moment.
#[derive(Clone, Debug)]
pub(super) struct Past {
    pub(super) owner: Bytes,
    pub(super) head: Bytes,
    pub(super) chain: Chain,
}

impl Past {
    pub(super) async fn read(kv: &dyn Kv) -> Result<Self, Error> {
        let mut chain = the_row(kv, Key::Lineage).await?;
        for _ in 0..ATTEMPTS {
            let (owner, head) = (
                the_row(kv, Key::Owner).await?,
                the_row(kv, Key::Head).await?,
            );
            // A new owner writes itself into the chain: with the same chain before and after, nobody took over between.
            let again = the_row(kv, Key::Lineage).await?;
            if again == chain {
                let chain = lineage(chain)?;
                return Ok(Self { owner, head, chain });
            }
            chain = again;
        }
        Err(Error::unavailable(
            "other processes keep taking over the store",
        ))
    }

    pub(super) fn lsn(&self) -> Result<Lsn, Error> {
        Ok(Head::decode(self.head.clone())?.lsn)
    }

    /// What to remember of it.
    pub(super) fn point(&self) -> Result<Option<Point>, Error> {
        Ok(self.chain.point(self.lsn()?))
    }

    pub(super) fn check(&self, memory: &Memory) -> Result<(), Error> {
        memory.check(&self.chain, self.lsn()?)
    }
}

/// Whether a store holds a point.
pub(super) async fn holds(kv: &dyn Kv, point: &Point) -> Result<Holds, Error> {
    if kv.get(&Key::Lineage.encode()).await?.is_none() {
        return Ok(Holds::No);
    }
    let past = Past::read(kv).await?;
    Ok(past.chain.holds(past.lsn()?, point))
}

/// The chain that a row holds.
pub(super) fn lineage(row: Bytes) -> Result<Chain, Error> {
    Chain::from_row(row).map_err(|_| Error::unreadable(&Key::Lineage.encode()))
}

/// A row without which no store is whole.
///
/// # Errors
/// `Corrupt` where it is missing.
pub(super) async fn the_row(kv: &dyn Kv, key: Key) -> Result<Bytes, Error> {
    let row = kv.get(&key.encode()).await?;
    row.ok_or_else(|| Error::missing(key))
}

/// What the bucket remembers of this cluster.
///
/// # Errors
/// `Unavailable` when it cannot be asked, `OtherBucket` when it is another cluster's.
pub(super) async fn ask(
    witness: Option<&Witness>,
    cluster_id: &str,
) -> Result<Option<Memory>, Error> {
    let Some(witness) = witness else {
        return Ok(None);
    };
    planted!("witness-not-asked", return Ok(None));
    let Some(Remembered { cluster, point, .. }) = read(witness).await? else {
        return Ok(None);
    };
    if cluster != cluster_id {
        return Err(Error::OtherBucket {
            bucket: cluster,
            metadata: cluster_id.to_owned(),
        });
    }
    Ok(point.map(Memory::of_bucket))
}

async fn read(witness: &Witness) -> Result<Option<Remembered>, Error> {
    let read = timeout(TIME_MAX, (witness.read)()).await;
    let read = read.unwrap_or_else(|_| Err("it does not answer".to_owned()));
    read.map_err(|reason| {
        Error::bucket_away(format!(
            "what it remembers of the metadata cannot be read: {reason}"
        ))
    })
}

/// The cluster whose bucket it is, if it says so.
///
/// # Errors
/// `Unavailable` when it cannot be asked.
pub(super) async fn bucket_of(witness: Option<&Witness>) -> Result<Option<String>, Error> {
    let Some(witness) = witness else {
        return Ok(None);
    };
    Ok(read(witness).await?.map(|remembered| remembered.cluster))
}

/// Keeps the bucket's memory fresh for as long as it is polled. Resolves when the bucket remembers what the store does
/// not hold: then two stores go on from one past.
pub(super) async fn keep_witness(
    kv: &dyn Kv,
    witness: Option<&Witness>,
    cluster_id: &str,
    known: &Known,
    doubts: &Doubts,
) -> Error {
    let Some(witness) = witness else {
        return pending().await;
    };
    let (mut written, mut asked_at) = (None, None::<Instant>);
    loop {
        let now = known.lock().clone();
        if now.point().is_some() && now.point() != written {
            match witness_once(kv, witness, cluster_id, &now).await {
                Ok(()) => written = now.point(),
                Err(Error::Unavailable { reason, .. }) => {
                    tracing::warn!(reason, "the witness in the bucket gets old");
                }
                Err(error) => return error,
            }
        }
        if timeout(WRITE_INTERVAL, doubts.heard()).await.is_ok() {
            // Nobody's word alone stops a holder: an agent that stops has the bucket remember first. Nor does it have the
            // bucket asked more often than it is written to anyhow, for it may come from a stranger, again and again.
            let soon = Instant::now() + DOUBT_PAUSE;
            let at = asked_at.map_or(soon, |before| soon.max(before + WRITE_INTERVAL));
            sleep_until(at).await;
            (written, asked_at) = (None, Some(at));
        }
    }
}

/// Writes what the holder made durable, unless the bucket remembers something else by now.
pub(super) async fn witness_once(
    kv: &dyn Kv,
    witness: &Witness,
    cluster_id: &str,
    known: &Lineage,
) -> Result<(), Error> {
    if let Some(memory) = ask(Some(witness), cluster_id).await?
        && memory.check(&known.chain, known.durable).is_err()
    {
        // By somebody who took over meanwhile, perhaps.
        let past = Past::read(kv).await?;
        past.check(&memory)?;
        return match past.chain == *known.chain {
            true => Ok(()),
            false => Err(Error::Fenced),
        };
    }
    let history = known.chain.history();
    write(witness, cluster_id, history, known.point()).await
}

async fn write(
    witness: &Witness,
    cluster_id: &str,
    history: HistoryId,
    point: Option<Point>,
) -> Result<(), Error> {
    let remembered = Remembered {
        cluster: cluster_id.to_owned(),
        history,
        point,
    };
    let written = timeout(TIME_MAX, (witness.write)(remembered)).await;
    let written = written.unwrap_or_else(|_| Err("it does not answer".to_owned()));
    written.map_err(Error::bucket_away)
}

/// A process that stops because it remembers more than the store holds leaves that to the bucket, whose own memory may be
/// some seconds older: who starts next knows it, too.
pub(super) async fn leave_word(
    kv: &dyn Kv,
    witness: Option<&Witness>,
    cluster_id: &str,
    point: Option<Point>,
) {
    if let (Some(witness), Some(point)) = (witness, point) {
        let knows = async |memory: Memory| Ok(Past::read(kv).await?.check(&memory).is_err());
        tell(witness, cluster_id, point, knows).await;
    }
}

/// The same where nothing of that cluster is left in the store: a copy of it may be older than what this process saw.
pub(super) async fn leave_last_word(
    witness: Option<&Witness>,
    cluster_id: &str,
    point: Option<Point>,
) {
    if let (Some(witness), Some(point)) = (witness, point) {
        let newer = |memory: Point| memory.history != point.history || memory.lsn >= point.lsn;
        let knows = async |memory: Memory| Ok(newer(memory.point));
        tell(witness, cluster_id, point, knows).await;
    }
}

/// The same of an agent that was welcomed by a process over such a store.
pub(crate) async fn leave_word_of_agent(
    witness: Option<&Witness>,
    cluster_id: &str,
    point: Option<Point>,
    store: &Lineage,
) {
    let lacks = |point: &Point| store.chain.holds(store.durable, point) == Holds::No;
    // One that was away for too long proves nothing.
    if let (Some(witness), Some(point)) = (witness, point.filter(lacks)) {
        let knows = async |memory: Memory| Ok(lacks(&memory.point));
        tell(witness, cluster_id, point, knows).await;
    }
}

/// Has the bucket remember a point, unless what it remembers says as much: that the store went back.
async fn tell(
    witness: &Witness,
    cluster_id: &str,
    point: Point,
    knows: impl AsyncFnOnce(Memory) -> Result<bool, Error>,
) {
    let leaving = async {
        if let Some(memory) = ask(Some(witness), cluster_id).await?
            && knows(memory).await?
        {
            return Ok(());
        }
        write(witness, cluster_id, point.history, Some(point)).await
    };
    match timeout(LAST_WRITE_TIME_MAX, leaving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the bucket could not be told what was lost"),
        Err(_) => tracing::warn!("the bucket does not answer and was not told what was lost"),
    }
}
