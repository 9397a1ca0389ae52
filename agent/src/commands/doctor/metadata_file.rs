//! Looks at a metadata file, and tries whether it can be written. One that is not there is not made.

use std::fs::{File, remove_file};
use std::io::{self, Write as _};
use std::path::Path;

use metadata::Checked;
use metadata::kv::Redb;

use super::{Report, check_writes};

/// Written beside a file that is not there yet: as much as its first rows need.
const TRIAL_BYTES: usize = 64 * 1024;

/// What the metadata says of itself, if it can be read.
pub(super) async fn check(path: &Path, report: &mut Report) -> Option<Checked> {
    let shown = path.display();
    if !path.exists() {
        return check_absent(path, report);
    }
    let owned = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || Redb::open(&owned)).await;
    let opened = opened.expect("opening does not panic");
    let read = match &opened {
        Ok(redb) => metadata::check(redb).await,
        Err(error) => Err(error.clone().into()),
    };
    match read {
        Ok(checked) => {
            report.well(&format!("The metadata in {shown} can be opened and read."));
            if let Ok(redb) = &opened {
                let advice = "make room on its disk, or look what is wrong with that";
                check_writes(redb, &format!("the metadata in {shown}"), advice, report).await;
            }
            return Some(checked);
        }
        // As it is while all is well.
        Err(metadata::Error::InUse(_)) => report.note(&format!(
            "The metadata in {shown} was not looked at, nor whether the bucket is its bucket: a process has it open, which \
             keeps all others out. That one says in its /health/ready how it is; or stop it and ask again."
        )),
        Err(metadata::Error::Corrupt(why)) => report.wrong(&format!(
            "The metadata in {shown} is damaged ({why}): start no agent with it, keep the file, and bring back a copy."
        )),
        Err(error @ metadata::Error::NewerFormat { .. }) => {
            report.wrong(&format!("The metadata in {shown} is not for this version: {error}."));
        }
        Err(error) => report.wrong(&format!(
            "The metadata in {shown} cannot be read ({error}): check the path, its permissions and the disk."
        )),
    }
    None
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
            "There is no metadata in {shown} yet, and it cannot be made ({error}): check the folder's permissions and the \
             room on its disk."
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
