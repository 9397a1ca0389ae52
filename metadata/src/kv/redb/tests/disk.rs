//! A disk in memory, under a page cache: it breaks, fills up, fails to sync, and forgets what was not synced.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use super::Redb;
use crate::kv::KvError;
use crate::kv::memory::SplitMix;
use crate::kv::redb::opening::{Missing, database, refused};

/// What reaches the disk as a whole, or not at all.
const SECTOR: usize = 512;

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    /// What is read, by this process and the next.
    cached: Vec<u8>,
    /// What a power cut leaves.
    stored: Vec<u8>,
    /// Sectors that the next sync stores.
    dirty: BTreeSet<usize>,
    /// Changes and syncs until everything fails; `None` for never.
    left: Option<u32>,
    /// Syncs until one fails; `None` for never.
    syncs: Option<u32>,
    gone: bool,
    opened: u32,
    /// Bytes that cannot be read, and how often they will not.
    bad: Option<(Vec<usize>, u32)>,
    written: usize,
}

impl Platter {
    fn work(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => Err(ErrorKind::StorageFull.into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn sector(&self, number: usize) -> Range<usize> {
        let start = (number * SECTOR).min(self.cached.len());
        start..(start + SECTOR).min(self.cached.len())
    }

    /// Of the dirty sectors those that `takes` chooses; none is dirty any more.
    fn store(&mut self, mut takes: impl FnMut() -> bool) {
        self.stored.resize(self.cached.len(), 0);
        for number in std::mem::take(&mut self.dirty) {
            if takes() {
                let range = self.sector(number);
                self.stored[range.clone()].copy_from_slice(&self.cached[range]);
            }
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let mut platter = self.0.lock();
        let end = start + out.len();
        if let Some((bad, times)) = &mut platter.bad
            && *times > 0
            && bad.iter().any(|at| (start..end).contains(at))
        {
            *times -= 1;
            return Err(io::Error::other("a bad sector"));
        }
        let found = platter.cached.get(start..end);
        out.copy_from_slice(found.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut platter = self.0.lock();
        platter.work()?;
        platter.cached.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    /// One that fails leaves what it could not store in the cache, and never tries again: as Linux does it.
    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.0.lock();
        platter.work()?;
        let fails = platter.syncs == Some(0);
        platter.syncs = platter.syncs.and_then(|syncs| syncs.checked_sub(1));
        platter.store(|| !fails);
        if fails {
            return Err(io::Error::other("the disk did not take it"));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.0.lock();
        platter.work()?;
        let start = usize::try_from(offset).unwrap();
        let end = start + data.len();
        platter.written += data.len();
        platter.cached[start..end].copy_from_slice(data);
        platter.dirty.extend(start / SECTOR..end.div_ceil(SECTOR));
        Ok(())
    }
}

impl Disk {
    /// A process that has it open.
    pub(super) fn start(&self) -> Redb {
        let disk = self.clone();
        Redb::start(Box::new(move |missing, doubt| {
            disk.0.lock().opened += 1;
            if disk.0.lock().gone && missing == Missing::Refuse {
                return Err(KvError::Unavailable("gone".to_owned()));
            }
            let opened = database(disk.clone(), doubt);
            let opened = opened.map_err(|error| refused(Path::new("disk"), error))?;
            Ok((opened, None))
        }))
        .unwrap()
    }

    pub(super) fn break_after(&self, operations: u32) {
        self.0.lock().left = Some(operations);
    }

    pub(super) fn repair(&self) {
        self.0.lock().left = None;
    }

    /// One sync fails, after so many that do not.
    pub(super) fn fail_a_sync_after(&self, syncs: u32) {
        self.0.lock().syncs = Some(syncs);
    }

    pub(super) fn has_failed_a_sync(&self) -> bool {
        self.0.lock().syncs.is_none()
    }

    /// These bytes cannot be read, so often.
    pub(super) fn harm(&self, bytes: Vec<usize>, times: u32) {
        self.0.lock().bad = Some((bytes, times));
    }

    /// Where these bytes lie, as often as they do.
    pub(super) fn find(&self, bytes: &[u8]) -> Vec<usize> {
        let platter = self.0.lock();
        let windows = platter.cached.windows(bytes.len()).enumerate();
        windows
            .filter(|(_, found)| *found == bytes)
            .map(|(at, _)| at)
            .collect()
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> usize {
        self.0.lock().written
    }

    /// The file cannot be opened any more.
    pub(super) fn vanish(&self) {
        self.0.lock().gone = true;
    }

    /// How often it was opened.
    pub(super) fn opened(&self) -> u32 {
        self.0.lock().opened
    }

    /// Of the dirty sectors any may have been stored, also the later without the earlier.
    pub(super) fn cut_power(&self, random: &mut SplitMix) {
        let mut platter = self.0.lock();
        platter.store(|| random.below(2) == 0);
        platter.cached = platter.stored.clone();
        platter.left = None;
        platter.syncs = None;
    }

    /// As the disk is; what becomes of one does not touch the other.
    pub(super) fn copy(&self) -> Self {
        let of = self.0.lock();
        Self(Arc::new(Mutex::new(Platter {
            cached: of.cached.clone(),
            stored: of.stored.clone(),
            dirty: of.dirty.clone(),
            ..Platter::default()
        })))
    }
}
