//! When turns begin, how many there are at once, what becomes of those that fail, and how they end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::driver::STOP_MAX;
use super::{Budget, Job, Jobs, Progress, Terms};
use crate::random::Random;
use crate::tasks::Tasks;

const PAUSE: Duration = Duration::from_secs(10);
const TERMS: Terms = Terms {
    name: "a",
    pause: PAUSE,
    turn_max: Duration::from_secs(30),
    requests_per_second: 2,
};
/// A sleep may be late by a tick of the timer.
const AT_ONCE: Duration = Duration::from_millis(5);

/// What becomes of a turn.
#[derive(Clone, Copy, Debug)]
enum Turn {
    More,
    Idle,
    Fails,
    Takes(Duration),
    /// So long, and there is more.
    Busy(Duration),
    Asks {
        requests: u32,
    },
}

/// Does turn by turn what it says; then there is nothing to do any more.
struct Scripted {
    terms: Terms,
    script: VecDeque<Turn>,
    seen: Arc<Seen>,
}

/// Of all jobs of a test.
#[derive(Default)]
struct Seen {
    began: Mutex<Vec<(&'static str, Instant)>>,
    ended: AtomicUsize,
    under_way: AtomicUsize,
    at_once: AtomicUsize,
}

impl Job for Scripted {
    fn terms(&self) -> Terms {
        self.terms
    }

    async fn turn(&mut self, budget: &Budget) -> Result<Progress, String> {
        let seen = &self.seen;
        seen.began.lock().push((self.terms.name, Instant::now()));
        let under_way = 1 + seen.under_way.fetch_add(1, Ordering::Relaxed);
        seen.at_once.fetch_max(under_way, Ordering::Relaxed);
        let turn = self.script.pop_front().unwrap_or(Turn::Idle);
        match turn {
            Turn::Takes(long) | Turn::Busy(long) => sleep(long).await,
            Turn::Asks { requests } => {
                for _ in 0..requests {
                    budget.request().await;
                }
            }
            Turn::More | Turn::Idle | Turn::Fails => {}
        }
        seen.under_way.fetch_sub(1, Ordering::Relaxed);
        seen.ended.fetch_add(1, Ordering::Relaxed);
        match turn {
            Turn::More | Turn::Busy(_) => Ok(Progress::More { done: 1 }),
            Turn::Fails => Err("it was to fail".to_owned()),
            _ => Ok(Progress::Idle { done: 0 }),
        }
    }
}

impl Seen {
    /// Between the beginnings of turns of that job.
    fn gaps(&self, name: &str) -> Vec<Duration> {
        let began = self.began.lock();
        let began = began.iter().filter(|(job, _)| *job == name);
        let began: Vec<Instant> = began.map(|(_, at)| *at).collect();
        let gaps = began.windows(2).map(|two| two[1] - two[0]);
        gaps.collect()
    }

    fn turns(&self) -> usize {
        self.began.lock().len()
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }
}

fn jobs(seed: u64) -> Jobs {
    Jobs::new(Tasks::new(), Random::seeded(seed))
}

fn start(jobs: &Jobs, name: &'static str, script: &[Turn], seen: &Arc<Seen>) {
    let terms = Terms { name, ..TERMS };
    jobs.start(Scripted {
        terms,
        script: script.iter().copied().collect(),
        seen: Arc::clone(seen),
    });
}

fn is_about(gap: Duration, pause: Duration) -> bool {
    (pause / 2..pause * 3 / 2 + AT_ONCE).contains(&gap)
}

#[tokio::test(start_paused = true)]
async fn more_follows_at_once_and_an_idle_job_rests() {
    let (jobs, seen, begin) = (jobs(1), Arc::default(), Instant::now());
    let script = [Turn::More, Turn::More, Turn::Idle, Turn::More];
    start(&jobs, "a", &script, &seen);
    sleep(PAUSE * 20).await;
    let first = seen.began.lock()[0].1 - begin;
    assert!(is_about(first, PAUSE), "{first:?}");
    let gaps = seen.gaps("a");
    for (gap, follows) in gaps.iter().zip([true, true, false, true, false, false]) {
        match follows {
            true => assert!(*gap <= AT_ONCE, "{gaps:?}"),
            false => assert!(is_about(*gap, PAUSE), "{gaps:?}"),
        }
    }
    assert!((10..45).contains(&gaps.len()), "{gaps:?}");
    assert_eq!(seen.at_once.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn of_many_jobs_two_have_a_turn_at_once_and_each_has_its_own() {
    let (jobs, seen) = (jobs(2), Arc::default());
    let names = ["a", "b", "c", "d", "e", "f"];
    for name in names {
        start(&jobs, name, &[Turn::Takes(PAUSE * 2); 100], &seen);
    }
    sleep(PAUSE * 60).await;
    assert_eq!(seen.at_once.load(Ordering::Relaxed), 2);
    for name in names {
        // Six of two pauses each, two at a time.
        let turns = seen.gaps(name).len();
        assert!((6..12).contains(&turns), "{name}: {turns}");
    }
}

#[tokio::test(start_paused = true)]
async fn jobs_that_have_always_more_keep_nobody_from_his_turn() {
    let (jobs, seen) = (jobs(3), Arc::default());
    let busy = [Turn::Busy(Duration::from_secs(1)); 1_000];
    for name in ["a", "b", "c"] {
        start(&jobs, name, &busy, &seen);
    }
    start(&jobs, "d", &[], &seen);
    sleep(PAUSE * 20).await;
    for name in ["a", "b", "c", "d"] {
        let turns = seen.gaps(name).len();
        assert!(turns > 5, "{name}: {turns}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_is_tried_later_and_later_until_it_works() {
    let (jobs, seen) = (jobs(4), Arc::default());
    let script = [[Turn::Fails; 9].as_slice(), &[Turn::Idle, Turn::Fails]].concat();
    start(&jobs, "a", &script, &seen);
    sleep(PAUSE * 100).await;
    let gaps = seen.gaps("a");
    let pauses = [1, 2, 4, 8, 16, 32, 60, 60, 60, 10, 1, 10];
    for (gap, pause) in gaps.iter().zip(pauses) {
        assert!(is_about(*gap, Duration::from_secs(pause)), "{gaps:?}");
    }
    assert!(gaps.len() > pauses.len());
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_takes_too_long_is_given_up_and_tried_again() {
    let (jobs, seen) = (jobs(5), Arc::default());
    start(&jobs, "a", &[Turn::Takes(PAUSE * 1000)], &seen);
    sleep(PAUSE * 10).await;
    let gap = seen.gaps("a")[0];
    let rest = gap - TERMS.turn_max;
    assert!(is_about(rest, Duration::from_secs(1)), "{gap:?}");
    assert!(seen.ended() > 1);
}

#[tokio::test(start_paused = true)]
async fn a_turn_under_way_is_cut_off_with_the_agent_and_none_begins() {
    let (jobs, seen) = (jobs(6), Arc::default());
    start(&jobs, "a", &[Turn::Takes(TERMS.turn_max)], &seen);
    start(&jobs, "b", &[Turn::Idle], &seen);
    while seen.under_way.load(Ordering::Relaxed) == 0 {
        sleep(Duration::from_millis(100)).await;
    }
    let (before, asked) = (seen.ended(), Instant::now());
    jobs.stop().await;
    assert!(asked.elapsed() <= AT_ONCE);
    let turns = seen.turns();
    sleep(PAUSE * 10 + TERMS.turn_max).await;
    assert_eq!((seen.ended(), seen.turns()), (before, turns));
}

/// The agent's last checkpoint has the rest of its grace.
#[tokio::test(start_paused = true)]
async fn a_turn_that_cannot_be_cut_off_is_waited_for_a_moment_only() {
    let tasks = Tasks::new();
    tasks.spawn("held up", std::future::pending());
    let asked = Instant::now();
    Jobs::new(tasks, Random::seeded(7)).stop().await;
    assert!(asked.elapsed() <= STOP_MAX + AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn requests_are_spread_over_time_and_none_are_saved_up() {
    let (jobs, seen) = (jobs(9), Arc::default());
    let asks = Turn::Asks { requests: 9 };
    start(&jobs, "a", &[asks, Turn::More, asks], &seen);
    let ended = async |count| {
        while seen.ended() < count {
            sleep(Duration::from_millis(10)).await;
        }
        Instant::now()
    };
    for turn in [1, 3] {
        let end = ended(turn).await;
        let took = end - seen.began.lock()[turn - 1].1;
        let most = Duration::from_millis(4_600);
        assert!((Duration::from_secs(4)..most).contains(&took), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_numbers_give_the_same_times() {
    let times = async |seed| {
        let (jobs, seen, begin) = (jobs(seed), Arc::default(), Instant::now());
        for name in ["a", "b", "c"] {
            start(&jobs, name, &[Turn::Fails, Turn::More], &seen);
        }
        sleep(PAUSE * 20).await;
        let began = seen.began.lock();
        let times = began.iter().map(|(name, at)| (*name, *at - begin));
        times.collect::<Vec<_>>()
    };
    assert_eq!(times(10).await, times(10).await);
    assert_ne!(times(10).await, times(11).await);
}
