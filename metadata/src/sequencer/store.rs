//! The fence: every write of a sequencer expects the owner row to be its own and the head row as it left it. An unclear
//! outcome is made clear before anything else happens.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::lineage::{Known, Memory, Past, the_row};
use super::{Options, Serves};
use crate::codec::{Decoder, Encoder, Unreadable};
use crate::effect::{ClusterEffect, Effect, LogBytes};
use crate::error::{Error, Failed, Happened};
use crate::keys::Key;
use crate::kv::{Kv, KvError, Transaction};
use crate::level::Format;
use crate::types::Lsn;

const VERSION: u8 = 1;
/// Attempts to find out what became of a transaction before the state is loaded anew.
const RESOLVE_ATTEMPTS: usize = 3;

/// A transaction that a busy store did not do is sent again after pauses that double from one to the other: for 0.6 s in
/// all, in which nobody takes the head for standing still.
const BUSY_PAUSE_MIN: Duration = Duration::from_millis(10);
const BUSY_PAUSE_MAX: Duration = Duration::from_millis(320);

/// Rows of a drain's log are cut to so many bytes, and a transaction takes about so many bytes of them.
pub(super) const LOG_ROW_BYTES: usize = 60 * 1024;
const LOG_TRANSACTION_BYTES: usize = 768 * 1024;

/// What this sequencer last wrote as owner and head.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) epoch: u64,
    pub(super) owner: Bytes,
    pub(super) head: Bytes,
    /// Bytes of log that were in no rows when it took over.
    pub(super) replayed: u64,
    /// The owner row with which it tries to take up work again; one attempt may have succeeded unnoticed.
    pub(super) claim: Option<Owner>,
    /// What it made durable, or found so.
    pub(super) known: Known,
}

/// A drain's log in as few transactions as it takes, nearly always one. Only the last one counts: it moves the head, and
/// rows past the head are nothing.
pub(super) fn log_transactions(lsn: Lsn, log: LogBytes) -> Vec<Transaction> {
    let mut transactions = vec![Transaction::default()];
    let mut bytes = 0;
    for (part, row) in (0..).zip(log.into_rows(lsn, LOG_ROW_BYTES)) {
        if bytes + row.len() > LOG_TRANSACTION_BYTES {
            transactions.push(Transaction::default());
            bytes = 0;
        }
        bytes += row.len();
        if let Some(last) = transactions.last_mut() {
            last.set(Key::Log(lsn, part).encode(), row);
        }
    }
    transactions
}

/// What goes with effects that raise the feature level: versions that cannot read it refuse the store at their first look.
///
/// # Errors
/// When the store does not answer; nothing was written.
pub(super) async fn shut_out(
    kv: &dyn Kv,
    effects: &[Effect],
    transactions: &mut [Transaction],
) -> Result<(), Error> {
    let raised = effects.iter().filter_map(|effect| match effect {
        Effect::Cluster(ClusterEffect::FeatureLevelRaised { level }) => Some(*level),
        _ => None,
    });
    let (Some(level), Some(last)) = (raised.max(), transactions.last_mut()) else {
        return Ok(());
    };
    let row = the_row(kv, Key::Format).await?;
    let format = Format::decode(row)?.raised(level);
    last.set(Key::Format.encode(), format.encode());
    Ok(())
}

/// Sends a transaction again while a busy store says for certain that it did not do it, but not for long.
pub(super) async fn commit(kv: &dyn Kv, transaction: Transaction) -> Result<(), KvError> {
    let mut pause = BUSY_PAUSE_MIN;
    loop {
        match kv.commit(transaction.clone()).await {
            Err(KvError::Busy(reason)) if pause <= BUSY_PAUSE_MAX => {
                tracing::debug!(reason, "the metadata store is busy");
                sleep(pause).await;
                pause *= 2;
            }
            done => return done,
        }
    }
}

/// The head row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) lsn: Lsn,
    /// Tells two writes of the same lsn apart.
    pub(super) nonce: u64,
    /// Counts writes of other rows than the log's, by which whoever reads rows beside a holder knows that they fit
    /// together.
    pub(super) rows: u64,
}

impl Head {
    pub(super) fn encode(self) -> Bytes {
        let mut row = Encoder::versioned(VERSION);
        row.u64(self.lsn.0);
        row.u64(self.nonce);
        row.u64(self.rows);
        row.sealed(&Key::Head.encode())
    }

    pub(super) fn decode(row: Bytes) -> Result<Self, Error> {
        let key = Key::Head.encode();
        Self::under(&key, row).map_err(|_| Error::unreadable(&key))
    }

    fn under(key: &Bytes, row: Bytes) -> Result<Self, Unreadable> {
        let mut row = Decoder::versioned(key, row, VERSION)?;
        let head = Self {
            lsn: Lsn(row.u64()?),
            nonce: row.u64()?,
            rows: row.u64()?,
        };
        row.end()?;
        Ok(head)
    }

    /// The next one, with a log up to `lsn`.
    fn next(self, lsn: Lsn, rows: u64, options: &Options) -> Self {
        Self {
            lsn,
            nonce: (options.random)(),
            rows: self.rows.wrapping_add(rows),
        }
    }
}

/// The owner row of a sequencer that serves a network. Embedded ones write the older row, without an address.
const VERSION_WITH_ADDRESS: u8 = 2;

/// The owner row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) epoch: u64,
    /// Tells two take-overs of the same epoch apart.
    pub(super) nonce: u64,
    /// Where agents reach it; `None` for one that serves its own process.
    pub(super) serves: Option<Address>,
}

/// Where the holder serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    At(String),
    /// Nowhere any more: it said goodbye.
    Left,
}

impl Owner {
    pub(super) fn new(epoch: u64, options: &Options) -> Self {
        let serves = match &options.serves {
            Serves::ThisProcess => None,
            Serves::Network(address) => Some(Address::At(address.clone())),
        };
        Self {
            epoch,
            nonce: (options.random)(),
            serves,
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        let version = match self.serves {
            None => VERSION,
            Some(_) => VERSION_WITH_ADDRESS,
        };
        let mut row = Encoder::versioned(version);
        row.u64(self.epoch);
        row.u64(self.nonce);
        match &self.serves {
            None => {}
            Some(Address::At(address)) => row.text(address),
            Some(Address::Left) => row.text(""),
        }
        row.sealed(&Key::Owner.encode())
    }

    pub(super) fn decode(row: Bytes) -> Result<Self, Error> {
        let key = Key::Owner.encode();
        Self::under(&key, row).map_err(|_| Error::unreadable(&key))
    }

    fn under(key: &Bytes, row: Bytes) -> Result<Self, Unreadable> {
        let mut row = Decoder::sealed(key, row)?;
        let version = row.u8()?;
        let (epoch, nonce) = (row.u64()?, row.u64()?);
        let serves = match version {
            VERSION => None,
            VERSION_WITH_ADDRESS => Some(match row.text()? {
                address if address.is_empty() => Address::Left,
                address => Address::At(address),
            }),
            _ => return Err(Unreadable),
        };
        row.end()?;
        Ok(Self {
            epoch,
            nonce,
            serves,
        })
    }
}

/// What became of a transaction that was unclear, now that a later one of ours succeeded.
enum Resolved {
    Landed,
    /// It did not, and can no longer: the head it expects is gone.
    Never,
}

impl Holder {
    /// Appends a drain to the log. `rows`: whether the last of its transactions writes other rows as well.
    pub(super) async fn append(
        &mut self,
        kv: &dyn Kv,
        lsn: Lsn,
        mut transactions: Vec<Transaction>,
        rows: u64,
        options: &Options,
    ) -> Result<(), Failed> {
        let last = transactions.pop().unwrap_or_default();
        for transaction in transactions {
            let written = self.write(kv, transaction, options).await;
            // Whatever became of these rows, the head did not move.
            written.map_err(Error::never_happened)?;
        }
        self.advance(kv, last, lsn, rows, options).await
    }

    /// Writes with a head of the same lsn: checkpoints.
    pub(super) async fn write(
        &mut self,
        kv: &dyn Kv,
        transaction: Transaction,
        options: &Options,
    ) -> Result<(), Error> {
        let lsn = Head::decode(self.head.clone())?.lsn;
        let rows = u64::from(!transaction.writes.is_empty());
        Ok(self.advance(kv, transaction, lsn, rows, options).await?)
    }

    /// Writes with a head of `lsn`. On success the holder's head is the new one.
    ///
    /// # Errors
    /// `Fenced` when somebody else took over, `WentBack` when the store lost what was durable; and with each, whether it
    /// may have happened before.
    async fn advance(
        &mut self,
        kv: &dyn Kv,
        writes: Transaction,
        lsn: Lsn,
        rows: u64,
        options: &Options,
    ) -> Result<(), Failed> {
        let mut last = KvError::Conflict;
        for _ in 0..2 {
            let head = Head::decode(self.head.clone())?;
            let next = head.next(lsn, rows, options).encode();
            let mut transaction = writes.clone();
            transaction.expect(Key::Owner.encode(), Some(self.owner.clone()));
            transaction.expect(Key::Head.encode(), Some(self.head.clone()));
            planted!("fence-off", transaction.expect.clear());
            planted!("head-not-expected", transaction.expect.truncate(1));
            transaction.set(Key::Head.encode(), next.clone());
            match commit(kv, transaction).await {
                Ok(()) => {
                    self.wrote(next, lsn);
                    return Ok(());
                }
                // A store may report a conflict for what it knows not to have happened: look who holds it.
                Err(error @ (KvError::Conflict | KvError::TooOld)) => {
                    self.explain(kv).await?;
                    last = error;
                }
                #[cfg(feature = "planted-bugs")]
                Err(KvError::Unknown(_)) if crate::planted::is("unknown-is-done") => {
                    self.wrote(next, lsn);
                    return Ok(());
                }
                Err(KvError::Unknown(reason)) => match self.resolve(kv, &next, options).await {
                    Ok(Resolved::Landed) => {
                        self.known.lock().durable = lsn;
                        return Ok(());
                    }
                    Ok(Resolved::Never) => last = KvError::Unknown(reason),
                    Err(error) => {
                        // Also where another process took over: it may have found the transaction there.
                        let error = match error {
                            Error::Unavailable { .. } => Error::unknown(reason),
                            error => error,
                        };
                        let happened = Happened::Unknown;
                        return Err(Failed { happened, error });
                    }
                },
                Err(error) => return Err(error.into()),
            }
        }
        Err(match last {
            KvError::TooOld => last.into(),
            // It is known that it did not happen.
            KvError::Unknown(reason) => Error::unavailable(reason).into(),
            _ => Error::unavailable("transactions conflict again and again").into(),
        })
    }

    /// In the place of `before`, whom others know by the same lineage.
    pub(super) fn known_as(self, before: &Self) -> Self {
        let lineage = self.known.lock().clone();
        *before.known.lock() = lineage;
        let known = Known::clone(&before.known);
        Self { known, ..self }
    }

    fn wrote(&mut self, head: Bytes, lsn: Lsn) {
        self.head = head;
        self.known.lock().durable = lsn;
    }

    /// What this process made durable, if anything.
    pub(super) fn memory(&self) -> Option<Memory> {
        self.known.lock().point().map(Memory::own)
    }

    /// Why a transaction conflicts. An error that is none of the store's whims ends this process's hold.
    async fn explain(&self, kv: &dyn Kv) -> Result<(), Error> {
        self.check_owner(kv).await?;
        if kv.get(&Key::Head.encode()).await?.as_ref() == Some(&self.head) {
            return Ok(());
        }
        // Nobody else moves the head, so this is a head of long ago.
        self.check_past(&Past::read(kv).await?)?;
        let reason = "the head row is not as it was left";
        Err(Error::unavailable(reason))
    }

    /// Whether the store holds what this process made durable.
    ///
    /// # Errors
    /// `WentBack`.
    pub(super) fn check_past(&self, past: &Past) -> Result<(), Error> {
        self.memory().map_or(Ok(()), |memory| past.check(&memory))
    }

    /// Lets others take over at once. It may fail: they find out by themselves.
    pub(super) async fn leave(&mut self, kv: &dyn Kv) -> Result<(), Error> {
        let mut owner = Owner::decode(self.owner.clone())?;
        owner.serves = Some(Address::Left);
        let mut transaction = Transaction::default();
        transaction.expect(Key::Owner.encode(), Some(self.owner.clone()));
        transaction.set(Key::Owner.encode(), owner.encode());
        Ok(kv.commit(transaction).await?)
    }

    /// Is this process still the one that writes?
    pub(super) async fn check_owner(&self, kv: &dyn Kv) -> Result<(), Error> {
        planted!("confirmed-read-skipped", return Ok(()));
        match kv.get(&Key::Owner.encode()).await? {
            Some(owner) if owner == self.owner => Ok(()),
            // Of somebody later, or of long ago.
            _ => {
                self.check_past(&Past::read(kv).await?)?;
                Err(Error::Fenced)
            }
        }
    }

    /// Rewrites the head, whichever it is: of what is found, a transaction of ours that succeeds makes it certain that it
    /// stays. What can be read may be there only for now, as where a database was told not to wait for its standby.
    async fn resolve(
        &mut self,
        kv: &dyn Kv,
        expected: &Bytes,
        options: &Options,
    ) -> Result<Resolved, Error> {
        let mut last = KvError::Unavailable("not tried".to_owned());
        // Heads that are there only if the unclear transaction is: its own, and those written over that.
        let mut behind = vec![expected.clone()];
        for _ in 0..RESOLVE_ATTEMPTS {
            match self.resolve_once(kv, &mut behind, options).await {
                Ok(Some(resolved)) => return Ok(resolved),
                Ok(None) => {}
                Err(Error::Unavailable { reason, .. }) => last = KvError::Unavailable(reason),
                Err(error) => return Err(error),
            }
        }
        Err(last.into())
    }

    async fn resolve_once(
        &mut self,
        kv: &dyn Kv,
        behind: &mut Vec<Bytes>,
        options: &Options,
    ) -> Result<Option<Resolved>, Error> {
        self.check_owner(kv).await?;
        let found = the_row(kv, Key::Head).await?;
        // Also when an earlier attempt of ours to resolve landed unnoticed: whatever is there is ours to replace.
        let head = Head::decode(found.clone())?;
        let landed = behind.contains(&found);
        if head.lsn < self.known.lock().durable {
            self.check_past(&Past::read(kv).await?)?;
        }
        if !landed && head.rows != Head::decode(self.head.clone())?.rows {
            // Of long ago: the log is whole, but rows that this process holds to be written are not there any more.
            let reason = "rows of the store are not as they were left";
            return Err(Error::unavailable(reason));
        }
        let probe = head.next(head.lsn, 0, options).encode();
        let mut transaction = Transaction::default();
        transaction.expect(Key::Owner.encode(), Some(self.owner.clone()));
        transaction.expect(Key::Head.encode(), Some(found));
        transaction.set(Key::Head.encode(), probe.clone());
        if landed {
            behind.push(probe.clone());
        }
        match commit(kv, transaction).await {
            Ok(()) => {
                self.head = probe;
                Ok(Some(match landed {
                    true => Resolved::Landed,
                    false => Resolved::Never,
                }))
            }
            Err(KvError::Conflict | KvError::TooOld | KvError::Unknown(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
