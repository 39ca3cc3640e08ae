//! Fields by name: in the JSON object of a line, nested or with a dot in its key, and as `name=value` in any text.

use std::ops::Range;

use memchr::memmem;

use super::words::string_end;

/// Deeper objects are not looked into, and neither does the server.
const DEPTH_MAX: usize = 64;

/// One field that is looked for.
#[derive(Debug)]
pub(super) struct Field {
    /// `user.email`
    path: String,
    /// Its last part: a line without it has no such field.
    last: memmem::Finder<'static>,
}

/// A value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    /// The key with its value and one comma, to cut both out.
    pub whole: Range<usize>,
    /// The value; of a string what is between its quotes.
    pub value: Range<usize>,
    /// It stands without quotes where only a string can take its place.
    pub bare: bool,
}

impl Field {
    pub(super) fn new(path: &str) -> Field {
        let last = path.rsplit('.').next().unwrap_or(path);
        Field { path: path.to_owned(), last: memmem::Finder::new(last.as_bytes()).into_owned() }
    }

    /// Calls `found` for every value of the field in the line.
    pub(super) fn find(&self, line: &[u8], found: &mut dyn FnMut(Value)) {
        if self.last.find(line).is_none() {
            return;
        }
        self.in_text(line, found);
        let mut from = 0;
        while let Some(open) = memchr::memchr(b'{', &line[from..]) {
            let open = from + open;
            let mut scan = Scan { line, at: open, path: String::new(), wanted: &self.path, found };
            // Where it turns out to be no JSON, the next brace may begin some.
            let _ = scan.value(0, open);
            from = scan.at.clamp(open + 1, line.len());
        }
    }

    fn in_text(&self, line: &[u8], found: &mut dyn FnMut(Value)) {
        for start in memmem::find_iter(line, self.path.as_bytes()) {
            let sign = start + self.path.len();
            let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
            if line.get(sign) != Some(&b'=') || (start > 0 && is_name(&line[start - 1])) {
                continue;
            }
            let rest = &line[sign + 1..];
            let (value, end) = match rest {
                [quote @ (b'"' | b'\''), inner @ ..] => {
                    let len = string_end(inner, *quote);
                    (sign + 2..sign + 2 + len, (sign + 3 + len).min(line.len()))
                }
                _ => {
                    let stops = |b: &u8| b.is_ascii_whitespace() || b"&,;\"'".contains(b);
                    let end = sign + 1 + rest.iter().position(stops).unwrap_or(rest.len());
                    (sign + 1..end, end)
                }
            };
            found(Value { whole: start..end, value, bare: false });
        }
    }
}

/// Walks over the JSON of a line. What is no JSON ends the walk; what is cut off counts up to the end of the line.
struct Scan<'a> {
    line: &'a [u8],
    at: usize,
    /// Keys on the way here, joined with dots.
    path: String,
    wanted: &'a str,
    found: &'a mut dyn FnMut(Value),
}

impl Scan<'_> {
    fn blanks(&mut self) -> Option<u8> {
        while self.line.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.line.get(self.at).copied()
    }

    /// Steps over one value, which belongs to the key at `key`; `None` where the walk cannot go on.
    fn value(&mut self, depth: usize, key: usize) -> Option<()> {
        let first = self.blanks()?;
        let start = self.at;
        let inside = depth < DEPTH_MAX && self.wanted != self.path;
        let went = match first {
            b'{' if inside => return self.object(depth),
            b'[' if inside => return self.array(depth, key),
            b'{' | b'[' => self.skip_nested(),
            b'"' => self.string().map(|_| ()),
            _ => {
                let stops = |b: &u8| matches!(b, b',' | b'}' | b']') || b.is_ascii_whitespace();
                let rest = &self.line[start..];
                self.at = start + rest.iter().position(stops).unwrap_or(rest.len());
                (self.at > start).then_some(())
            }
        };
        if self.wanted == self.path && !self.path.is_empty() {
            self.report(key, start, first);
        }
        went
    }

    fn report(&mut self, key: usize, start: usize, first: u8) {
        let end = self.at.min(self.line.len());
        let closed = first == b'"' && end > start + 1 && self.line[end - 1] == b'"';
        let value = if first == b'"' { start + 1..if closed { end - 1 } else { end } } else { start..end };
        let mut whole = key..end;
        let mut next = end;
        while self.line.get(next).is_some_and(u8::is_ascii_whitespace) {
            next += 1;
        }
        if self.line.get(next) == Some(&b',') {
            whole.end = next + 1;
        } else if let Some(comma) = self.line[..key].iter().rposition(|b| !b.is_ascii_whitespace())
            && self.line[comma] == b','
        {
            whole.start = comma;
        }
        (self.found)(Value { whole, value, bare: first != b'"' });
    }

    fn object(&mut self, depth: usize) -> Option<()> {
        self.at += 1;
        loop {
            match self.blanks()? {
                b'}' => break,
                b',' => {
                    self.at += 1;
                    continue;
                }
                b'"' => {}
                _ => return None,
            }
            let key = self.at;
            let name = self.string()?;
            if self.blanks()? != b':' {
                return None;
            }
            self.at += 1;
            let before = self.path.len();
            if before > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key_text(&self.line[name]));
            let went = self.value(depth + 1, key);
            self.path.truncate(before);
            went?;
        }
        self.at += 1;
        Some(())
    }

    /// The items of an array are values of its key.
    fn array(&mut self, depth: usize, key: usize) -> Option<()> {
        self.at += 1;
        loop {
            match self.blanks()? {
                b']' => break,
                b',' => self.at += 1,
                _ => self.value(depth + 1, key)?,
            }
        }
        self.at += 1;
        Some(())
    }

    /// Steps over a string; `None` when its end is not in the line.
    fn string(&mut self) -> Option<Range<usize>> {
        let start = self.at + 1;
        let end = start + string_end(&self.line[start..], b'"');
        self.at = (end + 1).min(self.line.len());
        (end < self.line.len()).then_some(start..end)
    }

    fn skip_nested(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match *self.line.get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

fn key_text(raw: &[u8]) -> String {
    let plain = String::from_utf8_lossy(raw);
    if !raw.contains(&b'\\') {
        return plain.into_owned();
    }
    serde_json::from_str(&format!("\"{plain}\"")).unwrap_or_else(|_| plain.into_owned())
}
