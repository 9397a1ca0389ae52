//! Requests to the bucket: each with its own time-outs, retries, hedges and metrics. object_store's retries are off, so
//! that every request sent is counted here.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use metadata::{ObjectKey, planted};
use metrics::{counter, histogram};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::availability::Availability;
use super::error::{ErrorKind, Outcome, StoreError};
use super::file_reads::FileReads;
use super::hedge::Hedge;
use super::paths;
use crate::random::Random;

/// From the first try to giving up. A PUT ends before the 30 s after which producers give up a request, so that they hear
/// that nothing happened instead of having to guess.
const PUT_DEADLINE: Duration = Duration::from_secs(25);
pub(super) const GET_DEADLINE: Duration = Duration::from_secs(20);
/// The first try's time-out; later ones get twice the one before.
const TRY_MIN: Duration = Duration::from_secs(5);
const TRY_MAX: Duration = Duration::from_secs(15);
/// Between tries.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Before a segment that is not there is looked for once more. Buckets are strongly consistent; a folder of another machine
/// may remember for a moment that nothing was there.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Why a request is made; every request and byte is attributed to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Produce,
    Fetch,
    Job,
    Doctor,
    /// Whose bucket it is.
    Witness,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Fetch => "fetch",
            Self::Job => "job",
            Self::Doctor => "doctor",
            Self::Witness => "witness",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Op {
    Put,
    Get,
    Delete,
    List,
}

impl Op {
    fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Delete => "delete",
            Self::List => "list",
        }
    }
}

/// A bucket, or a part of one under a prefix. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    /// A folder or memory: requests cost nothing and hedging cannot help.
    local: bool,
    random: Random,
    puts: Mutex<Hedge>,
    gets: Mutex<Hedge>,
    availability: Availability,
    /// Of a folder.
    files: Option<FileReads>,
    /// It said that it knows no conditional PUTs.
    without_conditions: AtomicBool,
    /// Segments stored so far.
    stored: AtomicU64,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.0.objects).finish()
    }
}

impl Store {
    /// Over any object store; tests bring their own.
    #[must_use]
    pub fn from_object_store(objects: Arc<dyn ObjectStore>, prefix: Path, local: bool) -> Self {
        Self::with_random(objects, prefix, local, Random::Real)
    }

    /// The same, whose pauses are of that randomness.
    #[must_use]
    pub fn with_random(
        objects: Arc<dyn ObjectStore>,
        prefix: Path,
        local: bool,
        random: Random,
    ) -> Self {
        let (puts, gets) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Inner {
            objects,
            prefix,
            local,
            random,
            puts,
            gets,
            availability: Availability::default(),
            files: None,
            without_conditions: AtomicBool::new(false),
            stored: AtomicU64::new(0),
        }))
    }

    /// Of a folder, whose files are read so many at once.
    pub(super) fn of_folder(objects: Arc<dyn ObjectStore>) -> Self {
        let Self(inner) = Self::from_object_store(objects, Path::default(), true);
        let inner = Arc::into_inner(inner).expect("nobody else has it yet");
        Self(Arc::new(Inner {
            files: Some(FileReads::new()),
            ..inner
        }))
    }

    /// Whether it said that it knows no conditional PUTs, as folders do not.
    pub(super) fn without_conditions(&self) -> &AtomicBool {
        &self.0.without_conditions
    }

    /// Whether requests cost nothing: a folder, or memory.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.0.local
    }

    /// Stores a segment under a key that was never used. Tries again under the same key with the same bytes: nothing
    /// reads an object before the metadata names it.
    ///
    /// # Errors
    /// When it could not be stored within 25 s, or the bucket refuses.
    pub async fn put_segment(&self, key: ObjectKey, payload: Vec<Bytes>) -> Result<(), StoreError> {
        let path = paths::segment(&self.0.prefix, key);
        let payload: PutPayload = payload.into_iter().collect();
        planted!("ack-before-put", {
            let put = self.0.objects.put(&path, payload);
            drop(futures::FutureExt::now_or_never(put));
            return Ok(());
        });
        let bytes = payload.content_length();
        let put = || async {
            self.0.objects.put(&path, payload.clone()).await?;
            Ok(((), bytes))
        };
        self.run(
            Op::Put,
            Cause::Produce,
            Some(&self.0.puts),
            PUT_DEADLINE,
            put,
        )
        .await?;
        self.0.stored.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Segments stored so far, by this process.
    #[must_use]
    pub fn segments_stored(&self) -> u64 {
        self.0.stored.load(Ordering::Relaxed)
    }

    /// Part of a segment. One that is not there is looked for twice, and never for as long as a bucket that is away.
    ///
    /// # Errors
    /// When it could not be read within 20 s, is not there, or the bucket refuses.
    pub async fn get_range(
        &self,
        key: ObjectKey,
        range: Range<u64>,
        cause: Cause,
    ) -> Result<Bytes, StoreError> {
        let path = paths::segment(&self.0.prefix, key);
        let get = || async {
            let bytes = self.read(&path, range.clone()).await?;
            let length = bytes.len();
            Ok((bytes, length))
        };
        let look = || self.run(Op::Get, cause, Some(&self.0.gets), GET_DEADLINE, get);
        match look().await {
            Err(error) if error.kind == ErrorKind::NotFound => {
                sleep(LOOK_AGAIN).await;
                look().await
            }
            read => read,
        }
    }

    async fn read(&self, path: &Path, range: Range<u64>) -> object_store::Result<Bytes> {
        let Some(files) = &self.0.files else {
            return self.0.objects.get_range(path, range).await;
        };
        let (objects, path) = (Arc::clone(&self.0.objects), path.clone());
        let read = async move { objects.get_range(&path, range).await };
        files.run(read).await
    }

    /// Removes a segment. One that is not there is removed.
    ///
    /// # Errors
    /// When the bucket does not answer or refuses.
    pub async fn delete(&self, key: ObjectKey) -> Result<(), StoreError> {
        let path = paths::segment(&self.0.prefix, key);
        let delete = || async { Ok((self.0.objects.delete(&path).await?, 0)) };
        match self
            .run(Op::Delete, Cause::Job, None, GET_DEADLINE, delete)
            .await
        {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    pub(super) fn objects(&self) -> &dyn ObjectStore {
        self.0.objects.as_ref()
    }

    pub(super) fn prefix(&self) -> &Path {
        &self.0.prefix
    }

    pub(super) fn availability(&self) -> &Availability {
        &self.0.availability
    }

    /// Whether an object of no bytes can be stored, tried once. All agents use the same key: it is overwritten, and stays.
    pub(super) async fn put_probe(&self) -> bool {
        let path = paths::probe(&self.0.prefix, "writable");
        let put = async {
            self.0.objects.put(&path, PutPayload::default()).await?;
            Ok(((), 0))
        };
        self.once(Op::Put, Cause::Job, put).await.is_ok()
    }

    /// Tries once, for as long as a first try has.
    pub(super) async fn once<T>(
        &self,
        op: Op,
        cause: Cause,
        request: impl Future<Output = object_store::Result<(T, usize)>>,
    ) -> Result<T, StoreError> {
        let attempt = Attempt::begin(op, cause, Role::First);
        attempt.finish(timeout(TRY_MIN, request)).await
    }

    /// Reads a key that is not there, tried for as long as `deadline`. That error is what is hoped for: bucket and
    /// credentials are right.
    pub(super) async fn probe(&self, deadline: Duration) -> StoreError {
        let path = paths::probe(&self.0.prefix, "missing");
        let get = || async {
            self.0.objects.get(&path).await?;
            Ok(((), 0))
        };
        match self.run(Op::Get, Cause::Doctor, None, deadline, get).await {
            Err(error) => error,
            // Somebody stored something there; never mind what.
            Ok(()) => StoreError::new(
                object_store::Error::NotFound {
                    path: path.to_string(),
                    source: "it was there".into(),
                },
                false,
            ),
        }
    }

    /// Tries until it works, it cannot work, or the deadline is over.
    pub(super) async fn run<T, F>(
        &self,
        op: Op,
        cause: Cause,
        hedge: Option<&Mutex<Hedge>>,
        deadline: Duration,
        request: impl Fn() -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = object_store::Result<(T, usize)>>,
    {
        let hedge = hedge.filter(|_| !self.0.local);
        let until = Instant::now() + deadline;
        let (mut try_for, mut pause) = (TRY_MIN, BACKOFF_MIN);
        let mut outcome = Outcome::Determinate;
        loop {
            let one = |role| {
                let left = until.saturating_duration_since(Instant::now());
                let attempt = Attempt::begin(op, cause, role);
                attempt.finish(timeout(try_for.min(left), request()))
            };
            let began = Instant::now();
            let result = match hedge {
                None => one(Role::First).await,
                Some(hedge) => hedged(hedge, one).await,
            };
            match result {
                Ok(done) => {
                    if let Some(hedge) = hedge {
                        hedge.lock().took(began.elapsed());
                    }
                    if let Op::Put = op {
                        self.0.availability.stored();
                    }
                    return Ok(done);
                }
                Err(error) if !error.is_transient() => {
                    if let Op::Put = op {
                        self.0.availability.failed(began, &error);
                    }
                    return Err(error.after(outcome));
                }
                Err(error) => {
                    // A conflict is an answer: another try was faster.
                    if let (Op::Put, ErrorKind::Unavailable) = (op, error.kind) {
                        self.0.availability.failed(began, &error);
                    }
                    let error = error.after(outcome);
                    outcome = error.outcome;
                    let jittered = pause.mul_f64(self.0.random.jitter());
                    if Instant::now() + jittered >= until {
                        return Err(error);
                    }
                    tracing::debug!(op = op.name(), %error, "the bucket failed; trying again");
                    self.0.availability.pause(jittered).await;
                }
            }
            try_for = (try_for * 2).min(TRY_MAX);
            pause = (pause * 2).min(BACKOFF_MAX);
        }
    }
}

/// One request, and a second one if the first takes longer than most: whichever succeeds first counts, and so does a
/// refusal, which the other one would only repeat.
async fn hedged<T, F>(hedge: &Mutex<Hedge>, one: impl Fn(Role) -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let delay = hedge.lock().delay();
    let first = one(Role::First);
    let Some(delay) = delay else {
        return first.await;
    };
    let first = match select(Box::pin(first), Box::pin(sleep(delay))).await {
        Either::Left((result, _)) => return result,
        Either::Right(((), first)) => first,
    };
    if !hedge.lock().pay() {
        return first.await;
    }
    let (result, other) = match select(first, Box::pin(one(Role::Hedge))).await {
        Either::Left(ended) => ended,
        Either::Right((result, other)) => (result, other),
    };
    match result {
        Ok(done) => Ok(done),
        // The other one is given up, and may arrive all the same.
        Err(error) if !error.is_transient() => Err(error.after(Outcome::Indeterminate)),
        Err(error) => other.await.map_err(|other| other.after(error.outcome)),
    }
}

/// What a request is to the attempt it belongs to.
#[derive(Clone, Copy, Debug)]
enum Role {
    First,
    Hedge,
}

/// Counts a request, however it ends.
struct Attempt {
    op: Op,
    cause: Cause,
    began: Instant,
    outcome: &'static str,
}

impl Attempt {
    fn begin(op: Op, cause: Cause, role: Role) -> Self {
        // Until it ends by itself: given up because the other one was faster, or because the asker went away.
        let outcome = match role {
            Role::First => "cancelled",
            Role::Hedge => "hedge_lost",
        };
        Self {
            op,
            cause,
            began: Instant::now(),
            outcome,
        }
    }

    async fn finish<T>(
        mut self,
        request: impl Future<
            Output = Result<object_store::Result<(T, usize)>, tokio::time::error::Elapsed>,
        >,
    ) -> Result<T, StoreError> {
        let (op, cause) = (self.op.name(), self.cause.name());
        match request.await {
            Ok(Ok((done, bytes))) => {
                self.outcome = "ok";
                let bytes = bytes as u64;
                counter!("penstock_object_store_bytes_total", "op" => op, "cause" => cause)
                    .increment(bytes);
                Ok(done)
            }
            Ok(Err(error)) => {
                let error = StoreError::new(error, false);
                self.outcome = match error.kind {
                    ErrorKind::NotFound => "not_found",
                    ErrorKind::AlreadyExists => "exists",
                    ErrorKind::Refused => "refused",
                    ErrorKind::Unavailable | ErrorKind::Corrupt => "error",
                };
                Err(error)
            }
            Err(elapsed) => {
                self.outcome = "timeout";
                let source = Box::new(elapsed);
                let error = object_store::Error::Generic {
                    store: "bucket",
                    source,
                };
                Err(StoreError::new(error, true))
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let (op, cause, outcome) = (self.op.name(), self.cause.name(), self.outcome);
        let labels = [("op", op), ("cause", cause), ("outcome", outcome)];
        counter!("penstock_object_store_requests_total", &labels).increment(1);
        histogram!("penstock_object_store_seconds", "op" => op).record(self.began.elapsed());
    }
}
