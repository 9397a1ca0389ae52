//! A bucket in memory that is slow, fails or says nothing, request by request. Used by the tests next to it, and by those of
//! `fetch`.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::ready;
use futures::stream::{BoxStream, once};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use tokio::time::sleep;

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Planned {
    Works,
    /// Works, after so many milliseconds.
    Takes(u64),
    /// 503.
    Busy,
    /// 409.
    Conflicts,
    /// 403.
    Refused,
    /// No answer at all; what it asked for happens.
    Silent,
    /// Other bytes than were asked for, where some were.
    OtherBytes,
}

/// The bucket.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    pub(crate) objects: InMemory,
    script: Mutex<Script>,
}

#[derive(Debug, Default)]
struct Script {
    next: VecDeque<Planned>,
    then: Option<Planned>,
    requests: usize,
}

impl Faulty {
    /// Requests fare so, one after the other, and all later ones like `then`.
    pub(crate) fn plan(&self, next: impl IntoIterator<Item = Planned>, then: Planned) {
        let mut script = self.script.lock();
        script.next = next.into_iter().collect();
        script.then = Some(then);
        script.requests = 0;
    }

    /// Requests since the plan was made.
    pub(crate) fn requests(&self) -> usize {
        self.script.lock().requests
    }

    fn fate(&self) -> Planned {
        let mut script = self.script.lock();
        script.requests += 1;
        let planned = script.next.pop_front();
        planned.or(script.then).unwrap_or(Planned::Works)
    }

    async fn request<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        Self::perform(self.fate(), work).await
    }

    async fn perform<T>(planned: Planned, work: impl Future<Output = Result<T>>) -> Result<T> {
        let (path, source) = ("it".to_owned(), "planned".into());
        match planned {
            Planned::Works | Planned::OtherBytes => work.await,
            Planned::Takes(millis) => {
                sleep(Duration::from_millis(millis)).await;
                work.await
            }
            Planned::Busy => Err(Error::Generic {
                store: "faulty",
                source,
            }),
            Planned::Conflicts => Err(Error::AlreadyExists { path, source }),
            Planned::Refused => Err(Error::PermissionDenied { path, source }),
            Planned::Silent => {
                drop(work.await);
                pending().await
            }
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.request(self.objects.put_opts(location, payload, options))
            .await
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        unreachable!("segments are stored with one request")
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let planned = self.fate();
        let got = Self::perform(planned, self.objects.get_opts(location, options)).await?;
        if !matches!(planned, Planned::OtherBytes) {
            return Ok(got);
        }
        let (meta, range, attributes, extensions) = (
            got.meta.clone(),
            got.range.clone(),
            got.attributes.clone(),
            got.extensions.clone(),
        );
        let other: Vec<u8> = got.bytes().await?.iter().map(|byte| byte ^ 1).collect();
        Ok(GetResult {
            payload: GetResultPayload::Stream(once(ready(Ok(other.into()))).boxed()),
            meta,
            range,
            attributes,
            extensions,
        })
    }

    /// Refused or done.
    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.fate() {
            Planned::Refused => {
                let (path, source) = ("it".to_owned(), "planned".into());
                once(ready(Err(Error::PermissionDenied { path, source }))).boxed()
            }
            _ => self.objects.delete_stream(locations),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.request(self.objects.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        unreachable!("nothing is copied")
    }
}

/// Keeps counters, by name and labels.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Counters {
    /// All of one name: its labels' values, and how much.
    pub(crate) fn of(&self, name: &str) -> BTreeMap<String, u64> {
        let all = self.0.lock();
        let named = all.iter().filter_map(|(key, count)| {
            let labels = key.strip_prefix(name)?.trim().to_owned();
            Some((labels, count.load(std::sync::atomic::Ordering::Relaxed)))
        });
        named.collect()
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<_> = key.labels().map(metrics::Label::value).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        Counter::from_arc(Arc::clone(self.0.lock().entry(name).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
