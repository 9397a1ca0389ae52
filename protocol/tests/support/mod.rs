//! What the tests of the crate share: a walk over every API.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the verdict"
)]
#![allow(dead_code, reason = "every test binary uses its own part")]

use std::fmt::Debug;

use bytes::Bytes;
use protocol::sample::{Fill, Filler};
use protocol::{Request, RequestHeader, for_each_api, messages};

/// A message that can be made, compared and shown.
pub(crate) trait Sample: Fill + Default + Clone + PartialEq + Debug {}
impl<T: Fill + Default + Clone + PartialEq + Debug> Sample for T {}

/// Does something for one API.
pub(crate) trait Visitor {
    fn visit<R>(&mut self)
    where
        R: Request + Sample,
        R::Response: Sample;
}

macro_rules! every_api {
    (() $($(#[$doc:meta])* $name:ident($request:ident, $response:ident) = $facts:tt;)*) => {
        /// Takes the visitor to every API.
        pub(crate) fn every_api(visitor: &mut impl Visitor) {
            $(visitor.visit::<messages::$request>();)*
        }
    };
}

for_each_api!(every_api());

/// A header of the given version, its other fields filled.
pub(crate) fn header<R: Request>(version: i16, filler: &mut Filler) -> RequestHeader {
    RequestHeader {
        api_key: R::KEY.code(),
        api_version: version,
        correlation_id: Fill::fill(filler),
        client_id: Fill::fill(filler),
    }
}

/// A frame's body in one piece, after checking its length prefix.
pub(crate) fn body(frame: &[Bytes]) -> Bytes {
    let whole = Bytes::from(frame.concat());
    let prefix = u32::from_be_bytes(*whole.first_chunk().unwrap());
    assert_eq!(usize::try_from(prefix).unwrap(), whole.len() - 4);
    whole.slice(4..)
}
