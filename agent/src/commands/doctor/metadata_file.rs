//! Looks at a metadata file, and tries whether it can be written. One that is not there is not made, and one that is damaged
//! is left as it is: redb writes to each file that it opens, so it is given a copy first.

use std::fs::{self, File, TryLockError, remove_file};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use metadata::Checked;
use metadata::kv::{KvError, Redb};

use super::report::Report;
use super::still_open;
use super::writes::check_writes;
use crate::server::says_disk_full;

/// Written beside a file that is not there yet: as much as its first rows need.
const TRIAL_BYTES: usize = 64 * 1024;

/// Why it was not read.
enum Unread {
    NoCopy(io::Error),
    Store(metadata::Error),
}

impl From<KvError> for Unread {
    fn from(error: KvError) -> Self {
        Self::Store(error.into())
    }
}

/// What the metadata says of itself, if it can be read.
pub(super) async fn check(path: &Path, report: &mut Report) -> Option<Checked> {
    let shown = path.display();
    if let Some(open) = still_open::find(path) {
        let open = open.display();
        report.wrong(&format!(
            "The metadata in {shown} was removed or replaced while a process has it open, which alone has what was acknowledged: \
             copy it from {open} to a safe place before you end that process, then put the copy in the place of {shown} and start \
             again."
        ));
        return None;
    }
    if !path.exists() {
        return check_absent(path, report);
    }
    if path.is_dir() {
        report.wrong(&format!(
            "{shown} is a folder, and the metadata is kept in a file: name the file, as in --store redb://{}.",
            path.join("metadata.redb").display()
        ));
        return None;
    }
    match read(path).await {
        Ok(checked) => {
            report.well(&format!("The metadata in {shown} can be opened and read."));
            try_writes(path, report).await;
            return Some(checked);
        }
        // As it is while all is well.
        Err(Unread::Store(metadata::Error::InUse(_))) => report.left_out(&format!(
            "The metadata in {shown} was not looked at, nor whether the bucket is its bucket: a process has it open, which \
             keeps all others out. That one says in its /health/ready how it is; or stop it and ask again."
        )),
        Err(Unread::Store(metadata::Error::Corrupt(why))) => damaged(path, &why, report),
        Err(Unread::Store(error @ metadata::Error::NewerFormat { .. })) => {
            report.wrong(&format!("The metadata in {shown} is not for this version: {error}."));
        }
        Err(Unread::Store(error)) => {
            let why = match error {
                metadata::Error::Unavailable { reason, .. } => reason,
                error => error.to_string(),
            };
            report.wrong(&format!(
                "The metadata in {shown} cannot be read ({why}): check the path, its permissions and the disk."
            ));
        }
        Err(Unread::NoCopy(error)) => report.wrong(&format!(
            "The metadata in {shown} was not looked at, because that takes a copy, and there cannot be one ({error}): {}, or name \
             a folder where there can be one with the variable TMPDIR.",
            match says_disk_full(&error.to_string()) {
                true => "make room beside it",
                false => "check the permissions of its folder",
            }
        )),
    }
    None
}

fn damaged(path: &Path, why: &str, report: &mut Report) {
    report.wrong(&format!(
        "The metadata in {} is damaged ({why}): start no agent with it, keep the file, and bring back a copy.",
        path.display()
    ));
}

/// On some damage redb panics, and the process ends with that: it was at work on the file or on its copy.
pub(super) fn panicked(path: &Path, at_work_on: PathBuf, words: &str, report: &mut Report) {
    if at_work_on != path {
        drop(Copied(at_work_on));
    }
    damaged(path, words, report);
}

/// The file itself stays untouched.
async fn read(path: &Path) -> Result<Checked, Unread> {
    let owned = path.to_owned();
    let opening = move || -> Result<_, Unread> {
        let copy = Copied::of(&owned)?;
        let opened = Redb::open(&copy.0);
        let in_its_words = |error| instead(error, &copy.0, &owned);
        Ok((opened.map_err(in_its_words)?, copy))
    };
    let opened = tokio::task::spawn_blocking(opening).await;
    let (redb, copy) = opened.unwrap_or_else(|_| {
        let said = "a check of it panicked".to_owned();
        Err(KvError::Corrupt(said).into())
    })?;
    let checked = metadata::check(&redb).await;
    // Closed, and then deleted.
    drop(redb);
    drop(copy);
    checked.map_err(Unread::Store)
}

/// An error that names the copy, as one of the file.
fn instead(error: KvError, copy: &Path, path: &Path) -> KvError {
    let (copy, path) = (copy.display().to_string(), path.display().to_string());
    let of_path = |said: String| said.replace(&copy, &path);
    match error {
        KvError::Corrupt(said) => KvError::Corrupt(of_path(said)),
        KvError::NewerFormat(said) => KvError::NewerFormat(of_path(said)),
        KvError::Unavailable(said) => KvError::Unavailable(of_path(said)),
        other => other,
    }
}

/// A copy of the file, deleted when dropped.
struct Copied(PathBuf);

impl Copied {
    /// Beside it where there is room, which may then share its blocks, else where temporary files are.
    fn of(path: &Path) -> Result<Self, Unread> {
        let file = File::open(path).map_err(|error| KvError::Unavailable(error.to_string()))?;
        // Held until it is copied.
        if let Err(TryLockError::WouldBlock) = file.try_lock_shared() {
            return Err(KvError::InUse(path.display().to_string()).into());
        }
        let beside = path.with_extension(format!("doctor-{:016x}", rand::random::<u64>()));
        let name = beside.file_name().unwrap_or_default();
        let elsewhere = std::env::temp_dir().join(name);
        Self::make(path, beside)
            .or_else(|_| Self::make(path, elsewhere))
            .map_err(Unread::NoCopy)
    }

    fn make(path: &Path, to: PathBuf) -> io::Result<Self> {
        // What is half made goes with it.
        let copy = Self(to);
        fs::copy(path, &copy.0).map(|_| copy)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        let _ = remove_file(&self.0);
    }
}

/// Of a file that is whole.
async fn try_writes(path: &Path, report: &mut Report) {
    let what = format!("the metadata in {}", path.display());
    let owned = path.to_owned();
    match tokio::task::spawn_blocking(move || Redb::open(&owned)).await {
        Ok(Ok(redb)) => check_writes(&redb, &what, advice, report).await,
        Ok(Err(KvError::InUse(_))) => {
            report.left_out("Whether it can be written was not tried: a process has opened it.");
        }
        Ok(Err(error)) => report.wrong(&format!(
            "Nothing can be written to {what} ({error}): {}.",
            advice(&error.to_string())
        )),
        Err(_) => report.fault(),
    }
}

/// By what was said when it was tried.
fn advice(said: &str) -> &'static str {
    match says_disk_full(said) {
        true => "make room on its disk",
        false => "check the path, its permissions and the disk",
    }
}

/// Whether the first agent can make it.
fn check_absent(path: &Path, report: &mut Report) -> Option<Checked> {
    let shown = path.display();
    if !path.parent().is_some_and(Path::is_dir) {
        report.wrong(&format!(
            "The folder of {shown} is not there: make it, or correct --store."
        ));
        return None;
    }
    match try_beside(path) {
        Ok(()) => report.well(&format!(
            "There is no metadata in {shown} yet; the first agent makes it."
        )),
        Err(error) => report.wrong(&format!(
            "There is no metadata in {shown} yet, and it cannot be made ({error}): {}.",
            match says_disk_full(&error.to_string()) {
                true => "make room on its disk",
                false => "check its folder's permissions and the disk",
            }
        )),
    }
    Some(Checked::default())
}

/// Permissions lie, so it is tried.
fn try_beside(path: &Path) -> io::Result<()> {
    let trial = path.with_extension(format!("doctor-{:016x}", rand::random::<u64>()));
    let mut file = File::create_new(&trial)?;
    let written = file.write_all(&[0; TRIAL_BYTES]);
    let written = written.and_then(|()| file.sync_all());
    remove_file(&trial)?;
    written
}
