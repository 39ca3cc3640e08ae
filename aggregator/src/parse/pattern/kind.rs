//! What a value of a pattern is: the form that it has in the line, and what becomes of it.

use logweir_proto::record::Level;

use crate::parse::line::{Layout, Offset, Spelling};
use crate::parse::piece::Context;
use crate::parse::time::layout;
use crate::parse::time::{self, Stamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::parse) enum Kind {
    /// Anything, up to what follows.
    Text,
    /// No blank.
    Word,
    /// A name as programs have them: letters, digits and `._$/:-`, no blank, a letter first.
    Class,
    /// Such a name with a `.` or `::` in it, or `root`.
    Dotted,
    /// A file and a line: `cart.go:23`.
    Place,
    Int,
    Float,
    /// Seconds, which become milliseconds.
    Seconds,
    /// An address without its port.
    Ip,
    /// A date with a clock, in any spelling.
    Time,
    /// A clock without a date.
    Clock,
    /// Month, day and clock as glog writes them.
    Glog,
    /// The time of a line of a syslog: without a year, or with an offset.
    SyslogTime,
    /// A number since 1970.
    Epoch,
    Level,
    /// The same in capitals.
    UpperLevel,
    /// The first letter of one.
    LevelLetter,
    /// `.`, `-`, `*` and `#` of Redis.
    RedisLevel,
    /// A request line.
    Request,
    /// A path with its query.
    Path,
    /// `key=value key="value"` up to the end.
    Pairs,
    /// A JSON object up to the end.
    Json,
    /// What is between the quotes of a CSV value: `""` is a quote of its own.
    Csv,
}

/// What a value in a line can be.
pub(super) enum Extent {
    None,
    One(usize),
    /// The first, or where the rest does not fit then, the second.
    Either(usize, usize),
    /// Up to what follows.
    Open,
}

impl Kind {
    pub(in crate::parse) const NAMES: [(&'static str, Kind); 23] = [
        ("text", Kind::Text),
        ("word", Kind::Word),
        ("class", Kind::Class),
        ("dotted", Kind::Dotted),
        ("place", Kind::Place),
        ("int", Kind::Int),
        ("float", Kind::Float),
        ("seconds", Kind::Seconds),
        ("ip", Kind::Ip),
        ("time", Kind::Time),
        ("clock", Kind::Clock),
        ("glog_time", Kind::Glog),
        ("syslog_time", Kind::SyslogTime),
        ("epoch", Kind::Epoch),
        ("level", Kind::Level),
        ("upper_level", Kind::UpperLevel),
        ("level_letter", Kind::LevelLetter),
        ("redis_level", Kind::RedisLevel),
        ("request", Kind::Request),
        ("path", Kind::Path),
        ("pairs", Kind::Pairs),
        ("json", Kind::Json),
        ("csv", Kind::Csv),
    ];

    pub(super) fn parse(word: &str) -> Option<Kind> {
        Kind::NAMES.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind)
    }

    pub(super) fn is_time(self) -> bool {
        matches!(self, Kind::Time | Kind::Clock | Kind::Glog | Kind::SyslogTime | Kind::Epoch)
    }

    pub(super) fn is_level(self) -> bool {
        matches!(self, Kind::Level | Kind::UpperLevel | Kind::LevelLetter | Kind::RedisLevel)
    }

    /// Whether nothing in the value itself tells its end.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Kind::Text | Kind::Word | Kind::Request | Kind::Path | Kind::Pairs | Kind::Json)
    }

    /// How much of the beginning of `text` is a value of this kind; the time that it is.
    pub(super) fn extent(self, text: &[u8], context: Context<'_>) -> (Extent, Option<Stamp>) {
        if self.is_time() {
            let stamp = self.stamp(text, context);
            return (stamp.map_or(Extent::None, |stamp| Extent::One(stamp.len)), stamp);
        }
        let extent = match self {
            Kind::Class => class(text),
            Kind::Dotted => dotted(text),
            Kind::Place => place(text),
            Kind::Int => number(text, |byte| byte.is_ascii_digit()),
            Kind::Float | Kind::Seconds => number(text, |byte| byte.is_ascii_digit() || byte == b'.'),
            Kind::Ip => ip(text),
            Kind::Csv => csv(text),
            Kind::Level | Kind::UpperLevel => level(text, self == Kind::UpperLevel),
            Kind::LevelLetter | Kind::RedisLevel => match text.first() {
                Some(symbol) if level_of(&[*symbol]).is_some() => Extent::One(1),
                _ => Extent::None,
            },
            _ => Extent::Open,
        };
        (extent, None)
    }

    fn stamp(self, text: &[u8], context: Context<'_>) -> Option<Stamp> {
        let (minutes, received_ns) = (context.utc_offset_minutes, context.received_ns);
        match self {
            Kind::Time => time::leading(text, minutes).or_else(|| layout::leading(text, minutes, received_ns)),
            Kind::Clock => layout::read(Layout::Clock, text, minutes, received_ns),
            Kind::Glog => layout::read(Layout::Glog, text, minutes, received_ns),
            Kind::SyslogTime => {
                let exact = |spelling| match spelling {
                    Spelling::Rfc3339 { separator: b'T', offset, .. } => {
                        matches!(offset, Offset::Minutes(_) | Offset::MinutesCompact(_))
                    }
                    _ => false,
                };
                let leading = || time::leading(text, minutes).filter(|stamp| exact(stamp.spelling));
                layout::read(Layout::Syslog, text, minutes, received_ns).or_else(leading)
            }
            Kind::Epoch => {
                let len = text.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
                let (time_ns, spelling) = time::epoch(&text[..len])?;
                Some(Stamp { time_ns, len, spelling })
            }
            _ => None,
        }
    }
}

/// Up to the quote that is not one of two.
fn csv(text: &[u8]) -> Extent {
    let mut at = 0;
    while let Some(quote) = memchr::memchr(b'"', &text[at..]) {
        at += quote;
        if text.get(at + 1) != Some(&b'"') {
            return Extent::One(at);
        }
        at += 2;
    }
    Extent::None
}

fn class(text: &[u8]) -> Extent {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._$/:-".contains(byte);
    let len = text.iter().take_while(|byte| is_name(byte)).count();
    let begins = text.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
    let bare = text[..len].iter().rev().take_while(|byte| **byte == b':').count();
    match len {
        len if !begins || len == bare => Extent::None,
        len if bare > 0 => Extent::One(len - bare),
        len => match memchr::memchr(b':', &text[..len]) {
            Some(colon) => Extent::Either(len, colon),
            None => Extent::One(len),
        },
    }
}

fn dotted(text: &[u8]) -> Extent {
    let is_dotted = |len: usize| {
        let name = &text[..len];
        name == b"root" || memchr::memchr(b'.', name).is_some() || memchr::memmem::find(name, b"::").is_some()
    };
    match class(text) {
        Extent::One(len) | Extent::Either(len, _) if is_dotted(len) => Extent::One(len),
        Extent::Either(_, len) if is_dotted(len) => Extent::One(len),
        _ => Extent::None,
    }
}

fn place(text: &[u8]) -> Extent {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"._/@-".contains(byte);
    let name = text.iter().take_while(|byte| is_name(byte)).count();
    let digits = text.get(name + 1..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit()).count();
    let dot = memchr::memrchr(b'.', &text[..name]);
    match dot {
        Some(dot) if dot > 0 && dot + 1 < name && digits > 0 && text.get(name) == Some(&b':') => {
            Extent::One(name + 1 + digits)
        }
        _ => Extent::None,
    }
}

/// A number with its sign; a dash alone stands for none.
fn number(text: &[u8], is_part: impl Fn(u8) -> bool) -> Extent {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    match text[sign..].iter().take_while(|byte| is_part(**byte)).count() {
        0 if text.first() == Some(&b'-') => Extent::One(1),
        0 => Extent::None,
        len => Extent::One(sign + len),
    }
}

/// `10.0.0.1`, `::1`, `[::1]`; a port may stand behind it.
fn ip(text: &[u8]) -> Extent {
    if text.first() == Some(&b'[') {
        let len = text.iter().take_while(|byte| byte.is_ascii_hexdigit() || b".:[%".contains(byte)).count();
        return if text.get(len) == Some(&b']') { Extent::One(len + 1) } else { Extent::None };
    }
    let len = text.iter().take_while(|byte| byte.is_ascii_hexdigit() || b".:%".contains(byte)).count();
    let part = &text[..len];
    let dots = part.iter().filter(|byte| **byte == b'.').count();
    let colons = part.iter().filter(|byte| **byte == b':').count();
    match memchr::memrchr(b':', part) {
        _ if text.first() == Some(&b'-') => Extent::One(1),
        _ if dots < 3 && colons < 2 => Extent::None,
        Some(colon) if colons == 1 => Extent::Either(colon, len),
        Some(colon) if colon > 0 => Extent::Either(len, colon),
        _ => Extent::One(len),
    }
}

fn level(text: &[u8], upper: bool) -> Extent {
    let len = text.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let word = &text[..len];
    let fits = len > 1 && level_of(word).is_some() && (!upper || !word.iter().any(u8::is_ascii_lowercase));
    if fits { Extent::One(len) } else { Extent::None }
}

/// The level behind a word: those that everybody knows, and those of databases.
pub(super) fn level_of(word: &[u8]) -> Option<Level> {
    Some(match word {
        [symbol] if !symbol.is_ascii_alphanumeric() => redis_level(*symbol)?,
        [letter] if letter.is_ascii_lowercase() => return None,
        b"DEBUG1" | b"DEBUG2" | b"DEBUG3" | b"DEBUG4" | b"DEBUG5" => Level::Debug,
        // What follows a statement's error belongs to it, but is no error of its own.
        b"Note" | b"System" | b"SUCCESS" | b"STATEMENT" | b"DETAIL" | b"HINT" | b"CONTEXT" | b"QUERY" | b"LOCATION" => {
            Level::Info
        }
        _ => Level::parse(word)?,
    })
}

fn redis_level(symbol: u8) -> Option<Level> {
    Some(match symbol {
        b'.' | b'-' => Level::Debug,
        b'*' => Level::Info,
        b'#' => Level::Warn,
        _ => return None,
    })
}
