//! `{{ … }}` in summaries and annotations: a small, sandboxed language with a limit on work and on output.
//!
//! Only the text of the rule file is ever a template. Labels and values are data in it, and what comes out is escaped
//! by the channel that sends it.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use logweir_proto::text::{did_you_mean, format_duration};
use logweir_rules::condition::Values;
use logweir_rules::evaluate::Texts;
use logweir_rules::model::{Labels, Rule, Severity, Template};
use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, UndefinedBehavior};

/// Steps of one rendering.
pub const FUEL: u64 = 50_000;
/// Output of one rendering.
pub const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// What of a rendered text is kept.
pub const TEXT_CHARS_MAX: usize = 2_000;

/// Renders the texts of rules.
#[derive(Debug)]
pub struct Renderer {
    environment: Environment<'static>,
}

/// What a template can name.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub rule: &'a Rule,
    pub group: &'a str,
    pub labels: &'a Labels,
    pub values: &'a Values,
    pub texts: &'a Texts,
    pub severity: Severity,
}

impl Default for Renderer {
    fn default() -> Renderer {
        Renderer { environment: environment() }
    }
}

/// The language without anything that reaches outside.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::empty();
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(16);
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::Number => out.write_str(&as_number(value).map_or_else(String::new, show_number)).map_err(Into::into),
        _ => minijinja::escape_formatter(out, state, value),
    });
    environment.add_filter("percent", |value: Value| percent(&value));
    environment.add_filter("duration", |value: Value| duration(&value));
    environment.add_filter("round", round);
    environment.add_filter("default", default);
    environment.add_filter("truncate", truncate);
    environment.add_filter("upper", |text: String| text.to_uppercase());
    environment.add_filter("lower", |text: String| text.to_lowercase());
    environment
}

/// Renders a text of the routing file.
pub(super) fn render_text(environment: &Environment<'_>, text: &str, context: &Value) -> Result<String, String> {
    let template = environment.template_from_str(text).map_err(|error| short(&error))?;
    let mut out = Capped(Vec::new());
    template.render_captured_to(context, &mut out).map_err(|error| short(&error))?;
    Ok(String::from_utf8_lossy(&out.0).into_owned())
}

/// What is wrong with a text of the routing file.
pub(super) fn check_text(environment: &Environment<'_>, text: &str) -> Option<String> {
    let error = environment.template_from_str(text).err()?;
    Some(format!("the template cannot be read: {}", short(&error)))
}

impl Renderer {
    /// The text, or the template's own text with a mark when it cannot be rendered: a message is sent all the same.
    pub fn render(&self, template: &Template, facts: Facts<'_>) -> String {
        let text = match self.try_render(&template.text, facts) {
            Ok(text) => text,
            Err(error) => format!("{} [template failed: {error}]", template.text),
        };
        text.chars().take(TEXT_CHARS_MAX).collect()
    }

    fn try_render(&self, text: &str, facts: Facts<'_>) -> Result<String, minijinja::Error> {
        let template = self.environment.template_from_str(text)?;
        let mut out = Capped(Vec::new());
        template.render_captured_to(context(facts), &mut out)?;
        Ok(String::from_utf8_lossy(&out.0).into_owned())
    }

    /// What is wrong with a template of this rule; `None` when nothing is.
    pub fn check(&self, rule: &Rule, template: &Template) -> Option<String> {
        let parsed = match self.environment.template_from_str(&template.text) {
            Ok(parsed) => parsed,
            Err(error) => return Some(format!("the template cannot be read: {}", short(&error))),
        };
        let mut names: Vec<String> = parsed.undeclared_variables(true).into_iter().collect();
        names.sort();
        if let Some(problem) = names.iter().find_map(|name| unknown_name(rule, name)) {
            return Some(problem);
        }
        // Filters and functions are only looked up when the text is rendered.
        let mut labels: Labels = rule.by().iter().map(|label| (label.clone(), "x".to_owned())).collect();
        labels.extend(rule.labels.clone());
        let values: Values = rule.value_names().into_iter().map(|name| (name, 1.0)).collect();
        let texts: Texts = rule.text_names().into_iter().map(|name| (name.to_owned(), "x".to_owned())).collect();
        let severity = Severity::Warning;
        let facts = Facts { rule, group: "g", labels: &labels, values: &values, texts: &texts, severity };
        let error = self.try_render(&template.text, facts).err()?;
        Some(format!("the template fails: {}", short(&error)))
    }
}

fn short(error: &minijinja::Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), |detail| format!("{}: {detail}", error.kind()))
}

fn unknown_name(rule: &Rule, name: &str) -> Option<String> {
    let (head, rest) = name.split_once('.').unwrap_or((name, ""));
    let (values, texts) = (rule.value_names(), rule.text_names());
    let known: Vec<&str> = match head {
        "labels" => {
            let own = rule.by().iter().chain(rule.labels.keys()).map(String::as_str);
            own.chain(["alertname", "severity"]).collect()
        }
        "value" => values.iter().map(String::as_str).chain(texts).collect(),
        "rule" => vec!["name", "file", "group"],
        "severity" => return None,
        _ => {
            let near = did_you_mean(head, ["labels", "value", "rule", "severity"]);
            let hint =
                near.map_or("known: labels, value, rule, severity".to_owned(), |n| format!("did you mean '{n}'?"));
            return Some(format!("unknown name '{head}' in the template ({hint})"));
        }
    };
    // A label may have a dot in its name: then it can only be written as labels['a.b'], which is not seen here.
    let first = rest.split('.').next().unwrap_or_default();
    if rest.is_empty() || known.iter().any(|name| *name == rest || *name == first) {
        return None;
    }
    let hint = match did_you_mean(first, known.iter().copied()) {
        Some(near) => format!("did you mean '{head}.{near}'?"),
        None => format!("known: {}", known.join(", ")),
    };
    Some(format!("unknown name '{head}.{first}' in the template ({hint})"))
}

fn context(facts: Facts<'_>) -> Value {
    // `canary.err_rate` is a value of the side `canary`.
    let mut sides: BTreeMap<&str, BTreeMap<&str, Value>> = BTreeMap::new();
    let mut values: BTreeMap<&str, Value> = BTreeMap::new();
    for (name, value) in facts.values {
        match name.split_once('.') {
            Some((side, name)) => drop(sides.entry(side).or_default().insert(name, Value::from(*value))),
            None => drop(values.insert(name, Value::from(*value))),
        }
    }
    values.extend(sides.into_iter().map(|(side, values)| (side, Value::from_serialize(values))));
    values.extend(facts.texts.iter().map(|(name, text)| (name.as_str(), Value::from(text.as_str()))));
    let mut labels: BTreeMap<&str, &str> = facts.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    labels.insert("severity", facts.severity.as_str());
    labels.insert("alertname", &facts.rule.name);
    minijinja::context! {
        labels => labels,
        value => values,
        severity => facts.severity.as_str(),
        rule => minijinja::context! {
            name => facts.rule.name,
            group => facts.group,
            file => format!("{}:{}", facts.rule.file, facts.rule.at.line),
        },
    }
}

/// Whole numbers print without a fraction, others with at most four digits of it.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        Value::from(value as i64)
    } else {
        Value::from((value * 1e4).round() / 1e4)
    }
}

/// A value as people read it.
pub fn show_number(value: f64) -> String {
    number(value).to_string()
}

fn percent(value: &Value) -> String {
    match as_number(value) {
        Some(value) => format!("{}%", number((value * 1e3).round() / 10.0)),
        None => "?%".to_owned(),
    }
}

fn duration(value: &Value) -> String {
    match as_number(value).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(duration) => format_duration(duration),
        None => "?".to_owned(),
    }
}

fn round(value: Value, digits: Option<u32>) -> Value {
    match as_number(&value) {
        Some(value) => {
            let factor = 10f64.powi(digits.unwrap_or(0).min(10) as i32);
            number((value * factor).round() / factor)
        }
        None => value,
    }
}

fn default(value: Value, other: Value) -> Value {
    let empty = value.is_undefined() || value.is_none() || value.as_str() == Some("");
    if empty { other } else { value }
}

fn truncate(text: String, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text;
    }
    let mut cut: String = text.chars().take(limit.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

fn as_number(value: &Value) -> Option<f64> {
    f64::try_from(value.clone()).ok()
}

struct Capped(Vec<u8>);

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(io::Error::other("the text is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::rule;
    use logweir_proto::yaml::At;

    fn template(text: &str) -> Template {
        Template { text: text.to_owned(), at: At::default() }
    }

    fn render(text: &str) -> String {
        let rule = rule();
        let labels = Labels::from([("host".into(), "{{ 7*7 }}<b>".into())]);
        let values = Values::from([("errors".into(), 27.0), ("ratio".into(), 0.12345), ("silent_for".into(), 5400.0)]);
        let (texts, severity) = (Texts::new(), Severity::Critical);
        let facts = Facts { rule: &rule, group: "g", labels: &labels, values: &values, texts: &texts, severity };
        Renderer::default().render(&template(text), facts)
    }

    #[test]
    fn values_read_well_and_data_is_never_a_template() {
        for (text, out) in [
            ("{{ value.errors }} on {{ labels.host }}", "27 on {{ 7*7 }}<b>"),
            ("{{ value.ratio | percent }} {{ value.ratio }}", "12.3% 0.1235"),
            ("{{ value.ratio | round(1) }}", "0.1"),
            ("{{ value.silent_for | duration }}", "1h30m"),
            ("{{ labels.nothing | default('none') }}|{{ labels.nothing }}", "none|"),
            ("{{ severity }} {{ rule.name }}", "critical Errors"),
            ("{{ labels.host | truncate(4) }}", "{{ …"),
        ] {
            assert_eq!(render(text), out);
        }
    }

    #[test]
    fn hostile_templates_stop() {
        assert!(
            render("{% for i in range(1000000) %}{% for j in range(1000000) %}x{% endfor %}{% endfor %}")
                .contains("template failed")
        );
        assert!(render("{% include 'etc/passwd' %}").contains("template failed"));
        assert!(render("{{ ").contains("template failed"));
    }

    #[test]
    fn wrong_names_are_found_without_an_alert() {
        let rule = rule();
        let check = |text: &str| Renderer::default().check(&rule, &template(text)).unwrap_or_default();
        expect_test::expect!["unknown name 'labels.hots' in the template (did you mean 'labels.host'?)"]
            .assert_eq(&check("{{ labels.hots }}"));
        expect_test::expect!["unknown name 'vlaue' in the template (did you mean 'value'?)"]
            .assert_eq(&check("{{ vlaue.errors }}"));
        assert!(check("{{ value.errors | nofilter }}").contains("filter"));
        assert!(check("{{ value.errors ").contains("cannot be read"));
        assert_eq!(check("{{ labels.host }} {{ value.errors | round(1) }} {{ rule.file }}"), "");
    }
}
