//! Enough of Rust's lexical grammar to tell code from comments, strings and test modules, and to find functions.
//!
//! No syntax tree: the rules need lines, not meaning, and this runs over the workspace in milliseconds.

use std::collections::BTreeSet;
use std::ops::Range;

use super::TextFile;

/// One `.rs` file, split into what is code and what is comment.
#[derive(Debug)]
pub struct RustFile {
    pub path: String,
    pub text: String,
    /// The text with comments and the inside of literals blanked; same length, same lines.
    pub code: String,
    /// The text with everything but comments blanked; same length, same lines.
    pub comments: String,
    /// The whole file is test code: below `tests/` or `benches/`, or the file of a `#[cfg(test)] mod name;`.
    pub is_test: bool,
    /// Byte ranges of `#[cfg(test)]` items.
    test_ranges: Vec<Range<usize>>,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    /// 1-based.
    pub line: usize,
    /// Lines of the body that hold code; blank lines and comments are free.
    pub code_lines: usize,
}

/// Splits all files; two passes, for a file may be declared a test module by another one.
pub fn parse_all<'a>(files: impl Iterator<Item = &'a TextFile>) -> Vec<RustFile> {
    let mut parsed: Vec<RustFile> = files.map(|file| parse(&file.path, &file.text)).collect();
    let declared: BTreeSet<String> = parsed.iter().flat_map(test_module_stems).collect();
    for file in &mut parsed {
        let stem = file.path.trim_end_matches(".rs");
        file.is_test |= declared.iter().any(|d| stem == d || stem.starts_with(&format!("{d}/")));
    }
    parsed
}

fn parse(path: &str, text: &str) -> RustFile {
    let (code, comments) = split(text);
    let test_ranges = test_ranges(&code);
    let is_test = path.contains("/tests/") || path.contains("/benches/") || path.starts_with("fuzz/targets/");
    RustFile { path: path.to_owned(), text: text.to_owned(), code, comments, is_test, test_ranges }
}

impl RustFile {
    /// 1-based line of a byte offset.
    pub fn line_of(&self, offset: usize) -> usize {
        self.text.as_bytes().iter().take(offset).filter(|b| **b == b'\n').count() + 1
    }

    /// Whether the byte at `offset` belongs to test code.
    pub fn in_test(&self, offset: usize) -> bool {
        self.is_test || self.test_ranges.iter().any(|range| range.contains(&offset))
    }

    /// Lines that are not in a test item; 0 for a test file.
    pub fn lines_outside_tests(&self) -> usize {
        let mut offset = 0;
        let mut lines = 0;
        for line in self.text.split_inclusive('\n') {
            lines += usize::from(!self.in_test(offset));
            offset += line.len();
        }
        lines
    }

    /// Offsets of `needle` in code that is not test code.
    pub fn code_hits<'a>(&'a self, needle: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.match_indices(needle).map(|(offset, _)| offset).filter(|offset| !self.in_test(*offset))
    }

    /// The crate's folder: `aggregator` of `aggregator/src/wal.rs`.
    pub fn package(&self) -> &str {
        self.path.split('/').next().unwrap_or("")
    }

    /// The module path within the crate: `["store", "split"]` of `aggregator/src/store/split.rs`.
    pub fn module_path(&self) -> Vec<&str> {
        let inner = self.path.split_once("/src/").map_or("", |(_, inner)| inner);
        match inner.trim_end_matches(".rs") {
            "lib" | "main" => Vec::new(),
            stem => stem.split('/').collect(),
        }
    }

    /// Functions with a body outside test code.
    pub fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for offset in word_offsets(&self.code, "fn").filter(|offset| !self.in_test(*offset)) {
            let after = self.code[offset + 2..].trim_start();
            let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if name.is_empty() {
                continue; // the type of a function pointer
            }
            if let Some(body) = item_body(&self.code, offset) {
                let code_lines =
                    self.code[body.start + 1..body.end - 1].lines().filter(|l| !l.trim().is_empty()).count();
                found.push(Function { name, line: self.line_of(offset), code_lines });
            }
        }
        found
    }
}

/// Offsets where `word` stands as a word of its own.
fn word_offsets<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_word = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let bytes = code.as_bytes();
    code.match_indices(word).map(|(offset, _)| offset).filter(move |offset| {
        let before = offset.checked_sub(1).and_then(|i| bytes.get(i));
        !is_word(before) && !is_word(bytes.get(offset + word.len()))
    })
}

/// The braces of the item that begins at `from`, or `None` when a semicolon ends it first.
fn item_body(code: &str, from: usize) -> Option<Range<usize>> {
    let mut nesting = 0_i32;
    let mut start = None;
    let mut braces = 0_i32;
    for (offset, byte) in code.bytes().enumerate().skip(from) {
        match (byte, start) {
            (b'(' | b'[', None) => nesting += 1,
            (b')' | b']', None) => nesting -= 1,
            (b';', None) if nesting == 0 => return None,
            (b'{', None) if nesting == 0 => {
                start = Some(offset);
                braces = 1;
            }
            (b'{', Some(_)) => braces += 1,
            (b'}', Some(begin)) => {
                braces -= 1;
                if braces == 0 {
                    return Some(begin..offset + 1);
                }
            }
            _ => {}
        }
    }
    None
}

const CFG_TEST: &str = "#[cfg(test)]";

fn test_ranges(code: &str) -> Vec<Range<usize>> {
    code.match_indices(CFG_TEST)
        .map(|(offset, _)| {
            let after = offset + CFG_TEST.len();
            let end = match item_body(code, after) {
                Some(body) => body.end,
                None => code[after..].find(';').map_or(code.len(), |semicolon| after + semicolon + 1),
            };
            offset..end
        })
        .collect()
}

/// Paths without `.rs` of the modules that this file declares with `#[cfg(test)] mod name;`.
fn test_module_stems(file: &RustFile) -> Vec<String> {
    let dir = match file.path.trim_end_matches(".rs") {
        stem if stem.ends_with("/lib") || stem.ends_with("/main") => stem.rsplit_once('/').map_or("", |(dir, _)| dir),
        stem => stem,
    };
    let declared = |range: &Range<usize>| {
        let item = file.code[range.clone()].trim_start_matches(CFG_TEST).trim();
        let item = item.strip_prefix("pub(crate) ").unwrap_or(item);
        let name = item.strip_prefix("mod ")?.strip_suffix(';')?.trim();
        Some(format!("{dir}/{name}"))
    };
    file.test_ranges.iter().filter_map(declared).collect()
}

/// What the scanner is inside of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    LineComment,
    /// Depth of nesting.
    BlockComment(u32),
    /// A quoted literal and its quote.
    Quoted(u8),
    /// A raw string and the number of its hashes.
    Raw(usize),
}

/// `(code, comments)`: the text twice, each with the other's bytes blanked.
fn split(text: &str) -> (String, String) {
    let bytes = text.as_bytes();
    let mut code = vec![b' '; bytes.len()];
    let mut comments = code.clone();
    let mut inside = Inside::Code;
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        let rest = &bytes[i..];
        let (next, len) = step(inside, rest, i.checked_sub(1).and_then(|i| bytes.get(i)).copied());
        for (offset, &b) in rest.iter().enumerate().take(len) {
            let is_comment = matches!(inside, Inside::LineComment | Inside::BlockComment(_))
                || matches!(next, Inside::LineComment | Inside::BlockComment(_));
            // The quotes stay in the code, so that an empty literal is not mistaken for nothing.
            let is_code = inside == Inside::Code && !is_comment;
            if b == b'\n' || is_code {
                code[i + offset] = b;
            }
            if b == b'\n' || is_comment {
                comments[i + offset] = b;
            }
        }
        debug_assert!(len > 0, "the scanner stands still at byte {i} ({byte})");
        inside = next;
        i += len;
    }
    let ascii = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    // Multi-byte characters are blanked whole in one of the two and kept whole in the other, so both are UTF-8.
    (ascii(code), ascii(comments))
}

/// The state after the next `len` bytes of `rest`.
fn step(inside: Inside, rest: &[u8], before: Option<u8>) -> (Inside, usize) {
    let starts = |prefix: &[u8]| rest.starts_with(prefix);
    match inside {
        Inside::LineComment if starts(b"\n") => (Inside::Code, 1),
        Inside::BlockComment(depth) if starts(b"*/") && depth == 1 => (Inside::Code, 2),
        Inside::BlockComment(depth) if starts(b"*/") => (Inside::BlockComment(depth - 1), 2),
        Inside::BlockComment(depth) if starts(b"/*") => (Inside::BlockComment(depth + 1), 2),
        Inside::Quoted(_) if starts(b"\\") => (inside, rest.len().min(2)),
        Inside::Quoted(quote) if starts(&[quote]) => (Inside::Code, 1),
        Inside::Raw(hashes)
            if starts(b"\"") && rest[1..].iter().take(hashes).filter(|b| **b == b'#').count() == hashes =>
        {
            (Inside::Code, 1 + hashes)
        }
        Inside::Code => step_code(rest, before),
        _ => (inside, 1),
    }
}

fn step_code(rest: &[u8], before: Option<u8>) -> (Inside, usize) {
    let after_word = before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    match rest {
        [b'/', b'/', ..] => (Inside::LineComment, 2),
        [b'/', b'*', ..] => (Inside::BlockComment(1), 2),
        [b'"', ..] => (Inside::Quoted(b'"'), 1),
        [b'b' | b'c', b'"', ..] if !after_word => (Inside::Quoted(b'"'), 2),
        [b'r', ..] | [b'b' | b'c', b'r', ..] if !after_word => {
            let prefix = if rest[0] == b'r' { 1 } else { 2 };
            let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
            match rest.get(prefix + hashes) {
                Some(b'"') => (Inside::Raw(hashes), prefix + hashes + 1),
                _ => (Inside::Code, 1),
            }
        }
        // A quote opens a character when it closes after one, or is escaped; else it is a lifetime.
        [b'\'', b'\\', ..] => (Inside::Quoted(b'\''), 1),
        [b'\'', first, ..] => {
            let width = match first {
                0..=0x7f => 1,
                0xc0..=0xdf => 2,
                0xe0..=0xef => 3,
                _ => 4,
            };
            if rest.get(1 + width) == Some(&b'\'') { (Inside::Quoted(b'\''), 1) } else { (Inside::Code, 1) }
        }
        _ => (Inside::Code, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> RustFile {
        parse("agent/src/a.rs", text)
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = "let a = \"x // y \\\" z\"; // one\n/* two /* three */ */ let b = r#\"fn \"q\" \"#; let c = '\"'; let d: &'a str = b\"\\\\\";";
        let parsed = file(text);
        assert_eq!(parsed.code.len(), text.len());
        let squeezed: String = parsed.code.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed, "let a = \" ; let b = r#\" ; let c = ' ; let d: &'a str = b\" ;");
        let squeezed: String = parsed.comments.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed, "// one /* two /* three */ */");
    }

    #[test]
    fn functions_are_measured_without_comments_blank_lines_and_tests() {
        let text = "fn a(x: fn(u8) -> u8) -> [u8; 2]\nwhere\n    X: Y,\n{\n    // why\n\n    one();\n    {\n    }\n}\n\
                    trait T { fn none(&self); }\n#[cfg(test)]\nmod tests {\n    fn hidden() {\n    }\n}\n";
        assert_eq!(file(text).functions(), [Function { name: "a".to_owned(), line: 1, code_lines: 3 }]);
        assert_eq!(file(text).lines_outside_tests(), 11);
    }

    #[test]
    fn a_file_that_another_declares_as_its_tests_is_test_code() {
        let text = |path: &str, text: &str| TextFile { path: path.to_owned(), text: text.to_owned() };
        let files = [
            text("agent/src/tail.rs", "#[cfg(test)]\nmod tests;\nmod reader;"),
            text("agent/src/tail/tests.rs", ""),
            text("agent/src/tail/tests/more.rs", ""),
            text("agent/src/tail/reader.rs", ""),
        ];
        let is_test: Vec<bool> = parse_all(files.iter()).iter().map(|file| file.is_test).collect();
        assert_eq!(is_test, [false, true, true, false]);
    }

    #[test]
    fn odd_text_neither_panics_nor_hangs() {
        for text in ["'", "\"", "r#", "b'", "/*", "'\\", "é'é'", "fn", "#[cfg(test)]", "r\"", "c", "'字'"] {
            let parsed = file(text);
            assert_eq!(parsed.code.len(), text.len(), "{text}");
            parsed.functions();
        }
    }
}
