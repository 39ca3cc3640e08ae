//! The batch: the one type behind every door, on the wire and in the WAL.
//!
//! ```text
//! magic "LWB" | version u8 = 1
//! header_len u32 | header, JSON | header_crc u32
//! raw_len u32 | body_len u32 | body, one zstd frame | body_crc u32
//! ```
//! Integers are little endian. The header is readable without decompressing anything: it names the agent, the sources
//! and the byte range of each chunk, which is all that deduplication needs. The body holds the chunks in the order of
//! the header, each `meta_len varint | meta | text`; see [`RecordRef`] for `meta`.
//!
//! A chunk stands for the bytes `[start, end)` of one source. Its records follow each other without a hole: the first
//! begins at `start`, each advances by the bytes that it stands for. What the sender left out on purpose (a drop rule)
//! is part of the record that follows; at the end of a chunk `meta` closes with its length as a varint, absent when zero.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::frame::{DecompressError, decompress};
use crate::record::EVENTS_PER_BATCH_MAX;
use crate::varint;

mod bytes;

use bytes::{put_u32, take_bytes, take_u32};

pub const MAGIC: [u8; 3] = *b"LWB";
pub const VERSION: u8 = 1;
/// The media type of `POST /api/v1/batches`.
pub const CONTENT_TYPE: &str = "application/vnd.logweir.batch";

/// Largest header: sources and ranges, no lines.
pub const HEADER_BYTES_MAX: usize = 4 << 20;
/// Largest body on the wire.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Largest body after decompression.
pub const RAW_BYTES_MAX: usize = 32 << 20;
/// Longest line that a record carries; the agent cuts longer ones and marks the rest.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// The `format` of a source whose file is a row of frames: Docker's `local` driver, and the spool of an agent.
pub const SPOOL_FORMAT: &str = "frames";

/// The level for a body that is over [`BODY_BYTES_MAX`] at the level that was asked for.
const ZSTD_LEVEL_SMALL: i32 = 3;

/// What kind of log a source is: it decides where the parser starts looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    NginxAccess,
    NginxError,
    Pm2,
    /// The log of the PM2 daemon itself: restarts and crash loops.
    Pm2Daemon,
    Docker,
    Cri,
    File,
    /// Records of `POST /api/v1/ingest`: each one a JSON object.
    Json,
    Syslog,
    /// Entries of the journal, as `journalctl -o json` writes them.
    Journald,
}

impl SourceKind {
    /// The value of the canonical field `source`.
    pub const fn source_name(self) -> &'static str {
        match self {
            SourceKind::NginxAccess | SourceKind::NginxError => "nginx",
            SourceKind::Pm2 | SourceKind::Pm2Daemon => "pm2",
            SourceKind::Docker => "docker",
            SourceKind::Cri => "cri",
            SourceKind::File => "file",
            SourceKind::Json => "json",
            SourceKind::Syslog => "syslog",
            SourceKind::Journald => "journald",
        }
    }
}

/// One incarnation of one log: a file from its creation to its truncation or removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// Unique within the agent, never used again for other bytes.
    pub id: String,
    pub kind: SourceKind,
    /// Where the lines come from, as a person would name it: a path.
    pub path: String,
    /// The `log_format` of an NGINX access log, or several ([`crate::formats`]); or [`SPOOL_FORMAT`]; else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub format: String,
    /// Canonical fields that hold for every line: `service`, `container`, `image`, `pm2_app`, `stream`, labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Who sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// Kept in the state directory for the life of the installation.
    pub id: String,
    pub host: String,
    pub version: String,
    /// Offset of the host's local time from UTC when the batch was built: for lines whose time has no zone.
    #[serde(default)]
    pub utc_offset_minutes: i16,
}

/// The bytes `[start, end)` of a source, as they stand in the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkInfo {
    /// Index into [`Header::sources`].
    pub source: u32,
    pub start: u64,
    pub end: u64,
    pub records: u32,
    /// Bytes of the chunk in the decompressed body.
    pub bytes: u32,
}

/// All of a source up to `offset` is in this batch or an earlier one, and that covers its time up to `time_ns`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watermark {
    pub source: String,
    pub offset: u64,
    /// Nanoseconds since the epoch, by the clock of the agent.
    pub time_ns: i64,
}

/// Bytes that nobody will ever read: counted and shown, never silent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub source: String,
    pub path: String,
    pub start: u64,
    /// `None` when the file went away before its size was seen.
    pub end: Option<u64>,
    pub reason: String,
}

/// The agent's own state, with each batch and on its own when idle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub sent_ns: i64,
    pub files: u32,
    /// Bytes that stand in the files and are not acknowledged yet.
    pub lag_bytes: u64,
    pub dropped_lines: u64,
    pub truncated_lines: u64,
    /// Lines that a drop or sampling rule left out since the agent started.
    #[serde(default)]
    pub filtered_lines: u64,
    /// Values that were masked, hashed or cut out since the agent started.
    #[serde(default)]
    pub redacted_values: u64,
    /// The agent ends by itself once everything is stored (`--once`): its silence afterwards is no fault.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub passing: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub agent: AgentInfo,
    /// Counts the batches of this run of the agent; for people and logs, not for deduplication.
    pub seq: u64,
    pub sources: Vec<SourceInfo>,
    pub chunks: Vec<ChunkInfo>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watermarks: Vec<Watermark>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    #[serde(default)]
    pub heartbeat: Heartbeat,
}

/// Why bytes are not a batch. The message is for the sender's operator.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    #[error("not a logweir batch: it does not begin with LWB")]
    Magic,
    #[error("batch version {0} is not supported, this build reads version {VERSION}: upgrade the aggregator")]
    Version(u8),
    #[error("batch ends within its {0}")]
    Truncated(&'static str),
    #[error("{what} of {bytes} bytes is over the limit of {max}")]
    TooLarge { what: &'static str, bytes: usize, max: usize },
    #[error("checksum of the {0} does not match")]
    Checksum(&'static str),
    #[error("header is not valid: {0}")]
    Header(#[from] serde_json::Error),
    #[error("chunk {chunk}: {reason}")]
    Chunk { chunk: usize, reason: &'static str },
    #[error("body: {0}")]
    Body(#[from] DecompressError),
}

/// A record's stream, where its source has two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    None,
    Stdout,
    Stderr,
}

impl Stream {
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Stream::None => None,
            Stream::Stdout => Some("stdout"),
            Stream::Stderr => Some("stderr"),
        }
    }
}

/// One event as its source wrote it.
///
/// In `meta` a record is `flags u8 | text_len varint | [advance varint] | [time zigzag varint, delta to the record
/// before]`. `advance` stands only where it is not `text_len + 1`, the plain line with its newline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Offset of its first byte in the source.
    pub start: u64,
    /// Bytes of the source that it stands for, line ends and envelopes included.
    pub advance: u64,
    /// The time that the envelope (Docker, CRI) gives, in nanoseconds since the epoch.
    pub time_ns: Option<i64>,
    pub stream: Stream,
    /// It was cut at the line limit, or ended without its end.
    pub truncated: bool,
    pub text: &'a [u8],
}

const FLAG_STDOUT: u8 = 1;
const FLAG_STDERR: u8 = 2;
const FLAG_TRUNCATED: u8 = 4;
const FLAG_TIME: u8 = 8;
const FLAG_ADVANCE: u8 = 16;
const FLAGS_KNOWN: u8 = 31;

/// Collects the records of one chunk.
#[derive(Debug, Default)]
pub struct ChunkBuilder {
    start: u64,
    end: u64,
    records: u32,
    meta: Vec<u8>,
    text: Vec<u8>,
    last_time_ns: i64,
    /// Bytes that were left out since the last record.
    skipped: u64,
}

impl ChunkBuilder {
    pub fn new(start: u64) -> ChunkBuilder {
        ChunkBuilder { start, end: start, ..ChunkBuilder::default() }
    }

    /// Adds the record that follows the last one; its `start` is where that one ended.
    pub fn push(&mut self, text: &[u8], advance: u64, time_ns: Option<i64>, stream: Stream, truncated: bool) {
        self.end += advance;
        let advance = advance + std::mem::take(&mut self.skipped);
        let mut flags = match stream {
            Stream::None => 0,
            Stream::Stdout => FLAG_STDOUT,
            Stream::Stderr => FLAG_STDERR,
        };
        if truncated {
            flags |= FLAG_TRUNCATED;
        }
        if time_ns.is_some() {
            flags |= FLAG_TIME;
        }
        let plain = advance == text.len() as u64 + 1;
        if !plain {
            flags |= FLAG_ADVANCE;
        }
        self.meta.push(flags);
        varint::put(&mut self.meta, text.len() as u64);
        if !plain {
            varint::put(&mut self.meta, advance);
        }
        if let Some(time_ns) = time_ns {
            varint::put(&mut self.meta, varint::zigzag(time_ns.wrapping_sub(self.last_time_ns)));
            self.last_time_ns = time_ns;
        }
        self.text.extend_from_slice(text);
        self.records += 1;
    }

    /// Leaves out the next bytes of the source on purpose: they belong to the record that follows, or to none.
    pub fn skip(&mut self, bytes: u64) {
        self.skipped += bytes;
        self.end += bytes;
    }

    /// Calls `each` for every record in order.
    pub fn for_each(&self, mut each: impl FnMut(RecordRef<'_>)) {
        let (mut meta, mut text) = (&self.meta[..], &self.text[..]);
        let (mut start, mut time) = (self.start, 0);
        for _ in 0..self.records {
            // What this builder wrote it can read.
            let Some(record) = take_record(&mut meta, &mut text, start, &mut time) else { return };
            start += record.advance;
            each(record);
        }
    }

    pub fn records(&self) -> u32 {
        self.records
    }

    pub fn start(&self) -> u64 {
        self.start
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes that it holds by now, for the limit of the batch.
    pub fn bytes(&self) -> usize {
        self.meta.len() + self.text.len()
    }
}

/// Builds the body of a batch and its chunk table.
#[derive(Debug, Default)]
pub struct BodyBuilder {
    raw: Vec<u8>,
    chunks: Vec<ChunkInfo>,
}

impl BodyBuilder {
    pub fn push(&mut self, source: u32, chunk: &ChunkBuilder) {
        let before = self.raw.len();
        let mut tail = Vec::new();
        if chunk.skipped > 0 {
            varint::put(&mut tail, chunk.skipped);
        }
        varint::put(&mut self.raw, (chunk.meta.len() + tail.len()) as u64);
        self.raw.extend_from_slice(&chunk.meta);
        self.raw.extend_from_slice(&tail);
        self.raw.extend_from_slice(&chunk.text);
        self.chunks.push(ChunkInfo {
            source,
            start: chunk.start,
            end: chunk.end,
            records: chunk.records,
            bytes: (self.raw.len() - before) as u32,
        });
    }

    pub fn raw_bytes(&self) -> usize {
        self.raw.len()
    }

    /// Adds a chunk of records of which nothing but the text is known; the first begins at `start`.
    pub fn push_plain(&mut self, source: u32, start: u64, texts: &[&[u8]]) {
        let before = self.raw.len();
        let text_len: usize = texts.iter().map(|text| text.len()).sum();
        let mut meta = Vec::with_capacity(4 * texts.len());
        for text in texts {
            meta.push(0);
            varint::put(&mut meta, text.len() as u64);
        }
        self.raw.reserve(varint::VARINT_BYTES_MAX + meta.len() + text_len);
        varint::put(&mut self.raw, meta.len() as u64);
        self.raw.extend_from_slice(&meta);
        for text in texts {
            self.raw.extend_from_slice(text);
        }
        self.chunks.push(ChunkInfo {
            source,
            start,
            end: start + (text_len + texts.len()) as u64,
            records: texts.len() as u32,
            bytes: (self.raw.len() - before) as u32,
        });
    }

    /// Compresses and frames the batch; `header.chunks` is replaced by what was pushed.
    pub fn finish(self, header: Header, zstd_level: i32) -> Result<Vec<u8>, BatchError> {
        Ok(self.frame(header, zstd_level)?.bytes)
    }

    /// The same, checked as [`Envelope`] checks what was sent, with what a reader of the bytes would find.
    pub fn finish_whole(self, header: Header, zstd_level: i32) -> Result<Whole, BatchError> {
        check_size("decompressed body", self.raw.len(), RAW_BYTES_MAX)?;
        let whole = self.frame(header, zstd_level)?;
        check_chunks(&whole.header, whole.body.bytes())?;
        Ok(whole)
    }

    fn frame(self, mut header: Header, zstd_level: i32) -> Result<Whole, BatchError> {
        header.chunks = self.chunks;
        let head_len = crate::json_len::json_len(&header)?;
        check_size("header", head_len, HEADER_BYTES_MAX)?;
        let mut body = zstd::bulk::compress(&self.raw, zstd_level).map_err(DecompressError::Zstd)?;
        if body.len() > BODY_BYTES_MAX {
            // A fast level was too fast for this one.
            body = zstd::bulk::compress(&self.raw, ZSTD_LEVEL_SMALL).map_err(DecompressError::Zstd)?;
            check_size("body", body.len(), BODY_BYTES_MAX)?;
        }
        let mut out = Vec::with_capacity(head_len + body.len() + 32);
        out.extend(MAGIC.iter().chain([&VERSION]));
        put_u32(&mut out, head_len);
        serde_json::to_writer(&mut out, &header)?;
        let head_crc = crc32fast::hash(&out[out.len() - head_len..]);
        out.extend_from_slice(&head_crc.to_le_bytes());
        put_u32(&mut out, self.raw.len());
        put_u32(&mut out, body.len());
        out.extend_from_slice(&body);
        out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        Ok(Whole { bytes: out, header, body: Body { raw: self.raw } })
    }
}

/// A batch as it goes over the wire or into the log, and what a reader of those bytes finds.
#[derive(Debug)]
pub struct Whole {
    pub bytes: Vec<u8>,
    pub header: Header,
    pub body: Body,
}

/// A checked batch whose body is still compressed: what admission and deduplication need.
#[derive(Debug)]
pub struct Envelope<'a> {
    pub header: Header,
    pub raw_len: usize,
    body: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Reads the header and checks both checksums and every limit, allocating nothing that the caps do not cover.
    pub fn parse(mut input: &'a [u8]) -> Result<Envelope<'a>, BatchError> {
        let start = take_bytes(&mut input, 4, "magic")?;
        if start[..3] != MAGIC {
            return Err(BatchError::Magic);
        }
        if start[3] != VERSION {
            return Err(BatchError::Version(start[3]));
        }
        let head_len = take_u32(&mut input, "header length")?;
        check_size("header", head_len, HEADER_BYTES_MAX)?;
        let head = take_bytes(&mut input, head_len, "header")?;
        if take_u32(&mut input, "header checksum")? != crc32fast::hash(head) as usize {
            return Err(BatchError::Checksum("header"));
        }
        let header: Header = serde_json::from_slice(head)?;
        let raw_len = take_u32(&mut input, "body length")?;
        check_size("decompressed body", raw_len, RAW_BYTES_MAX)?;
        let body_len = take_u32(&mut input, "body length")?;
        check_size("body", body_len, BODY_BYTES_MAX)?;
        let body = take_bytes(&mut input, body_len, "body")?;
        if take_u32(&mut input, "body checksum")? != crc32fast::hash(body) as usize {
            return Err(BatchError::Checksum("body"));
        }
        check_chunks(&header, raw_len)?;
        Ok(Envelope { header, raw_len, body })
    }

    /// A body whose records do not fill their chunks exactly is refused here, so nobody who has one walks it twice.
    pub fn decompress(&self) -> Result<Body, BatchError> {
        let raw = decompress(self.body, self.raw_len)?;
        if raw.len() != self.raw_len {
            return Err(BatchError::Truncated("decompressed body"));
        }
        let body = Body { raw };
        body.check(&self.header)?;
        Ok(body)
    }
}

fn check_chunks(header: &Header, raw_len: usize) -> Result<(), BatchError> {
    let mut bytes: u64 = 0;
    let mut records: u64 = 0;
    for (i, chunk) in header.chunks.iter().enumerate() {
        let fail = |reason| Err(BatchError::Chunk { chunk: i, reason });
        if chunk.source as usize >= header.sources.len() {
            return fail("names a source that the header does not list");
        }
        if chunk.end < chunk.start || (chunk.records > 0 && chunk.end == chunk.start) {
            return fail("its range is empty or backwards");
        }
        bytes += u64::from(chunk.bytes);
        records += u64::from(chunk.records);
    }
    if bytes != raw_len as u64 {
        return Err(BatchError::Chunk { chunk: header.chunks.len(), reason: "the chunks do not add up to the body" });
    }
    if records >= EVENTS_PER_BATCH_MAX {
        return Err(BatchError::TooLarge {
            what: "record count",
            bytes: records as usize,
            max: EVENTS_PER_BATCH_MAX as usize - 1,
        });
    }
    Ok(())
}

/// The decompressed body.
#[derive(Debug)]
pub struct Body {
    raw: Vec<u8>,
}

impl Body {
    /// Size after decompression.
    pub fn bytes(&self) -> usize {
        self.raw.len()
    }

    /// Calls `each(chunk index, record)` for every record in order.
    ///
    /// With the header that the body came with it cannot fail: [`Envelope::decompress`] has checked the two.
    pub fn for_each(&self, header: &Header, mut each: impl FnMut(usize, RecordRef<'_>)) -> Result<(), BatchError> {
        self.walk(header, &mut each)
    }

    /// Checks that the body is what its header says.
    pub fn check(&self, header: &Header) -> Result<(), BatchError> {
        self.walk(header, &mut |_, _| {})
    }

    fn walk(&self, header: &Header, each: &mut dyn FnMut(usize, RecordRef<'_>)) -> Result<(), BatchError> {
        let mut rest = &self.raw[..];
        for (i, chunk) in header.chunks.iter().enumerate() {
            let fail = |reason| BatchError::Chunk { chunk: i, reason };
            let mut part = take_bytes(&mut rest, chunk.bytes as usize, "chunk")?;
            let meta_len = varint::take(&mut part).ok_or(fail("its length is cut short"))?;
            if meta_len > part.len() as u64 {
                return Err(fail("its meta is longer than the chunk"));
            }
            let (mut meta, mut text) = part.split_at(meta_len as usize);
            let mut start = chunk.start;
            let mut time = 0i64;
            for _ in 0..chunk.records {
                let record = take_record(&mut meta, &mut text, start, &mut time)
                    .ok_or(fail("a record is cut short or too long"))?;
                start = start.checked_add(record.advance).ok_or(fail("its range overflows"))?;
                each(i, record);
            }
            if !meta.is_empty() {
                let skipped = varint::take(&mut meta).filter(|skipped| *skipped > 0);
                start = skipped.and_then(|skipped| start.checked_add(skipped)).ok_or(fail("its range overflows"))?;
            }
            if start != chunk.end || !meta.is_empty() || !text.is_empty() {
                return Err(fail("its records do not fill its range"));
            }
        }
        Ok(())
    }
}

fn take_record<'a>(meta: &mut &[u8], text: &mut &'a [u8], start: u64, time: &mut i64) -> Option<RecordRef<'a>> {
    let (&flags, rest) = meta.split_first()?;
    *meta = rest;
    if flags & !FLAGS_KNOWN != 0 {
        return None;
    }
    let text_len = usize::try_from(varint::take(meta)?).ok()?;
    let advance = if flags & FLAG_ADVANCE != 0 { varint::take(meta)? } else { text_len as u64 + 1 };
    let time_ns = if flags & FLAG_TIME != 0 {
        *time = time.wrapping_add(varint::unzigzag(varint::take(meta)?));
        Some(*time)
    } else {
        None
    };
    if text_len > text.len() || text_len > LINE_BYTES_MAX || advance == 0 {
        return None;
    }
    let (line, rest) = text.split_at(text_len);
    *text = rest;
    let stream = match flags & (FLAG_STDOUT | FLAG_STDERR) {
        0 => Stream::None,
        FLAG_STDOUT => Stream::Stdout,
        FLAG_STDERR => Stream::Stderr,
        _ => return None,
    };
    Some(RecordRef { start, advance, time_ns, stream, truncated: flags & FLAG_TRUNCATED != 0, text: line })
}

fn check_size(what: &'static str, bytes: usize, max: usize) -> Result<(), BatchError> {
    if bytes > max { Err(BatchError::TooLarge { what, bytes, max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
