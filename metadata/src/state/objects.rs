//! Objects of the bucket: how many extents lie in each, and since when one is of no use.

use std::collections::BTreeMap;

use crate::types::{ObjectKey, Timestamp};

/// Objects named since the last checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Objects(BTreeMap<ObjectKey, Object>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Bytes stored.
    pub(crate) size: u64,
    /// Extents that lie in it.
    pub(crate) references: u32,
    /// Since when nothing refers to it; it may be deleted once no reader can still hold an extent of it.
    pub(crate) orphaned_since: Option<Timestamp>,
}

impl Object {
    pub(super) fn committed(size: u64, references: u32, now: Timestamp) -> Self {
        Self {
            size,
            references,
            orphaned_since: (references == 0).then_some(now),
        }
    }
}

impl Objects {
    pub(crate) fn get(&self, key: ObjectKey) -> Option<&Object> {
        self.0.get(&key)
    }

    pub(super) fn insert(&mut self, key: ObjectKey, object: Object) {
        self.0.insert(key, object);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ObjectKey, &Object)> {
        self.0.iter()
    }

    /// Forgets those that the store holds now.
    pub(crate) fn checkpointed(&mut self, keys: impl Iterator<Item = ObjectKey>) {
        for key in keys {
            self.0.remove(&key);
        }
    }
}
