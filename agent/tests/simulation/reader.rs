//! Consumers, and those who ask for offsets: they record what they are told.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use protocol::ErrorCode;
use protocol::messages::fetch::{FetchPartition, FetchTopic, PartitionData};
use protocol::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopic,
};
use protocol::messages::{FetchRequest, ListOffsetsRequest};
use protocol::record_batch::{BatchHeader, crc_matches};
use protocol::records::records;
use tokio::time::{Instant, sleep};

use crate::history::{Event, Source, Value, timestamp};
use crate::producer::{decode_value, topic_name};
use crate::wire::{Gone, Wire};
use crate::world::{Dice, World};

const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);
const LATEST: i64 = -1;
/// Times asked for: those of all batches, and some later.
const TIMES: usize = 90;

/// Reads a topic from wherever it likes, again and again, through whatever process answers.
pub(crate) struct Reader {
    world: Arc<World>,
    dice: Dice,
    number: u32,
    topic: u32,
    positions: Vec<i64>,
    wire: Option<Wire>,
}

impl Reader {
    pub(crate) fn new(world: Arc<World>, number: u32, topic: u32, partitions: i32) -> Self {
        let reader = Self {
            dice: world.dice.fork(),
            world,
            number,
            topic,
            positions: (0..partitions).map(|_| 0).collect(),
            wire: None,
        };
        for index in 0..reader.positions.len() {
            reader.seeked(index);
        }
        reader
    }

    /// Until the run ends.
    pub(crate) async fn run(mut self) {
        loop {
            let mut wire = match self.wire.take() {
                Some(wire) => wire,
                None => self.world.connect(&self.dice).await,
            };
            let leaves = match self.round(&mut wire).await {
                Ok(()) => self.dice.chance(250),
                Err(Gone) => true,
            };
            self.wire = (!leaves).then_some(wire);
            sleep(self.dice.millis(1, 120)).await;
        }
    }

    async fn round(&mut self, wire: &mut Wire) -> Result<(), Gone> {
        match self.dice.below(12) {
            0 => self.seek_anywhere(),
            1 => self.seek_to_end(wire).await?,
            _ => {}
        }
        self.fetch(wire).await
    }

    fn seeked(&self, index: usize) {
        self.world.history.push(Event::Seek {
            reader: self.number,
            place: self.place(index),
            offset: self.positions[index],
        });
    }

    fn place(&self, index: usize) -> (u32, i32) {
        (self.topic, i32::try_from(index).unwrap_or(0))
    }

    fn seek_anywhere(&mut self) {
        let index = self.dice.index(self.positions.len());
        let to = self.dice.below(self.positions[index].unsigned_abs() + 1);
        self.positions[index] = i64::try_from(to).unwrap_or(0);
        self.seeked(index);
    }

    /// Asks for the ends, and goes on from one of them: wherever it reads next, that offset exists.
    async fn seek_to_end(&mut self, wire: &mut Wire) -> Result<(), Gone> {
        let ends = if self.dice.chance(500) {
            // What one process knows must hold for the other, too.
            let mut other = self.world.connect(&self.dice).await;
            let asked = ask_ends(&self.world, &mut other, self.topic, self.positions.len());
            asked
                .await
                .unwrap_or_else(|Gone| vec![None; self.positions.len()])
        } else {
            ask_ends(&self.world, wire, self.topic, self.positions.len()).await?
        };
        let index = self.dice.index(self.positions.len());
        if let Some(end) = ends[index] {
            self.positions[index] = end;
            self.seeked(index);
        }
        Ok(())
    }

    async fn fetch(&mut self, wire: &mut Wire) -> Result<(), Gone> {
        let few = self.dice.chance(300);
        let partition = |(index, offset): (i32, &i64)| FetchPartition {
            partition: index,
            current_leader_epoch: -1,
            fetch_offset: *offset,
            partition_max_bytes: if few { 200 } else { 1 << 20 },
            ..FetchPartition::default()
        };
        let request = FetchRequest {
            max_wait_ms: i32::try_from(self.dice.below(400)).unwrap_or(0),
            min_bytes: i32::try_from(self.dice.below(3)).unwrap_or(0),
            max_bytes: if few { 500 } else { 50 << 20 },
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic: topic_name(self.topic),
                partitions: (0..).zip(&self.positions).map(partition).collect(),
            }],
            ..FetchRequest::default()
        };
        sleep(self.dice.latency()).await;
        let began = self.world.history.len();
        let response = wire
            .ask(11, &request, Instant::now() + ANSWER_TIME_MAX)
            .await?;
        sleep(self.dice.latency()).await;
        for data in response
            .responses
            .iter()
            .flat_map(|topic| &topic.partitions)
        {
            self.take(data, began, wire.process);
        }
        Ok(())
    }

    fn take(&mut self, data: &PartitionData, began: usize, process: u32) {
        let index = usize::try_from(data.partition_index).unwrap_or(0);
        let place = self.place(index);
        let history = &self.world.history;
        match data.error_code {
            ErrorCode::NONE => {
                history.push(Event::End {
                    source: Source::Fetched,
                    began,
                    process,
                    place,
                    end: data.high_watermark,
                });
                let bytes = joined(data);
                let from = self.positions[index];
                match read_all(bytes, from) {
                    Ok(read) => {
                        for (offset, value) in read {
                            history.push(Event::Read {
                                reader: self.number,
                                place,
                                offset,
                                value,
                            });
                            self.positions[index] = offset + 1;
                        }
                    }
                    Err(what) => history.push(Event::Garbage {
                        place,
                        offset: from,
                        what,
                    }),
                }
            }
            ErrorCode::OFFSET_OUT_OF_RANGE => {
                history.push(Event::OutOfRange {
                    began,
                    process,
                    place,
                    offset: self.positions[index],
                });
                self.positions[index] = 0;
                self.seeked(index);
            }
            code if code.is_retriable() => {}
            code => history.push(Event::Broken(format!("{place:?} cannot be read: {code}"))),
        }
    }
}

pub(crate) fn joined(data: &PartitionData) -> Bytes {
    let slices = data.records.iter().flat_map(|records| &records.0);
    slices
        .flat_map(|slice| slice.iter().copied())
        .collect::<Vec<u8>>()
        .into()
}

/// The records at and after an offset. The last batch may be cut short, as Kafka's limits have it.
pub(crate) fn read_all(mut bytes: Bytes, from: i64) -> Result<Vec<(i64, Value)>, String> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let header = BatchHeader::read(&bytes).map_err(|error| error.to_string())?;
        if header.size > bytes.len() {
            return Err("a batch is cut short".to_owned());
        }
        let batch = bytes.slice(..header.size);
        bytes.advance(header.size);
        if !crc_matches(&batch, &header) {
            return Err(format!(
                "the checksum of the batch at {} does not match",
                header.base_offset
            ));
        }
        for record in records(&batch, 1 << 20).map_err(|error| error.to_string())? {
            let record = record.map_err(|error| error.to_string())?;
            let offset = header.base_offset + i64::from(record.offset_delta);
            let value = decode_value(record.value.as_ref()).ok_or("a record without a value")?;
            if offset >= from {
                found.push((offset, value));
            }
        }
    }
    Ok(found)
}

async fn list_offsets(
    wire: &mut Wire,
    topic: u32,
    partitions: usize,
    timestamp: i64,
) -> Result<Vec<ListOffsetsPartitionResponse>, Gone> {
    let partition = |partition_index| ListOffsetsPartition {
        partition_index,
        current_leader_epoch: -1,
        timestamp,
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: topic_name(topic),
            partitions: (0..).take(partitions).map(partition).collect(),
        }],
        ..ListOffsetsRequest::default()
    };
    let until = Instant::now() + ANSWER_TIME_MAX;
    let response = wire.ask(7, &request, until).await?;
    let topics = response.topics.into_iter();
    Ok(topics.flat_map(|topic| topic.partitions).collect())
}

/// The ends of all partitions, and records them.
pub(crate) async fn ask_ends(
    world: &World,
    wire: &mut Wire,
    topic: u32,
    partitions: usize,
) -> Result<Vec<Option<i64>>, Gone> {
    let began = world.history.len();
    let mut ends = vec![None; partitions];
    for answer in list_offsets(wire, topic, partitions, LATEST).await? {
        let place = (topic, answer.partition_index);
        if answer.error_code == ErrorCode::NONE {
            world.history.push(Event::End {
                source: Source::Confirmed,
                began,
                process: wire.process,
                place,
                end: answer.offset,
            });
            ends[usize::try_from(answer.partition_index).unwrap_or(0)] = Some(answer.offset);
        } else if !answer.error_code.is_retriable() {
            world.history.push(Event::Broken(format!(
                "the end of {place:?} is refused: {}",
                answer.error_code
            )));
        }
    }
    Ok(ends)
}

/// The first records of a time, and records them.
async fn ask_times(
    world: &World,
    wire: &mut Wire,
    topic: u32,
    partitions: usize,
    wanted: i64,
) -> Result<(), Gone> {
    let began = world.history.len();
    for answer in list_offsets(wire, topic, partitions, wanted).await? {
        let place = (topic, answer.partition_index);
        if answer.error_code == ErrorCode::NONE {
            world.history.push(Event::ByTime {
                began,
                process: wire.process,
                place,
                wanted,
                found: (answer.offset >= 0).then_some((answer.offset, answer.timestamp)),
            });
        } else if !answer.error_code.is_retriable() {
            world.history.push(Event::Broken(format!(
                "a time of {place:?} is refused: {}",
                answer.error_code
            )));
        }
    }
    Ok(())
}

/// Asks for ends and for times now and then, until the run ends.
pub(crate) async fn asker(world: Arc<World>, topic: u32, partitions: usize) {
    let dice = world.dice.fork();
    let mut wire = world.connect(&dice).await;
    loop {
        let asked = match dice.chance(250) {
            true => {
                let wanted = timestamp((0, 0), dice.index(TIMES));
                ask_times(&world, &mut wire, topic, partitions, wanted).await
            }
            false => ask_ends(&world, &mut wire, topic, partitions)
                .await
                .map(drop),
        };
        if asked.is_err() || dice.chance(100) {
            wire = world.connect(&dice).await;
        }
        sleep(dice.millis(5, 400)).await;
    }
}
