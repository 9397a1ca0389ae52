//! Judges a request's batches where that holds up nobody else. Called by `handler` in request order, and awaited before the
//! connection's next request is read, so that they keep theirs. What is small is judged at once; anything else by threads
//! of its own, and what unpacks into much, or is to be packed anew at a high level, by one thread, behind others of that
//! kind.

use std::time::Duration;

use bytes::Bytes;
use metadata::{Timestamp, TopicPartition};
use protocol::compression::Codec;
use protocol::record_batch::BatchHeader;
use protocol::{Allowance, ErrorCode};
use tokio::time::timeout;

use super::validate::{InvalidBatch, Unfit, ValidBatch, validate};
use crate::admission::{Admission, Permit};
use crate::call::{Call, Close};
use crate::topic_config::TopicSettings;
use crate::unpacking::{self, Unpacking};

/// Judged in place: handing them to another thread would cost as much. What is not packed costs less to look at.
const AT_ONCE_BYTES: usize = 64 * 1024;
const OPEN_DISCOUNT: usize = 16;
/// What packed ones may unpack into meanwhile.
const AT_ONCE_UNPACKED_BYTES: usize = 512 * 1024;
/// As much as comes in an ordinary frame.
const SMALL_BYTES_MAX: usize = 1_400_000;
/// How much larger the batches of a request may become where topics have them packed anew.
const GROWN_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Records that are named as being at fault, of all the batches of a request.
pub(super) const FAULTS_MAX: usize = 64;
/// What unpacks into much has so long, its time in line included.
const DENSE_TIME_MAX: Duration = Duration::from_secs(30);

/// A batch for a partition that exists.
#[derive(Debug)]
pub(super) struct Unjudged {
    pub(super) at: TopicPartition,
    /// What the request carries for it.
    pub(super) bytes: Bytes,
    pub(super) topic: TopicSettings,
}

/// What became of it.
pub(super) type Judged = (TopicPartition, Result<ValidBatch, InvalidBatch>);

/// The batches of a request, some of them judged.
#[derive(Debug)]
struct Judging {
    version: i16,
    now: Timestamp,
    /// The next one last.
    left: Vec<Unjudged>,
    judged: Vec<Judged>,
    grown: usize,
    /// Records that may still be named as being at fault.
    faults_left: usize,
}

/// Judges for all connections.
#[derive(Debug)]
pub(super) struct Judges {
    unpacking: Unpacking,
    admission: Admission,
}

impl Judges {
    pub(super) fn new(admission: Admission) -> Self {
        Self {
            unpacking: Unpacking::new(),
            admission,
        }
    }

    /// A judgement of each, in their order.
    ///
    /// # Errors
    /// Where judging would keep others waiting for too long. Nothing of the request is stored then, and what follows it
    /// must not be either, so the connection ends: clients send all of it again.
    pub(super) async fn judge(
        &self,
        call: &Call,
        batches: Vec<Unjudged>,
    ) -> Result<Vec<Judged>, Close> {
        let origin = call.arrival.origin();
        let (packed, open) = bytes_of(&batches);
        let bytes = packed + open;
        let mut judging = Judging::new(call, batches);
        if packed + open / OPEN_DISCOUNT <= AT_ONCE_BYTES {
            judging.go_on(&mut unpacking::exactly(
                open + AT_ONCE_UNPACKED_BYTES,
                &|| true,
            ));
        }
        let workers = match bytes <= SMALL_BYTES_MAX {
            true => &self.unpacking.usual,
            false => &self.unpacking.large,
        };
        if !judging.is_done() {
            let work = workers.compute(origin, move |wanted| {
                let wanted = || wanted.is_wanted();
                judging.go_on(&mut unpacking::usual(bytes, &wanted));
                judging
            });
            judging = work.await;
        }
        if !judging.is_done() {
            call.hold(self.place_among_dense(call, bytes)?);
            let work = self.unpacking.dense.compute(origin, move |wanted| {
                judging.finish(bytes, &|| wanted.is_wanted());
                judging
            });
            let judged = timeout(DENSE_TIME_MAX, work).await;
            judging = judged.map_err(|_| too_dense("what a request unpacks into took too long"))?;
        }
        Ok(judging.judged)
    }

    /// Others need the permit that the request came with, so it does not wait in line with it.
    fn place_among_dense(&self, call: &Call, bytes: usize) -> Result<Permit, Close> {
        let place = self.admission.dense(call.arrival.origin(), bytes);
        place.ok_or_else(|| too_dense("too many requests unpack into much"))
    }
}

fn too_dense(why: &str) -> Close {
    Close::Refused(why.to_owned())
}

impl Judging {
    fn new(call: &Call, mut left: Vec<Unjudged>) -> Self {
        left.reverse();
        Self {
            version: call.version,
            now: call.context.clock.now(),
            judged: Vec::with_capacity(left.len()),
            left,
            grown: 0,
            faults_left: FAULTS_MAX,
        }
    }

    fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// Judges one after another until one would take more than is left of the allowance, or is to be packed anew slowly.
    fn go_on(&mut self, allowance: &mut Allowance<'_>) {
        while let Some(batch) = self.left.last()
            && !batch.topic.packs_slowly()
        {
            match self.judge(batch, allowance) {
                Ok(batch) => self.settle(Ok(batch)),
                Err(Unfit::Invalid(invalid)) => self.settle(Err(invalid)),
                Err(Unfit::TooMuch | Unfit::Unwanted) => return,
            }
        }
    }

    /// Judges the rest: what would take more is refused. What unpacks into little for its size is none of that, whatever
    /// came before it in the request.
    fn finish(&mut self, bytes: usize, wanted: &dyn Fn() -> bool) {
        let mut allowance = unpacking::dense(bytes, wanted);
        while let Some(batch) = self.left.last() {
            allowance.bytes = allowance
                .bytes
                .max(unpacking::usual_bytes(batch.bytes.len()));
            match self.judge(batch, &mut allowance) {
                Ok(batch) => self.settle(Ok(batch)),
                Err(Unfit::Invalid(invalid)) => self.settle(Err(invalid)),
                Err(Unfit::TooMuch) => {
                    let message = "the record batch unpacks into more than is taken";
                    self.settle(Err(InvalidBatch::new(
                        ErrorCode::MESSAGE_TOO_LARGE,
                        message,
                    )));
                }
                Err(Unfit::Unwanted) => return,
            }
        }
    }

    fn judge(&self, batch: &Unjudged, allowance: &mut Allowance<'_>) -> Result<ValidBatch, Unfit> {
        let given = &batch.bytes;
        let valid = validate(given, self.version, &batch.topic, self.now, allowance)?;
        if self.grown + valid.bytes.len().saturating_sub(given.len()) > GROWN_BYTES_MAX {
            let message = "packed anew, the request's batches are more than is taken";
            return Err(InvalidBatch::new(ErrorCode::MESSAGE_TOO_LARGE, message).into());
        }
        Ok(valid)
    }

    fn settle(&mut self, mut judged: Result<ValidBatch, InvalidBatch>) {
        let Some(batch) = self.left.pop() else {
            return;
        };
        match &mut judged {
            Ok(valid) => self.grown += valid.bytes.len().saturating_sub(batch.bytes.len()),
            Err(invalid) => {
                invalid.records.truncate(self.faults_left);
                invalid.records.shrink_to_fit();
                self.faults_left -= invalid.records.len();
            }
        }
        self.judged.push((batch.at, judged));
    }
}

/// Bytes of batches that are packed, and of those that are not.
fn bytes_of(batches: &[Unjudged]) -> (usize, usize) {
    let (mut packed, mut open) = (0, 0);
    for bytes in batches.iter().map(|batch| &batch.bytes) {
        let header = BatchHeader::read(bytes);
        match header.is_ok_and(|header| header.codec() != Some(Codec::None)) {
            true => packed += bytes.len(),
            false => open += bytes.len(),
        }
    }
    (packed, open)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;

    use metadata::{Derived, Lost, PartitionIndex, Topic, TopicId};
    use protocol::ApiKey;
    use protocol::records::{BatchOptions, Record, build_batch};

    use super::*;
    use crate::context::AutoCreate;
    use crate::discovery::fixture::{call, with_context};
    use crate::origin::Origin;

    /// A batch of one record whose value has so many bytes.
    fn batch(codec: Codec, bytes: usize) -> Bytes {
        let record = Record {
            value: Some(vec![0; bytes].into()),
            ..Record::default()
        };
        let options = BatchOptions {
            codec,
            ..BatchOptions::default()
        };
        build_batch(&[record], options)
    }

    fn unjudged(bytes: Bytes, configs: &[(&str, &str)]) -> Unjudged {
        let configs = configs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let topic = Topic {
            id: TopicId(1),
            name: "t".to_owned(),
            partitions: 1,
            replication_factor: 1,
            configs: configs.collect::<BTreeMap<_, _>>(),
            created: Timestamp(0),
            lost: Lost::default(),
            derived: Derived::default(),
        };
        Unjudged {
            at: TopicPartition {
                topic: topic.id,
                partition: PartitionIndex(0),
            },
            bytes,
            topic: *TopicSettings::of(&topic),
        }
    }

    fn codes(judged: &[Judged]) -> Vec<ErrorCode> {
        let code =
            |(_, judged): &Judged| judged.as_ref().map_or_else(|e| e.code, |_| ErrorCode::NONE);
        judged.iter().map(code).collect()
    }

    #[tokio::test]
    async fn judgements_come_in_the_order_of_batches_however_much_each_takes() {
        with_context(AutoCreate::Disabled, async |context| {
            let judges = Judges::new(Admission::new(1 << 20, 1 << 20));
            let (small, usual, much) = (100, 5 << 20, 60 << 20);
            let too_much = 129 << 20;
            let (fits, large) = (ErrorCode::NONE, ErrorCode::MESSAGE_TOO_LARGE);
            // 128 MiB and little more for all of a request that is small itself, but none of it from what is small, too.
            for (bytes, expected) in [
                (vec![small], vec![fits]),
                (vec![small, usual, small], vec![fits; 3]),
                (vec![small, much, usual, small], vec![fits; 4]),
                (
                    vec![too_much, small, much, too_much, small],
                    vec![large, fits, large, large, fits],
                ),
                (vec![much, much, much, small], vec![fits, fits, large, fits]),
            ] {
                let batches = bytes
                    .iter()
                    .map(|bytes| unjudged(batch(Codec::Zstd, *bytes), &[]));
                let call = call(context, ApiKey::Produce, 9).await;
                let judged = judges.judge(&call, batches.collect()).await.unwrap();
                assert_eq!(codes(&judged), expected, "{bytes:?}");
                for ((_, judged), bytes) in judged.iter().zip(&bytes) {
                    if let Ok(valid) = judged {
                        assert_eq!(valid.bytes, batch(Codec::Zstd, *bytes));
                    }
                }
            }
        })
        .await;
    }

    /// It is held whole then, beside what it is packed into.
    #[tokio::test]
    async fn what_is_packed_anew_may_unpack_into_half_as_much() {
        with_context(AutoCreate::Disabled, async |context| {
            let judges = Judges::new(Admission::new(1 << 20, 1 << 20));
            let anew = &[("compression.type", "gzip")][..];
            let (fits, large) = (ErrorCode::NONE, ErrorCode::MESSAGE_TOO_LARGE);
            for (bytes, configs, expected) in [
                (60 << 20, anew, fits),
                (65 << 20, anew, large),
                (65 << 20, &[], fits),
            ] {
                let batches = vec![unjudged(batch(Codec::Zstd, bytes), configs)];
                let call = call(context, ApiKey::Produce, 9).await;
                let judged = judges.judge(&call, batches).await.unwrap();
                assert_eq!(codes(&judged), [expected], "{bytes}");
            }
        })
        .await;
    }

    #[tokio::test]
    async fn where_too_many_unpack_into_much_the_rest_goes_on() {
        with_context(AutoCreate::Disabled, async |context| {
            let admission = Admission::new(1 << 20, 1 << 20);
            let judges = Judges::new(admission.clone());
            let places = || {
                let origins = (0..20).map(|last| Origin::of(Some([10, 0, 0, last].into())));
                let places = origins.filter_map(|origin| admission.dense(origin, usize::MAX));
                places.collect::<Vec<_>>()
            };
            let crowd = places();
            assert_eq!(crowd.len(), 2, "each takes half");
            // A batch of some kilobytes is none of the usual kind where it unpacks into megabytes.
            for (bytes, fits) in [
                (100, true),
                (1_000_000, true),
                (3 << 20, false),
                (60 << 20, false),
            ] {
                let call = call(context, ApiKey::Produce, 9).await;
                let batches = vec![unjudged(batch(Codec::Lz4, bytes), &[])];
                assert_eq!(judges.judge(&call, batches).await.is_ok(), fits, "{bytes}");
            }
            drop(crowd);
            let call = call(context, ApiKey::Produce, 9).await;
            let batches = vec![unjudged(batch(Codec::Zstd, 60 << 20), &[])];
            assert!(judges.judge(&call, batches).await.is_ok());
            assert_eq!(places().len(), 1, "held until the call is over");
            drop(call);
            assert_eq!(places().len(), 2);
        })
        .await;
    }

    #[tokio::test]
    async fn batches_that_topics_have_packed_anew_do_not_grow_without_end() {
        with_context(AutoCreate::Disabled, async |context| {
            let judges = Judges::new(Admission::new(1 << 20, 1 << 20));
            let configs = [
                ("compression.type", "uncompressed"),
                ("max.message.bytes", "100000000"),
            ];
            let batches = (0..3).map(|_| unjudged(batch(Codec::Zstd, 6 << 20), &configs));
            let call = call(context, ApiKey::Produce, 9).await;
            let judged = judges.judge(&call, batches.collect()).await.unwrap();
            let (fits, large) = (ErrorCode::NONE, ErrorCode::MESSAGE_TOO_LARGE);
            assert_eq!(codes(&judged), [fits, fits, large]);
        })
        .await;
    }

    #[test]
    fn no_setting_lets_a_batch_outgrow_what_can_be_read_back() {
        let topic = unjudged(Bytes::new(), &[("max.message.bytes", "2147483647")]).topic;
        let check = |bytes| super::super::validate::check_size(bytes, &topic).map_err(|no| no.code);
        let largest = crate::storage::segment::RAW_BYTES_MAX as usize;
        assert_eq!(check(largest), Ok(()));
        assert_eq!(check(largest + 1), Err(ErrorCode::MESSAGE_TOO_LARGE));
    }

    #[tokio::test]
    async fn what_is_packed_slowly_waits_for_its_like_and_nobody_for_it() {
        with_context(AutoCreate::Disabled, async |context| {
            let admission = Admission::new(1 << 20, 1 << 20);
            let judges = Judges::new(admission.clone());
            let origins = (0..20).map(|last| Origin::of(Some([10, 0, 0, last].into())));
            let places = origins.filter_map(|origin| admission.dense(origin, usize::MAX));
            let crowd: Vec<_> = places.collect();
            for (codec, level, fits) in [
                ("zstd", "3", true),
                ("gzip", "-1", true),
                ("zstd", "22", false),
                ("gzip", "9", false),
            ] {
                let configs = [
                    ("compression.type", codec),
                    ("compression.zstd.level", level),
                    ("compression.gzip.level", level),
                ];
                let call = call(context, ApiKey::Produce, 9).await;
                let batches = vec![unjudged(batch(Codec::None, 100), &configs)];
                let judged = judges.judge(&call, batches).await;
                assert_eq!(judged.is_ok(), fits, "{codec} {level}");
            }
            drop(crowd);
        })
        .await;
    }

    /// Its client may be gone before the slower half of it has begun.
    #[test]
    fn packing_anew_ends_where_nobody_waits_for_it() {
        let topic = unjudged(Bytes::new(), &[("compression.type", "gzip")]).topic;
        let given = batch(Codec::Zstd, 4 << 20);
        let judge = |looks_max: usize| {
            let looks = Cell::new(0);
            let wanted = || {
                looks.set(looks.get() + 1);
                looks.get() <= looks_max
            };
            let mut allowance = unpacking::exactly(8 << 20, &wanted);
            let judged = validate(&given, 9, &topic, Timestamp(0), &mut allowance);
            (judged.map(drop), looks.get())
        };
        assert_eq!(judge(usize::MAX).0, Ok(()));
        // As many as there are before it is unpacked, and some.
        let waits = 70;
        let (judged, looks) = judge(waits);
        assert_eq!(judged, Err(Unfit::Unwanted));
        assert!(looks <= waits + 2, "{looks} looks");
    }

    #[test]
    fn a_batch_that_is_little_of_its_frame_does_not_hold_it() {
        let topic = unjudged(Bytes::new(), &[]).topic;
        let plain = batch(Codec::None, 100);
        let frame = Bytes::from([&plain[..], &[0; 200]].concat());
        let given = frame.slice(..plain.len());
        let mut allowance = Allowance::of(1000);
        let mut valid = validate(&given, 9, &topic, Timestamp(0), &mut allowance).unwrap();
        drop(given);
        valid.hold_on_to_none_of(valid.bytes.len() * 2);
        assert!(!frame.is_unique());
        valid.hold_on_to_none_of(frame.len());
        assert!(frame.is_unique());
        assert_eq!(valid.bytes, plain);
    }
}
