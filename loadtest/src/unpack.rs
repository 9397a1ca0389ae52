//! What it costs a broker to look into batches: CPU time for a GiB of records, unpacked, by codec. No broker is asked: it is
//! the very pass that one makes over each batch that comes.

use std::ops::ControlFlow;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use protocol::Allowance;
use protocol::compression::Codec;
use protocol::record_batch::{BatchHeader, HEADER_BYTES, crc_matches};
use protocol::records::{BatchOptions, Record, build_batch};
use protocol::walk::walk;
use serde::Serialize;

use crate::report;

/// Looked at until that much CPU time is gone.
const CPU_NANOS_MIN: u64 = 1_000_000_000;
const GIB: f64 = (1_u64 << 30) as f64;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Bytes of one record's value: half text that repeats, half that does not
    #[arg(long, default_value_t = 1024)]
    record_bytes: usize,
    /// Bytes of the records of one batch, unpacked
    #[arg(long, default_value_t = 1_000_000)]
    batch_bytes: usize,
}

#[derive(Debug, Serialize)]
struct Report {
    record_bytes: usize,
    batch_bytes: usize,
    codecs: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    codec: &'static str,
    /// Unpacked bytes for each packed one.
    ratio: f64,
    /// CPU seconds for a GiB of records, unpacked: the checksum, and the look at every record.
    checksum_cpu_s_per_gib: f64,
    records_cpu_s_per_gib: f64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let records = records(options);
    let codecs: anyhow::Result<_> = (Codec::ALL.into_iter())
        .map(|codec| row(codec, &records))
        .collect();
    report::print(&Report {
        record_bytes: options.record_bytes,
        batch_bytes: options.batch_bytes,
        codecs: codecs?,
    })
}

fn row(codec: Codec, records: &[Record]) -> anyhow::Result<Row> {
    let unpacked = batch(Codec::None, records).len() - HEADER_BYTES;
    let batch = batch(codec, records);
    let header = BatchHeader::read(&batch)?;
    let checksum = cpu_nanos_per_round(|| {
        anyhow::ensure!(crc_matches(&batch, &header), "a checksum does not match");
        Ok(())
    })?;
    let look = cpu_nanos_per_round(|| {
        let mut newest = i64::MIN;
        walk(&batch, &header, &mut Allowance::of(usize::MAX), |seen| {
            newest = newest.max(seen.timestamp(&header));
            ControlFlow::Continue(())
        })?;
        anyhow::ensure!(newest == header.max_timestamp, "a timestamp does not match");
        Ok(())
    })?;
    let per_gib = |nanos: f64| nanos / 1e9 * GIB / unpacked as f64;
    Ok(Row {
        codec: codec.name(),
        ratio: unpacked as f64 / (batch.len() - HEADER_BYTES) as f64,
        checksum_cpu_s_per_gib: per_gib(checksum),
        records_cpu_s_per_gib: per_gib(look),
    })
}

fn cpu_nanos_per_round(mut round: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    round()?;
    let began = cpu_nanos()?;
    let mut rounds = 0_u32;
    loop {
        for _ in 0..10 {
            round()?;
        }
        rounds += 10;
        let spent = cpu_nanos()? - began;
        if spent >= CPU_NANOS_MIN {
            return Ok(spent as f64 / f64::from(rounds));
        }
    }
}

/// What this thread has had of the CPU.
fn cpu_nanos() -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat");
    let stat = stat.context("CPU time is read from /proc")?;
    let nanos = stat.split(' ').next().unwrap_or_default();
    nanos.parse().context("CPU time is a number")
}

fn batch(codec: Codec, records: &[Record]) -> Bytes {
    let options = BatchOptions {
        codec,
        ..BatchOptions::default()
    };
    build_batch(records, options)
}

/// Half of each is the same text in all, the other half hexadecimal digits of a generator.
fn records(options: &Options) -> Vec<Record> {
    let count = (options.batch_bytes / options.record_bytes.max(1)).max(1);
    let text = br#"{"user":"somebody","action":"looked at a page","url":"/catalogue/shoes"}"#;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..)
        .take(count)
        .map(|offset_delta: i32| {
            let mut value: Vec<u8> = text
                .iter()
                .copied()
                .cycle()
                .take(options.record_bytes / 2)
                .collect();
            while value.len() < options.record_bytes {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                value.extend_from_slice(format!("{:08x}", state >> 32).as_bytes());
            }
            value.truncate(options.record_bytes);
            Record {
                offset_delta,
                timestamp_delta: offset_delta.into(),
                value: Some(value.into()),
                ..Record::default()
            }
        })
        .collect()
}
