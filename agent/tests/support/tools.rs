//! What these tests need besides a broker: a run to its end, what a folder holds, small file systems, skipping aloud.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use protocol::ErrorCode;
use protocol::messages::fetch::PartitionData;
use protocol::record_batch::BatchHeader;
use protocol::records::records;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::support::broker::{Broker, PATIENCE};
use crate::support::client::Client;

/// How a process ended and what it said.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs it to its end.
pub async fn run(command: &mut Command) -> Ran {
    let output = command.stdin(Stdio::null()).output();
    let output = timeout(PATIENCE, output)
        .await
        .expect("it ends by itself")
        .expect("the binary starts");
    Ran {
        status: output.status,
        stdout: String::from_utf8(output.stdout).expect("it writes UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("it writes UTF-8"),
    }
}

impl Ran {
    /// The one sentence with which it refused to start, each of `parts` in it.
    pub fn refused(&self, parts: &[&str]) {
        self.ended_with(1, parts);
    }

    /// The same where what was typed is at fault, and nothing else was looked at.
    pub fn misused(&self, parts: &[&str]) {
        self.ended_with(2, parts);
    }

    #[expect(clippy::panic, reason = "it did not say what the test expects")]
    fn ended_with(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        assert_eq!(self.stdout, "", "{self:?}");
        let said = self
            .stderr
            .strip_prefix("penstock: ")
            .unwrap_or_else(|| panic!("no sentence: {self:?}"));
        assert_eq!(said.lines().count(), 1, "more than a sentence: {self:?}");
        for part in parts {
            assert!(said.contains(part), "no {part:?} in {said:?}");
        }
    }
}

/// Everything below a folder: what files hold, `None` for folders. A folder that is not there holds nothing.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("the folder can be read").path();
            let bytes = if path.is_dir() {
                left.push(path.clone());
                None
            } else {
                Some(std::fs::read(&path).expect("the file can be read"))
            };
            found.insert(path, bytes);
        }
    }
    found
}

/// A file system in memory, unmounted when dropped. Whatever uses it must be gone by then.
#[derive(Debug)]
pub struct Mount(tempfile::TempDir);

impl Mount {
    /// Only root may; others skip, aloud.
    pub fn new(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder.path())
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        skipped("only root may mount a small file system");
        None
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a test that already fails must still say why, and leave nothing behind.
        let unmounted = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.0.path())
            .status();
        assert!(std::thread::panicking() || unmounted.is_ok_and(|status| status.success()));
    }
}

/// Says that something was not tested. Where all must run, that is a failure.
pub fn skipped(why: &str) {
    assert!(
        std::env::var_os("CI").is_none_or(|ci| ci != "true"),
        "CI must test everything: {why}"
    );
    note(&format!("SKIPPED: {why}"));
}

/// Prints past the harness' capture.
pub fn note(text: &str) {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    // In one piece, so that tests beside this one do not cut it.
    let written = std::io::stderr().write_all(format!("{test}: {text}\n").as_bytes());
    written.expect("standard error is open");
}

/// As many open files as the system allows, for this process and those it starts from now on: shells often give 1024.
#[expect(unsafe_code, reason = "plain system calls on a struct of ours")]
pub fn many_descriptors() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    assert_eq!(
        unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) },
        0
    );
    limit.rlim_cur = limit.rlim_max;
    assert_eq!(
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) },
        0
    );
}

/// Looks again and again until it holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until it is ready to serve.
pub async fn ready(broker: &Broker) {
    until("ready", async || {
        broker.page("/health/ready").await.0 == 200
    })
    .await;
}

/// Bytes that do not compress, different for each seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// All values of a partition in order, each at the offset it must have.
pub async fn values(client: &mut Client, topic: &str, partition: i32) -> Vec<String> {
    let mut values = Vec::new();
    loop {
        let next = i64::try_from(values.len()).expect("few");
        let data = client.fetch(topic, partition, next).await;
        assert_eq!(data.error_code, ErrorCode::NONE);
        if next == data.high_watermark {
            return values;
        }
        let before = values.len();
        for (offset, value) in records_of(&data) {
            // A fetch may begin in the middle of a batch.
            if offset >= next {
                assert_eq!(
                    offset,
                    i64::try_from(values.len()).expect("few"),
                    "offsets are dense"
                );
                values.push(String::from_utf8(value.to_vec()).expect("it was text"));
            }
        }
        assert!(
            values.len() > before,
            "nothing at {next} below {}",
            data.high_watermark
        );
    }
}

/// Offsets and values in a fetched partition.
pub fn records_of(data: &PartitionData) -> Vec<(i64, Bytes)> {
    let slices = data.records.as_ref().map_or(&[][..], |records| &records.0);
    let mut rest = Bytes::from(slices.concat());
    let mut found = Vec::new();
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[8..12].try_into().expect("4 bytes"));
        let batch = rest.split_to(12 + length as usize);
        let header = BatchHeader::read(&batch).expect("a batch");
        for record in records(&batch, 64 << 20).expect("it unpacks") {
            let record = record.expect("a record");
            let offset = header.base_offset + i64::from(record.offset_delta);
            found.push((offset, record.value.unwrap_or_default()));
        }
    }
    found
}
