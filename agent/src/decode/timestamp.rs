//! The times of envelopes: RFC 3339 with up to nine digits of a second, read without a calendar library.

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Nanoseconds since the epoch of `2026-11-20T09:15:39.6871501Z` or `…+01:00`; `None` for anything else.
pub fn rfc3339_ns(text: &[u8]) -> Option<i64> {
    let head = text.get(..19)?;
    if head[4] != b'-'
        || head[7] != b'-'
        || !matches!(head[10], b'T' | b't' | b' ')
        || head[13] != b':'
        || head[16] != b':'
    {
        return None;
    }
    let (year, month, day) = (number(&head[..4])?, number(&head[5..7])?, number(&head[8..10])?);
    let (hour, minute, second) = (number(&head[11..13])?, number(&head[14..16])?, number(&head[17..19])?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction_ns, zone) = fraction(&text[19..])?;
    let seconds = days_since_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset_s(zone)?;
    seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(fraction_ns)
}

fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', digits)) = rest.split_first() else { return Some((0, rest)) };
    let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 {
        return None;
    }
    let kept = len.min(9);
    let value = number(&digits[..kept])? * 10i64.pow(9 - kept as u32);
    Some((value, &digits[len..]))
}

fn offset_s(zone: &[u8]) -> Option<i64> {
    let sign = match zone.first()? {
        b'Z' | b'z' if zone.len() == 1 => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if zone.len() != 6 || zone[3] != b':' {
        return None;
    }
    Some(sign * (number(&zone[1..3])? * 3_600 + number(&zone[4..6])? * 60))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0i64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, with the year begun in March so that leap days come last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_of_docker_and_containerd() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-20T09:15:39.6871501Z", Some(1_795_166_139_687_150_100)),
            ("2026-11-20T10:15:39.687150100+01:00", Some(1_795_166_139_687_150_100)),
            ("2026-11-20T09:15:39.", None),
            ("2026-11-20T09:15:39", None),
            ("2026-13-20T09:15:39Z", None),
            ("yesterday, about noon", None),
        ] {
            assert_eq!(rfc3339_ns(text.as_bytes()), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_time_is_what_jiff_says(ns in -2_000_000_000_000_000_000i64..4_000_000_000_000_000_000) {
            let text = logweir_runtime::clock::rfc3339(ns);
            prop_assert_eq!(rfc3339_ns(text.as_bytes()), Some(ns));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = rfc3339_ns(&bytes);
        }
    }
}
