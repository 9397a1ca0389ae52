//! Frames: a 4-byte length, a header, a body. Whole requests and responses to bytes and back.

use bytes::{BufMut, Bytes};

use crate::messages::ApiVersionsResponse;
use crate::messages::api_versions::ApiVersion;
use crate::wire::{Answers, Decode, DecodeError, Reader, Request, Writer};
use crate::{ApiKey, ErrorCode, RequestHeader};

/// The largest frame spoken here, as Kafka's `socket.request.max.bytes` says by default.
pub const FRAME_BYTES_MAX: usize = 100 * 1024 * 1024;

/// Bytes in a frame's body, from its length prefix. Refuses lengths that are negative, zero or past `max`.
pub fn length(prefix: [u8; 4], max: usize) -> Result<usize, DecodeError> {
    let length = usize::try_from(i32::from_be_bytes(prefix)).map_err(|_| DecodeError::Malformed)?;
    match length {
        0 => Err(DecodeError::Malformed),
        length if length > max => Err(DecodeError::TooLarge),
        length => Ok(length),
    }
}

/// A response as a whole frame: its length prefix and small fields in one buffer, records between them uncopied.
#[must_use]
pub fn encode_response<R: Request>(
    correlation_id: i32,
    version: i16,
    response: &impl Answers<R>,
) -> Vec<Bytes> {
    let mut writer = Writer::default();
    writer.put().put_u32(0);
    writer.put().put_i32(correlation_id);
    let flexible = version >= R::KEY.first_flexible();
    writer.set_flexible(flexible);
    if flexible && R::KEY != ApiKey::ApiVersions {
        // ApiVersions keeps response header 0 for ever: the client does not know yet what the broker speaks (KIP-511).
        writer.tagged_fields(&[]);
    }
    response.encode(&mut writer, version);
    writer.into_frame()
}

/// A request as a whole frame.
#[must_use]
pub fn encode_request<R: Request>(header: &RequestHeader, request: &R) -> Vec<Bytes> {
    let mut writer = Writer::default();
    writer.put().put_u32(0);
    header.encode(&mut writer);
    request.encode(&mut writer, header.api_version);
    writer.into_frame()
}

/// A request from a frame's body. Bytes left over after the message are an error.
pub fn decode_request<R: Request>(frame: Bytes) -> Result<(RequestHeader, R), DecodeError> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader)?;
    let (key, version) = (header.api_key, header.api_version);
    if key != R::KEY.code() || !R::KEY.versions().contains(&version) {
        return Err(DecodeError::Unsupported { key, version });
    }
    let request = R::decode(&mut reader, version)?;
    finish(&reader)?;
    Ok((header, request))
}

/// The correlation id and the response from a frame's body.
pub fn decode_response<R: Request>(
    version: i16,
    frame: Bytes,
) -> Result<(i32, R::Response), DecodeError> {
    let mut reader = Reader::new(frame);
    let correlation_id = reader.i32()?;
    let flexible = version >= R::KEY.first_flexible();
    reader.set_flexible(flexible);
    if flexible && R::KEY != ApiKey::ApiVersions {
        reader.tagged_fields(|_, _| Ok(false))?;
    }
    let response = R::Response::decode(&mut reader, version)?;
    finish(&reader)?;
    Ok((correlation_id, response))
}

pub(crate) fn finish(reader: &Reader) -> Result<(), DecodeError> {
    match reader.remaining() {
        0 => Ok(()),
        _ => Err(DecodeError::Malformed),
    }
}

/// What answers an ApiVersions request of a version not spoken here: version 0, UNSUPPORTED_VERSION, and the range of
/// ApiVersions itself, so that the client can ask again (KIP-511).
#[must_use]
pub fn unsupported_version_response(correlation_id: i32) -> Vec<Bytes> {
    let versions = ApiKey::ApiVersions.versions();
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UNSUPPORTED_VERSION,
        api_keys: vec![ApiVersion {
            api_key: ApiKey::ApiVersions.code(),
            min_version: *versions.start(),
            max_version: *versions.end(),
        }],
        ..ApiVersionsResponse::default()
    };
    encode_response::<crate::messages::ApiVersionsRequest>(correlation_id, 0, &response)
}
