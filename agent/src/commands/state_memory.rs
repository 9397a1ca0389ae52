//! What the cluster's state may take where nobody says: a part of the memory that this process can have.

use std::fs;

use metadata::{STATE_BYTES_MAX, STATE_BYTES_MIN};

use crate::config::Bytes;

/// The rest is for requests, caches and the state once more, while it is loaded.
const PART: u64 = 4;
/// What a container may take, by both versions of cgroups.
const CONTAINERS: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];
/// Which group this process is in, where it is none of a container's own: a unit of systemd.
const SELF: &str = "/proc/self/cgroup";
const MACHINE: &str = "/proc/meminfo";

/// What is given, or a quarter of the memory there is, 3 GiB at the most.
pub(super) fn state_memory(given: Option<Bytes>) -> u64 {
    if let Some(given) = given {
        return given.0 as u64;
    }
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let limit = |path: &str| read(path).trim().parse().ok();
    let unit = unit(&read(SELF)).and_then(|path| limit(&path));
    let containers = CONTAINERS.map(limit);
    part_of(
        containers
            .into_iter()
            .chain([unit, machine(&read(MACHINE))]),
    )
}

fn part_of(there: impl IntoIterator<Item = Option<u64>>) -> u64 {
    let least = there.into_iter().flatten().min();
    least.map_or(STATE_BYTES_MAX, |bytes| {
        (bytes / PART).clamp(STATE_BYTES_MIN, STATE_BYTES_MAX)
    })
}

/// Where the group's limit is said: `0::/system.slice/penstock.service`.
fn unit(said: &str) -> Option<String> {
    let path = said.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(format!("/sys/fs/cgroup/{path}/memory.max"))
}

/// As the kernel says it: `MemTotal:  24543232 kB`.
fn machine(said: &str) -> Option<u64> {
    let total = said
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_quarter_of_the_least_that_is_there() {
        const GIB: u64 = 1 << 30;
        assert_eq!(part_of([None, Some(GIB), Some(8 * GIB)]), GIB / 4);
        // cgroups without a limit say so by a word, or by a number beyond all memory.
        assert_eq!(part_of([Some(u64::MAX), Some(4 * GIB)]), GIB);
        assert_eq!(part_of([Some(64 * GIB)]), STATE_BYTES_MAX);
        assert_eq!(part_of([Some(GIB / 100)]), STATE_BYTES_MIN);
        assert_eq!(part_of([None]), STATE_BYTES_MAX);
    }

    #[test]
    fn the_kernel_is_understood() {
        let said = "MemTotal:       24543232 kB\nMemFree:         1234 kB\n";
        assert_eq!(machine(said), Some(24_543_232 * 1024));
        assert_eq!(machine("MemFree: 1 kB"), None);
        let path = unit("0::/system.slice/penstock.service\n").unwrap();
        assert_eq!(
            path,
            "/sys/fs/cgroup/system.slice/penstock.service/memory.max"
        );
        assert_eq!(state_memory(Some(Bytes(7))), 7);
    }
}
