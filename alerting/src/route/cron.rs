//! Times written as cron expressions, in a time zone.
//!
//! An expression has five fields (minute to day of week, `0` and `7` are Sunday) or six with seconds before them. Both
//! are read on the wall clock of their zone: a time that a switch to summer time skips is taken just after the gap, one
//! that comes twice is taken the first time.

use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};
use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

/// Occurrences that are looked at for one question; denser expressions are refused where windows are read.
const OCCURRENCES_MAX: usize = 5_000;
/// A zone's offset never moves by more than this at once.
const SLACK_S: i64 = 3 * 3600;

#[derive(Debug, Clone)]
pub struct Cron {
    schedule: cron::Schedule,
    zone: TimeZone,
    text: String,
}

impl Cron {
    pub fn parse(text: &str, zone: TimeZone) -> Result<Cron, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let six = match fields.as_slice() {
            [minute, hour, day, month, weekday] => {
                format!("0 {minute} {hour} {day} {month} {}", unix_weekdays(weekday)?)
            }
            [second, minute, hour, day, month, weekday] => {
                format!("{second} {minute} {hour} {day} {month} {}", unix_weekdays(weekday)?)
            }
            _ => return Err(format!("'{text}' has {} fields, a cron expression has 5 or 6", fields.len())),
        };
        let schedule = cron::Schedule::from_str(&six)
            .map_err(|error| format!("'{text}' is not a cron expression: {}", error.to_string().replace('\n', " ")))?;
        Ok(Cron { schedule, zone, text: text.to_owned() })
    }

    /// Every day at `09:00`.
    pub fn daily(hour: i8, minute: i8, zone: TimeZone) -> Result<Cron, String> {
        Cron::parse(&format!("{minute} {hour} * * *"), zone)
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first occurrence after a time.
    pub fn next_after(&self, now_ns: i64) -> Option<i64> {
        let from = to_chrono(local(now_ns, &self.zone)?)? - chrono::Duration::seconds(SLACK_S);
        let times = self.schedule.after(&from).take(OCCURRENCES_MAX);
        times.filter_map(|time| self.instant(time)).find(|at| *at > now_ns)
    }

    /// Whether an occurrence began less than `span_ns` before a time.
    pub fn began_within(&self, now_ns: i64, span_ns: i64) -> bool {
        let Some(now) = local(now_ns, &self.zone).and_then(to_chrono) else { return false };
        let slack = chrono::Duration::seconds(SLACK_S);
        let from = now - chrono::Duration::nanoseconds(span_ns) - slack;
        let times = self.schedule.after(&from).take(OCCURRENCES_MAX).take_while(|time| *time <= now + slack);
        times.filter_map(|time| self.instant(time)).any(|at| at <= now_ns && now_ns.saturating_sub(at) < span_ns)
    }

    fn instant(&self, time: DateTime<Utc>) -> Option<i64> {
        let civil = civil::DateTime::new(
            i16::try_from(time.year()).ok()?,
            i8::try_from(time.month()).ok()?,
            i8::try_from(time.day()).ok()?,
            i8::try_from(time.hour()).ok()?,
            i8::try_from(time.minute()).ok()?,
            i8::try_from(time.second()).ok()?,
            0,
        );
        let zoned = self.zone.to_ambiguous_zoned(civil.ok()?).compatible().ok()?;
        i64::try_from(zoned.timestamp().as_nanosecond()).ok()
    }
}

/// What the clock on the wall shows.
pub fn local(now_ns: i64, zone: &TimeZone) -> Option<civil::DateTime> {
    let time = Timestamp::from_nanosecond(i128::from(now_ns)).ok()?;
    Some(time.to_zoned(zone.clone()).datetime())
}

/// The wall clock's time as if it were UTC: the expressions know no zones.
fn to_chrono(time: civil::DateTime) -> Option<DateTime<Utc>> {
    let date = NaiveDate::from_ymd_opt(i32::from(time.year()), month_u32(time.month())?, month_u32(time.day())?)?;
    let time = date.and_hms_opt(month_u32(time.hour())?, month_u32(time.minute())?, month_u32(time.second())?)?;
    Some(time.and_utc())
}

fn month_u32(number: i8) -> Option<u32> {
    u32::try_from(number).ok()
}

/// Days of the week by number, as crontab counts them, in names: the parser below counts from another day.
fn unix_weekdays(field: &str) -> Result<String, String> {
    const NAMES: [&str; 8] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];
    let name = |part: &str| -> Result<String, String> {
        match part.parse::<usize>() {
            Ok(day) => NAMES.get(day).map(|name| (*name).to_owned()).ok_or(format!("{day} is not a day of the week")),
            Err(_) => Ok(part.to_owned()),
        }
    };
    let one = |item: &str| -> Result<String, String> {
        let (days, step) = item.split_once('/').map_or((item, None), |(days, step)| (days, Some(step)));
        let days = match days.split_once('-') {
            // A range that ends on Sunday is written out: Sunday comes first there.
            Some((from, to)) if matches!(to, "0" | "7") && from.parse::<usize>().is_ok_and(|from| from <= 6) => {
                let from: usize = from.parse().unwrap_or(0);
                return match step {
                    None => Ok(NAMES[from.min(7)..=7].join(",")),
                    Some(_) => Err(format!("'{item}' cannot have a step")),
                };
            }
            Some((from, to)) => format!("{}-{}", name(from)?, name(to)?),
            None => name(days)?,
        };
        Ok(step.map_or(days.clone(), |step| format!("{days}/{step}")))
    };
    let items: Result<Vec<String>, String> = field.split(',').map(one).collect();
    Ok(items?.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns(text: &str) -> i64 {
        let time: Timestamp = text.parse().expect(text);
        i64::try_from(time.as_nanosecond()).expect("in range")
    }

    fn next(text: &str, zone: &str, now: &str) -> String {
        let cron = Cron::parse(text, TimeZone::get(zone).expect(zone)).unwrap_or_else(|e| panic!("{e}"));
        let at = cron.next_after(ns(now)).map(|at| Timestamp::from_nanosecond(i128::from(at)).expect("in range"));
        at.map_or("never".to_owned(), |at| at.to_string())
    }

    #[test]
    fn times_are_those_of_the_wall_clock() {
        for (cron, zone, now, wanted) in [
            ("0 9 * * *", "Europe/Berlin", "2026-01-05T07:59:59Z", "2026-01-05T08:00:00Z"),
            ("0 9 * * *", "Europe/Berlin", "2026-01-05T08:00:00Z", "2026-01-06T08:00:00Z"),
            ("0 9 * * *", "Europe/Berlin", "2026-07-05T08:00:00Z", "2026-07-06T07:00:00Z"),
            // 2026-03-29 has no 02:30 in Berlin: just after the gap.
            ("30 2 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T01:30:00Z"),
            // 2026-10-25 has 02:30 twice: the first of them.
            ("30 2 * * *", "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T00:30:00Z"),
            ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
            // Lord Howe moves by half an hour.
            ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-03T15:45:00Z"),
            ("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 9 * * 1-5", "UTC", "2026-01-03T00:00:00Z", "2026-01-05T09:00:00Z"),
            ("0 9 * * 0", "UTC", "2026-01-03T00:00:00Z", "2026-01-04T09:00:00Z"),
            ("0 9 * * 6-7", "UTC", "2026-01-01T00:00:00Z", "2026-01-03T09:00:00Z"),
            ("0 0 */6 * * *", "UTC", "2026-01-03T01:00:00Z", "2026-01-03T06:00:00Z"),
        ] {
            assert_eq!(next(cron, zone, now), wanted, "{cron} in {zone} after {now}");
        }
        for wrong in ["0 9 * *", "61 9 * * *", "0 9 * * 8", "x"] {
            assert!(Cron::parse(wrong, TimeZone::UTC).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_window_is_as_long_as_it_says_over_every_switch() {
        let cron = Cron::parse("30 1 * * *", TimeZone::get("Europe/Berlin").expect("a zone")).expect("right");
        let span = 2 * 3600 * 1_000_000_000;
        for (now, within) in [
            ("2026-03-29T00:29:59Z", false),
            ("2026-03-29T00:30:00Z", true),
            ("2026-03-29T02:29:59Z", true),
            ("2026-03-29T02:30:00Z", false),
            ("2026-10-24T23:30:00Z", true),
            ("2026-10-25T01:29:59Z", true),
            ("2026-10-25T01:30:00Z", false),
        ] {
            assert_eq!(cron.began_within(ns(now), span), within, "{now}");
        }
    }
}
