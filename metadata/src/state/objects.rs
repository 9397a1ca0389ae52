//! Objects of the bucket: how many extents lie in each, and since when one is of no use. Memory has those that were
//! committed since the last checkpoint; older ones lie in the store only. Whoever gives extents back rewrites rows there
//! (`sequencer/free`), and never of one that memory has: the log that made it may be replayed over its row.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::table::{Dirty, Page, Table, Wrote, decode_row, encode_row, open_row};
use super::tally::Mark;
use crate::codec::{Decoder, Unreadable};
use crate::effect::Committed;
use crate::error::Error;
use crate::keys::Key;
use crate::types::{Lsn, ObjectKey, Timestamp};

/// Objects committed since the last checkpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Objects {
    objects: BTreeMap<ObjectKey, Object>,
    dirty: Dirty<ObjectKey>,
    /// In rows once the checkpoint under way is durable.
    written: Vec<ObjectKey>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Bytes stored.
    pub(crate) size: u64,
    /// Extents that lie in it.
    pub(crate) references: u32,
    /// Since when nothing refers to it; it may be deleted once no reader can still hold an extent of it.
    pub(crate) orphaned_since: Option<Timestamp>,
}

wire_fields!(Object {
    size,
    references,
    orphaned_since
});

impl Object {
    /// With so many fewer extents, as of `now`; `None` where it never had that many.
    pub(crate) fn released(self, extents: u32, now: Timestamp) -> Option<Self> {
        let references = self.references.checked_sub(extents)?;
        Some(Self {
            references,
            orphaned_since: (references == 0).then_some(now),
            ..self
        })
    }

    /// Its row under that key, as of that drain.
    pub(crate) fn to_row(self, key: &[u8], lsn: Lsn) -> Bytes {
        encode_row(key, &(lsn, self))
    }

    pub(crate) fn from_row(key: &[u8], row: Bytes) -> Result<Self, Unreadable> {
        let (_, object): (Lsn, Self) = decode_row(open_row(key, row)?)?;
        Ok(object)
    }
}

impl Objects {
    pub(crate) fn get(&self, key: ObjectKey) -> Option<&Object> {
        self.objects.get(&key)
    }

    pub(super) fn fold_committed(&mut self, now: Timestamp, commit: &Committed) {
        let references = u32::try_from(commit.extents().count()).unwrap_or(u32::MAX);
        let object = Object {
            size: commit.size,
            references,
            orphaned_since: (references == 0).then_some(now),
        };
        if self.objects.insert(commit.object, object).is_none() {
            self.dirty.mark(commit.object);
        }
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Object)> {
        self.objects.iter()
    }
}

impl Table for Objects {
    fn begin(&mut self) {
        self.dirty.begin();
    }

    fn write(&mut self, page: &mut Page) -> Result<Wrote, Error> {
        while let Some(key) = self.dirty.first() {
            if page.is_full() {
                return Ok(Wrote::Full);
            }
            if let Some(object) = self.objects.get(&key) {
                page.set_uncounted(Key::Object(key), &(page.lsn, *object));
            }
            self.written.push(key);
            self.dirty.pop();
        }
        Ok(Wrote::All)
    }

    fn finish(&mut self, _: Lsn) {
        for key in std::mem::take(&mut self.written) {
            self.objects.remove(&key);
        }
    }

    /// Only for those that look: a start leaves them where they are.
    fn load(&mut self, key: Key, row: Decoder, _: Mark) -> Result<(), Unreadable> {
        let Key::Object(key) = key else {
            return Err(Unreadable);
        };
        let (_, object): (Lsn, Object) = decode_row(row)?;
        self.objects.insert(key, object);
        Ok(())
    }
}
