//! What a parser fills and the store reads: the fields of one line, with the places that they were cut from.
//!
//! A [`Line`] is reused for every line of a batch: it allocates while it grows and then no more. Values borrow nothing:
//! text is a range of the raw line, or of the line's own scratch when it had to be unescaped or derived.

use std::ops::Range;
use std::sync::Arc;

use logweir_proto::record::Level;

use super::form::Row;
use crate::names::NameId;

/// Most fields of one line; further ones stay in the raw line and are counted in [`Line::fields_dropped`].
pub const FIELDS_MAX: usize = 1000;

/// Where the text of a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// Bytes `[start, end)` of the raw line.
    Raw(u32, u32),
    /// Bytes `[start, end)` of the scratch.
    Scratch(u32, u32),
    Static(&'static str),
}

impl Text {
    /// Its first `len` bytes.
    pub(super) fn head(self, len: usize) -> Text {
        match self {
            Text::Raw(start, end) => Text::Raw(start, end.min(start + len as u32)),
            Text::Scratch(start, end) => Text::Scratch(start, end.min(start + len as u32)),
            Text::Static(text) => Text::Static(text.get(..len).unwrap_or(text)),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(Text),
}

/// How a value was spelled in the raw line, so that the line can be rebuilt from the column.
///
/// The store prints the value in this spelling and compares with the raw bytes; where they differ it keeps the raw
/// line instead, so a parser need not be sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spelling {
    /// The text of the value, or the shortest decimal of a number, or `true`/`false`.
    Plain,
    /// The content of a JSON string, without its quotes, escaped as `serde_json` escapes.
    JsonString,
    /// Milliseconds in the column, seconds with this many decimals in the line (`$request_time`: 3).
    SecondsFixed { decimals: u8 },
    /// A float with exactly this many decimals.
    Fixed { decimals: u8 },
    /// `time` as RFC 3339: digits of the fraction, and the offset in minutes or `Z`. Flags of [`super::time`] in
    /// `fraction` and `separator` stand for its relatives (no seconds, a comma, slashes, a space before the offset).
    Rfc3339 { fraction: u8, offset: Offset, separator: u8 },
    /// `time` as NGINX writes `$time_local`: `20/Nov/2026:09:10:02 +0000`.
    NginxLocal { offset_minutes: i16 },
    /// `time` as `2026/11/20 09:10:02`, the NGINX error log, without zone; the offset is that which was assumed.
    NginxError { offset_minutes: i16 },
    /// `time` as a number: seconds, milliseconds, microseconds or nanoseconds since the epoch.
    EpochInt { unit_ns: i64 },
    /// `time` as seconds with a fraction of this many digits (`$msec`: 3).
    EpochFixed { decimals: u8 },
    /// `time` as a program of its own taste writes it; `fraction` as above.
    Layout { layout: Layout, fraction: u8, offset: Offset },
}

/// Layouts of times that are not near to RFC 3339; what each looks like is in [`super::time`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// `Fri Nov 20 09:10:02.123456 2026`, Apache's error log.
    Ctime,
    /// `Fri Nov 20 09:10:02 UTC 2026`
    CtimeZone,
    /// `Fri, 20 Nov 2026 09:10:02 +0000`
    Rfc2822,
    /// `Nov 20 09:10:02`
    Syslog,
    /// `Nov 20 2026 09:10:02`
    SyslogYear,
    /// `Nov 20, 2026 9:10:02 AM`, `java.util.logging`.
    Java,
    /// The same with the narrow space that Java writes since 20.
    JavaNarrow,
    /// `20 Nov 2026 09:10:02.123`
    Redis,
    /// `20-Nov-2026 09:10:02.123`
    Tomcat,
    /// `20/Nov/2026:09:10:02.123`, HAProxy.
    Clf,
    /// `20/Nov/2026 09:10:02`, Django.
    ClfSpace,
    /// `20.11.2026 09:10:02`
    German,
    /// `261120  9:10:02`
    MySql5,
    /// `2026-11-20  9:10:02`, MariaDB.
    PaddedHour,
    /// `1120 09:10:02.123456`
    Glog,
    /// `09:10:02.123`
    Clock,
    /// `11/20/2026 03:04:05.123 PM`
    Us,
    /// `1/5/2026 3:04:05 PM`, .NET.
    UsNarrow,
}

/// The zone of an RFC 3339 time as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Offset {
    /// `Z`
    Zulu,
    /// `+00:00`
    Minutes(i16),
    /// `+0000`
    MinutesCompact(i16),
    /// Nothing was written; this many minutes were assumed.
    Assumed(i16),
    /// `UTC`, `CET`: a space and a name of the table of zones.
    Named(u8),
    /// `+01`
    Hours(i16),
}

/// The bytes `[start, end)` of the raw line that a value was cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    pub start: u32,
    pub end: u32,
    pub spelling: Spelling,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    pub name: NameId,
    pub value: Value,
    /// `None` for derived fields (`level` guessed, `route`).
    pub cut: Option<Cut>,
}

/// One parsed line.
#[derive(Debug, Default)]
pub struct Line {
    /// Time of the event; `None` when the line does not tell: then the envelope's or the time of receipt holds.
    pub time_ns: Option<i64>,
    /// The place of `time_ns` in the raw line.
    pub time_cut: Option<Cut>,
    pub level: Option<Level>,
    /// Fields in the order of the line, `message` among them; at most one of each name, the last one wins.
    pub fields: Vec<Field>,
    /// Fields beyond [`FIELDS_MAX`].
    pub fields_dropped: u32,
    scratch: Vec<u8>,
    constants: Option<Arc<Constants>>,
    /// A bit for each of the constants that holds for this line.
    shown: u128,
    /// Where the fields with canonical names are, plus one; 0 for none.
    spots: [u16; SPOTS],
    /// A bit for each other name that may be among the fields, see [`bit`]: most questions for one end here.
    maybe: u64,
    /// What it has in the place of fields where it is of a form.
    pub(super) row: Row,
}

/// Texts that every line of a source has, but where it says something else itself: labels, the host, the path. They are
/// not among the fields: the store fills them in for all rows at once.
#[derive(Debug, Default)]
pub struct Constants(Vec<(NameId, Arc<str>)>);

/// Most constants of one source: a bit each.
pub const CONSTANTS_MAX: usize = u128::BITS as usize;

impl Constants {
    /// Adds a constant, if there is none of that name and there is room.
    pub fn add(&mut self, name: NameId, value: &str) {
        if self.0.len() < CONSTANTS_MAX && self.get(name).is_none() {
            self.0.push((name, value.into()));
        }
    }

    pub fn get(&self, name: NameId) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }

    /// A bit for each of them, but for those that the line is `told`.
    #[inline]
    pub(super) fn without(&self, told: impl Fn(NameId) -> bool) -> u128 {
        let shown = self.0.iter().enumerate().filter(|(_, (name, _))| !told(*name));
        shown.fold(0, |shown, (at, _)| shown | 1 << at)
    }

    /// Those that are `shown`, a bit each.
    pub fn iter(&self, shown: u128) -> impl Iterator<Item = (NameId, &Arc<str>)> {
        let with_bit = self.0.iter().enumerate().filter(move |(at, _)| shown >> at & 1 == 1);
        with_bit.map(|(_, (name, value))| (*name, value))
    }
}

/// Names that have a place of their own in [`Line::spots`]: the canonical ones.
const SPOTS: usize = 32;

const _: () = assert!(logweir_proto::record::field::ALL.len() <= SPOTS && FIELDS_MAX < u16::MAX as usize);

#[inline]
fn bit(name: NameId) -> u64 {
    1 << (name.0 % 64)
}

impl Line {
    pub fn clear(&mut self) {
        self.time_ns = None;
        self.time_cut = None;
        self.level = None;
        self.fields.clear();
        self.fields_dropped = 0;
        self.scratch.clear();
        self.shown = 0;
        self.spots = [0; SPOTS];
        self.maybe = 0;
        self.row.clear();
    }

    /// Gives the line the constants of its source, but those that it has as fields.
    #[inline]
    pub fn set_constants(&mut self, constants: &Arc<Constants>) {
        self.shown = constants.without(|name| self.place(name).is_some());
        if self.constants.as_ref().is_none_or(|known| !Arc::ptr_eq(known, constants)) {
            self.constants = Some(Arc::clone(constants));
        }
    }

    /// The constants of the source, and a bit for each that holds for this line; `None` where none does.
    #[inline]
    pub fn constants(&self) -> Option<(&Arc<Constants>, u128)> {
        self.constants.as_ref().filter(|_| self.shown != 0).map(|constants| (constants, self.shown))
    }

    /// A constant that holds for this line.
    pub fn constant(&self, name: NameId) -> Option<&str> {
        let (constants, shown) = self.constants()?;
        constants.iter(shown).find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }

    /// Whether nothing was found in the line yet.
    pub fn is_new(&self) -> bool {
        self.fields.is_empty() && self.time_ns.is_none() && self.time_cut.is_none() && self.level.is_none()
    }

    /// Forgets what was found since [`Line::is_new`] held; the scratch stays.
    pub fn renew(&mut self) {
        (self.time_ns, self.time_cut, self.level) = (None, None, None);
        self.fields.clear();
        self.spots = [0; SPOTS];
        self.maybe = 0;
    }

    /// Adds a field, or replaces the one of the same name.
    #[inline]
    pub fn push(&mut self, name: NameId, value: Value, cut: Option<Cut>) {
        if let Some(at) = self.place(name) {
            // The earlier occurrence stays in the shape as a literal.
            self.fields[at] = Field { name, value, cut };
        } else {
            self.push_new(name, value, cut);
        }
    }

    /// Adds a field that the line does not have.
    #[inline]
    fn push_new(&mut self, name: NameId, value: Value, cut: Option<Cut>) {
        if self.fields.len() < FIELDS_MAX {
            self.fields.push(Field { name, value, cut });
            self.note(name, self.fields.len());
        } else {
            self.fields_dropped += 1;
        }
    }

    /// Where the field of a name is among the fields.
    #[inline]
    fn place(&self, name: NameId) -> Option<usize> {
        match self.spots.get(name.0 as usize) {
            Some(spot) => usize::from(*spot).checked_sub(1),
            None if self.maybe & bit(name) == 0 => None,
            None => self.fields.iter().position(|field| field.name == name),
        }
    }

    /// Remembers that the field of a name is the `count`th.
    #[inline]
    fn note(&mut self, name: NameId, count: usize) {
        match self.spots.get_mut(name.0 as usize) {
            Some(spot) => *spot = count as u16,
            None => self.maybe |= bit(name),
        }
    }

    /// Adds a field only if the line does not have it yet: labels of the source never hide what the line says.
    #[inline]
    pub fn push_default(&mut self, name: NameId, value: Value) {
        if self.place(name).is_none() {
            self.push_new(name, value, None);
        }
    }

    /// A field whose text is a piece of the raw line, as it stands there.
    pub fn push_raw(&mut self, name: NameId, range: Range<usize>) {
        let (start, end) = (range.start as u32, range.end as u32);
        self.push(name, Value::Text(Text::Raw(start, end)), Some(Cut { start, end, spelling: Spelling::Plain }));
    }

    #[inline]
    pub fn get(&self, name: NameId) -> Option<&Field> {
        self.place(name).map(|at| &self.fields[at])
    }

    pub fn remove(&mut self, name: NameId) -> Option<Field> {
        let at = self.place(name)?;
        let removed = self.fields.remove(at);
        self.spots = [0; SPOTS];
        for at in 0..self.fields.len() {
            self.note(self.fields[at].name, at + 1);
        }
        Some(removed)
    }

    /// Copies text that is not in the raw line and says where it went.
    #[inline]
    pub fn scratch(&mut self, text: &[u8]) -> Text {
        let start = self.scratch.len() as u32;
        self.scratch.extend_from_slice(text);
        Text::Scratch(start, self.scratch.len() as u32)
    }

    /// Appends to the scratch with `write` and says where it went: for unescaping without a second buffer.
    pub fn scratch_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Text {
        let start = self.scratch.len() as u32;
        write(&mut self.scratch);
        Text::Scratch(start, self.scratch.len() as u32)
    }

    /// The bytes of a text.
    #[inline]
    pub fn text<'a>(&'a self, raw: &'a [u8], text: Text) -> &'a [u8] {
        match text {
            Text::Raw(start, end) => &raw[start as usize..end as usize],
            Text::Scratch(start, end) => &self.scratch[start as usize..end as usize],
            Text::Static(text) => text.as_bytes(),
        }
    }

    /// The text of a field or constant, if it is there and is text.
    #[inline]
    pub fn text_of<'a>(&'a self, raw: &'a [u8], name: NameId) -> Option<&'a [u8]> {
        match self.get(name).map(|field| field.value) {
            Some(Value::Text(text)) => Some(self.text(raw, text)),
            Some(_) => None,
            None => self.constant(name).map(str::as_bytes),
        }
    }
}
