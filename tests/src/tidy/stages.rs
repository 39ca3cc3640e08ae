//! Import direction between the stages inside a crate: a stage does not know the one that it feeds.
//!
//! A table a crate: each top-level module and the modules that it may name. `pipeline` and the crate root wire the
//! others and are not listed. A module that is in no table is a finding, so that its place is decided when it appears.

use super::rust::RustFile;
use super::{Finding, Tree};

type Table = &'static [(&'static str, &'static [&'static str])];

/// Modules that see all others of their crate: `error` gathers what the stages return, each of which has its own.
const WIRING: [&str; 3] = ["pipeline", "main", "error"];

/// The crates with stages.
pub const STAGES: [(&str, Table); 1] = [(
    "aggregator",
    &[
        // What every stage may name.
        ("config", &[]),
        ("equal", &[]),
        ("metrics", &[]),
        ("names", &[]),
        ("quotes", &[]),
        ("ranges", &[]),
        ("spans", &["equal", "quotes"]),
        ("live", &["metrics", "store"]),
        // The way of the data, each knowing what it emits into and never who asks it.
        ("wal", &["config", "metrics", "ranges"]),
        ("parse", &["config", "equal", "metrics", "names", "quotes", "spans"]),
        ("store", &["config", "equal", "metrics", "names", "ranges", "parse"]),
        ("receive", &["config", "equal", "metrics", "names", "quotes", "ranges", "spans", "wal"]),
        ("search", &["config", "metrics", "names", "ranges", "parse", "store"]),
        // The doors, which put HTTP before the two ends.
        ("auth", &["config", "metrics", "receive"]),
        ("api", &["config", "metrics", "names", "ranges", "auth", "receive", "store", "search", "live"]),
        // `--stdin`: the same engine over a pipe.
        ("offline", &["names", "parse", "store", "search"]),
    ],
)];

pub fn stages(tree: &Tree) -> Vec<Finding> {
    STAGES.iter().flat_map(|(package, table)| package_stages(tree, package, table)).collect()
}

fn package_stages(tree: &Tree, package: &str, table: Table) -> Vec<Finding> {
    let mut findings = Vec::new();
    let sources = tree.rust.iter().filter(|file| file.package() == package && file.path.contains("/src/"));
    for file in sources.filter(|file| !file.is_test) {
        let Some(stage) = file.module_path().first().copied() else { continue };
        if WIRING.contains(&stage) || file.path.contains("/src/bin/") {
            continue;
        }
        let Some((_, allowed)) = table.iter().find(|(name, _)| *name == stage) else {
            findings.push(Finding {
                path: file.path.clone(),
                line: 1,
                what: format!("the module `{stage}` of {package} has no place"),
                mend: "add it to STAGES in tests/src/tidy/stages.rs".to_owned(),
            });
            continue;
        };
        let known = |name: &str| WIRING.contains(&name) || table.iter().any(|(other, _)| *other == name);
        for (offset, name) in imports(file) {
            if name != stage && !allowed.contains(&name) && known(name) {
                findings.push(Finding {
                    path: file.path.clone(),
                    line: file.line_of(offset),
                    what: format!("stage `{stage}` imports `{name}`"),
                    mend: "hand its output over in pipeline.rs, or move what both need below both".to_owned(),
                });
            }
        }
    }
    findings
}

/// Names after `crate::` outside tests, `crate::{a, b::c}` and a chain of `super::` to the root included.
fn imports(file: &RustFile) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for offset in file.code_hits("crate::") {
        heads_of_path(&file.code, offset + "crate::".len(), &mut found);
    }
    let to_root = "super::".repeat(file.module_path().len());
    for offset in file.code_hits(&to_root) {
        let longer =
            file.code[..offset].ends_with("super::") || file.code[offset + to_root.len()..].starts_with("super::");
        if !longer {
            heads_of_path(&file.code, offset + to_root.len(), &mut found);
        }
    }
    found
}

/// The first segment of the path at `from`, or of each path of the group there.
fn heads_of_path<'a>(code: &'a str, from: usize, found: &mut Vec<(usize, &'a str)>) {
    let mut depth = 0_usize;
    let mut expect_head = true;
    let mut start = None;
    for (offset, byte) in code.bytes().enumerate().skip(from) {
        let is_word = byte.is_ascii_alphanumeric() || byte == b'_';
        if let Some(begin) = start.filter(|_| !is_word) {
            found.push((begin, &code[begin..offset]));
            start = None;
        }
        match byte {
            _ if is_word && expect_head => {
                start = Some(offset);
                expect_head = false;
            }
            b'{' => depth += 1,
            b'}' if depth <= 1 => return,
            b'}' => depth -= 1,
            b',' if depth == 1 => expect_head = true,
            _ if depth == 0 && !expect_head && start.is_none() => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::listed;
    use super::*;

    #[test]
    fn a_stage_that_names_the_one_behind_it_is_found() {
        let tree = Tree::of(&[
            ("aggregator/src/lib.rs", "mod wal; use crate::api::Server;"),
            ("aggregator/src/pipeline.rs", "use crate::{api, store};"),
            ("aggregator/src/wal.rs", "use crate::ranges::Ranges;\nuse crate::store::Head;\n"),
            (
                "aggregator/src/parse/line.rs",
                "use crate::{names::NameId, search::{self, api}};\nfn a() { super::super::wal::b() }\n",
            ),
            ("aggregator/src/search.rs", "// crate::api\n#[cfg(test)]\nmod tests { use crate::api::Server; }\n"),
            ("aggregator/src/extra.rs", ""),
            ("agent/src/tail.rs", "use crate::store::X;"),
        ]);
        let mend = "hand its output over in pipeline.rs, or move what both need below both";
        let expected = [
            format!("aggregator/src/wal.rs:2: stage `wal` imports `store`; {mend}"),
            format!("aggregator/src/parse/line.rs:1: stage `parse` imports `search`; {mend}"),
            format!("aggregator/src/parse/line.rs:2: stage `parse` imports `wal`; {mend}"),
            "aggregator/src/extra.rs:1: the module `extra` of aggregator has no place; add it to STAGES in \
             tests/src/tidy/stages.rs"
                .to_owned(),
        ];
        assert_eq!(listed(&stages(&tree)).lines().collect::<Vec<_>>(), expected);
    }
}
