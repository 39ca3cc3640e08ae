//! What stands beside an alert in a message: sample lines, the most frequent values, the course of its number, the last
//! deploy. None of it decides anything; that it is not at hand is no reason not to alert.

use std::collections::BTreeMap;

use logweir_proto::query::value::parse_time;
use logweir_proto::text::visible;
use logweir_rules::evaluate::Transition;
use logweir_rules::model::Labels;
use logweir_rules::signal::{self, VALUE_COLUMN, quote_field};

use super::ask;
use super::draft::Maker;
use crate::source::QueryError;
use crate::state::Sample;
use crate::state::records::POINTS_MAX;

/// What of a sample line is kept.
const SAMPLE_CHARS_MAX: usize = 1_000;
/// The same where the rule asks for stack traces.
const STACK_CHARS_MAX: usize = 4_000;
/// Values of one field that are shown.
const TOP_MAX: usize = 5;
/// Fields whose values are shown.
const TOP_FIELDS_MAX: usize = 4;
/// A deploy so shortly before is named.
const DEPLOY_WITHIN_NS: i64 = 1_800 * 1_000_000_000;

/// The surroundings of a new alert.
#[derive(Debug, Clone, Default)]
pub(crate) struct Around {
    pub(crate) samples: Vec<Sample>,
    pub(crate) top: BTreeMap<String, Vec<(String, u64)>>,
    pub(crate) points: Vec<(i64, f64)>,
    pub(crate) deploy: Option<String>,
}

impl Maker<'_> {
    pub(super) async fn around(&self, transition: &Transition) -> Around {
        let labels = &transition.labels;
        let (samples, top, points, deploy) =
            futures_util::join!(self.samples(labels), self.top(labels), self.points(labels), self.deploy(labels));
        Around {
            samples: self.told(samples),
            top: self.told(top),
            points: self.told(points),
            deploy: self.told(deploy),
        }
    }

    fn told<T: Default>(&self, found: Result<T, QueryError>) -> T {
        found.unwrap_or_else(|error| {
            tracing::warn!(rule = self.rule.name, error = %error, "an alert goes without its surroundings");
            T::default()
        })
    }

    /// The newest lines behind an alert.
    async fn samples(&self, labels: &Labels) -> Result<Vec<Sample>, QueryError> {
        let context = &self.rule.context;
        let count = context.samples.max(context.last_samples);
        if count == 0 {
            return Ok(Vec::new());
        }
        let query = self.rule.context_filter(labels);
        let look_back_ns = self.rule.expected.map_or(self.rule.window_ns(), |expected| expected.seen_within_ns);
        let look_back_ns = look_back_ns.max(self.group.every_ns);
        // Lines that came since the step belong to the picture.
        let (from_ns, to_ns) = (self.at.saturating_sub(look_back_ns), self.now_wall.max(self.at));
        let answer = ask::about(self.source, self.rule.time, &query, (from_ns, to_ns), count).await?;
        let chars_max = if context.stack { STACK_CHARS_MAX } else { SAMPLE_CHARS_MAX };
        Ok(answer.rows.iter().take(count).map(|row| sample(row, chars_max)).collect())
    }

    async fn top(&self, labels: &Labels) -> Result<BTreeMap<String, Vec<(String, u64)>>, QueryError> {
        let filter = self.rule.context_filter(labels);
        let from_ns = self.at.saturating_sub(self.rule.window_ns().max(self.group.every_ns));
        let mut top = BTreeMap::new();
        for field in self.rule.context.top.iter().take(TOP_FIELDS_MAX) {
            let name = quote_field(field);
            let text =
                format!("{filter} | stats count as {VALUE_COLUMN} by {name} | sort -{VALUE_COLUMN} | head {TOP_MAX}");
            let answer = ask::about(self.source, self.rule.time, &text, (from_ns, self.at), TOP_MAX).await?;
            let by = [field.clone()];
            let value = |row: &logweir_proto::api::Row| {
                let count = row.get(VALUE_COLUMN)?.as_u64()?;
                Some((signal::labels_of(row, &by).remove(field)?, count))
            };
            let values: Vec<(String, u64)> = answer.rows.iter().filter_map(value).take(TOP_MAX).collect();
            if !values.is_empty() {
                top.insert(field.clone(), values);
            }
        }
        Ok(top)
    }

    /// The course of a counted signal before the alert, one point per window.
    async fn points(&self, labels: &Labels) -> Result<Vec<(i64, f64)>, QueryError> {
        let Some(chart) = &self.rule.context.chart else { return Ok(Vec::new()) };
        let Some(query) = self.rule.subject().filter(|query| query.is_counted()) else { return Ok(Vec::new()) };
        let own = self.rule.signals.iter().any(|signal| signal.name == chart.signal);
        let width_s = query.window_ns / 1_000_000_000;
        if !own || width_s == 0 || chart.span_ns / query.window_ns > POINTS_MAX as i64 {
            return Ok(Vec::new());
        }
        let filter = self.rule.context_filter(labels);
        let column = self.rule.time.column();
        let text = format!("{filter} | stats count as {VALUE_COLUMN} by bin({column}, {width_s}s)");
        let from_ns = self.at.saturating_sub(chart.span_ns);
        let answer = ask::about(self.source, self.rule.time, &text, (from_ns, self.at), POINTS_MAX).await?;
        let point = |row: &logweir_proto::api::Row| {
            Some((parse_time(row.get(column)?.as_str()?, 0)?, row.get(VALUE_COLUMN)?.as_f64()?))
        };
        let mut known: BTreeMap<i64, f64> = answer.rows.iter().filter_map(point).collect();
        // No lines are a zero in the picture.
        let mut time = from_ns.div_euclid(query.window_ns).saturating_add(1).saturating_mul(query.window_ns);
        while time < self.at.saturating_sub(query.window_ns) {
            known.entry(time).or_insert(0.0);
            time = time.saturating_add(query.window_ns);
        }
        Ok(known.into_iter().collect())
    }

    async fn deploy(&self, labels: &Labels) -> Result<Option<String>, QueryError> {
        let deploys = ask::deploys(self.source, self.at.saturating_sub(DEPLOY_WITHIN_NS), self.at).await?;
        let all: Labels = self.rule.labels.iter().chain(labels).map(|(k, v)| (k.clone(), v.clone())).collect();
        let concerns = |labels: &Labels| labels.iter().all(|(k, v)| all.get(k).is_none_or(|own| own == v));
        let last = deploys.into_iter().filter(|deploy| concerns(&deploy.labels)).max_by_key(|deploy| deploy.at);
        Ok(last.map(|deploy| deploy.name))
    }
}

fn sample(row: &logweir_proto::api::Row, chars_max: usize) -> Sample {
    let text = |name: &str| row.get(name).and_then(|value| value.as_str()).unwrap_or_default();
    let line = if text("raw").is_empty() { text("message") } else { text("raw") };
    let line: String = line.trim_end().chars().take(chars_max).collect();
    // A stack trace stays one: only what could deceive a reader is made visible.
    let line = line.lines().map(visible).collect::<Vec<_>>().join("\n");
    Sample { id: text("id").to_owned(), time: text("time").to_owned(), line }
}
