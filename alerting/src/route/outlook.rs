//! What a routing file that is right may still not mean: receivers that are never told, routes that are never reached,
//! and when its time intervals begin and end next.

use std::collections::BTreeSet;
use std::path::PathBuf;

use logweir_proto::yaml::At;
use logweir_runtime::secrets::Secret;

use super::file::Routing;
use super::interval::TimeInterval;
use super::tree::Route;

/// Changes of an interval that `check` shows.
pub const CHANGES_SHOWN: usize = 5;

/// What is probably not meant, one sentence each.
pub fn doubts(routing: &Routing) -> Vec<String> {
    let mut doubts = Vec::new();
    unreachable(&routing.root, &mut doubts);
    let mut told = BTreeSet::new();
    receivers(&routing.root, &mut told);
    told.extend(routing.receivers.iter().filter_map(|one| one.fallback.as_ref()).map(|one| one.receiver.as_str()));
    for receiver in routing.receivers.iter().filter(|receiver| !told.contains(receiver.name.as_str())) {
        doubts.push(format!("no route leads to the receiver '{}'", receiver.name));
    }
    let mut named = BTreeSet::new();
    intervals(&routing.root, &mut named);
    for interval in routing.intervals.iter().filter(|interval| !named.contains(interval.name.as_str())) {
        doubts.push(format!("no route names the time interval '{}': only a rule's 'mute' may", interval.name));
    }
    doubts.extend(unreadable(routing));
    doubts
}

/// Secrets that cannot be read here and now: nothing can be sent with them.
pub fn unreadable(routing: &Routing) -> Vec<String> {
    let doubt = |(at, path): &(At, PathBuf)| {
        let why = match Secret::read_file(path) {
            Ok(secret) if secret.expose().is_empty() => "it is empty".to_owned(),
            Ok(_) => return None,
            Err(error) => error.to_string(),
        };
        let (line, path) = (at.line, path.display());
        Some(format!("line {line}: the secret in {path} cannot be read, so nothing can be sent with it: {why}"))
    };
    routing.secret_files.iter().filter_map(doubt).collect()
}

fn receivers<'a>(route: &'a Route, told: &mut BTreeSet<&'a str>) {
    told.insert(&route.receiver);
    told.extend(route.escalate.iter().map(|step| step.receiver.as_str()));
    route.routes.iter().for_each(|below| receivers(below, told));
}

fn intervals<'a>(route: &'a Route, named: &mut BTreeSet<&'a str>) {
    named.extend(route.mute.iter().chain(&route.active).map(String::as_str));
    route.routes.iter().for_each(|below| intervals(below, named));
}

/// A route that ends the search for everything that a later one would take.
fn unreachable(route: &Route, doubts: &mut Vec<String>) {
    for (index, later) in route.routes.iter().enumerate() {
        let takes_all = |earlier: &&Route| {
            let known = |own: &super::matcher::Matcher| later.matchers.iter().any(|other| other.parts() == own.parts());
            !earlier.go_on && earlier.matchers.iter().all(known)
        };
        if let Some(earlier) = route.routes[..index].iter().find(takes_all) {
            let (earlier, later) = (earlier.title(), later.title());
            doubts.push(format!("'{later}' is never reached: '{earlier}' takes all of it and does not continue"));
        }
        unreachable(later, doubts);
    }
}

/// When the interval begins (`true`) and ends next, at most so often.
pub fn changes(interval: &TimeInterval, now_ns: i64, count: usize) -> Vec<(i64, bool)> {
    let mut changes = Vec::new();
    let mut at = now_ns;
    while changes.len() < count
        && let Some(next) = interval.change_within_a_year(at)
    {
        changes.push((next, interval.contains(next)));
        at = next;
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::T0;

    const FILE: &str = "
route:
  receiver: ops
  routes:
    - {name: page, matchers: ['severity=\"critical\"'], receiver: pager, mute_time_intervals: [night]}
    - {name: team page, matchers: ['severity=\"critical\"', 'team=\"pay\"'], receiver: pay}
    - {name: pay, matchers: ['team=\"pay\"'], receiver: pay, continue: true}
    - {name: pay nights, matchers: ['team=\"pay\"'], receiver: ops}
receivers:
  - {name: ops, webhook: [{url: 'https://a.example/'}], fallback: {after: 5m, receiver: mail}}
  - {name: pager, webhook: [{url: 'https://b.example/'}]}
  - {name: pay, webhook: [{url: 'https://c.example/'}]}
  - {name: mail, webhook: [{url: 'https://d.example/'}]}
  - {name: nobody, webhook: [{url: 'https://e.example/'}]}
time_intervals:
  - {name: night, time_intervals: [{times: [{start_time: '22:00', end_time: '06:00'}], location: Europe/Berlin}]}
  - {name: christmas, time_intervals: [{months: ['12'], days_of_month: ['24:26']}]}
  - {name: never, time_intervals: [{years: ['2020']}]}
";

    fn routing() -> Routing {
        crate::route::file::load("alerting.yaml", FILE, &|_| None).unwrap_or_else(|p| panic!("{p:?}"))
    }

    #[test]
    fn what_is_never_reached_or_told_is_said() {
        expect_test::expect![[r#"
            'team page' is never reached: 'page' takes all of it and does not continue
            no route leads to the receiver 'nobody'
            no route names the time interval 'christmas': only a rule's 'mute' may
            no route names the time interval 'never': only a rule's 'mute' may"#]]
        .assert_eq(&doubts(&routing()).join("\n"));
    }

    #[test]
    fn an_interval_shows_when_it_begins_and_ends_next_also_months_ahead() {
        let routing = routing();
        let show = |name: &str| {
            let all = changes(routing.interval(name).expect("is there"), T0, CHANGES_SHOWN);
            let one = |(at, begins): &(i64, bool)| {
                format!("{} {}", if *begins { "+" } else { "-" }, logweir_runtime::clock::rfc3339(*at))
            };
            all.iter().map(one).collect::<Vec<_>>().join("\n")
        };
        expect_test::expect![[r#"
            + 2026-09-21T20:00:00.000000000Z
            - 2026-09-22T04:00:00.000000000Z
            + 2026-09-22T20:00:00.000000000Z
            - 2026-09-23T04:00:00.000000000Z
            + 2026-09-23T20:00:00.000000000Z"#]]
        .assert_eq(&show("night"));
        expect_test::expect![[r#"
            + 2026-12-24T00:00:00.000000000Z
            - 2026-12-27T00:00:00.000000000Z
            + 2027-12-24T00:00:00.000000000Z
            - 2027-12-27T00:00:00.000000000Z
            + 2028-12-24T00:00:00.000000000Z"#]]
        .assert_eq(&show("christmas"));
        assert_eq!(show("never"), "");
    }
}
