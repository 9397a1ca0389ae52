//! A cluster: what it stores, what is still on its way to it, and what goes wrong with it. Two cluster files with the same
//! contents lead to the same one.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr};
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::errors::{CONNECTION_STRING_INVALID, NO_CLUSTER_FILE_FOUND};
use crate::faults::{self, CommitFault, Plan, ReadFault};
use crate::store::{Commit, Store, VERSIONS_PER_SECOND, Version};

/// Longer than a transaction may last.
const AGE: Version = 6 * VERSIONS_PER_SECOND;

static CLUSTERS: Mutex<BTreeMap<String, Arc<Cluster>>> = Mutex::new(BTreeMap::new());

#[derive(Debug, Default)]
pub(crate) struct Cluster(Mutex<Inner>);

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) plan: Plan,
    /// Commits asked for.
    pub(crate) commits: u64,
    late: Vec<Late>,
}

/// Said to be unknown, and yet to land.
#[derive(Debug)]
struct Late {
    /// Operations that still go first.
    operations: u32,
    commit: Commit,
}

/// How an operation ends.
pub(crate) enum Outcome<T> {
    Done(T),
    Failed(i32),
    /// Never.
    Hangs,
}

/// The cluster that a file names.
///
/// # Errors
/// When there is no such file, or nothing like a connection string in it.
pub(crate) fn open(path: &CStr) -> Result<Arc<Cluster>, i32> {
    let path = OsStr::from_bytes(path.to_bytes());
    let contents = std::fs::read_to_string(path).map_err(|_| NO_CLUSTER_FILE_FOUND)?;
    let contents = contents.trim();
    if !contents.contains('@') {
        return Err(CONNECTION_STRING_INVALID);
    }
    let mut clusters = CLUSTERS.lock();
    let cluster = clusters.entry(contents.to_owned()).or_insert_with(|| {
        let cluster = Arc::<Cluster>::default();
        from_environment(&cluster);
        cluster
    });
    Ok(Arc::clone(cluster))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the only way to steer a process that does not know what it runs on"
)]
fn from_environment(cluster: &Cluster) {
    let faults = std::env::var("FDB_LOOK_ALIKE_FAULTS").unwrap_or_default();
    for command in faults
        .split(';')
        .filter(|command| !command.trim().is_empty())
    {
        assert!(
            faults::obey(cluster, command).is_some(),
            "FDB_LOOK_ALIKE_FAULTS has the unknown command {command}"
        );
    }
}

impl Cluster {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock()
    }
}

impl Inner {
    /// What is late and due lands before the operation that starts now.
    fn begin(&mut self) {
        for mut late in mem::take(&mut self.late) {
            match late.operations.checked_sub(1) {
                None => self.try_commit(late.commit),
                Some(operations) => {
                    late.operations = operations;
                    self.late.push(late);
                }
            }
        }
    }

    /// Nobody hears what becomes of it.
    fn try_commit(&mut self, commit: Commit) {
        let _ = self.store.commit(commit);
    }

    /// Everything late lands.
    pub(crate) fn land(&mut self) {
        for late in mem::take(&mut self.late) {
            self.try_commit(late.commit);
        }
    }

    /// Reads, as of the transaction's read version, which its first read fixes.
    pub(crate) fn read<T>(
        &mut self,
        read_version: &mut Option<Version>,
        read: impl FnOnce(&Store, Version) -> T,
    ) -> Outcome<T> {
        self.begin();
        let fault = self.plan.next_read();
        let version = *read_version.get_or_insert(self.store.version());
        match fault {
            ReadFault::None => {}
            ReadFault::Refuse(code) => return Outcome::Failed(code),
            ReadFault::Hang => return Outcome::Hangs,
            ReadFault::Aged => self.store.pass_time(AGE),
        }
        match self.store.check_age(version) {
            Ok(()) => Outcome::Done(read(&self.store, version)),
            Err(code) => Outcome::Failed(code),
        }
    }

    pub(crate) fn commit(&mut self, commit: Commit) -> Outcome<Version> {
        self.begin();
        self.commits += 1;
        let fault = self.plan.next_commit();
        match fault {
            CommitFault::None => {}
            CommitFault::Aged => self.store.pass_time(AGE),
            CommitFault::Hang => return Outcome::Hangs,
            CommitFault::Refuse(code) | CommitFault::Lost(code) => return Outcome::Failed(code),
            CommitFault::Landed(code) => {
                self.try_commit(commit);
                return Outcome::Failed(code);
            }
            CommitFault::Late(code, operations) => {
                self.late.push(Late { operations, commit });
                return Outcome::Failed(code);
            }
        }
        match self.store.commit(commit) {
            Ok(version) => Outcome::Done(version),
            Err(code) => Outcome::Failed(code),
        }
    }
}
