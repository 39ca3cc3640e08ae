//! Which lines belong to the event before them: indentation, and what traces of Node, Java, Python, Go, Rust, .NET,
//! Ruby and PHP look like. Bounded in lines and bytes; the time is bounded by the reader.

use memchr::memmem;

use super::Open;

/// Most lines of one event.
pub const GROUP_LINES_MAX: u32 = 500;
/// Most bytes of one event of several lines.
pub const GROUP_BYTES_MAX: usize = 256 << 10;

/// What a kind of log says about its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    Traces,
    /// A date may stand before each line, also within a trace (`log_date_format` and `time` of PM2).
    DatedTraces,
    /// Each event begins with `YYYY/MM/DD HH:MM:SS [`.
    NginxError,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    /// An indented line or another sign of a trace was seen.
    Trace,
    /// After `Require stack:` of Node.
    Required,
    /// Between `Traceback` and the line that names the exception.
    Python,
    PythonDone,
    /// After `During handling of …` and its like: another traceback follows.
    PythonChain,
    Go,
    Rust,
    /// It can have no continuation.
    Complete,
}

/// One event in the making.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    rules: Rules,
    state: State,
    lines: u32,
}

impl Group {
    pub fn begin(rules: Rules, first: &[u8]) -> Group {
        let line = text_of(rules, first);
        let state = if rules == Rules::NginxError {
            State::Plain
        } else if line.first() == Some(&b'{') && line.ends_with(b"}") {
            State::Complete
        } else if line.ends_with(b"Traceback (most recent call last):") {
            State::Python
        } else if line.starts_with(b"panic: ") || line.starts_with(b"fatal error: ") || is_goroutine(line) {
            State::Go
        } else if line.starts_with(b"thread '") && memmem::find(line, b"' panicked at").is_some() {
            State::Rust
        } else {
            State::Plain
        };
        Group { rules, state, lines: 1 }
    }

    /// Whether it needs no look at what follows.
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Whether `line` goes on with this event, and if so takes it in; `next` is the line after it, as far as it is there.
    pub fn continues(&mut self, line: &[u8], next: Option<&[u8]>) -> bool {
        if self.lines >= GROUP_LINES_MAX {
            return false;
        }
        let next = next.map(|next| text_of(self.rules, next));
        let Some(state) = self.step(text_of(self.rules, line), next) else { return false };
        self.state = state;
        self.lines += 1;
        true
    }

    /// What it waits for, given its text so far.
    pub fn open(&self, text: &[u8]) -> Open {
        if !matches!(self.state, State::Plain | State::PythonDone) {
            return Open::Trace;
        }
        let first = &text[..memchr::memchr(b'\n', text).unwrap_or(text.len())];
        let signs: [&[u8]; 4] = [b"Error", b"Exception", b"error", b"panic"];
        if signs.iter().any(|sign| memmem::find(first, sign).is_some()) { Open::Trace } else { Open::Line }
    }

    /// The state after `line`, or `None` when the line begins another event.
    fn step(&self, line: &[u8], next: Option<&[u8]>) -> Option<State> {
        if self.rules == Rules::NginxError {
            return (!begins_nginx_error(line)).then_some(State::Trace);
        }
        let indented = is_indented(line);
        match self.state {
            State::Complete => None,
            State::Python if indented || line.is_empty() => Some(State::Python),
            State::Python => Some(State::PythonDone),
            State::PythonDone | State::PythonChain => self.step_python(line, next, indented),
            State::Go if line.is_empty() => next.is_none_or(is_go_frame).then_some(State::Go),
            State::Go => (indented || is_go_frame(line)).then_some(State::Go),
            State::Rust if self.lines == 1 => Some(State::Rust),
            State::Rust => {
                (indented || line.starts_with(b"note: ") || line == b"stack backtrace:").then_some(State::Rust)
            }
            State::Required if line.starts_with(b"- ") => Some(State::Required),
            State::Plain | State::Trace | State::Required if indented => Some(State::Trace),
            State::Plain | State::Trace | State::Required => step_trace(line, self.state != State::Plain),
        }
    }

    fn step_python(&self, line: &[u8], next: Option<&[u8]>, indented: bool) -> Option<State> {
        let chained = |line: &[u8]| {
            line.starts_with(b"During handling of the above exception")
                || line.starts_with(b"The above exception was the direct cause")
        };
        if indented {
            Some(self.state)
        } else if line.is_empty() {
            (self.state == State::PythonChain || next.is_some_and(chained)).then_some(self.state)
        } else if chained(line) {
            Some(State::PythonChain)
        } else if self.state == State::PythonChain && line.starts_with(b"Traceback ") {
            Some(State::Python)
        } else {
            None
        }
    }
}

/// Lines of traces that are not indented. The first byte decides for nearly every line of a log.
fn step_trace(line: &[u8], in_trace: bool) -> Option<State> {
    let goes_on = match line.first()? {
        b'C' => line.starts_with(b"Caused by: "),
        b'S' => line.starts_with(b"Suppressed: ") || line == b"Stack trace:",
        b'a' => line.starts_with(b"at ") && memchr::memchr2(b'(', b':', line).is_some(),
        b'.' => in_trace && line.starts_with(b"... ") && line.ends_with(b" more"),
        b'}' => in_trace && line.len() <= 3,
        b'#' => in_trace && line.get(1).is_some_and(u8::is_ascii_digit),
        b'-' => line.starts_with(b"--- End of "),
        b'R' if line == b"Require stack:" => return Some(State::Required),
        _ => false,
    };
    goes_on.then_some(State::Trace)
}

fn is_indented(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t')) && line.iter().any(|byte| !byte.is_ascii_whitespace())
}

fn is_goroutine(line: &[u8]) -> bool {
    line.starts_with(b"goroutine ") && line.ends_with(b"]:")
}

/// `main.main()`, `created by net/http.(*Server).Serve`, `[signal SIGSEGV: …]`, `goroutine 1 [running]:`
fn is_go_frame(line: &[u8]) -> bool {
    if is_goroutine(line)
        || line.starts_with(b"created by ")
        || line.starts_with(b"[signal ")
        || line.starts_with(b"\t")
    {
        return true;
    }
    let name = memchr::memchr(b'(', line).map_or(&line[..0], |at| &line[..at]);
    line.starts_with(b"exit status ") || (line.ends_with(b")") && name.contains(&b'.') && !name.contains(&b' '))
}

/// `2026/11/20 09:10:02 [`
fn begins_nginx_error(line: &[u8]) -> bool {
    const SHAPE: &[u8] = b"0000/00/00 00:00:00 [";
    line.len() >= SHAPE.len()
        && SHAPE
            .iter()
            .zip(line)
            .all(|(shape, byte)| if *shape == b'0' { byte.is_ascii_digit() } else { shape == byte })
}

fn text_of(rules: Rules, line: &[u8]) -> &[u8] {
    if rules == Rules::DatedTraces { strip_date(line) } else { line }
}

/// Longest date that PM2 is expected to write before a line.
const DATE_BYTES_MAX: usize = 48;

/// Takes `DATE: ` off a line, whatever the format of the date: digits, their separators and a zone.
fn strip_date(line: &[u8]) -> &[u8] {
    if !line.first().is_some_and(u8::is_ascii_digit) {
        return line;
    }
    let head = &line[..line.len().min(DATE_BYTES_MAX)];
    // The prefix of an empty line is the date and a colon, its space trimmed by nobody.
    let Some(end) = memmem::find(head, b": ") else { return line };
    let date = &head[..end];
    let digits = date.iter().filter(|byte| byte.is_ascii_digit()).count();
    let dated = date.iter().all(|byte| byte.is_ascii_digit() || b"-:/.+, TZ".contains(byte));
    if dated && digits >= 6 { &line[end + 2..] } else { line }
}

#[cfg(test)]
mod tests;
