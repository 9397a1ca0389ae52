//! Bytes of rows and log entries: variable-length integers, text, ids. Used by `effect`, `checkpoint`, `index` and
//! `keys`; every row begins with a version so that old stores stay readable.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::types::{ObjectKey, TopicId};

/// A row that cannot be read: the store is damaged, or written by a newer Penstock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of the metadata store cannot be read")]
pub(crate) struct Unreadable;

/// Appends values to a row.
#[derive(Debug, Default)]
pub(crate) struct Encoder(BytesMut);

impl Encoder {
    /// A row of that version.
    pub(crate) fn versioned(version: u8) -> Self {
        let mut row = Self::default();
        row.u8(version);
        row
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.0.put_u8(value);
    }

    /// Little-endian base 128.
    pub(crate) fn u64(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.put_u8(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.put_u8(value.to_le_bytes()[0]);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.u64(value.into());
    }

    /// Zigzag, so that small negative numbers are short.
    pub(crate) fn i64(&mut self, value: i64) {
        self.u64(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    pub(crate) fn u128(&mut self, value: u128) {
        self.0.put_u128(value);
    }

    pub(crate) fn topic(&mut self, topic: TopicId) {
        self.u128(topic.0);
    }

    pub(crate) fn object(&mut self, object: ObjectKey) {
        self.u128(object.0);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.0.put_slice(text.as_bytes());
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0.freeze()
    }
}

/// Reads a row front to back. Nothing in it is trusted: lengths are checked before anything is reserved.
#[derive(Debug)]
pub(crate) struct Decoder(Bytes);

impl Decoder {
    pub(crate) fn new(row: Bytes) -> Self {
        Self(row)
    }

    /// A row that must be of that version.
    pub(crate) fn versioned(row: Bytes, version: u8) -> Result<Self, Unreadable> {
        let mut decoder = Self(row);
        if decoder.u8()? == version {
            Ok(decoder)
        } else {
            Err(Unreadable)
        }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Unreadable> {
        self.0.try_get_u8().map_err(|_| Unreadable)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Unreadable> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Unreadable);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Unreadable)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Unreadable> {
        u32::try_from(self.u64()?).map_err(|_| Unreadable)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Unreadable> {
        let value = self.u64()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Unreadable> {
        i32::try_from(self.i64()?).map_err(|_| Unreadable)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Unreadable> {
        i16::try_from(self.i64()?).map_err(|_| Unreadable)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, Unreadable> {
        self.0.try_get_u128().map_err(|_| Unreadable)
    }

    pub(crate) fn fixed_u16(&mut self) -> Result<u16, Unreadable> {
        self.0.try_get_u16().map_err(|_| Unreadable)
    }

    pub(crate) fn fixed_u32(&mut self) -> Result<u32, Unreadable> {
        self.0.try_get_u32().map_err(|_| Unreadable)
    }

    pub(crate) fn fixed_u64(&mut self) -> Result<u64, Unreadable> {
        self.0.try_get_u64().map_err(|_| Unreadable)
    }

    pub(crate) fn topic(&mut self) -> Result<TopicId, Unreadable> {
        self.u128().map(TopicId)
    }

    pub(crate) fn object(&mut self) -> Result<ObjectKey, Unreadable> {
        self.u128().map(ObjectKey)
    }

    /// How many things follow. No thing is smaller than a byte, which bounds what a damaged row can claim.
    pub(crate) fn count(&mut self) -> Result<usize, Unreadable> {
        let count = usize::try_from(self.u64()?).map_err(|_| Unreadable)?;
        if count <= self.0.len() {
            Ok(count)
        } else {
            Err(Unreadable)
        }
    }

    /// As many things as a count says.
    pub(crate) fn list<T>(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<T, Unreadable>,
    ) -> Result<Vec<T>, Unreadable> {
        let count = self.count()?;
        (0..count).map(|_| each(self)).collect()
    }

    pub(crate) fn text(&mut self) -> Result<String, Unreadable> {
        let length = self.count()?;
        let bytes = self.0.split_to(length);
        str::from_utf8(&bytes)
            .map(str::to_owned)
            .map_err(|_| Unreadable)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The row must be read to its end.
    pub(crate) fn end(&self) -> Result<(), Unreadable> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Unreadable)
        }
    }
}
