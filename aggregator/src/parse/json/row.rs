//! Rows of JSON lines: how the values that the door has found are those of a [`crate::parse::form`], without a list of
//! leaves or fields between. What becomes of each value is read off a line that went the long way.

use std::sync::Arc;

use logweir_proto::record::Level;

use super::given::Place;
use super::plan::Op;
use super::scan::{Kind, Leaf};
use super::{Judged, judge, keys::Role};
use crate::equal::equal;
use crate::names::NameId;
use crate::parse::form::{self, Form, FormValue, Holds};
use crate::parse::line::{Constants, Field, Line, Spelling, Text, Value};
use crate::parse::number;
use crate::parse::time::printer::TimePrinter;
use crate::spans::LineSpans;

/// Ways to write a level in the lines of one form.
const LEVELS_MAX: usize = 16;

/// Digits of a status.
const STATUS_BYTES_MAX: u8 = 3;

/// How the values of the lines of a form become those of a row.
#[derive(Debug)]
pub(super) struct Steps {
    form: Arc<Form>,
    list: Box<[Step]>,
    /// The levels of lines so far, as they were written.
    levels: Vec<(Box<[u8]>, Level)>,
    time: TimePrinter,
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
    /// Text that is no request: a message that may be one is for the long way to take apart.
    Message,
    Path,
    /// `u8` is the greatest length.
    Int(u8),
    Float(Spelling),
    Duration(Spelling),
    Bool,
    Time,
    Level,
    Nothing,
}

impl Steps {
    /// The steps of a form, from a line of it that its plan has just filled, with the steps of the plan.
    pub(super) fn of(places: &[Place], ops: &[Op], line: &Line, constants: &Arc<Constants>) -> Option<Steps> {
        let mut fields = line.fields.iter();
        let has_path = line.get(NameId::PATH).is_some();
        let value = |name, holds, is_cut, spelling| FormValue { name, holds, is_cut, spelling };
        let mut values = Vec::with_capacity(ops.len());
        let step = |(place, op): (&Place, &Op)| {
            // Each leaf but these is a field, in the same order.
            let does = match (*op, place.kind) {
                (Op::Level, _) => Does::Level,
                (Op::Time, _) => {
                    values.push(value(NameId::TIME, Holds::Time, true, Spelling::Plain));
                    Does::Time
                }
                (Op::Other(_), Kind::Null) => Does::Nothing,
                (op, kind) => {
                    let field = fields.next()?;
                    let (holds, spelling) = holds_of(field)?;
                    let (name, does) = match op {
                        Op::Text(NameId::MESSAGE, 0) if !has_path => (NameId::MESSAGE, Does::Message),
                        Op::Text(name, least) => (name, Does::Text(least)),
                        Op::Number(name) if holds == Holds::Int => (name, Does::Int(u8::MAX)),
                        Op::Number(name) if holds == Holds::Float => (name, Does::Float(spelling)),
                        Op::Integer(Role::Status) => (NameId::STATUS, Does::Int(STATUS_BYTES_MAX)),
                        Op::Integer(_) => (NameId::BYTES, Does::Int(u8::MAX)),
                        Op::Duration => (NameId::DURATION_MS, Does::Duration(spelling)),
                        Op::Path => (NameId::PATH, Does::Path),
                        Op::Other(name) if matches!(kind, Kind::Bool(_)) => (name, Does::Bool),
                        _ => return None,
                    };
                    let is_path = matches!(does, Does::Path);
                    let fits = name == field.name && is_path == (name == NameId::PATH);
                    let holds = if is_path { Holds::Path } else { holds };
                    values.push(fits.then(|| value(name, holds, true, spelling))?);
                    does
                }
            };
            Some(Step { place: *place, does })
        };
        let list = places.iter().zip(ops).map(step).collect::<Option<Box<[_]>>>()?;
        let odd = |value: &FormValue| matches!(value.name, NameId::ROUTE | NameId::EXCEPTION_STACK);
        let has_message = values.iter().any(|value| value.name == NameId::MESSAGE);
        let is_whole = fields.next().is_none() && places.len() == ops.len();
        if !is_whole || !has_message || values.iter().any(odd) {
            return None;
        }
        let form = Arc::new(Form::new(values, constants)?);
        Some(Steps { form, list, levels: Vec::new(), time: TimePrinter::default() })
    }

    /// Makes `line` a row of the form; `None`, and nothing is made, where it has to go the long way.
    #[inline]
    pub(super) fn row(
        &mut self,
        found: LineSpans<'_>,
        text: &[u8],
        offset_minutes: i16,
        line: &mut Line,
    ) -> Option<()> {
        let Steps { form, list, levels, time: printer } = self;
        if found.lens.len() != list.len() {
            return None;
        }
        let (mut at, mut literals, mut level, mut time) = (0, 0, None, None);
        let places = line.places(form);
        for (Step { place, does }, len) in list.iter().zip(found.lens) {
            let start = at + place.before as usize;
            at = start + usize::from(*len);
            let end = at - place.behind as usize;
            let written = text.get(start..end)?;
            let leaf = || Leaf { key: place.key, start, end, kind: place.kind };
            let bits = match *does {
                Does::Text(least) if written.len() >= usize::from(least) => 0,
                Does::Message if !super::is_request(written) => 0,
                Does::Path if written.first() == Some(&b'/') && !written.contains(&b'?') => 0,
                Does::Int(most) if written.len() <= usize::from(most) => number::printed(written)? as u64,
                Does::Float(spelling) => match number::parse(written)? {
                    (Value::Float(value), found) if found == spelling => value.to_bits(),
                    _ => return None,
                },
                Does::Duration(spelling) => match judge(Role::DurationMs, &leaf(), text, offset_minutes)? {
                    Judged::Duration(value, found) if found == spelling => value.to_bits(),
                    _ => return None,
                },
                Does::Bool => match written.first()? {
                    b't' => 1,
                    b'f' => 0,
                    _ => return None,
                },
                Does::Time => {
                    let Judged::Time(time_ns, spelling) = judge(Role::Time, &leaf(), text, offset_minutes)? else {
                        return None;
                    };
                    time = Some((time_ns, spelling)).filter(|_| printer.is_spelled(time_ns, spelling, written));
                    time?;
                    0
                }
                Does::Level => {
                    let number = number_of(levels, written, || judge(Role::Level, &leaf(), text, offset_minutes))?;
                    (literals, level) = (number as u128, levels.get(number).map(|(_, level)| *level));
                    continue;
                }
                Does::Nothing if written.first() == Some(&b'n') => continue,
                _ => return None,
            };
            places.push(form::Place { value: places.len() as u32, start: start as u32, end: end as u32, bits });
        }
        if at + found.stencil.tail as usize != text.len() {
            return None;
        }
        line.set_row(literals, time, level);
        Some(())
    }
}

/// The number of a level as it is `written`.
#[inline]
fn number_of(
    levels: &mut Vec<(Box<[u8]>, Level)>,
    written: &[u8],
    judge: impl FnOnce() -> Option<Judged>,
) -> Option<usize> {
    if let Some(known) = levels.iter().position(|(known, _)| equal(known, written)) {
        return Some(known);
    }
    let Judged::Level(level) = judge()? else { return None };
    if levels.len() == LEVELS_MAX {
        return None;
    }
    levels.push((written.into(), level));
    Some(levels.len() - 1)
}

/// What the value of a field is; `None` where it is not told by the bytes that it was cut from.
fn holds_of(field: &Field) -> Option<(Holds, Spelling)> {
    let cut = field.cut?;
    let holds = match field.value {
        Value::Text(text) => {
            let is_own = text == Text::Raw(cut.start, cut.end) && cut.spelling == Spelling::Plain;
            is_own.then_some(Holds::Text)?
        }
        Value::Int(_) => Holds::Int,
        Value::Float(_) => Holds::Float,
        Value::Bool(_) => Holds::Bool,
    };
    let odd = field.name == NameId::MESSAGE && holds != Holds::Text;
    (field.name != NameId::LEVEL && !odd).then_some((holds, cut.spelling))
}
