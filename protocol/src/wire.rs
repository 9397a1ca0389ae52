//! Reading and writing a message's bytes. `Reader` is bounded by construction: lengths are checked against what is
//! there before anything is reserved, and everything allocated is charged to a budget.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{ApiKey, ErrorCode};

/// Tagged fields in one section; Kafka defines at most four.
const TAGGED_FIELDS_MAX: u32 = 64;
/// Bytes of decoded message per byte of frame: small elements grow into structs of Rust.
const BUDGET_FACTOR: usize = 16;
/// Budget of even the smallest frame.
const BUDGET_BASE: usize = 64 * 1024;

/// The peer sent what is not Kafka's protocol. The connection cannot be used any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The frame ends before the message does, or a length points past its end.
    #[error("the frame ends inside a field")]
    Truncated,
    /// A length is negative, or a variable-length integer runs on.
    #[error("a length or a variable-length integer is malformed")]
    Malformed,
    /// Null where the version does not allow it.
    #[error("null in a field that cannot be null")]
    Null,
    /// Text that is not UTF-8.
    #[error("a string is not UTF-8")]
    NotText,
    /// A frame, or what it would decode into, is larger than allowed.
    #[error("larger than allowed")]
    TooLarge,
    /// A request has more entries in its lists than are read of one.
    #[error("more entries than are read at once")]
    TooMany,
    /// An API or a version that is not spoken here.
    #[error("API {key} version {version} is not supported")]
    Unsupported {
        /// The API key as sent.
        key: i16,
        /// The version as sent.
        version: i16,
    },
}

/// Reads one frame's body. Cheap: strings and structs are copied out, records are slices of the frame.
#[derive(Debug)]
pub struct Reader {
    rest: Bytes,
    budget: usize,
    /// Entries of lists that may still be read.
    entries: usize,
    flexible: bool,
}

/// Read from the wire in a version that the caller has checked to be one of the message's.
pub trait Decode: Sized {
    /// Reads one value off the front of what is left.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError>;
}

/// Written to the wire; fields that the version does not carry are left out.
pub trait Encode {
    /// Appends the value.
    fn encode(&self, writer: &mut Writer, version: i16);

    /// The first error code in the value, in the order of the wire; NONE if there is none.
    fn first_error(&self) -> ErrorCode {
        ErrorCode::NONE
    }

    /// Says in a response for how many ms the client is asked to be silent. A message without that field stays as it is.
    fn set_throttle_time(&mut self, _ms: i32) {}
}

/// A request, paired with its response.
pub trait Request: Decode + Encode {
    /// Which API it is.
    const KEY: ApiKey;
    /// What answers it.
    type Response: Decode + Encode + Answers<Self>;
}

/// What may answer a request of that type: its response, with all of its fields as structs or with some encoded already.
pub trait Answers<R>: Encode {}

impl Reader {
    /// A reader over a frame's body, the length prefix excluded. What it may allocate is 16 times the frame and 64 KiB.
    #[must_use]
    pub fn new(frame: Bytes) -> Self {
        let budget = frame
            .len()
            .saturating_mul(BUDGET_FACTOR)
            .saturating_add(BUDGET_BASE);
        Self {
            rest: frame,
            budget,
            entries: usize::MAX,
            flexible: false,
        }
    }

    /// Holds what may be allocated from here on to so many times what is left, and 64 KiB: for messages whose bulk is not
    /// copied.
    pub fn hold_to(&mut self, factor: usize) {
        let budget = self.rest.len().saturating_mul(factor);
        self.budget = self.budget.min(budget.saturating_add(BUDGET_BASE));
    }

    /// Reads no more than so many entries from here on, of all lists together: each takes time, however few its bytes are.
    pub fn hold_to_entries(&mut self, entries: usize) {
        self.entries = entries;
    }

    /// Bytes not read yet.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether compact lengths and tagged fields (KIP-482) are in use.
    pub(crate) fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// The next `length` bytes, not copied.
    pub(crate) fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.rest.len() {
            return Err(DecodeError::Truncated);
        }
        Ok(self.rest.split_to(length))
    }

    /// Charges `bytes` of decoded message.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        self.budget = self
            .budget
            .checked_sub(bytes)
            .ok_or(DecodeError::TooLarge)?;
        Ok(())
    }

    /// Counts the entries of a list.
    pub(crate) fn count(&mut self, entries: usize) -> Result<(), DecodeError> {
        let left = self.entries.checked_sub(entries);
        self.entries = left.ok_or(DecodeError::TooMany)?;
        Ok(())
    }

    pub(crate) fn i8(&mut self) -> Result<i8, DecodeError> {
        self.rest.try_get_i8().map_err(|_| DecodeError::Truncated)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, DecodeError> {
        self.rest.try_get_i16().map_err(|_| DecodeError::Truncated)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.rest.try_get_u16().map_err(|_| DecodeError::Truncated)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, DecodeError> {
        self.rest.try_get_i32().map_err(|_| DecodeError::Truncated)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, DecodeError> {
        self.rest.try_get_i64().map_err(|_| DecodeError::Truncated)
    }

    pub(crate) fn f64(&mut self) -> Result<f64, DecodeError> {
        self.rest.try_get_f64().map_err(|_| DecodeError::Truncated)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, DecodeError> {
        self.rest.try_get_u128().map_err(|_| DecodeError::Truncated)
    }

    /// An unsigned variable-length integer of at most 32 bits.
    pub(crate) fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.rest.try_get_u8().map_err(|_| DecodeError::Truncated)?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0xf {
                return Err(DecodeError::Malformed);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Malformed)
    }

    /// The length of a string (16 bits in the classic form); `None` for null.
    pub(crate) fn string_length(&mut self) -> Result<Option<usize>, DecodeError> {
        if self.flexible {
            return self.compact_length();
        }
        length(i32::from(self.i16()?))
    }

    /// The length of an array, of bytes or of records (32 bits in the classic form); `None` for null.
    pub(crate) fn long_length(&mut self) -> Result<Option<usize>, DecodeError> {
        if self.flexible {
            return self.compact_length();
        }
        length(self.i32()?)
    }

    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        let Some(length) = self.unsigned_varint()?.checked_sub(1) else {
            return Ok(None);
        };
        usize::try_from(length)
            .map(Some)
            .map_err(|_| DecodeError::TooLarge)
    }

    /// Reads a section of tagged fields, if the version has one. `known` reads the fields it knows and says so; others
    /// are skipped, as KIP-482 asks.
    pub(crate) fn tagged_fields(
        &mut self,
        mut known: impl FnMut(u32, &mut Self) -> Result<bool, DecodeError>,
    ) -> Result<(), DecodeError> {
        if !self.flexible {
            return Ok(());
        }
        let count = self.unsigned_varint()?;
        if count > TAGGED_FIELDS_MAX {
            return Err(DecodeError::TooLarge);
        }
        for _ in 0..count {
            let tag = self.unsigned_varint()?;
            let size =
                usize::try_from(self.unsigned_varint()?).map_err(|_| DecodeError::TooLarge)?;
            let field = self.take(size)?;
            let mut inner = Self {
                rest: field,
                budget: self.budget,
                entries: self.entries,
                flexible: true,
            };
            if known(tag, &mut inner)? && inner.remaining() > 0 {
                return Err(DecodeError::Malformed);
            }
            self.budget = inner.budget;
            self.entries = inner.entries;
        }
        Ok(())
    }
}

fn length(value: i32) -> Result<Option<usize>, DecodeError> {
    match value {
        -1 => Ok(None),
        value => usize::try_from(value)
            .map(Some)
            .map_err(|_| DecodeError::Malformed),
    }
}

/// Collects a message's bytes: small fields in one buffer, records as slices between them.
#[derive(Debug, Default)]
pub struct Writer {
    small: BytesMut,
    /// Slices that belong before the given position of `small`, ascending.
    spliced: Vec<(usize, Vec<Bytes>)>,
    spliced_bytes: usize,
    flexible: bool,
}

impl Writer {
    pub(crate) fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    pub(crate) fn is_flexible(&self) -> bool {
        self.flexible
    }

    /// A writer for the value of a tagged field.
    pub(crate) fn for_tag(&self) -> Self {
        Self {
            flexible: self.flexible,
            ..Self::default()
        }
    }

    pub(crate) fn put(&mut self) -> &mut BytesMut {
        &mut self.small
    }

    pub(crate) fn unsigned_varint(&mut self, mut value: u32) {
        while value > 0x7f {
            self.small
                .put_u8(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
            value >>= 7;
        }
        self.small.put_u8(u8::try_from(value).unwrap_or(0));
    }

    /// `None` is null. The caller has cut what is too long for the classic form.
    pub(crate) fn string_length(&mut self, length: Option<usize>) {
        if self.flexible {
            return self.compact_length(length);
        }
        let length = length.map_or(-1, |length| i16::try_from(length).unwrap_or(i16::MAX));
        self.small.put_i16(length);
    }

    pub(crate) fn long_length(&mut self, length: Option<usize>) {
        if self.flexible {
            return self.compact_length(length);
        }
        let length = length.map_or(-1, |length| i32::try_from(length).unwrap_or(i32::MAX));
        self.small.put_i32(length);
    }

    fn compact_length(&mut self, length: Option<usize>) {
        let length = length.map_or(0, |length| {
            u32::try_from(length).unwrap_or(u32::MAX).saturating_add(1)
        });
        self.unsigned_varint(length);
    }

    /// The bytes so far, of what has no records in it; the writer is empty then.
    pub(crate) fn take(&mut self) -> Bytes {
        let taken = Bytes::copy_from_slice(&self.small);
        self.small.clear();
        taken
    }

    /// How many bytes there are so far.
    pub(crate) fn len(&self) -> usize {
        self.small.len().saturating_add(self.spliced_bytes)
    }

    /// Appends slices without copying them.
    pub(crate) fn splice(&mut self, slices: &[Bytes]) {
        if slices.is_empty() {
            return;
        }
        let bytes = slices
            .iter()
            .fold(0_usize, |sum, slice| sum.saturating_add(slice.len()));
        self.spliced_bytes = self.spliced_bytes.saturating_add(bytes);
        self.spliced.push((self.small.len(), slices.to_vec()));
    }

    pub(crate) fn tagged_fields(&mut self, fields: &[(u32, Self)]) {
        self.unsigned_varint(u32::try_from(fields.len()).unwrap_or(0));
        for (tag, value) in fields {
            self.unsigned_varint(*tag);
            self.unsigned_varint(u32::try_from(value.small.len()).unwrap_or(0));
            self.small.extend_from_slice(&value.small);
        }
    }

    /// The frame with its length prefix, for which the writer's first four bytes were left free.
    pub(crate) fn into_frame(mut self) -> Vec<Bytes> {
        let size = self
            .small
            .len()
            .saturating_add(self.spliced_bytes)
            .saturating_sub(4);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        if let Some(prefix) = self.small.first_chunk_mut::<4>() {
            *prefix = size.to_be_bytes();
        }
        let mut rest = self.small.freeze();
        let mut slices = Vec::with_capacity(self.spliced.len().saturating_mul(2).saturating_add(1));
        let mut position = 0_usize;
        for (at, spliced) in self.spliced {
            slices.push(rest.split_to(at.saturating_sub(position).min(rest.len())));
            position = at;
            slices.extend(spliced);
        }
        if !rest.is_empty() {
            slices.push(rest);
        }
        slices
    }
}
