//! What goes wrong with a cluster, and when: commands in words, for
//! `int fdb_look_alike_control(const char *cluster_file, const char *command)`, which answers -1 to what it does not
//! understand. `FDB_LOOK_ALIKE_FAULTS` holds such commands, separated by semicolons, for every cluster that comes up.
//!
//! | command | from now on |
//! |---|---|
//! | `commit refuse CODE` | the next commit fails so, and nothing is written |
//! | `commit landed CODE` | it is written, but the answer is lost: that code instead |
//! | `commit lost CODE` | the same answer, but nothing is written |
//! | `commit late CODE N` | the same answer, and it is written after N more operations, unless it conflicts then |
//! | `commit hang` | it is not written and never answered; only the transaction's timeout ends it |
//! | `commit aged` | six seconds pass before it is looked at |
//! | `read refuse CODE`, `read hang`, `read aged` | the same for the next read |
//! | `random SEED N` | so many of 1000 operations meet a fault; the same seed and operations, the same faults |
//! | `page BYTES` | ranges come in pieces of so many bytes, and say that there is more |
//! | `land` | what is late is written now |
//! | `cease` | no more faults; what is late still is |
//! | `commits` | nothing; answers how many commits were asked for |

use std::collections::VecDeque;
use std::ffi::{CStr, c_char, c_int};

use crate::cluster::{self, Cluster};

/// What happens to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitFault {
    None,
    Refuse(i32),
    Landed(i32),
    Lost(i32),
    Late(i32, u32),
    Hang,
    Aged,
}

/// What happens to a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFault {
    None,
    Refuse(i32),
    Hang,
    Aged,
}

/// What chance chooses from: the codes that commits fail with for certain, those that leave it open, and those of reads.
const REFUSALS: [i32; 8] = [1007, 1009, 1020, 1037, 1038, 1042, 1213, 1235];
const UNKNOWN: [i32; 3] = [1021, 1031, 1039];
const READS: [i32; 7] = [1007, 1009, 1037, 1038, 1039, 1078, 1213];

/// The faults to come.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    commits: VecDeque<CommitFault>,
    reads: VecDeque<ReadFault>,
    random: Option<(Random, u64)>,
    pub(crate) page_bytes: Option<usize>,
}

impl Plan {
    pub(crate) fn next_commit(&mut self) -> CommitFault {
        if let Some(planned) = self.commits.pop_front() {
            return planned;
        }
        let Some(random) = self.strikes() else {
            return CommitFault::None;
        };
        let unknown = random.of(&UNKNOWN);
        match random.below(6) {
            0 => CommitFault::Landed(unknown),
            1 => CommitFault::Lost(unknown),
            // 1021 promises that the transaction is no longer on its way.
            2 => CommitFault::Late(1031, u32::try_from(random.below(8)).unwrap_or(0)),
            3 => CommitFault::Aged,
            _ => CommitFault::Refuse(random.of(&REFUSALS)),
        }
    }

    pub(crate) fn next_read(&mut self) -> ReadFault {
        if let Some(planned) = self.reads.pop_front() {
            return planned;
        }
        let Some(random) = self.strikes() else {
            return ReadFault::None;
        };
        match random.below(8) {
            0 => ReadFault::Aged,
            _ => ReadFault::Refuse(random.of(&READS)),
        }
    }

    fn strikes(&mut self) -> Option<&mut Random> {
        let (random, per_mille) = self.random.as_mut()?;
        (random.below(1000) < *per_mille).then_some(random)
    }
}

/// SplitMix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn of(&mut self, codes: &[i32]) -> i32 {
        let place = usize::try_from(self.below(codes.len() as u64)).unwrap_or(0);
        codes[place]
    }
}

/// Does what the words say. `None` if they make no sense.
pub(crate) fn obey(cluster: &Cluster, command: &str) -> Option<c_int> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let mut cluster = cluster.lock();
    match words.as_slice() {
        ["commit", fault @ ..] => cluster.plan.commits.push_back(match fault {
            ["refuse", code] => CommitFault::Refuse(code.parse().ok()?),
            ["landed", code] => CommitFault::Landed(code.parse().ok()?),
            ["lost", code] => CommitFault::Lost(code.parse().ok()?),
            ["late", code, after] => CommitFault::Late(code.parse().ok()?, after.parse().ok()?),
            ["hang"] => CommitFault::Hang,
            ["aged"] => CommitFault::Aged,
            ["none"] => CommitFault::None,
            _ => return None,
        }),
        ["read", fault @ ..] => cluster.plan.reads.push_back(match fault {
            ["refuse", code] => ReadFault::Refuse(code.parse().ok()?),
            ["hang"] => ReadFault::Hang,
            ["aged"] => ReadFault::Aged,
            ["none"] => ReadFault::None,
            _ => return None,
        }),
        ["random", seed, per_mille] => {
            let random = Random(seed.parse().ok()?);
            cluster.plan.random = Some((random, per_mille.parse().ok()?));
        }
        ["page", bytes] => cluster.plan.page_bytes = Some(bytes.parse().ok()?),
        ["land"] => cluster.land(),
        ["cease"] => cluster.plan = Plan::default(),
        ["commits"] => return c_int::try_from(cluster.commits).ok(),
        _ => return None,
    }
    Some(0)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn fdb_look_alike_control(
    cluster_file: *const c_char,
    command: *const c_char,
) -> c_int {
    // SAFETY: the test passes two C strings.
    let (path, command) = unsafe { (CStr::from_ptr(cluster_file), CStr::from_ptr(command)) };
    let obeyed = cluster::open(path)
        .ok()
        .and_then(|cluster| obey(&cluster, command.to_str().ok()?));
    obeyed.unwrap_or(-1)
}
