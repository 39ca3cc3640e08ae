//! The named time intervals of the file.

use jiff::tz::TimeZone;
use logweir_proto::yaml::{Fields, Node};
use logweir_runtime::text_file;

use super::{Reader, SECOND_NS};
use crate::route::calendar;
use crate::route::cron::Cron;
use crate::route::interval::{MONTHS, Ranges, TimeInterval, WEEKDAYS, Window, minute, range};

/// Longest window that a cron expression opens.
const CRON_WINDOW_MAX_NS: i64 = 31 * 86_400 * SECOND_NS;
/// A cron window that opens again this many times before it ends is not meant.
const CRON_OVERLAP_MAX: usize = 1_000;

impl Reader<'_, '_> {
    pub(super) fn intervals(&mut self, node: &Node) -> Vec<TimeInterval> {
        let nodes = self.problems.list(node, "time_intervals");
        nodes.iter().filter_map(|node| self.interval(node)).collect()
    }

    fn interval(&mut self, node: &Node) -> Option<TimeInterval> {
        let mut fields = Fields::new(node, "a time interval", self.problems)?;
        let name = fields.require("name", self.problems).and_then(|n| self.problems.text(n, "name"));
        let windows = fields.require("time_intervals", self.problems);
        let mut any = Vec::new();
        if let Some(windows) = windows {
            let nodes = self.problems.list(windows, "time_intervals");
            any.extend(nodes.iter().filter_map(|node| self.window(node)));
        }
        fields.finish(self.problems);
        Some(TimeInterval { name: name?, any })
    }

    fn window(&mut self, node: &Node) -> Option<Window> {
        let mut fields = Fields::new(node, "a time interval", self.problems)?;
        let zone = self.zone(&mut fields, "location");
        if let Some(expression) = fields.get("cron") {
            let text = self.problems.text(expression, "cron")?;
            let cron = Cron::parse(&text, zone).map_err(|message| self.problems.add(expression.at, message)).ok();
            let for_ns = self.span(&mut fields, "for", SECOND_NS);
            match for_ns {
                None => self.problems.add(node.at, "a cron window needs 'for'"),
                Some(for_ns) if for_ns > CRON_WINDOW_MAX_NS => {
                    self.problems.add(node.at, "a cron window lasts at most 31 days");
                }
                Some(for_ns) if cron.as_ref().is_some_and(|cron| too_dense(cron, for_ns)) => {
                    self.problems.add(node.at, "the window opens again too often before it ends");
                }
                Some(_) => {}
            }
            fields.finish(self.problems);
            return Some(Window::Cron { cron: cron?, for_ns: for_ns? });
        }
        if let Some(file) = fields.get("calendar") {
            let path = self.problems.text(file, "calendar")?;
            let path = self.beside(path);
            let read = text_file::read_file(&path).map_err(|error| error.to_string());
            let events = read.and_then(|text| calendar::parse(&text)).map_err(|message| {
                self.problems.add(file.at, format!("{}: {message}", path.display()));
            });
            fields.finish(self.problems);
            return Some(Window::Calendar { events: events.ok()?, zone });
        }
        let times = self.times(&mut fields);
        let weekdays = self.ranges(&mut fields, "weekdays", &WEEKDAYS, (1, 7));
        let days = self.ranges(&mut fields, "days_of_month", &[], (-31, 31));
        let months = self.ranges(&mut fields, "months", &MONTHS, (1, 12));
        let years = self.ranges(&mut fields, "years", &[], (1970, 9999));
        fields.finish(self.problems);
        Some(Window::Ranges(Ranges { times, weekdays, days, months, years, zone }))
    }

    pub(super) fn zone(&mut self, fields: &mut Fields<'_>, key: &'static str) -> TimeZone {
        let place = fields.place(key);
        let Some(name) = fields.text(key, self.problems) else { return TimeZone::UTC };
        TimeZone::get(&name).unwrap_or_else(|_| {
            self.problems.add(place, format!("there is no time zone '{name}'; they are named as in 'Europe/Berlin'"));
            TimeZone::UTC
        })
    }

    fn times(&mut self, fields: &mut Fields<'_>) -> Vec<(i32, i32)> {
        let mut found = Vec::new();
        for mut part in fields.sections("times", self.problems) {
            let at = part.at;
            let from = part.text("start_time", self.problems).as_deref().and_then(minute);
            let to = part.text("end_time", self.problems).as_deref().and_then(minute);
            match (from, to) {
                (Some(from), Some(to)) if from != to => found.push((from, to)),
                _ => self.problems.add(at, "a time needs 'start_time' and 'end_time' such as '18:00', not the same"),
            }
            part.finish(self.problems);
        }
        found
    }

    fn ranges(
        &mut self,
        fields: &mut Fields<'_>,
        key: &'static str,
        names: &[&str],
        bounds: (i32, i32),
    ) -> Vec<(i32, i32)> {
        let Some(node) = fields.get(key) else { return Vec::new() };
        let mut found = Vec::new();
        for node in self.problems.items(node, key) {
            let Some(text) = self.problems.text(node, key) else { continue };
            match range(&text, names, bounds) {
                Some(ranges) => found.extend(ranges),
                None => self.problems.add(node.at, format!("'{text}' is not a range of {key}")),
            }
        }
        found
    }
}

/// Counted in a week of winter.
fn too_dense(cron: &Cron, for_ns: i64) -> bool {
    let mut at = 0;
    for _ in 0..CRON_OVERLAP_MAX {
        match cron.next_after(at) {
            Some(next) if next < for_ns => at = next,
            _ => return false,
        }
    }
    true
}
