//! Versions side by side. What a version can write and read is a *level*, a number that rises with each change of the
//! log, the rows or the messages that an older version could not read. A cluster writes at its *feature level*, which an
//! operator raises (`penstock metadata finalize`) once every process can read it; until then newer versions write what
//! older ones read, and going back to the old version stays possible.

use bytes::Bytes;

use crate::codec::{Decoder, Encoder};
use crate::error::Error;
use crate::keys::Key;

/// The highest level that this version writes and reads. It reads all lower ones.
pub const WRITER_LEVEL: u32 = if cfg!(feature = "level-2") { 2 } else { 1 };

/// The highest level that this process knows: [`WRITER_LEVEL`], but in tests of several versions side by side.
pub(crate) fn known() -> u32 {
    #[cfg(any(test, feature = "level-2"))]
    return AS.get();
    #[cfg(not(any(test, feature = "level-2")))]
    WRITER_LEVEL
}

#[cfg(any(test, feature = "level-2"))]
std::thread_local! {
    static AS: std::cell::Cell<u32> = const { std::cell::Cell::new(WRITER_LEVEL) };
}

/// What runs on this thread is of a version that knows levels up to this one; returns what it was before.
#[cfg(any(test, feature = "level-2"))]
pub fn behave_as(level: u32) -> u32 {
    AS.replace(level)
}

/// What runs on this test's thread is of that level, until this is dropped.
#[cfg(test)]
pub(crate) struct As(u32);

#[cfg(test)]
impl As {
    #[must_use]
    pub(crate) fn level(level: u32) -> Self {
        Self(behave_as(level))
    }
}

#[cfg(test)]
impl Drop for As {
    fn drop(&mut self) {
        behave_as(self.0);
    }
}

/// Of this row only, so that any later version can say why it refuses. With every version it comes first, and the row is
/// sealed.
const VERSION: u8 = 1;

/// The store's first row: whose it is, and who may read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) cluster_id: String,
    /// The highest level that whoever wrote this row could have written.
    pub(crate) writer: u32,
    /// Versions of a lower level cannot read the store.
    pub(crate) reader_min: u32,
}

impl Format {
    /// Of a new store, which every version from the first on can read.
    pub(crate) fn new(cluster_id: String) -> Self {
        Self {
            cluster_id,
            writer: known(),
            reader_min: 1,
        }
    }

    /// Of the same store, once its feature level is that one.
    pub(crate) fn raised(self, level: u32) -> Self {
        Self {
            writer: self.writer.max(known()),
            reader_min: self.reader_min.max(level),
            ..self
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        let mut row = Encoder::versioned(VERSION);
        row.u32(self.writer);
        row.u32(self.reader_min);
        row.text(&self.cluster_id);
        row.sealed(&Key::Format.encode())
    }

    /// # Errors
    /// `NewerFormat` when this version cannot read the store.
    pub(crate) fn decode(row: Bytes) -> Result<Self, Error> {
        // Whatever a newer one looks like, its version comes first, and its seal is this one's: else it is damaged.
        let key = Key::Format.encode();
        let unreadable = |_| Error::unreadable(&key);
        let mut row = Decoder::sealed(&key, row).map_err(unreadable)?;
        let version = row.u8().map_err(unreadable)?;
        if version != VERSION {
            return Err(newer(version.to_string()));
        }
        let (writer, reader_min) = (row.u32()?, row.u32()?);
        check(reader_min)?;
        let cluster_id = row.text()?;
        row.end()?;
        Ok(Self {
            cluster_id,
            writer,
            reader_min,
        })
    }
}

/// Whether this version can read what is written at that level.
pub(crate) fn check(level: u32) -> Result<(), Error> {
    if level <= known() {
        return Ok(());
    }
    Err(newer(format!("level {level}")))
}

/// There is something in the store that this version does not know.
pub(crate) fn newer(found: String) -> Error {
    Error::NewerFormat {
        found,
        known: format!("levels up to {}", known()),
    }
}
