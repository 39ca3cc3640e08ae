//! From bytes to records: pure functions over a window of a source.
//!
//! A decoder is given the bytes from a clean point on and pushes records that cover them without a hole. What it cannot
//! finish yet it leaves: the next window begins there, so that nothing is kept in memory between two reads and a
//! restart needs no more than an offset. Time is the caller's business: it says with [`Close`] what may wait no longer.

use logweir_proto::batch::{ChunkBuilder, SourceKind};
use serde::{Deserialize, Serialize};

pub mod cri;
pub mod docker;
pub mod join;
pub mod lines;
pub mod multiline;
pub mod timestamp;

/// Whether lines are joined into one event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Multiline {
    /// By indentation and the trace formats of the common languages.
    #[default]
    Auto,
    None,
}

/// How a source is read.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    pub kind: SourceKind,
    pub multiline: Multiline,
    /// Longest text of one record.
    pub line_bytes: usize,
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
}

/// Decodes a window into `out`.
pub fn decode(format: Format, window: Window<'_>, scratch: &mut Scratch, out: &mut ChunkBuilder) -> Decoded {
    match format.kind {
        SourceKind::Docker => join::decode(join::Envelope::Docker, format, window, &mut scratch.joiner, out),
        SourceKind::Cri => join::decode(join::Envelope::Cri, format, window, &mut scratch.joiner, out),
        SourceKind::NginxAccess | SourceKind::Json | SourceKind::Syslog | SourceKind::Journald => {
            lines::decode(format, window, out)
        }
        SourceKind::NginxError | SourceKind::Pm2 | SourceKind::Pm2Daemon | SourceKind::File => match format.multiline {
            Multiline::None => lines::decode(format, window, out),
            Multiline::Auto => lines::decode_joined(format, window, out),
        },
    }
}
