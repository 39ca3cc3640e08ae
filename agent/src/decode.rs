//! From bytes to records: pure functions over a window of a source.
//!
//! A decoder is given the bytes from a clean point on and pushes records that cover them without a hole. What it cannot
//! finish yet it leaves: the next window begins there, so that nothing is kept in memory between two reads and a
//! restart needs no more than an offset. Time is the caller's business: it says with [`Close`] what may wait no longer.

use logweir_proto::batch::{ChunkBuilder, SourceKind};
use serde::{Deserialize, Serialize};

pub mod cri;
pub mod docker;
pub mod encoding;
pub mod frames;
pub mod join;
pub mod lines;
pub mod multiline;
pub mod sink;
pub mod timestamp;

use encoding::Encoding;
use join::Envelope;
use multiline::StartRule;
use sink::{Sink, Told};

/// Whether lines are joined into one event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Multiline {
    /// By indentation and the trace formats of the common languages.
    #[default]
    Auto,
    None,
    /// An event begins where the operator's pattern says.
    Start(StartRule),
}

/// How a source is read.
#[derive(Debug, Clone, Copy)]
pub struct Format<'a> {
    pub kind: SourceKind,
    /// The file is a row of [`frames`], not of lines.
    pub framed: bool,
    pub encoding: Encoding,
    pub multiline: &'a Multiline,
    /// Longest text of one record.
    pub line_bytes: usize,
}

impl<'a> Format<'a> {
    /// Of a source of this kind; `format` is that of [`SourceInfo`](logweir_proto::batch::SourceInfo).
    pub fn new(kind: SourceKind, format: &str, multiline: &'a Multiline, line_bytes: usize) -> Format<'a> {
        let framed = kind != SourceKind::NginxAccess && format == frames::FORMAT;
        Format { kind, framed, encoding: Encoding::Bytes, multiline, line_bytes }
    }
}

/// The bytes at hand.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    pub bytes: &'a [u8],
    /// The byte before the window is not a line end: its first line is the rest of one that was cut.
    pub mid_line: bool,
    pub close: Close,
}

/// What the decoder must finish although it could go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Close {
    Nothing,
    /// Complete lines that wait for a continuation.
    Group,
    /// Also a line without its end and a record without its last piece.
    All,
}

/// Why bytes are left in a window, and so how long they may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// A line that could be continued, as any can.
    Line,
    /// A stack trace, of which more is likely.
    Trace,
    /// A line without its end, or a piece without its last.
    Piece,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes that the pushed records cover; what follows is a clean point.
    pub consumed: usize,
    /// `None` when nothing is left.
    pub open: Option<Open>,
    /// Records that were cut.
    pub truncated: u64,
    /// A record was finished while another one was open: between them there is no clean point.
    pub interleaved: bool,
}

/// Buffers that decoders use again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    joiner: join::Buffers,
    text: Vec<u8>,
    /// The records once more, for who asks.
    told: Option<Vec<Told>>,
}

impl Scratch {
    /// One that keeps each record, with the rule that joined it.
    pub fn telling() -> Scratch {
        Scratch { told: Some(Vec::new()), ..Scratch::default() }
    }

    /// The records that were decoded since the last time.
    pub fn take_told(&mut self) -> Vec<Told> {
        self.told.as_mut().map(std::mem::take).unwrap_or_default()
    }
}

/// Decodes a window into `out`.
pub fn decode(format: Format<'_>, window: Window<'_>, scratch: &mut Scratch, out: &mut ChunkBuilder) -> Decoded {
    let Scratch { joiner, text, told } = scratch;
    let envelope = match format.kind {
        _ if format.framed => Some(Envelope::Frames),
        SourceKind::Docker => Some(Envelope::Docker),
        SourceKind::Cri => Some(Envelope::Cri),
        _ => None,
    };
    if let Some(envelope) = envelope {
        return join::decode(envelope, format, window, joiner, &mut Sink::new(out, told.as_mut(), None));
    }
    if format.encoding == Encoding::Bytes {
        return decode_lines(format, window, &mut Sink::new(out, told.as_mut(), None));
    }
    let (before, bytes) = (out.end(), window.bytes);
    let mapped = format.encoding.transcode(bytes, before, window.close == Close::All, text);
    let window = Window { bytes: mapped.text, ..window };
    let decoded = decode_lines(format, window, &mut Sink::new(out, told.as_mut(), Some(mapped)));
    let consumed = (out.end() - before) as usize;
    // Half a character is no text yet, and waits like a line without its end.
    let waits = window.close != Close::All && consumed < bytes.len();
    Decoded { consumed, open: decoded.open.or(waits.then_some(Open::Piece)), ..decoded }
}

fn decode_lines(format: Format<'_>, window: Window<'_>, out: &mut Sink<'_>) -> Decoded {
    match format.kind {
        _ if *format.multiline == Multiline::None => lines::decode(format, window, out),
        SourceKind::NginxAccess | SourceKind::Json | SourceKind::Syslog | SourceKind::Journald => {
            lines::decode(format, window, out)
        }
        _ => lines::decode_joined(format, window, out),
    }
}
