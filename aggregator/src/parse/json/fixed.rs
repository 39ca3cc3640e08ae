//! Lines of a form, from what the door has found to the values that the store takes, without a list of leaves or fields
//! between: what becomes of each value is read off a line that went the long way.

use std::sync::Arc;

use super::given::Place;
use super::plan::Op;
use super::scan::{Kind, Leaf};
use super::{Judged, judge, keys::Role};
use crate::names::NameId;
use crate::parse::line::fixed::{FixedForm, Slot, SlotKind};
use crate::parse::line::{Line, Spelling, Value};
use crate::parse::number;
use crate::spans::LineSpans;

/// How the values of the lines of a form become slots.
#[derive(Debug)]
pub(super) struct Steps {
    form: Arc<FixedForm>,
    list: Box<[Step]>,
    /// The slots of these fields.
    message: usize,
    path: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    place: Place,
    does: Does,
}

#[derive(Debug, Clone, Copy)]
enum Does {
    /// `u8` is the least length.
    Text(u8),
    Path,
    Number(SlotKind, Spelling),
    Integer(Role),
    Duration(Spelling),
    Bool,
    Time(Spelling),
    Level,
    Nothing,
}

impl Steps {
    /// The steps of a form, from a line of it that its plan has just filled, with the steps of the plan.
    pub(super) fn of(places: &[Place], ops: &[Op], line: &Line) -> Option<Steps> {
        if places.len() != ops.len() {
            return None;
        }
        let form = FixedForm::of(line)?;
        let mut fields = form.fields().iter();
        let step = |(place, op): (&Place, &Op)| {
            // Each leaf but these is a field, in the same order.
            let does = match (*op, place.kind) {
                (Op::Level, _) => Does::Level,
                (Op::Time, _) => Does::Time(line.time_cut?.spelling),
                (Op::Other(_), Kind::Null) => Does::Nothing,
                (op, kind) => {
                    let field = fields.next()?;
                    let (name, does) = match op {
                        Op::Text(name, least) => (name, Does::Text(least)),
                        Op::Number(name) if field.kind != SlotKind::Text => {
                            (name, Does::Number(field.kind, field.spelling))
                        }
                        Op::Integer(Role::Status) => (NameId::STATUS, Does::Integer(Role::Status)),
                        Op::Integer(role) => (NameId::BYTES, Does::Integer(role)),
                        Op::Duration => (NameId::DURATION_MS, Does::Duration(field.spelling)),
                        Op::Path => (NameId::PATH, Does::Path),
                        Op::Other(name) if matches!(kind, Kind::Bool(_)) => (name, Does::Bool),
                        _ => return None,
                    };
                    (name == field.name).then_some(does)?
                }
            };
            Some(Step { place: *place, does })
        };
        let list = places.iter().zip(ops).map(step).collect::<Option<Box<[_]>>>()?;
        if fields.next().is_some() || form.has(NameId::ROUTE) || form.has(NameId::EXCEPTION_STACK) {
            return None;
        }
        let place_of = |name| form.fields().iter().position(|field| field.name == name);
        let (message, path) = (place_of(NameId::MESSAGE)?, place_of(NameId::PATH));
        Some(Steps { form: Arc::new(form), list, message, path })
    }

    /// Fills `line`, which is clear, from a line of the form, and says where its path is; `None`, and what was filled is
    /// worthless, where it has to go the long way.
    #[inline]
    pub(super) fn run(
        &self,
        found: LineSpans<'_>,
        text: &[u8],
        offset_minutes: i16,
        line: &mut Line,
    ) -> Option<Option<Slot>> {
        if found.lens.len() != self.list.len() {
            return None;
        }
        let mut slots = std::mem::take(line.slots());
        let run = self.run_into(found, text, offset_minutes, line, &mut slots);
        let (message, path) = (slots.get(self.message).copied(), self.path.and_then(|at| slots.get(at).copied()));
        *line.slots() = slots;
        let level = run?;
        let message = message?;
        // What a message is that may be a request is for the long way to say.
        let derives = path.is_none() && super::is_request(text.get(message.start as usize..message.end as usize)?);
        if derives {
            return None;
        }
        line.set_fixed(&self.form, level);
        Some(path)
    }

    #[inline]
    fn run_into(
        &self,
        found: LineSpans<'_>,
        text: &[u8],
        offset_minutes: i16,
        line: &mut Line,
        slots: &mut Vec<Slot>,
    ) -> Option<(u32, u32)> {
        slots.reserve(self.list.len());
        let mut at = 0;
        let mut level = (0, 0);
        for (Step { place, does }, len) in self.list.iter().zip(found.lens) {
            let start = at + place.before as usize;
            at = start + usize::from(*len);
            let end = at - place.behind as usize;
            let mut slot = Slot { start: start as u32, end: end as u32, bits: 0 };
            let leaf = || Leaf { key: place.key, start, end, kind: place.kind };
            match *does {
                Does::Text(least) if end - start >= usize::from(least) => {}
                Does::Text(_) => return None,
                Does::Path => {
                    let path = text.get(start..end)?;
                    if path.first() != Some(&b'/') || path.contains(&b'?') {
                        return None;
                    }
                }
                Does::Integer(role) => {
                    judge(role, &leaf(), text, offset_minutes)?;
                    slot.bits = number::integer(text.get(start..end)?)? as u64;
                }
                Does::Number(kind, spelling) => {
                    slot.bits = match number::parse(text.get(start..end)?)? {
                        (Value::Int(value), found) if (kind, spelling) == (SlotKind::Int, found) => value as u64,
                        (Value::Float(value), found) if (kind, spelling) == (SlotKind::Float, found) => value.to_bits(),
                        _ => return None,
                    };
                }
                Does::Duration(spelling) => match judge(Role::DurationMs, &leaf(), text, offset_minutes)? {
                    Judged::Duration(value, found) if found == spelling => slot.bits = value.to_bits(),
                    _ => return None,
                },
                Does::Bool => match text.get(start)? {
                    b't' => slot.bits = 1,
                    b'f' => {}
                    _ => return None,
                },
                Does::Nothing if text.get(start) == Some(&b'n') => continue,
                Does::Nothing => return None,
                Does::Time(spelling) => match judge(Role::Time, &leaf(), text, offset_minutes)? {
                    Judged::Time(time_ns, found) if found == spelling => {
                        line.time_ns = Some(time_ns);
                        line.time_cut = Some(crate::parse::line::Cut { start: slot.start, end: slot.end, spelling });
                        continue;
                    }
                    _ => return None,
                },
                Does::Level => {
                    let Judged::Level(found) = judge(Role::Level, &leaf(), text, offset_minutes)? else { return None };
                    line.level = Some(found);
                    level = (slot.start, slot.end);
                    continue;
                }
            }
            slots.push(slot);
        }
        (at + found.form.tail as usize == text.len()).then_some(level)
    }
}
