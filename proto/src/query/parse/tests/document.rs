//! `docs/query.md` promises only what the parser reads.

use super::*;
use crate::query::ast::ExprFunc;

const DOCUMENT: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/query.md"));

/// What stands between ```` ```query ```` and the end of its block.
fn blocks() -> Vec<&'static str> {
    DOCUMENT.split("```query\n").skip(1).filter_map(|rest| rest.split("\n```").next()).collect()
}

#[test]
fn every_example_is_read() {
    let blocks = blocks();
    assert!(blocks.len() > 10, "{} examples", blocks.len());
    for block in blocks {
        let query = parsed(block);
        assert_eq!(parsed(&query.to_string()), query, "{block}");
    }
}

/// The first column of the tables holds examples too, between backticks, when they are whole filters or times.
#[test]
fn what_the_tables_show_is_read() {
    let mut read = 0;
    for (heading, of_time) in [("## Words and phrases", false), ("## Fields", false), ("## Time", true)] {
        let section = DOCUMENT.split(heading).nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap_or_default();
        for row in section.lines().filter(|line| line.starts_with("| `")) {
            let cell = row.replace("\\|", "¦");
            let cell = cell.trim_start_matches('|').split('|').next().unwrap_or_default();
            for example in cell.split('`').skip(1).step_by(2).map(|example| example.replace('¦', "|")) {
                // `>=` alone continues the example before it; `…` stands for anything.
                let example = example.replace("in(… ", "in(* ");
                match example.as_str() {
                    ">=" | "<" | "<=" => {}
                    time if of_time => assert!(crate::query::value::parse_time(time, 0).is_some(), "{time}"),
                    query => drop(parsed(query)),
                }
                read += 1;
            }
        }
    }
    assert!(read > 40, "{read} examples");
}

#[test]
fn the_document_names_every_limit_and_every_pipe() {
    let limits = [
        format!("{} KiB", QUERY_BYTES_MAX / 1024),
        DEPTH_MAX.to_string(),
        PIPES_MAX.to_string(),
        format!("{REGEXES_MAX}, each {} MiB", REGEX_BYTES_MAX / 1024 / 1024),
        format!("1,024 bytes, {GLOB_WILDCARDS_MAX} wildcards"),
        "1,000,000".to_owned(),
        format!("{ROWS_DEFAULT} without a number"),
        format!("{EXPR_NODES_MAX} parts"),
        format!("{EXTRACTED_FIELDS_MAX} fields"),
        format!("{CONTEXT_ROWS_MAX} neighbours"),
    ];
    assert_eq!((GLOB_BYTES_MAX, ROWS_MAX), (1024, 1_000_000));
    let pipes = pipes::PIPES.iter().map(|(name, _)| format!("`{name}"));
    let exprs = ExprFunc::ALL.iter().map(|function| format!("`{}", function.as_str()));
    let functions = aggs::FUNCTIONS.iter().map(|name| format!("`{name}"));
    for text in limits.into_iter().chain(pipes).chain(exprs).chain(functions) {
        assert!(DOCUMENT.contains(&text), "docs/query.md does not say {text}");
    }
}
