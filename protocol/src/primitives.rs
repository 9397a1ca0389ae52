//! How each primitive type looks on the wire: numbers, text, ids, bytes, records, arrays and their nullable forms.

use bytes::{BufMut, Bytes};

use crate::ErrorCode;
use crate::wire::{Decode, DecodeError, Encode, Reader, Writer};

/// The longest text before KIP-482, whose length is 16 bits wide. Longer ones are cut.
const CLASSIC_TEXT_BYTES_MAX: usize = 0x7fff;

/// A topic's id on the wire (KIP-516); zero says "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Uuid(pub u128);

/// Record batches as a list of slices that follow one another. Decoding yields one slice of the frame, not a copy.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Records(pub Vec<Bytes>);

impl Records {
    /// Bytes in all slices.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0
            .iter()
            .fold(0, |sum, slice| sum.saturating_add(slice.len()))
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self(vec![bytes])
    }
}

macro_rules! numbers {
    ($($type:ty: $read:ident, $write:ident;)*) => {$(
        impl Decode for $type {
            fn decode(reader: &mut Reader, _: i16) -> Result<Self, DecodeError> {
                reader.$read()
            }
        }
        impl Encode for $type {
            fn encode(&self, writer: &mut Writer, _: i16) {
                writer.put().$write(*self);
            }
        }
    )*};
}

numbers! {
    i8: i8, put_i8;
    i16: i16, put_i16;
    u16: u16, put_u16;
    i32: i32, put_i32;
    i64: i64, put_i64;
    f64: f64, put_f64;
}

impl Decode for bool {
    fn decode(reader: &mut Reader, _: i16) -> Result<Self, DecodeError> {
        Ok(reader.i8()? != 0)
    }
}

impl Encode for bool {
    fn encode(&self, writer: &mut Writer, _: i16) {
        writer.put().put_u8(u8::from(*self));
    }
}

impl Decode for Uuid {
    fn decode(reader: &mut Reader, _: i16) -> Result<Self, DecodeError> {
        Ok(Self(reader.u128()?))
    }
}

impl Encode for Uuid {
    fn encode(&self, writer: &mut Writer, _: i16) {
        writer.put().put_u128(self.0);
    }
}

impl Decode for Option<String> {
    fn decode(reader: &mut Reader, _: i16) -> Result<Self, DecodeError> {
        let Some(length) = reader.string_length()? else {
            return Ok(None);
        };
        let bytes = reader.take(length)?;
        reader.charge(length)?;
        let text = str::from_utf8(&bytes).map_err(|_| DecodeError::NotText)?;
        Ok(Some(text.to_owned()))
    }
}

impl Encode for Option<String> {
    fn encode(&self, writer: &mut Writer, version: i16) {
        match self {
            Some(text) => text.encode(writer, version),
            None => writer.string_length(None),
        }
    }
}

impl Decode for String {
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        Option::<Self>::decode(reader, version)?.ok_or(DecodeError::Null)
    }
}

impl Encode for String {
    fn encode(&self, writer: &mut Writer, _: i16) {
        // Only a sentence of ours can be longer, since names come in the form they go out in.
        let text = match writer.is_flexible() {
            true => self.as_str(),
            false => self
                .get(..self.floor_char_boundary(CLASSIC_TEXT_BYTES_MAX))
                .unwrap_or_default(),
        };
        writer.string_length(Some(text.len()));
        writer.put().put_slice(text.as_bytes());
    }
}

/// A slice of what is read, not a copy: who keeps it keeps all of that.
impl Decode for Option<Bytes> {
    fn decode(reader: &mut Reader, _: i16) -> Result<Self, DecodeError> {
        match reader.long_length()? {
            Some(length) => reader.take(length).map(Some),
            None => Ok(None),
        }
    }
}

impl Encode for Option<Bytes> {
    fn encode(&self, writer: &mut Writer, _: i16) {
        writer.long_length(self.as_ref().map(Bytes::len));
        writer.put().put_slice(self.as_deref().unwrap_or_default());
    }
}

impl Decode for Bytes {
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        Option::<Self>::decode(reader, version)?.ok_or(DecodeError::Null)
    }
}

impl Encode for Bytes {
    fn encode(&self, writer: &mut Writer, _: i16) {
        writer.long_length(Some(self.len()));
        writer.put().put_slice(self);
    }
}

impl Decode for Option<Records> {
    fn decode(reader: &mut Reader, _: i16) -> Result<Self, DecodeError> {
        let Some(length) = reader.long_length()? else {
            return Ok(None);
        };
        let slice = reader.take(length)?;
        reader.charge(size_of::<Bytes>())?;
        Ok(Some(Records::from(slice)))
    }
}

impl Encode for Option<Records> {
    fn encode(&self, writer: &mut Writer, _: i16) {
        let Some(records) = self else {
            return writer.long_length(None);
        };
        writer.long_length(Some(records.len()));
        writer.splice(&records.0);
    }
}

impl<T: Decode> Decode for Option<Vec<T>> {
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        let Some(count) = reader.long_length()? else {
            return Ok(None);
        };
        // No element is smaller than a byte, so this refuses an absurd count before anything is read or reserved.
        if count > reader.remaining() {
            return Err(DecodeError::Truncated);
        }
        reader.count(count)?;
        // Charged in full and reserved exactly: a vector that grows by doubling takes up to three times its elements.
        reader.charge(count.saturating_mul(size_of::<T>()))?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::decode(reader, version)?);
        }
        Ok(Some(elements))
    }
}

impl<T: Encode> Encode for Option<Vec<T>> {
    fn encode(&self, writer: &mut Writer, version: i16) {
        match self {
            Some(elements) => elements.encode(writer, version),
            None => writer.long_length(None),
        }
    }

    fn first_error(&self) -> ErrorCode {
        self.as_ref().map_or(ErrorCode::NONE, Encode::first_error)
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        Option::<Self>::decode(reader, version)?.ok_or(DecodeError::Null)
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, writer: &mut Writer, version: i16) {
        writer.long_length(Some(self.len()));
        for element in self {
            element.encode(writer, version);
        }
    }

    fn first_error(&self) -> ErrorCode {
        let mut errors = self.iter().map(Encode::first_error);
        let first = errors.find(|error| *error != ErrorCode::NONE);
        first.unwrap_or(ErrorCode::NONE)
    }
}

/// A struct that a field may have null for. A byte before it says whether it is there.
pub(crate) trait Nullable {}

impl<T: Decode + Nullable> Decode for Option<T> {
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        // Kafka writes -1 and 1, and reads all that is negative as null.
        match reader.i8()? {
            ..0 => Ok(None),
            _ => T::decode(reader, version).map(Some),
        }
    }
}

impl<T: Encode + Nullable> Encode for Option<T> {
    fn encode(&self, writer: &mut Writer, version: i16) {
        let Some(there) = self else {
            return writer.put().put_i8(-1);
        };
        writer.put().put_i8(1);
        there.encode(writer, version);
    }

    fn first_error(&self) -> ErrorCode {
        self.as_ref().map_or(ErrorCode::NONE, Encode::first_error)
    }
}
