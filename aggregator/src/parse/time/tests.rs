//! Each spelling read and printed back; what is no time.

use proptest::prelude::*;

use super::*;
use crate::parse::line::Layout;

/// 2026-11-20T09:10:02Z
const TIME_S: i64 = 1_795_165_802;

fn back(text: &str, assumed: i16) -> (i64, String) {
    let (time_ns, spelling) = whole(text.as_bytes(), assumed).unwrap_or_else(|| panic!("{text} is a time"));
    let mut out = Vec::new();
    assert!(format_time(time_ns, spelling, &mut out), "{text}");
    (time_ns, String::from_utf8(out).expect("times are ascii"))
}

#[test]
fn every_spelling_is_read_and_printed_back() {
    let whole_second = TIME_S * NS_PER_S;
    for (text, want) in [
        ("2026-11-20T09:10:02Z", whole_second),
        ("2026-11-20T09:10:02.123Z", whole_second + 123_000_000),
        ("2026-11-20T09:10:02.123456789+00:00", whole_second + 123_456_789),
        ("2026-11-20T10:10:02+01:00", whole_second),
        ("2026-11-20 04:10:02.5 -0500", whole_second + 500_000_000),
        ("2026-11-20 09:10:02,123", whole_second + 123_000_000),
        ("2026-11-20 09:10:02", whole_second),
        ("2026-11-20T09:10:02", whole_second),
        ("2026-11-20 09:10 +00:00", whole_second - 2 * NS_PER_S),
        ("2026-11-20 09:10", whole_second - 2 * NS_PER_S),
        ("2026-11-20 09:10:02.123 +00:00", whole_second + 123_000_000),
        ("2026/11/20 09:10:02", whole_second),
        ("2026/11/20 09:10:02.000001", whole_second + 1_000),
        ("20/Nov/2026:09:10:02 +0000", whole_second),
        ("20/Nov/2026:14:40:02 +0530", whole_second),
        ("1795165802", whole_second),
        ("1795165802.099", whole_second + 99_000_000),
        ("1795165802123", whole_second + 123_000_000),
        ("1795165802123456", whole_second + 123_456_000),
        ("1795165802123456789", whole_second + 123_456_789),
    ] {
        assert_eq!(back(text, 0), (want, text.to_owned()));
    }
}

#[test]
fn a_time_without_zone_takes_the_assumed_one() {
    assert_eq!(back("2026/11/20 10:10:02", 60), (TIME_S * NS_PER_S, "2026/11/20 10:10:02".to_owned()));
    assert_eq!(back("2026-11-20 10:10:02", 60).0, TIME_S * NS_PER_S);
    assert_eq!(back("2026-11-20 10:10:02Z", 60).0, (TIME_S + 3600) * NS_PER_S);
}

#[test]
fn what_is_no_time_is_not_taken_for_one() {
    for text in [
        "",
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20",
        "2026-11-20T09:10:0",
        "2026-11-20T09:10:02ZZ",
        "20/Foo/2026:09:10:02 +0000",
        "12345",
        "1795165802.",
        "1795165802.1x",
        "99999999999999999999",
        "9999-12-31T00:00:00Z",
    ] {
        assert_eq!(whole(text.as_bytes(), 0), None, "{text}");
    }
    assert_eq!(whole(b"2024-02-29T00:00:00Z", 0).map(|(time, _)| time), Some(1_709_164_800 * NS_PER_S));
}

#[test]
fn a_leading_time_ends_where_the_text_goes_on() {
    for (text, len) in [
        ("2026-11-20 09:10 +00:00: GET /", 23),
        ("2026-11-20 09:10: GET /", 16),
        ("2026-11-20T09:11:07: GET /", 19),
        ("2026-11-20 09:10:02 - app - ERROR", 19),
        ("2026-11-20 09:10:02 -0500 x", 25),
        ("2026-11-20 09:10:02 -12 items", 19),
        ("2026-11-20 09:10:02] x", 19),
    ] {
        assert_eq!(leading(text.as_bytes(), 0).map(|stamp| stamp.len), Some(len), "{text}");
    }
}

fn spellings() -> impl Strategy<Value = Spelling> {
    let minutes = -14 * 60..=14 * 60i16;
    let offset = prop_oneof![
        Just(Offset::Zulu),
        minutes.clone().prop_map(Offset::Minutes),
        minutes.clone().prop_map(Offset::MinutesCompact),
        Just(Offset::Assumed(0)),
    ];
    let unit = prop_oneof![Just(NS_PER_S), Just(1_000_000), Just(1_000), Just(1)];
    prop_oneof![
        (0..=9u8, offset, prop_oneof![Just(b'T'), Just(b' ')])
            .prop_map(|(fraction, offset, separator)| Spelling::Rfc3339 { fraction, offset, separator }),
        minutes.prop_map(|offset_minutes| Spelling::NginxLocal { offset_minutes }),
        Just(Spelling::NginxError { offset_minutes: 0 }),
        unit.prop_map(|unit_ns| Spelling::EpochInt { unit_ns }),
        (1..=9u8).prop_map(|decimals| Spelling::EpochFixed { decimals }),
    ]
}

proptest! {
    #[test]
    fn printing_and_reading_are_inverse(time_ns in 100_000_000 * NS_PER_S..8_000_000_000 * NS_PER_S, spelling in spellings()) {
        let mut first = Vec::new();
        prop_assert!(format_time(time_ns, spelling, &mut first));
        let (read, as_read) = whole(&first, 0).expect("a printed time is a time");
        let mut second = Vec::new();
        prop_assert!(format_time(read, as_read, &mut second));
        prop_assert_eq!(String::from_utf8_lossy(&first), String::from_utf8_lossy(&second));
        prop_assert!((read - time_ns).abs() < 60 * NS_PER_S);
    }

    #[test]
    fn any_bytes_and_any_time_are_safe(
        text in proptest::collection::vec(any::<u8>(), 0..64), time_ns: i64, fraction: u8, separator: u8, minutes: i16,
    ) {
        let _ = whole(&text, 0);
        let _ = leading(&text, i16::MAX);
        let mut out = Vec::new();
        for offset in [Offset::Zulu, Offset::Minutes(minutes), Offset::Assumed(minutes)] {
            format_time(time_ns, Spelling::Rfc3339 { fraction, offset, separator }, &mut out);
        }
        format_time(time_ns, Spelling::NginxLocal { offset_minutes: minutes }, &mut out);
        format_time(time_ns, Spelling::EpochFixed { decimals: fraction }, &mut out);
        format_time(time_ns, Spelling::EpochInt { unit_ns: i64::from(minutes) }, &mut out);
    }

    #[test]
    fn nearly_times_are_safe(text in "[0-9]{2,4}[-/][0-9A-Z]{2,3}[-/][0-9]{2,4}[T :][0-9:., +Z-]{0,20}") {
        if let Some(stamp) = leading(text.as_bytes(), 0) {
            prop_assert!(stamp.len <= text.len());
        }
    }
}

#[test]
fn times_of_every_taste_are_read_and_printed_back() {
    // 2026-11-20T12:00:00Z
    let received_ns = 1_795_176_000 * NS_PER_S;
    for (text, want) in [
        ("Fri Nov 20 09:10:02.123456 2026", "2026-11-20T08:10:02.123Z"),
        ("Fri Nov  6 09:10:02 2026", "2026-11-06T08:10:02.000Z"),
        ("Fri Nov 20 09:10:02 CET 2026", "2026-11-20T08:10:02.000Z"),
        ("Fri, 20 Nov 2026 09:10:02 -0500", "2026-11-20T14:10:02.000Z"),
        ("Fri, 20 Nov 2026 09:10:02 GMT", "2026-11-20T09:10:02.000Z"),
        ("Nov 20 09:10:02", "2026-11-20T08:10:02.000Z"),
        ("Nov 20 2026 09:10:02", "2026-11-20T08:10:02.000Z"),
        ("Nov 20, 2026 9:10:02 AM", "2026-11-20T08:10:02.000Z"),
        ("Nov 2, 2026 12:10:02 PM", "2026-11-02T11:10:02.000Z"),
        ("Nov 20, 2026 12:10:02\u{202f}AM", "2026-11-19T23:10:02.000Z"),
        ("20 Nov 2026 09:10:02.123", "2026-11-20T08:10:02.123Z"),
        ("20-Nov-2026 09:10:02.123", "2026-11-20T08:10:02.123Z"),
        ("20/Nov/2026:09:10:02.655", "2026-11-20T08:10:02.655Z"),
        ("20/Nov/2026 09:10:02", "2026-11-20T08:10:02.000Z"),
        ("20.11.2026 09:10:02,5", "2026-11-20T08:10:02.500Z"),
        ("11/20/2026 09:10:02 AM", "2026-11-20T08:10:02.000Z"),
        ("11/20/2026 12:10:02.250 PM", "2026-11-20T11:10:02.250Z"),
        ("01/05/2026 12:00:00 AM", "2026-01-04T23:00:00.000Z"),
        ("1/5/2026 3:04:05 PM", "2026-01-05T14:04:05.000Z"),
        ("11/20/2026 3:04:05 PM", "2026-11-20T14:04:05.000Z"),
        ("261120  9:10:02", "2026-11-20T08:10:02.000Z"),
        ("2026-11-20  9:10:02", "2026-11-20T08:10:02.000Z"),
        ("2026-11-20 09:10:02.123 JST", "2026-11-20T00:10:02.123Z"),
        ("2026-11-20T09:10:02+03", "2026-11-20T06:10:02.000Z"),
    ] {
        let bytes = text.as_bytes();
        let stamp = leading(bytes, 60).or_else(|| layout::leading(bytes, 60, received_ns));
        let stamp = stamp.unwrap_or_else(|| panic!("{text} is a time"));
        assert_eq!(stamp.len, text.len(), "{text}");
        let mut back = Vec::new();
        assert!(format_time(stamp.time_ns, stamp.spelling, &mut back));
        assert_eq!(String::from_utf8_lossy(&back), text);
        let mut utc = Vec::new();
        format_time(stamp.time_ns, Spelling::Rfc3339 { fraction: 3, offset: Offset::Zulu, separator: b'T' }, &mut utc);
        assert_eq!(String::from_utf8_lossy(&utc), want, "{text}");
    }
    for text in [
        "Nov 31 09:10:02",
        "Foo 20 09:10:02",
        "Nov 20 24:10:02",
        "Nov 20, 2026 13:10:02 PM",
        "Nov 20, 2026 09:10:02 AM",
    ] {
        assert_eq!(layout::leading(text.as_bytes(), 0, received_ns), None, "{text}");
    }
}

#[test]
fn a_year_that_is_not_told_is_right_over_new_year() {
    let at = |text: &str| whole(text.as_bytes(), 0).expect("a time").0;
    for (received, text, want) in [
        ("2027-01-01T00:00:03Z", "Dec 31 23:59:59", "2026-12-31T23:59:59Z"),
        ("2026-12-31T23:59:58Z", "Jan  1 00:00:01", "2027-01-01T00:00:01Z"),
        ("2028-02-29T12:00:00Z", "Feb 29 11:00:00", "2028-02-29T11:00:00Z"),
        ("2027-01-05T00:00:00Z", "Nov 20 09:10:02", "2026-11-20T09:10:02Z"),
    ] {
        let stamp = layout::leading(text.as_bytes(), 0, at(received)).expect("a time");
        assert_eq!(stamp.time_ns, at(want), "{text} at {received}");
    }
    let midnight = layout::read(Layout::Clock, b"23:59:59.5 x", 0, at("2026-11-20T00:00:01Z")).expect("a clock");
    assert_eq!(midnight.time_ns, at("2026-11-19T23:59:59.5Z"));
}

proptest! {
    #[test]
    fn layouts_print_what_they_read(
        time_ns in 1_000_000_000 * NS_PER_S..4_000_000_000 * NS_PER_S, layout in 0..Layout::ALL.len(), fraction in 0..=9u8,
        zone in 0..50u8, minutes in -14 * 60..=14 * 60i16,
    ) {
        let layout = Layout::ALL[layout];
        for offset in [Offset::Assumed(minutes), Offset::Named(zone), Offset::MinutesCompact(minutes)] {
            let mut first = Vec::new();
            let printed = format_time(time_ns, Spelling::Layout { layout, fraction, offset }, &mut first);
            prop_assert!(printed);
            let assumed = if let Offset::Assumed(minutes) = offset { minutes } else { 0 };
            let stamp = layout::read(layout, &first, assumed, time_ns);
            let stamp = stamp.unwrap_or_else(|| panic!("{} is a {layout:?}", String::from_utf8_lossy(&first)));
            let mut second = Vec::new();
            prop_assert!(format_time(stamp.time_ns, stamp.spelling, &mut second));
            prop_assert_eq!(String::from_utf8_lossy(&first), String::from_utf8_lossy(&second));
        }
    }

    #[test]
    fn any_bytes_are_safe_in_every_layout(text in proptest::collection::vec(any::<u8>(), 0..48), time_ns: i64, minutes: i16, zone: u8, fraction: u8) {
        for layout in Layout::ALL {
            let _ = layout::read(layout, &text, minutes, time_ns);
            for offset in [Offset::Named(zone), Offset::Hours(minutes)] {
                format_time(time_ns, Spelling::Layout { layout, fraction, offset }, &mut Vec::new());
            }
        }
    }
}

#[test]
fn layouts_have_the_places_that_splits_name() {
    for (at, layout) in Layout::ALL.iter().enumerate() {
        assert_eq!(*layout as usize, at);
    }
}
