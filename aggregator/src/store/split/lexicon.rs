//! The lexicon: words of sentences, small values and field names → blocks, in a tantivy segment.
//!
//! One document a block, whose number is the block's; one field, `term`, untokenised, without positions, norms and
//! store. A term begins with its class ([`class`]). The section is a bundle of tantivy's files, integers as varints:
//! `count`, per file `name_len name data_len`, then the data of all files in that order.
//!
//! tantivy trusts its files, and panics or asks for as much memory as they say: what guards it is the checksum of the
//! section, which finds damage, not a split that somebody with access to the folder has forged.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use logweir_proto::varint;
use tantivy::directory::{Directory, RamDirectory};
use tantivy::schema::{Field, IndexRecordOption, Schema, TantivyDocument, TextFieldIndexing, TextOptions};
use tantivy::{DocSet, Index, InvertedIndexReader, SegmentReader, TERMINATED};

use super::gate::Terms;
use super::hashes::Seeded;
use super::tally::{self, Cursor, Met};

/// What a term is, its first byte. The same bytes are hashed for the hash list.
pub mod class {
    /// A folded word.
    pub const WORD: u8 = b'w';
    /// The letters at the front of a variable word, at most three: what a prefix is looked up by.
    pub const FRONT: u8 = b'a';
    /// `field`, a zero byte, the folded value.
    pub const VALUE: u8 = b'v';
    /// A field that a block has.
    pub const FIELD: u8 = b'f';
}

/// Memory that tantivy may begin with; it grows when a segment has more terms.
const TANTIVY_BUDGET_BYTES: usize = 4 << 20;

/// Most files in a bundle.
const BUNDLE_FILES_MAX: u64 = 64;

/// Something is wrong with the lexicon.
#[derive(Debug, thiserror::Error)]
pub enum LexiconError {
    #[error(transparent)]
    Tantivy(#[from] tantivy::TantivyError),
    #[error("lexicon: {0}")]
    Read(#[from] std::io::Error),
    #[error("the bundle of the lexicon is damaged")]
    Bundle,
}

/// Slots for terms that were met lately, as a power of two.
const RECENT_LOG2: u32 = 10;

/// A short term as one number that no other has; never 0.
#[inline]
fn packed(term: &[u8]) -> Option<u128> {
    let len = term.len();
    if len >= 16 {
        return None;
    }
    // What the last bytes share with the first ones is the same in both.
    let bytes = match (term.first_chunk::<8>(), term.last_chunk::<8>()) {
        (Some(first), Some(last)) => {
            u128::from(u64::from_le_bytes(*first)) | u128::from(u64::from_le_bytes(*last)) << (8 * (len - 8))
        }
        _ => match (term.first_chunk::<4>(), term.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                u128::from(u32::from_le_bytes(*first)) | u128::from(u32::from_le_bytes(*last)) << (8 * (len - 4))
            }
            _ => term.iter().rev().fold(0, |all, byte| all << 8 | u128::from(*byte)),
        },
    };
    Some(bytes | (len as u128 + 1) << 120)
}

/// Collects the terms of block after block.
#[derive(Debug, Default)]
pub struct LexiconBuilder {
    terms: HashMap<Box<[u8]>, u32, Seeded>,
    /// Short terms that were met lately, as [`packed`], and their numbers.
    recent: Vec<(u128, u32)>,
    /// By number of the term.
    seen: Vec<Seen>,
    blocks: Vec<Vec<u32>>,
    /// By block before the current one, the rows of each of its terms; 0 where they are not known.
    rows: Vec<Vec<u32>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// The block after the last that has the term.
    until: u32,
    /// What that block has of a word.
    met: Met,
}

impl LexiconBuilder {
    /// Begins the next block.
    pub fn begin_block(&mut self) {
        self.end_block();
        self.blocks.push(Vec::new());
    }

    /// Notes the rows of the words of the last block.
    fn end_block(&mut self) {
        if let Some(block) = self.blocks.get(self.rows.len()) {
            self.rows.push(block.iter().map(|term| self.seen[*term as usize].met.rows()).collect());
        }
    }

    /// Distinct terms of the current block.
    pub fn block_terms(&self) -> usize {
        self.blocks.last().map_or(0, Vec::len)
    }

    /// Forgets the terms of the current block beyond the first `len`.
    pub fn truncate_block(&mut self, len: usize) {
        if let Some(block) = self.blocks.last_mut() {
            for term in block.drain(len.min(block.len())..) {
                self.seen[term as usize].until = 0;
            }
        }
    }

    /// Adds a term, with its class byte, to the current block; `true` if the block did not have it.
    pub fn add(&mut self, term: &[u8]) -> bool {
        let number = self.number(term);
        self.see(number)
    }

    /// Adds the term with a number.
    pub fn see(&mut self, number: u32) -> bool {
        self.see_first(number, Met::default())
    }

    /// Adds the word with a number, which stands in the rows at hand.
    pub fn see_word(&mut self, number: u32, at: &Cursor) {
        if !self.see_first(number, Met::first(at)) {
            self.seen[number as usize].met.again(at);
        }
    }

    /// The number of a term, with its class byte: the same in all blocks.
    pub fn number(&mut self, term: &[u8]) -> u32 {
        let Some(packed) = packed(term) else { return self.find_number(term) };
        let slot = (packed as u64 ^ (packed >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - RECENT_LOG2);
        match self.recent.get(slot as usize) {
            Some((recent, number)) if *recent == packed => return *number,
            Some(_) => {}
            None => self.recent = vec![(0, 0); 1 << RECENT_LOG2],
        }
        let number = self.find_number(term);
        self.recent[slot as usize] = (packed, number);
        number
    }

    fn find_number(&mut self, term: &[u8]) -> u32 {
        if let Some(number) = self.terms.get(term) {
            return *number;
        }
        let number = self.seen.len() as u32;
        self.terms.insert(term.into(), number);
        self.seen.push(Seen::default());
        number
    }

    fn see_first(&mut self, number: u32, met: Met) -> bool {
        let until = self.blocks.len() as u32;
        let seen = &mut self.seen[number as usize];
        if seen.until == until {
            return false;
        }
        *seen = Seen { until, met };
        if let Some(block) = self.blocks.last_mut() {
            block.push(number);
        }
        true
    }

    /// All terms, for the gate.
    pub fn filter(&self) -> Terms {
        let mut filter = Terms::new(self.terms.len());
        self.terms.keys().for_each(|term| filter.add(term));
        filter
    }

    /// The section of [`tally`].
    pub fn tally(&mut self) -> Vec<u8> {
        self.end_block();
        let blocks = self.blocks.len();
        let mut known = vec![0; self.seen.len()];
        let counted = || self.blocks.iter().zip(&self.rows).enumerate();
        for (term, _) in counted().flat_map(|(_, (terms, rows))| terms.iter().zip(rows)).filter(|(_, rows)| **rows > 0)
        {
            known[*term as usize] += 1;
        }
        let mut words: Vec<Option<(&str, Vec<u32>)>> = vec![None; self.seen.len()];
        for (term, number) in &self.terms {
            let word = term.strip_prefix(&[class::WORD]).filter(|_| tally::is_told(known[*number as usize], blocks));
            if let Some(word) = word.and_then(|word| std::str::from_utf8(word).ok()) {
                words[*number as usize] = Some((word, vec![0; blocks]));
            }
        }
        for (block, (terms, rows)) in counted() {
            for (term, rows) in terms.iter().zip(rows) {
                if let Some((_, of_blocks)) = &mut words[*term as usize] {
                    of_blocks[block] = *rows;
                }
            }
        }
        tally::encode(words.into_iter().flatten().collect(), blocks)
    }

    /// Writes the bundle.
    pub fn finish(self) -> Result<Vec<u8>, LexiconError> {
        let mut words: Vec<&str> = vec![""; self.seen.len()];
        for (term, number) in &self.terms {
            words[*number as usize] = std::str::from_utf8(term).map_err(|_| LexiconError::Bundle)?;
        }
        let (schema, field) = schema();
        let ram = RamDirectory::create();
        let builder = Index::builder().schema(schema);
        let mut writer = builder.single_segment_index_writer::<TantivyDocument>(ram.clone(), TANTIVY_BUDGET_BYTES)?;
        for block in &self.blocks {
            let mut document = TantivyDocument::default();
            for term in block {
                document.add_text(field, words[*term as usize]);
            }
            writer.add_document(document)?;
        }
        let index = writer.finalize()?;
        let mut files: Vec<PathBuf> = vec![PathBuf::from("meta.json")];
        for meta in index.searchable_segment_metas()? {
            files.extend(meta.list_files());
        }
        files.sort();
        bundle(&ram, &files)
    }
}

fn schema() -> (Schema, Field) {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer("raw")
        .set_index_option(IndexRecordOption::Basic)
        .set_fieldnorms(false);
    let mut schema = Schema::builder();
    let field = schema.add_text_field("term", TextOptions::default().set_indexing_options(indexing));
    (schema.build(), field)
}

fn bundle(ram: &RamDirectory, files: &[PathBuf]) -> Result<Vec<u8>, LexiconError> {
    let (mut head, mut data, mut count) = (Vec::new(), Vec::new(), 0);
    for path in files {
        // tantivy names files that it did not have to write, too.
        if !ram.exists(path).unwrap_or(false) {
            continue;
        }
        let file = ram.open_read(path).map_err(tantivy::TantivyError::from)?.read_bytes()?;
        let name = path.to_str().ok_or(LexiconError::Bundle)?;
        varint::put(&mut head, name.len() as u64);
        head.extend_from_slice(name.as_bytes());
        varint::put(&mut head, file.len() as u64);
        data.extend_from_slice(&file);
        count += 1;
    }
    let mut out = Vec::with_capacity(head.len() + data.len() + 2);
    varint::put(&mut out, count);
    out.extend_from_slice(&head);
    out.extend_from_slice(&data);
    Ok(out)
}

/// A lexicon that can be asked.
pub struct Lexicon {
    index: Arc<InvertedIndexReader>,
}

impl std::fmt::Debug for Lexicon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lexicon").field("terms", &self.index.terms().num_terms()).finish()
    }
}

impl Lexicon {
    pub fn open(bundle: &[u8]) -> Result<Lexicon, LexiconError> {
        let index = Index::open(unbundle(bundle)?)?;
        let field = index.schema().get_field("term")?;
        let segments = index.searchable_segments()?;
        let segment = segments.first().ok_or(LexiconError::Bundle)?;
        let index = SegmentReader::open(segment)?.inverted_index(field)?;
        Ok(Lexicon { index })
    }

    /// Flags the blocks that have exactly this term.
    pub fn find(&self, term: &[u8], blocks: &mut [bool]) -> Result<(), LexiconError> {
        if let Some(info) = self.index.terms().get(term)? {
            self.flag(&info, blocks)?;
        }
        Ok(())
    }

    /// Flags the blocks that have a term that begins so.
    pub fn find_prefix(&self, prefix: &[u8], blocks: &mut [bool]) -> Result<(), LexiconError> {
        let mut terms = self.index.terms().range().ge(prefix).into_stream()?;
        while terms.advance() && terms.key().starts_with(prefix) {
            self.flag(terms.value(), blocks)?;
            if blocks.iter().all(|flag| *flag) {
                break;
            }
        }
        Ok(())
    }

    /// All terms, for [`super::gate::Gate`].
    pub fn filter(&self) -> Result<Terms, LexiconError> {
        let terms = self.index.terms();
        let mut filter = Terms::new(terms.num_terms());
        let mut stream = terms.stream()?;
        while stream.advance() {
            filter.add(stream.key());
        }
        Ok(filter)
    }

    fn flag(&self, info: &tantivy::postings::TermInfo, blocks: &mut [bool]) -> Result<(), LexiconError> {
        let mut postings = self.index.read_postings_from_terminfo(info, IndexRecordOption::Basic)?;
        let mut block = postings.doc();
        while block != TERMINATED {
            *blocks.get_mut(block as usize).ok_or(LexiconError::Bundle)? = true;
            block = postings.advance();
        }
        Ok(())
    }
}

fn unbundle(mut input: &[u8]) -> Result<RamDirectory, LexiconError> {
    let input = &mut input;
    let count = varint::take(input).filter(|count| *count <= BUNDLE_FILES_MAX).ok_or(LexiconError::Bundle)?;
    let mut files = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let name = take(input).and_then(|name| std::str::from_utf8(name).ok()).ok_or(LexiconError::Bundle)?;
        files.push((name, varint::take(input).ok_or(LexiconError::Bundle)?));
    }
    let ram = RamDirectory::create();
    for (name, len) in files {
        let len = usize::try_from(len).map_err(|_| LexiconError::Bundle)?;
        let (data, rest) = input.split_at_checked(len).ok_or(LexiconError::Bundle)?;
        *input = rest;
        ram.atomic_write(Path::new(name), data)?;
    }
    Ok(ram)
}

fn take<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(varint::take(input)?).ok()?;
    let (bytes, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_term_is_one_number() {
        let mut found = HashMap::new();
        for len in 0..20usize {
            for first in [b'a', 0, 255] {
                let term: Vec<u8> = (0..len as u8).map(|i| if i == 0 { first } else { i }).collect();
                match packed(&term) {
                    Some(number) => {
                        assert_eq!(number.to_le_bytes()[..len], term[..]);
                        assert_eq!(found.entry(number).or_insert(term.clone()), &term);
                    }
                    None => assert!(len > 15),
                }
            }
        }
    }

    #[test]
    fn terms_are_found_in_their_blocks() {
        let mut builder = LexiconBuilder::default();
        for (i, terms) in [["wget", "wpost"], ["wget", "wgone"], ["fa", "wpost"]].into_iter().enumerate() {
            builder.begin_block();
            assert!(builder.add(terms[0].as_bytes()) && builder.add(terms[1].as_bytes()));
            assert!(!builder.add(terms[0].as_bytes()), "block {i} has it already");
        }
        builder.truncate_block(1);
        assert!(builder.add(b"wlate"));
        let bundle = builder.finish().expect("bundle");
        let lexicon = Lexicon::open(&bundle).expect("open");
        let find = |term: &str, prefix: bool| {
            let mut blocks = [false; 3];
            let found = if prefix {
                lexicon.find_prefix(term.as_bytes(), &mut blocks)
            } else {
                lexicon.find(term.as_bytes(), &mut blocks)
            };
            found.expect("find");
            blocks
        };
        assert_eq!(find("wget", false), [true, true, false]);
        assert_eq!(find("wpost", false), [true, false, false]);
        assert_eq!(find("wlate", false), [false, false, true]);
        assert_eq!(find("wg", true), [true, true, false]);
        assert_eq!(find("f", true), [false, false, true]);
        assert_eq!(find("x", false), [false; 3]);
        for cut in 0..bundle.len().min(300) {
            assert!(Lexicon::open(&bundle[..cut]).is_err(), "cut at {cut}");
        }
    }
}
