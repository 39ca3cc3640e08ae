//! What is known of a split without reading its rows, and the fixed bytes that lead to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use logweir_proto::frame;
use serde::{Deserialize, Serialize};

use super::derived::{Piece, Template};
use super::foretold::Foretold;
use crate::ranges::SourceRanges;
use crate::store::column::{ColumnKey, Kind, Layout};
use crate::store::receipts::Span;
use crate::store::segment::{BlockStat, Counts, FieldStat};

/// The version that is written. Those from 1 on are read; 2 brought [`Footer::derived`] and the packed hash
/// list, 3 the pages of the hash list, 4 their groups, 5 [`Sections::tally`], 6 [`Sections::gate`] and
/// [`Footer::found_by_words`], 7 [`Sections::receipts`], [`Footer::received`] and the fifth form of the hash list, 8
/// [`Footer::foretold`].
pub const VERSION: u32 = 8;

/// From this version on a gate ends where the footer begins.
pub const GATE_VERSION: u32 = 6;

/// Bytes of the rows section that share a checksum: what is read at least.
pub const GRANULE_BYTES: u64 = 16 << 10;

/// Largest footer, decompressed.
pub const FOOTER_BYTES_MAX: usize = 64 << 20;

/// Bytes of the trailer.
pub const TRAILER_BYTES: usize = 40;

/// Bytes behind the Parquet metadata: its length and `PAR1`.
pub const PARQUET_TAIL_BYTES: usize = 8;

const MAGIC: &[u8; 8] = b"LWSPLIT1";

/// Where a section lies, and its crc32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    pub offset: u64,
    pub bytes: u64,
    pub crc: u32,
}

/// The sections of a split. The rows section begins at 0 and has its checksums in `sums`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sections {
    pub rows_bytes: u64,
    pub sums: Section,
    pub lexicon: Section,
    pub hashes: Section,
    pub shapes: Section,
    /// Without bytes before version 5.
    #[serde(default)]
    pub tally: Section,
    /// Without bytes before version 6.
    #[serde(default)]
    pub gate: Section,
    /// Without bytes before version 7, or when no receive time is known.
    #[serde(default)]
    pub receipts: Section,
}

/// What the catalogue knows of a split: enough to find it, to leave it out by its time, and to retire it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitMeta {
    /// The name of its object.
    pub path: String,
    /// Bytes of the object.
    pub bytes: u64,
    pub rows: u64,
    /// Bytes of its lines as they were written.
    pub raw_bytes: u64,
    pub min_time_ns: i64,
    pub max_time_ns: i64,
    /// The first WAL record with a row in it, and the one after the last.
    pub wal: (u64, u64),
    /// The retention class of all its rows; empty for the default one, and absent before there were classes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// Between which times its lines were received, both inside; absent where none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Span>,
    /// Rows of lines whose receive time is not known, beside others whose is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unreceived: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Per block how often each value of a field occurs; `None` where there are too many.
pub type BlockCounts = Vec<Option<Counts>>;

/// The footer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footer {
    /// As in the catalogue, except that `bytes` is 0: the footer is written before the end is known.
    pub meta: SplitMeta,
    pub sections: Sections,
    /// Byte ranges of sources whose lines are in here.
    pub ranges: SourceRanges,
    pub columns: Vec<ColumnKey>,
    pub fields: BTreeMap<String, FieldStat>,
    pub blocks: Vec<BlockStat>,
    /// Of each block between which times its lines were received; empty before version 7.
    pub received: Vec<Option<Span>>,
    /// Blocks with fields beyond the column limit.
    pub extra_blocks: Vec<u32>,
    /// Blocks whose words are not indexed.
    pub scan_words: Vec<u32>,
    /// Blocks and fields whose values are not indexed.
    pub scan_values: Vec<(u32, String)>,
    /// Fields of which some values are in the indexes as the words of messages alone ([`super::indexer::said`]).
    pub found_by_words: Vec<String>,
    /// By field.
    pub counts: BTreeMap<String, BlockCounts>,
    /// What messages are put together from that are not stored.
    pub derived: Vec<Template>,
    /// Which skeletons are not stored.
    pub foretold: Option<Foretold>,
}

/// The footer as JSON. Values of the counts stand once, in `values`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    meta: SplitMeta,
    sections: Sections,
    ranges: SourceRanges,
    columns: Vec<(String, String)>,
    fields: BTreeMap<String, (Vec<String>, u64)>,
    blocks: Vec<(u32, i64, i64)>,
    /// In milliseconds, the second as the difference to the first. Not before version 7.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    received: Vec<Option<(i64, i64)>>,
    extra_blocks: Vec<u32>,
    scan_words: Vec<u32>,
    scan_values: Vec<(u32, String)>,
    /// Not before version 6.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    found_by_words: Vec<String>,
    counts: BTreeMap<String, StoredCounts>,
    /// Not in version 1.
    #[serde(default)]
    derived: Vec<Vec<StoredPart>>,
    /// Not before version 8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    foretold: Option<Foretold>,
}

/// A literal, or a field and its type.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredPart {
    Literal(String),
    Column(String, String),
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCounts {
    values: Vec<String>,
    blocks: Vec<Option<Vec<(u32, u32)>>>,
}

impl Footer {
    pub fn layout(&self) -> Layout {
        Layout::new(self.columns.clone())
    }

    /// The bytes in the object; an error if no reader would take them.
    pub fn encode(&self) -> std::io::Result<Vec<u8>> {
        self.encode_within(FOOTER_BYTES_MAX)
    }

    fn encode_within(&self, bytes_max: usize) -> std::io::Result<Vec<u8>> {
        let stored = Stored {
            meta: self.meta.clone(),
            sections: self.sections,
            ranges: self.ranges.clone(),
            columns: self.columns.iter().map(|key| (key.field.to_string(), key.kind.name().to_owned())).collect(),
            fields: self.fields.iter().map(|(name, stat)| (name.clone(), stored_field(stat))).collect(),
            blocks: self.blocks.iter().map(|b| (b.rows, b.min_time_ns, b.max_time_ns)).collect(),
            received: self.received.iter().map(|span| span.map(stored_span)).collect(),
            extra_blocks: self.extra_blocks.clone(),
            scan_words: self.scan_words.clone(),
            scan_values: self.scan_values.clone(),
            found_by_words: self.found_by_words.clone(),
            counts: self.counts.iter().map(|(name, blocks)| (name.clone(), stored_counts(blocks))).collect(),
            derived: self.derived.iter().map(stored_template).collect(),
            foretold: self.foretold.clone(),
        };
        let json = serde_json::to_vec(&stored)?;
        if json.len() > bytes_max {
            let reason = format!("{} bytes are over the limit of {bytes_max} bytes", json.len());
            return Err(std::io::Error::other(reason));
        }
        zstd::bulk::compress(&json, 3)
    }

    /// Reads the bytes of a footer.
    pub fn decode(bytes: &[u8]) -> Result<Footer, String> {
        let json = frame::decompress(bytes, FOOTER_BYTES_MAX).map_err(|error| format!("footer: {error}"))?;
        let stored: Stored = serde_json::from_slice(&json).map_err(|error| format!("footer: {error}"))?;
        let kind = |name: &str| Kind::of_name(name).ok_or_else(|| format!("footer: there is no type {name}"));
        let mut columns = Vec::with_capacity(stored.columns.len());
        for (field, kind_name) in stored.columns {
            columns.push(ColumnKey { field: field.into(), kind: kind(&kind_name)? });
        }
        let mut fields = BTreeMap::new();
        for (name, (types, rows)) in stored.fields {
            let types = types.iter().map(|name| Ok(kind(name)?.name())).collect::<Result<_, String>>()?;
            fields.insert(name, FieldStat { types, rows });
        }
        if stored.foretold.as_ref().is_some_and(|foretold| !foretold.fits(&columns)) {
            return Err("footer: what is foretold is not of its columns".to_owned());
        }
        let block = |(rows, min_time_ns, max_time_ns)| BlockStat { rows, min_time_ns, max_time_ns };
        let counts = stored.counts.into_iter().map(|(name, counts)| Some((name, read_counts(counts)?)));
        Ok(Footer {
            meta: stored.meta,
            sections: stored.sections,
            ranges: stored.ranges,
            columns,
            fields,
            blocks: stored.blocks.into_iter().map(block).collect(),
            received: stored.received.into_iter().map(|span| span.map(read_span)).collect(),
            extra_blocks: stored.extra_blocks,
            scan_words: stored.scan_words,
            scan_values: stored.scan_values,
            found_by_words: stored.found_by_words,
            counts: counts.collect::<Option<_>>().ok_or("footer: a count names a value that is not there")?,
            derived: stored.derived.into_iter().map(read_template).collect::<Result<_, _>>()?,
            foretold: stored.foretold,
        })
    }
}

fn stored_field(stat: &FieldStat) -> (Vec<String>, u64) {
    (stat.types.iter().map(|kind| (*kind).to_owned()).collect(), stat.rows)
}

const MS: i64 = 1_000_000;

fn stored_span((from, to): Span) -> (i64, i64) {
    (from.div_euclid(MS), to.div_euclid(MS).saturating_sub(from.div_euclid(MS)))
}

fn read_span((from, more): (i64, i64)) -> Span {
    (from.saturating_mul(MS), from.saturating_add(more).saturating_mul(MS))
}

fn stored_template(template: &Template) -> Vec<StoredPart> {
    let stored = |piece: &Piece| match piece {
        Piece::Literal(text) => StoredPart::Literal(text.to_string()),
        Piece::Column(key) => StoredPart::Column(key.field.to_string(), key.kind.name().to_owned()),
    };
    template.iter().map(stored).collect()
}

fn read_template(stored: Vec<StoredPart>) -> Result<Template, String> {
    let read = |part: StoredPart| match part {
        StoredPart::Literal(text) => Ok(Piece::Literal(text.into())),
        StoredPart::Column(field, kind) => {
            let kind = Kind::of_name(&kind).ok_or_else(|| format!("footer: there is no type {kind}"))?;
            Ok(Piece::Column(ColumnKey { field: field.into(), kind }))
        }
    };
    stored.into_iter().map(read).collect()
}

fn stored_counts(blocks: &[Option<Counts>]) -> StoredCounts {
    let mut stored = StoredCounts::default();
    for block in blocks {
        let numbered = block.as_ref().map(|counts| {
            let number = |(value, rows): &(String, u32)| {
                let at = stored.values.iter().position(|have| have == value).unwrap_or_else(|| {
                    stored.values.push(value.clone());
                    stored.values.len() - 1
                });
                (at as u32, *rows)
            };
            counts.iter().map(number).collect()
        });
        stored.blocks.push(numbered);
    }
    stored
}

fn read_counts(stored: StoredCounts) -> Option<BlockCounts> {
    let value = |(at, rows): (u32, u32)| Some((stored.values.get(at as usize)?.clone(), rows));
    let block = |counts: Option<Vec<(u32, u32)>>| match counts {
        Some(counts) => Some(Some(counts.into_iter().map(value).collect::<Option<Vec<_>>>()?)),
        None => Some(None),
    };
    stored.blocks.into_iter().map(block).collect()
}

/// The fixed bytes before the Parquet metadata.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trailer {
    pub version: u32,
    pub footer: Section,
    pub parquet_bytes: u32,
    pub parquet_crc: u32,
}

impl Trailer {
    pub fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut out = [0; TRAILER_BYTES];
        out[..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&self.version.to_le_bytes());
        out[12..20].copy_from_slice(&self.footer.offset.to_le_bytes());
        out[20..24].copy_from_slice(&(self.footer.bytes as u32).to_le_bytes());
        out[24..28].copy_from_slice(&self.footer.crc.to_le_bytes());
        out[28..32].copy_from_slice(&self.parquet_bytes.to_le_bytes());
        out[32..36].copy_from_slice(&self.parquet_crc.to_le_bytes());
        let crc = crc32fast::hash(&out[..36]);
        out[36..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Trailer, String> {
        if bytes.len() != TRAILER_BYTES || !bytes.starts_with(MAGIC) {
            return Err("the object is no split, or its end is damaged".to_owned());
        }
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if crc32fast::hash(&bytes[..36]) != u32_at(36) {
            return Err("the trailer does not match its checksum".to_owned());
        }
        let version = u32_at(8);
        if !(1..=VERSION).contains(&version) {
            return Err(format!("version {version} is not known here, 1 to {VERSION} are: a newer Logweir wrote it"));
        }
        let offset = u64::from(u32_at(12)) | (u64::from(u32_at(16)) << 32);
        Ok(Trailer {
            version,
            footer: Section { offset, bytes: u64::from(u32_at(20)), crc: u32_at(24) },
            parquet_bytes: u32_at(28),
            parquet_crc: u32_at(32),
        })
    }
}

/// Checks the bytes of a section.
pub fn check_section(name: &str, section: Section, bytes: &Bytes) -> Result<(), String> {
    if bytes.len() as u64 == section.bytes && crc32fast::hash(bytes) == section.crc {
        Ok(())
    } else {
        Err(format!("the {name} section does not match its checksum"))
    }
}

/// A footer and the layout of its columns.
#[derive(Debug)]
pub struct Known {
    pub footer: Footer,
    pub layout: Arc<Layout>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_that_could_not_be_read_is_not_written() {
        let meta = SplitMeta {
            path: "a".into(),
            bytes: 0,
            rows: 1,
            raw_bytes: 1,
            min_time_ns: 0,
            max_time_ns: 0,
            wal: (1, 2),
            class: "debug".into(),
            received: Some((1_000_000, 5_000_000)),
            unreceived: 1,
        };
        let footer = Footer {
            meta,
            sections: Sections::default(),
            ranges: SourceRanges::default(),
            columns: Vec::new(),
            fields: BTreeMap::new(),
            blocks: Vec::new(),
            received: vec![None, Some((-3_000_000, 5_000_000))],
            extra_blocks: Vec::new(),
            scan_words: Vec::new(),
            scan_values: Vec::new(),
            found_by_words: vec!["path".into()],
            counts: BTreeMap::new(),
            derived: vec![vec![
                Piece::Literal("took ".into()),
                Piece::Column(ColumnKey { field: "ms".into(), kind: Kind::Int }),
            ]],
            foretold: None,
        };
        assert_eq!(Footer::decode(&footer.encode().unwrap()), Ok(footer.clone()));
        let error = footer.encode_within(100).unwrap_err().to_string();
        assert!(error.ends_with("bytes are over the limit of 100 bytes"), "{error}");
    }
}
