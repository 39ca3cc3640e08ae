//! The route of a path: ids become `:id`, so that `/users/42` and `/users/43` are one thing to count by.

/// Longest route; what is over the limit becomes one last segment `…`.
pub(super) const ROUTE_BYTES_MAX: usize = 256;

/// Segments of this length and more are ids when they hold a digit; twice as long ones are always.
const TOKEN_BYTES: usize = 20;

const CUT: &[u8] = "/…".as_bytes();

const ID: &[u8] = b":id";

/// The route of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// The path does not begin with `/`.
    None,
    /// So many bytes of the path as they are.
    Path(usize),
    /// What was appended.
    Made,
}

/// Finds the route of `path`; where it is not a part of the path, it is appended to `out`.
pub(super) fn template(path: &[u8], out: &mut Vec<u8>) -> Route {
    if path.first() != Some(&b'/') {
        return Route::None;
    }
    let start = out.len();
    // How much of the path is in `out` already, and the slash before the segment.
    let (mut copied, mut slash) = (0, 0);
    loop {
        let segment = Segment::read(&path[slash + 1..]);
        let (stem, end) = (slash + 1 + segment.stem, slash + 1 + segment.len);
        let id = segment.is_id();
        let before = out.len() - start + slash - copied;
        let bytes = if id { ID.len() + end - stem } else { segment.len };
        if before + 1 + bytes + CUT.len() > ROUTE_BYTES_MAX {
            out.extend_from_slice(&path[copied..slash]);
            out.extend_from_slice(CUT);
            return Route::Made;
        }
        if id {
            out.extend_from_slice(&path[copied..=slash]);
            out.extend_from_slice(ID);
            copied = stem;
        }
        if path.get(end) != Some(&b'/') {
            if copied == 0 {
                return Route::Path(end);
            }
            out.extend_from_slice(&path[copied..end]);
            return Route::Made;
        }
        slash = end;
    }
}

/// What a byte adds to the counts of its segment, as parts of one word. Segments of which a count could run over into
/// the next are ids by their length.
const DIGIT: u64 = 1 | HEX;
const HEX: u64 = 1 << 21;
const DASH: u64 = 1 << 42;
const COUNT: u64 = (1 << 21) - 1;
/// It ends the segment, or is a dot.
const SPECIAL: u64 = 1 << 63;

const COUNTS: [u64; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' | b'A'..=b'F' => HEX,
            b'-' | b'_' | b':' | b',' => DASH,
            b'.' | b'/' | b'?' | b'#' | b';' => SPECIAL,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// One segment of a path, counted in one pass.
struct Segment {
    len: usize,
    /// Bytes before a suffix like `.json`.
    stem: usize,
    /// Of the stem.
    counts: u64,
}

impl Segment {
    /// Longest suffix with its dot.
    const SUFFIX_BYTES_MAX: usize = 6;

    /// The segment at the beginning of `text`.
    #[inline]
    fn read(text: &[u8]) -> Segment {
        let mut counts = 0u64;
        // Where the last dot stands, and what was counted before it.
        let mut dot = None;
        let mut len = text.len();
        for (at, byte) in text.iter().enumerate() {
            let count = COUNTS[usize::from(*byte)];
            if count == SPECIAL {
                if *byte != b'.' {
                    len = at;
                    break;
                }
                dot = Some((at, counts));
            } else {
                counts = counts.wrapping_add(count);
            }
        }
        let is_suffix = |at: usize| {
            at > 0 && len - at <= Segment::SUFFIX_BYTES_MAX && text[at + 1..len].iter().all(u8::is_ascii_alphabetic)
        };
        let (stem, counts) = dot.filter(|(at, _)| is_suffix(*at)).unwrap_or((len, counts));
        Segment { len, stem, counts }
    }

    #[inline]
    fn is_id(&self) -> bool {
        let len = self.stem;
        let part = |of: u64| ((self.counts / of) & COUNT) as usize;
        let (digits, hex, dashes) = (part(1), part(HEX), part(DASH));
        if len >= 2 * TOKEN_BYTES {
            return true;
        }
        // Numbers and dates; hexadecimal ids and uuids; opaque tokens.
        digits > 0 && (digits + dashes == len || hex + dashes == len && hex >= 8 || len >= TOKEN_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> String {
        let mut out = b"before".to_vec();
        match template(path.as_bytes(), &mut out) {
            Route::None => out.clear(),
            Route::Path(len) => out = path.as_bytes()[..len].to_vec(),
            Route::Made => drop(out.drain(..b"before".len())),
        }
        String::from_utf8(out).expect("routes of text are text")
    }

    #[test]
    fn ids_become_placeholders_and_words_stay() {
        for (path, want) in [
            ("/", "/"),
            ("/users/42", "/users/:id"),
            ("/users/42/orders/7?page=2", "/users/:id/orders/:id"),
            ("/api/v1/items", "/api/v1/items"),
            ("/o/3fa85f64-5717-4562-b3fc-2c963f66afa6", "/o/:id"),
            ("/commit/9f86d081884c", "/commit/:id"),
            ("/files/42.json", "/files/:id.json"),
            ("/app.min.js", "/app.min.js"),
            ("/t/eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", "/t/:id"),
            ("/2026-11-20/report", "/:id/report"),
            ("/facade/deadbeef", "/facade/deadbeef"),
            ("/a//b/", "/a//b/"),
            ("/a;jsessionid=1#x", "/a"),
            ("*", ""),
            ("evil:443", ""),
            ("", ""),
        ] {
            assert_eq!(route(path), want, "{path}");
        }
    }

    #[test]
    fn a_route_is_never_longer_than_the_limit() {
        let long = "/abc".repeat(500);
        let route = route(&long);
        assert!(route.len() <= ROUTE_BYTES_MAX && route.ends_with("/…"), "{route}");
    }
}
