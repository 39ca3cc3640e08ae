//! What is known of a source and holds for each of its lines: its labels, the host, the path.

use logweir_proto::batch::{SourceInfo, Stream};
use logweir_proto::record::field;

use super::line::{Line, Text, Value};
use crate::names::{NameId, Names};

/// Longest value of a label; a longer one is not added to the lines.
pub(super) const LABEL_BYTES_MAX: usize = 1024;

/// Most labels of one source.
pub(super) const LABELS_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Labels {
    list: Vec<(NameId, Box<[u8]>)>,
    source: &'static str,
}

impl Labels {
    pub(super) fn new(info: &SourceInfo, host: &str, names: &mut Names) -> Labels {
        let mut list: Vec<(NameId, Box<[u8]>)> = Vec::new();
        let own = [(field::HOST, host), (field::FILE, info.path.as_str())];
        let given = info.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in given.chain(own).take(LABELS_MAX) {
            // These are told by the line or by the store, never by a label.
            let reserved = matches!(name, field::TIME | field::SEQ | field::LEVEL | field::PATTERN_ID);
            if reserved || value.is_empty() || value.len() > LABEL_BYTES_MAX {
                continue;
            }
            if let Some(id) = names.intern(name)
                && !list.iter().any(|(known, _)| *known == id)
            {
                list.push((id, value.as_bytes().into()));
            }
        }
        // A line without a service is hard to find: the next best name stands in.
        if !list.iter().any(|(id, _)| *id == NameId::SERVICE) {
            let stand_in = |want| list.iter().find(|(id, _)| *id == want).map(|(_, value)| value.clone());
            if let Some(value) = stand_in(NameId::PM2_APP).or_else(|| stand_in(NameId::CONTAINER)) {
                list.push((NameId::SERVICE, value));
            }
        }
        Labels { list, source: info.kind.source_name() }
    }

    /// Adds the labels that the line does not have itself. The record's stream is more exact than that of the source.
    pub(super) fn apply(&self, stream: Stream, line: &mut Line) {
        if let Some(stream) = stream.as_str() {
            line.push_default(NameId::STREAM, Value::Text(Text::Static(stream)));
        }
        for (name, value) in &self.list {
            if line.get(*name).is_none() {
                let text = line.scratch(value);
                line.push(*name, Value::Text(text), None);
            }
        }
        line.push_default(NameId::SOURCE, Value::Text(Text::Static(self.source)));
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use logweir_proto::batch::SourceKind;

    use crate::parse::tests::fixture::Fixture;

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
