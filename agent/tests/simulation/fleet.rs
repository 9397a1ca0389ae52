//! A fleet: which processes there are, and the trouble that only several of them meet. Ways between them are cut, slow, or
//! refuse; the one that holds the order is taken for gone; everything is restarted, one after another.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::net::{Direction, Way};
use crate::process::Process;
use crate::roles::Role;
use crate::world::{Dice, World, spawn};

/// Which processes there are to be at any time.
#[derive(Clone, Debug)]
pub(crate) struct Fleet(pub(crate) Vec<Role>);

impl Fleet {
    /// One process with everything inside.
    pub(crate) fn alone() -> Self {
        Self(vec![Role::Alone])
    }

    /// Agents before one order; some fleets have no processes for that alone.
    pub(crate) fn draw(dice: &Dice) -> Self {
        let agents = 1..=u32::try_from(dice.between(2, 5)).unwrap_or(2);
        if dice.chance(200) {
            return Self(agents.map(Role::Both).collect());
        }
        let candidates = [1, 2].map(Role::Candidate).into_iter();
        Self(candidates.chain(agents.map(Role::Agent)).collect())
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.0 == [Role::Alone]
    }

    /// Whom such a process is told to ask.
    pub(crate) fn metadata(&self, role: Role) -> Vec<String> {
        match role {
            Role::Both(_) => vec![role.name()],
            _ => {
                let holders = self.0.iter().filter(|role| role.may_hold_the_order());
                holders.map(|role| role.name()).collect()
            }
        }
    }
}

pub(crate) fn trouble(world: &Arc<World>, dice: &Dice) {
    match dice.below(13) {
        0..=4 => cut(world, dice),
        5 | 6 => slow(world, dice),
        7 => break_links(world, dice),
        8 | 9 => usurp(world, dice),
        10 => bucket_stuck(world, dice),
        11 => unheard(world, dice),
        _ => rolling_restart(world, dice),
    }
}

fn holder(world: &World) -> Option<Arc<Process>> {
    let mut processes = world.processes().into_iter();
    processes.find(|process| process.holds_the_order())
}

/// A way, most often one to whoever holds the order.
fn some_way(world: &World, dice: &Dice) -> Option<((String, String), Arc<Way>)> {
    let mut ways = world.net.ways();
    if dice.chance(700)
        && let Some(holder) = holder(world)
    {
        let name = holder.role.name();
        ways.retain(|((_, to), _)| *to == name);
    }
    ways.get(dice.index(ways.len())).cloned()
}

/// Ways are cut: one, or all from a machine, or all to it; in one direction, or both.
fn cut(world: &Arc<World>, dice: &Dice) {
    let Some(((from, to), _)) = some_way(world, dice) else {
        return;
    };
    let which = dice.below(4);
    let chosen = world
        .net
        .ways()
        .into_iter()
        .filter(|(ends, _)| match which {
            0 => *ends == (from.clone(), to.clone()),
            1 => ends.0 == from,
            _ => ends.1 == to,
        });
    let directions: &'static [Direction] = match dice.below(4) {
        0 | 1 => &[Direction::Back],
        2 => &[Direction::There],
        _ => &[Direction::There, Direction::Back],
    };
    // Links notice it after 3 s, sessions are closed 10 s later.
    let (from, to) = [(50, 1_000), (50, 5_000), (11_000, 18_000)][dice.index(3)];
    let duration = dice.millis(from, to);
    // Most often it begins with ways that are slow, on which more is under way.
    let slow = [0, 100, 500][dice.index(3)];
    let before = dice.millis(0, 3 * slow + 1);
    for (ends, way) in chosen {
        world.history.note(format!(
            "slow by {slow} ms for {before:?}, then cut for {duration:?}: {ends:?} {directions:?}"
        ));
        way.slow(slow);
        let world = Arc::clone(world);
        spawn(async move {
            sleep(before).await;
            if world.has_healed() {
                return;
            }
            directions.iter().for_each(|each| way.cut(*each, true));
            sleep(duration).await;
            directions.iter().for_each(|each| way.cut(*each, false));
            way.slow(0);
        });
    }
}

/// Answers to an agent are held up until its session is closed, and no longer than it would ask again for what it has sent.
fn unheard(world: &World, dice: &Dice) {
    let Some(holder) = holder(world) else {
        return;
    };
    let name = holder.role.name();
    let mut ways = world.net.ways();
    ways.retain(|((_, to), _)| *to == name);
    let Some((ends, way)) = ways.get(dice.index(ways.len())).cloned() else {
        return;
    };
    // The link is given up after 3 s, the session closed 10 s later; what was sent is asked for again for 20 s.
    let duration = dice.millis(13_200, 18_000);
    world
        .history
        .note(format!("answers are held up for {duration:?}: {ends:?}"));
    way.cut(Direction::Back, true);
    spawn(async move {
        sleep(duration).await;
        way.cut(Direction::Back, false);
    });
}

fn slow(world: &World, dice: &Dice) {
    let Some((ends, way)) = some_way(world, dice) else {
        return;
    };
    let slow = dice.below([30, 300, 2_000][dice.index(3)]);
    world.history.note(format!("slow by {slow} ms: {ends:?}"));
    way.slow(slow);
    let duration = dice.millis(500, 10_000);
    spawn(async move {
        sleep(duration).await;
        way.slow(0);
    });
}

fn break_links(world: &World, dice: &Dice) {
    if let Some((ends, way)) = some_way(world, dice) {
        world.history.note(format!("links break: {ends:?}"));
        way.break_links();
    }
}

/// The one that holds the order is taken for gone, by the others and by some agent, while it may live on: it stands still,
/// or not even that.
fn usurp(world: &World, dice: &Dice) {
    let Some(holder) = holder(world) else {
        return;
    };
    let name = holder.role.name();
    world.history.note(format!("{name} is taken for gone"));
    let one = world.fleet.0[dice.index(world.fleet.0.len())].name();
    for role in &world.fleet.0 {
        let from = role.name();
        if from == name || !(role.may_hold_the_order() || from == one) {
            continue;
        }
        let way = world.net.way(&from, &name);
        way.break_links();
        way.refuse(true);
        let duration = dice.millis(200, 3_000);
        spawn(async move {
            sleep(duration).await;
            way.refuse(false);
        });
    }
    if dice.chance(700) && !holder.is_frozen() {
        holder.freeze();
        let duration = dice.millis(200, 3_000);
        spawn(async move {
            sleep(duration).await;
            holder.thaw();
        });
    }
}

/// One process does not get through to the bucket.
fn bucket_stuck(world: &World, dice: &Dice) {
    let processes = world.processes();
    if let Some(process) = processes.get(dice.index(processes.len())) {
        world
            .history
            .note(format!("the bucket is stuck for process {}", process.id));
        process
            .outlet
            .stick(dice.millis(100, [2_000, 8_000, 20_000][dice.index(3)]));
    }
}

/// All are drained and started again, one after another, as on an upgrade.
fn rolling_restart(world: &Arc<World>, dice: &Dice) {
    world.history.note("a rolling restart begins");
    let (world, dice) = (Arc::clone(world), dice.fork());
    spawn(async move {
        for role in world.fleet.0.clone() {
            let mut processes = world.processes();
            processes.retain(|process| process.role == role && process.serves());
            for process in processes {
                process.terminate();
                while !process.has_ended() && !world.has_healed() {
                    sleep(Duration::from_millis(50)).await;
                }
            }
            sleep(dice.millis(200, 2000)).await;
            if world.has_healed() {
                return;
            }
        }
        world.history.note("the rolling restart is over");
    });
}
