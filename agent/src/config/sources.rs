//! The parts of `agent.yaml` that say how lines become events.

use logweir_proto::batch::SourceKind;
use logweir_proto::yaml::{Fields, Problems, Value};

use super::read::COMBINED;
use crate::decode::Multiline;
use crate::decode::multiline::StartRule;
use crate::decode::multiline::{START_BYTES_MAX, START_LINES_MAX};

/// `multiline: auto`, `none`, or `{ start: PATTERN, lines_max: N, bytes_max: SIZE }`.
pub(super) fn multiline(fields: &mut Fields<'_>, kind: SourceKind, problems: &mut Problems) -> Multiline {
    let Some(node) = fields.given("multiline") else { return Multiline::Auto };
    if !matches!(node.value, Value::Map(_)) {
        let choices = [("auto", false), ("none", true)];
        let none = fields.word("multiline", &choices, problems).unwrap_or_default();
        return if none { Multiline::None } else { Multiline::Auto };
    }
    if kind == SourceKind::NginxAccess {
        fields.mistake("multiline", "cannot be a pattern: every line of an access log is an event", problems);
    }
    let mut written = fields.section("multiline", problems);
    let start = written.text("start", problems);
    let lines_max = written.integer("lines_max", 1..=i64::from(START_LINES_MAX), problems);
    let bytes_max = written.bytes("bytes_max", 1..=START_BYTES_MAX as u64, problems);
    let rule = match start.as_deref().map(StartRule::new) {
        None => {
            written.mistake("start", "is missing: give the pattern with which an event begins", problems);
            None
        }
        Some(Err(error)) => {
            written.mistake("start", &error.to_string(), problems);
            None
        }
        Some(Ok(rule)) => {
            let lines_max = lines_max.and_then(|lines| u32::try_from(lines).ok());
            Some(rule.with_limits(lines_max, bytes_max.and_then(|bytes| usize::try_from(bytes).ok())))
        }
    };
    written.finish(problems);
    rule.map_or(Multiline::Auto, Multiline::Start)
}

/// The kind behind a `format` and what travels with it, or what is wrong with the word.
pub fn format_of(text: &str) -> Result<(SourceKind, String), String> {
    let kind = match text {
        "auto" => SourceKind::File,
        "nginx" => return Ok((SourceKind::NginxAccess, COMBINED.to_owned())),
        "nginx_error" => SourceKind::NginxError,
        "pm2" => SourceKind::Pm2,
        "docker" => SourceKind::Docker,
        "cri" => SourceKind::Cri,
        format if format.contains('$') => return Ok((SourceKind::NginxAccess, text.to_owned())),
        other => {
            let known = "auto, nginx, nginx_error, pm2, docker, cri, or an nginx log_format with its $variables";
            return Err(format!("must be one of {known}, not '{other}'"));
        }
    };
    Ok((kind, String::new()))
}
