//! Which lines belong to the event before them: indentation, what traces of Node, Java, Python, Go, Rust, .NET, Ruby and
//! PHP look like, or a pattern of the operator's with which each event begins.
//!
//! A [`Group`] is told one line after the other and keeps no text. Where a line alone does not say (a second line of a
//! message, the blank line before `goroutine 1 [running]:`), it is taken on trial: a later line confirms it, or the
//! caller takes the lines on trial back and reads them as what they are. Bounded in lines and bytes here, in time by the
//! reader. For nearly every line of a log the first byte decides.

use super::Open;

mod lines;
mod start;

use lines::{
    begins_nginx_error, chains_python, classify, error_sign, is_caret, is_go_begin, is_go_frame, is_goroutine,
    is_header, is_indented, is_node_source, is_ruby_frame, is_rust_panic, looks_new, step_trace, strip_date,
};
pub use start::{START_BYTES_MAX, START_LINES_MAX, StartRule, StartRuleError};

/// Most lines of one event.
pub const GROUP_LINES_MAX: u32 = 500;
/// Most bytes of one event of several lines.
pub const GROUP_BYTES_MAX: usize = 256 << 10;
/// Lines that are taken on trial before a trace must have shown itself: the longest message of an exception.
pub const TRIAL_LINES_MAX: u8 = 10;

const TRACEBACK: &[u8] = b"Traceback (most recent call last):";

/// What a kind of log says about its lines.
#[derive(Debug, Clone, Copy)]
pub enum Rules<'a> {
    Traces,
    /// A date may stand before each line, also within a trace (`log_date_format` and `time` of PM2).
    DatedTraces,
    /// Each event begins with `YYYY/MM/DD HH:MM:SS [`.
    NginxError,
    /// Each event begins with a line that the operator's pattern finds.
    Start(&'a StartRule),
}

/// Why lines are one event: what `logweir-agent multiline` shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rule {
    /// One line.
    #[default]
    Single,
    Indented,
    Node,
    Java,
    Python,
    Go,
    Rust,
    DotNet,
    Ruby,
    Php,
    NginxError,
    Start,
}

impl Rule {
    pub const fn as_str(self) -> &'static str {
        match self {
            Rule::Single => "single",
            Rule::Indented => "indented",
            Rule::Node => "node",
            Rule::Java => "java",
            Rule::Python => "python",
            Rule::Go => "go",
            Rule::Rust => "rust",
            Rule::DotNet => "dotnet",
            Rule::Ruby => "ruby",
            Rule::Php => "php",
            Rule::NginxError => "nginx_error",
            Rule::Start => "start",
        }
    }
}

/// What a line is to the event before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It belongs to it, and with it the lines on trial.
    Joins,
    /// It may: the next lines say.
    OnTrial,
    /// It begins another event, or the first line on trial does.
    Ends,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    /// The first line names an exception.
    Header,
    /// On trial: lines of the exception's message, so many.
    HeaderText(u8),
    /// On trial: after a blank line behind a line that logs an error.
    LoggedBlank,
    /// An indented line or another sign of a trace was seen.
    Trace,
    /// On trial: after a blank line within or behind a trace.
    TraceBlank,
    /// After `Require stack:` of Node.
    Required,
    /// `/srv/a.js:3`, as Node begins what nobody caught.
    Source,
    /// On trial: the line of code.
    SourceLine,
    /// `    ^`, and the blank line behind it.
    SourceCaret,
    /// Between `Traceback` and the line that names the exception.
    Python,
    PythonDone,
    /// On trial.
    PythonBlank,
    /// After `During handling of …` and its like: another traceback follows.
    PythonChain,
    Go,
    /// On trial.
    GoBlank,
    /// `thread 'x' panicked at a.rs:1:2:`, whose message follows.
    Rust,
    RustMessage,
    /// On trial: further lines of the message, so many.
    RustText(u8),
    RustTrace,
    Nginx,
    Custom,
    /// It can have no continuation.
    Complete,
}

impl State {
    const fn on_trial(self) -> bool {
        matches!(
            self,
            State::HeaderText(_)
                | State::LoggedBlank
                | State::TraceBlank
                | State::SourceLine
                | State::PythonBlank
                | State::GoBlank
                | State::RustText(_)
        )
    }
}

/// One event in the making.
#[derive(Debug, Clone, Copy)]
pub struct Group<'a> {
    rules: Rules<'a>,
    state: State,
    rule: Rule,
    lines: u32,
}

impl<'a> Group<'a> {
    pub fn begin(rules: Rules<'a>, first: &[u8]) -> Group<'a> {
        let state = match rules {
            Rules::NginxError => State::Nginx,
            Rules::Start(_) => State::Custom,
            Rules::Traces => first_state(first),
            Rules::DatedTraces => first_state(strip_date(first)),
        };
        Group { rules, state, rule: Rule::Single, lines: 1 }
    }

    /// Whether it needs no look at what follows.
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Which rule joined its lines.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// Longest text of the event.
    pub fn bytes_max(&self) -> usize {
        if let Rules::Start(rule) = self.rules { rule.bytes_max() } else { GROUP_BYTES_MAX }
    }

    /// Takes in the next line if it goes on with this event; `text` is the event so far, without lines on trial.
    pub fn next(&mut self, line: &[u8], text: &[u8]) -> Verdict {
        let lines_max = if let Rules::Start(rule) = self.rules { rule.lines_max() } else { GROUP_LINES_MAX };
        if self.lines >= lines_max {
            return Verdict::Ends;
        }
        let step = match self.rules {
            Rules::NginxError => (!begins_nginx_error(line)).then_some((State::Nginx, Rule::NginxError)),
            Rules::Start(rule) => (!rule.begins(line)).then_some((State::Custom, Rule::Start)),
            Rules::Traces => self.step(line, text),
            Rules::DatedTraces => self.step(strip_date(line), text),
        };
        let Some((state, rule)) = step else { return Verdict::Ends };
        self.state = state;
        self.lines += 1;
        if matches!(self.rule, Rule::Single | Rule::Indented) && rule != Rule::Single {
            self.rule = rule;
        }
        if state.on_trial() { Verdict::OnTrial } else { Verdict::Joins }
    }

    /// What it waits for, given its text so far.
    pub fn open(&self, text: &[u8]) -> Open {
        match self.state {
            State::Plain | State::PythonDone if !error_sign(text) => Open::Line,
            State::Nginx => Open::Line,
            _ => Open::Trace,
        }
    }

    /// The state after `line`, or `None` when the line begins another event.
    fn step(&self, line: &[u8], text: &[u8]) -> Option<(State, Rule)> {
        let indented = is_indented(line);
        match self.state {
            State::Complete | State::Nginx | State::Custom => None,
            State::Plain => step_plain(line, text, indented),
            State::LoggedBlank if is_header(line) => Some((State::HeaderText(0), Rule::Single)),
            State::LoggedBlank => frame(line, indented, false),
            State::Header => step_header(line, 0, indented),
            State::HeaderText(lines) => step_header(line, lines, indented),
            State::Required if line.starts_with(b"- ") => Some((State::Required, Rule::Node)),
            State::Trace if line.is_empty() => Some((State::TraceBlank, Rule::Single)),
            State::Trace | State::Required => frame(line, indented, true),
            State::TraceBlank => step_blank(line, indented),
            State::Source => (!line.is_empty()).then_some((State::SourceLine, Rule::Single)),
            State::SourceLine => is_caret(line).then_some((State::SourceCaret, Rule::Node)),
            State::SourceCaret if line.is_empty() => Some((State::SourceCaret, Rule::Node)),
            State::SourceCaret => Some((State::Header, Rule::Node)),
            State::Python if indented || line.is_empty() => Some((State::Python, Rule::Python)),
            State::Python => Some((State::PythonDone, Rule::Python)),
            State::PythonDone | State::PythonBlank | State::PythonChain => self.step_python(line, indented),
            State::Go if line.is_empty() => Some((State::GoBlank, Rule::Go)),
            State::Go | State::GoBlank => (indented || is_go_frame(line)).then_some((State::Go, Rule::Go)),
            State::Rust => Some((State::RustMessage, Rule::Rust)),
            State::RustMessage | State::RustText(_) | State::RustTrace => self.step_rust(line, indented),
        }
    }

    fn step_python(&self, line: &[u8], indented: bool) -> Option<(State, Rule)> {
        let chain = self.state == State::PythonChain;
        let state = match line {
            _ if indented && self.state == State::PythonDone => State::PythonDone,
            [] if chain => State::PythonChain,
            [] if self.state == State::PythonDone => State::PythonBlank,
            _ if !chain && chains_python(line) => State::PythonChain,
            _ if chain && line.starts_with(TRACEBACK) => State::Python,
            _ => return None,
        };
        Some((state, Rule::Python))
    }

    fn step_rust(&self, line: &[u8], indented: bool) -> Option<(State, Rule)> {
        let state = match self.state {
            _ if line.starts_with(b"note: ") || line == b"stack backtrace:" => State::RustTrace,
            State::RustTrace => indented.then_some(State::RustTrace)?,
            State::RustText(lines) if lines < TRIAL_LINES_MAX && !looks_new(line) => State::RustText(lines + 1),
            State::RustMessage if !looks_new(line) => State::RustText(1),
            _ => return None,
        };
        Some((state, Rule::Rust))
    }
}

fn first_state(line: &[u8]) -> State {
    match line.first() {
        Some(b'{') if line.ends_with(b"}") => State::Complete,
        Some(b'p' | b'f' | b'g' | b'S') if is_go_begin(line) => State::Go,
        Some(b't') if is_rust_panic(line) => {
            // Before 1.73 the message stood in the line, and the place behind it.
            if line.ends_with(b":") { State::Rust } else { State::RustTrace }
        }
        Some(b'/' | b'n' | b'f') if is_node_source(line) => State::Source,
        Some(b' ' | b'\t') if line.ends_with(b"Exception Group Traceback (most recent call last):") => State::Trace,
        _ if line.last() == Some(&b':') && line.ends_with(TRACEBACK) => State::Python,
        Some(byte) if byte.is_ascii_alphabetic() && is_header(line) => State::Header,
        _ => State::Plain,
    }
}

fn step_plain(line: &[u8], text: &[u8], indented: bool) -> Option<(State, Rule)> {
    if indented {
        // It stands on its own, unless the line before logged it.
        let group = line.ends_with(b"Exception Group Traceback (most recent call last):");
        return (!group || error_sign(text)).then_some((State::Trace, classify(line)));
    }
    if let Some(step) = frame(line, false, false) {
        return Some(step);
    }
    let Some(first) = line.first() else {
        // Spring and Rails leave a line free between what they log and its trace.
        let logged = error_sign(text) || text.trim_ascii_end().ends_with(b"):");
        return logged.then_some((State::LoggedBlank, Rule::Single));
    };
    match first {
        b'T' if line == TRACEBACK && error_sign(text) => Some((State::Python, Rule::Python)),
        b'g' if is_goroutine(line) && error_sign(text) => Some((State::Go, Rule::Go)),
        byte if byte.is_ascii_alphabetic() && is_header(line) && error_sign(text) => {
            Some((State::HeaderText(0), Rule::Single))
        }
        _ => None,
    }
}

/// After the line that names an exception: its frames, or more of its message if frames follow.
fn step_header(line: &[u8], lines: u8, indented: bool) -> Option<(State, Rule)> {
    if let Some(step) = frame(line, indented, false) {
        return Some(step);
    }
    if line.starts_with(b"Caused by:") || line == b"Stack backtrace:" {
        return Some((State::Trace, Rule::Rust));
    }
    (lines < TRIAL_LINES_MAX && !looks_new(line)).then_some((State::HeaderText(lines + 1), Rule::Single))
}

/// What may stand behind a blank line of a trace.
fn step_blank(line: &[u8], indented: bool) -> Option<(State, Rule)> {
    if line.starts_with(b"Node.js v") {
        return Some((State::Complete, Rule::Node));
    }
    if chains_python(line) {
        return Some((State::PythonChain, Rule::Python));
    }
    if line.starts_with(b"Next ") {
        return Some((State::HeaderText(0), Rule::Single));
    }
    if line.starts_with(b"Caused by:") || line == b"Stack backtrace:" || line.starts_with(b"Location:") {
        return Some((State::Trace, Rule::Rust));
    }
    frame(line, indented, true)
}

fn frame(line: &[u8], indented: bool, in_trace: bool) -> Option<(State, Rule)> {
    if indented {
        return Some((State::Trace, classify(line)));
    }
    if line == b"Require stack:" {
        return Some((State::Required, Rule::Node));
    }
    let rule = step_trace(line, in_trace).or_else(|| is_ruby_frame(line).then_some(Rule::Ruby))?;
    Some((State::Trace, rule))
}

#[cfg(test)]
mod tests;
