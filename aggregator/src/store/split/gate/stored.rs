//! A gate as a section of its split, so that the first needle after a start opens no split.
//!
//! It ends where the footer begins, whose place the trailer tells: one read at the end of the object finds it. Numbers are
//! varints unless a size is given; names are their length and bytes.
//!
//! | | |
//! |---|---|
//! | flags u8 | 1: some block has fields beyond the column limit; 2: the words of some block are not indexed |
//! | blocks | |
//! | fields: their number, and each | name, number of types, a letter for each (`s i f b`), rows |
//! | fields whose values are not indexed in some block: their number, and each | name |
//! | fields some of whose values are found by their words: their number, and each | name |
//! | offset, bytes | of the hashes section |
//! | head: its bytes, then they | all of the hash list before its pages ([`crate::store::split::hashes`]) |
//! | terms: number of words, and each as u64 | a Bloom filter of the terms of the lexicon ([`super::Terms`]) |
//! | grams: their number, and each | name of the field, `k` u8, 2^k bits ([`crate::store::split::grams`]) |
//! | 4, 4 | crc32 of all that is before, and its length |
//!
//! Without anything before these eight bytes the split has no stored gate.

use std::collections::BTreeMap;

use bytes::Bytes;
use logweir_proto::varint;

use super::Terms;
use crate::store::column::Kind;
use crate::store::segment::{BlockStat, FieldStat};
use crate::store::split::footer::{Footer, Section};
use crate::store::split::grams::Grams;
use crate::store::split::hashes::{HashList, Needs};

/// Bytes of the length and the checksum.
pub const END_BYTES: u64 = 8;

/// Largest gate that is stored.
pub const GATE_BYTES_MAX: usize = 4 << 20;

const EXTRA: u8 = 1;
const SCAN_WORDS: u8 = 2;

/// What a gate is made of beside the footer.
pub struct Stored<'a> {
    pub terms: Terms,
    /// The bytes of the hash list.
    pub hashes: &'a [u8],
    pub grams: BTreeMap<String, Grams>,
}

/// The section.
pub fn encode(footer: &Footer, stored: &Stored<'_>) -> Vec<u8> {
    let mut out = payload(footer, stored).filter(|payload| payload.len() <= GATE_BYTES_MAX).unwrap_or_default();
    let (crc, len) = (crc32fast::hash(&out), out.len() as u32);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out
}

fn payload(footer: &Footer, stored: &Stored<'_>) -> Option<Vec<u8>> {
    let Stored { terms, hashes, grams } = stored;
    let Needs::Bytes(head) = HashList::needs(hashes)? else { return None };
    let head = hashes.get(..usize::try_from(head).ok()?)?;
    let told = super::told(footer);
    let flag = |some: bool, flag: u8| if some { flag } else { 0 };
    let mut out = vec![flag(!told.extra_blocks.is_empty(), EXTRA) | flag(!told.scan_words.is_empty(), SCAN_WORDS)];
    varint::put(&mut out, footer.blocks.len() as u64);
    varint::put(&mut out, footer.fields.len() as u64);
    for (name, stat) in &footer.fields {
        put_bytes(&mut out, name.as_bytes());
        varint::put(&mut out, stat.types.len() as u64);
        out.extend(stat.types.iter().filter_map(|kind| kind.bytes().next()));
        varint::put(&mut out, stat.rows);
    }
    varint::put(&mut out, told.scan_values.len() as u64);
    told.scan_values.iter().for_each(|(_, name)| put_bytes(&mut out, name.as_bytes()));
    varint::put(&mut out, told.found_by_words.len() as u64);
    told.found_by_words.iter().for_each(|name| put_bytes(&mut out, name.as_bytes()));
    varint::put(&mut out, footer.sections.hashes.offset);
    varint::put(&mut out, footer.sections.hashes.bytes);
    put_bytes(&mut out, head);
    varint::put(&mut out, terms.words.len() as u64);
    terms.words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    varint::put(&mut out, grams.len() as u64);
    for (name, grams) in grams {
        put_bytes(&mut out, name.as_bytes());
        grams.put(&mut out);
    }
    Some(out)
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// How many bytes are before these last ones of the section.
pub fn len(end: &Bytes) -> Option<u64> {
    let len = u64::from(u32::from_le_bytes(*end.last_chunk()?));
    (len <= GATE_BYTES_MAX as u64).then_some(len)
}

/// What a section tells.
pub struct Read {
    /// What there is of the footer.
    pub told: Footer,
    pub blocks: usize,
    pub hashes_at: Section,
    pub terms: Terms,
    pub hashes: HashList,
    pub grams: BTreeMap<String, Grams>,
}

/// `None` when the section tells nothing.
pub fn decode(section: &Bytes) -> Result<Option<Read>, String> {
    let damaged = || "the gate section is damaged".to_owned();
    let (payload, end) = section.split_last_chunk::<8>().ok_or_else(damaged)?;
    let crc = u32::from_le_bytes([end[0], end[1], end[2], end[3]]);
    if u32::from_le_bytes([end[4], end[5], end[6], end[7]]) as usize != payload.len() || crc32fast::hash(payload) != crc
    {
        return Err("the gate section does not match its checksum".to_owned());
    }
    if payload.is_empty() {
        return Ok(None);
    }
    read(payload).map(Some).ok_or_else(damaged)
}

fn read(mut input: &[u8]) -> Option<Read> {
    let input = &mut input;
    let flags = take(input, 1)?[0];
    let blocks = usize::try_from(varint::take(input)?).ok()?;
    let once = |flag: u8| if flags & flag == 0 { Vec::new() } else { vec![0] };
    let mut footer = Footer {
        blocks: vec![BlockStat { rows: 1, min_time_ns: 0, max_time_ns: 0 }],
        extra_blocks: once(EXTRA),
        scan_words: once(SCAN_WORDS),
        ..Footer::default()
    };
    for _ in 0..varint::take(input)? {
        let name = take_name(input)?;
        let types = usize::try_from(varint::take(input)?).ok()?;
        let kind = |letter: &u8| {
            let kinds = [Kind::Str, Kind::Int, Kind::Float, Kind::Bool];
            kinds.map(Kind::name).into_iter().find(|name| name.bytes().next() == Some(*letter))
        };
        let types = take(input, types)?.iter().map(kind).collect::<Option<_>>()?;
        // How many rows have it is no matter to a gate, and differs from split to split.
        varint::take(input)?;
        footer.fields.insert(name, FieldStat { types, rows: 0 });
    }
    for _ in 0..varint::take(input)? {
        footer.scan_values.push((0, take_name(input)?));
    }
    for _ in 0..varint::take(input)? {
        footer.found_by_words.push(take_name(input)?);
    }
    let hashes_at = Section { offset: varint::take(input)?, bytes: varint::take(input)?, crc: 0 };
    let head = usize::try_from(varint::take(input)?).ok()?;
    let hashes = HashList::open(Bytes::copy_from_slice(take(input, head)?), hashes_at.bytes)?;
    let words = usize::try_from(varint::take(input)?).ok()?;
    let (words, _) = take(input, words.checked_mul(8)?)?.as_chunks::<8>();
    let terms = Terms { words: words.iter().map(|word| u64::from_le_bytes(*word)).collect() };
    let mut grams = BTreeMap::new();
    for _ in 0..varint::take(input)? {
        grams.insert(take_name(input)?, Grams::take(input)?);
    }
    let read = Read { told: footer, blocks, hashes_at, terms, hashes, grams };
    (blocks <= super::BLOCKS_MAX && !read.terms.words.is_empty()).then_some(read)
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (bytes, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(bytes)
}

fn take_name(input: &mut &[u8]) -> Option<String> {
    let len = usize::try_from(varint::take(input)?).ok()?;
    std::str::from_utf8(take(input, len)?).ok().map(str::to_owned)
}
