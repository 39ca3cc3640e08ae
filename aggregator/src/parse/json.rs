//! JSON lines: pino, winston, bunyan, zap, structlog, ECS and whatever else writes one object a line.
//!
//! Every leaf becomes a field under its dotted name, or under the canonical name that it stands for (see
//! `json/keys.rs`). What the line does not need to be found by (the number behind `level`, `null`) stays in its shape.

mod given;
mod keys;
mod known;
pub(super) mod pairs;
mod plan;
mod row;
mod scan;
pub(super) mod unescape;

use logweir_proto::record::Level;

use self::given::Given;
use self::keys::{Key, Keys, ROLES, Role};
use self::known::{Known, Shape};
use self::scan::{Kind, Leaf, Leaves};
use self::unescape::unescape;
use super::http::{self, Http};
use super::line::{FIELDS_MAX, Line, Spelling, Value};
use super::number;
use super::piece::{Context, Piece};
use super::plain::{ansi, exception};
use super::time;
use crate::names::{NameId, Names};
use crate::spans::LineSpans;

/// Fields without a role that one line may have: what is left of [`FIELDS_MAX`] is for canonical fields and labels.
const OWN_FIELDS_MAX: usize = FIELDS_MAX - 96;

/// Longest level word with its colour codes.
const LEVEL_BYTES_MAX: usize = 64;

/// The JSON parser of one source.
#[derive(Debug)]
pub(super) struct Json {
    http: Http,
    keys: Keys,
    known: Known,
    given: Given,
    leaves: Leaves,
    /// The leaf that has each role, and how good it is.
    winners: [Option<Winner>; ROLES],
    /// What the winners of these roles say.
    time: Option<(i64, Spelling)>,
    level: Option<Level>,
    duration: Option<(f64, Spelling)>,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Winner {
    rank: u8,
    leaf: u16,
}

const _: () = assert!(scan::LEAVES_MAX <= u16::MAX as usize);

/// What was found out about a leaf that can have a role.
enum Judged {
    Fits,
    Time(i64, Spelling),
    Level(Level),
    Duration(f64, Spelling),
}

impl Json {
    pub(super) fn new(names: &mut Names) -> Json {
        Json {
            http: Http::new(names),
            keys: Keys::default(),
            known: Known::default(),
            given: Given::default(),
            leaves: Leaves::default(),
            winners: [None; ROLES],
            time: None,
            level: None,
            duration: None,
            buffer: Vec::new(),
        }
    }

    /// Fills `line` from a JSON object; false, and nothing is filled, when `piece` is not one.
    pub(super) fn parse(&mut self, piece: Piece<'_>, context: Context<'_>, names: &mut Names, line: &mut Line) -> bool {
        let found = context.found.filter(|_| piece.is_all_of(context.raw));
        let shape = match found {
            Some(found) => self.given.scan(found, piece.text, &mut self.known, &mut self.leaves.list),
            None => self.known.scan(piece.text, &mut self.leaves.list),
        };
        if let Some(shape) = shape {
            self.leaves.dropped = 0;
            if self.run_plan(shape, piece, context, line) {
                if let Some(found) = found {
                    self.given.learn_steps(found, &mut self.known, line, context.constants);
                }
                self.finish(context.raw, line);
                return true;
            }
        } else if !self.scan(piece.text, names) {
            return false;
        }
        self.fill(shape, piece, context, line);
        true
    }

    /// Makes `line`, which is clear, the row of a record whose values the door has found; `None`, and nothing is made,
    /// where [`Json::parse`] has to be asked.
    #[inline]
    pub(super) fn row(&mut self, found: LineSpans<'_>, raw: &[u8], offset_minutes: i16, line: &mut Line) -> Option<()> {
        self.given.row(found, &self.known, raw, offset_minutes, line)
    }

    /// Gives the leaves of `piece` to `line`.
    fn fill(&mut self, shape: Option<Shape>, piece: Piece<'_>, context: Context<'_>, line: &mut Line) {
        line.fields_dropped += self.leaves.dropped;
        self.choose(piece.text, context.utc_offset_minutes);
        if let Some(shape) = shape.filter(|shape| self.known.plan(*shape).is_open()) {
            let mut plan = std::mem::take(self.known.plan(shape));
            plan.learn(&self.leaves.list, &self.keys, |at| self.role_of(at, self.keys.get(self.leaves.list[at].key)));
            *self.known.plan(shape) = plan;
        }
        for at in 0..self.leaves.list.len() {
            let leaf = self.leaves.list[at];
            match self.role_of(at, self.keys.get(leaf.key)) {
                Role::Own => self.emit_own(piece, &leaf, line),
                role => self.emit(piece, role, &leaf, line),
            }
        }
        self.finish(context.raw, line);
    }

    /// Fills `line` from `key=value key="value"`; false, and nothing is filled, when `piece` is something else.
    pub(super) fn parse_pairs(
        &mut self,
        piece: Piece<'_>,
        context: Context<'_>,
        names: &mut Names,
        line: &mut Line,
    ) -> bool {
        if self.keys.begin() {
            self.known.clear();
        }
        if !pairs::scan(piece.text, &mut self.keys, names, &mut self.leaves) {
            return false;
        }
        self.fill(None, piece, context, line);
        true
    }

    /// Fills `line` by the plan of its shape; false, and nothing is filled, where there is none or it does not fit.
    fn run_plan(&mut self, shape: Shape, piece: Piece<'_>, context: Context<'_>, line: &mut Line) -> bool {
        if !line.is_new() {
            return false;
        }
        let Json { http, known, leaves, .. } = self;
        let path = |leaf: &Leaf, line: &mut Line| emit_path(http, piece, leaf, line);
        let done = known.plan(shape).run(piece, &leaves.list, context.utc_offset_minutes, line, path);
        if !done {
            line.renew();
        }
        done
    }

    /// Finds the leaves of a line that is like none before, and remembers it.
    fn scan(&mut self, text: &[u8], names: &mut Names) -> bool {
        if self.keys.begin() {
            self.known.clear();
        }
        let found = scan::scan(text, &mut self.keys, names, &mut self.leaves);
        if found && self.leaves.dropped == 0 {
            self.known.learn(text, &self.leaves.list);
        }
        found
    }

    /// Gives each role to the best leaf that can have it.
    fn choose(&mut self, text: &[u8], offset_minutes: i16) {
        self.winners = [None; ROLES];
        (self.time, self.level, self.duration) = (None, None, None);
        for (at, leaf) in self.leaves.list.iter().enumerate() {
            for &(role, rank) in &self.keys.get(leaf.key).roles {
                if role == Role::Own {
                    break;
                }
                let better = self.winners[role as usize].is_none_or(|best| rank <= best.rank);
                if better && let Some(judged) = judge(role, leaf, text, offset_minutes) {
                    self.winners[role as usize] = Some(Winner { rank, leaf: at as u16 });
                    match judged {
                        Judged::Fits => {}
                        Judged::Time(time_ns, spelling) => self.time = Some((time_ns, spelling)),
                        Judged::Level(level) => self.level = Some(level),
                        Judged::Duration(value, spelling) => self.duration = Some((value, spelling)),
                    }
                    break;
                }
            }
        }
        if self.winners[Role::Message as usize].is_some() {
            self.winners[Role::MessageStandIn as usize] = None;
        }
        let numeric = self.winners[Role::Level as usize]
            .is_some_and(|winner| self.leaves.list[usize::from(winner.leaf)].kind == Kind::Number);
        if !numeric || self.winners[Role::Service as usize].is_some() {
            self.winners[Role::LoggerName as usize] = None;
        }
    }

    fn role_of(&self, at: usize, key: &Key) -> Role {
        for (role, _) in &key.roles {
            if *role == Role::Own {
                break;
            }
            if self.winners[*role as usize].is_some_and(|best| usize::from(best.leaf) == at) {
                return *role;
            }
        }
        Role::Own
    }

    fn emit(&mut self, piece: Piece<'_>, role: Role, leaf: &Leaf, line: &mut Line) {
        let name = match role {
            Role::Time => {
                if let Some((time_ns, spelling)) = self.time {
                    line.time_ns = Some(time_ns);
                    line.time_cut = piece.cut(leaf.start..leaf.end, spelling);
                }
                return;
            }
            Role::Level => {
                line.level = self.level;
                return;
            }
            Role::Message | Role::MessageStandIn => {
                self.emit_message(piece, leaf, line);
                return;
            }
            Role::Path => {
                emit_path(&self.http, piece, leaf, line);
                return;
            }
            Role::DurationMs => {
                if let Some((value, spelling)) = self.duration {
                    let cut = piece.cut(leaf.start..leaf.end, spelling);
                    line.push(NameId::DURATION_MS, Value::Float(value), cut);
                }
                return;
            }
            Role::RequestTime => {
                if let Some((value, spelling)) = number::milliseconds(&piece.text[leaf.start..leaf.end]) {
                    let cut = piece.cut(leaf.start..leaf.end, spelling);
                    line.push(NameId::DURATION_MS, Value::Float(value), cut);
                }
                return;
            }
            Role::Status | Role::Bytes => {
                if let Some(value) = number::integer(&piece.text[leaf.start..leaf.end]) {
                    let name = if role == Role::Status { NameId::STATUS } else { NameId::BYTES };
                    line.push(name, Value::Int(value), piece.cut(leaf.start..leaf.end, Spelling::Plain));
                }
                return;
            }
            Role::Service | Role::LoggerName => NameId::SERVICE,
            Role::TraceId => NameId::TRACE_ID,
            Role::ExceptionType => NameId::EXCEPTION_TYPE,
            Role::ExceptionStack => NameId::EXCEPTION_STACK,
            Role::Method => NameId::METHOD,
            Role::ClientIp => NameId::CLIENT_IP,
            Role::UserId => NameId::USER_ID,
            Role::UserAgent => NameId::USER_AGENT,
            Role::Upstream => NameId::UPSTREAM,
            Role::Env => NameId::ENV,
            Role::Version => NameId::VERSION,
            Role::Own => return,
        };
        push_leaf(piece, leaf, name, line);
    }

    fn emit_own(&self, piece: Piece<'_>, leaf: &Leaf, line: &mut Line) {
        let key = self.keys.get(leaf.key);
        let taken = key.roles.iter().any(|(role, _)| *role != Role::Own && self.winners[*role as usize].is_some());
        match if taken { key.aside } else { key.name } {
            Some(name) if line.fields.len() < OWN_FIELDS_MAX => push_leaf(piece, leaf, name, line),
            _ => line.fields_dropped += 1,
        }
    }

    /// The message without colour codes.
    fn emit_message(&mut self, piece: Piece<'_>, leaf: &Leaf, line: &mut Line) {
        let content = &piece.text[leaf.start..leaf.end];
        if leaf.kind != (Kind::String { escaped: true }) {
            push_leaf(piece, leaf, NameId::MESSAGE, line);
            return;
        }
        self.buffer.clear();
        unescape(content, &mut self.buffer);
        let text = line.scratch_with(|out| ansi::strip(&self.buffer, out));
        line.push(NameId::MESSAGE, Value::Text(text), piece.cut(leaf.start..leaf.end, Spelling::JsonString));
    }

    /// A message that is a request line, as in NGINX's JSON formats, has a method and a path.
    fn derive_request(&mut self, raw: &[u8], line: &mut Line) {
        let Some(Value::Text(text)) = line.get(NameId::MESSAGE).map(|field| field.value) else { return };
        let bytes = line.text(raw, text);
        if is_request(bytes) {
            self.buffer.clear();
            self.buffer.extend_from_slice(bytes);
            self.http.derive(Piece::copied(&self.buffer, text), 0..self.buffer.len(), line);
        }
    }

    /// What follows from the fields together.
    fn finish(&mut self, raw: &[u8], line: &mut Line) {
        if line.get(NameId::MESSAGE).is_none() {
            http::synthesize_message(raw, line, &mut self.buffer);
        } else if line.get(NameId::PATH).is_none() {
            self.derive_request(raw, line);
        }
        if let Some(stack) = line.text_of(raw, NameId::EXCEPTION_STACK) {
            if line.get(NameId::EXCEPTION_TYPE).is_none() {
                let name = exception::header(stack).map(|header| header.name);
                self.buffer.clear();
                self.buffer.extend_from_slice(name.map_or(&[], |name| &stack[name]));
                if !self.buffer.is_empty() {
                    let text = line.scratch(&self.buffer);
                    line.push(NameId::EXCEPTION_TYPE, Value::Text(text), None);
                }
            }
            line.level = line.level.or(Some(Level::Error));
        }
    }
}

/// Whether a message ends as a request line does.
fn is_request(message: &[u8]) -> bool {
    memchr::memmem::rfind(message, b" HTTP/").is_some_and(|at| message.len() - at <= " HTTP/1.1".len())
}

/// A path is cut before its query; the `?` stays in the shape.
fn emit_path(http: &Http, piece: Piece<'_>, leaf: &Leaf, line: &mut Line) {
    let content = &piece.text[leaf.start..leaf.end];
    let query = leaf.start + http::path_len(content) + 1;
    match http.query {
        Some(name) if leaf.kind == (Kind::String { escaped: false }) && query <= leaf.end => {
            piece.push(line, NameId::PATH, leaf.start..query - 1);
            piece.push(line, name, query..leaf.end);
        }
        _ => push_leaf(piece, leaf, NameId::PATH, line),
    }
}

/// Three decimals: so NGINX writes seconds.
fn has_milliseconds(text: &[u8]) -> bool {
    memchr::memchr(b'.', text).is_some_and(|dot| text.len() - dot == 4) && number::decimal(text).is_some()
}

/// Whether a leaf can have a role, and what was found out about it.
fn judge(role: Role, leaf: &Leaf, text: &[u8], offset_minutes: i16) -> Option<Judged> {
    let content = &text[leaf.start..leaf.end];
    let string = matches!(leaf.kind, Kind::String { .. });
    let number = leaf.kind == Kind::Number;
    let fits = match role {
        Role::Time => {
            let time = match leaf.kind {
                Kind::String { escaped: false } => time::whole(content, offset_minutes),
                Kind::Number => time::epoch(content),
                _ => None,
            };
            return time.map(|(time_ns, spelling)| Judged::Time(time_ns, spelling));
        }
        Role::Level => return level_of(leaf.kind, content).map(Judged::Level),
        Role::Status => (number || string) && content.len() <= 3 && number::integer(content).is_some(),
        Role::DurationMs => {
            let value = if number { number::decimal(content) } else { None };
            return value.map(|(value, spelling)| Judged::Duration(value, spelling));
        }
        Role::Bytes => (number || string) && number::integer(content).is_some(),
        Role::RequestTime => (number || string) && has_milliseconds(content),
        Role::UserId | Role::TraceId => number || string && !content.is_empty(),
        Role::Path => string && content.first() == Some(&b'/'),
        Role::ExceptionStack => string && content.len() > 1,
        _ => string,
    };
    fits.then_some(Judged::Fits)
}

/// A level word in any case and colour, or a number: that of syslog and GELF below 10, that of pino and bunyan else.
fn level_of(kind: Kind, content: &[u8]) -> Option<Level> {
    match kind {
        Kind::Number => match number::integer(content)? {
            0..=2 => Some(Level::Fatal),
            3 => Some(Level::Error),
            4 => Some(Level::Warn),
            5 | 6 => Some(Level::Info),
            7 => Some(Level::Debug),
            other => Level::from_pino(other),
        },
        Kind::String { escaped } if content.len() <= LEVEL_BYTES_MAX => {
            if !escaped {
                let word = content.trim_ascii();
                let digits = word.iter().all(u8::is_ascii_digit);
                return if digits { level_of(Kind::Number, word) } else { Level::parse(word) };
            }
            // Colour codes: rare enough that two small buffers do not matter.
            let (mut text, mut bare) = (Vec::new(), Vec::new());
            unescape(content, &mut text);
            ansi::strip(&text, &mut bare);
            Level::parse(bare.trim_ascii())
        }
        _ => None,
    }
}

/// Adds a leaf as a field of the type that it has.
fn push_leaf(piece: Piece<'_>, leaf: &Leaf, name: NameId, line: &mut Line) {
    let range = leaf.start..leaf.end;
    let content = &piece.text[range.clone()];
    match leaf.kind {
        Kind::String { escaped: true } => {
            let text = line.scratch_with(|out| unescape(content, out));
            line.push(name, Value::Text(text), piece.cut(range, Spelling::JsonString));
        }
        Kind::Number => match number::parse(content) {
            Some((value, spelling)) => line.push(name, value, piece.cut(range, spelling)),
            None => piece.push(line, name, range),
        },
        Kind::Bool(value) => line.push(name, Value::Bool(value), piece.cut(range, Spelling::Plain)),
        Kind::Null => {}
        Kind::String { escaped: false } | Kind::Compound => piece.push(line, name, range),
    }
}

#[cfg(test)]
mod tests;
