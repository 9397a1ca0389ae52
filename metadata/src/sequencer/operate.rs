//! What operators do to a store that nobody serves: raise its feature level, accept that it went back in time, release
//! the hold that follows. Each takes over as a process that says goodbye at once.

use tokio::time::sleep;

use super::lineage::{Memory, Past, ask, the_row, witness_once};
use super::store::{Address, Holder, Owner};
use super::takeover::{self, Begin, execute_own, open, take_over};
use super::tick::TICK;
use super::time::StateTime;
use super::{Options, Serves};
use crate::command::{Command, Outcome, Rejected};
use crate::error::Error;
use crate::history::{HistoryId, Holds, Point};
use crate::keys::Key;
use crate::kv::Kv;
use crate::level::Format;
use crate::state::State;
use crate::types::{LostRange, Lsn};

/// What became of a store that had gone back in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It holds what is remembered of it, or that it does not was accepted before, and the bucket could not be told: there
    /// is nothing to accept, and nothing was done.
    Needless,
    Accepted {
        /// The one that begins.
        history: HistoryId,
        /// The last log position that the store has.
        kept: Lsn,
        /// What the bucket remembers; `None` if there is no witness.
        remembered: Option<Point>,
    },
}

/// Lets a cluster go on from a store that went back in time: a new history begins, ids that the lost part may have handed
/// out are skipped, each partition gets a new leader epoch, and objects that are not known are held.
///
/// # Errors
/// `InUse` when a process serves from the store; else as [`super::start`]. It may be repeated.
pub async fn accept_older_store(kv: &dyn Kv, options: Options) -> Result<Acceptance, Error> {
    let options = nobody(options);
    let Format { cluster_id, .. } = open(kv, &options).await?;
    let witness = ask(options.witness.as_ref(), &cluster_id).await?;
    let past = Past::read(kv).await?;
    let remembered = witness.map(|Memory { point, .. }| point);
    let kept = past.lsn()?;
    if let Some(point) = &remembered
        && matches!(past.chain.holds(kept, point), Holds::Yes | Holds::Accepted)
    {
        return Ok(Acceptance::Needless);
    }
    if let Some(point) = remembered
        && i32::try_from(point.epoch).is_err()
    {
        // As many fail-overs as there never were: the next leader epoch could not be larger.
        return Err(Error::Corrupt(format!(
            "what the bucket remembers names a holder of epoch {}, which never was: bring penstock.json back from a copy",
            point.epoch
        )));
    }
    // The history begins last: whoever meets what is done before it refuses the store, and the operator repeats this.
    let (mut holder, mut state) = take(kv, &options).await?;
    let history = HistoryId((options.random)().max(1));
    // The same backup may be brought back twice, and what was accepted the first time is lost, too: its last owner that is
    // remembered, or the one after, had a larger epoch than any leader, and both go on from there.
    let lost = remembered.map_or(0, |point| point.epoch.saturating_add(1));
    let epoch = holder.known.lock().chain.leader_epoch();
    let epoch = epoch.max(i32::try_from(lost).unwrap_or(i32::MAX));
    let epoch = epoch.saturating_add(1);
    let command = Command::AcceptOlderStore { history, epoch };
    let now = StateTime::take_over(state.cluster.now, &options).now();
    execute_own(kv, &options, now, &mut holder, &mut state, command).await?;
    let begin = Begin {
        history,
        given_up: remembered.map(|point| point.history),
        leader_epoch: epoch,
    };
    let mine = Owner::new(holder.epoch.max(lost).saturating_add(1), &options);
    let held = take_over(kv, holder.owner, mine, &[], Some(begin)).await?;
    let (holder, _) = held.ok_or(Error::Fenced)?;
    if let Some(witness) = &options.witness {
        let known = holder.known.lock().clone();
        if let Err(error) = witness_once(kv, witness, &cluster_id, &known).await {
            tracing::warn!(%error, "the bucket still remembers the history before");
        }
    }
    Ok(Acceptance::Accepted {
        history,
        kept,
        remembered,
    })
}

/// Raises the feature level to the highest that this version knows. Returns the one that is.
///
/// # Errors
/// As [`accept_older_store`].
pub async fn finalize(kv: &dyn Kv, options: Options) -> Result<u32, Error> {
    let raise = |_: &State| Ok(Command::RaiseFeatureLevel(None));
    match offline(kv, options, raise).await? {
        Outcome::FeatureLevel(level) => Ok(level),
        other => Err(Error::unavailable(format!("the state said {other:?}"))),
    }
}

/// Objects that are not known may be deleted again. Returns whether they were held.
///
/// # Errors
/// As [`accept_older_store`].
pub async fn release_hold(kv: &dyn Kv, options: Options) -> Result<bool, Error> {
    let release = |_: &State| Ok(Command::ReleaseHold);
    match offline(kv, options, release).await? {
        Outcome::HoldReleased => Ok(true),
        Outcome::NoHold => Ok(false),
        other => Err(Error::unavailable(format!("the state said {other:?}"))),
    }
}

/// Gives records up that cannot be read: readers of that topic step over them from then on.
///
/// # Errors
/// As [`accept_older_store`]; inside, what is wrong with the topic or the range.
pub async fn mark_lost(
    kv: &dyn Kv,
    options: Options,
    topic: &str,
    range: LostRange,
) -> Result<Result<(), Rejected>, Error> {
    let mark = |state: &State| {
        let topic = state.topics.named(topic).ok_or(Rejected::UnknownTopic)?;
        Ok(Command::MarkLost { topic, range })
    };
    match offline(kv, options, mark).await? {
        Outcome::MarkedLost => Ok(Ok(())),
        Outcome::Rejected(why) => Ok(Err(why)),
        other => Err(Error::unavailable(format!("the state said {other:?}"))),
    }
}

/// Asks for what `command` makes of the state as it is.
async fn offline(
    kv: &dyn Kv,
    options: Options,
    command: impl FnOnce(&State) -> Result<Command, Rejected>,
) -> Result<Outcome, Error> {
    let options = nobody(options);
    let Format { cluster_id, .. } = open(kv, &options).await?;
    let witness = ask(options.witness.as_ref(), &cluster_id).await?;
    if let Some(memory) = &witness {
        Past::read(kv).await?.check(memory)?;
    }
    let (mut holder, mut state) = take(kv, &options).await?;
    let now = StateTime::take_over(state.cluster.now, &options).now();
    match command(&state) {
        Ok(command) => execute_own(kv, &options, now, &mut holder, &mut state, command).await,
        Err(rejected) => Ok(Outcome::Rejected(rejected)),
    }
}

/// One that serves nobody: others may take over from it at once.
fn nobody(options: Options) -> Options {
    Options {
        serves: Serves::Network(String::new()),
        ..options
    }
}

/// Takes over, unless somebody is at it.
async fn take(kv: &dyn Kv, options: &Options) -> Result<(Holder, State), Error> {
    let past = Past::read(kv).await?;
    if let Some(Address::At(address)) = Owner::decode(past.owner.clone())?.serves
        && !kv.is_exclusive()
    {
        sleep(3 * TICK).await;
        let head = the_row(kv, Key::Head).await?;
        if head != past.head {
            return Err(Error::InUse(format!("the one at {address} serves from it")));
        }
    }
    let held = takeover::succeed(kv, options, past.owner, &[]).await?;
    held.ok_or(Error::InUse("it has just taken over".to_owned()))
}
