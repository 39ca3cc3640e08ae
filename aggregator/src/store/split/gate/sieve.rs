//! Asks many gates the same: what is asked is made ready once for all gates of the same fields.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Gate, Schema};
use crate::store::segment::{FieldStat, Probe};
use crate::store::split::grams;
use crate::store::split::hashes::hash64;
use crate::store::split::lookup::{self, Ask};

/// Schemas for which what is asked stays ready.
const READY_MAX: usize = 8;

/// Makes the question from the fields of a split.
type MakeProbe<'a> = dyn Fn(&BTreeMap<String, FieldStat>) -> Probe + Send + Sync + 'a;

/// Lets through what may have a match.
pub struct Sieve<'a> {
    probe: Box<MakeProbe<'a>>,
    /// The one that was used last comes first.
    ready: Vec<(Arc<Schema>, Asked)>,
    /// For a page of a hash list.
    page: Vec<u8>,
}

impl fmt::Debug for Sieve<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sieve").field("ready", &self.ready).finish_non_exhaustive()
    }
}

impl<'a> Sieve<'a> {
    pub fn new(probe: impl Fn(&BTreeMap<String, FieldStat>) -> Probe + Send + Sync + 'a) -> Sieve<'a> {
        Sieve { probe: Box::new(probe), ready: Vec::new(), page: Vec::new() }
    }

    /// Whether some row of the split of a gate may match.
    pub fn may_match(&mut self, gate: &Gate) -> Result<bool, String> {
        match self.ready.iter().position(|(schema, _)| Arc::ptr_eq(schema, &gate.schema)) {
            Some(0) => {}
            Some(at) => self.ready.swap(0, at),
            None => {
                let probe = (self.probe)(&gate.schema.footer.fields);
                let asked = Asked::of(&lookup::ask(&gate.schema.footer, &probe), &gate.schema);
                self.ready.truncate(READY_MAX - 1);
                self.ready.insert(0, (Arc::clone(&gate.schema), asked));
            }
        }
        self.ready[0].1.may_match(gate, &mut self.page)
    }
}

/// What gates of one schema are asked, with all that can be told without looking at one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Told(bool),
    And(Vec<Asked>),
    Or(Vec<Asked>),
    /// The hash of a term of the lexicon.
    Term(u64),
    /// The hash of a term of the hash list.
    Hash(u64),
    /// Three bytes in a row each, of the texts of one of the fields in [`Schema::grams`].
    Part {
        field: usize,
        grams: Vec<u32>,
    },
}

impl Asked {
    fn of(ask: &Ask, schema: &Schema) -> Asked {
        match ask {
            // A gate does not know the terms with a prefix, and that these blocks are there is all that it knows of them.
            Ask::All | Ask::Prefix(_) | Ask::Extra | Ask::ScanWords | Ask::ScanValues(_) => Asked::Told(true),
            Ask::And(parts) => Asked::joined(parts, schema, true),
            Ask::Or(parts) => Asked::joined(parts, schema, false),
            Ask::Term(term) => Asked::Term(hash64(term)),
            Ask::Hash(term) => Asked::Hash(hash64(term)),
            Ask::Part { field, part } => match schema.grams.iter().position(|name| name == field) {
                Some(field) => Asked::Part { field, grams: grams::hashes(part.as_bytes()) },
                None => Asked::Told(true),
            },
        }
    }

    /// All or any of the parts: what does not matter is left out, and what needs no reading comes first.
    fn joined(parts: &[Ask], schema: &Schema, all: bool) -> Asked {
        let mut parts: Vec<Asked> = parts.iter().map(|part| Asked::of(part, schema)).collect();
        if parts.contains(&Asked::Told(!all)) {
            return Asked::Told(!all);
        }
        parts.retain(|part| *part != Asked::Told(all));
        parts.sort_by_key(Asked::reads);
        match parts.len() {
            0 => Asked::Told(all),
            1 => parts.swap_remove(0),
            _ if all => Asked::And(parts),
            _ => Asked::Or(parts),
        }
    }

    /// Whether a page may have to be read for it.
    fn reads(&self) -> bool {
        match self {
            Asked::Hash(_) => true,
            Asked::And(parts) | Asked::Or(parts) => parts.iter().any(Asked::reads),
            Asked::Told(_) | Asked::Term(_) | Asked::Part { .. } => false,
        }
    }

    fn may_match(&self, gate: &Gate, page: &mut Vec<u8>) -> Result<bool, String> {
        match self {
            Asked::Told(told) => Ok(*told),
            Asked::And(parts) => {
                for part in parts {
                    if !part.may_match(gate, page)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Asked::Or(parts) => {
                for part in parts {
                    if part.may_match(gate, page)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Asked::Term(hash) => Ok(gate.terms.may_have(*hash)),
            Asked::Hash(hash) => gate.may_have_hash(*hash, page),
            Asked::Part { field, grams } => Ok(gate.grams.get(*field).is_none_or(|known| known.may_have_all(grams))),
        }
    }
}
