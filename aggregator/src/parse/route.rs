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
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#' | b';')).unwrap_or(path.len());
    let start = out.len();
    for segment in path[1..end].split(|byte| *byte == b'/') {
        let (stem, suffix) = split_suffix(segment);
        let id = is_id(stem);
        let bytes = if id { ":id".len() + suffix.len() } else { segment.len() };
        if out.len() - start + 1 + bytes + CUT.len() > ROUTE_BYTES_MAX {
            out.extend_from_slice(CUT);
            return;
        }
        out.push(b'/');
        if id {
            out.extend_from_slice(b":id");
            out.extend_from_slice(suffix);
        } else {
            out.extend_from_slice(segment);
        }
    }
}

/// `42.json` is an id with a suffix of at most five bytes.
fn split_suffix(segment: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memrchr(b'.', segment) {
        Some(dot) if dot > 0 && segment.len() - dot <= 6 && segment[dot + 1..].iter().all(u8::is_ascii_alphabetic) => {
            segment.split_at(dot)
        }
        _ => (segment, &[]),
    }
}

fn is_id(segment: &[u8]) -> bool {
    if !segment.iter().any(u8::is_ascii_digit) {
        return segment.len() >= 2 * TOKEN_BYTES;
    }
    let (mut digits, mut hex, mut dashes) = (0, 0, 0);
    for byte in segment {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                hex += 1;
            }
            b'a'..=b'f' | b'A'..=b'F' => hex += 1,
            b'-' | b'_' | b':' | b',' => dashes += 1,
            _ => {}
        }
    }
    let len = segment.len();
    // Numbers and dates; hexadecimal ids and uuids; opaque tokens.
    digits + dashes == len || hex + dashes == len && hex >= 8 || len >= TOKEN_BYTES
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
