//! Calendars (`.ics`): the events of a file, as times in which something is muted.
//!
//! Read are `BEGIN:VEVENT` to `END:VEVENT` with `DTSTART`, `DTEND` and `RRULE:FREQ=YEARLY`; dates, local times, times with
//! `TZID` and times in UTC. An event without an end lasts a day when it is a date, else no time.

use jiff::civil::{self, Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};

use super::cron::local;

/// Events of one calendar.
pub const EVENTS_MAX: usize = 10_000;

#[derive(Debug, Clone)]
pub struct CalendarEvent {
    start: DateTime,
    end: DateTime,
    /// `None`: the zone of the interval, as holidays have it.
    zone: Option<TimeZone>,
    yearly: bool,
    pub summary: String,
}

impl CalendarEvent {
    pub fn contains(&self, now_ns: i64, zone: &TimeZone) -> bool {
        let Some(now) = local(now_ns, self.zone.as_ref().unwrap_or(zone)) else { return false };
        if !self.yearly {
            return self.start <= now && now < self.end;
        }
        let Ok(length) = self.start.until(self.end) else { return false };
        // An event over New Year began in the year before.
        [now.year(), now.year() - 1].into_iter().filter(|year| *year >= self.start.year()).any(|year| {
            let date = Date::new(year, self.start.month(), self.start.day());
            date.is_ok_and(|date| {
                let start = date.to_datetime(self.start.time());
                start <= now && start.checked_add(length).is_ok_and(|end| now < end)
            })
        })
    }
}

/// Reads a calendar; the error says in which line.
pub fn parse(text: &str) -> Result<Vec<CalendarEvent>, String> {
    let mut events = Vec::new();
    let mut open: Option<Draft> = None;
    for (line, content) in unfold(text) {
        let wrong = |reason: &str| format!("line {line} of the calendar: {reason}");
        let Some((head, value)) = content.split_once(':') else { continue };
        let (name, parameters) = head.split_once(';').unwrap_or((head, ""));
        match (name.to_ascii_uppercase().as_str(), open.as_mut()) {
            ("BEGIN", None) if value.eq_ignore_ascii_case("VEVENT") => open = Some(Draft::default()),
            ("END", Some(_)) if value.eq_ignore_ascii_case("VEVENT") => {
                if events.len() >= EVENTS_MAX {
                    return Err(wrong("too many events"));
                }
                let event = open.take().and_then(Draft::finish);
                events.push(event.ok_or_else(|| wrong("the event has no DTSTART, or ends before it begins"))?);
            }
            ("DTSTART", Some(draft)) => {
                draft.start = Some(time(parameters, value).ok_or_else(|| wrong("DTSTART cannot be read"))?);
            }
            ("DTEND", Some(draft)) => {
                draft.end = Some(time(parameters, value).ok_or_else(|| wrong("DTEND cannot be read"))?.0);
            }
            ("DURATION", Some(draft)) => {
                draft.length = Some(value.parse().map_err(|_| wrong("DURATION cannot be read"))?);
            }
            ("RRULE", Some(draft)) => {
                if !value.trim().eq_ignore_ascii_case("FREQ=YEARLY") {
                    return Err(wrong("only RRULE:FREQ=YEARLY is read"));
                }
                draft.yearly = true;
            }
            ("SUMMARY", Some(draft)) => draft.summary = value.trim().chars().take(100).collect(),
            _ => {}
        }
    }
    match open {
        Some(_) => Err("the calendar ends within an event".to_owned()),
        None => Ok(events),
    }
}

#[derive(Default)]
struct Draft {
    start: Option<(DateTime, Option<TimeZone>, bool)>,
    end: Option<DateTime>,
    length: Option<Span>,
    yearly: bool,
    summary: String,
}

impl Draft {
    fn finish(self) -> Option<CalendarEvent> {
        let (start, zone, whole_day) = self.start?;
        let end = match (self.end, self.length) {
            (Some(end), _) => end,
            (None, Some(length)) => start.checked_add(length).ok()?,
            (None, None) if whole_day => start.checked_add(1.day()).ok()?,
            (None, None) => start,
        };
        (start <= end).then_some(CalendarEvent { start, end, zone, yearly: self.yearly, summary: self.summary })
    }
}

/// Lines that begin with white space go on with the line before.
fn unfold(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        match (line.strip_prefix([' ', '\t']), lines.last_mut()) {
            (Some(rest), Some((_, last))) => last.push_str(rest),
            _ => lines.push((number, line.trim_end().to_owned())),
        }
    }
    lines
}

fn time(parameters: &str, value: &str) -> Option<(DateTime, Option<TimeZone>, bool)> {
    let value = value.trim();
    let number = |range: std::ops::Range<usize>| value.get(range)?.parse::<i16>().ok();
    let small = |range: std::ops::Range<usize>| value.get(range)?.parse::<i8>().ok();
    let date = Date::new(number(0..4)?, small(4..6)?, small(6..8)?).ok()?;
    if value.len() == 8 {
        return Some((date.to_datetime(civil::Time::midnight()), None, true));
    }
    if value.get(8..9)? != "T" {
        return None;
    }
    let time = civil::Time::new(small(9..11)?, small(11..13)?, small(13..15)?, 0).ok()?;
    let zone = match parameters.split(';').find_map(|p| p.strip_prefix("TZID=")) {
        _ if value.ends_with('Z') => Some(TimeZone::UTC),
        Some(name) => Some(TimeZone::get(name.trim_matches('"')).ok()?),
        None => None,
    };
    Some((date.to_datetime(time), zone, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALENDAR: &str = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20251225\r\nDTEND;VALUE=DATE:20251227\r\nRRULE:FREQ=YEARLY\r\nSUMMARY:Christ\r\n mas\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nDTSTART;TZID=Europe/Berlin:20260403T120000\r\nDTEND;TZID=Europe/Berlin:20260403T140000\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20240229\r\nRRULE:FREQ=YEARLY\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

    #[test]
    fn events_are_where_they_say_in_their_zone() {
        let events = parse(CALENDAR).expect("right");
        assert_eq!((events.len(), events[0].summary.as_str()), (3, "Christmas"));
        let berlin = TimeZone::get("Europe/Berlin").expect("a zone");
        let within = |text: &str| {
            let time: jiff::Timestamp = text.parse().expect(text);
            let ns = i64::try_from(time.as_nanosecond()).expect("in range");
            events.iter().any(|event| event.contains(ns, &berlin))
        };
        for (time, wanted) in [
            ("2026-12-24T22:59:59Z", false),
            ("2026-12-24T23:00:00Z", true),
            ("2030-12-26T22:59:59Z", true),
            ("2030-12-26T23:00:00Z", false),
            ("2024-12-25T12:00:00Z", false),
            ("2026-04-03T10:00:00Z", true),
            ("2026-04-03T12:00:00Z", false),
            ("2028-02-29T12:00:00Z", true),
            ("2027-02-28T12:00:00Z", false),
            ("2027-03-01T12:00:00Z", false),
        ] {
            assert_eq!(within(time), wanted, "{time}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (text, reason) in [
            ("BEGIN:VEVENT\nDTSTART:2026\nEND:VEVENT\n", "line 2"),
            ("BEGIN:VEVENT\nEND:VEVENT\n", "no DTSTART"),
            ("BEGIN:VEVENT\nDTSTART:20260101\nRRULE:FREQ=WEEKLY\nEND:VEVENT\n", "FREQ=YEARLY"),
            ("BEGIN:VEVENT\n", "ends within"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(reason), "{error}");
        }
    }
}
