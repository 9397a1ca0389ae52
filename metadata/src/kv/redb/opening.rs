//! Opens the file, or refuses it with a sentence.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, StorageBackend, StorageError};

use super::place::Place;
use super::renewed::{Doubt, Renewed};
use crate::kv::KvError;

/// redb would take 1 GiB; the rows in use are few.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// What to do when the file is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Create,
    /// A file that was open and is gone must not come back empty.
    Refuse,
}

/// With the place of its file; none of what stands for one.
pub(super) type Opened = (Database, Option<Place>);

/// The file that a process has open already.
pub(super) fn opened_again(place: &Place, doubt: &Doubt) -> Result<Opened, KvError> {
    let path = place.path();
    let unusable = |error| KvError::Unavailable(format!("{}: {error}", path.display()));
    let file = place.file().map_err(unusable)?;
    let again = Place::of(path, &file).map_err(unusable)?;
    let file = FileBackend::new(file).map_err(|error| refused(path, error))?;
    let database = database(file, doubt).map_err(|error| refused(path, error))?;
    Ok((database, Some(again)))
}

pub(super) fn open(path: &Path, missing: Missing, doubt: &Doubt) -> Result<Opened, KvError> {
    let shown = path.display();
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        let text = format!("{shown} cannot be opened: its folder does not exist");
        return Err(KvError::Unavailable(text));
    }
    let unusable =
        |error: io::Error| KvError::Unavailable(format!("{shown} cannot be opened: {error}"));
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let made = match missing {
        Missing::Create => options.clone().create_new(true).open(path),
        Missing::Refuse => Err(ErrorKind::AlreadyExists.into()),
    };
    let (file, is_new) = match made {
        Ok(file) => (file, true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            (options.open(path).map_err(unusable)?, false)
        }
        Err(error) => return Err(unusable(error)),
    };
    if !is_new && file.metadata().map_err(unusable)?.len() == 0 {
        return Err(emptied(path, &file, missing));
    }
    let place = Place::of(path, &file).map_err(unusable)?;
    let file = FileBackend::new(file).map_err(|error| refused(path, error))?;
    let database = database(file, doubt).map_err(|error| {
        if is_new && !matches!(error, DatabaseError::DatabaseAlreadyOpen) {
            // Nothing can be in it, and the next start shall not take it for a loss.
            let _ = fs::remove_file(path);
        }
        refused(path, error)
    })?;
    // The file's name must outlive a power cut as well.
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| KvError::Unavailable(format!("{shown}: {error}")))?;
    Ok((database, Some(place)))
}

/// A file of no bytes is one whose rows are lost, as by a restore that was interrupted. A crash amid a first start may leave
/// one as well, and the two look alike: a person, who knows which it was, has to delete a file in that case, which is better
/// than a new cluster in the place of one whose records are acknowledged.
fn emptied(path: &Path, file: &File, missing: Missing) -> KvError {
    let shown = path.display();
    match (missing, file.try_lock()) {
        // By another process, which has just made it.
        (_, Err(TryLockError::WouldBlock)) => {
            KvError::InUse(format!("{shown} is open in another process"))
        }
        (Missing::Refuse, _) => {
            KvError::Unavailable(format!("{shown} cannot be opened: it was emptied"))
        }
        (Missing::Create, _) => KvError::Corrupt(format!(
            "{shown} has 0 bytes, as after a restore that was interrupted; delete it only if a first start was, before \
             anything was stored"
        )),
    }
}

/// In a file or what stands for one, locked against other processes.
pub(super) fn database(
    file: impl StorageBackend,
    doubt: &Doubt,
) -> Result<Database, DatabaseError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder.create_with_backend(Renewed::new(file, doubt.clone()))
}

/// Why a file was not opened, for the operator.
pub(super) fn refused(path: &Path, error: DatabaseError) -> KvError {
    let shown = path.display();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            KvError::InUse(format!("{shown} is open in another process"))
        }
        // redb has no variant for this. Were its text to change, the file would still be refused, as damaged.
        DatabaseError::Storage(StorageError::Corrupted(reason))
            if reason.starts_with("Expected file format version <=") =>
        {
            let found = reason.rsplit(' ').next().unwrap_or_default();
            KvError::NewerFormat(format!("redb {found} ({shown})"))
        }
        DatabaseError::UpgradeRequired(version) => KvError::Corrupt(format!(
            "{shown} has redb's old format {version}, in which Penstock never wrote"
        )),
        DatabaseError::Storage(StorageError::Corrupted(reason)) => {
            KvError::Corrupt(format!("{shown}: {reason}"))
        }
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == ErrorKind::InvalidData =>
        {
            KvError::Corrupt(format!("{shown} is not a database of Penstock: {error}"))
        }
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == ErrorKind::UnexpectedEof =>
        {
            KvError::Corrupt(format!(
                "{shown} is cut off: it ends before what it holds does"
            ))
        }
        error => KvError::Unavailable(format!("{shown} cannot be opened: {error}")),
    }
}
