//! What is typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The broker's binary, of which each case starts one
    #[arg(
        long,
        value_name = "FILE",
        env = "PENSTOCK_BIN",
        default_value = "penstock"
    )]
    pub(super) penstock: PathBuf,
    /// Its bucket: memory:, file:///path or s3://bucket/prefix; each case has its own folder there [default: a folder that
    /// is removed]
    #[arg(long, value_name = "URL")]
    pub(super) bucket: Option<String>,
    /// This case alone; may be said several times
    #[arg(long = "case", value_name = "NAME")]
    pub(super) cases: Vec<String>,
    /// Times that a case runs; of what they measure the median counts, of memory the most
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=101))]
    pub(super) runs: u32,
    /// Seconds of each part of a run: quiet, attacked, quiet again
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) seconds: u64,
    /// For CI: one run of smaller attacks, seconds each. Only a broker that ends, memory beyond the cap, and a good client
    /// that is refused or waits for more than 10 s are failures
    #[arg(long)]
    pub(super) short: bool,
    /// MiB that the broker may take before it is ended
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    pub(super) memory_cap: u64,
    /// Folder of a memory cgroup in which to make one for each broker, as in /sys/fs/cgroup/memory, so that the kernel
    /// holds it to the cap [default: its resident memory is looked at each 50 ms]
    #[arg(long, value_name = "DIR")]
    pub(super) cgroup: Option<PathBuf>,
    /// The broker's --buffer-memory, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    pub(super) buffer_memory: u64,
    /// The broker's --cache-memory, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    pub(super) cache_memory: u64,
}

impl Options {
    pub(super) fn runs(&self) -> u32 {
        if self.short { 1 } else { self.runs }
    }

    pub(super) fn quiet(&self) -> Duration {
        // The short form compares nothing with it.
        if self.short {
            Duration::from_millis(500)
        } else {
            Duration::from_secs(self.seconds)
        }
    }

    pub(super) fn attacked(&self) -> Duration {
        Duration::from_secs(if self.short { 3 } else { self.seconds })
    }

    /// Whether objects are the broker's own memory.
    pub(super) fn is_in_memory(&self) -> bool {
        self.bucket.as_deref() == Some("memory:")
    }

    /// How long the good client waits for an answer; then it is an error.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(if self.short { 10 } else { 60 })
    }
}
