//! Where decoders put their records: into a chunk, with the byte counts of the file, which differ from those of the text
//! where that was UTF-16.

use logweir_proto::batch::{ChunkBuilder, Stream};

use super::encoding::Mapped;
use super::multiline::Rule;

/// One record on its way into a chunk.
#[derive(Debug, Clone, Copy)]
pub struct Cut<'a> {
    pub text: &'a [u8],
    /// Bytes of the decoded window that it stands for.
    pub advance: u64,
    pub time_ns: Option<i64>,
    pub stream: Stream,
    pub truncated: bool,
    pub rule: Rule,
}

impl<'a> Cut<'a> {
    /// A line without an envelope.
    pub fn line(text: &'a [u8], advance: u64, truncated: bool) -> Cut<'a> {
        Cut { text, advance, time_ns: None, stream: Stream::None, truncated, rule: Rule::Single }
    }
}

/// A record as it is shown to who asks why lines were joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub text: Vec<u8>,
    /// Bytes of the file that it stands for.
    pub advance: u64,
    /// The time of its envelope.
    pub time_ns: Option<i64>,
    pub stream: Stream,
    pub truncated: bool,
    pub rule: Rule,
}

/// A chunk under construction, and who wants to know why lines were joined.
#[derive(Debug)]
pub struct Sink<'a> {
    chunk: &'a mut ChunkBuilder,
    told: Option<&'a mut Vec<Told>>,
    mapped: Option<Mapped<'a>>,
}

impl<'a> Sink<'a> {
    pub fn new(chunk: &'a mut ChunkBuilder, told: Option<&'a mut Vec<Told>>, mapped: Option<Mapped<'a>>) -> Sink<'a> {
        Sink { chunk, told, mapped }
    }

    pub fn push(&mut self, cut: Cut<'_>) {
        let advance = self.mapped.as_mut().map_or(cut.advance, |mapped| mapped.file_bytes(cut.advance));
        self.chunk.push(cut.text, advance, cut.time_ns, cut.stream, cut.truncated);
        if let Some(told) = &mut self.told {
            let Cut { text, time_ns, stream, truncated, rule, .. } = cut;
            told.push(Told { text: text.to_vec(), advance, time_ns, stream, truncated, rule });
        }
    }
}
