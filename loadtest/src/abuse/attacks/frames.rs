//! Frames that never come, or are none, and pages that nobody reads.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::messages::ProduceRequest;

use super::topics;
use crate::abuse::good::{self, Target};
use crate::abuse::manners::{Attack, asks, frame, is_refused, never_reads, trickles};
use crate::produce;

const VERSION: i16 = 9;

type Ready<'a> = BoxFuture<'a, anyhow::Result<Vec<Attack>>>;

fn begins() -> Bytes {
    frame(VERSION, &ProduceRequest::default())
}

/// A hundred that announce 1.4 MB and stop.
pub(in crate::abuse) fn announced(target: &Target) -> Ready<'_> {
    async { Ok(vec![trickles(100, &target.kafka, &begins(), 1_400_000, 0)]) }.boxed()
}

/// One that announces 100 MiB and sends 70 KiB a second of it.
pub(in crate::abuse) fn trickled(target: &Target) -> Ready<'_> {
    async {
        let piece = 7 * 1024;
        let attack = trickles(1, &target.kafka, &begins(), 100 << 20, piece);
        Ok(vec![attack])
    }
    .boxed()
}

/// Frames of which a small batch is taken, and 32 MiB for a topic that is not there are not; twelve at once, each again and
/// again.
pub(in crate::abuse) fn mostly_refused(target: &Target) -> Ready<'_> {
    async {
        topics::create(target, "few", 1, &[]).await?;
        let large = if target.short { 1 << 20 } else { 32 << 20 };
        let mut request = produce::request("few", 0, good::batch(Bytes::from_static(b"few")));
        let rest = produce::request("nowhere", 0, good::batch(Bytes::from(vec![b'x'; large])));
        request.topic_data.extend(rest.topic_data);
        Ok(vec![asks(12, &target.kafka, VERSION, &[request])])
    }
    .boxed()
}

/// Lengths of 2 GiB and below zero, an API that is none, and a body of nonsense.
pub(in crate::abuse) fn refused(target: &Target) -> Ready<'_> {
    async {
        let unknown = [
            &[0, 0, 0, 10, 0x7f, 0xff, 0, 0][..],
            &[0, 0, 0, 7, 0xff, 0xff],
        ]
        .concat();
        let mut nonsense = begins().to_vec();
        let body = nonsense.len() / 2;
        nonsense[body..].fill(0x7f);
        let all = [vec![0x7f; 8], vec![0xff; 8], unknown, nonsense];
        Ok(vec![is_refused(16, &target.kafka, &all.map(Bytes::from))])
    }
    .boxed()
}

/// Sixty-four that ask for all metrics and read none.
pub(in crate::abuse) fn pages(target: &Target) -> Ready<'_> {
    async {
        let request = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
        Ok(vec![never_reads(64, &target.http, request.into())])
    }
    .boxed()
}
