//! The records of an input that is read once, without following it: for `logweir-agent multiline`, which shows what would
//! be joined and by which rule, and for searches of a pipe.

use std::io::{self, Read, Write};

use logweir_proto::batch::ChunkBuilder;

use crate::decode::encoding::Encoding;
use crate::decode::sink::Told;
use crate::decode::{Close, Format, Scratch, Window, decode};
use crate::tail::reader::{WINDOW_BYTES, window_bytes_max};

/// Width of the columns before the text.
const MARGIN: usize = 26;

/// A record and the lines of the input that it stands for, the first and the last, from 1.
#[derive(Debug)]
pub struct Record<'a> {
    pub told: &'a Told,
    pub first_line: u64,
    pub last_line: u64,
}

/// Reads `input` to its end as the agent would and hands over its records; an error of `each` ends it.
pub fn records(
    format: Format<'_>,
    input: &mut dyn Read,
    each: &mut dyn FnMut(Record<'_>) -> io::Result<()>,
) -> io::Result<()> {
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
        for told in scratch.take_told() {
            let end = at + told.advance as usize;
            let newlines = memchr::memchr_iter(b'\n', &buffer[at..end]).count() as u64;
            each(Record { told: &told, first_line: line, last_line: line + newlines.saturating_sub(1) })?;
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

/// Prints the records of `input`.
pub fn print(format: Format<'_>, input: &mut dyn Read, out: &mut dyn Write) -> io::Result<()> {
    records(format, input, &mut |Record { told, first_line, last_line }| {
        let lines = if last_line > first_line { format!("{first_line}-{last_line}") } else { first_line.to_string() };
        let rule = if told.truncated { "piece" } else { told.rule.as_str() };
        show(&format!("{lines:<14}{rule:<12}"), &told.text, out)
    })
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
