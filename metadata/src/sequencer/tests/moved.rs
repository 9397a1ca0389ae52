//! Readers of index rows that are freed or swapped under them: they find what is there now, and what is damage stays so.

use super::quiet::{checkpoint, fold};
use super::*;
use crate::effect::PartitionEffect;
use crate::keys::Key;
use crate::sequencer::Sequencer;

/// What happens to the index between the answer from memory and the look into rows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Happens {
    Nothing,
    /// Another generation takes its place, and the rows of the one before are gone, whole or up to an offset.
    Swapped {
        freed_until: i64,
    },
    /// The log starts at an offset, before which no row is left.
    Started {
        at: i64,
    },
    /// Rows before an offset are gone, and nothing says why.
    Lost {
        until: i64,
    },
}

const EXTENTS: i64 = 2_000;
const END: i64 = EXTENTS * 10;

/// All that may happen.
const ALL: [Happens; 6] = [
    Happens::Nothing,
    Happens::Swapped { freed_until: END },
    Happens::Swapped {
        freed_until: END / 2,
    },
    Happens::Started { at: END / 2 },
    Happens::Lost { until: END },
    Happens::Lost { until: END / 2 },
];

/// A sequencer that does nothing by itself, all of whose extents but the last are in rows. Their timestamps rise.
async fn fresh() -> (Memory, Metadata, Sequencer) {
    let (memory, metadata, mut sequencer) = quiet::fresh(1).await;
    for number in 1..=EXTENTS {
        if number == EXTENTS {
            checkpoint(&mut sequencer).await;
        }
        let mut one = batch(10, None);
        // The largest but one is an early one.
        one.max_timestamp = Timestamp(START + if number == 40 { 30_000 } else { number });
        let command = commit(number.unsigned_abs(), 0, vec![one]);
        sequencer.command(command).await.unwrap();
    }
    (memory, metadata, sequencer)
}

/// Clears the chunks of a generation that end at an offset or before, and sets right what sums them up.
async fn clear(memory: &Memory, generation: u32, until: i64) {
    let place = crate::index::Place {
        partition: partition(0),
        generation,
    };
    while let Some(freed) = crate::index::free_first(memory, place, Offset(until))
        .await
        .unwrap()
    {
        memory.commit(freed.writes).await.unwrap();
    }
}

async fn happen(happens: Happens, memory: &Memory, sequencer: &mut Sequencer) {
    match happens {
        Happens::Nothing => {}
        Happens::Swapped { freed_until } => {
            let mut copied = Transaction::default();
            for (key, row) in memory.snapshot() {
                if let Ok(Key::Index(at, 0, level, end)) = Key::decode(&key) {
                    let copy = Key::Index(at, 1, level, end).encode();
                    let row = crate::codec::resealed(row, &key, &copy);
                    copied.set(copy, row);
                }
            }
            memory.commit(copied).await.unwrap();
            fold(
                sequencer,
                0,
                PartitionEffect::IndexSwapped { generation: 1 },
            )
            .await;
            clear(memory, 0, freed_until).await;
        }
        Happens::Started { at } => {
            fold(
                sequencer,
                0,
                PartitionEffect::LogStartMoved { to: Offset(at) },
            )
            .await;
            clear(memory, 0, at).await;
        }
        Happens::Lost { until } => clear(memory, 0, until).await,
    }
}

/// An answer to a question between whose two halves that happens.
async fn between<T>(
    happens: Happens,
    memory: &Memory,
    sequencer: &mut Sequencer,
    question: impl Future<Output = T>,
) -> T {
    let serve = async {
        let mut first = true;
        loop {
            let asked = sequencer.queue.recv().await.unwrap();
            sequencer.serve(&mut vec![asked]).await.unwrap();
            if std::mem::take(&mut first) {
                // The question is not polled before this is done.
                happen(happens, memory, sequencer).await;
            }
        }
    };
    tokio::select! {
        biased;
        () = serve => unreachable!("it serves for ever"),
        answer = question => answer,
    }
}

#[tokio::test(start_paused = true)]
async fn readers_follow_an_index_that_moves_and_are_told_of_one_that_is_damaged() {
    let (rows, _, _) = fresh().await;
    for happens in ALL {
        for offset in [0, END / 4, END * 3 / 4] {
            let memory = rows.copy();
            let kv = Arc::new(memory.clone());
            let (metadata, mut sequencer) = start(kv, options(2)).await.unwrap();
            let context = format!("{happens:?}, {offset}");
            let located = metadata.locate(partition(0), Offset(offset), 1_000);
            let located = between(happens, &memory, &mut sequencer, located).await;
            let lost = matches!(happens, Happens::Lost { until } if offset < until - 1_000);
            match (located, happens) {
                (Err(Error::Damaged(_)), _) => assert!(lost, "{context}"),
                (Ok(Located::OutOfRange(bounds)), Happens::Started { at }) => {
                    assert_eq!(bounds.log_start, Offset(at), "{context}");
                    assert!(offset < at, "{context}");
                }
                (Ok(Located::Extents { extents, .. }), _) => {
                    assert!(!lost, "{context}");
                    assert_eq!(extents[0].base_offset, Offset(offset), "{context}");
                    assert_eq!(extents.len(), 10, "{context}");
                }
                (other, _) => panic!("{context}: {other:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_looked_for_by_time_is_never_answered_from_half_an_index() {
    let (rows, _, _) = fresh().await;
    for happens in ALL {
        let first = match happens {
            Happens::Started { at } => at,
            _ => 0,
        };
        // Of the numbered timestamps, and the largest of all.
        for (wanted, found) in [
            (Some(1), first),
            (Some(EXTENTS / 4), (EXTENTS / 4 - 1) * 10),
            (None, 390),
        ] {
            let memory = rows.copy();
            let kv = Arc::new(memory.clone());
            let (metadata, mut sequencer) = start(kv, options(2)).await.unwrap();
            let context = format!("{happens:?}, {wanted:?}");
            let question = async {
                match wanted {
                    Some(time) => {
                        metadata
                            .locate_timestamp(partition(0), Timestamp(START + time))
                            .await
                    }
                    None => metadata.locate_max_timestamp(partition(0)).await,
                }
            };
            let answer = between(happens, &memory, &mut sequencer, question).await;
            let expected = match happens {
                // It went with what lay before.
                Happens::Started { .. } if wanted.is_none() => END - 10,
                Happens::Started { at } => found.max(at),
                // That one has everything from there on, early timestamps or not.
                _ if wanted == Some(EXTENTS / 4) => 390,
                _ => found,
            };
            match answer {
                Err(Error::Damaged(_)) => {
                    assert!(matches!(happens, Happens::Lost { .. }), "{context}");
                }
                Ok(Some(extent)) => {
                    assert!(!matches!(happens, Happens::Lost { .. }), "{context}");
                    assert_eq!(extent.base_offset, Offset(expected), "{context}");
                }
                other => panic!("{context}: {other:?}"),
            }
        }
    }
}
