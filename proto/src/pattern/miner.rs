//! Patterns of a stream of messages: bounded memory, and ids that last.
//!
//! A masked text that was seen before is found by its hash, which is what happens to nearly every line. A new one is
//! compared with the patterns of the same shape (the same delimiters at the same places). It joins one that it fits, and
//! else becomes a pattern of its own. When [`MERGE_MIN`] patterns of a shape differ in the same few words, these words
//! vary, and the patterns become one with `<*>` at their places: words of a message that merely look alike (`connected`,
//! `disconnected`) stay apart, names of users and hosts do not. A number at a place where another line has a word makes
//! that place variable at once.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::mask::{self, Kind, Token};
use super::{ALGORITHM_VERSION, PatternId};

/// Patterns that a miner remembers; the ones that were not seen for the longest time are forgotten.
pub const PATTERNS_MAX: usize = 10_000;
/// Patterns that must differ in the same words before these count as variable.
pub const MERGE_MIN: usize = 5;
/// Known texts that are found without a comparison.
const CACHE_MAX: usize = 65_536;
/// Patterns of one shape that a new text is compared with.
const COMPARED_MAX: usize = 512;
/// Any token but a delimiter.
const ANY: &str = "<*>";

/// A token of a template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    text: Box<str>,
    spaced: bool,
    /// A word as it stands; else a mask, a delimiter or [`ANY`].
    word: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Pattern {
    id: PatternId,
    shape: u64,
    parts: Vec<Part>,
    count: u64,
    /// Number of its first message.
    born: u64,
    /// Number of the newest message: what was not used for long is forgotten first.
    used: u64,
}

impl Pattern {
    /// The places at which both have a word, not the same one.
    fn differing(&self, other: &Pattern) -> Vec<usize> {
        let pairs = self.parts.iter().zip(&other.parts).enumerate();
        let differ = |a: &Part, b: &Part| a.text != b.text && &*a.text != ANY && &*b.text != ANY;
        pairs.filter(|(_, (a, b))| differ(a, b)).map(|(place, _)| place).collect()
    }
}

/// Learns the patterns of messages.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Miner {
    patterns: HashMap<PatternId, Pattern>,
    /// Ids of patterns that became a part of another.
    aliases: HashMap<PatternId, PatternId>,
    messages: u64,
    patterns_max: Option<usize>,
    #[serde(skip)]
    shapes: HashMap<u64, Vec<PatternId>>,
    #[serde(skip)]
    cache: HashMap<u64, PatternId>,
}

/// What a message was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub id: PatternId,
    /// No message like it was there before.
    pub is_new: bool,
}

impl Miner {
    /// A miner that remembers fewer patterns than [`PATTERNS_MAX`].
    pub fn with_patterns_max(patterns_max: usize) -> Miner {
        Miner { patterns_max: Some(patterns_max.max(1)), ..Miner::default() }
    }

    /// The pattern of a message, learned when it is new.
    pub fn learn(&mut self, message: &str) -> Found {
        let tokens = mask::tokens(message);
        let hash = text_hash(&tokens);
        self.messages += 1;
        if let Some(pattern) = self.cache.get(&hash).and_then(|id| self.patterns.get_mut(id)) {
            pattern.count += 1;
            pattern.used = self.messages;
            return Found { id: pattern.id, is_new: false };
        }
        if self.shapes.is_empty() && !self.patterns.is_empty() {
            self.index();
        }
        let found = self.learn_slowly(&tokens, hash);
        if self.cache.len() >= CACHE_MAX {
            self.cache.clear();
        }
        self.cache.insert(hash, found.id);
        found
    }

    /// A text that is a pattern of its own, whatever it looks like.
    pub fn learn_exact(&mut self, text: &str) -> Found {
        let tokens = [Token { kind: Kind::Word(text), spaced: false }];
        self.messages += 1;
        let id = PatternId(text_hash(&tokens));
        if let Some(pattern) = self.patterns.get_mut(&id) {
            pattern.count += 1;
            pattern.used = self.messages;
            return Found { id, is_new: false };
        }
        self.make_room();
        let parts = tokens.iter().map(part).collect();
        self.patterns
            .insert(id, Pattern { id, shape: id.0, parts, count: 1, born: self.messages, used: self.messages });
        Found { id, is_new: true }
    }

    /// Whether a pattern is remembered, itself or as a part of another.
    pub fn knows(&self, id: PatternId) -> bool {
        self.patterns.contains_key(&self.resolve(id))
    }

    /// The template of a pattern, also by an id that it had before.
    pub fn template(&self, id: PatternId) -> Option<String> {
        let pattern = self.patterns.get(&self.resolve(id))?;
        let mut out = String::new();
        for part in &pattern.parts {
            if part.spaced && !out.is_empty() {
                out.push(' ');
            }
            out.push_str(&part.text);
        }
        Some(out)
    }

    /// The id that a pattern has now.
    pub fn resolve(&self, id: PatternId) -> PatternId {
        // An alias always points at an older pattern, so this ends.
        let mut id = id;
        while let Some(next) = self.aliases.get(&id) {
            id = *next;
        }
        id
    }

    /// Messages of a pattern so far.
    pub fn count(&self, id: PatternId) -> u64 {
        self.patterns.get(&self.resolve(id)).map_or(0, |pattern| pattern.count)
    }

    pub fn ids(&self) -> impl Iterator<Item = PatternId> {
        self.patterns.keys().copied()
    }

    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Forgets a pattern: a message like it is new again.
    pub fn forget(&mut self, id: PatternId) {
        let id = self.resolve(id);
        if let Some(pattern) = self.patterns.remove(&id) {
            self.unlist(pattern.shape, id);
        }
        self.aliases.retain(|_, to| *to != id);
        self.cache.clear();
    }

    /// The oldest pattern before this one from which it differs in few words: the two may become one.
    pub fn relative(&self, id: PatternId) -> Option<PatternId> {
        let new = self.patterns.get(&self.resolve(id))?;
        let words = new.parts.iter().filter(|part| part.word).count();
        let differ_max = (words / 4).max(1);
        let like = |other: &&Pattern| {
            other.born < new.born && other.parts.len() == new.parts.len() && new.differing(other).len() <= differ_max
        };
        let older = self.of_shape(new.shape).filter(like).filter(|_| words >= 2);
        older.min_by_key(|other| other.born).map(|other| other.id)
    }

    fn index(&mut self) {
        let mut all: Vec<&Pattern> = self.patterns.values().collect();
        // The order decides what a message joins, so it must not depend on a hash map.
        all.sort_by_key(|pattern| pattern.id);
        for pattern in all {
            self.shapes.entry(pattern.shape).or_default().push(pattern.id);
        }
    }

    fn learn_slowly(&mut self, tokens: &[Token<'_>], hash: u64) -> Found {
        let parts: Vec<Part> = tokens.iter().map(part).collect();
        let shape = shape_of(tokens);
        if let Some(id) = self.fitting(shape, &parts) {
            self.join(id, &parts);
            return Found { id, is_new: false };
        }
        let id = self.resolve(PatternId(hash));
        if let Some(pattern) = self.patterns.get_mut(&id) {
            pattern.count += 1;
            pattern.used = self.messages;
            return Found { id, is_new: false };
        }
        self.make_room();
        self.patterns.insert(id, Pattern { id, shape, parts, count: 1, born: self.messages, used: self.messages });
        self.shapes.entry(shape).or_default().push(id);
        match self.merge_like(id) {
            Some(into) => Found { id: into, is_new: false },
            None => Found { id, is_new: true },
        }
    }

    fn of_shape(&self, shape: u64) -> impl Iterator<Item = &Pattern> {
        let ids = self.shapes.get(&shape).into_iter().flatten().rev().take(COMPARED_MAX);
        ids.filter_map(|id| self.patterns.get(id))
    }

    /// The pattern that a message belongs to: every word is the same, or its place is variable in one of them.
    fn fitting(&self, shape: u64, parts: &[Part]) -> Option<PatternId> {
        let fits = |pattern: &&Pattern| {
            let mut same = 0usize;
            let all = pattern.parts.iter().zip(parts).all(|(a, b)| {
                same += usize::from(a.word && a.text == b.text);
                a.text == b.text || &*a.text == ANY || !(a.word && b.word)
            });
            // A template of variables alone would swallow everything of its shape.
            let words = parts.iter().filter(|part| part.word).count();
            all && pattern.parts.len() == parts.len() && same * 2 >= words && (same > 0 || pattern.parts == parts)
        };
        self.of_shape(shape)
            .filter(fits)
            .max_by_key(|pattern| pattern.parts.iter().filter(|part| part.word).count())
            .map(|p| p.id)
    }

    /// Takes a message into a pattern; places at which it differs become variable.
    fn join(&mut self, id: PatternId, parts: &[Part]) {
        let Some(pattern) = self.patterns.get_mut(&id) else { return };
        pattern.count += 1;
        pattern.used = self.messages;
        for (have, new) in pattern.parts.iter_mut().zip(parts) {
            if have.text != new.text {
                *have = Part { text: ANY.into(), spaced: have.spaced, word: false };
            }
        }
    }

    /// Merges a pattern with those that differ from it in the same few words, when there are enough.
    fn merge_like(&mut self, id: PatternId) -> Option<PatternId> {
        let new = self.patterns.get(&id)?;
        let words = new.parts.iter().filter(|part| part.word).count();
        if words < 2 {
            return None;
        }
        let differ_max = (words / 4).max(1);
        // The more of a message is the same, the fewer of its kind are needed.
        let enough = if words >= 5 { MERGE_MIN - 1 } else { MERGE_MIN };
        let like: Vec<(PatternId, Vec<usize>)> = self
            .of_shape(new.shape)
            .filter(|other| other.id != id && other.parts.len() == new.parts.len())
            .map(|other| (other.id, new.differing(other)))
            .filter(|(_, places)| places.len() <= differ_max)
            .collect();
        let places = self.varying(new, &like, enough);
        let within = |differ: &[usize]| differ.iter().all(|place| places.contains(place));
        let merged: Vec<PatternId> = like.iter().filter(|(_, differ)| within(differ)).map(|(id, _)| *id).collect();
        if places.is_empty() || merged.len() + 1 < enough {
            return None;
        }
        let oldest = merged.iter().copied().min_by_key(|id| self.patterns.get(id).map(|p| p.born))?;
        self.merge(oldest, merged.into_iter().chain([id]).filter(|other| *other != oldest).collect());
        // What has become more general may be like others now; every merge makes the patterns fewer, so this ends.
        Some(self.merge_like(oldest).unwrap_or(oldest))
    }

    /// Places of words that have enough values among patterns that are alike.
    fn varying(&self, new: &Pattern, like: &[(PatternId, Vec<usize>)], enough: usize) -> BTreeSet<usize> {
        let mut values: HashMap<usize, BTreeSet<&str>> = HashMap::new();
        for (id, places) in like {
            for place in places {
                let Some(other) = self.patterns.get(id).and_then(|p| p.parts.get(*place)) else { continue };
                values.entry(*place).or_default().insert(&other.text);
            }
        }
        let varies = |place: &usize, others: &BTreeSet<&str>| {
            let own = new.parts.get(*place).is_some_and(|part| !others.contains(&*part.text));
            others.len() + usize::from(own) >= enough
        };
        values.iter().filter(|(place, others)| varies(place, others)).map(|(place, _)| *place).collect()
    }

    fn merge(&mut self, into: PatternId, others: Vec<PatternId>) {
        for other in others {
            let Some(gone) = self.patterns.remove(&other) else { continue };
            self.unlist(gone.shape, other);
            // Every alias points at a pattern that is there.
            self.aliases.values_mut().filter(|to| **to == other).for_each(|to| *to = into);
            self.aliases.insert(other, into);
            let Some(pattern) = self.patterns.get_mut(&into) else { continue };
            pattern.count += gone.count;
            pattern.used = pattern.used.max(gone.used);
            for (part, _) in pattern.parts.iter_mut().zip(gone.parts).filter(|(a, b)| a.text != b.text) {
                *part = Part { text: ANY.into(), spaced: part.spaced, word: false };
            }
        }
        self.cache.clear();
    }

    fn unlist(&mut self, shape: u64, id: PatternId) {
        if let Some(ids) = self.shapes.get_mut(&shape) {
            ids.retain(|other| *other != id);
        }
    }

    /// Forgets a tenth of the patterns when there are too many.
    fn make_room(&mut self) {
        let limit = self.patterns_max.unwrap_or(PATTERNS_MAX);
        if self.patterns.len() < limit {
            return;
        }
        let mut by_use: Vec<(u64, PatternId)> = self.patterns.values().map(|p| (p.used, p.id)).collect();
        by_use.sort();
        for (_, id) in by_use.into_iter().take((limit / 10).max(1)) {
            if let Some(pattern) = self.patterns.remove(&id) {
                self.unlist(pattern.shape, id);
            }
        }
        let patterns = &self.patterns;
        self.aliases.retain(|_, to| patterns.contains_key(to));
        self.shapes.retain(|_, ids| !ids.is_empty());
        self.cache.clear();
    }
}

fn part(token: &Token<'_>) -> Part {
    let spaced = token.spaced;
    match token.kind {
        Kind::Word(word) => Part { text: word.into(), spaced, word: true },
        Kind::Masked(mask) => Part { text: mask.name().into(), spaced, word: false },
        Kind::Delimiter(byte) => Part { text: char::from(byte).to_string().into(), spaced, word: false },
    }
}

/// A hash of eight bytes at a time, spelled out because ids must be the same in every version.
struct Hash(u64);

impl Hash {
    const fn new() -> Hash {
        Hash(0xcbf2_9ce4_8422_2325 ^ ALGORITHM_VERSION as u64)
    }

    fn add(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        // The length is a part of it, so that the places of the cuts are.
        self.mix(bytes.len() as u64 ^ 0xff00);
    }

    const fn mix(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 29);
    }
}

fn text_hash(tokens: &[Token<'_>]) -> u64 {
    let mut hash = Hash::new();
    for token in tokens {
        match token.kind {
            Kind::Word(word) => hash.add(word.as_bytes()),
            Kind::Masked(mask) => hash.add(mask.name().as_bytes()),
            Kind::Delimiter(byte) => hash.add(&[byte]),
        }
    }
    hash.0
}

/// The delimiters and how many tokens stand between them.
fn shape_of(tokens: &[Token<'_>]) -> u64 {
    let mut hash = Hash::new();
    for token in tokens {
        match token.kind {
            Kind::Delimiter(byte) => hash.add(&[byte]),
            Kind::Word(_) | Kind::Masked(_) => hash.add(b"x"),
        }
    }
    hash.0
}
