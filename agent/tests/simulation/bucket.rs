//! A bucket that does everything buckets do: slow with a long tail, busy, silent, stuck, answering with damage, and unclear
//! about what it stored. What it has taken in happens whether or not somebody still waits for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use metadata::history::Point;
use metadata::witness::Remembered;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use crate::history::{Event, History};
use crate::world::{Dice, spawn};

/// How bad it is, in thousandths of requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// 503, and nothing happened.
    pub(crate) busy: u64,
    /// 403, and nothing happened.
    pub(crate) refused: u64,
    /// An error, though it was stored.
    pub(crate) failed_and_done: u64,
    /// An error now, stored some seconds later.
    pub(crate) failed_and_done_later: u64,
    /// Stored, and no answer ever.
    pub(crate) silent: u64,
    /// What is read is damaged or cut short.
    pub(crate) damaged: u64,
    /// Slow by seconds.
    pub(crate) slow: u64,
}

#[derive(Debug)]
pub(crate) struct Bucket {
    objects: Arc<InMemory>,
    history: Arc<History>,
    dice: Dice,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    weather: Weather,
    stuck_until: Instant,
    /// What was first stored under each key: a key is never used for other bytes.
    stored: BTreeMap<Path, Bytes>,
    /// What it remembers of the metadata.
    witness: Option<Remembered>,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Planned {
    Done,
    Busy,
    Refused,
    FailedAndDone,
    FailedAndDoneLater,
    Silent,
    Damaged,
}

impl Bucket {
    pub(crate) fn new(history: Arc<History>, dice: Dice) -> Self {
        Self {
            objects: Arc::new(InMemory::new()),
            history,
            dice,
            state: Mutex::new(State {
                weather: Weather::default(),
                stuck_until: Instant::now(),
                stored: BTreeMap::new(),
                witness: None,
            }),
        }
    }

    pub(crate) fn weather(&self, weather: Weather) {
        self.state.lock().weather = weather;
    }

    /// Nothing is done and nothing answered for so long.
    pub(crate) fn stick(&self, duration: Duration) {
        self.state.lock().stuck_until = Instant::now() + duration;
    }

    /// No more trouble.
    pub(crate) fn heal(&self) {
        let mut state = self.state.lock();
        state.weather = Weather::default();
        state.stuck_until = Instant::now();
    }

    /// The bytes of an object, past all trouble: for the audit.
    pub(crate) async fn look(&self, path: &Path) -> Option<Bytes> {
        let got = self
            .objects
            .get_opts(path, GetOptions::default())
            .await
            .ok()?;
        got.bytes().await.ok()
    }

    /// The newest point of the metadata that it remembers, past all trouble.
    pub(crate) fn witnessed(&self) -> Option<Point> {
        self.state.lock().witness.as_ref()?.point
    }

    pub(crate) async fn read_witness(&self) -> std::result::Result<Option<Remembered>, String> {
        let (at, fate, back) = self.draw(false);
        sleep_until(at).await;
        match fate {
            Planned::Silent => sleep(Duration::from_secs(600)).await,
            Planned::Busy | Planned::Refused | Planned::Damaged => return Err(format!("{fate:?}")),
            Planned::Done | Planned::FailedAndDone | Planned::FailedAndDoneLater => {}
        }
        let found = self.state.lock().witness.clone();
        sleep(back).await;
        Ok(found)
    }

    /// Whoever writes has read it before, and a conditional request replaces only what was read: it never gets older.
    pub(crate) async fn write_witness(
        self: Arc<Self>,
        remembered: Remembered,
    ) -> std::result::Result<(), String> {
        let (at, fate, back) = self.draw(true);
        let (bucket, later) = (Arc::clone(&self), self.dice.millis(500, 20_000));
        let (reply, answer) = oneshot::channel();
        spawn(async move {
            sleep_until(at).await;
            match fate {
                Planned::Busy | Planned::Refused => drop(reply.send(Err(format!("{fate:?}")))),
                Planned::FailedAndDoneLater => {
                    let _ = reply.send(Err("500 try again".to_owned()));
                    sleep(later).await;
                    bucket.remember(remembered);
                }
                Planned::FailedAndDone => {
                    bucket.remember(remembered);
                    let _ = reply.send(Err("connection reset".to_owned()));
                }
                Planned::Silent => {
                    bucket.remember(remembered);
                    sleep(Duration::from_secs(600)).await;
                }
                Planned::Done | Planned::Damaged => {
                    bucket.remember(remembered);
                    sleep(back).await;
                    let _ = reply.send(Ok(()));
                }
            }
        });
        answer.await.unwrap_or_else(|_| Err("gone".to_owned()))
    }

    fn remember(&self, remembered: Remembered) {
        let lsn = |remembered: &Remembered| remembered.point.map(|point| point.lsn);
        let mut state = self.state.lock();
        if state.witness.as_ref().and_then(lsn) <= lsn(&remembered) {
            state.witness = Some(remembered);
        }
    }

    /// When a request is done, what becomes of it, and how long its answer takes.
    fn draw(&self, puts: bool) -> (Instant, Planned, Duration) {
        let state = self.state.lock();
        let (weather, dice) = (state.weather, &self.dice);
        let mut takes = Duration::from_millis(5 + dice.below(30) * dice.below(4));
        if dice.chance(weather.slow) {
            takes += dice.millis(200, 9000);
        }
        let fate = if dice.chance(weather.busy) {
            Planned::Busy
        } else if dice.chance(weather.refused) {
            Planned::Refused
        } else if dice.chance(weather.silent) {
            Planned::Silent
        } else if puts && dice.chance(weather.failed_and_done) {
            Planned::FailedAndDone
        } else if puts && dice.chance(weather.failed_and_done_later) {
            Planned::FailedAndDoneLater
        } else if !puts && dice.chance(weather.damaged) {
            Planned::Damaged
        } else {
            Planned::Done
        };
        let at = (Instant::now() + takes).max(state.stuck_until);
        (at, fate, dice.latency())
    }

    fn note(&self, what: &str, path: &Path, fate: Planned) {
        self.history.note(format!(
            "bucket {what} {} {fate:?}",
            path.filename().unwrap_or_default()
        ));
    }

    /// A key names one content for ever.
    fn check_same(&self, path: &Path, payload: &PutPayload) {
        let bytes: Bytes = payload
            .iter()
            .flatten()
            .copied()
            .collect::<Vec<u8>>()
            .into();
        let mut state = self.state.lock();
        let first = state
            .stored
            .entry(path.clone())
            .or_insert_with(|| bytes.clone());
        if *first != bytes {
            self.history.push(Event::Broken(format!(
                "{path} was stored with other bytes before"
            )));
        }
    }
}

fn failed(what: &'static str) -> Error {
    Error::Generic {
        store: "simulated",
        source: what.into(),
    }
}

fn refused(path: &Path) -> Error {
    Error::PermissionDenied {
        path: path.to_string(),
        source: "403".into(),
    }
}

/// The same with a bit turned over, or cut short.
async fn damaged(got: GetResult, dice: &Dice) -> Result<GetResult> {
    let (meta, range) = (got.meta.clone(), got.range.clone());
    let (attributes, extensions) = (got.attributes.clone(), got.extensions.clone());
    let mut bytes = got.bytes().await?.to_vec();
    let at = usize::try_from(dice.below(bytes.len() as u64)).unwrap_or_default();
    if dice.chance(300) {
        bytes.truncate(at);
    } else if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << dice.below(8);
    }
    let stream = futures::stream::once(std::future::ready(Ok(Bytes::from(bytes)))).boxed();
    Ok(GetResult {
        payload: GetResultPayload::Stream(stream),
        meta,
        range,
        attributes,
        extensions,
    })
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated")
    }
}

#[async_trait]
impl ObjectStore for Bucket {
    async fn put_opts(
        &self,
        path: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let (at, fate, back) = self.draw(true);
        self.note("put", path, fate);
        self.check_same(path, &payload);
        let (objects, path) = (Arc::clone(&self.objects), path.clone());
        let later = self.dice.millis(500, 20_000);
        let (reply, answer) = oneshot::channel();
        spawn(async move {
            sleep_until(at).await;
            let reply_with = |result: Result<PutResult>| drop(reply.send(result));
            match fate {
                Planned::Busy => reply_with(Err(failed("503 slow down"))),
                Planned::Refused => reply_with(Err(refused(&path))),
                Planned::FailedAndDoneLater => {
                    reply_with(Err(failed("500 try again")));
                    sleep(later).await;
                    let _ = objects.put_opts(&path, payload, options).await;
                }
                Planned::FailedAndDone => {
                    let _ = objects.put_opts(&path, payload, options).await;
                    sleep(back).await;
                    reply_with(Err(failed("connection reset")));
                }
                Planned::Silent => {
                    let _ = objects.put_opts(&path, payload, options).await;
                    sleep(Duration::from_secs(600)).await;
                    reply_with(Err(failed("no answer")));
                }
                Planned::Done | Planned::Damaged => {
                    let done = objects.put_opts(&path, payload, options).await;
                    sleep(back).await;
                    reply_with(done);
                }
            }
        });
        answer.await.unwrap_or_else(|_| Err(failed("gone")))
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(failed("segments are stored with one request"))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let (at, fate, back) = self.draw(false);
        self.note("get", path, fate);
        let (objects, path, dice) = (Arc::clone(&self.objects), path.clone(), self.dice.fork());
        let (reply, answer) = oneshot::channel();
        spawn(async move {
            sleep_until(at).await;
            let got = match fate {
                Planned::Busy => Err(failed("503 slow down")),
                Planned::Refused => Err(refused(&path)),
                Planned::Silent => {
                    sleep(Duration::from_secs(600)).await;
                    Err(failed("no answer"))
                }
                Planned::Damaged => match objects.get_opts(&path, options).await {
                    Ok(got) => damaged(got, &dice).await,
                    error => error,
                },
                _ => objects.get_opts(&path, options).await,
            };
            sleep(back).await;
            let _ = reply.send(got);
        });
        answer.await.unwrap_or_else(|_| Err(failed("gone")))
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(failed("nothing is copied"))
    }
}
