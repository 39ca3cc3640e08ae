//! Times in the layouts of single programs and countries, each one a template that both reads and prints.
//!
//! In a template `w` is a weekday, `m` the name of a month and `M` its number, `D` a day of two digits, `_` one padded
//! with a space and `e` one without padding, `Y` a year and `y` its last two digits, `T` a clock with seconds and
//! perhaps a fraction, `H` one whose hour is padded with a space, `h` one of twelve hours, `P` the same with two digits
//! and perhaps a fraction, and `p` its half of the day, `n` the number of a month without padding, `z` a space and a
//! zone, if there are any. Everything else stands for itself.

use super::civil::{Civil, clock, days_from_civil, instant};
use super::{
    FRACTION_COMMA, FRACTION_DIGITS, FRACTION_DIGITS_MAX, MONTHS, Stamp, decimal, digits, month, nanos, offset_minutes,
    push_clock, push_digits, push_fraction, push_zone, zone,
};
use crate::parse::line::{Layout, Offset, Spelling};

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];

impl Layout {
    /// The place in this list is written to splits: layouts are added at the end only.
    pub const ALL: [Layout; 18] = [
        Layout::Ctime,
        Layout::CtimeZone,
        Layout::Rfc2822,
        Layout::Syslog,
        Layout::SyslogYear,
        Layout::Java,
        Layout::JavaNarrow,
        Layout::Redis,
        Layout::Tomcat,
        Layout::Clf,
        Layout::ClfSpace,
        Layout::German,
        Layout::MySql5,
        Layout::PaddedHour,
        Layout::Glog,
        Layout::Clock,
        Layout::Us,
        Layout::UsNarrow,
    ];

    const fn template(self) -> &'static str {
        match self {
            Layout::Ctime => "w m _ T Y",
            Layout::CtimeZone => "w m _ Tz Y",
            Layout::Rfc2822 => "w, D m Y Tz",
            Layout::Syslog => "m _ T",
            Layout::SyslogYear => "m _ Y T",
            Layout::Java => "m e, Y h p",
            Layout::JavaNarrow => "m e, Y h\u{202f}p",
            Layout::Redis => "D m Y T",
            Layout::Tomcat => "D-m-Y T",
            Layout::Clf => "D/m/Y:T",
            Layout::ClfSpace => "D/m/Y T",
            Layout::German => "D.M.Y T",
            Layout::MySql5 => "yMD H",
            Layout::PaddedHour => "Y-M-D H",
            Layout::Glog => "MD T",
            Layout::Clock => "T",
            Layout::Us => "M/D/Y P p",
            Layout::UsNarrow => "n/e/Y h p",
        }
    }
}

/// Those that are looked for in any text; the others say too little, and are for formats that name them.
const BY_LETTER: [Layout; 7] = [
    Layout::Ctime,
    Layout::CtimeZone,
    Layout::Rfc2822,
    Layout::SyslogYear,
    Layout::Syslog,
    Layout::Java,
    Layout::JavaNarrow,
];
const BY_DIGIT: [Layout; 9] = [
    Layout::Redis,
    Layout::Tomcat,
    Layout::Clf,
    Layout::ClfSpace,
    Layout::German,
    Layout::MySql5,
    Layout::PaddedHour,
    Layout::Us,
    Layout::UsNarrow,
];

/// A time in one of the layouts at the beginning of `text`; what follows must not be a word.
pub(in crate::parse) fn leading(text: &[u8], assumed_minutes: i16, received_ns: i64) -> Option<Stamp> {
    let layouts: &[Layout] = match text.first()? {
        b'A'..=b'Z' => &BY_LETTER,
        b'0'..=b'9' => &BY_DIGIT,
        _ => return None,
    };
    layouts.iter().find_map(|layout| read(*layout, text, assumed_minutes, received_ns))
}

/// A time in this layout at the beginning of `text`. The year and the day that it does not tell are those that bring it
/// nearest to `received_ns`.
pub(in crate::parse) fn read(layout: Layout, text: &[u8], assumed_minutes: i16, received_ns: i64) -> Option<Stamp> {
    let mut reading = Reading { text, at: 0, offset: Offset::Assumed(assumed_minutes), ..Reading::default() };
    for directive in layout.template().bytes() {
        reading.step(directive)?;
    }
    if text.get(reading.at).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let time_ns = reading.time_ns(received_ns)?;
    let spelling = Spelling::Layout { layout, fraction: reading.fraction, offset: reading.offset };
    Some(Stamp { time_ns, len: reading.at, spelling })
}

#[derive(Debug)]
struct Reading<'a> {
    text: &'a [u8],
    at: usize,
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: i64,
    fraction: u8,
    offset: Offset,
}

impl Default for Reading<'_> {
    fn default() -> Self {
        Reading {
            text: b"",
            at: 0,
            year: None,
            month: None,
            day: None,
            hour: 0,
            minute: 0,
            second: 0,
            nanosecond: 0,
            fraction: 0,
            offset: Offset::Zulu,
        }
    }
}

impl Reading<'_> {
    fn step(&mut self, directive: u8) -> Option<()> {
        match directive {
            b'w' => {
                let word = self.take(3)?;
                DAYS.iter().any(|day| day[..] == *word).then_some(())?;
            }
            b'm' => self.month = Some(month(self.take(3)?)?),
            b'M' => self.month = Some(decimal(self.take(2)?)?),
            b'D' => self.day = Some(decimal(self.take(2)?)?),
            b'_' => self.day = Some(self.padded()?),
            b'e' => self.day = Some(self.unpadded()?),
            b'Y' => self.year = Some(decimal(self.take(4)?)?),
            b'y' => self.year = Some(2000 + decimal(self.take(2)?)?),
            b'T' => {
                self.hour = decimal(self.take(2)?)?;
                self.rest_of_clock()?;
                self.take_fraction();
            }
            b'H' => {
                self.hour = self.padded()?;
                self.rest_of_clock()?;
                self.take_fraction();
            }
            b'h' => {
                self.hour = self.unpadded().filter(|hour| (1..=12).contains(hour))? % 12;
                self.rest_of_clock()?;
            }
            b'P' => {
                self.hour = decimal(self.take(2)?).filter(|hour| (1..=12).contains(hour))? % 12;
                self.rest_of_clock()?;
                self.take_fraction();
            }
            b'n' => self.month = Some(self.unpadded()?),
            b'p' => match self.take(2)? {
                b"AM" => {}
                b"PM" => self.hour += 12,
                _ => return None,
            },
            b'z' => {
                let assumed = offset_minutes(self.offset);
                let rest = self.text.get(self.at..)?;
                if let (offset, len, true) = zone(rest, assumed) {
                    self.offset = offset;
                    self.at += len;
                }
            }
            literal => (*self.take(1)? == [literal]).then_some(())?,
        }
        Some(())
    }

    fn take(&mut self, len: usize) -> Option<&[u8]> {
        let part = self.text.get(self.at..self.at + len)?;
        self.at += len;
        Some(part)
    }

    /// Two digits, or a space and a digit.
    fn padded(&mut self) -> Option<i64> {
        match self.take(2)? {
            [b' ', digit] => decimal(&[*digit]),
            two => decimal(two),
        }
    }

    fn unpadded(&mut self) -> Option<i64> {
        let rest = self.text.get(self.at..)?;
        let len = rest.iter().take(2).take_while(|byte| byte.is_ascii_digit()).count();
        // A zero before the digit would not be printed again.
        let value = decimal(self.take(len)?)?;
        (value > 9 || len == 1).then_some(value)
    }

    /// `:09:10`
    fn rest_of_clock(&mut self) -> Option<()> {
        let part = self.take(6)?;
        if part[0] != b':' || part[3] != b':' {
            return None;
        }
        (self.minute, self.second) = (digits(part, 1, 2)?, digits(part, 4, 2)?);
        Some(())
    }

    fn take_fraction(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(mark @ (b'.' | b',')) = rest.first() else { return };
        let count = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count > 0 {
            self.nanosecond = nanos(&rest[1..=count]);
            self.fraction = count.min(FRACTION_DIGITS_MAX) as u8 | if *mark == b',' { FRACTION_COMMA } else { 0 };
            self.at += 1 + count;
        }
    }

    fn time_ns(&self, received_ns: i64) -> Option<i64> {
        let minutes = offset_minutes(self.offset);
        let seconds = clock(self.hour, self.minute, self.second)?;
        let on = |days| instant(days, seconds, self.nanosecond, minutes);
        let nearest =
            |times: [Option<i64>; 3]| times.into_iter().flatten().min_by_key(|time_ns| time_ns.abs_diff(received_ns));
        let (Some(month), Some(day)) = (self.month, self.day) else {
            let today = Civil::new(received_ns, minutes)?;
            let days = days_from_civil(today.year, today.month, today.day)?;
            return nearest([on(days), on(days - 1), on(days + 1)]);
        };
        match self.year {
            Some(year) => on(days_from_civil(year, month, day)?),
            None => {
                let year = Civil::new(received_ns, minutes)?.year;
                nearest([year, year - 1, year + 1].map(|year| on(days_from_civil(year, month, day)?)))
            }
        }
    }
}

/// Appends a time in a layout; false when it cannot hold this one.
pub(super) fn print(time_ns: i64, layout: Layout, fraction: u8, offset: Offset, out: &mut Vec<u8>) -> bool {
    let Some(local) = Civil::new(time_ns, offset_minutes(offset)) else { return false };
    let padded = |value: i64, out: &mut Vec<u8>| {
        if value < 10 {
            out.push(b' ');
        }
        out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    };
    let minute_and_second = |out: &mut Vec<u8>| {
        out.push(b':');
        push_digits(local.minute, 2, out);
        out.push(b':');
        push_digits(local.second, 2, out);
    };
    for directive in layout.template().bytes() {
        match directive {
            b'w' => {
                let days = days_from_civil(local.year, local.month, local.day).unwrap_or(0);
                out.extend_from_slice(DAYS[days.rem_euclid(7) as usize]);
            }
            b'm' => out.extend_from_slice(&MONTHS[(local.month as usize).saturating_sub(1).min(11)]),
            b'M' => push_digits(local.month, 2, out),
            b'D' => push_digits(local.day, 2, out),
            b'_' => padded(local.day, out),
            b'e' => out.extend_from_slice(itoa::Buffer::new().format(local.day).as_bytes()),
            b'Y' => push_digits(local.year, 4, out),
            b'y' => push_digits(local.year % 100, 2, out),
            b'T' => {
                push_clock(&local, out);
                print_fraction(local.nanosecond, fraction, out);
            }
            b'H' => {
                padded(local.hour, out);
                minute_and_second(out);
                print_fraction(local.nanosecond, fraction, out);
            }
            b'h' => {
                out.extend_from_slice(itoa::Buffer::new().format((local.hour + 11) % 12 + 1).as_bytes());
                minute_and_second(out);
            }
            b'P' => {
                push_digits((local.hour + 11) % 12 + 1, 2, out);
                minute_and_second(out);
                print_fraction(local.nanosecond, fraction, out);
            }
            b'n' => out.extend_from_slice(itoa::Buffer::new().format(local.month).as_bytes()),
            b'p' => out.extend_from_slice(if local.hour < 12 { b"AM" } else { b"PM" }),
            b'z' => {
                if !matches!(offset, Offset::Assumed(_)) {
                    out.push(b' ');
                    push_zone(offset, out);
                }
            }
            literal => out.push(literal),
        }
    }
    true
}

fn print_fraction(nanosecond: i64, fraction: u8, out: &mut Vec<u8>) {
    let count = (fraction & FRACTION_DIGITS).min(FRACTION_DIGITS_MAX as u8);
    if count > 0 {
        out.push(if fraction & FRACTION_COMMA != 0 { b',' } else { b'.' });
        push_fraction(nanosecond, count, out);
    }
}
