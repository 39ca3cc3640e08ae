//! `logweir-agent multiline`: what of a file would be joined, record by record, with the rule that joined it.

use std::io::{self, Read, Write};

use logweir_proto::batch::ChunkBuilder;

use crate::decode::encoding::Encoding;
use crate::decode::{Close, Format, Scratch, Window, decode};
use crate::tail::reader::{WINDOW_BYTES, window_bytes_max};

/// Width of the columns before the text.
const MARGIN: usize = 26;

/// Reads `input` to its end as the agent would and prints its records.
pub fn print(format: Format<'_>, input: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
    let mut format = format;
    let mut scratch = Scratch::telling();
    let (mut buffer, mut ended, mut offset, mut line) = (Vec::new(), false, 0u64, 1u64);
    let mut mid_line = false;
    loop {
        if !ended {
            let got = input.take(WINDOW_BYTES as u64).read_to_end(&mut buffer)?;
            ended = got < WINDOW_BYTES;
        }
        if offset == 0 {
            format.encoding = Encoding::of(&buffer);
        }
        let full = ended || buffer.len() >= window_bytes_max(format.line_bytes);
        let close = if full { Close::All } else { Close::Nothing };
        let mut chunk = ChunkBuilder::new(offset);
        let decoded = decode(format, Window { bytes: &buffer, mid_line, close }, &mut scratch, &mut chunk);
        let mut at = 0;
        for record in scratch.take_told() {
            let end = at + record.advance as usize;
            let newlines = memchr::memchr_iter(b'\n', &buffer[at..end]).count() as u64;
            let last = line + newlines.saturating_sub(1);
            let lines = if last > line { format!("{line}-{last}") } else { line.to_string() };
            let rule = if record.truncated { "piece" } else { record.rule.as_str() };
            show(&format!("{lines:<14}{rule:<12}"), &record.text, out)?;
            line += newlines;
            at = end;
        }
        let taken = decoded.consumed;
        let before = &buffer[taken.saturating_sub(2)..taken];
        mid_line = if taken == 0 { mid_line } else { !format.encoding.begins_line(before) };
        offset += taken as u64;
        buffer.drain(..taken);
        if ended && buffer.is_empty() {
            return Ok(());
        }
    }
}

fn show(head: &str, text: &[u8], out: &mut dyn Write) -> io::Result<()> {
    for (at, line) in String::from_utf8_lossy(text).split('\n').enumerate() {
        // Logs are other people's text: nothing of them may steer the terminal.
        let clean: String = line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect();
        let head = if at == 0 { head } else { "" };
        writeln!(out, "{}", format!("{head:<MARGIN$}{clean}").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
