//! What a cluster stores: rows with their past, and what recent commits wrote, against which later ones are checked.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use crate::errors::{NOT_COMMITTED, TRANSACTION_TOO_OLD};

/// Grows with every commit, and by a million a second when time is made to pass.
pub(crate) type Version = i64;
pub(crate) const VERSIONS_PER_SECOND: Version = 1_000_000;
/// Reads and commits may be based on what was true so long ago: five seconds.
const WINDOW: Version = 5 * VERSIONS_PER_SECOND;

pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Keys from the first to before the second.
pub(crate) type KeyRange = (Vec<u8>, Vec<u8>);

#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Set(Vec<u8>, Vec<u8>),
    Clear(KeyRange),
}

/// What is asked to be committed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commit {
    /// `None` if nothing was read.
    pub(crate) read_version: Option<Version>,
    pub(crate) reads: Vec<KeyRange>,
    pub(crate) writes: Vec<KeyRange>,
    pub(crate) mutations: Vec<Mutation>,
}

/// Values a key had and since when, oldest first; `None` where it was cleared.
type Past = Vec<(Version, Option<Vec<u8>>)>;

#[derive(Debug, Default)]
pub(crate) struct Store {
    rows: BTreeMap<Vec<u8>, Past>,
    /// What commits of the last five seconds wrote.
    recent: VecDeque<(Version, Vec<KeyRange>)>,
    version: Version,
}

fn at(past: &[(Version, Option<Vec<u8>>)], version: Version) -> Option<&[u8]> {
    let known = past.iter().rev().find(|(since, _)| *since <= version);
    known.and_then(|(_, value)| value.as_deref())
}

fn overlap(one: &KeyRange, other: &KeyRange) -> bool {
    one.0 < other.1 && other.0 < one.1
}

impl Store {
    /// The newest version: a transaction that begins now sees every commit before it.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    pub(crate) fn pass_time(&mut self, versions: Version) {
        self.version += versions;
    }

    /// # Errors
    /// When the version is older than five seconds.
    pub(crate) fn check_age(&self, version: Version) -> Result<(), i32> {
        match version < self.version - WINDOW {
            true => Err(TRANSACTION_TOO_OLD),
            false => Ok(()),
        }
    }

    pub(crate) fn get(&self, key: &[u8], version: Version) -> Option<&[u8]> {
        at(self.rows.get(key)?, version)
    }

    /// Rows in order, as of a version.
    pub(crate) fn range(
        &self,
        (begin, end): &KeyRange,
        version: Version,
    ) -> Box<dyn DoubleEndedIterator<Item = (&[u8], &[u8])> + '_> {
        if begin >= end {
            return Box::new(std::iter::empty());
        }
        let bounds = (Bound::Included(begin.clone()), Bound::Excluded(end.clone()));
        let rows = self.rows.range(bounds);
        Box::new(rows.filter_map(move |(key, past)| Some((key.as_slice(), at(past, version)?))))
    }

    /// # Errors
    /// When it is too old, or a later commit wrote what it read.
    pub(crate) fn commit(&mut self, commit: Commit) -> Result<Version, i32> {
        if let Some(read_version) = commit.read_version {
            self.check(read_version, &commit.reads)?;
        }
        self.version += 1;
        let version = self.version;
        for mutation in commit.mutations {
            match mutation {
                Mutation::Set(key, value) => self.write(key, Some(value)),
                Mutation::Clear(range) => {
                    let found = self.range(&range, version);
                    let keys: Vec<_> = found.map(|(key, _)| key.to_vec()).collect();
                    keys.into_iter().for_each(|key| self.write(key, None));
                }
            }
        }
        self.recent.push_back((version, commit.writes));
        let oldest = version - WINDOW;
        while self
            .recent
            .front()
            .is_some_and(|(since, _)| *since < oldest)
        {
            self.recent.pop_front();
        }
        Ok(version)
    }

    fn check(&self, read_version: Version, reads: &[KeyRange]) -> Result<(), i32> {
        self.check_age(read_version)?;
        let later = self.recent.iter().rev();
        let mut later = later.take_while(|(version, _)| *version > read_version);
        let touched = |writes: &[KeyRange]| {
            let meets = |write| reads.iter().any(|read| overlap(read, write));
            writes.iter().any(meets)
        };
        match later.any(|(_, writes)| touched(writes)) {
            true => Err(NOT_COMMITTED),
            false => Ok(()),
        }
    }

    /// Forgets what nobody may ask for any more.
    fn write(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let (version, oldest) = (self.version, self.version - WINDOW);
        let past = self.rows.entry(key).or_default();
        let superseded = past.iter().rposition(|(since, _)| *since <= oldest);
        past.drain(..superseded.unwrap_or(0));
        past.retain(|(since, _)| *since != version);
        past.push((version, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> KeyRange {
        (
            name.as_bytes().to_vec(),
            [name.as_bytes(), &[0]].concat().clone(),
        )
    }

    fn write(name: &str, value: &str) -> Commit {
        Commit {
            writes: vec![key(name)],
            mutations: vec![Mutation::Set(name.into(), value.into())],
            ..Commit::default()
        }
    }

    #[test]
    fn the_past_is_readable_and_then_too_old() {
        let mut store = Store::default();
        let first = store.commit(write("k", "1")).unwrap();
        let second = store.commit(write("k", "2")).unwrap();
        let range = (b"a".to_vec(), b"z".to_vec());
        let clear = Commit {
            mutations: vec![Mutation::Clear(range.clone())],
            writes: vec![range.clone()],
            ..Commit::default()
        };
        let third = store.commit(clear).unwrap();
        assert_eq!(store.get(b"k", first - 1), None);
        assert_eq!(store.get(b"k", first), Some(b"1".as_slice()));
        assert_eq!(store.get(b"k", second), Some(b"2".as_slice()));
        assert_eq!(store.get(b"k", third), None);
        assert_eq!(store.range(&range, second).count(), 1);
        assert_eq!(store.range(&range, third).count(), 0);
        store.pass_time(WINDOW);
        assert_eq!(store.check_age(third), Ok(()));
        store.pass_time(1);
        assert_eq!(store.check_age(third), Err(TRANSACTION_TOO_OLD));
    }

    #[test]
    fn what_was_read_must_not_have_been_written_since() {
        let mut store = Store::default();
        store.commit(write("k", "1")).unwrap();
        let read_version = Some(store.version());
        let based = |reads: &[&str], name| Commit {
            read_version,
            reads: reads.iter().map(|name| key(name)).collect(),
            ..write(name, "x")
        };
        assert!(store.commit(based(&["k"], "other")).is_ok());
        assert!(store.commit(based(&["k"], "k")).is_ok());
        assert_eq!(store.commit(based(&["j", "k"], "j")), Err(NOT_COMMITTED));
        assert!(store.commit(based(&["j"], "k")).is_ok());
        assert!(store.commit(based(&[], "k")).is_ok());
        store.pass_time(WINDOW);
        assert_eq!(store.commit(based(&["j"], "k")), Err(TRANSACTION_TOO_OLD));
    }
}
