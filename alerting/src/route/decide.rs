//! Where an alert with some labels would go at some time, and why: `route-test`, and the tests in the file itself.

use logweir_proto::yaml::At;
use logweir_rules::model::Labels;
use serde::Serialize;

use super::file::{RouteTest, Routing};
use super::standing::{Hold, Surroundings};

/// One receiver of an alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Destination {
    pub receiver: String,
    pub route: String,
    /// The labels of its group.
    pub group: Labels,
    /// Why it is not told, if it is not.
    pub quiet: Option<String>,
}

/// Where an alert goes. `surroundings` has what else fires and who wishes quiet.
pub fn destinations(
    routing: &Routing,
    surroundings: &Surroundings,
    id: &str,
    labels: &Labels,
    now_wall: i64,
) -> Vec<Destination> {
    let routes = routing.root.matching(labels);
    let found = routes.iter().map(|route| {
        let hold = surroundings.hold(routing, &[route], id, labels, now_wall);
        Destination {
            receiver: route.receiver.clone(),
            route: route.title(),
            group: route.group_labels(labels),
            quiet: hold.map(|Hold { kind, reason }| format!("{kind}: {reason}")),
        }
    });
    found.collect()
}

/// Runs the tests of a file; answers those that fail.
pub fn run_tests(routing: &Routing) -> Vec<(At, String)> {
    routing.tests.iter().filter_map(|test| Some((test.at, run(routing, test)?))).collect()
}

fn run(routing: &Routing, test: &RouteTest) -> Option<String> {
    let firing = test.alerts.iter().enumerate().map(|(i, labels)| (i.to_string(), labels.clone())).collect();
    let surroundings = Surroundings { firing, ..Surroundings::default() };
    // Without a time, no interval is looked at.
    let timeless = test.at_ns.is_none();
    let mut told: Vec<&str> = Vec::new();
    let mut inhibited = Vec::new();
    for (i, labels) in test.alerts.iter().enumerate() {
        for route in routing.root.matching(labels) {
            let routes: &[_] = if timeless { &[] } else { &[route] };
            match surroundings.hold(routing, routes, &i.to_string(), labels, test.at_ns.unwrap_or(0)) {
                None if !told.contains(&route.receiver.as_str()) => told.push(&route.receiver),
                Some(Hold { kind: "inhibited", .. }) if !inhibited.contains(&labels) => inhibited.push(labels),
                _ => {}
            }
        }
    }
    if let Some(wanted) = &test.receivers {
        let (mut wanted, mut found) = (wanted.iter().map(String::as_str).collect::<Vec<_>>(), told);
        wanted.sort_unstable();
        found.sort_unstable();
        if wanted != found {
            return Some(format!("this test fails: it goes to [{}], not to [{}]", found.join(", "), wanted.join(", ")));
        }
    }
    if let Some(wanted) = &test.inhibited {
        let fits = |labels: &Labels, part: &Labels| part.iter().all(|(key, value)| labels.get(key) == Some(value));
        if let Some(missing) = wanted.iter().find(|part| !inhibited.iter().any(|labels| fits(labels, part))) {
            return Some(format!("this test fails: nothing with {missing:?} is inhibited"));
        }
        if let Some(extra) = inhibited.iter().find(|labels| !wanted.iter().any(|part| fits(labels, part))) {
            return Some(format!("this test fails: {extra:?} is inhibited, which is not expected"));
        }
    }
    None
}
