//! The calendar: days and clocks from and to nanoseconds since the epoch.

use super::NS_PER_S;

const NS_PER_MIN: i64 = 60 * NS_PER_S;

/// A time as a clock on the wall of some zone shows it.
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) nanosecond: i64,
}

impl Civil {
    pub(super) fn new(time_ns: i64, offset_minutes: i16) -> Option<Civil> {
        let local = time_ns.checked_add(i64::from(offset_minutes) * NS_PER_MIN)?;
        let seconds = local.div_euclid(NS_PER_S);
        let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        (0..=9999).contains(&year).then_some(Civil {
            year,
            month,
            day,
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            nanosecond: local.rem_euclid(NS_PER_S),
        })
    }
}

/// Second of the day; 60 is a leap second, which becomes the first of the next minute.
pub(super) fn clock(hour: i64, minute: i64, second: i64) -> Option<i64> {
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

pub(super) fn instant(days: i64, seconds: i64, nanoseconds: i64, offset_minutes: i16) -> Option<i64> {
    let seconds = days * 86_400 + seconds - i64::from(offset_minutes) * 60;
    seconds.checked_mul(NS_PER_S)?.checked_add(nanoseconds)
}

/// Days since 1970-01-01 of the proleptic Gregorian calendar; years begin in March so that the leap day comes last.
pub(super) fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
