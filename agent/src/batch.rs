//! A batch on its way: chunks of several sources collected, framed once, and cut in halves if a server wants less.

use std::collections::BTreeMap;

use bytes::Bytes;
use logweir_proto::batch::{BatchError, BodyBuilder, ChunkBuilder, Envelope, Gap, Header, SourceInfo};
use logweir_proto::json_len::json_len;

use crate::tail::checkpoint::PlannedRange;

/// `zstd -1`: the level at which the agent costs about as much as reading.
pub const ZSTD_LEVEL: i32 = 1;

/// Beyond this the sources of a header wait for the next: one source, the watermarks and the gaps fit above it.
pub const SOURCES_BYTES_GOAL: usize = 128 << 10;
/// What a chunk adds to the header at most.
const CHUNK_INFO_BYTES_MAX: usize = 160;
/// Cuts a text to so many bytes or fewer.
pub fn cut(text: &mut String, bytes_max: usize) {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

/// Bytes that something takes in a header.
pub fn json_bytes<T: serde::Serialize>(part: &T) -> usize {
    json_len(part).map_or(0, |len| len + 1)
}

/// Chunks that are collected.
#[derive(Debug, Default)]
pub struct Draft {
    body: BodyBuilder,
    sources: Vec<SourceInfo>,
    plan: Vec<PlannedRange>,
    whole: Vec<bool>,
    records: u64,
    /// An upper bound of what sources and chunks take in the header.
    header_bytes: usize,
}

/// A framed batch and what an answer to it means for the sources.
#[derive(Debug, Clone)]
pub struct Built {
    pub bytes: Bytes,
    pub plan: Vec<PlannedRange>,
    pub gaps: Vec<Gap>,
    pub records: u64,
    pub raw_bytes: usize,
    /// Per chunk: it has no clean point inside and stays in one piece.
    whole: Vec<bool>,
}

impl Draft {
    /// Adds a chunk; with `whole` it is never cut.
    pub fn push(&mut self, info: &SourceInfo, chunk: &ChunkBuilder, whole: bool) {
        let at = self.sources.iter().position(|source| source.id == info.id).unwrap_or_else(|| {
            self.header_bytes += json_bytes(info);
            self.sources.push(info.clone());
            self.sources.len() - 1
        });
        self.header_bytes += CHUNK_INFO_BYTES_MAX;
        self.body.push(at as u32, chunk);
        self.plan.push(PlannedRange { source: info.id.clone(), from: chunk.start(), to: chunk.end() });
        self.whole.push(whole);
        self.records += u64::from(chunk.records());
    }

    /// Names a source without bytes of it.
    pub fn announce(&mut self, info: &SourceInfo) {
        if !self.sources.iter().any(|source| source.id == info.id) {
            self.header_bytes += json_bytes(info);
            self.sources.push(info.clone());
        }
    }

    pub fn raw_bytes(&self) -> usize {
        self.body.raw_bytes()
    }

    /// Whether the header has no room for one more source.
    pub fn is_full(&self) -> bool {
        self.header_bytes >= SOURCES_BYTES_GOAL
    }

    pub fn records(&self) -> u64 {
        self.records
    }

    pub fn is_empty(&self) -> bool {
        self.plan.is_empty()
    }

    /// Frames it under `header`, whose sources and chunks are set from what was collected.
    pub fn finish(self, mut header: Header) -> Result<Built, BatchError> {
        header.sources = self.sources;
        let gaps = header.gaps.clone();
        let raw_bytes = self.body.raw_bytes();
        let bytes = Bytes::from(self.body.finish(header, ZSTD_LEVEL)?);
        Ok(Built { bytes, plan: self.plan, gaps, records: self.records, raw_bytes, whole: self.whole })
    }
}

impl Built {
    /// Two batches that hold the records of this one in order; `None` when it holds a single record or uncut chunk.
    ///
    /// Gaps go with the first half, watermarks with the second: they speak of everything before them.
    pub fn split(&self) -> Result<Option<(Built, Built)>, BatchError> {
        let envelope = Envelope::parse(&self.bytes)?;
        let body = envelope.decompress()?;
        let header = envelope.header;
        let is_whole = |chunk: usize| self.whole.get(chunk).copied().unwrap_or(false);
        let units: u64 = header
            .chunks
            .iter()
            .enumerate()
            .map(|(i, chunk)| if is_whole(i) { 1 } else { u64::from(chunk.records) })
            .sum();
        if units < 2 {
            return Ok(None);
        }
        let mut halves = [Draft::default(), Draft::default()];
        let mut parts: BTreeMap<(usize, usize), ChunkBuilder> = BTreeMap::new();
        let (mut seen, mut last_chunk) = (0, usize::MAX);
        body.for_each(&header, |chunk, record| {
            if !is_whole(chunk) || chunk != last_chunk {
                seen += 1;
            }
            last_chunk = chunk;
            let half = usize::from(seen > units / 2);
            let part = parts.entry((half, chunk)).or_insert_with(|| ChunkBuilder::new(record.start));
            part.push(record.text, record.advance, record.time_ns, record.stream, record.truncated);
        })?;
        let mut half = 0;
        for (i, chunk) in header.chunks.iter().enumerate() {
            // What a rule left out at the end of a chunk goes with its last part; without any record it is one.
            half = [1, 0].into_iter().find(|half| parts.contains_key(&(*half, i))).unwrap_or(half);
            let part = parts.entry((half, i)).or_insert_with(|| ChunkBuilder::new(chunk.start));
            part.skip(chunk.end - part.end());
        }
        for ((half, chunk), part) in &parts {
            let info = &header.sources[header.chunks[*chunk].source as usize];
            halves[*half].push(info, part, is_whole(*chunk));
        }
        let [first, second] = halves;
        let first_header = Header { watermarks: Vec::new(), chunks: Vec::new(), ..header.clone() };
        let second_header = Header { gaps: Vec::new(), chunks: Vec::new(), ..header };
        Ok(Some((first.finish(first_header)?, second.finish(second_header)?)))
    }
}

#[cfg(test)]
mod tests;
