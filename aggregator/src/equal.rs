//! Questions to short texts: what stands in a line is of a few bytes mostly, for which a call, or a loop over the bytes
//! that fill no register, costs more than the answer.

/// Whether `a` and `b` are the same bytes.
#[inline]
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    if let (Some(first), Some(others)) = (a.first_chunk::<8>(), b.first_chunk::<8>()) {
        if first != others {
            return false;
        }
        // Up to sixteen bytes the last eight overlap the first ones, and up to 24 those between.
        return match a.len() {
            0..=16 => a.last_chunk::<8>() == b.last_chunk::<8>(),
            17..=24 => a[8..16] == b[8..16] && a.last_chunk::<8>() == b.last_chunk::<8>(),
            25..=32 => a[8..24] == b[8..24] && a.last_chunk::<8>() == b.last_chunk::<8>(),
            _ => a[8..] == b[8..],
        };
    }
    if let (Some(first), Some(others)) = (a.first_chunk::<4>(), b.first_chunk::<4>()) {
        return first == others && a.last_chunk::<4>() == b.last_chunk::<4>();
    }
    if let (Some(first), Some(others)) = (a.first_chunk::<2>(), b.first_chunk::<2>()) {
        return first == others && a.last() == b.last();
    }
    a.first() == b.first()
}

/// Whether all bytes are ASCII.
#[inline]
pub(crate) fn is_ascii(text: &[u8]) -> bool {
    const WORDS: usize = 32;
    let joined = |bytes: &[u8; WORDS]| {
        let (words, _) = bytes.as_chunks::<8>();
        words.iter().fold(0, |all, word| all | u64::from_le_bytes(*word))
    };
    let all = match text.last_chunk::<WORDS>() {
        // The last bytes overlap those before them.
        Some(last) => text.as_chunks::<WORDS>().0.iter().fold(joined(last), |all, bytes| all | joined(bytes)),
        None => text.iter().fold(0, |all, byte| all | u64::from(*byte)),
    };
    all & 0x8080_8080_8080_8080 == 0
}

/// Bytes that [`position`] looks at by itself.
const NEAR_BYTES: usize = 64;

/// Where one of two bytes stands first. They are near mostly: the vectors of `memchr` would cost a call.
#[inline(always)]
pub(crate) fn position2(text: &[u8], one: u8, other: u8) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    let (ones, others) = (ONES * u64::from(one), ONES * u64::from(other));
    // The lowest bit that is set is that of the first zero.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let found = |bytes: &[u8; 8]| {
        let word = u64::from_le_bytes(*bytes);
        let found = if one == other { zeros(word ^ ones) } else { zeros(word ^ ones) | zeros(word ^ others) };
        (found != 0).then_some(found.trailing_zeros() as usize / 8)
    };
    let near = text.get(..NEAR_BYTES).unwrap_or(text);
    for (i, bytes) in near.as_chunks::<8>().0.iter().enumerate() {
        if let Some(at) = found(bytes) {
            return Some(8 * i + at);
        }
    }
    match near.last_chunk::<8>() {
        _ if near.len() < text.len() => Some(NEAR_BYTES + memchr::memchr2(one, other, &text[NEAR_BYTES..])?),
        // The last bytes overlap those before them.
        Some(last) => Some(near.len() - 8 + found(last)?),
        None => near.iter().position(|byte| *byte == one || *byte == other),
    }
}

/// Where a byte stands first.
#[inline(always)]
pub(crate) fn position(text: &[u8], byte: u8) -> Option<usize> {
    position2(text, byte, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_bytes_is_found_wherever_it_is() {
        for len in 0..90 {
            for (fill, high) in [(b'a', 0xff), (0, 1), (0xff, 0x80), (b'/', b'!')] {
                let mut text = vec![fill; len];
                assert_eq!(position2(&text, b' ', b'"'), None);
                for at in (0..len).rev() {
                    text[at] = if at % 2 == 0 { b' ' } else { b'"' };
                    assert_eq!(position2(&text, b' ', b'"'), Some(at), "{at} of {len}");
                    assert_eq!(position(&text, text[at]), Some(at), "{at} of {len}");
                    text[at] = high;
                    assert_eq!(
                        position2(&text[at..], b' ', b'"'),
                        text[at..].iter().position(|b| matches!(b, b' ' | b'"'))
                    );
                    text[at] = b'"';
                }
            }
        }
    }

    #[test]
    fn a_byte_beyond_ascii_is_noticed_wherever_it_is() {
        for len in 0..100 {
            let mut text = vec![0x7f; len];
            assert!(is_ascii(&text));
            for at in 0..len {
                text[at] = 0x80;
                assert!(!is_ascii(&text), "{at} of {len}");
                text[at] = 0;
            }
        }
    }

    #[test]
    fn a_byte_that_differs_is_noticed_wherever_it_is() {
        for len in 0..40u8 {
            let text: Vec<u8> = (0..len).collect();
            assert!(equal(&text, &text.clone()));
            assert!(!equal(&text, &[&text[..], b"x"].concat()));
            for at in 0..text.len() {
                let mut other = text.clone();
                other[at] ^= 1;
                assert!(!equal(&text, &other), "{at} of {len}");
            }
        }
    }
}
