//! Lines of a form: the columns and the shape that the first of them got are those of all.
//!
//! The bytes between the values of such a line are the same as in all lines of its form, but for its level, which has
//! no column of its own bytes. So lines of one form whose levels stand alike have one skeleton, as long as each value
//! prints as it stands.

use std::sync::Arc;

use logweir_proto::record::Level;

use super::{BlockBuilder, Extra, cell_of, kind_of, push_extra};
use crate::equal::equal;
use crate::names::{NameId, Names};
use crate::parse::line::fixed::{FixedForm, Slot, SlotKind};
use crate::parse::line::{Cut, Line, Spelling};
use crate::store::column::Kind;
use crate::store::spell::{self, Cell};

/// Forms, each with the bytes of a level, that are remembered.
const FORMS_MAX: usize = 16;

/// What is known of the forms of the last lines of a block, the likeliest first.
#[derive(Default)]
pub(super) struct Forms(Vec<Known>);

struct Known {
    form: Arc<FixedForm>,
    /// As it stands in the line.
    level: Box<[u8]>,
    level_column: Option<(Level, u16)>,
    /// One for each field, and what is printed there.
    columns: Box<[(u16, SlotKind, Spelling)]>,
    shape: u32,
}

impl Forms {
    #[inline]
    fn find(&mut self, form: &Arc<FixedForm>, level: &[u8]) -> Option<usize> {
        let found = self.0.iter().position(|known| Arc::ptr_eq(&known.form, form) && equal(&known.level, level))?;
        let at = found.saturating_sub(1);
        self.0.swap(found, at);
        Some(at)
    }
}

impl BlockBuilder {
    /// Adds a line of a form.
    pub(super) fn push_fixed(&mut self, names: &Names, line: &Line, raw: &[u8], time_ns: i64, seq: u64) {
        let Some((form, slots, (start, end))) = line.fixed() else { return };
        let level = raw.get(start as usize..end as usize).unwrap_or_default();
        let Some(known) = self.forms.find(form, level) else {
            let shape = self.push_loose(names, &line.loosened(), raw, time_ns, seq);
            if let Some(shape) = shape {
                self.learn_form(names, line, form, level, shape);
            }
            return;
        };
        let mut extra = None;
        let shape = self.set_slots(known, slots, line, raw, time_ns);
        self.set_derived(names, line, raw, &mut extra);
        self.end_row(names, line, raw, (time_ns, seq), (shape, extra));
    }

    #[cold]
    fn learn_form(&mut self, names: &Names, line: &Line, form: &Arc<FixedForm>, level: &[u8], shape: u32) {
        let mut column = |name, kind| self.columns.of(names, name, kind);
        let columns = form.fields().iter().map(|field| {
            let kind = match field.kind {
                SlotKind::Text => Kind::Str,
                SlotKind::Int => Kind::Int,
                SlotKind::Float => Kind::Float,
                SlotKind::Bool => Kind::Bool,
            };
            Some((column(field.name, kind)?, field.kind, field.spelling))
        });
        let Some(columns) = columns.collect::<Option<Box<[_]>>>() else { return };
        let level_column = match line.level {
            Some(level) => match column(NameId::LEVEL, Kind::Str) {
                Some(column) => Some((level, column)),
                None => return,
            },
            None => None,
        };
        if self.forms.0.len() >= FORMS_MAX {
            self.forms.0.pop();
        }
        self.forms.0.push(Known { form: Arc::clone(form), level: level.into(), level_column, columns, shape });
    }

    /// Sets the level and the values of a line; the number of its shape, if all print as they stand.
    #[inline]
    fn set_slots(&mut self, known: usize, slots: &[Slot], line: &Line, raw: &[u8], time_ns: i64) -> Option<u32> {
        let row = self.times.len();
        let known = &self.forms.0[known];
        if let Some((level, column)) = known.level_column {
            self.columns.set_text(column, row, level.as_str().as_bytes());
        }
        let mut spelled = slots.len() == known.columns.len();
        for ((column, kind, spelling), slot) in known.columns.iter().zip(slots) {
            let written = raw.get(slot.start as usize..slot.end as usize).unwrap_or_default();
            let cell = match kind {
                SlotKind::Text => {
                    spelled &= self.columns.set_text(*column, row, written);
                    continue;
                }
                SlotKind::Int => Cell::Int(slot.bits as i64),
                SlotKind::Float => Cell::Float(f64::from_bits(slot.bits)),
                SlotKind::Bool => Cell::Bool(slot.bits != 0),
            };
            spelled &= self.columns.set(*column, row, cell);
            spelled &= spell::is_spelled(cell, *spelling, written, &mut self.printed);
        }
        if let Some(Cut { start, end, spelling }) = line.time_cut {
            let written = raw.get(start as usize..end as usize).unwrap_or_default();
            spelled &= self.time.is_spelled(time_ns, spelling, written);
        }
        spelled.then_some(known.shape)
    }

    /// Sets the fields that do not stand in the line.
    #[inline]
    fn set_derived(&mut self, names: &Names, line: &Line, raw: &[u8], extra: &mut Extra) {
        let row = self.times.len();
        let mut owned = String::new();
        for field in &line.fields {
            let cell = cell_of(field, line, raw, None, &mut owned);
            match self.columns.of(names, field.name, kind_of(cell)) {
                Some(column) => drop(self.columns.set(column, row, cell)),
                None => push_extra(&mut self.extra_fields, names, field.name, cell, extra.get_or_insert_default()),
            }
        }
    }
}
