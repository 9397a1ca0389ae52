//! Extents of every kind, in a row of the index.

use bytes::Bytes;

use super::{TOPIC, cover, golden};
use crate::index::Chunk;
use crate::keys::Key;
use crate::types::{
    BlockCodec, BlockRange, Content, Extent, ExtentFlags, Marker, ObjectKey, Offset,
    PartitionIndex, ProducerEpoch, ProducerId, Stored, Timestamp, TopicPartition,
};

fn extents() -> Vec<Extent> {
    let extent = |base_offset, record_count, codec| Extent {
        base_offset: Offset(base_offset),
        offset_span: record_count,
        record_count,
        max_timestamp: Timestamp(1_790_000_000_000),
        flags: ExtentFlags::default(),
        content: Content::Stored(Stored {
            object: ObjectKey(u128::MAX - 7),
            block: BlockRange {
                position: 0,
                stored_length: 1_000_000,
                raw_length: u32::MAX,
                codec,
                checksum: 0xdead_beef,
            },
            raw_start: 61,
            raw_length: 70,
        }),
    };
    let all = vec![
        extent(0, 1, BlockCodec::Raw),
        extent(1, u32::MAX, BlockCodec::Zstd),
    ];
    let codecs: Vec<_> = all
        .iter()
        .map(|extent| extent.stored().unwrap().block.codec)
        .collect();
    cover!(codecs, BlockCodec, BlockCodec::Raw, BlockCodec::Zstd);
    all
}

/// Extents of every kind, in a row that names two agents.
fn index_extents() -> Vec<Extent> {
    let mut all = extents();
    let marker = Marker {
        producer: ProducerId(i64::MAX),
        epoch: ProducerEpoch(i16::MAX),
        committed: true,
    };
    let stored = Content::Stored(Stored {
        object: ObjectKey(7 << 96),
        ..*all[0].stored().unwrap()
    });
    for content in [
        stored,
        Content::Marker(marker),
        Content::Compacted,
        Content::Lost,
    ] {
        all.push(Extent {
            base_offset: all.last().map_or(Offset(0), Extent::end_offset),
            offset_span: 100,
            record_count: 3,
            max_timestamp: Timestamp(-1),
            flags: ExtentFlags {
                offsets_in_bytes: true,
                transactional: true,
                control: true,
            },
            content,
        });
    }
    let contents: Vec<_> = all.iter().map(|extent| extent.content).collect();
    cover!(
        contents,
        Content,
        Content::Stored(_),
        Content::Marker(_),
        Content::Compacted,
        Content::Lost,
    );
    all
}

/// Where it lies.
fn key(chunk: &Chunk) -> Bytes {
    let partition = TopicPartition {
        topic: TOPIC,
        partition: PartitionIndex(1),
    };
    Key::Index(partition, 0, 0, chunk.end()).encode()
}

#[test]
fn an_index_row_is_written_and_read_as_ever() {
    let chunk = Chunk {
        first: true,
        extents: index_extents(),
    };
    let key = key(&chunk);
    let old = golden("index-1.bin", &chunk.encode(&key));
    assert_eq!(Chunk::decode(&key, old), Ok(chunk));
}

#[test]
fn a_damaged_row_is_refused_and_never_panics() {
    let chunk = Chunk {
        first: true,
        extents: index_extents(),
    };
    let key = key(&chunk);
    let row = chunk.encode(&key);
    for at in 0..row.len() {
        let _ = Chunk::decode(&key, row.slice(..at));
    }
    let newer = Bytes::from_static(&[2, 0]);
    assert!(Chunk::decode(&key, newer).is_err(), "a newer version");
}
