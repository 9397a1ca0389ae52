//! The cluster that tests run on: of the look-alike one for each test; or, with `PENSTOCK_FDB_CLUSTER_FILE`, a real one,
//! where each store has a prefix of its own that is emptied in the end.

use std::collections::hash_map::RandomState;
use std::ffi::{CString, c_char, c_int};
use std::hash::{BuildHasher, Hasher};
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use parking_lot::Mutex;
use tempfile::TempDir;

use super::super::{Kv, Transaction};
use super::FoundationDb;

type Control = unsafe extern "C" fn(*const c_char, *const c_char) -> c_int;

pub(crate) struct TestCluster {
    file: PathBuf,
    stores: Mutex<Vec<FoundationDb>>,
    /// Of the look-alike.
    control: Option<Control>,
    _folder: TempDir,
}

impl TestCluster {
    /// The real one, if there is one.
    pub(crate) fn any() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let control = control();
        #[expect(
            clippy::disallowed_methods,
            reason = "tests have no flags, and the real cluster is named by whoever runs them"
        )]
        let real = std::env::var("PENSTOCK_FDB_CLUSTER_FILE").ok();
        let file = match (real, control) {
            (Some(file), None) => file.into(),
            (None, Some(_)) => {
                let file = folder.path().join("fdb.cluster");
                let contents = format!("look:{:016x}@127.0.0.1:4500\n", random());
                std::fs::write(&file, contents).unwrap();
                file
            }
            (Some(_), Some(_)) => {
                panic!(
                    "the look-alike was loaded, and PENSTOCK_FDB_CLUSTER_FILE wants a real cluster"
                )
            }
            (None, None) => panic!("a real libfdb_c needs PENSTOCK_FDB_CLUSTER_FILE"),
        };
        Self {
            file,
            stores: Mutex::default(),
            control,
            _folder: folder,
        }
    }

    /// For tests that need faults; a real cluster has none on demand.
    pub(crate) fn look_alike() -> Option<Self> {
        let cluster = Self::any();
        if cluster.control.is_none() {
            println!("SKIPPED: a real cluster does not fail on demand");
        }
        cluster.control.is_some().then_some(cluster)
    }

    /// A store without rows.
    pub(crate) fn store(&self) -> FoundationDb {
        let prefix = format!("penstock-test-{:016x}", random());
        let store = self.open(&prefix);
        self.stores.lock().push(store.clone());
        store
    }

    pub(crate) fn open(&self, prefix: &str) -> FoundationDb {
        FoundationDb::open(&self.file, prefix).unwrap()
    }

    /// Has the look-alike do something, as its `faults.rs` lists.
    #[expect(unsafe_code, reason = "the look-alike's own C function")]
    pub(crate) fn control(&self, command: &str) -> i32 {
        let path = CString::new(self.file.as_os_str().as_bytes()).unwrap();
        let words = CString::new(command).unwrap();
        let control = self.control.expect("this is the look-alike");
        // SAFETY: it takes two C strings.
        let answer = unsafe { control(path.as_ptr(), words.as_ptr()) };
        assert!(answer >= 0, "the look-alike does not understand {command}");
        answer
    }

    /// Leaves nothing behind in a real cluster.
    pub(crate) async fn empty(self) {
        let stores = self.stores.into_inner();
        for store in stores {
            let mut transaction = Transaction::default();
            transaction.clear_range("".into(), [u8::MAX].to_vec().into());
            store.commit(transaction).await.unwrap();
        }
    }
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The look-alike's control, if it is what was loaded.
#[expect(unsafe_code, reason = "a function that a real library does not have")]
fn control() -> Option<Control> {
    // SAFETY: the name is a C string; a symbol of this name is the look-alike's function of this type.
    unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, c"fdb_look_alike_control".as_ptr());
        mem::transmute::<*mut libc::c_void, Option<Control>>(found)
    }
}
