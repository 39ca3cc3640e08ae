use serde_json::json;

use super::*;
use crate::fixture::{S, ScriptedSource, T0, answer, episode};
use crate::state::Store;
use crate::state::records::Ack;

fn kinds(findings: &[Finding]) -> Vec<Trouble> {
    findings.iter().map(|finding| finding.kind).collect()
}

fn closed(id: &str, at: i64, lasted: i64) -> Episode {
    Episode { opened_at: at, closed_at: Some(at + lasted), closed_wall: Some(at + lasted), ..episode(id) }
}

#[test]
fn what_alerts_say_outlives_them() {
    let store = Store::in_memory().expect("a store in memory");
    store
        .write(|tx| {
            for i in 0..6 {
                remember(tx, &closed(&format!("0{i}"), T0 - 10 * DAY_NS + i * S, 60 * S), T0)?;
            }
            tx.put(EPISODES, "07", &closed("07", T0 - DAY_NS, 3_600 * S))
        })
        .expect("writes");
    let past = store.read(|view| pasts(view, T0)).expect("reads").remove("Errors").expect("the rule of the episode");
    assert_eq!((past.count.fired, past.count.short, past.count.closed), (7, 6, 7));
    assert_eq!(past.last_fired_wall, Some(T0 - DAY_NS));
    let found = judge(&past, T0);
    assert_eq!(kinds(&found), [Trouble::ResolvesQuickly, Trouble::NeverAcked], "{found:?}");
    assert_eq!(found[0].detail, "6 of 7 alerts were over within 5 minutes");
    // A month later nothing of it counts, but that it did not fire since.
    let past = store.read(|view| pasts(view, T0 + 40 * DAY_NS)).expect("reads").remove("Errors").expect("known");
    assert_eq!(kinds(&judge(&past, T0 + 40 * DAY_NS)), [Trouble::NeverFired]);
}

#[test]
fn each_trouble_has_its_own_measure() {
    let calm = Past { since_wall: Some(T0), last_fired_wall: Some(T0), ..Past::default() };
    assert_eq!(judge(&calm, T0 + 29 * DAY_NS), []);
    let never = Past { since_wall: Some(T0), ..Past::default() };
    assert_eq!(kinds(&judge(&never, T0 + NEVER_NS)), [Trouble::NeverFired]);
    let always = Past { open_since: Some(T0), last_fired_wall: Some(T0), ..Past::default() };
    assert_eq!(kinds(&judge(&always, T0 + ALWAYS_NS)), [Trouble::AlwaysFiring]);
    let flaps = Past { count: Day { fired: 4, flapped: 1, ..Day::default() }, ..calm };
    assert_eq!(judge(&flaps, T0)[0].detail, "1 of 4 alerts came and went");
    let acked = Past { count: Day { urgent: 5, acked: 1, ..Day::default() }, ..calm };
    assert_eq!(judge(&acked, T0), []);
}

#[test]
fn an_acknowledged_episode_counts_as_one() {
    let mut one = closed("01", T0, 600 * S);
    one.extra.ack =
        Some(Ack { by: "ann".into(), wall: T0, comment: String::new(), severity: Severity::Info, until_wall: None });
    let Day { acked, short, closed, .. } = day_of(&one);
    assert_eq!((acked, short, closed), (1, 0, 1));
}

#[tokio::test]
async fn filters_without_lines_and_fields_that_nobody_writes_are_named() {
    let text = "version: 1\ngroups: [{name: g, rules: [{alert: R, signals: {n: {filter: 'service:shop statuss:500', agg: count, window: 1m, by: [host]}}, levels: {warning: {when: n > 0}}, summary: s}]}]\n";
    let set = logweir_rules::file::load([("r.yaml", text)]).unwrap_or_else(|p| panic!("{p:?}"));
    let source = ScriptedSource::new(|query, _, _| match query {
        "service:*" | "host:*" => answer(json!([{"id": "x"}])),
        _ => answer(json!([])),
    });
    let judged = report(&set, &BTreeMap::new(), &*source, T0).await;
    let shown: Vec<String> =
        judged[0].findings.iter().map(|finding| format!("{:?}: {}", finding.kind, finding.detail)).collect();
    assert_eq!(
        shown,
        [
            "MatchesNothing: no line of the last 7 days matches service:shop statuss:500",
            "NoSuchField: no line of the last 7 days has the field 'statuss'",
        ]
    );
}
