//! A process' way to the bucket that all share. It may be stuck for this process alone.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::stream::BoxStream;
use metadata::witness::Witness;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::bucket::Bucket;

#[derive(Clone, Debug)]
pub(crate) struct Outlet {
    bucket: Arc<Bucket>,
    stuck_until: Arc<Mutex<Instant>>,
}

impl Outlet {
    pub(crate) fn new(bucket: Arc<Bucket>) -> Self {
        Self {
            bucket,
            stuck_until: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Nothing gets through for so long.
    pub(crate) fn stick(&self, duration: Duration) {
        *self.stuck_until.lock() = Instant::now() + duration;
    }

    pub(crate) fn heal(&self) {
        *self.stuck_until.lock() = Instant::now();
    }

    /// What the bucket remembers of the metadata.
    pub(crate) fn witness(&self) -> Witness {
        let (reader, writer) = (self.clone(), self.clone());
        Witness {
            read: Arc::new(move || {
                let outlet = reader.clone();
                async move {
                    outlet.passes().await;
                    outlet.bucket.read_witness().await
                }
                .boxed()
            }),
            write: Arc::new(move |remembered| {
                let outlet = writer.clone();
                async move {
                    outlet.passes().await;
                    Arc::clone(&outlet.bucket).write_witness(remembered).await
                }
                .boxed()
            }),
        }
    }

    async fn passes(&self) {
        let until = *self.stuck_until.lock();
        if until > Instant::now() {
            sleep_until(until).await;
        }
    }
}

impl fmt::Display for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bucket.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Outlet {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.passes().await;
        self.bucket.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.bucket.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.passes().await;
        self.bucket.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.bucket.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.bucket.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.bucket.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.bucket.copy_opts(from, to, options).await
    }
}
