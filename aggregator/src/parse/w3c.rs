//! W3C extended logs, as IIS writes them: `#Fields:` names the columns of the lines behind it.
//!
//! A source whose header was not seen, because it was read before a restart or is in an older file, is read by the
//! columns that IIS has unless it is told otherwise, where their number fits.

use super::http;
use super::line::{Line, Spelling, Value};
use super::number;
use super::piece::{Context, Piece, range_within};
use super::time;
use crate::names::{NameId, Names};

/// Most columns.
const COLUMNS_MAX: usize = 64;

const IIS: &str = "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) \
                   cs(Referer) sc-status sc-substatus sc-win32-status time-taken";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    /// `date time`, one behind the other, are the time.
    Date,
    Time,
    Millis(NameId),
    Int(NameId),
    Text(NameId),
    /// Its name cannot be one of a field.
    Nameless,
}

/// The parser of one source.
#[derive(Debug)]
pub(super) struct W3c {
    columns: Vec<Column>,
    /// Without one the columns are guessed: then numbers must be numbers.
    header_seen: bool,
    buffer: Vec<u8>,
}

impl W3c {
    pub(super) fn new(names: &mut Names) -> W3c {
        let columns = IIS.split(' ').filter(|name| !name.is_empty()).map(|name| column(name, names)).collect();
        W3c { columns, header_seen: false, buffer: Vec::new() }
    }

    /// Fills `line`; false, and nothing is filled, when the text is not of such a log.
    pub(super) fn parse(&mut self, piece: Piece<'_>, context: Context<'_>, names: &mut Names, line: &mut Line) -> bool {
        let text = piece.text.trim_ascii_end();
        if text.first() == Some(&b'#') {
            return self.directive(piece, text, names, line);
        }
        let words = || text.split(|byte| *byte == b' ');
        let Some(date) = self.columns.iter().position(|column| *column == Column::Date) else { return false };
        if words().take(COLUMNS_MAX + 1).count() != self.columns.len()
            || self.columns.get(date + 1) != Some(&Column::Time)
        {
            return false;
        }
        let place = |at| words().nth(at).map(|word| range_within(text, word));
        let (Some(day), Some(clock)) = (place(date), place(date + 1)) else { return false };
        // A date alone, or one with a zone, would be one column or three.
        let is_one = clock.end.saturating_sub(day.start) >= DATE_AND_TIME_BYTES && day.len() == DATE_BYTES;
        let Some((time_ns, spelling)) = time::whole(&text[day.start..clock.end], 0).filter(|_| is_one) else {
            return false;
        };
        let is_number = |word: &[u8]| word == b"-" || number::integer(word).is_some();
        let mut both = self.columns.iter().zip(words());
        if !self.header_seen && !both.all(|(column, word)| !matches!(column, Column::Int(_)) || is_number(word)) {
            return false;
        }
        line.time_ns = Some(time_ns);
        line.time_cut = piece.cut(day.start..clock.end, spelling);
        for (column, word) in self.columns.iter().zip(words()) {
            let range = range_within(text, word);
            match *column {
                _ if matches!(word, b"" | b"-") => {}
                Column::Date | Column::Time | Column::Nameless => {}
                Column::Millis(name) => match number::decimal(word) {
                    Some((value, spelling)) => line.push(name, Value::Float(value), piece.cut(range, spelling)),
                    None => piece.push(line, name, range),
                },
                Column::Int(name) => match number::integer(word) {
                    Some(value) => line.push(name, Value::Int(value), piece.cut(range, Spelling::Plain)),
                    None => piece.push(line, name, range),
                },
                Column::Text(name) => piece.push(line, name, range),
            }
        }
        http::synthesize_message(context.raw, line, &mut self.buffer);
        true
    }

    /// `#Fields: …` and its neighbours, which are messages.
    fn directive(&mut self, piece: Piece<'_>, text: &[u8], names: &mut Names, line: &mut Line) -> bool {
        const KNOWN: [&[u8]; 7] =
            [b"#Fields:", b"#Software:", b"#Version:", b"#Date:", b"#Start-Date:", b"#End-Date:", b"#Remark:"];
        if !KNOWN.iter().any(|known| text.starts_with(known)) {
            return false;
        }
        if let Some(list) = text.strip_prefix(KNOWN[0]) {
            let columns = list.split(u8::is_ascii_whitespace).filter(|name| !name.is_empty()).take(COLUMNS_MAX);
            self.columns = columns.map(|name| column(&String::from_utf8_lossy(name), names)).collect();
            self.header_seen = true;
        }
        piece.push(line, NameId::MESSAGE, 0..text.len());
        true
    }
}

/// `2026-11-20`
const DATE_BYTES: usize = 10;

/// `2026-11-20 09:10:02`
const DATE_AND_TIME_BYTES: usize = 19;

fn column(name: &str, names: &mut Names) -> Column {
    let own = match name {
        "date" => return Column::Date,
        "time" => return Column::Time,
        "time-taken" => return Column::Millis(NameId::DURATION_MS),
        "sc-status" => return Column::Int(NameId::STATUS),
        "sc-bytes" => return Column::Int(NameId::BYTES),
        "c-ip" => return Column::Text(NameId::CLIENT_IP),
        "cs-method" => return Column::Text(NameId::METHOD),
        "cs-uri-stem" => return Column::Text(NameId::PATH),
        "cs(User-Agent)" => return Column::Text(NameId::USER_AGENT),
        "cs-uri-query" => "query",
        "cs(Referer)" => "http_referer",
        "cs-username" => "remote_user",
        "cs-host" => "http_host",
        "cs-version" => "protocol",
        other => other,
    };
    let is_number = ["s-port", "c-port", "sc-substatus", "sc-win32-status", "cs-bytes"].contains(&own);
    let own: String = own.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    match names.intern(own.trim_matches('_')) {
        Some(name) if is_number => Column::Int(name),
        Some(name) => Column::Text(name),
        None => Column::Nameless,
    }
}
