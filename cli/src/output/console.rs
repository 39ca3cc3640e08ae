//! The two streams of a command, and whether they may be coloured.

use std::io::{self, BufWriter, IsTerminal, Write};

use jiff::tz::TimeZone;

use crate::args::{self, ColorChoice};

/// stdout and stderr, with what is known about who reads them.
pub struct Console {
    pub out: Box<dyn Write + Send>,
    pub err: Box<dyn Write + Send>,
    pub style: Style,
    pub err_style: Style,
    pub zone: TimeZone,
    /// stdout is a terminal.
    pub interactive: bool,
    /// A person watches stderr: then a summary helps, in a script it is noise.
    pub talkative: bool,
}

impl Console {
    pub fn standard(color: ColorChoice, utc: bool) -> Console {
        let allowed = !args::no_color() && !args::dumb_terminal();
        let style = |terminal: bool| match color {
            ColorChoice::Auto => Style { on: terminal && allowed },
            ColorChoice::Always => Style { on: true },
            ColorChoice::Never => Style { on: false },
        };
        let (out, err) = (io::stdout(), io::stderr());
        Console {
            style: style(out.is_terminal()),
            err_style: style(err.is_terminal()),
            interactive: out.is_terminal(),
            talkative: err.is_terminal(),
            zone: if utc { TimeZone::UTC } else { TimeZone::system() },
            out: Box::new(BufWriter::new(out)),
            err: Box::new(err),
        }
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.err.flush()
    }

    /// One line on stdout.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// One line on stderr. Nobody can be told that stderr is gone.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.err, "{text}");
    }

    /// A line on the terminal of stderr that the next one is written over; an empty one takes it away.
    pub fn status(&mut self, text: &str) {
        let text = self.err_style.paint(Ink::Dim, text);
        let _ = write!(self.err, "\r{text}\x1b[K");
        let _ = self.err.flush();
    }

    /// A warning on stderr.
    pub fn warn(&mut self, text: &str) {
        let head = self.err_style.paint(Ink::Yellow, "warning:");
        self.note(&format!("{head} {text}"));
    }
}

/// Colours, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    pub on: bool,
}

/// The inks that are used: each has the same meaning everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// What can be skipped: times, separators, stack traces.
    Dim,
    /// Names.
    Bold,
    /// What the query matched.
    Match,
    Blue,
    Cyan,
    Green,
    Yellow,
    Red,
    /// White on red.
    Alarm,
}

impl Style {
    pub fn paint(self, ink: Ink, text: &str) -> String {
        if !self.on || text.is_empty() {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Dim => "2",
            Ink::Bold => "1",
            Ink::Match => "1;33",
            Ink::Blue => "34",
            Ink::Cyan => "36",
            Ink::Green => "32",
            Ink::Yellow => "33",
            Ink::Red => "31",
            Ink::Alarm => "1;97;41",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// The letter of a level in its colour: never the colour alone.
    pub fn level(self, level: Option<&str>) -> String {
        let (ink, letter) = match level {
            Some("trace") => (Ink::Dim, "T"),
            Some("debug") => (Ink::Dim, "D"),
            Some("info") => (Ink::Green, "I"),
            Some("warn") => (Ink::Yellow, "W"),
            Some("error") => (Ink::Red, "E"),
            Some("fatal") => (Ink::Alarm, "F"),
            _ => (Ink::Dim, "·"),
        };
        self.paint(ink, letter)
    }
}
