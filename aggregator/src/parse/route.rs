//! The route of a path: ids become `:id`, so that `/users/42` and `/users/43` are one thing to count by.

/// Longest route; what is over the limit becomes one last segment `…`.
pub(super) const ROUTE_BYTES_MAX: usize = 256;

/// Segments of this length and more are ids when they hold a digit; twice as long ones are always.
const TOKEN_BYTES: usize = 20;

const CUT: &[u8] = "/…".as_bytes();

/// Appends the route of `path` to `out`. A path that does not begin with `/` has none: then nothing is appended.
pub(super) fn template(path: &[u8], out: &mut Vec<u8>) {
    if path.first() != Some(&b'/') {
        return;
    }
    let start = out.len();
    let mut rest = &path[1..];
    loop {
        let segment = Segment::read(rest);
        let (stem, suffix) = segment.bytes.split_at(segment.stem);
        let id = segment.is_id();
        let bytes = if id { ":id".len() + suffix.len() } else { segment.bytes.len() };
        if out.len() - start + 1 + bytes + CUT.len() > ROUTE_BYTES_MAX {
            out.extend_from_slice(CUT);
            return;
        }
        out.push(b'/');
        out.extend_from_slice(if id { b":id" } else { stem });
        out.extend_from_slice(suffix);
        match rest.get(segment.bytes.len()) {
            Some(b'/') => rest = &rest[segment.bytes.len() + 1..],
            _ => return,
        }
    }
}

/// What a byte of a segment can be part of.
const DIGIT: u8 = 1;
const HEX: u8 = 2;
const DASH: u8 = 4;
const ALPHA: u8 = 8;
const DOT: u8 = 16;
/// It ends the segment.
const END: u8 = 32;

const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT | HEX,
            b'a'..=b'f' | b'A'..=b'F' => HEX | ALPHA,
            b'g'..=b'z' | b'G'..=b'Z' => ALPHA,
            b'-' | b'_' | b':' | b',' => DASH,
            b'.' => DOT,
            b'/' | b'?' | b'#' | b';' => END,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// One segment of a path, counted in one pass.
struct Segment<'a> {
    bytes: &'a [u8],
    /// Bytes before a suffix like `.json`.
    stem: usize,
    /// Of the stem.
    digits: usize,
    hex: usize,
    dashes: usize,
}

impl Segment<'_> {
    /// Longest suffix with its dot.
    const SUFFIX_BYTES_MAX: usize = 6;

    /// The segment at the beginning of `text`.
    fn read(text: &[u8]) -> Segment<'_> {
        let (mut digits, mut hex, mut dashes) = (0, 0, 0);
        // Where the last dot stands, what was counted before it, and whether only letters follow.
        let mut dot = None;
        let mut letters = true;
        let mut len = text.len();
        for (at, byte) in text.iter().enumerate() {
            let class = CLASSES[usize::from(*byte)];
            if class & END != 0 {
                len = at;
                break;
            }
            if class & DOT != 0 {
                dot = Some((at, digits, hex, dashes));
                letters = true;
                continue;
            }
            digits += usize::from(class & DIGIT);
            hex += usize::from(class & HEX != 0);
            dashes += usize::from(class & DASH != 0);
            letters &= class & ALPHA != 0;
        }
        let bytes = &text[..len];
        match dot {
            Some((at, digits, hex, dashes)) if at > 0 && letters && len - at <= Segment::SUFFIX_BYTES_MAX => {
                Segment { bytes, stem: at, digits, hex, dashes }
            }
            _ => Segment { bytes, stem: len, digits, hex, dashes },
        }
    }

    fn is_id(&self) -> bool {
        let len = self.stem;
        if self.digits == 0 {
            return len >= 2 * TOKEN_BYTES;
        }
        // Numbers and dates; hexadecimal ids and uuids; opaque tokens.
        self.digits + self.dashes == len || self.hex + self.dashes == len && self.hex >= 8 || len >= TOKEN_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> String {
        let mut out = Vec::new();
        template(path.as_bytes(), &mut out);
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
