//! A process' way to the metadata store that all share. What was sent arrives, also when the process is frozen or dead by
//! then; a cut link says nothing clear.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use metadata::kv::{Direction, Kv, KvError, Memory, Rows, Transaction};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::history::History;
use crate::world::{Dice, World, spawn};

/// The one store of a run, beside what it holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    /// What each call takes longer, in milliseconds.
    slower: Arc<AtomicU64>,
    last_writer: Arc<AtomicU32>,
}

impl Traffic {
    pub(crate) fn slow(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or_default();
        self.slower.store(by, Ordering::Relaxed);
    }

    /// The process whose commit was the last to be done.
    pub(crate) fn last_writer(&self) -> u32 {
        self.last_writer.load(Ordering::Relaxed)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Link {
    memory: Memory,
    traffic: Traffic,
    history: Arc<History>,
    dice: Dice,
    process: u32,
    cut: Arc<AtomicBool>,
    late: Arc<AtomicU64>,
}

impl Link {
    pub(crate) fn new(world: &World, dice: Dice, process: u32) -> Self {
        Self {
            memory: world.memory.clone(),
            traffic: world.traffic.clone(),
            history: Arc::clone(&world.history),
            dice,
            process,
            cut: Arc::default(),
            late: Arc::default(),
        }
    }

    /// Whether everything gets through, and at once.
    pub(crate) fn is_fine(&self) -> bool {
        !self.is_cut() && self.late.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }

    /// So many of 1000 commits are answered with nothing, and happen seconds later.
    pub(crate) fn late(&self, per_mille: u64) {
        self.late.store(per_mille, Ordering::Relaxed);
    }

    fn is_late(&self) -> bool {
        self.dice.chance(self.late.load(Ordering::Relaxed))
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    /// There, and back.
    fn latencies(&self) -> (Duration, Duration) {
        let mut slow = Duration::from_millis(self.traffic.slower.load(Ordering::Relaxed));
        if self.dice.chance(10) {
            slow += self.dice.millis(0, 2000);
        }
        (self.dice.latency() + slow, self.dice.latency())
    }

    /// Served by the store whatever becomes of the process meanwhile.
    async fn read<T: Send + 'static>(
        &self,
        read: impl Future<Output = Result<T, KvError>> + Send + 'static,
    ) -> Result<T, KvError> {
        let (there, back) = self.latencies();
        let link = self.clone();
        let (reply, answer) = oneshot::channel();
        spawn(async move {
            sleep(there).await;
            let found = match link.is_cut() {
                true => Err(KvError::Unavailable("the link is cut".to_owned())),
                false => read.await,
            };
            sleep(back).await;
            let _ = reply.send(found);
        });
        answer
            .await
            .unwrap_or_else(|_| Err(KvError::Unavailable("gone".to_owned())))
    }
}

#[async_trait]
impl Kv for Link {
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        let (memory, key) = (self.memory.clone(), key.to_vec());
        self.read(async move { memory.get(&key).await }).await
    }

    async fn range(
        &self,
        start: &[u8],
        end: &[u8],
        limit: usize,
        direction: Direction,
    ) -> Result<Rows, KvError> {
        let (memory, start, end) = (self.memory.clone(), start.to_vec(), end.to_vec());
        self.read(async move { memory.range(&start, &end, limit, direction).await })
            .await
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), KvError> {
        let (there, back) = self.latencies();
        let link = self.clone();
        let (reply, answer) = oneshot::channel();
        spawn(async move {
            sleep(there).await;
            if link.is_cut() && link.dice.chance(500) {
                sleep(Duration::from_millis(500)).await;
                let _ = reply.send(Err(KvError::Unavailable("the link is cut".to_owned())));
                return;
            }
            if link.is_late() {
                // Nobody knows of it until it happens, if it still may.
                let later = link.dice.millis(50, 5000);
                let (memory, again) = (link.memory.clone(), transaction);
                spawn(async move {
                    sleep(later).await;
                    drop(memory.commit(again).await);
                });
                let _ = reply.send(Err(KvError::Unknown("the answer was lost".to_owned())));
                return;
            }
            let committed = link.memory.commit(transaction).await;
            if committed.is_ok() {
                let writer = &link.traffic.last_writer;
                writer.store(link.process, Ordering::Relaxed);
            }
            let ended = match &committed {
                Ok(()) => "done".to_owned(),
                Err(error) => error.to_string(),
            };
            link.history
                .note(format!("process {} commits: {ended}", link.process));
            sleep(back).await;
            let _ = reply.send(match link.is_cut() {
                true => Err(KvError::Unknown("the link is cut".to_owned())),
                false => committed,
            });
        });
        answer
            .await
            .unwrap_or_else(|_| Err(KvError::Unknown("gone".to_owned())))
    }

    fn name(&self) -> &'static str {
        "simulated"
    }
}
