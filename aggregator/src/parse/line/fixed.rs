//! Lines of one form, of which only the values differ: what they have in common is said once, and a line is its values.
//!
//! Such a line has the same bytes between its values as all others of its form. Whoever fills it vouches for that: the
//! door has compared them.

use std::sync::Arc;

use super::{Cut, Field, Line, Spelling, Text, Value};
use crate::names::NameId;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotKind {
    Text,
    Int,
    Float,
    Bool,
}

/// A field of every line of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedField {
    pub name: NameId,
    pub kind: SlotKind,
    pub spelling: Spelling,
}

/// What the lines of a form have in common.
#[derive(Debug, PartialEq, Eq)]
pub struct FixedForm {
    /// In the order of the line; each name once.
    fields: Box<[FixedField]>,
    /// A bit for each name of a field, by its number: only those that are not there are sure.
    names: u64,
}

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Where it stands in the line, from its first to its last byte.
    pub start: u32,
    pub end: u32,
    /// A number, or the bits of one; nothing for a text.
    pub bits: u64,
}

/// The values of a line of a form.
#[derive(Debug, Default)]
pub(super) struct Fixed {
    form: Option<Arc<FixedForm>>,
    /// The form is that of this line, and not of one before.
    holds: bool,
    slots: Vec<Slot>,
    level: (u32, u32),
}

impl FixedForm {
    /// The form of `line`; `None` where a line cannot be told by the values that it has.
    pub(in crate::parse) fn of(line: &Line) -> Option<FixedForm> {
        let field = |field: &Field| {
            let cut = field.cut?;
            let kind = match field.value {
                Value::Text(Text::Raw(start, end)) => {
                    let own = (start, end) == (cut.start, cut.end) && cut.spelling == Spelling::Plain;
                    own.then_some(SlotKind::Text)?
                }
                Value::Text(_) => return None,
                Value::Int(_) => SlotKind::Int,
                Value::Float(_) => SlotKind::Float,
                Value::Bool(_) => SlotKind::Bool,
            };
            let odd = matches!(field.name, NameId::MESSAGE | NameId::EXCEPTION_STACK) && kind != SlotKind::Text;
            (field.name != NameId::LEVEL && !odd).then_some(FixedField {
                name: field.name,
                kind,
                spelling: cut.spelling,
            })
        };
        let fields = line.fields.iter().map(field).collect::<Option<Box<[_]>>>()?;
        let names = fields.iter().fold(0, |names, field| names | super::bit(field.name));
        Some(FixedForm { fields, names })
    }

    #[inline]
    pub fn fields(&self) -> &[FixedField] {
        &self.fields
    }

    #[inline]
    pub(in crate::parse) fn has(&self, name: NameId) -> bool {
        self.names & super::bit(name) != 0 && self.fields.iter().any(|field| field.name == name)
    }
}

/// The value of a slot, but for a text.
#[inline]
pub fn value_of(kind: SlotKind, slot: Slot) -> Value {
    match kind {
        SlotKind::Text => Value::Text(Text::Raw(slot.start, slot.end)),
        SlotKind::Int => Value::Int(slot.bits as i64),
        SlotKind::Float => Value::Float(f64::from_bits(slot.bits)),
        SlotKind::Bool => Value::Bool(slot.bits != 0),
    }
}

impl Fixed {
    #[inline]
    pub(super) fn clear(&mut self) {
        self.holds = false;
    }

    #[inline]
    pub(super) fn has(&self, name: NameId) -> bool {
        self.holds && self.form.as_ref().is_some_and(|form| form.has(name))
    }
}

impl Line {
    /// Where the values of a line go that is of a form once [`Line::set_fixed`] says so.
    #[inline]
    pub(in crate::parse) fn slots(&mut self) -> &mut Vec<Slot> {
        self.fixed.slots.clear();
        &mut self.fixed.slots
    }

    /// The line is of this form: its slots are filled, one for each field, and its level stands there.
    #[inline]
    pub(in crate::parse) fn set_fixed(&mut self, form: &Arc<FixedForm>, level: (u32, u32)) {
        if self.fixed.form.as_ref().is_none_or(|known| !Arc::ptr_eq(known, form)) {
            self.fixed.form = Some(Arc::clone(form));
        }
        (self.fixed.holds, self.fixed.level) = (true, level);
    }

    /// The form and the values of a line of a form, and where its level stands. Its other fields are derived.
    #[inline]
    pub fn fixed(&self) -> Option<(&Arc<FixedForm>, &[Slot], (u32, u32))> {
        let Fixed { form: Some(form), holds: true, slots, level } = &self.fixed else { return None };
        Some((form, slots, *level))
    }

    /// The same line with all of its fields one by one.
    pub fn loosened(&self) -> Line {
        let mut line = Line {
            time_ns: self.time_ns,
            time_cut: self.time_cut,
            level: self.level,
            fields_dropped: self.fields_dropped,
            scratch: self.scratch.clone(),
            constants: self.constants.clone(),
            shown: self.shown,
            ..Line::default()
        };
        if let Some((form, slots, _)) = self.fixed() {
            for (FixedField { name, kind, spelling }, slot) in form.fields().iter().zip(slots) {
                let cut = Cut { start: slot.start, end: slot.end, spelling: *spelling };
                line.push(*name, value_of(*kind, *slot), Some(cut));
            }
        }
        for field in &self.fields {
            line.push(field.name, field.value, field.cut);
        }
        line
    }
}
