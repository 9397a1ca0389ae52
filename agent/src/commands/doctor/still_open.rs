//! Whether a process has a file open that is not at its path any more: it alone has what was acknowledged then. Looked for
//! where the system shows what processes have open, and as far as this one may look.

use std::ffi::OsStr;
use std::fs::{canonicalize, read_dir, read_link};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What Linux adds to the name of a file that is gone.
const DELETED: &[u8] = b" (deleted)";

/// Where the file can be copied from that was once at that path.
pub(super) fn find(path: &Path) -> Option<PathBuf> {
    let folder = canonicalize(path.parent()?).ok()?;
    let gone = folder.join(path.file_name()?);
    read_dir("/proc")
        .ok()?
        .flatten()
        .filter(|process| is_number(&process.file_name()))
        .find_map(|process| of_process(&process.path(), &gone))
}

/// The name in `/proc` under which that process has it open.
fn of_process(process: &Path, gone: &Path) -> Option<PathBuf> {
    // Processes of others are not shown to everybody, and some end meanwhile.
    let open = read_dir(process.join("fd")).ok()?.flatten();
    open.map(|each| each.path())
        .find(|each| read_link(each).is_ok_and(|link| was_once(&link, gone)))
}

fn was_once(link: &Path, gone: &Path) -> bool {
    let name = link.as_os_str().as_bytes().strip_suffix(DELETED);
    name == Some(gone.as_os_str().as_bytes())
}

fn is_number(name: &OsStr) -> bool {
    name.as_bytes().iter().all(u8::is_ascii_digit)
}
