//! Arrays that are encoded before the message they are in: while an answer of very many elements is made, there is one of
//! them and the bytes of those before it, and the bytes can be part of many answers.

use bytes::Bytes;

use crate::ErrorCode;
use crate::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, MetadataRequest, MetadataResponse,
};
use crate::wire::{Answers, Encode, Request, Writer};

/// Elements are put together until they have so many bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// An array of a response in one version, as bytes. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    version: i16,
    count: usize,
    pieces: Vec<Bytes>,
    first_error: ErrorCode,
}

/// The elements of such an array, which are encoded one by one. They have no records in them.
#[derive(Debug)]
pub struct Elements {
    writer: Writer,
    encoded: Encoded,
}

impl Elements {
    /// None yet, for a response to `R` in that version.
    #[must_use]
    pub fn new<R: Request>(version: i16) -> Self {
        let mut writer = Writer::default();
        writer.set_flexible(version >= R::KEY.first_flexible());
        let encoded = Encoded {
            version,
            ..Encoded::default()
        };
        Self { writer, encoded }
    }

    /// How many bytes an element takes in a response to `R` in that version.
    #[must_use]
    pub fn size_of<R: Request>(version: i16, element: &impl Encode) -> usize {
        let mut alone = Self::new::<R>(version);
        element.encode(&mut alone.writer, version);
        alone.writer.len()
    }

    /// One more.
    pub fn push(&mut self, element: &impl Encode) {
        if self.encoded.first_error == ErrorCode::NONE {
            self.encoded.first_error = element.first_error();
        }
        element.encode(&mut self.writer, self.encoded.version);
        self.encoded.count = self.encoded.count.saturating_add(1);
        if self.writer.len() >= PIECE_BYTES {
            self.encoded.pieces.push(self.writer.take());
        }
    }

    /// All of them.
    #[must_use]
    pub fn finish(mut self) -> Encoded {
        self.encoded.pieces.push(self.writer.take());
        self.encoded
    }
}

impl Encoded {
    /// How many bytes it has.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let pieces = self.pieces.iter();
        pieces.fold(0, |sum, piece| sum.saturating_add(piece.len()))
    }
}

impl Encode for Encoded {
    fn encode(&self, writer: &mut Writer, version: i16) {
        debug_assert_eq!(self.version, version, "encoded in another version");
        writer.long_length(Some(self.count));
        writer.splice(&self.pieces);
    }

    fn first_error(&self) -> ErrorCode {
        self.first_error
    }
}

impl Answers<MetadataRequest> for MetadataResponse<Encoded, Encoded> {}
impl Answers<DescribeConfigsRequest> for DescribeConfigsResponse<Encoded> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::metadata::{MetadataResponseBroker, MetadataResponseTopic};
    use crate::{ApiKey, encode_response};

    fn elements<T: Encode>(version: i16, elements: &[T]) -> Encoded {
        let mut encoded = Elements::new::<MetadataRequest>(version);
        for element in elements {
            encoded.push(element);
        }
        encoded.finish()
    }

    #[test]
    fn encoded_before_or_with_its_message_an_array_is_the_same_bytes() {
        let broker = |node_id| MetadataResponseBroker {
            node_id,
            host: "h".repeat(200),
            ..Default::default()
        };
        let topic = |number: u16| MetadataResponseTopic {
            name: Some(format!("{number}")),
            error_code: match number {
                2 => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                _ => ErrorCode::NONE,
            },
            ..Default::default()
        };
        for version in ApiKey::Metadata.versions() {
            for (brokers, topics) in [(0, 0), (1, 3), (1000, 4000)] {
                let whole = MetadataResponse {
                    brokers: (0..brokers).map(broker).collect::<Vec<_>>(),
                    topics: (0..topics).map(topic).collect::<Vec<_>>(),
                    throttle_time_ms: 7,
                    cluster_id: Some("c".to_owned()),
                    ..Default::default()
                };
                let before = MetadataResponse {
                    brokers: elements(version, &whole.brokers),
                    topics: elements(version, &whole.topics),
                    throttle_time_ms: 7,
                    cluster_id: Some("c".to_owned()),
                    ..Default::default()
                };
                assert_eq!(before.first_error(), whole.first_error());
                let before = encode_response::<MetadataRequest>(9, version, &before).concat();
                let whole = encode_response::<MetadataRequest>(9, version, &whole).concat();
                assert_eq!(before, whole, "{version}");
            }
        }
    }
}
