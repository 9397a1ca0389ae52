//! Against the `kafka-protocol` crate, as `differential.rs` does: the same bytes in every version.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};
use protocol::sample::{Filler, SHAPES, read, write};

use crate::{Look, Ours, Theirs, every};

const SEEDS: u64 = 20;

#[derive(Debug, Default)]
struct Schemas {
    compared: usize,
    /// What `kafka-protocol` does not have.
    unknown_there: Vec<String>,
    /// Messages whose untouched values differ.
    other_defaults: BTreeSet<&'static str>,
}

impl Look for Schemas {
    fn at<O: Ours, T: Theirs>(
        &mut self,
        name: &'static str,
        versions: RangeInclusive<i16>,
        flexible: i16,
    ) {
        for version in versions {
            let is_flexible = version >= flexible;
            let is_known = (T::VERSIONS.min..=T::VERSIONS.max).contains(&version);
            for shape in SHAPES {
                for seed in 0..SEEDS {
                    let filled = O::fill(&mut Filler::new(seed, shape));
                    let case = || format!("{name} v{version} {filled:?}");
                    let written = write(&filled, version, is_flexible);
                    let back = read::<O>(written.clone(), version, is_flexible);
                    let back = back.unwrap_or_else(|error| panic!("{error}: {}", case()));
                    let again = write(&back, version, is_flexible);
                    assert_eq!(again, written, "{}", case());
                    if is_known {
                        let theirs = through::<T>(written.clone(), version, case);
                        assert_eq!(theirs, written, "{}", case());
                    }
                    self.compared += usize::from(is_known);
                }
            }
            if !is_known {
                self.unknown_there.push(format!("{name} v{version}"));
                continue;
            }
            let mut untouched = BytesMut::new();
            T::default().encode(&mut untouched, version).unwrap();
            let untouched = untouched.freeze();
            let back = read::<O>(untouched.clone(), version, is_flexible).unwrap();
            let again = write(&back, version, is_flexible);
            assert_eq!(again, untouched, "{name} v{version}");
            if write(&O::default(), version, is_flexible) != untouched {
                self.other_defaults.insert(name);
            }
        }
    }
}

/// What theirs makes of these bytes.
fn through<T: Theirs>(mut bytes: Bytes, version: i16, case: impl Fn() -> String) -> Bytes {
    let read = T::decode(&mut bytes, version);
    let read = read.unwrap_or_else(|error| panic!("theirs refuses: {error:#}: {}", case()));
    assert!(bytes.is_empty(), "theirs leaves {bytes:?}: {}", case());
    let mut written = BytesMut::new();
    read.encode(&mut written, version).unwrap();
    written.freeze()
}

#[test]
fn both_write_the_same_bytes() {
    let mut schemas = Schemas::default();
    every(&mut schemas);
    println!("{} messages compared", schemas.compared);
    // Newer than `kafka-protocol` 0.18. `known.rs` has Kafka's own bytes of them.
    let newer = [
        "OffsetCommitRequest v10",
        "OffsetFetchRequest v10",
        "DescribeLogDirsRequest v5",
        "DescribeLogDirsResponse v5",
    ];
    assert_eq!(schemas.unknown_there, newer);
    // Nullable fields that Kafka's schemas leave without a default: there they start empty, here as null.
    let null_here = [
        "DescribeAclsRequest",
        "DescribeAclsResponse",
        "AlterPartitionReassignmentsResponse",
        "DescribeClientQuotasResponse",
        "DescribeLogDirsRequest",
        "DescribeQuorumResponse",
        "DescribeUserScramCredentialsRequest",
        "DescribeUserScramCredentialsResponse",
        "ElectLeadersRequest",
        "JoinGroupResponse",
        "ListPartitionReassignmentsResponse",
        "OffsetFetchRequest",
        "UpdateFeaturesResponse",
    ];
    assert_eq!(schemas.other_defaults, BTreeSet::from(null_here));
    assert!(schemas.compared > 20_000);
}
