//! How much memory the broker takes, and the most that it may. A cgroup holds it to that where one is given; anywhere its
//! resident memory is looked at, and `run` ends it beyond.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A memory cgroup with one process in it, of version 1 or 2. Gone when dropped, which wants the process ended.
#[derive(Debug)]
pub(super) struct Cgroup(PathBuf);

impl Cgroup {
    /// Made below a folder, with that process in it.
    pub(super) fn around(pid: u32, parent: &Path, bytes_max: u64) -> anyhow::Result<Self> {
        let folder = parent.join(format!("penstock-abuse-{pid}"));
        fs::create_dir(&folder).with_context(|| format!("no cgroup {}", folder.display()))?;
        let cgroup = Self(folder);
        let limit = ["memory.max", "memory.limit_in_bytes"]
            .map(|name| cgroup.0.join(name))
            .into_iter()
            .find(|file| file.exists())
            .with_context(|| format!("{} has no limit of memory", parent.display()))?;
        fs::write(limit, bytes_max.to_string())?;
        fs::write(cgroup.0.join("cgroup.procs"), pid.to_string())?;
        Ok(cgroup)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // What is left behind holds nothing.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Resident bytes now, and the most since the process began or [`forget_most`].
pub(super) fn resident(pid: u32) -> anyhow::Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let (now, most) = (field(&status, "VmRSS:"), field(&status, "VmHWM:"));
    now.zip(most).context("a process that ended has no memory")
}

/// Begins to look for the most anew. Where the kernel does not let us, that of the start stays.
pub(super) fn forget_most(pid: u32) {
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tpenstock\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n";
        assert_eq!(field(status, "VmRSS:"), Some(1 << 20));
        assert_eq!(field(status, "VmHWM:"), Some(2 << 20));
        assert_eq!(field("Name:\tzombie\n", "VmRSS:"), None);
        let (now, most) = resident(std::process::id()).unwrap();
        assert!(now > 0 && most >= now);
    }
}
