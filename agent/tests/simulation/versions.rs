//! Versions of the product side by side: processes of the level before take turns with those of this one, until an
//! operator raises the level at which the cluster writes. From then on the old ones may do nothing but stop. Without the
//! feature `planted-bugs` there is only one version.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use metadata::{Options, Timestamp};
use penstock::execution::{AroundEach, Simulated};
use tokio::time::sleep;

use crate::link::Link;
use crate::outlet::Outlet;
use crate::world::{Dice, EPOCH_MS, World};

/// Attempts to raise the level while processes are started beside the operator and the store fails.
const ATTEMPTS: usize = 30;
const NEW: u32 = metadata::WRITER_LEVEL;

/// Which versions there are.
#[derive(Debug)]
pub(crate) struct Versions {
    /// So many of 1000 processes are of the old one.
    old: u64,
    /// Whether an operator has tried to raise the level.
    raised: AtomicBool,
}

impl Versions {
    /// Of most runs one, of others two.
    pub(crate) fn draw(dice: &Dice) -> Self {
        Self {
            old: [0, 0, 500][dice.index(3)],
            raised: AtomicBool::new(false),
        }
    }

    pub(crate) fn are_mixed(&self) -> bool {
        self.old > 0
    }

    /// The level of a process that starts. Now and then somebody starts an old one by mistake.
    pub(crate) fn level(&self, dice: &Dice, healed: bool) -> u32 {
        let old = match self.raised.load(Ordering::Relaxed) {
            true if healed => 0,
            true => self.old / 3,
            false => self.old,
        };
        NEW - u32::from(dice.chance(old))
    }

    /// Whether a process of that level has no business any more.
    pub(crate) fn is_outdated(&self, level: u32) -> bool {
        level < NEW && self.raised.load(Ordering::Relaxed)
    }
}

/// The life of a process that knows levels up to this one.
pub(crate) fn life(level: u32) -> Simulated {
    let around = move |begins| behave_as(if begins { level } else { NEW });
    Simulated::with(AroundEach(Box::new(around)))
}

#[cfg(feature = "planted-bugs")]
fn behave_as(level: u32) {
    let _ = metadata::behave_as(level);
}

#[cfg(not(feature = "planted-bugs"))]
fn behave_as(_: u32) {}

/// An operator raises the level, while nobody serves.
pub(crate) async fn raise(world: &Arc<World>, dice: &Dice) {
    world.history.note("an operator raises the feature level");
    world.versions.raised.store(true, Ordering::Relaxed);
    let link = Link::new(world, dice.fork(), 0);
    let random = dice.random();
    let options = Options {
        random: Arc::new(move || random.u64()),
        witness: Some(Outlet::new(Arc::clone(&world.bucket)).witness()),
        ..Options::new(Arc::new(|| Timestamp(EPOCH_MS)))
    };
    for _ in 0..ATTEMPTS {
        for process in world.processes() {
            if process.role.may_hold_the_order() {
                process.kill();
            }
        }
        match metadata::finalize(&link, options.clone()).await {
            Ok(level) => {
                world.history.note(format!("the feature level is {level}"));
                return;
            }
            Err(error) => world.history.note(format!("it is not raised: {error}")),
        }
        sleep(Duration::from_millis(200)).await;
    }
}
