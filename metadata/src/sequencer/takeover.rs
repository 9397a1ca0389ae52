//! Becoming the one that writes: a new owner row fences everybody before, then checkpoint rows and the log after them
//! are loaded. Anyone may do it at any time; nothing rests on a lease or a clock.

use bytes::{Bytes, BytesMut};
use tokio::time::sleep;

use super::store::{Head, Holder, Owner, log_transactions};
use super::tick::TICK;
use super::{Options, Serves};
use crate::checkpoint;
use crate::codec::{Decoder, Encoder, Unreadable};
use crate::command::{Command, Outcome, Submission};
use crate::effect::{LogBytes, decode_entry};
use crate::error::Error;
use crate::keys::{self, Key};
use crate::kv::{Direction, Kv, KvError, Transaction};
use crate::state::State;
use crate::types::{BucketId, Lsn};

/// The data model this version writes and reads.
const FORMAT: u64 = 1;
/// Rows read at a time.
pub(crate) const ROWS_PER_READ: usize = 1000;
/// Attempts when others take over at the same time.
const ATTEMPTS: usize = 5;

/// The cluster's id. A store that is empty is made one.
pub(super) async fn open(kv: &dyn Kv, options: &Options) -> Result<String, Error> {
    match kv.get(&Key::Format.encode()).await? {
        Some(row) => read_format(row),
        None => create(kv, options).await,
    }
}

/// Takes over from that owner; `None` if it is another one by now.
pub(super) async fn succeed(
    kv: &dyn Kv,
    options: &Options,
    owner: Bytes,
) -> Result<Option<(Holder, State)>, Error> {
    let epoch = Owner::decode(owner.clone())?.epoch + 1;
    let mine = Owner::new(epoch, options).encode();
    if !take(kv, owner, &mine).await? {
        return Ok(None);
    }
    let mut holder = hold(kv, epoch, mine).await?;
    let state = load(kv, &mut holder, options).await?;
    Ok(Some((holder, state)))
}

/// Takes over from whoever held the store, or makes a new one.
pub(super) async fn begin(
    kv: &dyn Kv,
    options: &Options,
) -> Result<(Holder, State, String), Error> {
    let cluster_id = open(kv, options).await?;
    for _ in 0..ATTEMPTS {
        let owner = kv.get(&Key::Owner.encode()).await?.ok_or(Unreadable)?;
        if let Some((holder, state)) = succeed(kv, options, owner).await? {
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
    let epoch = holder.epoch + 1;
    // The same row in every attempt, so that an earlier one that landed late is known as this process's own.
    let claim = || Owner::new(epoch, options).encode();
    let mine = holder.claim.get_or_insert_with(claim).clone();
    let owner = kv.get(&Key::Owner.encode()).await?.ok_or(Unreadable)?;
    if owner != mine {
        if owner != holder.owner {
            return Err(Error::Fenced);
        }
        if !take(kv, owner, &mine).await? {
            return Err(Error::unavailable("the owner row changes"));
        }
    }
    *holder = hold(kv, epoch, mine).await?;
    load(kv, holder, options).await
}

/// Replaces the owner row. False: it is not certain, or somebody else was faster; look again.
async fn take(kv: &dyn Kv, owner: Bytes, mine: &Bytes) -> Result<bool, Error> {
    let mut transaction = Transaction::default();
    transaction.expect(Key::Owner.encode(), Some(owner));
    transaction.set(Key::Owner.encode(), mine.clone());
    match kv.commit(transaction).await {
        Ok(()) => Ok(true),
        // Ours is recognized by its nonce.
        Err(KvError::Conflict | KvError::TooOld | KvError::Unknown(_)) => {
            Ok(kv.get(&Key::Owner.encode()).await?.as_ref() == Some(mine))
        }
        Err(error) => Err(error.into()),
    }
}

/// From here on nobody else moves the head.
async fn hold(kv: &dyn Kv, epoch: u64, owner: Bytes) -> Result<Holder, Error> {
    let head = kv.get(&Key::Head.encode()).await?.ok_or(Unreadable)?;
    Ok(Holder {
        epoch,
        owner,
        head,
        claim: None,
    })
}

fn read_format(row: Bytes) -> Result<String, Error> {
    let mut row = Decoder::new(row);
    let found = row.u64()?;
    if found != FORMAT {
        return Err(Error::NewerFormat {
            found: found.to_string(),
            known: FORMAT.to_string(),
        });
    }
    Ok(row.text()?)
}

async fn create(kv: &dyn Kv, options: &Options) -> Result<String, Error> {
    let cluster_id = cluster_id((options.random)(), (options.random)());
    let mut format = Encoder::default();
    format.u64(FORMAT);
    format.text(&cluster_id);
    let mut transaction = Transaction::default();
    transaction.expect(Key::Format.encode(), None);
    transaction.set(Key::Format.encode(), format.into_bytes());
    // Of nobody: whoever comes first takes over.
    let owner = Owner {
        epoch: 0,
        nonce: (options.random)(),
        serves: None,
    };
    transaction.set(Key::Owner.encode(), owner.encode());
    let head = Head {
        lsn: Lsn(0),
        nonce: (options.random)(),
    };
    transaction.set(Key::Head.encode(), head.encode());
    transaction.set(
        Key::Checkpoint.encode(),
        checkpoint::encode_row(&State::default(), Lsn(0)),
    );
    match kv.commit(transaction).await {
        Ok(()) | Err(KvError::Conflict | KvError::Unknown(_)) => {}
        Err(error) => return Err(error.into()),
    }
    // Another process may have been faster, or the outcome was unclear: what is there counts.
    match kv.get(&Key::Format.encode()).await? {
        Some(row) => read_format(row),
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

/// Checkpoint rows, then the log after them.
async fn load(kv: &dyn Kv, holder: &mut Holder, options: &Options) -> Result<State, Error> {
    let head = Head::decode(holder.head.clone())?.lsn;
    let (state, unfinished) = replay_beating(kv, head, holder, options).await?;
    if unfinished {
        let mut transaction = Transaction::default();
        let start = Key::Log(Lsn(head.0 + 1), 0).encode();
        transaction.clear_range(start, keys::all(b'l').1);
        holder.write(kv, transaction, options).await?;
    }
    Ok(state)
}

/// However long it takes, candidates see that somebody is at it.
async fn replay_beating(
    kv: &dyn Kv,
    head: Lsn,
    holder: &mut Holder,
    options: &Options,
) -> Result<(State, bool), Error> {
    let replaying = replay(kv, head);
    tokio::pin!(replaying);
    loop {
        tokio::select! {
            biased;
            replayed = &mut replaying => return replayed,
            () = sleep(TICK), if matches!(options.serves, Serves::Network(_)) => {
                holder.write(kv, Transaction::default(), options).await?;
            }
        }
    }
}

/// What a store says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The cluster's id; none of a store that is still empty.
    pub cluster: Option<String>,
    /// Where its records lie, if an agent ever said so.
    pub bucket: Option<BucketId>,
}

/// What [`begin`] would find wrong, without taking over. A store that is still empty is right.
pub(super) async fn check(kv: &dyn Kv) -> Result<Checked, Error> {
    let Some(format) = kv.get(&Key::Format.encode()).await? else {
        return Ok(Checked::default());
    };
    let cluster = Some(read_format(format)?);
    Owner::decode(kv.get(&Key::Owner.encode()).await?.ok_or(Unreadable)?)?;
    let head = kv.get(&Key::Head.encode()).await?.ok_or(Unreadable)?;
    let (state, _) = replay(kv, Head::decode(head)?.lsn).await?;
    let bucket = state.counters.bucket;
    Ok(Checked { cluster, bucket })
}

/// The state as of `head`, and whether rows of a drain that was never finished lie past it.
pub(crate) async fn replay(kv: &dyn Kv, head: Lsn) -> Result<(State, bool), Error> {
    let state = checkpoint::load(kv).await?;
    let start = Key::Log(Lsn(state.lsn.0 + 1), 0).encode();
    let mut replay = Replay {
        state,
        entry: None,
        head,
    };
    let unfinished = read_log(kv, start, &mut replay).await?;
    Ok((replay.end()?, unfinished))
}

/// Whether rows of a drain that was never finished lie past the head.
async fn read_log(kv: &dyn Kv, mut start: Bytes, replay: &mut Replay) -> Result<bool, Error> {
    let (_, end) = keys::all(b'l');
    loop {
        let rows = kv
            .range(&start, &end, ROWS_PER_READ, Direction::Forward)
            .await?;
        let Some((last, _)) = rows.last() else {
            return Ok(false);
        };
        start = [last.as_ref(), &[0]].concat().into();
        for (key, row) in rows {
            let Key::Log(lsn, part) = Key::decode(&key)? else {
                return Err(Unreadable.into());
            };
            if lsn.0 == replay.head.0 + 1 {
                return Ok(true);
            }
            replay.row(lsn, part, row)?;
        }
    }
}

/// Folds log rows in order.
struct Replay {
    state: State,
    /// The drain being read: its lsn, parts and bytes so far.
    entry: Option<(Lsn, u16, BytesMut)>,
    head: Lsn,
}

impl Replay {
    fn row(&mut self, lsn: Lsn, part: u16, row: Bytes) -> Result<(), Error> {
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
            let entry = decode_entry(bytes.freeze())?;
            planted!("replay-skips-a-drain", {
                if lsn.0 % 7 == 0 {
                    self.state.lsn = lsn;
                    return Ok(());
                }
            });
            for effect in &entry.effects {
                self.state.fold(lsn, entry.now, effect);
            }
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

/// Opens this process's session, which closes those of embedded processes before it.
pub(super) async fn open_session(
    kv: &dyn Kv,
    options: &Options,
    holder: &mut Holder,
    state: &mut State,
) -> Result<u64, Error> {
    let command = Command::OpenSession {
        closing: state.sessions.ids().collect(),
    };
    let own = Submission::own(command);
    let (now, lsn) = ((options.now)(), Lsn(state.lsn.0 + 1));
    let decision = state.execute(lsn, now, &own);
    let mut log = LogBytes::new(now);
    decision.effects.iter().for_each(|effect| log.push(effect));
    let transactions = log_transactions(lsn, log);
    holder.append(kv, lsn, transactions, options).await?;
    match decision.outcome {
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
