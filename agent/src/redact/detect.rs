//! Detectors that begin with a byte or a shape: addresses, numbers of cards and accounts.
//!
//! Each calls `found` with the range of a value. They look for a rare byte first, so that a line without a candidate
//! costs one pass of `memchr` or less.

use std::net::Ipv6Addr;
use std::ops::Range;

use memchr::{memchr_iter, memmem};

/// Characters of a mail address before and after its `@` that are looked at.
const LOCAL_BYTES_MAX: usize = 64;
const DOMAIN_BYTES_MAX: usize = 255;
/// Digits of a card number.
const CARD_DIGITS: Range<usize> = 13..20;
/// Longest IBAN, and with a blank after each four.
const IBAN_BYTES_MAX: usize = 34 + 8;

pub(super) type Found<'a> = &'a mut dyn FnMut(Range<usize>);

pub(super) fn email(line: &[u8], found: Found<'_>) {
    let mut from = 0;
    for at in memchr_iter(b'@', line) {
        from = address(line, from, at, at + 1, found);
    }
    // As it stands in the query of a URL.
    let mut from = 0;
    for at in memmem::find_iter(line, b"%40") {
        from = address(line, from, at, at + 3, found);
    }
}

fn address(line: &[u8], from: usize, at: usize, after: usize, found: Found<'_>) -> usize {
    let is_local = |b: &u8| b.is_ascii_alphanumeric() || b".!#$%&'*+-/?^_`{|}~".contains(b) || *b >= 0x80;
    // `/`, `?` and `&` may stand in an address by the letter, and never do: they separate in URLs.
    let stops = |b: &u8| !is_local(b) || b"/?&'`{|}".contains(b);
    let left = &line[from.max(at.saturating_sub(LOCAL_BYTES_MAX))..at];
    let local = left.iter().rev().position(stops).unwrap_or(left.len());
    let right = &line[after..(after + DOMAIN_BYTES_MAX).min(line.len())];
    let is_domain = |b: &u8| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'.' || *b >= 0x80;
    let mut domain = right.iter().position(|b| !is_domain(b)).unwrap_or(right.len());
    while domain > 0 && matches!(right[domain - 1], b'.' | b'-') {
        domain -= 1;
    }
    let name = &right[..domain];
    let Some(dot) = name.iter().rposition(|b| *b == b'.') else { return from };
    let top = &name[dot + 1..];
    let is_top = top.len() >= 2 && top.iter().any(|b| b.is_ascii_alphabetic() || *b >= 0x80);
    if local == 0 || dot == 0 || !is_top {
        return from;
    }
    found(at - local..after + domain);
    after + domain
}

pub(super) fn ipv4(line: &[u8], found: Found<'_>) {
    let mut from = 0;
    for dot in memchr_iter(b'.', line) {
        if dot < from || dot == 0 || !line[dot - 1].is_ascii_digit() {
            continue;
        }
        let digits = line[from..dot].iter().rev().take_while(|b| b.is_ascii_digit()).count();
        let start = dot - digits;
        let touches = start > 0 && (line[start - 1].is_ascii_alphanumeric() || matches!(line[start - 1], b'.' | b'_'));
        if let Some(end) = (!touches).then(|| four_octets(line, start)).flatten() {
            found(start..end);
            from = end;
        }
    }
}

fn four_octets(line: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    for octet in 0..4 {
        let digits = line[at..].iter().take(4).take_while(|b| b.is_ascii_digit()).count();
        let value = line[at..at + digits].iter().fold(0u32, |sum, b| sum * 10 + u32::from(b - b'0'));
        if digits == 0 || digits > 3 || value > 255 || (digits > 1 && line[at] == b'0') {
            return None;
        }
        at += digits;
        if octet < 3 {
            if line.get(at) != Some(&b'.') {
                return None;
            }
            at += 1;
        }
    }
    let goes_on = match line.get(at) {
        Some(b'.') => line.get(at + 1).is_some_and(u8::is_ascii_digit),
        Some(b) => b.is_ascii_alphanumeric() || *b == b'_',
        None => false,
    };
    (!goes_on).then_some(at)
}

pub(super) fn ipv6(line: &[u8], found: Found<'_>) {
    let is_part = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
    let mut from = 0;
    for colon in memchr_iter(b':', line) {
        if colon < from {
            continue;
        }
        let before = line[from..colon].iter().rev().take_while(|b| is_part(b)).count();
        let after = line[colon..].iter().take_while(|b| is_part(b)).count();
        let (start, mut end) = (colon - before, colon + after);
        from = end;
        if end < line.len() && (line[end].is_ascii_alphanumeric() || line[end] == b'_') {
            continue;
        }
        if start > 0 && (line[start - 1].is_ascii_alphanumeric() || line[start - 1] == b'_') {
            continue;
        }
        while end > start && (line[end - 1] == b'.' || (line[end - 1] == b':' && !line[..end].ends_with(b"::"))) {
            end -= 1;
        }
        let text = std::str::from_utf8(&line[start..end]).unwrap_or_default();
        // Paths of code (`abc::de`) have the shape of an address, and no digit.
        if text.len() <= 45 && text.bytes().any(|b| b.is_ascii_digit()) && text.parse::<Ipv6Addr>().is_ok() {
            found(start..end);
        }
    }
}

/// Numbers of 13 to 19 digits, in groups or not, that an issuer could have given and whose check digit is right.
pub(super) fn card(line: &[u8], found: Found<'_>) {
    let in_run = |b: u8| b.is_ascii_digit() || b == b' ' || b == b'-';
    // A number covers at least one of every 13 bytes: those between the samples need no look.
    let mut at = CARD_DIGITS.start - 1;
    while at < line.len() {
        if !in_run(line[at]) {
            at += CARD_DIGITS.start;
            continue;
        }
        let start = at - line[..at].iter().rev().take_while(|b| in_run(**b)).count();
        let end = at + line[at..].iter().take_while(|b| in_run(**b)).count();
        if end - start >= CARD_DIGITS.start {
            cards_of_run(line, start..end, found);
        }
        at = end + CARD_DIGITS.start;
    }
}

fn cards_of_run(line: &[u8], run: Range<usize>, found: Found<'_>) {
    let mut at = run.start;
    while at < run.end {
        let begins = line[at].is_ascii_digit() && (at == 0 || !line[at - 1].is_ascii_alphanumeric());
        match begins.then(|| card_at(line, at, run.end)).flatten() {
            Some(end) => {
                found(at..end);
                at = end;
            }
            None => at += 1,
        }
    }
}

/// The end of the longest card number that begins at `start`.
fn card_at(line: &[u8], start: usize, run_end: usize) -> Option<usize> {
    let mut digits = [0u8; CARD_DIGITS.end];
    let (mut count, mut at, mut best) = (0, start, None);
    while at < run_end && count < CARD_DIGITS.end {
        if line[at].is_ascii_digit() {
            digits[count] = line[at] - b'0';
            count += 1;
            let ends = line.get(at + 1).is_none_or(|next| !next.is_ascii_alphanumeric());
            if ends && CARD_DIGITS.contains(&count) && is_issued(&digits[..count]) && luhn(&digits[..count]) {
                best = Some(at + 1);
            }
        } else if !line[at - 1].is_ascii_digit() {
            break;
        }
        at += 1;
    }
    best
}

/// Whether a network issues numbers that begin so: without this every tenth number would pass.
fn is_issued(digits: &[u8]) -> bool {
    let head = digits[..4].iter().fold(0u32, |sum, digit| sum * 10 + u32::from(*digit));
    match head {
        4000..=4999 => matches!(digits.len(), 13 | 16 | 19),
        5100..=5599 | 2221..=2720 => digits.len() == 16,
        3400..=3499 | 3700..=3799 => digits.len() == 15,
        3000..=3059 | 3600..=3699 | 3800..=3999 => (14..20).contains(&digits.len()),
        3528..=3589 | 6011 | 6440..=6599 | 6200..=6299 | 8100..=8199 => (16..20).contains(&digits.len()),
        5000..=5099 | 5600..=5899 | 6000..=6999 => (13..20).contains(&digits.len()),
        2200..=2204 => (16..20).contains(&digits.len()),
        _ => false,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let double = |digit: u8| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 = (0..)
        .zip(digits.iter().rev())
        .map(|(i, digit)| u32::from(if i % 2 == 1 { double(*digit) } else { *digit }))
        .sum();
    sum.is_multiple_of(10)
}

/// Account numbers: two letters, two check digits, and the rest with blanks after each four or none, modulo 97.
pub(super) fn iban(line: &[u8], found: Found<'_>) {
    let mut at = 0;
    while at + 15 <= line.len() {
        let head = &line[at..at + 4];
        let begins = head[0].is_ascii_uppercase()
            && head[1].is_ascii_uppercase()
            && head[2].is_ascii_digit()
            && head[3].is_ascii_digit()
            && (at == 0 || !line[at - 1].is_ascii_alphanumeric());
        match begins.then(|| iban_at(&line[at..])).flatten() {
            Some(len) => {
                found(at..at + len);
                at += len;
            }
            None => at += 1,
        }
    }
}

fn iban_at(text: &[u8]) -> Option<usize> {
    let wanted = iban_length(&text[..2])?;
    let mut plain = Vec::with_capacity(IBAN_BYTES_MAX);
    let mut at = 0;
    while plain.len() < wanted {
        match *text.get(at)? {
            b' ' if !plain.is_empty() && plain.len().is_multiple_of(4) && text[at - 1] != b' ' => {}
            b if b.is_ascii_alphanumeric() => plain.push(b.to_ascii_uppercase()),
            _ => return None,
        }
        at += 1;
    }
    let ends = text.get(at).is_none_or(|next| !next.is_ascii_alphanumeric());
    (ends && modulo_97(&plain) == 1).then_some(at)
}

fn modulo_97(plain: &[u8]) -> u32 {
    plain[4..].iter().chain(&plain[..4]).fold(0, |rest, b| match b {
        b'0'..=b'9' => (rest * 10 + u32::from(b - b'0')) % 97,
        letter => (rest * 100 + u32::from(letter - b'A') + 10) % 97,
    })
}

/// Length of the numbers of a country; `None` where there are none.
fn iban_length(country: &[u8]) -> Option<usize> {
    const LENGTHS: [(usize, &str); 18] = [
        (15, "NO"),
        (16, "BE"),
        (18, "DK FO FI GL NL"),
        (19, "MK SI"),
        (20, "AT BA EE KZ LT LU XK MN"),
        (21, "HR LV LI CH"),
        (22, "BH BG CR GE DE IE ME RS GB VA"),
        (23, "IL TL AE IQ SO"),
        (24, "AD CZ MD PK RO SA SK ES SE TN VG"),
        (25, "LY PT ST"),
        (26, "IS TR"),
        (27, "FR GR IT MR MC SM BI DJ"),
        (28, "AL AZ CY DO GT HU LB PL SV NI"),
        (29, "BR EG PS QA UA"),
        (30, "JO KW MU YE"),
        (31, "MT SC"),
        (32, "LC"),
        (33, "RU"),
    ];
    let country = std::str::from_utf8(country).ok()?;
    LENGTHS.iter().find(|(_, countries)| countries.split(' ').any(|known| known == country)).map(|(length, _)| *length)
}
