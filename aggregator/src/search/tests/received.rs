//! Lines by when they were received, whatever times they tell.

use std::sync::Arc;

use logweir_proto::query::parse::parse;
use logweir_proto::record::seq_of;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::store::Place;
use crate::search::plan::unknown_fields;
use crate::search::scan::TimeRange;
use crate::search::testing::{ask, request};
use crate::store::block::{Block, BlockBuilder};
use crate::store::fixture::{Row, blocks, received_ns, row};
use crate::store::head::HeadSegment;
use crate::store::segment::Segment;

const MINUTE_NS: i64 = 60_000_000_000;

/// Six hundred lines of each minute; those of every third tell a time of a year before, in the order of the others.
fn rows(minutes: std::ops::Range<u64>) -> Vec<Row> {
    let line = |(minute, i): (u64, u64)| {
        let late_ns = if i % 3 == 0 { 365 * 1440 * MINUTE_NS } else { 0 };
        let service = ["api", "web"][(i % 2) as usize];
        let time_ns = 1000 * 1440 * MINUTE_NS + minute as i64 * MINUTE_NS + i as i64 * 100_000_000 - late_ns;
        row(time_ns, seq_of(minute, i as u32), &format!("service={service} n={i}"))
    };
    minutes.flat_map(|minute| (0..600).map(move |i| (minute, i))).map(line).collect()
}

/// The same as an earlier version wrote them: without receive times.
fn unreceived(rows: &[Row]) -> Vec<Block> {
    let strip = |block: Block| {
        let mut builder = BlockBuilder::default();
        let names = crate::names::Names::default();
        for (i, (time_ns, seq)) in block.times().iter().zip(block.seqs()).enumerate() {
            let raw = block.raw(&[i as u32]).expect("a line");
            builder.push(&names, &crate::parse::line::Line::default(), &raw[0], *time_ns, *seq);
        }
        builder.finish()
    };
    blocks(rows, 4096).into_iter().map(strip).collect()
}

fn counts(text: &str, segments: &[Arc<dyn Segment>]) -> Vec<(String, u64)> {
    let answer = ask(&parse(text).expect("a query"), &request(1000), segments);
    let row = |(_, row): &(_, logweir_proto::api::Row)| {
        let key = row.iter().filter(|(name, _)| *name != "v").map(|(_, value)| value.to_string());
        Some((key.collect::<Vec<_>>().join(" "), row.get("v")?.as_u64()?))
    };
    answer.rows.iter().filter_map(row).collect()
}

#[test]
fn lines_are_found_and_binned_by_their_receipt_in_the_head_in_splits_and_in_merged_ones() {
    let place = Place::new();
    let one = place.split("one", blocks(&rows(0..10), 4096));
    let two = place.split("two", blocks(&rows(10..20), 900));
    let old = place.split("old", unreceived(&rows(20..30)));
    let head: Arc<dyn Segment> =
        Arc::new(HeadSegment::new("head", blocks(&rows(30..40), 777).into_iter().map(Arc::new).collect()));
    let (merged, all) = (place.merged("merged", &[one.clone(), two.clone(), old.clone()]), [one, two, old, head]);
    let segments = vec![merged, Arc::clone(&all[3])];
    let within = "_ingested>=1970-01-01T00:05:00Z _ingested<1970-01-01T00:35:00Z";
    for segments in [&all[..], &segments] {
        assert_eq!(counts(&format!("{within} | stats count as v"), segments), [(String::new(), 20 * 600)]);
        let bins = counts(&format!("{within} service:web | stats count as v by bin(_ingested, 10m)"), segments);
        let bin = |minute: &str, v| (format!("\"1970-01-01T00:{minute}:00.000000000Z\""), v);
        assert_eq!(bins, [bin("00", 5 * 300), bin("10", 10 * 300), bin("30", 5 * 300)]);
        let by_itself = counts("_ingested:1970-01-01T00:07:00Z | stats count as v by _ingested", segments);
        assert_eq!(by_itself, [bin("07", 600)]);
        assert_eq!(counts("-_ingested:* | stats count as v", segments), [(String::new(), 10 * 600)]);
        assert_eq!(counts("| stats count as v", segments), [(String::new(), 40 * 600)]);
    }
    let told: Vec<_> = all.iter().map(|segment| segment.received()).map(|t| (t.span, t.unknown)).collect();
    let span = |from: u64, to: u64| Some((received_ns(seq_of(from, 0)), received_ns(seq_of(to, 0))));
    assert_eq!(told, [(span(0, 9), 0), (span(10, 19), 0), (None, 6000), (span(30, 39), 0)]);
    let told = segments[0].received();
    assert_eq!((told.span, told.unknown), (span(0, 19), 6000));
}

#[test]
fn splits_and_blocks_of_another_time_of_receipt_are_not_read() {
    let place = Place::new();
    let splits: Vec<Arc<dyn Segment>> =
        (0..4u64).map(|i| place.split(&i.to_string(), blocks(&rows(i * 40..i * 40 + 40), 4096))).collect();
    let read = |text: &str| {
        let stats = ask(&parse(text).expect("a query"), &request(1000), &splits).outcome.stats;
        (stats.splits_opened, stats.blocks_read)
    };
    assert_eq!(splits[0].blocks().len(), 6);
    assert_eq!(read("_ingested>=1970-01-01T00:41:00Z _ingested<1970-01-01T00:43:00Z | stats count by service"), (1, 3));
    let either = "(_ingested<1970-01-01T00:02:00Z OR _ingested>=1970-01-01T02:39:00Z)";
    assert_eq!(read(&format!("{either} | stats count by service")).0, 4);
    assert_eq!(read("_ingested>2000-01-01T00:00:00Z | stats count by service"), (0, 0));
    assert_eq!(read("-_ingested>2000-01-01T00:00:00Z n:7 | stats count by service").0, 4);
}

#[test]
fn a_name_that_no_line_has_is_doubted_without_opening_more_than_one_split() {
    let place = Place::new();
    let splits: Vec<Arc<dyn Segment>> =
        (0..4u64).map(|i| place.split(&i.to_string(), blocks(&rows(i * 5..i * 5 + 5), 4096))).collect();
    let doubt = |text: &str| {
        let warnings = unknown_fields(&parse(text).expect("a query"), TimeRange::ALL, &splits);
        warnings.into_iter().next().map(|warning| warning.message).unwrap_or_default()
    };
    assert_eq!(doubt("servce:web"), "no event of that time has a field servce; did you mean service?");
    assert_eq!(doubt("nosuch:1 _ingested>=1970-01-01T00:00:00Z"), "no event of that time has a field nosuch");
    assert_eq!(doubt("service:web n:1"), "");
    assert_eq!(splits.iter().filter(|split| split.is_open()).count(), 1);
}

#[test]
fn it_is_shown_only_where_it_is_asked_for() {
    let head: Arc<dyn Segment> =
        Arc::new(HeadSegment::new("head", blocks(&rows(3..4), 777).into_iter().map(Arc::new).collect()));
    let first = |text: &str| {
        let answer = ask(&parse(text).expect("a query"), &request(1), &[Arc::clone(&head)]);
        serde_json::to_string(&answer.rows[0].1).expect("JSON")
    };
    assert!(!first("n:5").contains("_ingested"));
    assert_eq!(first("n:5 | fields n, _ingested"), r#"{"n":5,"_ingested":"1970-01-01T00:03:00.000000000Z"}"#);
    assert_eq!(first("n:5 | eval late = _ingested | fields late"), r#"{"late":"1970-01-01T00:03:00.000000000Z"}"#);
    assert!(first("n:5 | sort -_ingested | fields _ingested").contains("00:03"));
    // No time of its own is said: all lines of that receipt are meant, and not those of the last hour.
    let mut request = request(1000);
    request.from_ns = None;
    let answer = ask(&parse("_ingested>1970-01-01T00:00:00Z | stats count").expect("a query"), &request, &[head]);
    assert_eq!(answer.rows[0].1["count"], 600);
}

/// A test of the receive time, or several.
#[derive(Debug, Clone)]
enum Asked {
    /// The operator, and the minute.
    Compared(&'static str, i64),
    Known,
    Web,
    Not(Box<Asked>),
    All(Vec<Asked>),
    Any(Vec<Asked>),
}

impl Asked {
    fn text(&self) -> String {
        let joined = |all: &[Asked], by: &str| all.iter().map(Asked::text).collect::<Vec<_>>().join(by);
        match self {
            Asked::Compared(operator, minute) => format!("_ingested{operator}1970-01-01T00:{minute:02}:00Z"),
            Asked::Known => "_ingested:*".to_owned(),
            Asked::Web => "service:web".to_owned(),
            Asked::Not(inner) => format!("NOT ({})", inner.text()),
            Asked::All(all) => format!("({})", joined(all, " AND ")),
            Asked::Any(all) => format!("({})", joined(all, " OR ")),
        }
    }

    fn passes(&self, received: Option<i64>, is_web: bool) -> bool {
        match self {
            Asked::Compared(operator, minute) => received.is_some_and(|received| match *operator {
                ">" => received > *minute,
                ">=" => received >= *minute,
                "<" => received < *minute,
                "<=" => received <= *minute,
                ":" => received == *minute,
                _ => unreachable!("no such operator"),
            }),
            Asked::Known => received.is_some(),
            Asked::Web => is_web,
            Asked::Not(inner) => !inner.passes(received, is_web),
            Asked::All(all) => all.iter().all(|one| one.passes(received, is_web)),
            Asked::Any(all) => all.iter().any(|one| one.passes(received, is_web)),
        }
    }
}

fn any_asked() -> impl Strategy<Value = Asked> {
    let operator = prop::sample::select(vec![">", ">=", "<", "<=", ":"]);
    let one = prop_oneof![
        6 => (operator, 0i64..42).prop_map(|(operator, minute)| Asked::Compared(operator, minute)),
        1 => Just(Asked::Known),
        1 => Just(Asked::Web),
    ];
    one.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Asked::Not(Box::new(inner))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Asked::All),
            prop::collection::vec(inner, 1..4).prop_map(Asked::Any),
        ]
    })
}

/// Leaving out splits and blocks by when their lines were received leaves out no line.
#[test]
fn what_is_asked_of_the_receive_time_in_any_way_is_found() {
    let place = Place::new();
    let one = place.split("one", blocks(&rows(0..12), 700));
    let old = place.split("old", unreceived(&rows(12..20)));
    let two = place.split("two", blocks(&rows(20..26), 900));
    let head: Arc<dyn Segment> =
        Arc::new(HeadSegment::new("head", blocks(&rows(26..40), 777).into_iter().map(Arc::new).collect()));
    let merged = place.merged("merged", &[old.clone(), two.clone()]);
    let segments: [Vec<Arc<dyn Segment>>; 2] =
        [vec![one.clone(), old, two, Arc::clone(&head)], vec![one, merged, head]];
    let received = |minute: i64| (!(12..20).contains(&minute)).then_some(minute);
    // Half of the lines of a minute are of each service; those without a receive time lost their fields as well.
    let is_web = |minute: i64, i: u64| i % 2 == 1 && received(minute).is_some();
    let mut runner = TestRunner::new(ProptestConfig::default());
    let result = runner.run(&any_asked(), |asked| {
        let of_minute = |minute| (0..2).filter(|i| asked.passes(received(minute), is_web(minute, *i))).count() as u64;
        let want: u64 = (0..40).map(|minute| of_minute(minute) * 300).sum();
        for segments in &segments {
            let found = counts(&format!("{} | stats count as v", asked.text()), segments);
            prop_assert_eq!(found.first().map_or(0, |(_, count)| *count), want, "{}", asked.text());
        }
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}
