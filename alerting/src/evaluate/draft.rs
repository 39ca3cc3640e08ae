//! From what the machine changed to what people read: episodes with texts, links and sample lines.

use std::collections::BTreeMap;
use std::time::Duration;

use logweir_proto::text::format_duration;
use logweir_rules::condition::Values;
use logweir_rules::evaluate::{Change, Instance, Outcome, RuleState, Texts, Transition};
use logweir_rules::model::{Group, Labels, LineTime, Rule, Severity};
use ulid::Ulid;

use super::around::Around;
use crate::notify::message::time_text;
use crate::notify::template::{Facts, Renderer};
use crate::source::QuerySource;
use crate::state::{Episode, Extra, Sample};

/// New episodes of one rule and step that get sample lines; more is a storm, and its lines are alike.
const SAMPLED_PER_STEP_MAX: usize = 20;
/// What is found later than this pages nobody.
const LATE_PAGE_MAX_NS: i64 = 1_800 * 1_000_000_000;
/// Links show this much after the step, for what came late.
const LINK_AFTER_NS: i64 = 60 * 1_000_000_000;

/// A change of an episode that the next transaction makes.
#[derive(Debug)]
pub(crate) enum Draft {
    Open(Box<Episode>),
    Change(Box<ChangeDraft>),
    Close(CloseDraft),
}

#[derive(Debug)]
pub(crate) struct ChangeDraft {
    pub(crate) id: String,
    pub(crate) severity: Severity,
    /// Set when the receivers are to hear of it; else only the numbers moved.
    pub(crate) reason: Option<String>,
    pub(crate) values: Values,
    pub(crate) summary: String,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) link: String,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug)]
pub(crate) struct CloseDraft {
    pub(crate) id: String,
    pub(crate) at: i64,
    pub(crate) reason: String,
    pub(crate) values: Values,
}

/// The id of an episode: its time and a hash of its identity. A step that is evaluated again after a crash makes the
/// same episode, not a second one.
pub fn episode_id(rule: &str, labels: &Labels, fired_at: i64) -> String {
    let identity = serde_json::to_vec(&(rule, labels, fired_at)).unwrap_or_default();
    let hash = blake3::hash(&identity);
    let mut random = [0u8; 16];
    random[6..].copy_from_slice(&hash.as_bytes()[..10]);
    let ms = fired_at.max(0) as u64 / 1_000_000;
    Ulid::from_parts(ms, u128::from_be_bytes(random)).to_string()
}

/// Links into the console.
#[derive(Debug, Clone)]
pub struct Links {
    pub base_url: String,
}

impl Links {
    /// A search over a fixed range of time: the link shows the same tomorrow.
    pub fn search(&self, query: &str, from_ns: i64, to_ns: i64) -> String {
        let mut url = self.base_url.trim_end_matches('/').to_owned();
        url.push_str("/?q=");
        percent_encode(query, &mut url);
        for (name, time) in [("&from=", from_ns), ("&to=", to_ns)] {
            url.push_str(name);
            percent_encode(&time_text(time), &mut url);
        }
        url
    }
}

fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// Ends the episode of a transition, if it has one.
pub(crate) fn close(rule: &str, transition: &Transition, at: i64) -> Option<Draft> {
    let id = episode_id(rule, &transition.labels, transition.fired_at?);
    let reason = transition.reason.to_string();
    Some(Draft::Close(CloseDraft { id, at, reason, values: transition.values.clone() }))
}

pub(crate) struct Maker<'a> {
    pub(crate) links: &'a Links,
    pub(crate) renderer: &'a Renderer,
    pub(crate) source: &'a dyn QuerySource,
    pub(crate) group: &'a Group,
    pub(crate) rule: &'a Rule,
    pub(crate) at: i64,
    pub(crate) now_wall: i64,
    /// Of the rule files.
    pub(crate) commit: Option<String>,
}

impl Maker<'_> {
    pub(crate) async fn drafts(&self, before: &RuleState, after: &RuleState, outcome: &Outcome) -> Vec<Draft> {
        let mut drafts = Vec::new();
        let mut sampled = 0;
        for transition in &outcome.transitions {
            tracing::info!(
                rule = self.rule.name,
                change = ?transition.change,
                severity = %transition.severity,
                reason = %transition.reason,
                labels = ?transition.labels,
                "alert"
            );
            let wants_samples = matches!(transition.change, Change::Fired | Change::Raised);
            let mut around = Around::default();
            if wants_samples && sampled < SAMPLED_PER_STEP_MAX {
                sampled += 1;
                around = self.around(transition).await;
            }
            drafts.extend(self.draft(transition, around));
        }
        self.refreshed(before, after, outcome, &mut drafts);
        drafts
    }

    /// An episode that was found in lines that came late, or its end.
    pub(crate) async fn late(&self, transition: &Transition, now_wall: i64) -> Option<Draft> {
        let late_ns = now_wall.saturating_sub(transition.at);
        match self.draft(transition, self.around(transition).await)? {
            Draft::Open(mut episode) => {
                let late = format_duration(Duration::from_secs(late_ns.max(0) as u64 / 1_000_000_000));
                episode.extra.late_ns = Some(late_ns);
                episode.reason = format!("{} (late: {late})", episode.reason);
                episode.summary = format!("{} [late: {late}]", episode.summary);
                if late_ns > LATE_PAGE_MAX_NS {
                    // Nobody is woken for what is that long ago.
                    episode.severity = episode.severity.min(Severity::Warning);
                }
                Some(Draft::Open(episode))
            }
            other => Some(other),
        }
    }

    /// What changes for people, without its surroundings.
    pub(crate) fn bare(&self, transition: &Transition) -> Option<Draft> {
        self.draft(transition, Around::default())
    }

    fn draft(&self, transition: &Transition, around: Around) -> Option<Draft> {
        let samples = around.samples.clone();
        match transition.change {
            Change::Fired => Some(Draft::Open(Box::new(self.open(transition, around)?))),
            Change::Raised | Change::Lowered => {
                let reason = Some(transition.reason.to_string());
                let Transition { labels, severity, values, texts, .. } = transition;
                let change = self.change(labels, transition.fired_at?, *severity, (values, texts));
                Some(Draft::Change(Box::new(ChangeDraft { reason, samples, ..change })))
            }
            Change::Resolved => close(&self.rule.name, transition, self.at),
            // Nobody outside is told of these.
            Change::Pending | Change::Ended | Change::Recovering | Change::FiringAgain => None,
        }
    }

    /// Firing instances whose numbers moved: messages and the list of alerts show the present ones.
    fn refreshed(&self, before: &RuleState, after: &RuleState, outcome: &Outcome, drafts: &mut Vec<Draft>) {
        for (labels, instance) in &after.instances {
            let Some(fired_at) = instance.fired_at else { continue };
            let changed = outcome.transitions.iter().any(|transition| transition.labels == *labels);
            let same = before.instances.get(labels).is_some_and(|old| old.values == instance.values);
            if !changed && !same {
                let Instance { severity, values, texts, .. } = instance;
                let change = self.change(labels, fired_at, *severity, (values, texts));
                drafts.push(Draft::Change(Box::new(change)));
            }
        }
    }

    fn change(&self, labels: &Labels, fired_at: i64, severity: Severity, known: (&Values, &Texts)) -> ChangeDraft {
        let (summary, annotations) = self.texts(labels, severity, known);
        ChangeDraft {
            id: episode_id(&self.rule.name, labels, fired_at),
            severity,
            reason: None,
            values: known.0.clone(),
            summary,
            annotations,
            link: self.link(labels, fired_at),
            samples: Vec::new(),
        }
    }

    fn open(&self, transition: &Transition, around: Around) -> Option<Episode> {
        let fired_at = transition.fired_at?;
        let Transition { labels, severity, values, texts, .. } = transition;
        let (summary, mut annotations) = self.texts(labels, *severity, (values, texts));
        if self.rule.context.first_seen
            && let Some(first) = texts.get("first_seen")
        {
            annotations.insert("first_seen".to_owned(), first.clone());
        }
        let (signal, threshold) = self.threshold(*severity);
        Some(Episode {
            id: episode_id(&self.rule.name, labels, fired_at),
            rule: self.rule.name.clone(),
            group: self.group.name.clone(),
            rule_at: format!("{}:{}", self.rule.file, self.rule.at.line),
            labels: self.all_labels(labels),
            instance: labels.clone(),
            severity: *severity,
            peak: *severity,
            opened_at: fired_at,
            closed_at: None,
            closed_wall: None,
            reason: transition.reason.to_string(),
            close_reason: None,
            values: values.clone(),
            first_values: values.clone(),
            summary,
            annotations,
            query: self.rule.context_filter(labels),
            link: self.link(labels, fired_at),
            samples: around.samples,
            groups: Vec::new(),
            extra: Extra {
                every_ns: self.group.every_ns,
                commit: self.commit.clone(),
                signal,
                threshold,
                points: around.points,
                top: around.top,
                deploy: texts.get("deploy").cloned().or(around.deploy),
                mute: self.rule.mute.clone(),
                ..Extra::default()
            },
        })
    }

    fn all_labels(&self, labels: &Labels) -> Labels {
        let mut all = self.rule.labels.clone();
        all.extend(labels.clone());
        all.insert("alertname".to_owned(), self.rule.name.clone());
        all
    }

    fn texts(
        &self,
        labels: &Labels,
        severity: Severity,
        (values, texts): (&Values, &Texts),
    ) -> (String, BTreeMap<String, String>) {
        let labels = self.all_labels(labels);
        let facts = Facts { rule: self.rule, group: &self.group.name, labels: &labels, values, texts, severity };
        let render = |template| self.renderer.render(template, facts);
        let mut annotations: BTreeMap<String, String> =
            self.rule.annotations.iter().map(|(key, template)| (key.clone(), render(template))).collect();
        if let Some(runbook) = &self.rule.runbook {
            annotations.insert("runbook".to_owned(), render(runbook));
        }
        if let Some(owner) = &self.rule.owner {
            annotations.insert("owner".to_owned(), owner.clone());
        }
        if let Some(lineage) = texts.get("lineage") {
            annotations.insert("lineage".to_owned(), lineage.clone());
        }
        (render(&self.rule.summary), annotations)
    }

    fn link(&self, labels: &Labels, fired_at: i64) -> String {
        let filter = self.rule.context_filter(labels);
        let range = (fired_at.saturating_sub(self.rule.window_ns()), self.at.saturating_add(LINK_AFTER_NS));
        match self.rule.time {
            LineTime::Event => self.links.search(&filter, range.0, range.1),
            // Its lines may tell any time.
            LineTime::Ingest => self.links.search(&self.rule.time.bounded(&filter, range), 0, range.1),
        }
    }

    /// The signal that the level that fires is about, and the number that it is held against.
    fn threshold(&self, severity: Severity) -> (String, Option<f64>) {
        let chart = self.rule.context.chart.as_ref().map(|chart| chart.signal.clone());
        let levels = self.rule.levels.iter().filter(|level| level.severity <= severity);
        let held = levels.flat_map(|level| &level.any).find_map(|alternative| alternative.when.threshold());
        match (chart, held) {
            (Some(chart), Some((name, _, limit))) if name == chart => (chart, Some(limit)),
            (Some(chart), _) if self.rule.signals.iter().any(|signal| signal.name == chart) => (chart, None),
            (_, Some((name, _, limit))) => (name.to_owned(), Some(limit)),
            _ => (String::new(), None),
        }
    }
}
