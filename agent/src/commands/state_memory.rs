//! What the cluster's state may take where nobody says: a part of the memory that this process can have.

use std::fs;
use std::path::Path;

use metadata::{STATE_BYTES_MAX, STATE_BYTES_MIN};

use crate::config::Bytes;

/// The rest is for requests, caches and the state once more, while it is loaded.
const PART: u64 = 4;
/// Which groups this process is in; where a container sees itself as the root, that is all it says.
const GROUPS: &str = "/proc/self/cgroup";
const MACHINE: &str = "/proc/meminfo";

/// What is given, or a quarter of the memory there is, 3 GiB at the most.
pub(super) fn state_memory(given: Option<Bytes>) -> u64 {
    if let Some(given) = given {
        return given.0 as u64;
    }
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let limits = limits(&read(GROUPS));
    let limits = limits.iter().map(|path| read(path).trim().parse().ok());
    let bytes = part_of(limits.chain([machine(&read(MACHINE))]));
    tracing::debug!(
        bytes,
        "the cluster's state may take a quarter of the memory there is; --state-memory says otherwise"
    );
    bytes
}

fn part_of(there: impl IntoIterator<Item = Option<u64>>) -> u64 {
    let least = there.into_iter().flatten().min();
    least.map_or(STATE_BYTES_MAX, |bytes| {
        (bytes / PART).clamp(STATE_BYTES_MIN, STATE_BYTES_MAX)
    })
}

/// Where the limits of all groups are said that this process is in, by both versions of cgroups: `0::/unit.service`,
/// `5:cpu,memory:/unit`. What is above a group holds for it, too.
fn limits(said: &str) -> Vec<String> {
    let mut limits = Vec::new();
    for line in said.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let groups = Path::new(group).ancestors();
        let groups = groups.map(|group| group.display().to_string());
        limits.extend(groups.map(|group| format!("{root}{}/{file}", group.trim_end_matches('/'))));
    }
    limits
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
        let said = "12:cpuset:/\n5:cpu,memory:/a/b\n0::/system.slice/penstock.service\n";
        let expected = [
            "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/system.slice/penstock.service/memory.max",
            "/sys/fs/cgroup/system.slice/memory.max",
            "/sys/fs/cgroup/memory.max",
        ];
        assert_eq!(limits(said), expected);
        // A container's own root.
        assert_eq!(limits("0::/\n"), ["/sys/fs/cgroup/memory.max"]);
    }
}
