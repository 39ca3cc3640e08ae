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
        // Up to sixteen bytes the last eight overlap the first ones.
        return if a.len() <= 16 { a.last_chunk::<8>() == b.last_chunk::<8>() } else { a[8..] == b[8..] };
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

#[cfg(test)]
mod tests {
    use super::*;

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
