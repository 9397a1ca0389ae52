//! Batches that a broker is to pack as hard as it can.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::topics;
use crate::abuse::good::{self, Target};
use crate::abuse::manners::{Attack, asks};
use crate::produce;

const VERSION: i16 = 9;
const TOPIC: &str = "hardest";
/// As large as a batch may be by default, about.
const BYTES: u32 = 946_000;

/// A megabyte that takes longest to pack, and a few bytes for which as much memory is taken as for many.
pub(in crate::abuse) fn hardest(target: &Target) -> BoxFuture<'_, anyhow::Result<Vec<Attack>>> {
    async {
        let level = [
            ("compression.type", "zstd"),
            ("compression.zstd.level", "22"),
        ];
        topics::create(target, TOPIC, 1, &level).await?;
        let request = |value: Bytes| produce::request(TOPIC, 0, good::batch(value));
        let requests = [
            request(words().into()),
            request(Bytes::from(vec![b'x'; 200])),
        ];
        Ok(vec![asks(20, &target.kafka, VERSION, &requests)])
    }
    .boxed()
}

/// Words that come again, in no order.
fn words() -> Vec<u8> {
    let next = |seed: &mut u32| {
        *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *seed >> 16
    };
    let mut seed = 1;
    (0..BYTES / 8)
        .flat_map(|_| {
            let word = next(&mut seed) % 5000;
            word.wrapping_mul(2_654_435_761)
                .to_le_bytes()
                .into_iter()
                .chain(word.to_be_bytes())
        })
        .collect()
}
