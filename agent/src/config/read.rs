//! `agent.yaml` into [`Config`], with every mistake of the file at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use logweir_proto::batch::{LINE_BYTES_MAX, SourceKind};
use logweir_proto::yaml::{self, Environment, Fields, Problem, Problems};

use super::{
    BATCH_BYTES_MAX, BATCH_BYTES_MIN, Config, Discover, FileRule, LINE_BYTES_MIN, Limits, Roots, SourceRule, StartAt,
    rules, server, sources,
};

/// What `log_format` names when an access log names none.
pub(crate) const COMBINED: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

/// A `log_format`, a pattern and a regular expression have dollars of their own.
const RAW: [&str; 5] = ["files.format", "files.multiline.start", "files.drop", "rules.drop", "redact.patterns"];

const BATCH_AGE_MIN: Duration = Duration::from_millis(10);
const BATCH_AGE_MAX: Duration = Duration::from_secs(60);
const OPEN_FILES_MAX: i64 = 1 << 20;

pub(super) fn config(file: &str, text: &str, env: Environment<'_>) -> Result<Config, Vec<Problem>> {
    let mut problems = Problems::new(file, text);
    let root = yaml::parse_config(text, env, &RAW, &mut problems);
    let fields = root.as_ref().and_then(|root| Fields::new(root, "an agent's configuration", &mut problems));
    match fields.map(|fields| read(fields, &mut problems)) {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems.into_sorted()),
    }
}

fn read(mut fields: Fields<'_>, problems: &mut Problems) -> Config {
    let mut config = Config { host_stats: true, ..Config::new() };
    server::read(fields.section("server", problems), &mut config, problems);
    config.state_dir = fields.path("state_dir", problems).unwrap_or(config.state_dir);
    config.host = fields.text("host", problems);
    config.listen = server::listen(&mut fields, problems).unwrap_or(config.listen);
    config.host_stats = fields.boolean("host_stats", problems).unwrap_or(config.host_stats);
    let labels = fields.texts("labels", problems).into_iter();
    config.labels = labels.map(|(name, value, _)| (name, value)).collect::<BTreeMap<_, _>>();
    config.discover = discover(&mut fields, problems).unwrap_or(config.discover);
    config.roots = roots(fields.section("discover_roots", problems), problems);
    let mut docker = fields.section("docker", problems);
    config.container_labels = globs(&mut docker, "labels", problems);
    docker.finish(problems);
    for rule in fields.sections("files", problems) {
        let rule = file_rule(rule, &mut config.rules, problems);
        config.files.push(rule);
    }
    let rules = fields.sections("rules", problems);
    config.rules.extend(rules.into_iter().map(|rule| rules::rule(rule, problems)));
    config.redact = rules::redact(fields.section("redact", problems), problems);
    config.limits = limits(fields.section("limits", problems), problems);
    config.inputs = sources::inputs(&mut fields, problems);
    fields.finish(problems);
    config
}

/// What is named, and nothing else; `None` when the file does not say.
fn discover(fields: &mut Fields<'_>, problems: &mut Problems) -> Option<Discover> {
    type Switch = fn(&mut Discover);
    let kinds: [(&'static str, Switch); 4] = [
        ("pm2", |found| found.pm2 = true),
        ("nginx", |found| found.nginx = true),
        ("docker", |found| found.docker = true),
        ("kubernetes", |found| found.kubernetes = true),
    ];
    let mut found = Discover::NONE;
    for (i, item) in fields.items("discover", problems)?.iter().enumerate() {
        if let Some(switch) = problems.word(item, &format!("discover[{i}]"), &kinds) {
            switch(&mut found);
        }
    }
    Some(found)
}

fn roots(mut fields: Fields<'_>, problems: &mut Problems) -> Roots {
    let paths = |texts: Option<Vec<String>>| texts.map(|texts| texts.into_iter().map(PathBuf::from).collect());
    let roots = Roots {
        nginx: paths(fields.strings("nginx", problems)),
        pm2: paths(fields.strings("pm2", problems)),
        docker: fields.path("docker", problems),
        kubernetes: fields.path("kubernetes", problems),
    };
    fields.finish(problems);
    roots
}

fn file_rule(mut fields: Fields<'_>, left_out: &mut Vec<SourceRule>, problems: &mut Problems) -> FileRule {
    let mut rule = FileRule::plain(globs(&mut fields, "paths", problems).unwrap_or_default());
    if fields.given("paths").is_none() {
        fields.mistake("paths", "is missing: name at least one path or glob", problems);
    }
    rule.exclude = globs(&mut fields, "exclude", problems).unwrap_or_default();
    rule.service = fields.text("service", problems);
    let (kind, format) = format(&mut fields, problems);
    (rule.kind, rule.format) = (kind, format.into());
    rule.multiline = sources::multiline(&mut fields, rule.kind, problems);
    let start_at = [("end", StartAt::End), ("beginning", StartAt::Beginning)];
    rule.start_at = fields.word("start_at", &start_at, problems).unwrap_or_default();
    let (drop, sample) = rules::what_stays(&mut fields, problems);
    let (paths, exclude) = (rule.paths.clone(), rule.exclude.clone());
    left_out.push(SourceRule { paths, exclude, service: None, drop, sample });
    fields.finish(problems);
    rule
}

pub(super) fn globs(fields: &mut Fields<'_>, key: &'static str, problems: &mut Problems) -> Option<Vec<String>> {
    let items = fields.items(key, problems)?;
    let name = fields.name(key);
    let mut globs = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let what = format!("{name}[{i}]");
        let Some(pattern) = problems.text(item, &what) else { continue };
        if let Err(error) = glob::Pattern::new(&pattern) {
            problems.add(item.at, format!("{what} is not a glob: {}", error.msg));
        }
        globs.push(pattern);
    }
    Some(globs)
}

fn format(fields: &mut Fields<'_>, problems: &mut Problems) -> (SourceKind, String) {
    let Some(text) = fields.text("format", problems) else { return (SourceKind::File, String::new()) };
    sources::format_of(&text).unwrap_or_else(|message| {
        fields.mistake("format", &message, problems);
        (SourceKind::File, String::new())
    })
}

fn limits(mut fields: Fields<'_>, problems: &mut Problems) -> Limits {
    let mut limits = Limits::default();
    size(&mut fields, "memory_bytes", (1, usize::MAX), &mut limits.memory_bytes, problems);
    size(&mut fields, "line_bytes", (LINE_BYTES_MIN, LINE_BYTES_MAX), &mut limits.line_bytes, problems);
    size(&mut fields, "batch_bytes", (BATCH_BYTES_MIN, BATCH_BYTES_MAX), &mut limits.batch_bytes, problems);
    let age = fields.duration("batch_age", BATCH_AGE_MIN..=BATCH_AGE_MAX, problems);
    limits.batch_age = age.unwrap_or(limits.batch_age);
    let open = fields.integer("open_files", 1..=OPEN_FILES_MAX, problems);
    limits.open_files = open.and_then(|open| usize::try_from(open).ok()).unwrap_or(limits.open_files);
    let deleted = fields.bytes("deleted_bytes", 0..=u64::MAX, problems);
    limits.deleted_bytes = deleted.unwrap_or(limits.deleted_bytes);
    if limits.buffers_bytes() > limits.memory_bytes {
        let need = limits.buffers_bytes() >> 20;
        let message = format!("is too small: batch_bytes and line_bytes need {need}MiB; raise it or lower them");
        fields.mistake("memory_bytes", &message, problems);
    }
    fields.finish(problems);
    limits
}

fn size(
    fields: &mut Fields<'_>,
    key: &'static str,
    (min, max): (usize, usize),
    slot: &mut usize,
    problems: &mut Problems,
) {
    let bytes = fields.bytes(key, min as u64..=max as u64, problems);
    if let Some(bytes) = bytes.and_then(|bytes| usize::try_from(bytes).ok()) {
        *slot = bytes;
    }
}
