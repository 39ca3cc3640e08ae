//! `docs/limits.md`, made from the constants themselves: every public one whose name ends in `_MAX`, `_MIN` or
//! `_DEFAULT`, with its own words.

use std::fmt::Write;

/// One limit, as it stands in the code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limit {
    /// `aggregator::wal::local`
    pub module: String,
    pub name: String,
    pub value: String,
    pub doc: String,
}

/// The limits of one file; `path` is relative to the repository.
pub fn limits_of(path: &str, source: &str) -> Vec<Limit> {
    let mut limits = Vec::new();
    let mut doc: Vec<&str> = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            break;
        }
        if let Some(text) = line.trim_start().strip_prefix("///") {
            doc.push(text.trim());
            continue;
        }
        if let Some(rest) = line.strip_prefix("pub const ") {
            let mut definition = rest.trim_end().to_owned();
            while !definition.ends_with(';') {
                let Some(more) = lines.next() else { break };
                definition = format!("{definition} {}", more.trim());
            }
            if let Some((name, value)) = name_and_value(&definition) {
                let module = module_of(path);
                limits.push(Limit { module, name, value, doc: doc.join(" ") });
            }
        }
        doc.clear();
    }
    limits
}

fn name_and_value(definition: &str) -> Option<(String, String)> {
    let (name, rest) = definition.split_once(':')?;
    let (_, value) = rest.split_once('=')?;
    let is_limit = ["_MAX", "_MIN", "_DEFAULT"].iter().any(|end| name.ends_with(end));
    is_limit.then(|| (name.to_owned(), readable(value.trim().trim_end_matches(';'))))
}

/// `16 << 20` is 16 MiB; the rest stays as it is written.
fn readable(value: &str) -> String {
    let Some((number, shift)) = value.split_once(" << ") else { return value.to_owned() };
    match (number.trim().parse::<u64>(), shift.trim()) {
        (Ok(number), "10") => format!("{number} KiB"),
        (Ok(number), "20") => format!("{number} MiB"),
        (Ok(number), "30") => format!("{number} GiB"),
        (Ok(number), shift) => shift.parse::<u32>().map_or_else(|_| value.to_owned(), |s| (number << s).to_string()),
        _ => value.to_owned(),
    }
}

fn module_of(path: &str) -> String {
    let path = path.trim_end_matches(".rs").trim_end_matches("/lib");
    path.replacen("/src/", "::", 1).replacen("/src", "", 1).replace('/', "::")
}

/// The document.
pub fn document(mut limits: Vec<Limit>) -> String {
    limits.sort();
    let mut out = String::from(
        "# Limits\n\nMade from the constants in the code by a test (`UPDATE_EXPECT=1 cargo test -p logweir-tests --test \
         tidy` writes it anew). What an operator can change is a key of the configuration and has its default here.\n",
    );
    let mut crate_name = "";
    for limit in &limits {
        let own = limit.module.split("::").next().unwrap_or_default();
        if own != crate_name {
            crate_name = own;
            let _ = write!(out, "\n## {own}\n\n| limit | value | |\n|---|---|---|\n");
        }
        let Limit { module, name, value, doc } = limit;
        let doc = doc.replace('|', "\\|");
        let _ = writeln!(out, "| `{module}::{name}` | {} | {doc} |", value.replace('|', "\\|"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_with_their_words_and_values() {
        let source = "/// Longest line,\n/// in bytes.\npub const LINE_BYTES_MAX: usize = 1 << 20;\npub const OTHER: u8 = 1;\n\
                      pub const WAIT_MAX: Duration =\n    Duration::from_secs(5);\n#[cfg(test)]\npub const X_MAX: u8 = 1;\n";
        let limits = limits_of("proto/src/batch.rs", source);
        let short: Vec<_> = limits.iter().map(|l| (l.module.as_str(), l.name.as_str(), l.value.as_str())).collect();
        assert_eq!(
            short,
            [("proto::batch", "LINE_BYTES_MAX", "1 MiB"), ("proto::batch", "WAIT_MAX", "Duration::from_secs(5)")]
        );
        assert_eq!(limits[0].doc, "Longest line, in bytes.");
        assert!(document(limits).contains("| `proto::batch::LINE_BYTES_MAX` | 1 MiB | Longest line, in bytes. |"));
    }
}
