//! Bytes of rows and log entries: variable-length integers, text, ids. Used by `effect`, `checkpoint`, `index` and
//! `keys`; every row begins with a version so that old stores stay readable.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use crc_fast::{CrcAlgorithm, Digest};

#[macro_use]
mod wire;
mod types;

pub(crate) use wire::Wire;

use crate::types::{ObjectKey, TopicId};

/// A row that cannot be read: the store is damaged, or written by a newer Penstock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of the metadata store cannot be read")]
pub(crate) struct Unreadable;

/// Names with values, as settings of a topic are: each takes two bytes in a row, and a hundred in memory.
pub(crate) const TEXTS_MAX: usize = 1024;
/// Of a seal.
pub(crate) const SEAL_BYTES: usize = 4;

/// Appends values to a row.
#[derive(Debug, Default)]
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    /// A row of that version.
    pub(crate) fn versioned(version: u8) -> Self {
        let mut row = Self::default();
        row.u8(version);
        row
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Little-endian base 128.
    pub(crate) fn u64(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.u64(value.into());
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.u64(value.into());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.i64(value.into());
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.i64(value.into());
    }

    /// Four bytes, big-endian: for what is as likely large as small.
    pub(crate) fn fixed_u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Zigzag, so that small negative numbers are short.
    pub(crate) fn i64(&mut self, value: i64) {
        self.u64(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    pub(crate) fn u128(&mut self, value: u128) {
        self.bytes(&value.to_be_bytes());
    }

    pub(crate) fn topic(&mut self, topic: TopicId) {
        self.u128(topic.0);
    }

    pub(crate) fn object(&mut self, object: ObjectKey) {
        self.u128(object.0);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    /// As they are; their end must be known otherwise.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Names and their values, counted.
    pub(crate) fn texts(&mut self, texts: &BTreeMap<String, String>) {
        self.u64(texts.len() as u64);
        for (name, value) in texts {
            self.text(name);
            self.text(value);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0.into()
    }

    /// The row under that key, with a checksum over the key and all of the row behind it. By it damage is seen: stores check
    /// their pages at best when they repair themselves, and a number that is read wrongly is another truth. So is a whole
    /// row in another one's place, which is why the key counts.
    pub(crate) fn sealed(mut self, key: &[u8]) -> Bytes {
        let seal = seal(key, self.as_bytes());
        self.fixed_u32(seal);
        self.into_bytes()
    }
}

/// CRC-32C of a key and the row under it. No key begins another one, so the two cannot be cut apart elsewhere.
fn seal(key: &[u8], row: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(key);
    digest.update(row);
    u32::try_from(digest.finalize()).expect("a CRC-32 has 32 bits")
}

/// A row as it would be under another key: tests move rows that nobody damaged.
#[cfg(test)]
pub(crate) fn resealed(row: Bytes, from: &[u8], to: &[u8]) -> Bytes {
    let content = Decoder::sealed(from, row).unwrap().take_rest();
    let mut moved = Encoder::default();
    moved.bytes(&content);
    moved.sealed(to)
}

/// Reads a row front to back. Nothing in it is trusted: lengths are checked before anything is reserved.
#[derive(Clone, Debug)]
pub(crate) struct Decoder(Bytes);

impl Decoder {
    pub(crate) fn new(row: Bytes) -> Self {
        Self(row)
    }

    /// What [`Encoder::sealed`] made for that key.
    pub(crate) fn sealed(key: &[u8], mut row: Bytes) -> Result<Self, Unreadable> {
        let content = row.len().checked_sub(SEAL_BYTES).ok_or(Unreadable)?;
        let found = Self(row.split_off(content)).fixed_u32()?;
        match seal(key, &row) == found {
            true => Ok(Self(row)),
            false => Err(Unreadable),
        }
    }

    /// The same of a row that must be of that version.
    pub(crate) fn versioned(key: &[u8], row: Bytes, version: u8) -> Result<Self, Unreadable> {
        let mut decoder = Self::sealed(key, row)?;
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

    pub(crate) fn u16(&mut self) -> Result<u16, Unreadable> {
        u16::try_from(self.u64()?).map_err(|_| Unreadable)
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

    /// What is not read yet.
    pub(crate) fn take_rest(&mut self) -> Bytes {
        self.0.split_to(self.0.len())
    }

    /// Names and their values.
    pub(crate) fn texts(&mut self) -> Result<BTreeMap<String, String>, Unreadable> {
        let count = self.count()?;
        if count > TEXTS_MAX {
            return Err(Unreadable);
        }
        (0..count)
            .map(|_| Ok((self.text()?, self.text()?)))
            .collect()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_come_back_as_they_went(
            small in any::<u8>(),
            wide in prop_oneof![any::<u64>(), 0..300_u64, Just(u64::MAX)],
            signed in prop_oneof![any::<i64>(), -200..200_i64, Just(i64::MIN), Just(i64::MAX)],
            id in any::<u128>(),
            text in ".*",
        ) {
            let mut row = Encoder::versioned(small);
            row.u64(wide);
            row.i64(signed);
            row.u128(id);
            row.text(&text);
            let bytes = row.sealed(b"key");
            let mut row = Decoder::versioned(b"key", bytes.clone(), small).unwrap();
            prop_assert_eq!(row.u64(), Ok(wide));
            prop_assert_eq!(row.i64(), Ok(signed));
            prop_assert_eq!(row.u128(), Ok(id));
            prop_assert_eq!(row.text(), Ok(text));
            prop_assert_eq!(row.end(), Ok(()));
            prop_assert!(Decoder::versioned(b"another key", bytes.clone(), small).is_err());
            prop_assert!(Decoder::versioned(b"key", bytes, small.wrapping_add(1)).is_err());
        }

        #[test]
        fn no_bytes_upset_it(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let bytes = Bytes::from(bytes);
            let _ = Decoder::new(bytes.clone()).u64();
            let _ = Decoder::new(bytes.clone()).i16();
            let _ = Decoder::new(bytes.clone()).text();
            let list = Decoder::new(bytes.clone()).list(Decoder::text);
            prop_assert!(list.map_or(0, |list| list.len()) <= bytes.len());
        }
    }

    #[test]
    fn a_number_longer_than_its_type_is_refused() {
        let bytes = |tail: u8| Bytes::from([[0xff_u8; 9].as_slice(), &[tail]].concat());
        assert_eq!(Decoder::new(bytes(1)).u64(), Ok(u64::MAX));
        assert_eq!(Decoder::new(bytes(2)).u64(), Err(Unreadable));
        assert_eq!(Decoder::new(bytes(0x81)).u64(), Err(Unreadable));
        assert_eq!(Decoder::new(bytes(1)).u32(), Err(Unreadable));
        assert_eq!(Decoder::new(bytes(1)).i32().map(i64::from), Err(Unreadable));
        let claims_much = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]);
        assert_eq!(Decoder::new(claims_much).list(Decoder::u8), Err(Unreadable));
    }
}
