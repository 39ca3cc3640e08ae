//! The route tree of the file.

use logweir_proto::text;
use logweir_proto::yaml::{Fields, Node, Problems};

use super::{Reader, SECOND_NS};
use crate::route::tree::{Escalation, Route};

/// Shorter intervals would make a storm of one alert.
const INTERVAL_MIN_NS: i64 = SECOND_NS;
/// Deepest nesting of routes.
const ROUTE_DEPTH_MAX: usize = 16;

impl Reader<'_, '_> {
    pub(super) fn route(
        &mut self,
        node: &Node,
        above: &Route,
        names: &[&str],
        intervals: &[&str],
        depth: usize,
    ) -> Option<Route> {
        let mut fields = Fields::new(node, "a route", self.problems)?;
        if depth > ROUTE_DEPTH_MAX {
            self.problems.add(node.at, format!("routes are nested deeper than {ROUTE_DEPTH_MAX}"));
            return None;
        }
        let mut route = Route {
            matchers: Vec::new(),
            go_on: false,
            routes: Vec::new(),
            name: None,
            mute: Vec::new(),
            active: Vec::new(),
            ..above.clone()
        };
        route.name = fields.text("name", self.problems);
        match fields.get("receiver") {
            Some(node) => route.receiver = receiver_name(node, names, self.problems).unwrap_or_default(),
            None if depth == 0 => self.problems.add(node.at, "the first route needs a 'receiver'"),
            None => {}
        }
        route.matchers = self.matchers(&mut fields, "matchers");
        if let Some(node) = fields.get("group_by") {
            let by = self.problems.strings(node, "group_by");
            route.group_by = (!by.iter().any(|label| label == "...")).then_some(by);
        }
        for (key, min_ns, slot) in [
            ("group_wait", 0, &mut route.group_wait_ns),
            ("group_interval", INTERVAL_MIN_NS, &mut route.group_interval_ns),
            ("repeat_interval", INTERVAL_MIN_NS, &mut route.repeat_interval_ns),
        ] {
            if let Some(value) = self.span(&mut fields, key, min_ns) {
                *slot = value;
            }
        }
        route.go_on = fields.boolean("continue", self.problems).unwrap_or(false);
        route.mute = self.interval_names(&mut fields, "mute_time_intervals", intervals);
        route.active = self.interval_names(&mut fields, "active_time_intervals", intervals);
        if let Some(node) = fields.get("escalate") {
            let nodes = self.problems.list(node, "escalate");
            route.escalate = nodes.iter().filter_map(|node| self.escalation(node, names)).collect();
            route.escalate.sort_by_key(|step| step.after_ns);
        }
        if let Some(node) = fields.get("routes") {
            for (i, node) in self.problems.list(node, "routes").iter().enumerate() {
                let below = Route { path: format!("{}.{i}", route.path), ..route.clone() };
                route.routes.extend(self.route(node, &below, names, intervals, depth + 1));
            }
        }
        fields.unsupported(&["labels", "match", "match_re"], self.problems);
        fields.finish(self.problems);
        Some(route)
    }

    fn interval_names(&mut self, fields: &mut Fields<'_>, key: &'static str, known: &[&str]) -> Vec<String> {
        let Some(node) = fields.get(key) else { return Vec::new() };
        let mut found = Vec::new();
        for node in self.problems.items(node, key) {
            let Some(name) = self.problems.text(node, key) else { continue };
            if !known.contains(&name.as_str()) {
                let hint = text::did_you_mean(&name, known.iter().copied());
                let hint = hint.map(|near| format!("did you mean '{near}'?"));
                self.problems.add_hint(node.at, format!("there is no time interval '{name}'"), hint);
            }
            found.push(name);
        }
        found
    }

    fn escalation(&mut self, node: &Node, names: &[&str]) -> Option<Escalation> {
        let mut fields = Fields::new(node, "an escalation", self.problems)?;
        let after_ns = self.span(&mut fields, "after", SECOND_NS);
        if after_ns.is_none() {
            self.problems.add(node.at, "an escalation needs 'after'");
        }
        let unless_acked =
            fields.word("unless", &[("acked", true), ("resolved", false)], self.problems).unwrap_or(true);
        let receiver = fields.require("receiver", self.problems);
        let receiver = receiver.and_then(|node| receiver_name(node, names, self.problems));
        fields.finish(self.problems);
        Some(Escalation { after_ns: after_ns?, unless_acked, receiver: receiver? })
    }
}

pub(super) fn receiver_name(node: &Node, names: &[&str], problems: &mut Problems) -> Option<String> {
    let name = problems.text(node, "receiver")?;
    if !names.contains(&name.as_str()) {
        let hint = match text::did_you_mean(&name, names.iter().copied()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("receivers: {}", names.join(", ")),
        };
        problems.add_hint(node.at, format!("there is no receiver '{name}'"), Some(hint));
    }
    Some(name)
}
