//! The store goes back in time: what it held seconds ago takes its place, under processes that run and under such that
//! begin. All that a process may do then is stop; when the newer store is back, everything goes on as if nothing had been.
//!
//! Only what somebody can know is asked for: that the bucket remembers more than the store holds, and that no process is
//! left from the time of that store, for which nothing would have changed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use metadata::history::Holds;
use metadata::kv::Memory;
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::history::Event;
use crate::world::{Dice, World, spawn};

/// Backups that are kept.
const KEPT: usize = 5;

type Store = BTreeMap<Bytes, Bytes>;

/// What the store held now and then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backups(Arc<Mutex<VecDeque<Store>>>);

impl Backups {
    /// Made until everything heals.
    pub(crate) fn begin(world: &Arc<World>, dice: Dice) -> Self {
        let backups = Self::default();
        let (world, kept) = (Arc::clone(world), Arc::clone(&backups.0));
        spawn(async move {
            while !world.has_healed() {
                sleep(dice.millis(300, 4_000)).await;
                let mut kept = kept.lock();
                kept.push_back(world.memory.snapshot());
                while kept.len() > KEPT {
                    kept.pop_front();
                }
            }
        });
        backups
    }

    /// One that lost something of which the bucket knows.
    async fn older(&self, world: &World, dice: &Dice) -> Option<Store> {
        let point = world.bucket.witnessed()?;
        let kept = self.0.lock().clone();
        let chosen = kept.get(dice.index(kept.len()))?.clone();
        let lost = metadata::holds(&Memory::of(chosen.clone()), &point).await;
        (lost.ok()? == Holds::No).then_some(chosen)
    }
}

/// For some seconds; then the newer one is back.
pub(crate) async fn go_back(world: &Arc<World>, dice: &Dice, backups: &Backups) {
    let Some(older) = backups.older(world, dice).await else {
        return;
    };
    leave_none_of_that_time(world, dice);
    world.history.note("the store goes back in time");
    let there = async {
        let newer = world.memory.faults().put_back(older);
        sleep(dice.millis(500, 15_000)).await;
        world.history.note("the newer store is back");
        drop(world.memory.faults().put_back(newer));
    };
    world.holes.excused(there).await;
}

/// Ends whoever may hold the order and is not known to have written last: it could be the one that held it then.
fn leave_none_of_that_time(world: &World, dice: &Dice) {
    let all = dice.chance(400);
    for process in world.processes() {
        let writes = process.id == world.traffic.last_writer();
        let fine = writes && process.link.is_fine() && !process.is_frozen();
        let waits = !world.fleet.is_alone() && !process.is_frozen() && !process.holds_the_order();
        if process.role.may_hold_the_order() && (all || !(fine || waits)) {
            process.kill();
        }
    }
}

/// Looks now and then whether whoever loads the store finds every record that it has acknowledged, once.
pub(crate) async fn account(world: Arc<World>, dice: Dice) {
    loop {
        sleep(dice.millis(200, 3_000)).await;
        account_once(&world).await;
    }
}

/// The same, now.
pub(crate) async fn account_once(world: &World) {
    let store = Memory::of(world.memory.snapshot());
    if let Err(error) = metadata::account(&store).await {
        let broken = format!("the store does not account for its records: {error}");
        world.history.push(Event::Broken(broken));
    }
}
