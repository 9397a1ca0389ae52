//! A producer as real ones are: up to five requests under way, each with batches of several partitions, sent again with
//! the same sequences when a connection breaks or an error may pass, and a new epoch only when there is no other way.

mod batches;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use protocol::ErrorCode;
use protocol::messages::produce::{PartitionProduceResponse, TopicProduceData};
use protocol::messages::{InitProducerIdRequest, ProduceRequest};
use tokio::time::{Instant, sleep, sleep_until};

use crate::history::{Event, Kind, Value};
use crate::wire::{Gone, Wire, decode};
use crate::world::{Dice, World};

use batches::Batch;
pub(crate) use batches::decode_value;

const IN_FLIGHT_MAX: usize = 5;
const PRODUCE_VERSION: i16 = 9;

/// What one producer is to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) topic: u32,
    pub(crate) partitions: i32,
    /// Batches in all.
    pub(crate) batches: u32,
    /// Between requests, at most.
    pub(crate) pause: Duration,
    /// How long an answer may take.
    pub(crate) request_timeout: Duration,
    /// After so long a batch is given up.
    pub(crate) delivery_timeout: Duration,
    /// Whether several batches of a partition are sent again at once, as librdkafka does, or one by one, as Java does.
    pub(crate) retries_pipelined: bool,
}

pub(crate) fn topic_name(topic: u32) -> String {
    format!("topic-{topic}")
}

struct Request {
    correlation_id: i32,
    until: Instant,
    batches: Vec<Batch>,
}

/// A partition, as its producer sees it.
#[derive(Default)]
struct Partition {
    /// Batches to be sent again, by number.
    waiting: BTreeMap<u32, Batch>,
    next_sequence: i32,
}

pub(crate) struct Producer {
    world: Arc<World>,
    dice: Dice,
    number: u32,
    plan: Plan,
    identity: Option<(i64, i16)>,
    partitions: Vec<Partition>,
    wire: Option<Wire>,
    in_flight: VecDeque<Request>,
    made: u32,
    values: u32,
    next_send: Instant,
    /// A new epoch is needed once nothing is under way.
    bump: bool,
}

impl Producer {
    pub(crate) fn new(world: Arc<World>, number: u32, plan: Plan) -> Self {
        let partitions = (0..plan.partitions).map(|_| Partition::default()).collect();
        Self {
            dice: world.dice.fork(),
            world,
            number,
            plan,
            identity: None,
            partitions,
            wire: None,
            in_flight: VecDeque::new(),
            made: 0,
            values: 0,
            next_send: Instant::now(),
            bump: false,
        }
    }

    /// Until everything was acknowledged, refused or given up.
    pub(crate) async fn run(mut self) {
        self.run_to_the_end().await;
    }

    /// The same, of one that may be needed again. It has no connection then.
    pub(crate) async fn run_to_the_end(&mut self) {
        if self.plan.kind == Kind::Idempotent && self.identity.is_none() {
            self.identify().await;
        }
        while !self.is_done() {
            if self.wire.is_none() {
                self.wire = Some(self.world.connect(&self.dice).await);
            }
            if self.bump && !self.is_unsure() {
                self.identify().await;
                continue;
            }
            let step = self.step().await;
            if step == Err(Gone) {
                self.disconnect();
            }
        }
        self.wire = None;
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The first batch is sent once more, whatever was answered to it. Only of one that has sent no other.
    pub(crate) fn repeat(&mut self) {
        let count = self.values;
        let values = (0..count).map(|number| Value {
            producer: self.number,
            number,
        });
        self.wait(Batch {
            id: (self.number, 1),
            place: (self.plan.topic, 0),
            values: values.collect(),
            base_sequence: 0,
            attempts: 1,
            first_sent: None,
            not_before: Instant::now(),
        });
    }

    fn is_done(&self) -> bool {
        self.made >= self.plan.batches
            && self.in_flight.is_empty()
            && self
                .partitions
                .iter()
                .all(|partition| partition.waiting.is_empty())
    }

    /// Whether a batch was sent of which it is not known what became of it. It keeps its sequence until that is known or
    /// it is given up: under another one it could be there twice.
    fn is_unsure(&self) -> bool {
        let mut waiting = self
            .partitions
            .iter()
            .flat_map(|partition| partition.waiting.values());
        !self.in_flight.is_empty() || waiting.any(|batch| batch.attempts > 0)
    }

    /// Sends, or waits for an answer, or for the time to send.
    async fn step(&mut self) -> Result<(), Gone> {
        let now = Instant::now();
        if self.in_flight.len() < IN_FLIGHT_MAX && now >= self.next_send {
            self.next_send = now
                + self.dice.millis(
                    1,
                    2 + u64::try_from(self.plan.pause.as_millis()).unwrap_or(0),
                );
            let batches = self.pick(now);
            if !batches.is_empty() {
                return self.send(batches).await;
            }
        }
        let Some(wire) = self.wire.as_mut() else {
            return Err(Gone);
        };
        let Some(first) = self.in_flight.front() else {
            sleep_until(self.next_send).await;
            return Ok(());
        };
        let full = self.in_flight.len() >= IN_FLIGHT_MAX;
        let until = if full {
            first.until
        } else {
            first.until.min(self.next_send)
        };
        tokio::select! {
            biased;
            frame = wire.receive() => {
                let frame = frame?;
                sleep(self.dice.latency()).await;
                let request = self.in_flight.pop_front().ok_or(Gone)?;
                let process = wire.process;
                match decode::<ProduceRequest>(PRODUCE_VERSION, request.correlation_id, frame) {
                    Ok(response) => {
                        let answers = response.responses.into_iter().flat_map(|topic| topic.partition_responses);
                        self.answered(request.batches, answers.collect(), process);
                        Ok(())
                    }
                    Err(gone) => {
                        self.in_flight.push_front(request);
                        Err(gone)
                    }
                }
            }
            () = sleep_until(until) => match Instant::now() >= first.until {
                true => Err(Gone),
                false => Ok(()),
            },
        }
    }

    /// What may be sent now: of a partition, a batch that waits to be sent again goes before new ones.
    fn pick(&mut self, now: Instant) -> Vec<Batch> {
        let mut picked = Vec::new();
        for index in 0..self.partitions.len() {
            let flying = self.flying(index);
            let waiting = self.partitions[index].waiting.first_key_value();
            match waiting {
                Some((number, batch)) => {
                    let number = *number;
                    let turn = match (flying.first(), flying.last()) {
                        _ if self.plan.kind == Kind::Plain => true,
                        (Some(first), Some(last)) => match self.plan.retries_pipelined {
                            true => number > *last,
                            false => number < *first,
                        },
                        _ => true,
                    };
                    if batch.not_before > now || !turn || (self.bump && batch.attempts == 0) {
                        continue;
                    }
                    let Some(batch) = self.partitions[index].waiting.remove(&number) else {
                        continue;
                    };
                    let overdue = batch
                        .first_sent
                        .is_some_and(|sent| sent + self.plan.delivery_timeout < now);
                    if overdue {
                        self.world
                            .history
                            .note(format!("batch {:?} is given up", batch.id));
                        self.bump = self.identity.is_some();
                    } else {
                        picked.push(batch);
                    }
                }
                None if !self.bump
                    && self.made < self.plan.batches
                    && flying.len() < IN_FLIGHT_MAX
                    && self.dice.chance(500) =>
                {
                    let batch = self.make(index, now);
                    picked.push(batch);
                }
                None => {}
            }
        }
        picked
    }

    /// Numbers of a partition's batches under way, in order.
    fn flying(&self, index: usize) -> Vec<u32> {
        let mut numbers: Vec<u32> = self
            .in_flight
            .iter()
            .flat_map(|request| &request.batches)
            .filter(|batch| usize::try_from(batch.place.1) == Ok(index))
            .map(|batch| batch.id.1)
            .collect();
        numbers.sort_unstable();
        numbers
    }

    fn make(&mut self, index: usize, now: Instant) -> Batch {
        self.made += 1;
        let count = 1 + u32::try_from(self.dice.below(4)).unwrap_or(0);
        let values = (self.values..self.values + count).map(|number| Value {
            producer: self.number,
            number,
        });
        self.values += count;
        let partition = &mut self.partitions[index];
        let base_sequence = partition.next_sequence;
        partition.next_sequence += count.cast_signed();
        Batch {
            id: (self.number, self.made),
            place: (self.plan.topic, i32::try_from(index).unwrap_or(0)),
            values: values.collect(),
            base_sequence,
            attempts: 0,
            first_sent: None,
            not_before: now,
        }
    }

    async fn send(&mut self, mut batches: Vec<Batch>) -> Result<(), Gone> {
        let now = Instant::now();
        let until = now + self.plan.request_timeout;
        let Some(mut wire) = self.wire.take() else {
            batches.into_iter().for_each(|batch| self.wait(batch));
            return Err(Gone);
        };
        for batch in &mut batches {
            batch.attempts += 1;
            batch.first_sent.get_or_insert(now);
            self.world.history.push(Event::Sent {
                batch: batch.id,
                kind: self.plan.kind,
                place: batch.place,
                values: batch.values.clone(),
                wire: wire.number,
            });
        }
        let request = ProduceRequest {
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![TopicProduceData {
                name: topic_name(self.plan.topic),
                partition_data: batches
                    .iter()
                    .map(|batch| batch.encode(self.identity))
                    .collect(),
            }],
            ..ProduceRequest::default()
        };
        sleep(self.dice.latency()).await;
        let sent = wire.send(PRODUCE_VERSION, &request, until).await;
        self.wire = Some(wire);
        let correlation_id = *sent.as_ref().unwrap_or(&-1);
        self.in_flight.push_back(Request {
            correlation_id,
            until,
            batches,
        });
        sent?;
        // The connection may break with everything on its way.
        if self.dice.chance(8) {
            Err(Gone)
        } else {
            Ok(())
        }
    }

    /// To be sent again, with the same sequence.
    fn wait(&mut self, batch: Batch) {
        let partition = usize::try_from(batch.place.1).unwrap_or(0);
        self.partitions[partition].waiting.insert(batch.id.1, batch);
    }

    fn answered(
        &mut self,
        batches: Vec<Batch>,
        answers: Vec<PartitionProduceResponse>,
        process: u32,
    ) {
        if answers.len() != batches.len() {
            let broken = format!("{} answers for {} partitions", answers.len(), batches.len());
            self.world.history.push(Event::Broken(broken));
        }
        for (mut batch, answer) in batches.into_iter().zip(answers) {
            let batch_id = batch.id;
            if answer.error_code == ErrorCode::NONE {
                self.world.history.push(Event::Acked {
                    batch: batch_id,
                    base_offset: answer.base_offset,
                    process,
                });
            } else if self.may_pass(&batch, answer.error_code) {
                self.world.history.note(format!(
                    "batch {batch_id:?}: {} from process {process}",
                    answer.error_code
                ));
                batch.not_before = Instant::now() + self.dice.millis(20, 200);
                self.wait(batch);
            } else {
                let code = answer.error_code.name().to_owned();
                self.world.history.push(Event::Refused {
                    batch: batch_id,
                    code,
                });
                self.bump = self.identity.is_some();
            }
        }
    }

    /// A batch out of order may pass while one before it is still unanswered.
    fn may_pass(&self, batch: &Batch, code: ErrorCode) -> bool {
        if code != ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER {
            return code.is_retriable();
        }
        let index = usize::try_from(batch.place.1).unwrap_or(0);
        let earlier = |number: &u32| *number < batch.id.1;
        let waits = self.partitions[index].waiting.keys().any(earlier);
        // One that was given up leaves a gap, and those after it wait for the next epoch.
        self.bump || waits || self.flying(index).iter().any(earlier)
    }

    /// All under way must be sent again, in order.
    fn disconnect(&mut self) {
        self.world
            .history
            .note(format!("producer {} loses its connection", self.number));
        self.wire = None;
        for request in std::mem::take(&mut self.in_flight) {
            request
                .batches
                .into_iter()
                .for_each(|batch| self.wait(batch));
        }
    }

    /// An id, or the next epoch of it: sequences begin anew.
    async fn identify(&mut self) {
        let (producer_id, producer_epoch) = self.identity.unwrap_or((-1, -1));
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            producer_id,
            producer_epoch,
        };
        loop {
            let mut wire = match self.wire.take() {
                Some(wire) => wire,
                None => self.world.connect(&self.dice).await,
            };
            let until = Instant::now() + self.plan.request_timeout;
            if let Ok(given) = wire.ask(4, &request, until).await {
                self.wire = Some(wire);
                if given.error_code == ErrorCode::NONE {
                    self.identity = Some((given.producer_id, given.producer_epoch));
                    self.world
                        .history
                        .note(format!("producer {} is {:?}", self.number, self.identity));
                    break;
                }
            }
            sleep(self.dice.millis(50, 300)).await;
        }
        self.bump = false;
        for partition in &mut self.partitions {
            partition.next_sequence = 0;
            for batch in partition.waiting.values_mut() {
                batch.base_sequence = partition.next_sequence;
                partition.next_sequence += i32::try_from(batch.values.len()).unwrap_or(0);
            }
        }
    }
}
