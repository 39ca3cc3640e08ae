//! Rule files: YAML into the model, with every mistake at once and its file, line and column.
//!
//! A file is refused whole.

mod cases;
mod context;
mod kinds;
mod levels;
mod rule;
mod signals;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use kinds::windowed;
pub(crate) use levels::SOURCE_STATE;

use crate::marks::{self, Mark};
use crate::model::{
    DELAY_DEFAULT_NS, EVERY_DEFAULT_NS, EVERY_MIN_NS, Group, Kind, MAX_DELAY_DEFAULT_NS, OnEmpty, OnError, OnPartial,
    Rule, RuleSet,
};
use logweir_proto::yaml::{self, At, Fields, Node, Problem, Problems};

/// Rules of one rule set.
pub const RULES_MAX: usize = 5_000;

/// Reads rule files, given as name and text, into one set. All mistakes of all files come together.
pub fn load<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<RuleSet, Vec<Problem>> {
    load_marked(files, Vec::new())
}

/// The same, with what was said about patterns elsewhere; it counts more than what the files say.
pub fn load_marked<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
    marks: Vec<Mark>,
) -> Result<RuleSet, Vec<Problem>> {
    let mut set = RuleSet::default();
    let mut read = Vec::new();
    let mut all = Vec::new();
    let mut names = HashMap::new();
    for (name, source) in files {
        let mut problems = Problems::new(name, source);
        let groups = yaml::parse(source, &mut problems).map(|root| read_file(&root, &mut set.marks, &mut problems));
        let groups = groups.unwrap_or_default();
        unique_names(&groups, &mut names, &mut problems);
        all.append(&mut problems.into_sorted());
        read.extend(groups);
    }
    if !all.is_empty() {
        return Err(all);
    }
    set.marks.extend(marks);
    for mut group in read {
        group.rules.iter_mut().for_each(|rule| give_marks(rule, &set.marks));
        set.groups.push(Arc::new(group));
    }
    Ok(set)
}

/// A pattern rule knows what was said about patterns. Nobody else has the rule yet.
fn give_marks(rule: &mut Arc<Rule>, marks: &[Mark]) {
    if let Some(Rule { kind: Kind::Pattern(pattern), .. }) = Arc::get_mut(rule) {
        pattern.marks = marks.to_vec();
    }
}

/// An alert's name is its identity, over all files.
fn unique_names(groups: &[Group], seen: &mut HashMap<String, String>, problems: &mut Problems) {
    for group in groups {
        let here = format!("{}:{}", group.file, group.at.line);
        if let Some(first) = seen.insert(format!("group {}", group.name), here) {
            problems.add(group.at, format!("a group named '{}' is already at {first}", group.name));
        }
        for rule in &group.rules {
            let here = format!("{}:{}", rule.file, rule.at.line);
            if let Some(first) = seen.insert(format!("alert {}", rule.name), here) {
                problems.add(rule.at, format!("an alert named '{}' is already at {first}", rule.name));
            }
        }
    }
    if seen.len() > RULES_MAX {
        problems.add(At { line: 1, column: 1 }, format!("more than {RULES_MAX} rules and groups"));
    }
}

fn read_file(root: &Node, marks: &mut Vec<Mark>, problems: &mut Problems) -> Vec<Group> {
    let Some(mut fields) = Fields::new(root, "a rule file", problems) else { return Vec::new() };
    if let Some(route) = fields.get("route") {
        problems.add(route.at, "this is a routing file, not a rule file: `logweir check --config FILE` reads it");
        return Vec::new();
    }
    if let Some(version) = fields.require("version", problems) {
        problems.integer(version, "version", 1..=1);
    }
    let patterns = fields.get("patterns");
    marks.extend(patterns.map(|node| marks::read(node, problems)).unwrap_or_default());
    let mut groups = Vec::new();
    // A file may hold nothing but marks.
    let node = if patterns.is_some() { fields.get("groups") } else { fields.require("groups", problems) };
    if let Some(node) = node {
        for group in problems.list(node, "groups") {
            groups.extend(read_group(group, problems));
        }
    }
    fields.finish(problems);
    groups
}

/// What a group says once for all its rules.
#[derive(Debug, Clone, Default)]
struct Defaults {
    owner: Option<String>,
    labels: Vec<(String, String, At)>,
    on_empty: OnEmpty,
    on_error: OnError,
    on_partial: OnPartial,
    for_ns: Option<i64>,
    keep_firing_for_ns: Option<i64>,
    runbook: Option<crate::model::Template>,
}

fn read_group(node: &Node, problems: &mut Problems) -> Option<Group> {
    let mut fields = Fields::new(node, "a group", problems)?;
    let name = fields.require("name", problems).and_then(|n| problems.text(n, "name")).unwrap_or_default();
    let every_ns = match fields.get("every") {
        Some(node) => {
            let every = problems.duration_ns(node, "every");
            if every.is_some_and(|every| every < EVERY_MIN_NS) {
                problems.add(node.at, "every must be at least 1s");
            }
            every.unwrap_or(EVERY_DEFAULT_NS).max(EVERY_MIN_NS)
        }
        None => EVERY_DEFAULT_NS,
    };
    let owner = fields.get("owner").and_then(|n| problems.text(n, "owner"));
    let labels = fields.get("labels").map(|n| problems.texts(n, "labels")).unwrap_or_default();
    let mut defaults = Defaults { owner, labels, ..Defaults::default() };
    // Who asks every second wants to know within two.
    let fixed_ns = DELAY_DEFAULT_NS.min(every_ns);
    let mut delay = Delay { fixed_ns, auto: false, max_ns: MAX_DELAY_DEFAULT_NS };
    if let Some(node) = fields.get("defaults") {
        read_defaults(node, &mut defaults, &mut delay, problems);
    }
    let mut rules = Vec::new();
    if let Some(node) = fields.require("rules", problems) {
        for node in problems.list(node, "rules") {
            rules.extend(rule::read(node, &defaults, problems).map(Arc::new));
        }
    }
    fields.finish(problems);
    let file = Arc::clone(problems.file());
    Some(Group {
        file,
        at: node.at,
        name,
        every_ns,
        delay_ns: delay.fixed_ns,
        delay_auto: delay.auto,
        max_delay_ns: delay.max_ns,
        owner: defaults.owner,
        rules,
    })
}

/// How long a group waits for lines that are under way.
struct Delay {
    fixed_ns: i64,
    auto: bool,
    max_ns: i64,
}

fn read_defaults(node: &Node, defaults: &mut Defaults, delay: &mut Delay, problems: &mut Problems) {
    let Some(mut fields) = Fields::new(node, "defaults", problems) else { return };
    if let Some(node) = fields.get("delay") {
        if node.value == yaml::Value::Text("auto".to_owned()) {
            delay.auto = true;
        } else {
            delay.fixed_ns = problems.duration_ns(node, "delay").unwrap_or(DELAY_DEFAULT_NS);
        }
    }
    if let Some(max) = fields.get("max_delay").and_then(|n| problems.duration_ns(n, "max_delay")) {
        delay.max_ns = max;
    }
    defaults.on_partial = fields.get("on_partial").and_then(|n| on_partial(n, problems)).unwrap_or_default();
    defaults.on_empty = fields.get("on_empty").and_then(|n| on_empty(n, problems)).unwrap_or_default();
    defaults.on_error = fields.get("on_error").and_then(|n| on_error(n, problems)).unwrap_or_default();
    defaults.for_ns = fields.get("for").and_then(|n| problems.duration_ns(n, "for"));
    defaults.keep_firing_for_ns =
        fields.get("keep_firing_for").and_then(|n| problems.duration_ns(n, "keep_firing_for"));
    defaults.runbook = fields.get("runbook").and_then(|n| template(n, "runbook", problems));
    fields.finish(problems);
}

fn on_empty(node: &Node, problems: &mut Problems) -> Option<OnEmpty> {
    problems.word(node, "on_empty", &[("ok", OnEmpty::Ok), ("fire", OnEmpty::Fire), ("keep", OnEmpty::Keep)])
}

fn on_error(node: &Node, problems: &mut Problems) -> Option<OnError> {
    problems.word(node, "on_error", &[("keep", OnError::Keep), ("fire", OnError::Fire)])
}

fn on_partial(node: &Node, problems: &mut Problems) -> Option<OnPartial> {
    problems.word(node, "on_partial", &[("evaluate", OnPartial::Evaluate), ("hold", OnPartial::Hold)])
}

fn template(node: &Node, what: &str, problems: &mut Problems) -> Option<crate::model::Template> {
    let text = problems.text(node, what)?;
    Some(crate::model::Template { text, at: node.at })
}

#[cfg(test)]
mod tests;
