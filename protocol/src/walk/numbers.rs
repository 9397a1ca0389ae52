//! Numbers as records have them, of one byte or more.

use std::io::BufRead;

use crate::record_batch::BatchError;
use crate::unpack::Unpacked;

/// Kafka's readers take no longer ones, whatever their value.
const VARINT_BYTES_MAX: u32 = 5;
const VARLONG_BYTES_MAX: u32 = 10;

#[inline]
pub(super) fn varint<R: BufRead>(from: &mut Unpacked<'_, '_, R>) -> Result<i32, BatchError> {
    let number = number(from, VARINT_BYTES_MAX)?;
    i32::try_from(number).map_err(|_| BatchError::Records("a varint is too large"))
}

#[inline]
pub(super) fn varlong<R: BufRead>(from: &mut Unpacked<'_, '_, R>) -> Result<i64, BatchError> {
    number(from, VARLONG_BYTES_MAX)
}

/// Zigzag, base 128, little-endian.
#[inline]
fn number<R: BufRead>(from: &mut Unpacked<'_, '_, R>, bytes_max: u32) -> Result<i64, BatchError> {
    // Most take a byte or two, and those lie in one piece.
    let (value, bytes) = match from.next()? {
        [one, ..] if one & 0x80 == 0 => (u64::from(*one), 1),
        [one, two, ..] if two & 0x80 == 0 => (u64::from(one & 0x7f) | u64::from(*two) << 7, 2),
        _ => return long_number(from, bytes_max),
    };
    from.take(bytes)?;
    Ok(zigzag(value))
}

fn long_number<R: BufRead>(
    from: &mut Unpacked<'_, '_, R>,
    bytes_max: u32,
) -> Result<i64, BatchError> {
    let mut value = 0_u64;
    for shift in (0..bytes_max.saturating_mul(7)).step_by(7) {
        let byte = byte(from)?;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            break;
        }
        value |= bits.checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(zigzag(value));
        }
    }
    Err(BatchError::Records("a varint runs on"))
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ (value & 1).cast_signed().wrapping_neg()
}

#[inline]
pub(super) fn byte<R: BufRead>(from: &mut Unpacked<'_, '_, R>) -> Result<u8, BatchError> {
    let byte = *from.next()?.first().ok_or(BatchError::Truncated)?;
    from.take(1)?;
    Ok(byte)
}
