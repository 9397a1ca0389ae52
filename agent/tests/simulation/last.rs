//! What must hold in the end: every process knows the whole log, new ones can read it, and all its objects are there.

use std::sync::Arc;
use std::time::Duration;

use metadata::{Located, Offset, TopicPartition};
use object_store::path::Path;
use penstock::storage::{paths, segment};
use protocol::ErrorCode;
use protocol::messages::FetchRequest;
use protocol::messages::fetch::{FetchPartition, FetchTopic, PartitionData};
use tokio::time::{Instant, sleep, timeout};

use crate::backwards::account_once;
use crate::history::{Event, Place, Value};
use crate::process::Process;
use crate::producer::topic_name;
use crate::reader::{ask_ends, joined, read_all};
use crate::run::patience;
use crate::wire::{Gone, Wire};
use crate::world::{Dice, EPOCH_MS, World, spawn};

/// A process hears of everything within so long.
const SETTLE: Duration = Duration::from_secs(60);

/// All processes that serve clients know the whole log soon, though nothing more happens: a reader that waits at the end
/// that such a process knows would wait for ever otherwise.
pub(crate) async fn settle(world: &Arc<World>, topics: u32, partitions: usize) {
    let until = Instant::now() + SETTLE;
    for process in world.processes() {
        let behind = async {
            while process.role.serves_clients() && process.serves() {
                match behind(world, &process, topics, partitions).await {
                    Ok(None) => return None,
                    Ok(place) if Instant::now() >= until => return place,
                    _ if Instant::now() >= until => return Some((0, 0)),
                    _ => sleep(Duration::from_millis(200)).await,
                }
            }
            None
        };
        if let Some(place) = behind.await {
            world.history.push(Event::Broken(format!(
                "process {} does not hear of what {place:?} holds",
                process.id
            )));
        }
    }
}

/// A partition of which the process knows less than there is. How much it knows it tells at any offset that it views, and
/// it views the newest.
async fn behind(
    world: &World,
    process: &Process,
    topics: u32,
    partitions: usize,
) -> Result<Option<Place>, Gone> {
    let mut wire = world.wire(process).ok_or(Gone)?;
    for topic in 0..topics {
        let ends = ask_ends(world, &mut wire, topic, partitions).await?;
        for (index, end) in (0..).zip(ends) {
            let end = end.ok_or(Gone)?;
            let back = std::iter::successors(Some(1), |back| Some(back * 2));
            for offset in back
                .map(|back| end - back)
                .take_while(|offset| *offset >= 0)
            {
                let data = fetch_data(&mut wire, topic, index, offset, 1).await?;
                if data.error_code != ErrorCode::NONE || data.high_watermark < end {
                    return Ok(Some((topic, index)));
                }
            }
        }
    }
    Ok(None)
}

/// Everything ends; a new process, and after it the bucket, must have it all.
pub(crate) async fn finish(world: &Arc<World>, dice: &Dice, topics: u32, partitions: usize) {
    for process in world.processes() {
        match dice.chance(500) {
            true => process.kill(),
            false => process.terminate(),
        }
    }
    sleep(Duration::from_secs(30)).await;
    world.processes().iter().for_each(|process| process.kill());
    world.bucket.heal();
    world.memory.faults().cease();
    world.start_all();
    for topic in 0..topics {
        if timeout(patience(world), read(world, dice, topic, partitions))
            .await
            .is_err()
        {
            world.history.push(Event::Broken(format!(
                "topic {topic} cannot be read in the end"
            )));
        }
    }
    world.processes().iter().for_each(|process| process.kill());
    account_once(world).await;
    audit(world, topics, partitions).await;
}

/// Reads partitions to the end that the metadata confirms.
pub(crate) async fn read(world: &Arc<World>, dice: &Dice, topic: u32, partitions: usize) {
    let ends = loop {
        let mut wire = world.connect(dice).await;
        let ends = ask_ends(world, &mut wire, topic, partitions)
            .await
            .unwrap_or_default();
        let ends: Option<Vec<i64>> = ends.into_iter().collect();
        if let Some(ends) = ends.filter(|ends| !ends.is_empty()) {
            break ends;
        }
        sleep(Duration::from_millis(200)).await;
    };
    for (index, end) in (0..).zip(ends) {
        let mut records: Vec<(i64, Value)> = Vec::new();
        let mut wire = world.connect(dice).await;
        loop {
            let next = records.last().map_or(0, |(offset, _)| offset + 1);
            if next >= end {
                break;
            }
            match fetch(&mut wire, topic, index, next).await {
                Ok(Ok(more)) => records.extend(more),
                Ok(Err(what)) => {
                    world
                        .history
                        .note(format!("topic {topic} at {next}: {what}"));
                    sleep(Duration::from_millis(200)).await;
                }
                Err(Gone) => wire = world.connect(dice).await,
            }
        }
        world.history.push(Event::Last {
            place: (topic, index),
            end,
            records,
        });
    }
}

async fn fetch(
    wire: &mut Wire,
    topic: u32,
    index: i32,
    offset: i64,
) -> Result<Result<Vec<(i64, Value)>, String>, Gone> {
    let data = fetch_data(wire, topic, index, offset, 1 << 20).await?;
    Ok(match data.error_code {
        ErrorCode::NONE => read_all(joined(&data), offset),
        code => Err(code.name().to_owned()),
    })
}

async fn fetch_data(
    wire: &mut Wire,
    topic: u32,
    index: i32,
    offset: i64,
    partition_max_bytes: i32,
) -> Result<PartitionData, Gone> {
    let request = FetchRequest {
        max_wait_ms: 500,
        min_bytes: 1,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: topic_name(topic),
            partitions: vec![FetchPartition {
                partition: index,
                current_leader_epoch: -1,
                fetch_offset: offset,
                partition_max_bytes,
                ..FetchPartition::default()
            }],
        }],
        ..FetchRequest::default()
    };
    let until = Instant::now() + Duration::from_secs(60);
    let mut response = wire.ask(11, &request, until).await?;
    Ok(response.responses.remove(0).partitions.remove(0))
}

/// Every extent that the metadata names lies in the bucket, undamaged.
async fn audit(world: &Arc<World>, topics: u32, partitions: usize) {
    let options = metadata::Options::new(Arc::new(|| metadata::Timestamp(EPOCH_MS)));
    let started = metadata::start(Arc::new(world.memory.clone()), options).await;
    let (metadata, sequencer) = match started {
        Ok(started) => started,
        Err(error) => {
            world.history.push(Event::Broken(format!(
                "the metadata cannot be read in the end: {error}"
            )));
            return;
        }
    };
    let running = spawn(async move { drop(sequencer.run().await) });
    let catalogue = metadata.catalogue();
    for topic in (0..topics).filter_map(|topic| catalogue.topic(&topic_name(topic))) {
        for index in (0..).take(partitions) {
            let partition = TopicPartition {
                topic: topic.id,
                partition: metadata::PartitionIndex(index),
            };
            let mut next = Offset(0);
            while let Ok(Located::Extents { extents, .. }) =
                metadata.locate(partition, next, 1 << 20).await
            {
                let Some(last) = extents.last() else {
                    break;
                };
                next = last.end_offset();
                for extent in &extents {
                    if let Err(what) = look(world, partition, extent).await {
                        world
                            .history
                            .push(Event::Broken(format!("{extent:?}: {what}")));
                    }
                }
            }
        }
    }
    running.abort();
}

async fn look(
    world: &World,
    partition: TopicPartition,
    extent: &metadata::Extent,
) -> Result<(), String> {
    let stored = extent.stored().ok_or("no object holds it")?;
    let object = world
        .bucket
        .look(&paths::segment(&Path::default(), stored.object))
        .await;
    let object = object.ok_or("its object is not in the bucket")?;
    let from = stored.block.position as usize;
    let to = from + stored.block.stored_length as usize;
    if to > object.len() {
        return Err("its object is too short".to_owned());
    }
    let block = segment::decode_block(object.slice(from..to), &stored.block, partition);
    block.map(drop).map_err(|error| error.to_string())
}
