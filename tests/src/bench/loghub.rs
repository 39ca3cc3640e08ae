//! The pattern miner on the samples of loghub, over a copy that the caller has: files `*_2k.log_structured.csv`, in a
//! folder or one below it, with the columns `Content` and `EventTemplate`. One configuration for all of them.
//!
//! Where a folder has labels that were corrected (`…_structured_corrected.csv`) these are taken.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use logweir_proto::pattern::score::{self, Scores};

/// What the averages over all files must reach: GA, PA, FGA, FTA.
pub const GATES: [(&str, f64); 4] = [("GA", 0.92), ("PA", 0.60), ("FGA", 0.85), ("FTA", 0.50)];

const LABELS: &str = "_2k.log_structured.csv";
const CORRECTED: &str = "_2k.log_structured_corrected.csv";

/// The figures in the order of [`GATES`].
pub const fn figures(scores: &Scores) -> [f64; 4] {
    [scores.ga, scores.pa, scores.fga, scores.fta]
}

/// The scores of every file, by name.
pub fn corpus(folder: &Path) -> anyhow::Result<Vec<(String, Scores)>> {
    let mut files = labelled(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(labelled(&path)?);
        }
    }
    files.sort();
    ensure!(!files.is_empty(), "no *{LABELS} in {}", folder.display());
    let mut all = Vec::new();
    for path in files {
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let lines = lines(&String::from_utf8_lossy(&bytes)).with_context(|| path.display().to_string())?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        all.push((name.split('_').next().unwrap_or_default().to_owned(), score::mined(&lines)));
    }
    Ok(all)
}

fn labelled(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.to_string_lossy().into_owned();
        let corrected = name.strip_suffix(LABELS).map(|stem| PathBuf::from(format!("{stem}{CORRECTED}")));
        if let Some(corrected) = corrected {
            found.push(if corrected.is_file() { corrected } else { path });
        }
    }
    Ok(found)
}

/// Truth and line of each row.
fn lines(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut rows = rows(text).into_iter();
    let header = rows.next().context("an empty file")?;
    let column = |name: &str| header.iter().position(|own| own == name).with_context(|| format!("no column {name}"));
    let (content, template) = (column("Content")?, column("EventTemplate")?);
    let mut lines = Vec::new();
    for (index, row) in rows.enumerate() {
        let get = |column: usize| row.get(column).cloned().with_context(|| format!("row {} is short", index + 1));
        lines.push((get(template)?, get(content)?));
    }
    Ok(lines)
}

/// Rows of a CSV file: fields may stand in quotes, a quote in them is doubled.
fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            '\r' if !quoted => {}
            other => field.push(other),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_found_corrected_ones_first_and_scored() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("Shop");
        std::fs::create_dir(&below).expect("a folder");
        let body = |template: &str| {
            let row = |i: usize| format!("{i},\"order {i}, \"\"paid\"\"\",E1,\"{template}\"\r\n");
            "LineId,Content,EventId,EventTemplate\r\n".to_owned() + &(1..50).map(row).collect::<String>()
        };
        std::fs::write(below.join("Shop_2k.log_structured.csv"), body("wrong")).expect("writes");
        std::fs::write(below.join("Shop_2k.log_structured_corrected.csv"), body("order <*>, \"\"paid\"\""))
            .expect("writes");
        std::fs::write(folder.path().join("Other_2k.log_structured.csv"), body("wrong")).expect("writes");
        let all = corpus(folder.path()).expect("scores");
        let told: Vec<String> = all.iter().map(|(name, scores)| format!("{name} {:?}", figures(scores))).collect();
        assert_eq!(told, ["Other [1.0, 0.0, 1.0, 0.0]", "Shop [1.0, 1.0, 1.0, 1.0]"]);
        assert!(corpus(&below.join("..").join("Shop").join("nothing")).is_err());
    }
}
