//! What is kept of a split to tell, without opening it, that a search has nothing to find in it.
//!
//! An open split takes some hundred KiB of memory, so a few hundred stay open; a store may have thousands. A gate takes
//! some ten. It answers as if all rows of the split were one block: a Bloom filter has the terms of the lexicon, the
//! table of the hash list is here, and of the list itself one page is read. [`sieve`] asks many gates in turn.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::BuildHasher;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use logweir_runtime::open_files;

use self::sieve::Sieve;
use super::footer::{Footer, GATE_VERSION, Section};
use super::grams::Grams;
use super::hashes::{HashList, Seeded, hash64};
use super::tail::Tail;
use super::writer::BLOCKS_MAX;
use crate::store::objects::{Object, Objects};
use crate::store::segment::{BlockStat, FieldStat, Probe};

pub mod sieve;
pub mod stored;

/// Memory of all gates: those of some thousand splits.
pub const GATES_BYTES_MAX: u64 = 128 << 20;

/// Of the files that the process may open gates hold one part in so many: each holds its split.
const GATES_FILES_PART: usize = 4;

/// Files that the process is to be allowed to open, if it may raise its limit so far.
pub const OPEN_FILES_WANTED: u64 = 65_536;

/// Bits of the filter for each term, and how many of them are set: one term in 1,700 is taken for one that is there.
const TERM_BITS: usize = 16;
const TERM_PROBES: u32 = 8;

/// Splits of one kind have the same fields, mostly: of so many schemas that were met last gates share one.
const SCHEMAS_MAX: usize = 64;

/// Terms of the hash list of which a gate remembers that its split does not have them: 64 bytes.
const ABSENT_MAX: usize = 8;

/// A gate.
#[derive(Debug)]
pub struct Gate {
    schema: Arc<Schema>,
    terms: Terms,
    hashes: HashList,
    hashes_at: Section,
    blocks: usize,
    /// Of the fields in [`Schema::grams`].
    grams: Vec<Grams>,
    object: Arc<Object>,
    absent: Absent,
}

/// What a gate has of the footer of its split.
#[derive(Debug, PartialEq, Eq)]
pub struct Schema {
    /// As far as lookups ask for it, as if all rows were one block; without how many rows have a field.
    footer: Footer,
    /// Fields of whose texts it is known which three bytes in a row they have.
    grams: Vec<String>,
}

/// [`Schema::footer`] of a footer.
fn told(footer: &Footer) -> Footer {
    let once = |some: bool| if some { vec![0] } else { Vec::new() };
    let mut scan_values: Vec<(u32, String)> = footer.scan_values.iter().map(|(_, field)| (0, field.clone())).collect();
    scan_values.sort_unstable();
    scan_values.dedup();
    let field = |(name, stat): (&String, &FieldStat)| (name.clone(), FieldStat { types: stat.types.clone(), rows: 0 });
    Footer {
        fields: footer.fields.iter().map(field).collect(),
        blocks: vec![BlockStat { rows: 1, min_time_ns: 0, max_time_ns: 0 }],
        extra_blocks: once(!footer.extra_blocks.is_empty()),
        scan_words: once(!footer.scan_words.is_empty()),
        scan_values,
        found_by_words: footer.found_by_words.clone(),
        ..Footer::default()
    }
}

impl Gate {
    /// The gate that is stored in a split, if one is.
    pub fn open(objects: &Objects, path: &str) -> Result<Option<Gate>, String> {
        let tail = Tail::read(objects, path)?;
        if tail.trailer.version < GATE_VERSION {
            return Ok(None);
        }
        let damaged = || "the gate section is damaged".to_owned();
        let to = tail.trailer.footer.offset;
        let end = tail.piece(to.checked_sub(stored::END_BYTES).ok_or_else(damaged)?, stored::END_BYTES)?;
        let bytes = stored::len(&end).ok_or_else(damaged)? + stored::END_BYTES;
        let section = tail.piece(to.checked_sub(bytes).ok_or_else(damaged)?, bytes)?;
        let Some(read) = stored::decode(&section)? else { return Ok(None) };
        let (object, _) = tail.into_parts();
        let (names, grams) = read.grams.into_iter().unzip();
        Ok(Some(Gate {
            schema: Arc::new(Schema { footer: read.told, grams: names }),
            terms: read.terms,
            hashes: read.hashes,
            hashes_at: read.hashes_at,
            blocks: read.blocks,
            grams,
            object: Arc::new(object),
            absent: Absent::default(),
        }))
    }

    /// A gate made from an open split.
    pub fn new(footer: &Footer, terms: Terms, hashes: HashList, object: Arc<Object>) -> Gate {
        Gate {
            schema: Arc::new(Schema { footer: told(footer), grams: Vec::new() }),
            terms,
            hashes,
            hashes_at: footer.sections.hashes,
            blocks: footer.blocks.len(),
            grams: Vec::new(),
            object,
            absent: Absent::default(),
        }
    }

    /// The fields by name; in how many rows each is it does not know.
    pub fn fields(&self) -> &BTreeMap<String, FieldStat> {
        &self.schema.footer.fields
    }

    #[cfg(test)]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Whether some row may match.
    pub fn may_match(&self, probe: &Probe) -> Result<bool, String> {
        Sieve::new(|_| probe.clone()).may_match(self)
    }

    /// Whether the hash list may have the term of this hash. A page of it is read into the buffer, unless the answer is
    /// known.
    fn may_have_hash(&self, hash: u64, page: &mut Vec<u8>) -> Result<bool, String> {
        if self.absent.has(hash) {
            return Ok(false);
        }
        let found = self.hashes.may_have(hash, self.blocks, |span| self.read(span, page))?;
        let found = found.ok_or("the hashes section is damaged")?;
        if !found {
            self.absent.note(hash);
        }
        Ok(found)
    }

    /// Reads bytes of the hash list.
    fn read<'b>(&self, span: Range<u64>, buffer: &'b mut Vec<u8>) -> Result<&'b [u8], String> {
        let Section { offset, bytes, .. } = self.hashes_at;
        let at = |place: u64| offset.checked_add(place).filter(|_| place <= bytes);
        let (from, to) = at(span.start).zip(at(span.end)).ok_or("a piece lies outside its section")?;
        self.object.read_to(from..to, buffer).map_err(|error| error.to_string())
    }

    fn bytes(&self) -> u64 {
        // As if it had its schema alone.
        let fields = self.schema.footer.fields.keys().map(|name| 128 + name.len()).sum::<usize>();
        let grams = self.schema.grams.iter().zip(&self.grams).map(|(name, grams)| 96 + name.len() + grams.bytes());
        let lists = self.terms.words.len() * 8 + self.hashes.memory_bytes();
        (fields + grams.sum::<usize>() + lists + size_of::<Gate>() + 256) as u64
    }
}

/// Hashes that the hash list was asked for and does not have, each in its place: who asks the same again reads nothing.
/// Splits never change, and what the list has of a term is told by its hash alone.
#[derive(Debug)]
struct Absent([AtomicU64; ABSENT_MAX]);

impl Default for Absent {
    fn default() -> Absent {
        // In each place a hash that belongs to the next one.
        Absent(std::array::from_fn(|place| AtomicU64::new(place as u64 + 1)))
    }
}

impl Absent {
    fn at(&self, hash: u64) -> &AtomicU64 {
        &self.0[(hash % ABSENT_MAX as u64) as usize]
    }

    fn has(&self, hash: u64) -> bool {
        self.at(hash).load(Ordering::Relaxed) == hash
    }

    fn note(&self, hash: u64) {
        self.at(hash).store(hash, Ordering::Relaxed);
    }
}

/// A Bloom filter of terms.
#[derive(Debug, PartialEq)]
pub struct Terms {
    words: Vec<u64>,
}

impl Terms {
    /// For so many terms.
    pub fn new(terms: usize) -> Terms {
        Terms { words: vec![0; (terms * TERM_BITS).div_ceil(64).max(1)] }
    }

    pub fn add(&mut self, term: &[u8]) {
        let bits = self.words.len() as u64 * 64;
        for place in places(hash64(term), bits) {
            self.words[(place / 64) as usize] |= 1 << (place % 64);
        }
    }

    /// Whether the term of this [`hash64`] may be among them.
    fn may_have(&self, hash: u64) -> bool {
        let bits = self.words.len() as u64 * 64;
        places(hash, bits).all(|place| self.words[(place / 64) as usize] >> (place % 64) & 1 == 1)
    }
}

/// The bits of the term of a hash among `bits`.
fn places(hash: u64, bits: u64) -> impl Iterator<Item = u64> {
    // An odd step leads to different places.
    let step = hash.rotate_left(32) | 1;
    (0..u64::from(TERM_PROBES)).map(move |i| {
        let spread = u128::from(hash.wrapping_add(i.wrapping_mul(step))) * u128::from(bits);
        (spread >> 64) as u64
    })
}

/// The gates of splits by their names.
#[derive(Debug)]
pub struct Gates {
    bytes_max: u64,
    count_max: usize,
    inner: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// With the place of the name among the names.
    gates: HashMap<String, (usize, Arc<Gate>), Seeded>,
    /// Of the gates, in any order.
    names: Vec<String>,
    bytes: u64,
    /// Victims so far.
    gone: u64,
    /// The schemas met last.
    schemas: VecDeque<Arc<Schema>>,
}

impl Gates {
    pub fn new(bytes_max: u64) -> Gates {
        let files = usize::try_from(open_files::raise(OPEN_FILES_WANTED)).unwrap_or(usize::MAX);
        Gates { bytes_max, count_max: files / GATES_FILES_PART, inner: Mutex::default() }
    }

    pub fn get(&self, path: &str) -> Option<Arc<Gate>> {
        self.held().gates.get(path).map(|(_, gate)| Arc::clone(gate))
    }

    /// The gate with the schema of others, if they have the same.
    pub fn joined(&self, gate: Gate) -> Arc<Gate> {
        Arc::new(Gate { schema: self.held().shared(&gate.schema), ..gate })
    }

    /// Keeps a gate, instead of any others where there is no room. A search for what is rare asks all gates in turn: with
    /// the oldest one going first each would be gone just before it is asked again. One that has no room alone is not kept.
    pub fn insert(&self, path: &str, gate: &Arc<Gate>) {
        let mut held = self.held();
        held.remove(path);
        if gate.bytes() > self.bytes_max {
            return;
        }
        while held.bytes + gate.bytes() > self.bytes_max || held.names.len() >= self.count_max {
            let Some(any) = held.any() else { break };
            held.remove(&any);
        }
        held.bytes += gate.bytes();
        let place = held.names.len();
        held.names.push(path.to_owned());
        held.gates.insert(path.to_owned(), (place, Arc::clone(gate)));
    }

    /// Forgets a split that was removed.
    pub fn remove(&self, path: &str) {
        self.held().remove(path);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn shared(&mut self, schema: &Arc<Schema>) -> Arc<Schema> {
        if let Some(known) = self.schemas.iter().find(|known| **known == *schema) {
            return Arc::clone(known);
        }
        self.schemas.truncate(SCHEMAS_MAX - 1);
        self.schemas.push_front(Arc::clone(schema));
        Arc::clone(schema)
    }

    /// The name of any gate, another one each time: the first one of the map would be nearly always that which came last.
    fn any(&mut self) -> Option<String> {
        self.gone += 1;
        let count = u64::try_from(self.names.len()).ok().filter(|count| *count > 0)?;
        let place = self.gates.hasher().hash_one(self.gone) % count;
        self.names.get(place as usize).cloned()
    }

    fn remove(&mut self, path: &str) {
        let Some((place, gate)) = self.gates.remove(path) else { return };
        self.bytes -= gate.bytes();
        self.names.swap_remove(place);
        if let Some((moved, _)) = self.names.get(place).and_then(|name| self.gates.get_mut(name)) {
            *moved = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_that_are_there_are_found_and_few_others() {
        let term = |i: usize| format!("w{i}").into_bytes();
        let mut terms = Terms::new(5000);
        (0..5000).for_each(|i| terms.add(&term(i)));
        assert!((0..5000).all(|i| terms.may_have(hash64(&term(i)))));
        let wrong = (5000..105_000).filter(|i| terms.may_have(hash64(&term(*i)))).count();
        assert!(wrong < 200, "{wrong} of 100,000");
        assert!(!Terms::new(0).may_have(hash64(b"w")));
    }

    #[test]
    fn what_was_noted_last_in_its_place_is_absent_and_nothing_else() {
        let absent = Absent::default();
        assert!((0..100).all(|hash| !absent.has(hash)));
        let noted = [0, 9, 10, 17, u64::MAX];
        noted.iter().for_each(|hash| absent.note(*hash));
        let found: Vec<u64> = (0..100).chain([u64::MAX]).filter(|hash| absent.has(*hash)).collect();
        assert_eq!(found, [0, 10, 17, u64::MAX], "17 took the place of 9");
    }
}
