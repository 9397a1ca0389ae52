//! Transactions: what they read and write, and the operations that the network thread carries out for them.

mod body;
mod calls;
mod read;

pub(crate) use body::Options;

use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

use self::body::Body;
use crate::cluster::{Cluster, Outcome};
use crate::errors;
use crate::future::{Future, Value};
use crate::network;
use crate::store::{KeyRange, Store, Version};

/// What `FDBTransaction*` points to. Operations under way hold the body as well.
pub(crate) struct Transaction {
    cluster: Arc<Cluster>,
    body: Arc<Mutex<Body>>,
}

impl Transaction {
    pub(crate) fn new(cluster: Arc<Cluster>, options: Options) -> Self {
        let body = Arc::new(Mutex::new(Body::new(options)));
        Self { cluster, body }
    }

    /// Has the network thread do the work, unless the transaction is past doing any.
    fn operate(
        &self,
        work: impl FnOnce(&Cluster, &mut Body) -> Outcome<Value> + Send + 'static,
    ) -> *mut Future {
        let future = Future::pending();
        let pointer = Future::pointer(&future);
        let (cluster, body) = (Arc::clone(&self.cluster), Arc::clone(&self.body));
        network::post(move || {
            let mut body = body.lock();
            let outcome = work(&cluster, &mut body);
            let until = body.times_out();
            drop(body);
            match outcome {
                Outcome::Done(value) => future.complete(Ok(value)),
                Outcome::Failed(code) => future.fail(code),
                Outcome::Hangs => network::hang(&future, until),
            }
        });
        pointer
    }

    /// The same for reads.
    fn read(
        &self,
        read: impl FnOnce(&Store, Version, &mut Body) -> Value + Send + 'static,
    ) -> *mut Future {
        if let Some(code) = self.body.lock().refuses() {
            return failed(code);
        }
        self.operate(move |cluster, body| {
            let mut version = body.commit.read_version;
            let outcome = cluster
                .lock()
                .read(&mut version, |store, version| read(store, version, body));
            body.commit.read_version = version;
            outcome
        })
    }

    fn commit(&self) -> *mut Future {
        {
            let mut body = self.body.lock();
            if let Some(code) = body.refuses() {
                return failed(code);
            }
            body.committing = true;
        }
        self.operate(|cluster, body| {
            body.committing = false;
            // Reads done meanwhile count as well.
            if i64::try_from(body.bytes()).unwrap_or(i64::MAX) > body.options.size_limit {
                return Outcome::Failed(errors::TRANSACTION_TOO_LARGE);
            }
            if body.commit.writes.is_empty() && body.commit.mutations.is_empty() {
                // Serializable as of its read version; nothing is asked of the cluster.
                return Outcome::Done(Value::Nothing);
            }
            let commit = mem::take(&mut body.commit);
            match cluster.lock().commit(commit) {
                Outcome::Done(version) => {
                    body.committed = version;
                    Outcome::Done(Value::Nothing)
                }
                Outcome::Failed(code) => Outcome::Failed(code),
                Outcome::Hangs => Outcome::Hangs,
            }
        })
    }

    fn reset(&self) {
        let mut body = self.body.lock();
        *body = Body::new(body.options);
    }
}

fn failed(code: i32) -> *mut Future {
    let future = Future::pending();
    future.fail(code);
    Future::pointer(&future)
}

/// The range of one key.
fn only(key: &[u8]) -> KeyRange {
    (key.to_vec(), [key, &[0]].concat())
}
