//! From a message to tokens, with everything masked that is variable by its looks.
//!
//! One pass over the bytes. A chunk without spaces is first tried whole: e-mail address, URL, host name, IP address,
//! UUID, hash, date and time, duration, path, number. What is left is cut at delimiters, which stay tokens of their own,
//! and the pieces are tried again. Dates of several words become one token, lists of variables as well.

use super::{MESSAGE_BYTES_MAX, TOKENS_MAX};

/// What a masked token was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mask {
    Email,
    Url,
    Host,
    Ip,
    Uuid,
    Hash,
    Time,
    Duration,
    Path,
    Number,
    Id,
    Text,
    Bool,
}

impl Mask {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Mask::Email => "<email>",
            Mask::Url => "<url>",
            Mask::Host => "<host>",
            Mask::Ip => "<ip>",
            Mask::Uuid => "<uuid>",
            Mask::Hash => "<hash>",
            Mask::Time => "<time>",
            Mask::Duration => "<duration>",
            Mask::Path => "<path>",
            Mask::Number => "<num>",
            Mask::Id => "<id>",
            Mask::Text => "<text>",
            Mask::Bool => "<bool>",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Word(&'a str),
    Masked(Mask),
    Delimiter(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    /// White space stands before it.
    pub(super) spaced: bool,
}

const DELIMITERS: &[u8] = b"=:,;/\\[](){}<>\"'|&#*`";

/// Every byte of every message is asked, so it is looked up.
const IS_DELIMITER: [bool; 256] = table(DELIMITERS);
/// What ends a variable that stands whole.
const ENDS_WHOLE: [bool; 256] = table(b"\"')]}>,;");

const fn table(of: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut index = 0;
    while index < of.len() {
        table[of[index] as usize] = true;
        index += 1;
    }
    table
}

pub(super) const fn is_delimiter(byte: u8) -> bool {
    IS_DELIMITER[byte as usize]
}

/// The tokens of the first line of a message.
pub(super) fn tokens(message: &str) -> Vec<Token<'_>> {
    let mut out = Vec::with_capacity(32);
    tokens_into(message, &mut out);
    out
}

pub(super) fn tokens_into<'a>(message: &'a str, out: &mut Vec<Token<'a>>) {
    out.clear();
    let mut rest = first_line(message);
    let mut spaced = false;
    while out.len() < TOKENS_MAX {
        let trimmed = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
        spaced |= trimmed.len() < rest.len();
        rest = trimmed;
        if rest.is_empty() {
            return;
        }
        let end = rest.bytes().position(|b| b.is_ascii_whitespace()).unwrap_or(rest.len());
        let (chunk, after) = rest.split_at(end);
        read_chunk(chunk, spaced, out);
        rest = after;
        spaced = false;
    }
}

fn first_line(message: &str) -> &str {
    let message = message.trim_start();
    let line = message.split(['\n', '\r']).next().unwrap_or_default();
    let mut end = line.len().min(MESSAGE_BYTES_MAX);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    &line[..end]
}

/// One chunk without spaces: whole, or cut at its delimiters.
fn read_chunk<'a>(chunk: &'a str, spaced: bool, out: &mut Vec<Token<'a>>) {
    let mut spaced = spaced;
    let mut rest = chunk;
    while !rest.is_empty() && out.len() < TOKENS_MAX {
        let bytes = rest.as_bytes();
        // Quotes and brackets around a variable are not a part of it.
        let body_end = bytes.iter().position(|b| ENDS_WHOLE[usize::from(*b)]);
        let whole = &rest[..body_end.unwrap_or(rest.len())];
        // `HTTP/1.1` and `3/17` are no paths.
        let glued = !spaced && matches!(out.last(), Some(Token { kind: Kind::Word(_) | Kind::Masked(_), .. }));
        if let Some((mask, length)) = whole_mask(whole).filter(|(mask, _)| !(glued && *mask == Mask::Path)) {
            push(Kind::Masked(mask), spaced, out);
            rest = &rest[length..];
        } else if is_delimiter(bytes[0]) {
            let value_follows = bytes[0] == b'=' && bytes.get(1) == Some(&b'"');
            push(Kind::Delimiter(bytes[0]), spaced, out);
            rest = &rest[1..];
            if let Some(length) = value_follows.then(|| quoted_end(rest)).flatten() {
                push(Kind::Masked(Mask::Text), false, out);
                rest = &rest[length..];
            }
        } else {
            let end = bytes.iter().position(|b| is_delimiter(*b)).unwrap_or(rest.len());
            let (piece, after) = rest.split_at(end);
            read_piece(piece, spaced, out);
            rest = after;
        }
        spaced = false;
    }
}

/// The length of `"…"` at the beginning; a quote that is not closed within the chunk is none.
fn quoted_end(text: &str) -> Option<usize> {
    text.get(1..)?.find('"').map(|end| end + 2)
}

fn read_piece<'a>(piece: &'a str, spaced: bool, out: &mut Vec<Token<'a>>) {
    let after_equals = matches!(out.last(), Some(Token { kind: Kind::Delimiter(b'='), .. }));
    if after_equals && matches!(piece, "true" | "false" | "True" | "False" | "yes" | "no") {
        return push(Kind::Masked(Mask::Bool), spaced, out);
    }
    let trimmed = piece.trim_end_matches(['.', '!', '?']);
    if let Some(mask) = piece_mask(trimmed) {
        return push(Kind::Masked(mask), spaced, out);
    }
    // `req-550e8400-…`
    if let Some((name, id)) = trimmed.len().checked_sub(36).and_then(|at| trimmed.split_at_checked(at))
        && is_uuid(id.as_bytes())
    {
        push(Kind::Word(name), spaced, out);
        return push(Kind::Masked(Mask::Uuid), false, out);
    }
    if trimmed.bytes().any(|b| b.is_ascii_digit()) && !VERSIONED.contains(&trimmed) {
        return read_numbered(trimmed, spaced, out);
    }
    if trimmed.is_empty() {
        return push(Kind::Word(piece), spaced, out);
    }
    push(Kind::Word(trimmed), spaced, out);
}

/// Names with a digit that is a part of the name.
const VERSIONED: [&str; 12] =
    ["ssh1", "ssh2", "http2", "h2", "ipv4", "ipv6", "IPv4", "IPv6", "utf8", "s3", "S3", "log4j"];

/// `node12`, `blk_42`, `rdd_1_2`: the words say more than "an id". Single letters between digits are no words.
fn read_numbered<'a>(piece: &'a str, spaced: bool, out: &mut Vec<Token<'a>>) {
    let is_number = |b: u8| b.is_ascii_digit();
    let bytes = piece.as_bytes();
    let mut runs: Vec<(usize, usize)> = Vec::with_capacity(4);
    let mut start = 0;
    for end in 1..=bytes.len() {
        if end == bytes.len() || is_number(bytes[end]) != is_number(bytes[start]) {
            runs.push((start, end));
            start = end;
        }
    }
    let letters =
        |(start, end): &(usize, usize)| bytes[*start..*end].iter().filter(|b| b.is_ascii_alphabetic()).count();
    let is_word = |run: &(usize, usize)| is_number(bytes[run.0]) || letters(run) != 1 || run.0 == 0;
    if runs.len() > 8 || is_number(bytes[0]) || !runs.iter().all(is_word) {
        return push(Kind::Masked(Mask::Id), spaced, out);
    }
    let mut first = true;
    for run in runs {
        let spaced = spaced && std::mem::take(&mut first);
        if is_number(bytes[run.0]) {
            push(Kind::Masked(Mask::Number), spaced, out);
        } else if letters(&run) > 0 || out.last().is_none_or(|t| t.kind != Kind::Masked(Mask::Number)) {
            push(Kind::Word(&piece[run.0..run.1]), spaced, out);
        }
    }
}

/// Adds a token; a date of several words and a list of variables stay one.
fn push<'a>(kind: Kind<'a>, spaced: bool, out: &mut Vec<Token<'a>>) {
    if let Kind::Masked(mask) = kind {
        let last = out.last().map(|token| token.kind);
        if mask == Mask::Number
            && spaced
            && let Some(Kind::Word(word)) = last
            && is_month(word)
        {
            let spaced = out.pop().is_some_and(|token| token.spaced);
            return push(Kind::Masked(Mask::Time), spaced, out);
        }
        if last == Some(Kind::Masked(mask)) && (mask == Mask::Time || !spaced) {
            return;
        }
        // `1, 2, 3` and `a/1/2`: a list may have any length.
        if let [.., Token { kind: Kind::Masked(before), .. }, Token { kind: Kind::Delimiter(b',' | b'/'), .. }] =
            out[..]
            && before == mask
        {
            out.pop();
            return;
        }
    }
    out.push(Token { kind, spaced });
}

fn is_month(word: &str) -> bool {
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"].contains(&word)
}

/// A mask for the beginning of a chunk that may have delimiters in it, and how many bytes of it.
fn whole_mask(chunk: &str) -> Option<(Mask, usize)> {
    let bytes = chunk.as_bytes();
    let first = *bytes.first()?;
    if let Some(at) = memchr_at(bytes) {
        let (name, domain) = (&bytes[..at], &bytes[at + 1..]);
        let good = |part: &[u8]| {
            !part.is_empty() && part.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'+'))
        };
        if good(name) && good(domain) && domain.contains(&b'.') {
            return Some((Mask::Email, chunk.len()));
        }
    }
    if first.is_ascii_alphabetic() && chunk.contains("://") {
        return Some((Mask::Url, chunk.len()));
    }
    if first == b'/' && ip_length(&chunk[1..]).is_some() {
        return None;
    }
    if first == b'/'
        && bytes.get(1).is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'~'))
    {
        let end = bytes.iter().position(|b| matches!(b, b':' | b'=' | b'(' | b'<' | b'|')).unwrap_or(bytes.len());
        return Some((Mask::Path, end));
    }
    if !(first.is_ascii_hexdigit() || matches!(first, b'-' | b'+' | b'[' | b':')) {
        return None;
    }
    let end = bytes
        .iter()
        .position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b':' | b'.' | b'-' | b'+' | b'/' | b'_' | b'%')))
        .unwrap_or(bytes.len());
    let body = chunk.get(..end)?.trim_end_matches(['.', ':', '/']);
    if let Some(length) = ip_length(body) {
        return Some((Mask::Ip, length));
    }
    if is_uuid(body.as_bytes()) {
        return Some((Mask::Uuid, body.len()));
    }
    is_time(body).then_some((Mask::Time, body.len()))
}

fn memchr_at(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| *b == b'@')
}

/// `10.0.0.1`, `10.0.0.1:80`, `fe80::1`: the length of the address with its port.
fn ip_length(text: &str) -> Option<usize> {
    let digits = text.bytes().position(|b| !(b.is_ascii_digit() || b == b'.')).unwrap_or(text.len());
    let four = text[..digits].split('.').count() == 4
        && text[..digits].split('.').all(|part| (1..=3).contains(&part.len()) && part.parse::<u8>().is_ok());
    if four {
        let rest = &text[digits..];
        let port = rest.strip_prefix([':', '/']).map(|port| port.bytes().take_while(u8::is_ascii_digit).count());
        return match port {
            Some(length) if length > 0 => Some(digits + 1 + length),
            _ if rest.is_empty() || !rest.as_bytes()[0].is_ascii_alphanumeric() => Some(digits),
            _ => None,
        };
    }
    let six = text.contains("::") || text.bytes().filter(|b| *b == b':').count() == 7;
    (six && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')).then_some(text.len())
}

fn is_uuid(bytes: &[u8]) -> bool {
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// `12:00:01.5`, `2026-01-05`, `2026/01/05T12:00:00Z`, `05/Jan/2026:12:00:00`.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 5 || !bytes[0].is_ascii_digit() {
        return false;
    }
    let plain = |b: &u8| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'-' | b'/' | b'+' | b'T' | b'Z' | b',');
    if bytes.iter().all(plain) {
        let colons = bytes.iter().filter(|b| **b == b':').count();
        let dashes = bytes.iter().filter(|b| matches!(b, b'-' | b'/')).count();
        let clock = colons >= 2 && bytes[1..3].contains(&b':');
        let short_clock = colons == 1 && bytes.len() == 5 && bytes[2] == b':';
        let date = dashes >= 2 && (bytes.get(4) == Some(&b'-') || bytes.get(4) == Some(&b'/'));
        return clock || short_clock || date;
    }
    bytes.len() >= 11 && bytes[2] == b'/' && text.get(3..6).is_some_and(is_month)
}

/// A mask for a piece without delimiters.
fn piece_mask(piece: &str) -> Option<Mask> {
    let bytes = piece.as_bytes();
    if !bytes.iter().any(u8::is_ascii_digit) {
        return host_mask(piece).or_else(|| hash_mask(bytes));
    }
    let unsigned = piece.strip_prefix(['-', '+', '$']).unwrap_or(piece);
    let digits = unsigned.bytes().position(|b| !(b.is_ascii_digit() || b == b'.')).unwrap_or(unsigned.len());
    if digits > 0 && unsigned.as_bytes()[0].is_ascii_digit() {
        match &unsigned[digits..] {
            "" | "%" => return Some(Mask::Number),
            "ms" | "s" | "us" | "µs" | "ns" | "m" | "h" | "d" | "sec" | "secs" | "min" | "mins" | "msec" => {
                return Some(Mask::Duration);
            }
            unit if is_size(unit) => return Some(Mask::Number),
            _ => {}
        }
    }
    let hex = piece.strip_prefix("0x").or_else(|| piece.strip_prefix("0X"));
    if hex.is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Some(Mask::Number);
    }
    if let Some(mask) = hash_mask(bytes) {
        return Some(mask);
    }
    if is_uuid(bytes) {
        return Some(Mask::Uuid);
    }
    host_mask(piece)
}

fn is_size(unit: &str) -> bool {
    matches!(unit, "B" | "b" | "k" | "K" | "kB" | "KB" | "MB" | "GB" | "TB" | "KiB" | "MiB" | "GiB" | "M" | "G" | "x")
}

/// Hexadecimal of eight digits and more, with letters and digits, or of the length of a well-known hash.
fn hash_mask(bytes: &[u8]) -> Option<Mask> {
    if bytes.len() < 8 || !bytes.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    let known = matches!(bytes.len(), 32 | 40 | 64);
    (known || (digits > 0 && digits < bytes.len())).then_some(Mask::Hash)
}

/// A name under a top-level domain that logs are full of; `java.lang.String` is none.
fn host_mask(piece: &str) -> Option<Mask> {
    let (name, last) = piece.rsplit_once('.')?;
    let known = matches!(
        last,
        "com" | "net" | "org" | "io" | "de" | "edu" | "gov" | "dev" | "local" | "internal" | "lan" | "uk" | "fr" | "eu"
    );
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    (known && good && !name.starts_with('.')).then_some(Mask::Host)
}

/// The tokens as a text again.
pub(super) fn text(tokens: &[Token<'_>]) -> String {
    let mut out = String::with_capacity(tokens.len() * 6);
    for token in tokens {
        if token.spaced && !out.is_empty() {
            out.push(' ');
        }
        match token.kind {
            Kind::Word(word) => out.push_str(word),
            Kind::Masked(mask) => out.push_str(mask.name()),
            Kind::Delimiter(byte) => out.push(char::from(byte)),
        }
    }
    out
}
