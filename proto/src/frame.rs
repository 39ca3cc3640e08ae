//! A frame: `len u32 | crc32 u32 | payload`, little endian; the checksum covers the length and the payload.
//!
//! The WAL and every file that is appended to are sequences of frames. A crash can tear the last one: that is
//! [`Next::Torn`], and it is told from a frame whose bytes were changed, [`Next::Corrupt`], as far as can be.

use crc32fast::Hasher;

/// Bytes before the payload of a frame.
pub const FRAME_HEADER_BYTES: usize = 8;

/// Largest payload: a frame that claims more is corrupt, and nothing is allocated for it.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = 80 << 20;

fn checksum(payload_parts: &[&[u8]], len: u32) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&len.to_le_bytes());
    for part in payload_parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// A payload that no reader would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {bytes} bytes is over the limit of {FRAME_PAYLOAD_BYTES_MAX} bytes")]
pub struct FrameTooLarge {
    pub bytes: usize,
}

/// Appends one frame whose payload is the concatenation of `parts`; nothing if it is over the limit.
pub fn put(out: &mut Vec<u8>, parts: &[&[u8]]) -> Result<(), FrameTooLarge> {
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    if bytes > FRAME_PAYLOAD_BYTES_MAX {
        return Err(FrameTooLarge { bytes });
    }
    let len = bytes as u32;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&checksum(parts, len).to_le_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
    Ok(())
}

/// What stands at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    Frame(&'a [u8]),
    /// No bytes are left.
    End,
    /// The input ends within a frame: what a crash during an append leaves.
    Torn,
    /// A whole frame is there and its checksum does not match, or its length is beyond the cap.
    Corrupt,
}

/// Takes one frame off the front of `input`; leaves `input` untouched unless it is a [`Next::Frame`].
pub fn take<'a>(input: &mut &'a [u8]) -> Next<'a> {
    if input.is_empty() {
        return Next::End;
    }
    if input.len() < FRAME_HEADER_BYTES {
        return Next::Torn;
    }
    let len = u32::from_le_bytes([input[0], input[1], input[2], input[3]]);
    let crc = u32::from_le_bytes([input[4], input[5], input[6], input[7]]);
    if len as usize > FRAME_PAYLOAD_BYTES_MAX {
        return Next::Corrupt;
    }
    let rest = &input[FRAME_HEADER_BYTES..];
    if rest.len() < len as usize {
        return Next::Torn;
    }
    let (payload, rest) = rest.split_at(len as usize);
    if checksum(&[payload], len) != crc {
        return Next::Corrupt;
    }
    *input = rest;
    Next::Frame(payload)
}

/// Why a compressed body was refused.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    #[error("decompressed size is over the limit of {max} bytes")]
    TooLarge { max: usize },
    #[error("not a zstd stream: {0}")]
    Zstd(#[from] std::io::Error),
}

/// Decompresses zstd, never writing more than `max` bytes: a bomb costs its cap, not its size.
pub fn decompress(compressed: &[u8], max: usize) -> Result<Vec<u8>, DecompressError> {
    // Most writers say how much it is: then it is written where it stays, and not copied out of a window.
    if let Ok(Some(said)) = zstd::zstd_safe::get_frame_content_size(compressed)
        && let Some(size) = usize::try_from(said).ok().filter(|size| *size <= max)
        && let Ok(whole) = zstd::bulk::decompress(compressed, size)
    {
        return Ok(whole);
    }
    decompress_stream(compressed, max)
}

/// The same for frames that do not say their size, for several of them, and to tell what is wrong with others.
fn decompress_stream(compressed: &[u8], max: usize) -> Result<Vec<u8>, DecompressError> {
    use std::io::Read;
    let mut decoder = zstd::Decoder::with_buffer(compressed)?;
    // The window is what the decoder itself allocates: 27 is the largest that `zstd -1..-19` writes.
    decoder.window_log_max(27)?;
    let mut out = Vec::with_capacity(max.min(compressed.len().saturating_mul(4)));
    decoder.take(max as u64 + 1).read_to_end(&mut out)?;
    if out.len() > max {
        return Err(DecompressError::TooLarge { max });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_in_order() {
        let mut bytes = Vec::new();
        put(&mut bytes, &[b"one", b"two"]).expect("small");
        put(&mut bytes, &[]).expect("small");
        let mut input = &bytes[..];
        assert_eq!(take(&mut input), Next::Frame(b"onetwo"));
        assert_eq!(take(&mut input), Next::Frame(b""));
        assert_eq!(take(&mut input), Next::End);
    }

    #[test]
    fn every_cut_is_torn_and_every_flipped_bit_is_noticed() {
        let mut bytes = Vec::new();
        put(&mut bytes, &[b"a line of a log"]).expect("small");
        for cut in 1..bytes.len() {
            assert_eq!(take(&mut &bytes[..cut]), Next::Torn, "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(take(&mut &flipped[..]), Next::Frame(_)), "bit {bit}");
        }
    }

    #[test]
    fn what_cannot_be_read_back_is_not_written() {
        let half = vec![0u8; FRAME_PAYLOAD_BYTES_MAX / 2];
        let mut bytes = Vec::new();
        let error = put(&mut bytes, &[&half, &half, b"x"]).expect_err("one byte too much");
        assert_eq!((error.bytes, bytes.len()), (FRAME_PAYLOAD_BYTES_MAX + 1, 0));
        put(&mut bytes, &[&half, &half]).expect("the limit itself");
        assert!(matches!(take(&mut &bytes[..]), Next::Frame(payload) if payload.len() == FRAME_PAYLOAD_BYTES_MAX));
    }

    #[test]
    fn frames_of_zstd_are_read_alike_whether_they_say_their_size_or_not() {
        let text: Vec<u8> = (0..9_000u32).flat_map(|i| format!("line {} of {}\n", i * i, i % 7).into_bytes()).collect();
        let said = zstd::bulk::compress(&text, 1).expect("zstd");
        let unsaid = zstd::encode_all(&text[..], 1).expect("zstd");
        let empty = zstd::bulk::compress(b"", 1).expect("zstd");
        let twice = [&said[..], &said].concat();
        let around = [&empty[..], &said, &empty].concat();
        let mut damaged = vec![said.clone(), unsaid, empty, twice, around, Vec::new(), b"no zstd".to_vec()];
        damaged.extend((0..said.len()).step_by(1_997).map(|cut| said[..cut].to_vec()));
        for bit in (0..said.len() * 8).step_by(4_001).chain(0..12 * 8) {
            let mut flipped = said.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            damaged.push(flipped);
        }
        damaged.push([&said[..], b"and more"].concat());
        for bytes in damaged {
            for max in [0, text.len() - 1, text.len(), 2 * text.len(), 1 << 20] {
                match (decompress(&bytes, max), decompress_stream(&bytes, max)) {
                    (Ok(once), Ok(streamed)) => assert!(once == streamed),
                    (Err(once), Err(streamed)) => assert_eq!(once.to_string(), streamed.to_string()),
                    (once, streamed) => panic!("{} and {}", once.is_ok(), streamed.is_ok()),
                }
            }
        }
    }

    #[test]
    fn a_bomb_costs_its_cap() {
        let bomb = zstd::bulk::compress(&vec![0u8; 10 << 20], 1).expect("zstd compresses zeros");
        assert!(matches!(decompress(&bomb, 1 << 20), Err(DecompressError::TooLarge { .. })));
        assert_eq!(decompress(&bomb, 10 << 20).expect("within the cap").len(), 10 << 20);
        assert!(matches!(decompress(b"not zstd", 100), Err(DecompressError::Zstd(_))));
    }
}
