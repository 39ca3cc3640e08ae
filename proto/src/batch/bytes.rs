//! The parts of a frame that are not JSON: little-endian lengths and runs of bytes.

use super::BatchError;

pub(super) fn put_u32(out: &mut Vec<u8>, value: usize) {
    out.extend_from_slice(&(value as u32).to_le_bytes());
}

pub(super) fn take_bytes<'a>(input: &mut &'a [u8], len: usize, what: &'static str) -> Result<&'a [u8], BatchError> {
    if input.len() < len {
        return Err(BatchError::Truncated(what));
    }
    let (taken, rest) = input.split_at(len);
    *input = rest;
    Ok(taken)
}

pub(super) fn take_u32(input: &mut &[u8], what: &'static str) -> Result<usize, BatchError> {
    let bytes = take_bytes(input, 4, what)?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
}
