//! A transaction's writes in an order that the database can do in three statements: ranges, then rows cleared, then rows
//! set.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::kv::Write;

/// What is left to do when later writes have won over earlier ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Writes<'a> {
    pub(super) range_starts: Vec<&'a [u8]>,
    pub(super) range_ends: Vec<&'a [u8]>,
    pub(super) cleared: Vec<&'a [u8]>,
    pub(super) set_keys: Vec<&'a [u8]>,
    pub(super) set_values: Vec<&'a [u8]>,
}

impl<'a> Writes<'a> {
    /// Rows written before a range that holds them is cleared are not written at all, so all ranges may go first.
    pub(super) fn of(writes: &'a [Write]) -> Self {
        let mut all = Self::default();
        let mut rows: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
        for write in writes {
            match write {
                Write::Set(key, value) => drop(rows.insert(key, Some(value))),
                Write::Clear(key) => drop(rows.insert(key, None)),
                Write::ClearRange(start, end) if start < end => {
                    all.range_starts.push(start);
                    all.range_ends.push(end);
                    forget(&mut rows, start, end);
                }
                Write::ClearRange(..) => {}
            }
        }
        for (key, value) in rows {
            match value {
                Some(value) => {
                    all.set_keys.push(key);
                    all.set_values.push(value);
                }
                None => all.cleared.push(key),
            }
        }
        all
    }
}

fn forget(rows: &mut BTreeMap<&[u8], Option<&[u8]>>, start: &Bytes, end: &Bytes) {
    let bounds = (
        Bound::Included(start.as_ref()),
        Bound::Excluded(end.as_ref()),
    );
    let found: Vec<&[u8]> = rows.range::<[u8], _>(bounds).map(|(key, _)| *key).collect();
    for key in found {
        rows.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn b(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn the_last_write_to_a_row_wins() {
        let writes = [
            Write::Set(b("a"), b("1")),
            Write::Set(b("b"), b("1")),
            Write::ClearRange(b("a"), b("b")),
            Write::Set(b("c"), b("1")),
            Write::Clear(b("c")),
            Write::Set(b("b"), b("2")),
            Write::ClearRange(b("z"), b("y")),
        ];
        let expected = Writes {
            range_starts: vec![b"a"],
            range_ends: vec![b"b"],
            cleared: vec![b"c"],
            set_keys: vec![b"b"],
            set_values: vec![b"2"],
        };
        assert_eq!(Writes::of(&writes), expected);
    }
}
