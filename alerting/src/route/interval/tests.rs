//! Where intervals begin and end, over midnight, over switches of the clock, over leap days.

use super::*;

fn ns(text: &str) -> i64 {
    let time: jiff::Timestamp = text.parse().expect(text);
    i64::try_from(time.as_nanosecond()).expect("in range")
}

fn ranges(zone: &str) -> Ranges {
    let zone = TimeZone::get(zone).expect(zone);
    Ranges { times: vec![], weekdays: vec![], days: vec![], months: vec![], years: vec![], zone }
}

fn interval(ranges: Ranges) -> TimeInterval {
    TimeInterval { name: "n".into(), any: vec![Window::Ranges(ranges)] }
}

#[test]
fn a_range_over_midnight_belongs_to_the_day_on_which_it_begins() {
    let nights = interval(Ranges { times: vec![(18 * 60, 8 * 60)], weekdays: vec![(1, 5)], ..ranges("Europe/Berlin") });
    for (time, within) in [
        // Monday morning belongs to Sunday, which is not in it.
        ("2026-01-05T03:00:00Z", false),
        ("2026-01-05T16:59:59Z", false),
        ("2026-01-05T17:00:00Z", true),
        ("2026-01-05T20:00:00Z", true),
        ("2026-01-06T06:59:59Z", true),
        ("2026-01-06T07:00:00Z", false),
        // Friday's night ends on Saturday.
        ("2026-01-10T06:00:00Z", true),
        ("2026-01-10T18:00:00Z", false),
    ] {
        assert_eq!(nights.contains(ns(time)), within, "{time}");
    }
    assert_eq!(nights.next_change(ns("2026-01-05T16:00:30Z")), Some(ns("2026-01-05T17:00:00Z")));
    assert_eq!(nights.next_change(ns("2026-01-05T20:00:00Z")), Some(ns("2026-01-06T07:00:00Z")));
}

#[test]
fn switches_of_the_clock_move_the_ends() {
    let nights = interval(Ranges { times: vec![(22 * 60, 6 * 60)], ..ranges("Europe/Berlin") });
    // The night of the spring switch is an hour shorter, that of the autumn switch an hour longer.
    for (from, to) in [
        ("2026-03-28T21:00:00Z", "2026-03-29T04:00:00Z"),
        ("2026-10-24T20:00:00Z", "2026-10-25T05:00:00Z"),
        ("2026-06-01T20:00:00Z", "2026-06-02T04:00:00Z"),
    ] {
        assert!(nights.contains(ns(from)) && !nights.contains(ns(from) - 1), "{from}");
        assert_eq!(nights.next_change(ns(from)), Some(ns(to)));
    }
    // 02:00 to 02:30 does not exist on that day; on the other it comes twice.
    let gap = interval(Ranges { times: vec![(120, 180)], ..ranges("Europe/Berlin") });
    let minutes = |day: &str| (0..24 * 60).filter(|m| gap.contains(ns(day) + m * MINUTE_NS)).count();
    assert_eq!(minutes("2026-03-28T23:00:00Z"), 0);
    assert_eq!(minutes("2026-10-24T22:00:00Z"), 120);
    assert_eq!(minutes("2026-06-01T22:00:00Z"), 60);
    // Half an hour at Lord Howe: 02:00 becomes 02:30 on 4 October 2026, and 02:00 becomes 01:30 on 5 April.
    let howe = interval(Ranges { times: vec![(90, 180)], ..ranges("Australia/Lord_Howe") });
    let minutes = |day: &str| (0..24 * 60).filter(|m| howe.contains(ns(day) + m * MINUTE_NS)).count();
    assert_eq!(minutes("2026-10-03T13:30:00Z"), 60);
    assert_eq!(minutes("2026-04-04T13:00:00Z"), 120);
    assert_eq!(minutes("2026-06-04T13:30:00Z"), 90);
}

#[test]
fn days_are_counted_from_both_ends_and_leap_days_are_days() {
    let last = interval(Ranges { days: vec![(-1, -1)], months: vec![(2, 2)], ..ranges("UTC") });
    for (time, within) in [
        ("2026-02-28T12:00:00Z", true),
        ("2028-02-28T12:00:00Z", false),
        ("2028-02-29T12:00:00Z", true),
        ("2028-03-01T00:00:00Z", false),
        ("2026-03-31T12:00:00Z", false),
    ] {
        assert_eq!(last.contains(ns(time)), within, "{time}");
    }
    // Over midnight into and out of the leap day.
    let leap = Ranges { times: vec![(22 * 60, 2 * 60)], days: vec![(29, 29)], months: vec![(2, 2)], ..ranges("UTC") };
    let leap = interval(leap);
    assert!(leap.contains(ns("2028-02-29T22:00:00Z")) && leap.contains(ns("2028-03-01T01:59:00Z")));
    assert!(!leap.contains(ns("2028-02-29T01:00:00Z")));
}

#[test]
fn words_and_numbers_are_read() {
    assert_eq!(range("monday:friday", &WEEKDAYS, (1, 7)), Some(vec![(1, 5)]));
    assert_eq!(range("sat:mon", &WEEKDAYS, (1, 7)), Some(vec![(6, 7), (1, 1)]));
    assert_eq!(range("-3:-1", &[], (-31, 31)), Some(vec![(-3, -1)]));
    assert_eq!(range("may:august", &MONTHS, (1, 12)), Some(vec![(5, 8)]));
    assert_eq!(range("1:3", &MONTHS, (1, 12)), Some(vec![(1, 3)]));
    for wrong in ["mondai", "0", "13", ""] {
        assert_eq!(range(wrong, &MONTHS, (1, 12)), None, "{wrong}");
    }
    assert_eq!((minute("24:00"), minute("7:05"), minute("24:01"), minute("7")), (Some(1440), Some(425), None, None));
}
