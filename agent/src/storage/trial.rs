//! An object under a name of its own, by which it is tried out what a bucket takes: each request once, so that a refusal is
//! heard at once. Used by `penstock doctor`.

use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};

use super::error::StoreError;
use super::paths;
use super::store::{Cause, Op, Store};

/// The object; it is not there yet.
#[derive(Debug)]
pub struct Trial {
    store: Store,
    path: Path,
}

impl Store {
    /// One under that number, which nobody else has.
    #[must_use]
    pub fn trial(&self, number: u128) -> Trial {
        let name = format!("{number:032x}");
        Trial {
            store: self.clone(),
            path: paths::probe(self.prefix(), &name),
        }
    }
}

impl Trial {
    /// Where it lies in the bucket.
    #[must_use]
    pub fn key(&self) -> &str {
        self.path.as_ref()
    }

    /// # Errors
    /// When the bucket does not take it.
    pub async fn put(&self, content: &'static [u8]) -> Result<(), StoreError> {
        let payload = PutPayload::from_static(content);
        let put = async {
            let put = self.store.objects().put(&self.path, payload).await;
            put.map(|_| ((), content.len()))
        };
        self.store.once(Op::Put, Cause::Doctor, put).await
    }

    /// # Errors
    /// When the bucket does not give it back.
    pub async fn get(&self) -> Result<Bytes, StoreError> {
        let get = async {
            let bytes = self.store.objects().get(&self.path).await?.bytes().await?;
            let length = bytes.len();
            Ok((bytes, length))
        };
        self.store.once(Op::Get, Cause::Doctor, get).await
    }

    /// # Errors
    /// When it is left.
    pub async fn delete(&self) -> Result<(), StoreError> {
        let delete = async { Ok((self.store.objects().delete(&self.path).await?, 0)) };
        self.store.once(Op::Delete, Cause::Doctor, delete).await
    }
}
