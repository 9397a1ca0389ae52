//! Whether there is room for what is to come, where a folder as bucket or the metadata's file lies.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;
use url::Url;

use super::report::Report;

/// Less is full soon: a segment alone has 8 MiB, and the metadata's file grows by pieces.
const WRONG_BYTES: u64 = 64 * 1024 * 1024;
/// Less is worth knowing.
const NOTE_BYTES: u64 = 1024 * 1024 * 1024;

/// The folder that is this bucket, if it is one.
pub(super) fn folder_of(bucket: &str) -> Option<PathBuf> {
    let url = Url::parse(bucket).ok().filter(|url| url.scheme() == "file");
    url?.to_file_path().ok()
}

/// A file system, and what of ours lies on it.
struct Disk {
    device: u64,
    free_bytes: u64,
    kept: Vec<String>,
}

/// Looks where each of these lies, given with what it is called. Those on one file system are told of together.
pub(super) fn check(kept: &[(&str, &Path)], report: &mut Report) {
    let mut disks: Vec<Disk> = Vec::new();
    for (what, path) in kept {
        let what = format!("{what} in {}", path.display());
        let (device, free_bytes) = match look(path) {
            Ok(found) => found,
            Err(error) => {
                report.note(&format!(
                    "How much room there is for {what} is not known ({error})."
                ));
                continue;
            }
        };
        match disks.iter_mut().find(|disk| disk.device == device) {
            Some(disk) => disk.kept.push(what),
            None => disks.push(Disk {
                device,
                free_bytes,
                kept: vec![what],
            }),
        }
    }
    disks.iter().for_each(|disk| disk.tell(report));
}

impl Disk {
    fn tell(&self, report: &mut Report) {
        let (kept, mebibytes) = (self.kept.join(" and "), self.free_bytes >> 20);
        let found = format!("{mebibytes} MiB are free on the disk of {kept}");
        if self.free_bytes < WRONG_BYTES {
            report.wrong(&format!(
                "Only {found}: make room there. Once it is full producers are told to try again, until there is room."
            ));
        } else if self.free_bytes < NOTE_BYTES {
            report.note(&format!("{found}, which is not much: make room in time."));
        } else {
            report.well(&format!("{found}."));
        }
    }
}

/// The file system, and how many bytes of it are free to us. Of a file that is not made yet, that of its folder.
fn look(path: &Path) -> io::Result<(u64, u64)> {
    let folder = path.parent().filter(|_| !path.exists());
    let path = folder.unwrap_or(path);
    let room = statvfs(path)?;
    let free_bytes = room.f_bavail.saturating_mul(room.f_frsize);
    Ok((std::fs::metadata(path)?.dev(), free_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bucket_that_is_a_folder_has_one() {
        assert_eq!(folder_of("file:///a/b"), Some(PathBuf::from("/a/b")));
        for bucket in ["memory:", "s3://bucket/a", "nonsense"] {
            assert_eq!(folder_of(bucket), None, "{bucket}");
        }
    }

    #[test]
    fn a_file_that_is_not_made_yet_has_the_room_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (device, _) = look(&folder.path().join("absent.redb")).unwrap();
        assert_eq!(device, std::fs::metadata(folder.path()).unwrap().dev());
    }
}
