//! Becoming the one that writes. Checkpoint rows and the log after them are loaded first, beside whoever holds the order,
//! so that a version that cannot read them deposes nobody. Then one transaction replaces the owner row, which fences
//! everybody before, and writes the new owner into the chain. Anyone may do it at any time; nothing rests on a lease or a
//! clock.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

use super::Options;
use super::lineage::{Lineage, Memory, Past, ask, bucket_of, lineage, the_row};
use super::store::{Head, Holder, Owner, log_transactions, shut_out};
use crate::checkpoint;
use crate::codec::Unreadable;
use crate::command::{Command, Outcome, Submission};
use crate::effect::{LogBytes, decode_entry};
use crate::error::Error;
use crate::history::{Chain, HistoryId, Point};
use crate::keys::{self, Key};
use crate::kv::{Direction, Kv, KvError, Transaction, each_page};
use crate::level::{self, Format};
use crate::state::{Hold, State};
use crate::types::{BucketId, Lsn, Timestamp};

/// Rows read at a time.
const ROWS_PER_READ: usize = 1000;
/// Attempts when others take over at the same time.
const ATTEMPTS: usize = 5;
/// Attempts to read rows between two steps of a holder's checkpoint.
const READ_ATTEMPTS: usize = 5;
/// A holder that appends to the log all the while is caught up with so often before it is fenced without.
const ROUNDS_BESIDE: usize = 5;
/// After that nobody appends any more.
const ROUNDS_MAX: usize = ROUNDS_BESIDE + 5;

/// The cluster's id and levels. A store that is empty is made one, unless the bucket remembers a cluster: then its rows are
/// lost, and what is written now would lie in the way of a copy that is brought back.
///
/// # Errors
/// `Emptied`, with nothing written.
pub(super) async fn open(kv: &dyn Kv, options: &Options) -> Result<Format, Error> {
    if let Some(format) = format(kv).await? {
        return Ok(format);
    }
    match bucket_of(options.witness.as_ref()).await? {
        None => create(kv, options).await,
        // By another process meanwhile, perhaps, which then told the bucket.
        Some(cluster) => format(kv).await?.ok_or(Error::Emptied(cluster)),
    }
}

/// The same, by a process that saw that cluster in the store before: a store has one for all its life.
///
/// # Errors
/// `Replaced`, with nothing written.
pub(super) async fn open_again(kv: &dyn Kv, cluster: &str) -> Result<Format, Error> {
    let found = match format(kv).await? {
        Some(format) if format.cluster_id == cluster => return Ok(format),
        Some(other) => format!("that of cluster {}", other.cluster_id),
        None => "empty".to_owned(),
    };
    let cluster = cluster.to_owned();
    Err(Error::Replaced { found, cluster })
}

/// The same, of a store that is left as it is; `None` of one in which nobody ever wrote.
///
/// # Errors
/// `Corrupt` where there are rows, and none says whose they are.
pub(super) async fn format(kv: &dyn Kv) -> Result<Option<Format>, Error> {
    if let Some(row) = kv.get(&Key::Format.encode()).await? {
        return Format::decode(row).map(Some);
    }
    let anything = kv.range(&[], &[u8::MAX; 64], 1, Direction::Forward).await?;
    if anything.is_empty() {
        return Ok(None);
    }
    // Made by another process a moment ago, or without what says whose it is: nothing is written over that.
    Format::decode(the_row(kv, Key::Format).await?).map(Some)
}

/// Takes over from that owner; `None` if it is another one by now.
///
/// # Errors
/// `WentBack` when the store does not hold what is remembered of it.
pub(super) async fn succeed(
    kv: &dyn Kv,
    options: &Options,
    owner: Bytes,
    memories: &[Memory],
) -> Result<Option<(Holder, State)>, Error> {
    let epoch = Owner::decode(owner.clone())?.epoch + 1;
    let mine = Owner::new(epoch, options);
    take_over(kv, owner, mine, memories, None).await
}

/// Takes over from whoever held the store, or makes a new one.
pub(super) async fn begin(
    kv: &dyn Kv,
    options: &Options,
) -> Result<(Holder, State, String), Error> {
    let Format { cluster_id, .. } = open(kv, options).await?;
    let witness = ask(options.witness.as_ref(), &cluster_id).await?;
    for _ in 0..ATTEMPTS {
        let owner = the_row(kv, Key::Owner).await?;
        let held = succeed(kv, options, owner, witness.as_slice()).await?;
        if let Some((holder, state)) = held {
            return Ok((holder, state, cluster_id));
        }
    }
    Err(Error::unavailable(
        "other processes keep taking over the store",
    ))
}

/// Takes up work again after the store failed, unless somebody else took over meanwhile. To be tried again while it is
/// unavailable.
pub(super) async fn resume(
    kv: &dyn Kv,
    options: &Options,
    holder: &mut Holder,
) -> Result<State, Error> {
    let past = Past::read(kv).await?;
    holder.check_past(&past)?;
    // The same row in every attempt, so that an earlier one that landed late is known as this process's own.
    let claim = || Owner::new(holder.epoch + 1, options);
    let mine = holder.claim.get_or_insert_with(claim).clone();
    if past.owner != holder.owner && past.owner != mine.encode() {
        return Err(Error::Fenced);
    }
    let memory = holder.memory();
    let taken = take_over(kv, past.owner, mine, memory.as_slice(), None).await?;
    let Some((held, state)) = taken else {
        return Err(Error::unavailable("the owner row changes"));
    };
    *holder = held.known_as(holder);
    Ok(state)
}

/// A history that begins with a take-over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begin {
    pub(super) history: HistoryId,
    /// Another one than the store's that ends there, too.
    pub(super) given_up: Option<HistoryId>,
    /// The leader epoch with which it begins, larger than any that the other one had.
    pub(super) leader_epoch: i32,
}

/// Replaces the owner row. `None`: it is not certain, or somebody else was faster; look again.
pub(super) async fn take_over(
    kv: &dyn Kv,
    owner: Bytes,
    mine: Owner,
    memories: &[Memory],
    begin: Option<Begin>,
) -> Result<Option<(Holder, State)>, Error> {
    let mut loaded = Loaded::read(kv).await?;
    let (mut owner, row) = (owner, mine.encode());
    for round in 0..ROUNDS_MAX {
        let head = Head::decode(loaded.head.clone())?.lsn;
        let chain = the_row(kv, Key::Lineage).await?;
        let mut chain = lineage(chain)?;
        memories
            .iter()
            .try_for_each(|memory| memory.check(&chain, head))?;
        if !chain.may_extend(mine.epoch, mine.nonce) {
            // The store was another one when the owner row was read.
            return Ok(None);
        }
        // It did already where the transaction of an earlier round landed late.
        if let Some(begin) = begin
            && begin.history != chain.history()
        {
            let given_up = begin.given_up.into_iter();
            given_up.for_each(|given| chain.give_up(given));
            chain.skip_leader_epochs(begin.leader_epoch.unsigned_abs().into());
            chain.begin_history(begin.history);
        }
        chain.extend(mine.epoch, mine.nonce, head);
        let mut transaction = Transaction::default();
        // The chain is rewritten together with the owner alone, so this holds it still, too.
        transaction.expect(Key::Owner.encode(), Some(owner.clone()));
        transaction.set(Key::Owner.encode(), row.clone());
        let whole = round != ROUNDS_BESIDE;
        if whole {
            transaction.expect(Key::Head.encode(), Some(loaded.head.clone()));
            transaction.set(Key::Lineage.encode(), chain.to_row());
            planted!("chain-not-written", drop(transaction.writes.pop()));
            if loaded.unfinished {
                let start = Key::Log(Lsn(head.0 + 1), 0).encode();
                transaction.clear_range(start, keys::all(b'l').1);
            }
        }
        match kv.commit(transaction).await {
            Ok(()) if whole => return Ok(Some(loaded.held(mine, chain))),
            Ok(()) => owner = row.clone(),
            // Ours is recognized by its nonce, and written once more: what is answered from the state that it loaded
            // rests on a transaction that succeeded, not on one that can be read.
            Err(KvError::Conflict | KvError::TooOld | KvError::Unknown(_)) => {
                let found = the_row(kv, Key::Owner).await?;
                if found != owner && found != row {
                    return Ok(None);
                }
                owner = found;
            }
            Err(error) => return Err(error.into()),
        }
        loaded = loaded.catch_up(kv).await?;
    }
    Ok(None)
}

/// The state as rows and log have it.
struct Loaded {
    state: State,
    /// As of this head.
    head: Bytes,
    /// Bytes of log that are in no rows.
    log_bytes: u64,
    /// Whether rows of a drain that was never finished lie past it.
    unfinished: bool,
}

impl Loaded {
    /// The same of a holder that must be gone.
    ///
    /// # Errors
    /// `Unavailable` when it writes checkpoints all the time; whoever does is not gone.
    async fn read(kv: &dyn Kv) -> Result<Self, Error> {
        let loaded = Self::read_beside(kv).await?;
        loaded.ok_or_else(keep_changing)
    }

    /// Reads beside a holder that may write meanwhile: its drains do no harm, and what does not fit together because it
    /// wrote a checkpoint is read again. `None` where it writes rows all the time.
    async fn read_beside(kv: &dyn Kv) -> Result<Option<Self>, Error> {
        for _ in 0..READ_ATTEMPTS {
            let before = Head::decode(head(kv).await?)?;
            let loaded = Self::read_once(kv).await;
            if Head::decode(head(kv).await?)?.rows == before.rows {
                return loaded.map(Some);
            }
        }
        Ok(None)
    }

    async fn read_once(kv: &dyn Kv) -> Result<Self, Error> {
        check_kinds(kv).await?;
        let state = checkpoint::load(kv).await?;
        let head = head(kv).await?;
        let lsn = Head::decode(head.clone())?.lsn;
        let replayed = replay_from(kv, state, lsn).await?;
        Ok(Self {
            state: replayed.state,
            head,
            log_bytes: replayed.log_bytes,
            unfinished: replayed.unfinished,
        })
    }

    /// What was written since.
    async fn catch_up(self, kv: &dyn Kv) -> Result<Self, Error> {
        let rows = Head::decode(self.head)?.rows;
        let head = head(kv).await?;
        let now = Head::decode(head.clone())?;
        if now.rows == rows {
            let caught_up = replay_from(kv, self.state, now.lsn).await;
            // A checkpoint that began since may have cleared the log.
            if Head::decode(self::head(kv).await?)?.rows == rows {
                let replayed = caught_up?;
                return Ok(Self {
                    state: replayed.state,
                    head,
                    log_bytes: self.log_bytes + replayed.log_bytes,
                    unfinished: replayed.unfinished,
                });
            }
        }
        Self::read(kv).await
    }

    fn held(self, mine: Owner, chain: Chain) -> (Holder, State) {
        let lineage = Lineage {
            chain: Arc::new(chain),
            durable: self.state.lsn,
        };
        let holder = Holder {
            epoch: mine.epoch,
            owner: mine.encode(),
            head: self.head,
            replayed: self.log_bytes,
            claim: None,
            known: Arc::new(Mutex::new(lineage)),
        };
        (holder, self.state)
    }
}

fn keep_changing() -> Error {
    Error::unavailable("the rows of the store keep changing")
}

async fn head(kv: &dyn Kv) -> Result<Bytes, Error> {
    the_row(kv, Key::Head).await
}

/// Rows of kinds that this version does not know would be lost on it.
async fn check_kinds(kv: &dyn Kv) -> Result<(), Error> {
    let gaps = keys::gaps()
        .map(|(start, end)| async move { kv.range(&start, &end, 1, Direction::Forward).await });
    let found = futures::future::try_join_all(gaps).await?;
    match found.iter().flatten().next() {
        Some((key, _)) => Err(level::newer(format!(
            "rows of kind {:02x?}",
            &key[..key.len().min(2)]
        ))),
        None => Ok(()),
    }
}

async fn create(kv: &dyn Kv, options: &Options) -> Result<Format, Error> {
    let cluster_id = cluster_id((options.random)(), (options.random)());
    let mut transaction = Transaction::default();
    transaction.expect(Key::Format.encode(), None);
    transaction.set(Key::Format.encode(), Format::new(cluster_id).encode());
    // Of nobody: whoever comes first takes over.
    let owner = Owner {
        epoch: 0,
        nonce: (options.random)(),
        serves: None,
    };
    transaction.set(Key::Owner.encode(), owner.encode());
    let history = HistoryId((options.random)().max(1));
    let chain = Chain::new(history, owner.epoch, owner.nonce);
    transaction.set(Key::Lineage.encode(), chain.to_row());
    let head = Head {
        lsn: Lsn(0),
        nonce: (options.random)(),
        rows: 0,
    };
    transaction.set(Key::Head.encode(), head.encode());
    transaction.set(Key::Checkpoint.encode(), checkpoint::checkpoint_row(Lsn(0)));
    match kv.commit(transaction).await {
        Ok(()) | Err(KvError::Conflict | KvError::Unknown(_)) => {}
        Err(error) => return Err(error.into()),
    }
    // Another process may have been faster, or the outcome was unclear: what is there counts.
    match kv.get(&Key::Format.encode()).await? {
        Some(row) => Format::decode(row),
        None => Err(Error::unavailable("a new store could not be written")),
    }
}

/// 128 bits as 22 characters of base64url, as Kafka's cluster ids look.
fn cluster_id(high: u64, low: u64) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = (u128::from(high) << 64) | u128::from(low);
    let sextet = |index: u32| {
        let bits = if index == 21 {
            value << 4
        } else {
            value >> (122 - 6 * index)
        };
        char::from(ALPHABET[(bits & 0x3f) as usize])
    };
    (0..22).map(sextet).collect()
}

/// What a store says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The cluster's id; none of a store that is still empty.
    pub cluster: Option<String>,
    /// Where its records lie, if an agent ever said so.
    pub bucket: Option<BucketId>,
    /// Its feature level; 0 of a store that is still empty.
    pub level: u32,
    /// Whether objects that it does not know are held, since an older store was accepted.
    pub hold: Option<Hold>,
    /// Whether a process wrote it so fast that its rows could not be read as they fit together: then they were not.
    pub busy: bool,
    /// Who wrote it and how far; none of a store that is still empty.
    past: Option<(Chain, Lsn)>,
}

impl Checked {
    /// Whether it holds what its bucket remembers of it.
    ///
    /// # Errors
    /// `WentBack`.
    pub fn holds(&self, remembered: Point) -> Result<(), Error> {
        let memory = Memory::of_bucket(remembered);
        let past = self.past.as_ref();
        past.map_or(Ok(()), |(chain, head)| memory.check(chain, *head))
    }
}

/// What [`begin`] would find, without taking over; nothing in a store that is still empty.
pub(crate) async fn examine(kv: &dyn Kv) -> Result<Option<(Format, State)>, Error> {
    let Some((format, state)) = look(kv).await? else {
        return Ok(None);
    };
    Ok(Some((format, state.ok_or_else(keep_changing)?)))
}

/// The same; no state where a holder writes rows all the time.
async fn look(kv: &dyn Kv) -> Result<Option<(Format, Option<State>)>, Error> {
    let Some(format) = format(kv).await? else {
        return Ok(None);
    };
    let past = Past::read(kv).await?;
    Owner::decode(past.owner)?;
    let loaded = Loaded::read_beside(kv).await?;
    Ok(Some((format, loaded.map(|loaded| loaded.state))))
}

/// What [`begin`] would find wrong, without taking over. A store that is still empty is right.
pub(super) async fn check(kv: &dyn Kv) -> Result<Checked, Error> {
    let Some((format, state)) = look(kv).await? else {
        return Ok(Checked::default());
    };
    let busy = state.is_none();
    let state = match state {
        Some(state) => state,
        // Whoever writes it without a pause has read it whole.
        None => checkpoint::cluster(kv).await?,
    };
    let past = Past::read(kv).await?;
    let head = past.lsn()?;
    Ok(Checked {
        busy,
        past: Some((past.chain, head)),
        cluster: Some(format.cluster_id),
        bucket: state.cluster.bucket,
        level: state.cluster.level(),
        hold: state.cluster.hold(),
    })
}

/// The state as of `head`, and whether rows of a drain that was never finished lie past it.
#[cfg(test)]
pub(crate) async fn replay(kv: &dyn Kv, head: Lsn) -> Result<(State, bool), Error> {
    let state = checkpoint::load(kv).await?;
    let replayed = replay_from(kv, state, head).await?;
    Ok((replayed.state, replayed.unfinished))
}

/// What the log made of a state.
struct Replayed {
    state: State,
    log_bytes: u64,
    /// As of [`Loaded`].
    unfinished: bool,
}

async fn replay_from(kv: &dyn Kv, state: State, head: Lsn) -> Result<Replayed, Error> {
    let start = Key::Log(Lsn(state.lsn.0 + 1), 0).encode();
    let mut replay = Replay {
        state,
        entry: None,
        bytes: 0,
        head,
    };
    let unfinished = read_log(kv, start, &mut replay).await?;
    Ok(Replayed {
        log_bytes: replay.bytes,
        state: replay.end()?,
        unfinished,
    })
}

/// Whether rows of a drain that was never finished lie past the head.
async fn read_log(kv: &dyn Kv, start: Bytes, replay: &mut Replay) -> Result<bool, Error> {
    let (_, end) = keys::all(b'l');
    let mut unfinished = false;
    each_page(kv, start, end, ROWS_PER_READ, |rows| {
        for (key, row) in rows {
            let Key::Log(lsn, part) = Key::decode(&key)? else {
                return Err(Unreadable.into());
            };
            if lsn.0 == replay.head.0 + 1 {
                unfinished = true;
                return Ok(false);
            }
            replay.row(lsn, part, row)?;
        }
        Ok::<_, Error>(true)
    })
    .await?;
    Ok(unfinished)
}

/// Folds log rows in order.
struct Replay {
    state: State,
    /// The drain being read: its lsn, parts and bytes so far.
    entry: Option<(Lsn, u16, BytesMut)>,
    /// All of them.
    bytes: u64,
    head: Lsn,
}

impl Replay {
    fn row(&mut self, lsn: Lsn, part: u16, row: Bytes) -> Result<(), Error> {
        self.bytes += row.len() as u64;
        if let Some((current, parts, bytes)) = &mut self.entry
            && *current == lsn
            && *parts == part
        {
            *parts += 1;
            bytes.extend_from_slice(&row);
            return Ok(());
        }
        self.fold()?;
        if lsn.0 != self.state.lsn.0 + 1 || part != 0 || lsn > self.head {
            let reason = format!("log row {}, part {part} does not follow", lsn.0);
            return Err(Error::Corrupt(reason));
        }
        self.entry = Some((lsn, 1, row.into()));
        Ok(())
    }

    fn fold(&mut self) -> Result<(), Error> {
        if let Some((lsn, _, bytes)) = self.entry.take() {
            let entry = decode_entry(lsn, bytes.freeze());
            let unreadable = |_| Error::unreadable(&Key::Log(lsn, 0).encode());
            let entry = entry.map_err(unreadable)?;
            planted!("replay-skips-a-drain", {
                if lsn.0 % 7 == 0 {
                    self.state.lsn = lsn;
                    return Ok(());
                }
            });
            for effect in &entry.effects {
                self.state.fold(lsn, entry.now, effect);
            }
            // The drain that raised it still wrote at the level before; what follows may not be readable.
            level::check(self.state.cluster.level())?;
            self.state.lsn = lsn;
        }
        Ok(())
    }

    fn end(mut self) -> Result<State, Error> {
        self.fold()?;
        if self.state.lsn == self.head {
            return Ok(self.state);
        }
        let (end, head) = (self.state.lsn.0, self.head.0);
        let reason = format!("the log ends at {end}, the head is {head}");
        Err(Error::Corrupt(reason))
    }
}

/// A command of this process's own, before it serves anybody.
pub(super) async fn execute_own(
    kv: &dyn Kv,
    options: &Options,
    now: Timestamp,
    holder: &mut Holder,
    state: &mut State,
    command: Command,
) -> Result<Outcome, Error> {
    let own = Submission::own(command);
    let lsn = Lsn(state.lsn.0 + 1);
    let decision = state.execute(lsn, now, &own);
    if !decision.effects.is_empty() {
        let mut log = LogBytes::new(now);
        decision.effects.iter().for_each(|effect| log.push(effect));
        let mut transactions = log_transactions(lsn, log);
        shut_out(kv, &decision.effects, &mut transactions).await?;
        holder.append(kv, lsn, transactions, 0, options).await?;
    }
    Ok(decision.outcome)
}

/// Opens this process's session, which closes those of embedded processes before it.
pub(super) async fn open_session(
    kv: &dyn Kv,
    options: &Options,
    now: Timestamp,
    holder: &mut Holder,
    state: &mut State,
) -> Result<u64, Error> {
    let command = Command::OpenSession {
        closing: state.sessions.ids().collect(),
        nonce: (options.random)(),
    };
    match execute_own(kv, options, now, holder, state, command).await? {
        Outcome::SessionOpened(session) => Ok(session),
        _ => Err(Error::Corrupt("a session could not be opened".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_id_is_22_characters_of_base64url() {
        assert_eq!(cluster_id(0, 0), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(cluster_id(u64::MAX, u64::MAX), "_____________________w");
    }
}
