//! Messages filled from a seed, for the crate's tests (feature `samples`).

use bytes::Bytes;

use crate::frame::finish;
use crate::{Decode, DecodeError, Encode, ErrorCode, Reader, Records, Uuid, Writer};

/// What a filled message looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Arrays of one to three, texts and numbers that are not the default.
    Full,
    /// Arrays and texts of no length.
    Empty,
    /// Null wherever there is a null, arrays of one.
    Null,
    /// The ends of every integer's range, texts of several hundred bytes beyond ASCII, longer arrays.
    Extreme,
    /// Any of these, field by field.
    Mixed,
}

/// All of them.
pub const SHAPES: [Shape; 5] = [
    Shape::Full,
    Shape::Empty,
    Shape::Null,
    Shape::Extreme,
    Shape::Mixed,
];

/// Yields values, the same ones for the same seed.
#[derive(Debug)]
pub struct Filler {
    state: u64,
    shape: Shape,
}

impl Filler {
    /// One that fills messages in that shape.
    #[must_use]
    pub fn new(seed: u64, shape: Shape) -> Self {
        Self {
            state: seed ^ 0x5851_f42d_4c95_7f2d,
            shape,
        }
    }

    /// The next number (splitmix64).
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `bound`, which is positive.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        usize::try_from(self.number() % bound).unwrap_or(0)
    }

    /// Random bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }

    fn byte(&mut self) -> u8 {
        let [byte, ..] = self.number().to_le_bytes();
        byte
    }

    fn shape(&mut self) -> Shape {
        match self.shape {
            Shape::Mixed => match self.below(4) {
                0 => Shape::Full,
                1 => Shape::Empty,
                2 => Shape::Null,
                _ => Shape::Extreme,
            },
            shape => shape,
        }
    }

    fn count(&mut self) -> usize {
        match self.shape() {
            Shape::Empty => 0,
            Shape::Null => 1,
            Shape::Extreme => 2 + self.below(3),
            _ => 1 + self.below(3),
        }
    }
}

/// Made of what a [`Filler`] yields, field by field; derived for messages.
pub trait Fill: Sized {
    /// The next one.
    fn fill(filler: &mut Filler) -> Self;
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Fill for $type {
            fn fill(filler: &mut Filler) -> Self {
                let bytes = filler.number().to_le_bytes();
                let number = bytes.first_chunk().map_or(0, |bytes| Self::from_le_bytes(*bytes));
                match filler.shape() {
                    Shape::Extreme if filler.byte() & 1 == 0 => Self::MIN,
                    Shape::Extreme => Self::MAX,
                    Shape::Empty => 0,
                    // Neither 0 nor -1, which are the defaults.
                    _ => number & !3 | 2,
                }
            }
        }
    )*};
}

integers!(i8, i16, u16, i32, i64);

impl Fill for f64 {
    fn fill(filler: &mut Filler) -> Self {
        Self::from(i32::fill(filler))
    }
}

impl Fill for bool {
    fn fill(filler: &mut Filler) -> Self {
        filler.shape() == Shape::Full || filler.number() & 1 == 1
    }
}

impl Fill for String {
    fn fill(filler: &mut Filler) -> Self {
        match filler.shape() {
            Shape::Empty => Self::new(),
            // Past 127, where a compact length takes a second byte.
            Shape::Extreme => "\u{e9}\u{4e2d}\u{1f980}x".repeat(20 + filler.below(30)),
            _ => format!("text-{}", filler.below(1000)),
        }
    }
}

impl Fill for Uuid {
    fn fill(filler: &mut Filler) -> Self {
        match filler.shape() {
            Shape::Empty => Self(0),
            Shape::Extreme => Self(u128::MAX),
            _ => Self(u128::from(filler.number()) << 64 | u128::from(filler.number())),
        }
    }
}

impl Fill for ErrorCode {
    fn fill(filler: &mut Filler) -> Self {
        match filler.shape() {
            Shape::Empty => Self::NONE,
            Shape::Extreme => Self::UNKNOWN_SERVER_ERROR,
            _ => match filler.below(2) {
                0 => Self::CORRUPT_MESSAGE,
                _ => Self::UNKNOWN_TOPIC_ID,
            },
        }
    }
}

impl Fill for Bytes {
    fn fill(filler: &mut Filler) -> Self {
        let length = match filler.shape() {
            Shape::Empty => 0,
            // Past 127, where a compact length takes a second byte.
            Shape::Extreme => 128 + filler.below(100),
            _ => 1 + filler.below(20),
        };
        Self::from(filler.bytes(length))
    }
}

impl Fill for Records {
    fn fill(filler: &mut Filler) -> Self {
        let slices = filler.count();
        let slice = |_| {
            let length = filler.below(200);
            Bytes::from(filler.bytes(length))
        };
        Self((0..slices).map(slice).collect())
    }
}

impl<T: Fill> Fill for Option<T> {
    fn fill(filler: &mut Filler) -> Self {
        match filler.shape() {
            Shape::Null => None,
            _ => Some(T::fill(filler)),
        }
    }
}

impl<T: Fill> Fill for Vec<T> {
    fn fill(filler: &mut Filler) -> Self {
        (0..filler.count()).map(|_| T::fill(filler)).collect()
    }
}

/// A message's bytes as they stand behind a header. There are no records in it.
#[must_use]
pub fn write(message: &impl Encode, version: i16, is_flexible: bool) -> Bytes {
    let mut writer = Writer::default();
    writer.set_flexible(is_flexible);
    message.encode(&mut writer, version);
    writer.take()
}

/// A message from such bytes.
///
/// # Errors
/// When they are not such a message, or go on behind it.
pub fn read<M: Decode>(bytes: Bytes, version: i16, is_flexible: bool) -> Result<M, DecodeError> {
    let mut reader = Reader::new(bytes);
    reader.set_flexible(is_flexible);
    let message = M::decode(&mut reader, version)?;
    finish(&reader)?;
    Ok(message)
}
