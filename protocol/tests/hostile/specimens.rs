//! Valid messages, to be broken.

use bytes::Bytes;
use protocol::sample::{Fill, Filler, Shape};
use protocol::{ApiKey, DecodeError, Request, encode_request, encode_response};

use crate::bodies;
use crate::support::{Sample, Visitor, body, every_api, header};

/// One valid message as bytes, and what to feed changed bytes of it to.
pub(crate) struct Specimen {
    pub(crate) what: String,
    pub(crate) bytes: Bytes,
    /// Those in front that say which message it is, and are left alone.
    pub(crate) fixed: usize,
    pub(crate) flexible: bool,
    pub(crate) feed: fn(&[u8]) -> Result<(), DecodeError>,
}

/// Makes specimens of every API and version, in one shape, a request and a response each.
struct Specimens {
    shape: Shape,
    made: Vec<Specimen>,
}

impl Visitor for Specimens {
    fn visit<R>(&mut self)
    where
        R: Request + Sample,
        R::Response: Sample,
    {
        for (position, version) in R::KEY.versions().enumerate() {
            let mut filler = Filler::new(3, self.shape);
            let head = header::<R>(version, &mut filler);
            let flexible = version >= R::KEY.first_flexible();
            self.made.push(Specimen {
                what: format!("{} request v{version} {:?}", R::KEY.name(), self.shape),
                bytes: body(&encode_request(&head, &R::fill(&mut filler))),
                fixed: 4,
                flexible,
                feed: bodies::request,
            });
            let api = ApiKey::ALL.iter().position(|key| *key == R::KEY).unwrap();
            let mut bytes = vec![u8::try_from(api).unwrap(), u8::try_from(position).unwrap()];
            let response = R::Response::fill(&mut filler);
            bytes.extend_from_slice(&body(&encode_response::<R>(9, version, &response)));
            self.made.push(Specimen {
                what: format!("{} response v{version} {:?}", R::KEY.name(), self.shape),
                bytes: bytes.into(),
                fixed: 2,
                flexible,
                feed: bodies::response,
            });
        }
    }
}

pub(crate) fn specimens(shape: Shape) -> Vec<Specimen> {
    let mut specimens = Specimens {
        shape,
        made: Vec::new(),
    };
    every_api(&mut specimens);
    let versions: usize = ApiKey::ALL.iter().map(|key| key.versions().count()).sum();
    assert_eq!(specimens.made.len(), 2 * versions);
    specimens.made
}
