//! The header of a request, and what can be told of it from a frame's first bytes.

use bytes::{Buf, Bytes};

use crate::wire::{Decode, DecodeError, Encode, Reader, Writer};
use crate::{ApiKey, FRAME_BYTES_MAX};

/// Tagged fields in a header; Kafka defines none so far.
const HEADER_TAGS_MAX: u32 = 64;

/// What every request starts with. Key and version are as sent, known or not.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RequestHeader {
    /// Which API; see [`ApiKey::from_code`].
    pub api_key: i16,
    /// In which version the body is written.
    pub api_version: i16,
    /// Chosen by the client, echoed by the response.
    pub correlation_id: i32,
    /// How the client calls itself.
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// Reads the header off the front of a frame's body and leaves the reader set up for the body that follows. An
    /// unknown API, or a version past the known ones, is read as header version 1, whose fields are always there.
    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.set_flexible(false);
        let header = Self {
            api_key: reader.i16()?,
            api_version: reader.i16()?,
            correlation_id: reader.i32()?,
            // The client id keeps its classic form in flexible versions too (KIP-511).
            client_id: Decode::decode(reader, 0)?,
        };
        if is_flexible(header.api_key, header.api_version) {
            reader.set_flexible(true);
            reader.tagged_fields(|_, _| Ok(false))?;
        }
        Ok(header)
    }

    /// Judges a header by the first bytes of a frame, before the rest is read. `Ok(None)` asks for more bytes. Bytes past
    /// the frame, which belong to the next one, are not looked at.
    pub fn peek(prefix: &[u8], frame_length: usize) -> Result<Option<Self>, DecodeError> {
        let prefix = prefix.get(..frame_length).unwrap_or(prefix);
        match Self::peek_whole(prefix) {
            Err(DecodeError::Truncated) if prefix.len() < frame_length => Ok(None),
            other => other.map(Some),
        }
    }

    fn peek_whole(prefix: &[u8]) -> Result<Self, DecodeError> {
        let mut fixed = prefix;
        let truncated = |_| DecodeError::Truncated;
        let (key, version) = (
            fixed.try_get_i16().map_err(truncated)?,
            fixed.try_get_i16().map_err(truncated)?,
        );
        let correlation_id = fixed.try_get_i32().map_err(truncated)?;
        let client_id_length = fixed.try_get_i16().map_err(truncated)?;
        let (client_id, rest) = match client_id_length {
            -1 => (None, fixed),
            length => {
                let length = usize::try_from(length).map_err(|_| DecodeError::Malformed)?;
                let split = fixed.split_at_checked(length);
                let (client_id, rest) = split.ok_or(DecodeError::Truncated)?;
                (Some(client_id), rest)
            }
        };
        if is_flexible(key, version) {
            let mut tags = Reader::new(Bytes::copy_from_slice(rest.get(..5).unwrap_or(rest)));
            if tags.unsigned_varint()? > HEADER_TAGS_MAX {
                return Err(DecodeError::TooLarge);
            }
        }
        let client_id = client_id.map(str::from_utf8).transpose();
        let client_id = client_id.map_err(|_| DecodeError::NotText)?;
        Ok(Self {
            api_key: key,
            api_version: version,
            correlation_id,
            client_id: client_id.map(str::to_owned),
        })
    }

    /// Writes the header and sets the writer up for the body.
    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.set_flexible(false);
        self.api_key.encode(writer, 0);
        self.api_version.encode(writer, 0);
        self.correlation_id.encode(writer, 0);
        self.client_id.encode(writer, 0);
        if is_flexible(self.api_key, self.api_version) {
            writer.set_flexible(true);
            writer.tagged_fields(&[]);
        }
    }
}

fn is_flexible(key: i16, version: i16) -> bool {
    ApiKey::from_code(key)
        .is_some_and(|key| version >= key.first_flexible() && key.versions().contains(&version))
}

const _: () = assert!(
    FRAME_BYTES_MAX <= 0x7fff_ffff,
    "a frame's length is a positive i32"
);
