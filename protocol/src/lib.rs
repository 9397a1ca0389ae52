//! Kafka on the wire: sans-I/O, no async, and no input makes it panic or allocate more than a small multiple of itself.
//!
//! A frame's bytes go through a [`Reader`], which lends out slices of them and carries a budget for everything it must
//! allocate. [`messages`] has the one list of the APIs and versions spoken here ([`for_each_api`]), and one file per API,
//! whose structs derive their decoding and encoding; [`acl`] the words for what a request needs to be allowed.
//! [`record_batch`], [`records`] and [`compression`] look into record batches, which every other part carries as opaque
//! [`bytes::Bytes`].
#![deny(
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

pub mod acl;
pub mod api_key;
pub mod compression;
mod encoded;
mod error_code;
pub mod frame;
mod header;
pub mod messages;
mod primitives;
pub mod record_batch;
pub mod records;
#[cfg(feature = "samples")]
pub mod sample;
mod unpack;
pub mod walk;
mod wire;

pub use api_key::ApiKey;
pub use encoded::{Elements, Encoded};
pub use error_code::ErrorCode;
pub use frame::{
    FRAME_BYTES_MAX, decode_request, decode_response, encode_request, encode_response,
    unsupported_version_response,
};
pub use header::RequestHeader;
pub use primitives::{Records, Uuid};
pub use unpack::Allowance;
pub use wire::{Answers, Decode, DecodeError, Encode, Reader, Request, Writer};
