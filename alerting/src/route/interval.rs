//! Named times: ranges of the wall clock, also over midnight, cron windows and calendars.
//!
//! A range that ends before it begins goes over midnight and belongs to the day on which it begins: `friday` with
//! `18:00` to `08:00` ends on Saturday at eight. Everything is read on the wall clock of `location`, UTC without one.

use jiff::ToSpan;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::calendar::CalendarEvent;
use super::cron::{Cron, local};

/// How far ahead the end of an interval is looked for.
const LOOK_AHEAD_NS: i64 = 8 * 86_400 * 1_000_000_000;
const YEAR_AHEAD_NS: i64 = 400 * 86_400 * 1_000_000_000;
const MINUTE_NS: i64 = 60 * 1_000_000_000;

#[derive(Debug, Clone)]
pub struct TimeInterval {
    pub name: String,
    pub any: Vec<Window>,
}

#[derive(Debug, Clone)]
pub enum Window {
    Ranges(Ranges),
    Cron { cron: Cron, for_ns: i64 },
    Calendar { events: Vec<CalendarEvent>, zone: TimeZone },
}

/// All that are not empty must hold.
#[derive(Debug, Clone)]
pub struct Ranges {
    /// Minutes of the day, the end not within.
    pub times: Vec<(i32, i32)>,
    /// Monday is 1.
    pub weekdays: Vec<(i32, i32)>,
    /// Negative ones count from the end of the month.
    pub days: Vec<(i32, i32)>,
    pub months: Vec<(i32, i32)>,
    pub years: Vec<(i32, i32)>,
    pub zone: TimeZone,
}

impl TimeInterval {
    pub fn contains(&self, now_ns: i64) -> bool {
        self.any.iter().any(|window| window.contains(now_ns))
    }

    /// The next time at which it begins or ends, to the minute.
    pub fn next_change(&self, now_ns: i64) -> Option<i64> {
        let now = self.contains(now_ns);
        let first = now_ns.div_euclid(MINUTE_NS).saturating_add(1).saturating_mul(MINUTE_NS);
        let mut at = first;
        while at <= now_ns.saturating_add(LOOK_AHEAD_NS) {
            if self.contains(at) != now {
                return Some(at);
            }
            at = at.saturating_add(MINUTE_NS);
        }
        None
    }
}

impl TimeInterval {
    /// The same, looked for over more than a year; what is away for days is looked at by quarters of an hour.
    pub fn change_within_a_year(&self, now_ns: i64) -> Option<i64> {
        if let Some(near) = self.next_change(now_ns) {
            return Some(near);
        }
        let now = self.contains(now_ns);
        let mut at = now_ns.saturating_add(LOOK_AHEAD_NS);
        while at <= now_ns.saturating_add(YEAR_AHEAD_NS) {
            let next = at.saturating_add(15 * MINUTE_NS);
            if self.contains(next) != now {
                return self.next_change(at);
            }
            at = next;
        }
        None
    }
}

impl Window {
    fn contains(&self, now_ns: i64) -> bool {
        match self {
            Window::Ranges(ranges) => ranges.contains(now_ns),
            Window::Cron { cron, for_ns } => cron.began_within(now_ns, *for_ns),
            Window::Calendar { events, zone } => events.iter().any(|event| event.contains(now_ns, zone)),
        }
    }
}

impl Ranges {
    fn contains(&self, now_ns: i64) -> bool {
        let Some(now) = local(now_ns, &self.zone) else { return false };
        if self.times.is_empty() {
            return self.day(now);
        }
        let minute = i32::from(now.hour()) * 60 + i32::from(now.minute());
        let yesterday = || now.checked_sub(1.day()).is_ok_and(|before| self.day(before));
        self.times.iter().any(|(from, to)| {
            if from < to {
                *from <= minute && minute < *to && self.day(now)
            } else {
                (*from <= minute && self.day(now)) || (minute < *to && yesterday())
            }
        })
    }

    fn day(&self, at: DateTime) -> bool {
        let within = |ranges: &[(i32, i32)], value: i32| {
            ranges.is_empty() || ranges.iter().any(|(from, to)| (*from..=*to).contains(&value))
        };
        let last = i32::from(at.date().days_in_month());
        let from_end = |day: i32| if day < 0 { last + 1 + day } else { day };
        let days: Vec<(i32, i32)> = self.days.iter().map(|(from, to)| (from_end(*from), from_end(*to))).collect();
        within(&self.weekdays, i32::from(at.date().weekday().to_monday_one_offset()))
            && within(&days, i32::from(at.day()))
            && within(&self.months, i32::from(at.month()))
            && within(&self.years, i32::from(at.year()))
    }
}

/// `18:00` or `24:00` as a minute of the day.
pub fn minute(text: &str) -> Option<i32> {
    let (hour, minute) = text.split_once(':')?;
    if hour.len() > 2 || minute.len() != 2 {
        return None;
    }
    let (hour, minute): (i32, i32) = (hour.parse().ok()?, minute.parse().ok()?);
    ((0..24).contains(&hour) && (0..60).contains(&minute) || (hour, minute) == (24, 0)).then_some(hour * 60 + minute)
}

/// `monday:friday`, `1:31`, `-1`, `january:march` as a range; a range of weekdays may go over Sunday.
pub fn range(text: &str, names: &[&str], bounds: (i32, i32)) -> Option<Vec<(i32, i32)>> {
    let text = text.to_ascii_lowercase();
    let one = |text: &str| -> Option<i32> {
        let text = text.trim();
        let named = names.iter().position(|name| *name == text || name.get(..3) == Some(text));
        let value = match named {
            Some(at) => i32::try_from(at).ok()? + 1,
            None => text.parse().ok()?,
        };
        let fits = (bounds.0..=bounds.1).contains(&value) && value != 0;
        fits.then_some(value)
    };
    let (from, to) = text.split_once(':').unwrap_or((text.as_str(), text.as_str()));
    let (from, to) = (one(from)?, one(to)?);
    match (from <= to, names.len()) {
        (true, _) => Some(vec![(from, to)]),
        (false, 7) => Some(vec![(from, 7), (1, to)]),
        (false, _) if from > 0 && to < 0 => Some(vec![(from, to)]),
        (false, _) => None,
    }
}

pub const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
pub const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

#[cfg(test)]
mod tests;
