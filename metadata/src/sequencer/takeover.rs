//! Becoming the one that writes: a new owner row fences everybody before, then checkpoint rows and the log after them
//! are loaded. Anyone may do it at any time; nothing rests on a lease or a clock.

use bytes::Bytes;

use super::Options;
use super::store::{Head, Holder, decode_owner, encode_owner};
use crate::checkpoint;
use crate::codec::{Decoder, Encoder, Unreadable};
use crate::command::{Command, Outcome, Submission};
use crate::effect::{decode_row, encode_rows};
use crate::error::Error;
use crate::keys::{self, Key};
use crate::kv::{Direction, Kv, KvError, Transaction};
use crate::state::State;
use crate::types::Lsn;

/// The data model this version writes and reads.
const FORMAT: u64 = 1;
/// Rows read at a time.
pub(crate) const ROWS_PER_READ: usize = 1000;
/// Attempts when others take over at the same time.
const ATTEMPTS: usize = 5;

/// Takes over from whoever held the store, or makes a new one.
pub(super) async fn begin(
    kv: &dyn Kv,
    options: &Options,
) -> Result<(Holder, State, String), Error> {
    let cluster_id = match kv.get(&Key::Format.encode()).await? {
        Some(row) => read_format(row)?,
        None => create(kv, options).await?,
    };
    for _ in 0..ATTEMPTS {
        let owner = kv.get(&Key::Owner.encode()).await?.ok_or(Unreadable)?;
        match take(kv, options, owner).await? {
            Some(holder) => {
                let (state, holder) = load(kv, holder).await?;
                return Ok((holder, state, cluster_id));
            }
            None => continue,
        }
    }
    Err(Error::unavailable(
        "other processes keep taking over the store",
    ))
}

/// Takes up work again after the store failed, unless somebody else took over meanwhile.
pub(super) async fn resume(
    kv: &dyn Kv,
    options: &Options,
    holder: &Holder,
) -> Result<(Holder, State), Error> {
    let owner = kv.get(&Key::Owner.encode()).await?.ok_or(Unreadable)?;
    if owner != holder.owner && decode_owner(owner.clone())? != holder.epoch + 1 {
        return Err(Error::Fenced);
    }
    // An owner of the next epoch may be this process's own, from an attempt whose outcome stayed unclear.
    if owner != holder.owner && kv.name() != "redb" && kv.name() != "memory" {
        return Err(Error::Fenced);
    }
    let holder = take(kv, options, owner).await?.ok_or(Error::Fenced)?;
    let (state, holder) = load(kv, holder).await?;
    Ok((holder, state))
}

/// `None`: somebody else was faster.
async fn take(kv: &dyn Kv, options: &Options, owner: Bytes) -> Result<Option<Holder>, Error> {
    let epoch = decode_owner(owner.clone())? + 1;
    let mine = encode_owner(epoch, (options.random)());
    let mut transaction = Transaction::default();
    transaction.expect(Key::Owner.encode(), Some(owner));
    transaction.set(Key::Owner.encode(), mine.clone());
    match kv.commit(transaction).await {
        Ok(()) => {}
        Err(KvError::Conflict) => return Ok(None),
        Err(KvError::Unknown(reason)) => {
            // Ours is recognized by its nonce.
            if kv.get(&Key::Owner.encode()).await?.as_ref() != Some(&mine) {
                return Err(Error::unavailable(reason));
            }
        }
        Err(error) => return Err(error.into()),
    }
    let head = kv.get(&Key::Head.encode()).await?.ok_or(Unreadable)?;
    Ok(Some(Holder {
        epoch,
        owner: mine,
        head,
    }))
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
    transaction.set(Key::Owner.encode(), encode_owner(0, (options.random)()));
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
async fn load(kv: &dyn Kv, holder: Holder) -> Result<(State, Holder), Error> {
    let (mut state, checkpoint) = checkpoint::load(kv).await?;
    let head = Head::decode(holder.head.clone())?;
    state.lsn = checkpoint;
    let (_, end) = keys::all(b'l');
    let mut start = Key::Log(Lsn(checkpoint.0 + 1), 0).encode();
    loop {
        let rows = kv
            .range(&start, &end, ROWS_PER_READ, Direction::Forward)
            .await?;
        let Some((last, _)) = rows.last() else {
            break;
        };
        start = [last.as_ref(), &[0]].concat().into();
        for (key, row) in rows {
            let Key::Log(lsn, _) = Key::decode(&key)? else {
                return Err(Unreadable.into());
            };
            let next = lsn == state.lsn || lsn.0 == state.lsn.0 + 1;
            if !next || lsn > head.lsn {
                return Err(Error::Corrupt(format!("log row {} does not follow", lsn.0)));
            }
            let entry = decode_row(row)?;
            for effect in &entry.effects {
                state.fold(lsn, entry.now, effect);
            }
            state.lsn = lsn;
        }
    }
    if state.lsn != head.lsn {
        let reason = format!(
            "the log ends at {}, the head is {}",
            state.lsn.0, head.lsn.0
        );
        return Err(Error::Corrupt(reason));
    }
    Ok((state, holder))
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
    let own = Submission {
        session: 0,
        sequence: 0,
        seen: 0,
        command,
    };
    let (now, lsn) = ((options.now)(), Lsn(state.lsn.0 + 1));
    let decision = state.execute(lsn, now, &own);
    let mut transaction = Transaction::default();
    let rows = encode_rows(now, &decision.effects, kv.limits().value_bytes_max);
    for (part, row) in (0..).zip(rows) {
        transaction.set(Key::Log(lsn, part).encode(), row);
    }
    holder.advance(kv, transaction, lsn, options).await?;
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
