//! What questions are answered with.

use super::parts::{
    decode_bounds, decode_extents, decode_flag, decode_list, decode_option, encode_bounds,
    encode_extents, encode_option,
};
use super::{ITEMS_MAX, WATCHED_MAX};
use crate::codec::{Decoder, Encoder, Unreadable, Wire};
use crate::sequencer::reads::PARTITIONS_MAX;
use crate::types::{Bounds, Extent, Located};

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Bounds(Vec<Option<Bounds>>),
    /// Which of the partitions there are.
    Watched(Vec<bool>),
    Located(Located),
    Extent(Option<Extent>),
    /// It cannot be answered; a damaged index row is the one reason.
    Failed(String),
}

impl Reply {
    pub(super) fn encode(&self, frame: &mut Encoder) {
        match self {
            Self::Bounds(bounds) => {
                frame.u8(1);
                frame.u64(bounds.len() as u64);
                for each in bounds {
                    encode_option(each.as_ref(), frame, |each, frame| {
                        encode_bounds(*each, frame);
                    });
                }
            }
            Self::Watched(found) => {
                frame.u8(2);
                frame.u64(found.len() as u64);
                found.iter().for_each(|found| frame.u8(u8::from(*found)));
            }
            Self::Located(Located::Extents { bounds, extents }) => {
                frame.u8(3);
                encode_bounds(*bounds, frame);
                encode_extents(extents, frame);
            }
            Self::Located(Located::OutOfRange(bounds)) => {
                frame.u8(4);
                encode_bounds(*bounds, frame);
            }
            Self::Located(Located::UnknownPartition) => frame.u8(5),
            Self::Extent(None) => frame.u8(6),
            Self::Extent(Some(extent)) => {
                frame.u8(7);
                extent.put(frame);
            }
            Self::Failed(reason) => {
                frame.u8(8);
                frame.text(reason);
            }
        }
    }

    pub(super) fn decode(frame: &mut Decoder) -> Result<Self, Unreadable> {
        Ok(match frame.u8()? {
            1 => Self::Bounds(decode_many_bounds(frame)?),
            2 => Self::Watched(decode_list(frame, WATCHED_MAX, decode_flag)?),
            3 => Self::Located(Located::Extents {
                bounds: decode_bounds(frame)?,
                extents: decode_extents(frame, ITEMS_MAX)?,
            }),
            4 => Self::Located(Located::OutOfRange(decode_bounds(frame)?)),
            5 => Self::Located(Located::UnknownPartition),
            6 => Self::Extent(None),
            7 => Self::Extent(Some(Extent::take(frame)?)),
            8 => Self::Failed(frame.text()?),
            _ => return Err(Unreadable),
        })
    }
}

/// A partition that is not there takes a byte here and forty in memory, so that their number needs a bound.
fn decode_many_bounds(frame: &mut Decoder) -> Result<Vec<Option<Bounds>>, Unreadable> {
    decode_list(frame, PARTITIONS_MAX, |frame| {
        decode_option(frame, decode_bounds)
    })
}
