//! Reads of files of a bucket in a folder. A file that does not answer, as on a disk or a network that hangs, has one of the
//! threads that may block for as long, whether anybody still waits for it or not. Segments are encoded and stored on the same
//! threads, so reads never have all of them.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Half of the threads that may block (`main.rs`).
const AT_ONCE_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct FileReads(Arc<Semaphore>);

impl FileReads {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE_MAX)))
    }

    /// Reads in its turn. Whoever stops waiting leaves the line; what has begun keeps its place until the file answers.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> object_store::Result<T> {
        let place = Arc::clone(&self.0).acquire_owned().await;
        let place = place.expect("it is never closed");
        let read = async move {
            let read = read.await;
            drop(place);
            read
        };
        let read = Handle::current().spawn(read).await;
        read.unwrap_or_else(|source| Err(object_store::Error::JoinError { source }))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use metadata::ObjectKey;
    use tokio::runtime::Builder;
    use tokio::time::timeout;

    use crate::storage::{Cause, Store, StoreOptions, paths};
    use crate::tasks::compute;

    /// One object that never answered had every thread sooner or later, and nothing was stored any more.
    #[test]
    fn a_file_that_does_not_answer_leaves_threads_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let threads = super::AT_ONCE_MAX + 4;
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .max_blocking_threads(threads)
            .build()
            .unwrap();
        let segment = paths::segment(&object_store::path::Path::default(), ObjectKey(7));
        let file = folder.path().join(segment.as_ref());
        runtime.block_on(async {
            let url = format!("file://{}", folder.path().display());
            let store = Store::open(&url, &StoreOptions::default()).await.unwrap();
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            let made = Command::new("mkfifo").arg(&file).status().unwrap();
            assert!(made.success());
            for _ in 0..2 * threads {
                let read = store.get_range(ObjectKey(7), 0..10, Cause::Fetch);
                let read = timeout(Duration::from_millis(50), read).await;
                assert!(read.is_err(), "{read:?}");
            }
            let done = timeout(Duration::from_secs(30), compute(|| 7)).await;
            assert_eq!(done, Ok(7));
        });
        runtime.shutdown_background();
    }
}
