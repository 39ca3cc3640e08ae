//! File and function size, module heads and module names.

use super::rust::RustFile;
use super::{Finding, Tree};

/// Lines of a file without its tests.
pub const FILE_LINES_MAX: usize = 600;
/// Lines of code in the body of a function.
pub const FUNCTION_LINES_MAX: usize = 70;

/// Names that say nothing about what a module is.
const EMPTY_NAMES: [&str; 5] = ["utils", "util", "common", "helpers", "types"];

pub fn files(tree: &Tree) -> Vec<Finding> {
    let sized = tree.rust.iter().map(|file| (file, file.lines_outside_tests()));
    let long = sized.filter(|(_, lines)| *lines > FILE_LINES_MAX).map(|(file, lines)| Finding {
        path: file.path.clone(),
        line: 1,
        what: format!("{lines} lines without tests, the cap is {FILE_LINES_MAX}"),
        mend: "split it by what its parts do".to_owned(),
    });
    long.collect()
}

/// `(median, p90)` of lines without tests, over the files that have any.
pub fn distribution(tree: &Tree) -> (usize, usize) {
    let mut lines: Vec<usize> =
        tree.rust.iter().map(RustFile::lines_outside_tests).filter(|lines| *lines > 0).collect();
    lines.sort_unstable();
    let at = |part: usize| lines.get(lines.len() * part / 100).copied().unwrap_or(0);
    (at(50), at(90))
}

pub fn functions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.rust {
        for function in file.functions().iter().filter(|function| function.code_lines > FUNCTION_LINES_MAX) {
            findings.push(Finding {
                path: file.path.clone(),
                line: function.line,
                what: format!(
                    "`{}` has {} lines of code, the cap is {FUNCTION_LINES_MAX}",
                    function.name, function.code_lines
                ),
                mend: "take a step out and give it a name".to_owned(),
            });
        }
    }
    findings
}

/// Every module says what it is before anything else; the file of a module's own tests is said by its name.
pub fn heads(tree: &Tree) -> Vec<Finding> {
    let headless = tree.rust.iter().filter(|file| !file.text.starts_with("//! ") && !is_unit_tests(file));
    let finding = |file: &RustFile| Finding {
        path: file.path.clone(),
        line: 1,
        what: "the file does not begin with a `//!` head".to_owned(),
        mend: "say in a sentence what the module is".to_owned(),
    };
    headless.map(finding).collect()
}

fn is_unit_tests(file: &RustFile) -> bool {
    file.is_test && file.path.contains("/src/")
}

pub fn names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.rust {
        let mut parts = file.path.trim_end_matches(".rs").split('/');
        let what = match parts.clone().next_back() {
            Some("mod") => "a `mod.rs`",
            _ if parts.any(|part| EMPTY_NAMES.contains(&part)) => "a name that says nothing",
            _ => continue,
        };
        findings.push(Finding {
            path: file.path.clone(),
            line: 1,
            what: what.to_owned(),
            mend: "use `foo.rs` beside `foo/`, named for what it does".to_owned(),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::listed;
    use super::*;

    #[test]
    fn a_long_file_is_found_and_its_tests_are_free() {
        let long = "//! A.\n".to_owned() + &"let a = 1;\n".repeat(FILE_LINES_MAX);
        let tested = format!("//! A.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "    a();\n".repeat(FILE_LINES_MAX));
        let tree = Tree::of(&[("a/src/long.rs", &long), ("a/src/tested.rs", &tested), ("a/tests/e2e.rs", &long)]);
        assert_eq!(
            listed(&files(&tree)),
            "a/src/long.rs:1: 601 lines without tests, the cap is 600; split it by what its parts do\n"
        );
        assert_eq!(distribution(&tree), (601, 601));
    }

    #[test]
    fn a_long_function_is_found() {
        let text = format!("//! A.\n\nfn long() {{\n{}}}\n", "    a();\n".repeat(FUNCTION_LINES_MAX + 1));
        let tree = Tree::of(&[("a/src/lib.rs", &text)]);
        assert_eq!(
            listed(&functions(&tree)),
            "a/src/lib.rs:3: `long` has 71 lines of code, the cap is 70; take a step out and give it a name\n"
        );
    }

    #[test]
    fn heads_and_names_are_checked() {
        let tree = Tree::of(&[("a/src/utils.rs", "use x;"), ("a/src/b/mod.rs", "//! B."), ("a/src/b.rs", "//! B.")]);
        assert_eq!(
            listed(&heads(&tree)),
            "a/src/utils.rs:1: the file does not begin with a `//!` head; say in a sentence what the module is\n"
        );
        let places: Vec<String> = names(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(places, ["a/src/utils.rs", "a/src/b/mod.rs"]);
    }
}
