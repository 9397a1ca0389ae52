//! Producers that mean no harm and were held up all the same: small batches behind Nagle's algorithm, and many small requests
//! in flight on one connection. What counts is how much they get done.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::ErrorCode;
use protocol::messages::{InitProducerIdRequest, ProduceRequest};
use protocol::records::{BatchOptions, Record, build_batch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::topics;
use crate::abuse::good::{self, Target};
use crate::abuse::manners::{Attack, FirstError, frame};
use crate::abuse::tally::Tally;
use crate::client;
use crate::latency::Latencies;
use crate::produce;

const VERSION: i16 = 9;
const INIT_VERSION: i16 = 4;
const TOPIC: &str = "paced";
/// What Kafka's clients have in flight where batches are numbered.
const NUMBERED_IN_FLIGHT: usize = 5;
/// The two that are compared take turns, each for so long.
const TURN: Duration = Duration::from_millis(500);
/// Of a client that pipelines: requests in flight, or what it is to send, and in batches of which size.
const SMALL_IN_FLIGHT: usize = 64;
const IN_FLIGHT_MAX: usize = 2048;
const SMALL_BYTES: usize = 1024;
const BATCH_BYTES: usize = 16 * 1024;
/// Between two reports of what was done so far.
const SAY_EVERY: Duration = Duration::from_millis(500);
const MIB_A_SECOND: f64 = 20.0;
const MIB: f64 = 1_048_576.0;

type Ready<'a> = BoxFuture<'a, anyhow::Result<Vec<Attack>>>;

/// One that goes on by itself until it is dropped, on connections of its own; what goes wrong is tallied.
fn one<F>(target: &Target, work: impl Fn(String, Tally) -> F + Send + Sync + 'static) -> Attack
where
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let kafka = target.kafka.clone();
    Attack::new(1, move |_, tally| {
        let work = work(kafka.clone(), tally.clone());
        async move {
            if let Err(error) = work.await {
                tally.ask();
                tally.answer(&format!("ended: {error:#}"), Duration::ZERO, 0);
            }
        }
    })
}

/// An idempotent producer's small batches, with Nagle's algorithm on and off in turn.
pub(in crate::abuse) fn nagle(target: &Target) -> Ready<'_> {
    async {
        topics::create(target, TOPIC, 1, &[]).await?;
        Ok(vec![one(target, in_turn)])
    }
    .boxed()
}

async fn in_turn(kafka: String, tally: Tally) -> anyhow::Result<()> {
    let mut held = Numbered::connect(&kafka, true).await?;
    let mut free = Numbered::connect(&kafka, false).await?;
    let (mut of_held, mut of_free, mut seconds) = (0.0, 0.0, 0.0);
    loop {
        of_held += held.turn(&tally).await?;
        of_free += free.turn(&tally).await?;
        seconds += TURN.as_secs_f64();
        tally.measure("acks_s_nagle_on", of_held / seconds);
        tally.measure("acks_s_nagle_off", of_free / seconds);
        tally.measure("nagle_on_of_off", of_held / of_free);
    }
}

/// Sixty-four small requests in flight on one connection.
pub(in crate::abuse) fn sixty_four(target: &Target) -> Ready<'_> {
    async {
        topics::create(target, TOPIC, 1, &[]).await?;
        Ok(vec![one(target, |kafka, tally| {
            pipeline(kafka, tally, SMALL_IN_FLIGHT, SMALL_BYTES, None)
        })])
    }
    .boxed()
}

/// 20 MiB a second in small batches on one connection.
pub(in crate::abuse) fn pipelining(target: &Target) -> Ready<'_> {
    async {
        topics::create(target, TOPIC, 1, &[]).await?;
        let interval = Duration::from_secs_f64(BATCH_BYTES as f64 / MIB / MIB_A_SECOND);
        Ok(vec![one(target, move |kafka, tally| {
            pipeline(kafka, tally, IN_FLIGHT_MAX, BATCH_BYTES, Some(interval))
        })])
    }
    .boxed()
}

/// A producer whose batches are numbered, each of one small record.
struct Numbered {
    socket: TcpStream,
    producer_id: i64,
    next: i32,
}

impl Numbered {
    async fn connect(kafka: &str, nagle: bool) -> anyhow::Result<Self> {
        let mut connection = client::connect(kafka).await?;
        let request = InitProducerIdRequest {
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let given = client::ask(&mut connection, INIT_VERSION, &request).await?;
        let error = given.error_code;
        anyhow::ensure!(error == ErrorCode::NONE, "no producer id: {error}");
        let socket = TcpStream::connect(kafka).await?;
        socket.set_nodelay(!nagle)?;
        Ok(Self {
            socket,
            producer_id: given.producer_id,
            next: 0,
        })
    }

    /// Five requests at once, and one more for each answer; how many were acknowledged in its time.
    async fn turn(&mut self, tally: &Tally) -> anyhow::Result<f64> {
        let end = Instant::now() + TURN;
        let mut sent = VecDeque::new();
        let mut acks = 0.0;
        for _ in 0..NUMBERED_IN_FLIGHT {
            self.send(tally, &mut sent).await?;
        }
        while let Some(begun) = sent.pop_front() {
            let error = self.receive(tally, begun).await?;
            anyhow::ensure!(error == ErrorCode::NONE, "a batch was refused: {error}");
            if Instant::now() < end {
                acks += 1.0;
                self.send(tally, &mut sent).await?;
            }
        }
        Ok(acks)
    }

    async fn send(&mut self, tally: &Tally, sent: &mut VecDeque<Instant>) -> anyhow::Result<()> {
        let options = BatchOptions {
            producer_id: self.producer_id,
            producer_epoch: 0,
            base_sequence: self.next,
            ..BatchOptions::default()
        };
        let record = Record {
            value: Some(Bytes::from_static(b"small")),
            ..Record::default()
        };
        let request = produce::request(TOPIC, 0, build_batch(&[record], options));
        self.next += 1;
        tally.ask();
        sent.push_back(Instant::now());
        self.socket.write_all(&frame(VERSION, &request)).await?;
        Ok(())
    }

    async fn receive(&mut self, tally: &Tally, begun: Instant) -> anyhow::Result<ErrorCode> {
        let length = usize::try_from(self.socket.read_u32().await?)?;
        let mut answer = vec![0; length];
        self.socket.read_exact(&mut answer).await?;
        let answer = protocol::decode_response::<ProduceRequest>(VERSION, answer.into())?;
        let error = answer.1.first_error();
        tally.answer(error.name(), begun.elapsed(), length);
        Ok(error)
    }
}

/// Batches of so many bytes, each when it is due, or as soon as fewer than that are unanswered.
async fn pipeline(
    kafka: String,
    tally: Tally,
    in_flight_max: usize,
    batch_bytes: usize,
    interval: Option<Duration>,
) -> anyhow::Result<()> {
    let (mut sender, mut receiver) = client::connect(&kafka).await?;
    let request = produce::request(TOPIC, 0, good::batch(vec![b'x'; batch_bytes].into()));
    let (sent, mut dues) = mpsc::channel(in_flight_max - 1);
    let begun = Instant::now();
    let sending = async {
        let mut due = begun;
        loop {
            match interval {
                Some(interval) => due += interval,
                None => due = Instant::now(),
            }
            sleep_until(due).await;
            sent.send(due).await.context("the receiver stopped")?;
            tally.ask();
            sender.send(VERSION, &request).await?;
        }
    };
    let receiving = async {
        let (mut latencies, mut said) = (Latencies::default(), begun);
        while let Some(due) = dues.recv().await {
            let answer = receiver.receive::<ProduceRequest>(VERSION).await?;
            let error = answer.first_error();
            tally.answer(error.name(), due.elapsed(), receiver.frame_bytes());
            anyhow::ensure!(error == ErrorCode::NONE, "a batch was refused: {error}");
            latencies.record(due.elapsed());
            if said.elapsed() > SAY_EVERY {
                said = Instant::now();
                let bytes = latencies.len() as f64 * batch_bytes as f64;
                tally.measure("mib_s", bytes / MIB / begun.elapsed().as_secs_f64());
                let summary = latencies.clone().summary();
                tally.measure("ack_p50_ms", summary.p50);
                tally.measure("ack_p99_ms", summary.p99);
            }
        }
        anyhow::Ok(())
    };
    tokio::select! {
        ended = sending => ended,
        ended = receiving => ended,
    }
}
