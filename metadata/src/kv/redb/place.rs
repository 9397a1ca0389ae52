//! Whether a path still leads to the file that is open under it. One that is removed, or replaced by another one, goes on
//! to be written by whoever has it open, and is gone with that process: what it acknowledged meanwhile nobody could read.

use std::fs::{self, File, Metadata, remove_file};
use std::io::{self, ErrorKind, Seek as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process;

/// Copies beside the path, of whose names the first that is free is taken.
const COPIES_MAX: u32 = 1000;

/// A path and the file that was opened under it, which exists for as long as this does.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    file: File,
    id: Id,
}

/// Device and inode.
type Id = (u64, u64);

fn id(found: &Metadata) -> Id {
    (found.dev(), found.ino())
}

/// What is wrong, as a sentence.
#[derive(Debug)]
pub(super) enum Away {
    /// Nothing is there, or something else.
    Displaced(String),
    /// That cannot be told.
    Unclear(String),
}

impl Away {
    pub(super) fn said(self) -> String {
        match self {
            Self::Displaced(said) | Self::Unclear(said) => said,
        }
    }
}

impl Place {
    /// Of a file that was opened under that path: whatever came there since is another one.
    pub(super) fn of(path: &Path, file: &File) -> io::Result<Self> {
        let path = path.to_owned();
        let (file, id) = (file.try_clone()?, id(&file.metadata()?));
        Ok(Self { path, file, id })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file, to be opened as a database anew. redb lets go of its lock when it closes, and takes it again.
    pub(super) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Whether the path leads to the file.
    pub(super) fn look(&self) -> Result<(), Away> {
        match fs::metadata(&self.path) {
            Ok(found) if id(&found) == self.id => Ok(()),
            // File systems there are that number a file anew while it is open.
            Ok(found) if self.file.metadata().is_ok_and(|own| id(&own) == id(&found)) => Ok(()),
            Ok(_) => Err(Away::Displaced(self.displaced())),
            Err(error) if is_gone(&error) => Err(Away::Displaced(self.displaced())),
            Err(error) => Err(Away::Unclear(format!(
                "whether {} is still the file that this process has open cannot be seen ({error}); nothing is acknowledged \
                 until it can",
                self.path.display()
            ))),
        }
    }

    fn displaced(&self) -> String {
        let path = self.path.display();
        let before = format!(
            "the file {path} was removed or replaced while this process has it open; nothing more is acknowledged"
        );
        match self.rescue() {
            Some(rescue) => format!(
                "{before}; this process still has the right one: copy it from {rescue} to a safe place before you end this \
                 process, then put the copy in the place of {path} and start again; where the right one was moved, move it back, \
                 and this process goes on"
            ),
            None => format!(
                "{before}; this process still has the right one, which is gone with it unless it was moved: move it back, and this \
                 process goes on"
            ),
        }
    }

    /// Where everybody with rights to it finds the file, on systems that show what processes have open.
    fn rescue(&self) -> Option<String> {
        let descriptor = self.file.as_raw_fd();
        let shown = fs::metadata(format!("/proc/self/fd/{descriptor}")).ok()?;
        (id(&shown) == id(&self.file.metadata().ok()?))
            .then(|| format!("/proc/{}/fd/{descriptor}", process::id()))
    }

    /// Copies the file, which nobody writes to, beside its path.
    pub(super) fn save(&self) -> io::Result<PathBuf> {
        let mut last = ErrorKind::AlreadyExists.into();
        for number in 1..=COPIES_MAX {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".saved-{number}"));
            let path = PathBuf::from(name);
            match File::create_new(&path) {
                Ok(copy) => {
                    let copied = self.copy(copy, &path);
                    if copied.is_err() {
                        // A part of it would be taken for the whole.
                        let _ = remove_file(&path);
                    }
                    return copied.map(|()| path);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn copy(&self, mut to: File, path: &Path) -> io::Result<()> {
        let mut from = &self.file;
        from.rewind()?;
        io::copy(&mut from, &mut to)?;
        to.sync_all()?;
        match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
