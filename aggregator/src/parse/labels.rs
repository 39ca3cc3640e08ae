//! What is known of a source and holds for each of its lines: its labels, the host, the path.

use std::sync::Arc;

use logweir_proto::batch::{SPOOL_FORMAT, SourceInfo, SourceKind, Stream};
use logweir_proto::record::field;

use super::line::{CONSTANTS_MAX, Constants, Line, Text, Value};
use crate::names::{NameId, Names};

/// Longest value of a label; a longer one is not added to the lines.
pub(super) const LABEL_BYTES_MAX: usize = 1024;

/// Most labels of one source.
pub(super) const LABELS_MAX: usize = 64;

const _: () = assert!(LABELS_MAX + 2 <= CONSTANTS_MAX, "beside them stand the source and a service");

#[derive(Debug)]
pub(super) struct Labels(Arc<Constants>);

impl Labels {
    pub(super) fn new(info: &SourceInfo, host: &str, names: &mut Names) -> Labels {
        let mut labels = Constants::default();
        // What went through the agent's spool has no file of its own.
        let spooled = info.format == SPOOL_FORMAT && info.kind != SourceKind::Docker;
        let path = if spooled { "" } else { info.path.as_str() };
        let own = [(field::HOST, host), (field::FILE, path)];
        let given = info.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        // Of the given labels some may be too many, but never host and file.
        for (name, value) in own.into_iter().chain(given).take(LABELS_MAX) {
            add(&mut labels, name, value, names);
        }
        // A line without a service is hard to find: the next best name stands in.
        let stand_in = [field::PM2_APP, field::CONTAINER].into_iter().find_map(|name| info.labels.get(name));
        if let Some(value) = stand_in {
            add(&mut labels, field::SERVICE, value, names);
        }
        // A label may have said better where the lines come from.
        labels.add(NameId::SOURCE, info.kind.source_name());
        Labels(Arc::new(labels))
    }

    pub(super) fn constants(&self) -> &Arc<Constants> {
        &self.0
    }

    /// Adds the labels that the line does not have itself. The record's stream is more exact than that of the source.
    #[inline]
    pub(super) fn apply(&self, stream: Stream, line: &mut Line) {
        if let Some(stream) = stream.as_str() {
            line.push_default(NameId::STREAM, Value::Text(Text::Static(stream)));
        }
        line.set_constants(&self.0);
    }
}

fn add(labels: &mut Constants, name: &str, value: &str, names: &mut Names) {
    // These are told by the line or by the store, never by a label.
    let reserved = matches!(name, field::TIME | field::SEQ | field::LEVEL | field::PATTERN_ID);
    if reserved || value.is_empty() || value.len() > LABEL_BYTES_MAX {
        return;
    }
    if let Some(id) = names.intern(name) {
        labels.add(id, value);
    }
}

#[cfg(test)]
mod tests {
    use super::SourceKind;
    use crate::parse::tests::fixture::Fixture;
    use expect_test::expect;

    #[test]
    fn a_label_says_where_lines_come_from() {
        let mut fixture = Fixture::with(SourceKind::Json, "", &[("source", "billing")]);
        for (line, source) in [(r#"{"msg":"m"}"#, "billing"), (r#"{"msg":"m","source":"own"}"#, "own")] {
            fixture.parse(line.as_bytes());
            assert_eq!(fixture.field(line.as_bytes(), "source").as_deref(), Some(source));
        }
    }

    #[test]
    fn labels_never_hide_what_the_line_says() {
        let labels = [("service", "label"), ("env", "prod"), ("team", "pay"), ("level", "info"), ("container", "c1")];
        let mut fixture = Fixture::with(SourceKind::Docker, "", &labels);
        expect![[r#"
            message "m" |
            service "own" |
            team "own" |
            container "c1"
            env "prod""#]]
        .assert_eq(&fixture.show(r#"{"msg":"m","service":"own","team":"own"}"#));
        expect![[r#"
            message "text" |
            container "c1"
            env "prod"
            service "label"
            team "pay""#]]
        .assert_eq(&fixture.show("text"));
    }
}
