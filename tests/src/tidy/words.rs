//! Words that must not stand in the tree: quiet lints, panics, notes to self, registry hosts, odd characters.

use std::collections::BTreeMap;

use super::rust::RustFile;
use super::{Finding, TextFile, Tree};

/// `expect(` per 1,000 lines of a crate outside tests.
pub const EXPECTS_PER_1000_LINES_MAX: usize = 3;

/// Lints are answered with `#[expect(…, reason = "…")]`, which complains when it is not needed any more.
pub fn allows(tree: &Tree) -> Vec<Finding> {
    let found = tree.rust.iter().flat_map(|file| {
        let hits = file.code.match_indices("[allow(").map(|(offset, _)| offset);
        hits.map(|offset| {
            finding(file, offset, "`allow` attribute", "mend the cause, or `#[expect(lint, reason = \"…\")]`")
        })
    });
    found.collect()
}

pub fn unwraps(tree: &Tree) -> Vec<Finding> {
    let found = tree.rust.iter().flat_map(|file| {
        let hits = file.code_hits(".unwrap()");
        hits.map(|offset| finding(file, offset, "`unwrap` outside tests", "return an error, or `expect` an invariant"))
    });
    found.collect()
}

/// Panics on purpose are rare: they stand for invariants, and a crate has few of those.
pub fn expects(tree: &Tree) -> Vec<Finding> {
    let mut packages: BTreeMap<&str, Vec<&RustFile>> = BTreeMap::new();
    for file in &tree.rust {
        packages.entry(file.package()).or_default().push(file);
    }
    let mut findings = Vec::new();
    for (package, files) in packages {
        let lines: usize = files.iter().map(|file| file.lines_outside_tests()).sum();
        let places: Vec<(&RustFile, usize)> =
            files.iter().flat_map(|file| file.code_hits(".expect(").map(|offset| (*file, offset))).collect();
        // Below one allowed per thousand lines begun, a small crate could not have a single one.
        let max = EXPECTS_PER_1000_LINES_MAX * lines.div_ceil(1000);
        if places.len() > max {
            let what = format!("one of {} `expect` in {package}, its {lines} lines may have {max}", places.len());
            findings.extend(places.iter().map(|(file, offset)| finding(file, *offset, &what, "return an error")));
        }
    }
    findings
}

/// Work to be done lives in issues, not in the code.
pub fn notes(tree: &Tree) -> Vec<Finding> {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("to", "do!("), concat!("un", "implemented!(")];
    let mut findings = Vec::new();
    for file in tree.texts.iter().filter(|file| !is_data(&file.path)) {
        for (number, line) in (1..).zip(file.text.lines()) {
            if let Some(word) = words.iter().find(|word| line.contains(*word)) {
                let what = format!("`{word}`");
                let mend = "do it, or write an issue".to_owned();
                findings.push(Finding { path: file.path.clone(), line: number, what, mend });
            }
        }
    }
    findings
}

/// The line of `Cargo.lock` that names cargo's own index.
const LOCK_SOURCE: &str = concat!("registry+https://github.com/rust-lang/crates", ".io-index");

/// Clients find their registries by their own set-up; a host in a file would bypass a mirror.
pub fn registry_hosts(tree: &Tree) -> Vec<Finding> {
    let hosts = [
        concat!("crates", ".io"),
        concat!("npm", "js.org"),
        concat!("npm", "js.com"),
        concat!("yarn", "pkg.com"),
        concat!("pypi", ".org"),
        concat!("python", "hosted.org"),
        concat!("deb.", "debian.org"),
        concat!("security.", "debian.org"),
        concat!("docker", ".io/"),
        concat!("proxy.", "golang.org"),
    ];
    let mut findings = Vec::new();
    for file in &tree.texts {
        for (number, line) in (1..).zip(file.text.lines()) {
            let line = if file.path.ends_with("Cargo.lock") { line.replace(LOCK_SOURCE, "") } else { line.to_owned() };
            if let Some(host) = hosts.iter().find(|host| line.contains(*host)) {
                let what = format!("host of a package registry: {host}");
                let mend = "name the package and the client, not the host".to_owned();
                findings.push(Finding { path: file.path.clone(), line: number, what, mend });
            }
        }
    }
    findings
}

/// Characters that an editor does not show, or that make text read otherwise than it runs.
pub fn odd_characters(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.texts.iter().filter(|file| !is_data(&file.path)) {
        for (number, line) in (1..).zip(file.text.split('\n')) {
            if let Some(odd) = line.chars().find(|c| is_odd(*c) && !is_at_home(*c, file)) {
                let what = format!("character U+{:04X}", odd as u32);
                let mend = "write it as an escape, or remove it".to_owned();
                findings.push(Finding { path: file.path.clone(), line: number, what, mend });
            }
        }
    }
    findings
}

fn is_odd(c: char) -> bool {
    let bidi = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
    let invisible = matches!(c, '\u{200b}'..='\u{200d}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffd}' | '\u{ad}');
    c.is_control() || bidi || invisible
}

/// Tabs indent what is not Rust; what a test expects to be printed stands in it as it is.
fn is_at_home(c: char, file: &TextFile) -> bool {
    let in_rust = file.path.ends_with(".rs");
    match c {
        '\t' => !in_rust || is_unit_test(&file.path),
        '\u{fffd}' => in_rust && is_unit_test(&file.path),
        _ => false,
    }
}

fn is_unit_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Logs as they came from elsewhere, what a fuzzer found, and the licence: not ours to reword.
fn is_data(path: &str) -> bool {
    path.contains("/fixtures/") || path.starts_with("fuzz/corpus/") || path.contains("/samples/") || path == "LICENSE"
}

fn finding(file: &RustFile, offset: usize, what: &str, mend: &str) -> Finding {
    Finding { path: file.path.clone(), line: file.line_of(offset), what: what.to_owned(), mend: mend.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::listed;
    use super::*;

    /// `path:line` of each finding.
    fn places(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(|finding| format!("{}:{}", finding.path, finding.line)).collect()
    }

    #[test]
    fn quiet_lints_and_unwraps_are_found_in_code_only() {
        let text = "//! Not `#[allow(x)]` nor .unwrap().\n#[allow(dead_code)]\nfn a() { b().unwrap(); }\n\
                    #[cfg(test)]\nmod tests { fn c() { d().unwrap(); } }\n#![allow(x)]\nconst E: &str = \"#[allow(\";\n";
        let tree = Tree::of(&[("a/src/lib.rs", text), ("a/tests/it.rs", "fn a() { b().unwrap() }")]);
        assert_eq!(places(&allows(&tree)), ["a/src/lib.rs:2", "a/src/lib.rs:6"]);
        assert_eq!(
            listed(&unwraps(&tree)),
            "a/src/lib.rs:3: `unwrap` outside tests; return an error, or `expect` an invariant\n"
        );
    }

    #[test]
    fn a_crate_with_many_expects_is_found() {
        let few = "fn a() { b.expect(\"c\"); }\n".repeat(3);
        let many = "fn a() { b.expect(\"c\"); }\n".repeat(4);
        let tree = Tree::of(&[("few/src/lib.rs", &few), ("many/src/lib.rs", &many)]);
        assert_eq!(
            listed(&expects(&tree)).lines().next(),
            Some("many/src/lib.rs:1: one of 4 `expect` in many, its 4 lines may have 3; return an error")
        );
        assert_eq!(expects(&tree).len(), 4);
    }

    #[test]
    fn notes_to_self_are_found() {
        let text = format!("a\n// {}: later\n{}()\n", concat!("TO", "DO"), concat!("to", "do!"));
        let tree = Tree::of(&[("a/b.sh", &text), ("tests/fixtures/a.log", &text)]);
        assert_eq!(places(&notes(&tree)), ["a/b.sh:2", "a/b.sh:3"]);
    }

    #[test]
    fn registry_hosts_are_found_but_for_the_lock_of_cargo() {
        let lock = format!("source = \"{LOCK_SOURCE}\"\n");
        let npm = format!("\"resolved\": \"https://registry.{}/a\"\n", concat!("npm", "js.org"));
        let tree = Tree::of(&[("Cargo.lock", &lock), ("README.md", &lock), ("d/package-lock.json", &npm)]);
        assert_eq!(places(&registry_hosts(&tree)), ["README.md:1", "d/package-lock.json:1"]);
    }

    #[test]
    fn characters_that_nobody_sees_are_found() {
        let tree = Tree::of(&[
            ("a.rs", "a\u{202e}b\n\tc\nü…✓\n"),
            ("Makefile", "a:\n\tb\n"),
            ("b.md", "a\r\n\u{1b}[0m\n"),
            ("c/src/d/tests.rs", "\t\u{fffd}"),
        ]);
        assert_eq!(places(&odd_characters(&tree)), ["a.rs:1", "a.rs:2", "b.md:1", "b.md:2"]);
    }
}
