//! Trouble, in turns with calm: processes are killed, frozen, drained and started beside each other, the store and the bucket
//! go away or misbehave, clocks jump. `fleet` has what only fleets meet.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::backwards::{Backups, go_back};
use crate::bucket::Weather;
use crate::fleet;
use crate::process::Process;
use crate::roles::Role;
use crate::versions;
use crate::world::{Dice, World, spawn};

/// For so long, then everything heals.
pub(crate) async fn trouble(world: Arc<World>, dice: Dice, duration: Duration) {
    let until = Instant::now() + duration;
    let store_per_mille = [0, 10, 40, 150][dice.index(4)];
    world
        .memory
        .faults()
        .at_random(dice.number(), store_per_mille);
    let backups = dice
        .chance(300)
        .then(|| Backups::begin(&world, dice.fork()));
    let mut raised = false;
    while Instant::now() < until {
        sleep(dice.millis(50, 3000)).await;
        if !raised && world.versions.are_mixed() && dice.chance(60) {
            raised = true;
            versions::raise(&world, &dice).await;
            continue;
        }
        if let Some(backups) = &backups
            && dice.chance(150)
        {
            go_back(&world, &dice, backups).await;
            continue;
        }
        if !world.fleet.is_alone() && dice.chance(600) {
            fleet::trouble(&world, &dice);
            continue;
        }
        match dice.below(20) {
            0 | 1 => kill(&world, &dice).await,
            2..=4 => freeze(&world, &dice),
            5 => drain(&world, &dice).await,
            6 | 7 => beside(&world, &dice),
            8 => clock(&world, &dice),
            9 => store_away(&world, &dice, store_per_mille),
            10 => cut(&world, &dice),
            11 => bucket_stuck(&world, &dice),
            12..=14 => {
                let weather = weather(&dice);
                world.history.note(format!("{weather:?}"));
                world.bucket.weather(weather);
            }
            15 | 16 => late(&world, &dice),
            17 | 18 => slow_store(&world, &dice),
            _ => world.bucket.heal(),
        }
    }
}

/// No trouble any more, and processes that work.
pub(crate) async fn heal(world: &World, dice: &Dice) {
    world.history.note("everything heals");
    world.heal();
    world.bucket.heal();
    world.net.heal();
    world.traffic.slow(Duration::ZERO);
    world.memory.faults().cease();
    world.memory.faults().land();
    for process in world.processes() {
        process.link.cut(false);
        process.link.late(0);
        process.outlet.heal();
        process.thaw();
    }
    let all = dice.chance(500);
    for process in world.processes() {
        if all || world.versions.is_outdated(process.level) {
            process.kill();
        }
    }
}

/// As whoever runs processes does: one that serves is always there soon, and in a fleet one of each that has ended.
pub(crate) async fn supervise(world: Arc<World>) {
    let dice = world.dice.fork();
    loop {
        sleep(Duration::from_millis(150)).await;
        let processes = world.processes();
        if world.fleet.is_alone() {
            if !processes.iter().any(|process| process.serves()) {
                world.start(Role::Alone);
            }
            continue;
        }
        for role in &world.fleet.0 {
            let there = processes.iter().any(|process| process.role == *role);
            if !there && dice.chance(400) {
                world.start(*role);
            }
        }
    }
}

/// Any process, and in a fleet often the one that holds the order.
fn any(world: &World, dice: &Dice) -> Option<Arc<Process>> {
    let mut processes = world.processes();
    if !world.fleet.is_alone() && dice.chance(300) {
        processes.retain(|process| process.holds_the_order());
    }
    processes.get(dice.index(processes.len())).cloned()
}

/// One that writes to the store.
fn any_holder(world: &World, dice: &Dice) -> Option<Arc<Process>> {
    let mut processes = world.processes();
    processes.retain(|process| process.role.may_hold_the_order());
    processes.get(dice.index(processes.len())).cloned()
}

async fn kill(world: &World, dice: &Dice) {
    if let Some(process) = any(world, dice) {
        process.kill();
        sleep(dice.millis(0, 1500)).await;
    }
}

/// Stands still for a while; another one takes over meanwhile, as the supervisor sees to.
fn freeze(world: &World, dice: &Dice) {
    let Some(process) = any(world, dice).filter(|process| !process.is_frozen()) else {
        return;
    };
    process.freeze();
    let duration = dice.millis(50, [300, 3000, 30_000][dice.index(3)]);
    spawn(async move {
        sleep(duration).await;
        process.thaw();
    });
}

async fn drain(world: &World, dice: &Dice) {
    if let Some(process) = any(world, dice) {
        process.terminate();
        sleep(dice.millis(0, 500)).await;
    }
}

/// A process is started though the one in its place has not ended: in a fleet one that is frozen, whose name it takes, as
/// when a machine is given up.
fn beside(world: &World, dice: &Dice) {
    if world.fleet.is_alone() {
        world.start(Role::Alone);
    } else if let Some(process) = any(world, dice).filter(|process| process.is_frozen()) {
        world.start(process.role);
        // It may come to itself, but not for long.
        let duration = dice.millis(1_000, 10_000);
        spawn(async move {
            sleep(duration).await;
            process.kill();
        });
    }
}

fn clock(world: &World, dice: &Dice) {
    let Some(process) = any(world, dice) else {
        return;
    };
    let by = dice.jump();
    world.history.note(format!(
        "the clock of process {} jumps by {by} ms",
        process.id
    ));
    process.clock_forward(by);
    // A process that is started again finds it so, unless somebody sets it right meanwhile.
    if dice.chance(500) {
        world.skew_more(process.role, by);
    }
}

fn store_away(world: &Arc<World>, dice: &Dice, per_mille: u16) {
    world.history.note("the store goes away");
    world.memory.faults().go_away();
    let (world, seed, duration) = (Arc::clone(world), dice.number(), dice.millis(50, 4000));
    spawn(async move {
        sleep(duration).await;
        world.history.note("the store is back");
        if !world.has_healed() {
            world.memory.faults().cease();
            world.memory.faults().at_random(seed, per_mille);
        }
    });
}

/// Slower than what is to be written comes in.
fn slow_store(world: &Arc<World>, dice: &Dice) {
    let by = dice.millis(5, [30, 300, 1_500][dice.index(3)]);
    world.history.note(format!("the store is slow by {by:?}"));
    world.traffic.slow(by);
    let (world, duration) = (Arc::clone(world), dice.millis(500, 12_000));
    spawn(async move {
        sleep(duration).await;
        world.traffic.slow(Duration::ZERO);
    });
}

fn cut(world: &World, dice: &Dice) {
    let Some(process) = any_holder(world, dice) else {
        return;
    };
    world
        .history
        .note(format!("process {} is cut off from the store", process.id));
    process.link.cut(true);
    let duration = dice.millis(50, 6000);
    spawn(async move {
        sleep(duration).await;
        process.link.cut(false);
    });
}

/// The store is unsure of some commits.
fn late(world: &World, dice: &Dice) {
    if let Some(process) = any_holder(world, dice) {
        let per_mille = dice.below(120);
        world.history.note(format!(
            "{per_mille} of 1000 commits of process {} are late",
            process.id
        ));
        process.link.late(per_mille);
    }
}

fn bucket_stuck(world: &World, dice: &Dice) {
    world.history.note("the bucket is stuck");
    world
        .bucket
        .stick(dice.millis(100, [3_000, 15_000, 45_000][dice.index(3)]));
}

fn weather(dice: &Dice) -> Weather {
    let some = |most: u64| {
        if dice.chance(500) {
            dice.below(most)
        } else {
            0
        }
    };
    Weather {
        busy: some(400),
        refused: some(60),
        failed_and_done: some(200),
        failed_and_done_later: some(150),
        silent: some(100),
        damaged: some(300),
        slow: some(300),
    }
}
