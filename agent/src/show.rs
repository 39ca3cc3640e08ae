//! What the commands print: `discover` as a table for people or an object a line for programs, `redact` line by line.

use std::io::{self, BufRead, BufWriter, Write};

use serde_json::json;

use crate::redact::Redactor;
use crate::tail::discover::Finding;

/// Longest format that the table shows.
const FORMAT_CHARS_MAX: usize = 40;

pub fn json(findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    for finding in findings {
        let candidate = &finding.candidate;
        let object = json!({
            "path": candidate.path,
            "type": candidate.kind,
            "service": finding.service(),
            "format": candidate.format,
            "labels": candidate.labels,
            "skipped": finding.skipped,
            "why": finding.why,
        });
        writeln!(out, "{object}")?;
    }
    Ok(())
}

pub fn table(findings: &[Finding], out: &mut dyn Write) -> io::Result<()> {
    let (skipped, followed): (Vec<&Finding>, Vec<&Finding>) = findings.iter().partition(|finding| finding.skipped);
    let mut rows = vec![["PATH", "TYPE", "SERVICE", "FORMAT", "WHY"].map(str::to_owned)];
    rows.extend(followed.iter().map(|finding| row(finding)));
    columns(&rows, out)?;
    if followed.is_empty() {
        writeln!(out, "nothing found: name files in the configuration, or run as a user who may read the logs")?;
    }
    if !skipped.is_empty() {
        writeln!(out, "\nskipped")?;
        let rows: Vec<[String; 3]> =
            skipped.iter().map(|finding| [path(finding), kind(finding), finding.why.clone()]).collect();
        columns(&rows, out)?;
    }
    Ok(())
}

/// Copies lines, redacted, and ends with what was found.
pub fn redact(
    redactor: &Redactor,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let (mut line, mut redacted) = (Vec::new(), Vec::new());
    let (mut lines, mut changed) = (0u64, 0u64);
    while input.read_until(b'\n', &mut line)? > 0 {
        lines += 1;
        let end = line.len() - usize::from(line.ends_with(b"\n"));
        let hit = redactor.apply(&line[..end], &mut redacted);
        changed += u64::from(hit);
        out.write_all(if hit { &redacted } else { &line[..end] })?;
        out.write_all(&line[end..])?;
        line.clear();
    }
    out.flush()?;
    writeln!(notes, "{changed} of {lines} lines redacted")?;
    for (what, found) in redactor.take_counts() {
        writeln!(notes, "  {what}: {found}")?;
    }
    Ok(())
}

fn row(finding: &Finding) -> [String; 5] {
    let format = &finding.candidate.format;
    let mut shown: String = format.chars().take(FORMAT_CHARS_MAX).collect();
    if format.chars().count() > FORMAT_CHARS_MAX {
        shown.push('…');
    }
    if shown.is_empty() {
        shown.push('-');
    }
    [path(finding), kind(finding), finding.service().to_owned(), shown, finding.why.clone()]
}

/// Names of files and containers are other people's text: nothing of them may steer the terminal.
fn path(finding: &Finding) -> String {
    finding.candidate.path.display().to_string()
}

fn kind(finding: &Finding) -> String {
    serde_json::to_value(finding.candidate.kind)
        .ok()
        .and_then(|kind| Some(kind.as_str()?.to_owned()))
        .unwrap_or_default()
}

fn columns<const N: usize>(rows: &[[String; N]], out: &mut dyn Write) -> io::Result<()> {
    let clean = |text: &str| -> String { text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect() };
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.clone().map(|cell| clean(&cell))).collect();
    let widths: Vec<usize> =
        (0..N).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::{Action, Detector, Settings};

    #[test]
    fn redact_prints_lines_and_counts_apart() {
        let detectors = vec![(Detector::Email, Action::Mask), (Detector::Card, Action::Mask)];
        let redactor = Redactor::new(&Settings { detectors, ..Settings::default() }).expect("it is right");
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let input = b"from a@b.de to c@d.de\r\nkept\nlast 4111111111111111";
        redact(&redactor, &mut &input[..], &mut out, &mut notes).expect("memory");
        assert_eq!(String::from_utf8_lossy(&out), "from [email] to [email]\r\nkept\nlast [card]");
        assert_eq!(String::from_utf8_lossy(&notes), "2 of 3 lines redacted\n  email: 2\n  card: 1\n");
    }
}
