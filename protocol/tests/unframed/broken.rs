//! Messages that are cut, bent or lie about lengths: an error or another message, never a panic, and never more memory than
//! 16 times their bytes and 64 KiB.

use std::ops::RangeInclusive;

use bytes::Bytes;
use protocol::DecodeError;
use protocol::sample::{Filler, Shape, read, write};

use crate::counting::peak_of;
use crate::{Look, Ours, Theirs, every};

/// Of a message's bytes so many are bent.
const POSITIONS: usize = 300;
const LIES: [&[u8]; 8] = [
    &[0x7f, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xfe],
    &[0x80, 0, 0, 0],
    &[0x7f, 0xff],
    &[0xff, 0xfe],
    &[0x80, 0x80, 0x80, 0x80, 0x08],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0x03],
];

/// One valid message, and what changed bytes of it are fed to.
struct Specimen {
    what: String,
    whole: Bytes,
    version: i16,
    is_flexible: bool,
    feed: fn(&[u8], i16, bool) -> Result<(), DecodeError>,
}

impl Specimen {
    fn feed(&self, bytes: &[u8]) -> Result<(), DecodeError> {
        (self.feed)(bytes, self.version, self.is_flexible)
    }
}

/// Makes one of every message and version, in one shape.
struct Specimens {
    shape: Shape,
    made: Vec<Specimen>,
}

impl Look for Specimens {
    fn at<O: Ours, T: Theirs>(
        &mut self,
        name: &'static str,
        versions: RangeInclusive<i16>,
        flexible: i16,
    ) {
        for version in versions {
            let filled = O::fill(&mut Filler::new(3, self.shape));
            let is_flexible = version >= flexible;
            self.made.push(Specimen {
                what: format!("{name} v{version} {:?}", self.shape),
                whole: write(&filled, version, is_flexible),
                version,
                is_flexible,
                feed: feed::<O>,
            });
        }
    }
}

fn specimens(shape: Shape) -> Vec<Specimen> {
    let mut specimens = Specimens {
        shape,
        made: Vec::new(),
    };
    every(&mut specimens);
    specimens.made
}

/// Reads what may be anything; if it is a message, that is written and read again.
fn feed<O: Ours>(bytes: &[u8], version: i16, is_flexible: bool) -> Result<(), DecodeError> {
    let body = Bytes::copy_from_slice(bytes);
    let (decoded, peak) = peak_of(|| read::<O>(body, version, is_flexible));
    // The last kilobyte is for the bookkeeping of `Bytes`.
    let bound = 16 * bytes.len() + 65 * 1024;
    assert!(peak <= bound, "{peak} bytes allocated for {}", bytes.len());
    let written = write(&decoded?, version, is_flexible);
    let again = read::<O>(written.clone(), version, is_flexible);
    let again = again.expect("what was written can be read");
    assert_eq!(write(&again, version, is_flexible), written);
    Ok(())
}

#[test]
fn cut_anywhere_or_one_byte_longer_is_an_error() {
    let shapes = [Shape::Full, Shape::Null, Shape::Empty];
    for specimen in shapes.into_iter().flat_map(specimens) {
        let (what, whole) = (&specimen.what, &specimen.whole);
        assert_eq!(specimen.feed(whole), Ok(()), "{what}");
        for end in 0..whole.len() {
            assert!(specimen.feed(&whole[..end]).is_err(), "{what} cut at {end}");
        }
        let longer = specimen.feed(&[&whole[..], &[0]].concat());
        assert_eq!(longer, Err(DecodeError::Malformed), "{what}");
    }
}

#[test]
fn bent_bytes_and_lying_lengths_are_survived() {
    let mut refused = 0_usize;
    let shapes = [Shape::Full, Shape::Null];
    for specimen in shapes.into_iter().flat_map(specimens) {
        let whole = &specimen.whole;
        for position in (0..whole.len()).take(POSITIONS) {
            for bend in [0x01, 0x02, 0x40, 0x80, 0xff] {
                let mut bent = whole.to_vec();
                bent[position] ^= bend;
                refused += usize::from(specimen.feed(&bent).is_err());
            }
            let (front, back) = whole.split_at(position);
            for lie in LIES {
                let back = back.get(lie.len()..).unwrap_or_default();
                let lying = [front, lie, back].concat();
                refused += usize::from(specimen.feed(&lying).is_err());
            }
        }
    }
    println!("{refused} refused");
    assert!(refused > 10_000);
}

/// Arrays of the smallest elements, as many as there are bytes: what decodes into most memory.
#[test]
fn long_arrays_of_small_elements_stay_in_bounds() {
    const FILL_BYTES: usize = 32 * 1024;
    let mut accepted = 0_usize;
    for specimen in specimens(Shape::Empty) {
        for position in 0..specimen.whole.len() {
            for (share, fill) in [(1, 1), (4, 1), (8, 0), (16, 1)] {
                let count = u32::try_from(FILL_BYTES / share).unwrap();
                let mut long = specimen.whole[..position].to_vec();
                if specimen.is_flexible {
                    compact(&mut long, count + 1);
                } else {
                    long.extend_from_slice(&count.to_be_bytes());
                }
                long.resize(long.len() + FILL_BYTES, fill);
                accepted += usize::from(specimen.feed(&long) != Err(DecodeError::Truncated));
            }
        }
    }
    println!("{accepted} read beyond the array");
    assert!(accepted > 0);
}

fn compact(bytes: &mut Vec<u8>, mut value: u32) {
    while value > 0x7f {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
}
