//! Whether a time is printed back as it stands in the line.

use super::format_time;
use crate::equal::equal;
use crate::parse::line::Spelling;
use crate::parse::number;

/// Prints times. It remembers the last one: many lines of a busy log have the same second.
#[derive(Debug, Default)]
pub(crate) struct TimePrinter {
    last: Option<(i64, Spelling)>,
    text: Vec<u8>,
}

impl TimePrinter {
    /// Whether a time in its spelling is `written`.
    pub(crate) fn is_spelled(&mut self, time_ns: i64, spelling: Spelling, written: &[u8]) -> bool {
        if let Spelling::EpochInt { unit_ns: unit_ns @ 1.. } = spelling
            && let Some(number) = number::canonical(written)
        {
            // Hardly a line has the millisecond of the one before: to read it costs less than to print it.
            return time_ns.div_euclid(unit_ns) == number;
        }
        if self.last != Some((time_ns, spelling)) {
            self.text.clear();
            self.last = format_time(time_ns, spelling, &mut self.text).then_some((time_ns, spelling));
        }
        self.last.is_some() && equal(&self.text, written)
    }
}
