//! Lines by when they were received, whatever times they tell.

use std::sync::Arc;

use logweir_proto::query::parse::parse;
use logweir_proto::record::seq_of;

use super::store::Place;
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
