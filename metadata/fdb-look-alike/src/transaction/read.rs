//! Reads: rows as the transaction sees them, its own writes over what is stored, and how much of them a call returns.

use std::collections::BTreeMap;
use std::ffi::c_int;

use super::only;
use crate::errors;
use crate::store::{KeyRange, Mutation, Row, Store, Version};

/// Bytes that a streaming mode sends at once: of `small`, `medium`, `large`, `serial`, from 1.
const MODE_BYTES: [usize; 4] = [256, 1_000, 4_096, 80_000];

/// A range to be read, and how much of it.
pub(super) struct Wanted {
    pub(super) range: KeyRange,
    /// Rows; 0 for all.
    pub(super) limit: usize,
    /// 0 for all.
    pub(super) bytes: usize,
    pub(super) reverse: bool,
}

impl Wanted {
    /// Rows as the transaction sees them, and whether more were left.
    pub(super) fn read(
        &self,
        store: &Store,
        version: Version,
        mutations: &[Mutation],
    ) -> (Vec<Row>, bool) {
        let stored = store.range(&self.range, version);
        if mutations.is_empty() {
            return match self.reverse {
                false => self.page(stored),
                true => self.page(stored.rev()),
            };
        }
        let mut rows: BTreeMap<&[u8], &[u8]> = stored.collect();
        for mutation in mutations {
            match mutation {
                Mutation::Set(key, value) if *key >= self.range.0 && *key < self.range.1 => {
                    rows.insert(key, value);
                }
                Mutation::Set(..) => {}
                Mutation::Clear((begin, end)) => {
                    rows.retain(|key, _| *key < begin.as_slice() || *key >= end.as_slice());
                }
            }
        }
        match self.reverse {
            false => self.page(rows.into_iter()),
            true => self.page(rows.into_iter().rev()),
        }
    }

    fn page<'a>(&self, rows: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> (Vec<Row>, bool) {
        let (mut page, mut bytes) = (Vec::new(), 0);
        for (key, value) in rows {
            let full = self.limit > 0 && page.len() == self.limit;
            if full || (self.bytes > 0 && bytes >= self.bytes) {
                return (page, true);
            }
            bytes += key.len() + value.len();
            page.push((key.to_vec(), value.to_vec()));
        }
        (page, false)
    }

    /// What must not change for the page to stay true: up to the last row read, if more were left.
    pub(super) fn conflict(self, rows: &[Row], more: bool) -> KeyRange {
        let (begin, end) = self.range;
        match (rows.last(), more) {
            (Some((last, _)), true) if self.reverse => (last.clone(), end),
            (Some((last, _)), true) => (begin, only(last).1),
            _ => (begin, end),
        }
    }
}

/// A value as the transaction sees it.
pub(super) fn get(
    store: &Store,
    version: Version,
    mutations: &[Mutation],
    key: &[u8],
) -> Option<Vec<u8>> {
    for mutation in mutations.iter().rev() {
        match mutation {
            Mutation::Set(written, value) if written == key => return Some(value.clone()),
            Mutation::Clear((begin, end)) if begin.as_slice() <= key && key < end.as_slice() => {
                return None;
            }
            _ => {}
        }
    }
    store.get(key, version).map(<[u8]>::to_vec)
}

/// Bytes that a call may return, by its streaming mode; `None` if its arguments do not fit each other.
pub(super) fn mode_bytes(
    mode: c_int,
    iteration: c_int,
    limit: usize,
    target: usize,
) -> Result<usize, i32> {
    let all = MODE_BYTES[3];
    let most = match mode {
        // The caller says how many rows, and all come.
        0 if limit == 0 => return Err(errors::EXACT_MODE_WITHOUT_LIMITS),
        0 => usize::MAX,
        -2 => all,
        // Each call returns more than the one before.
        -1 => match u32::try_from(iteration) {
            Ok(1..) => (4_096_usize << iteration.clamp(1, 16)).min(all),
            _ => return Err(errors::CLIENT_INVALID_OPERATION),
        },
        1..=4 => MODE_BYTES[usize::try_from(mode - 1).unwrap_or(3)],
        _ => return Err(errors::CLIENT_INVALID_OPERATION),
    };
    Ok(match target {
        0 => most,
        target => most.min(target),
    })
}

/// A key selector with offset 1 as the key it begins at.
pub(super) fn selected(key: Vec<u8>, or_equal: c_int, offset: c_int) -> Result<Vec<u8>, i32> {
    match (offset, or_equal) {
        (1, 0) => Ok(key),
        (1, _) => Ok(only(&key).1),
        _ => Err(errors::CLIENT_INVALID_OPERATION),
    }
}
