//! How well a miner groups lines whose templates somebody wrote down: the four figures of the published comparisons.
//!
//! In the truth a variable is `<*>`, or anything in `{…}`; before templates are compared every mask is `<*>`, and
//! neighbours of it that are glued together are one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Miner, PatternId};

#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Scores {
    /// Grouping accuracy: share of lines whose group is exactly the true one.
    pub ga: f64,
    /// Parsing accuracy: share of lines with the true template.
    pub pa: f64,
    /// The same over templates, as F1: those whose group is the true one.
    pub fga: f64,
    /// Those whose template is, too.
    pub fta: f64,
}

/// Learns the lines, given as truth and line, in their order and with one configuration; then judges every line by
/// what its pattern has become.
pub fn mined(lines: &[(String, String)]) -> Scores {
    let mut miner = Miner::default();
    let ids: Vec<PatternId> = lines.iter().map(|(_, line)| miner.learn(line).id).collect();
    let found = |id: &PatternId| (miner.resolve(*id), miner.template(*id).unwrap_or_default());
    let found: Vec<(PatternId, String)> = ids.iter().map(found).collect();
    let truth: Vec<&str> = lines.iter().map(|(truth, _)| truth.as_str()).collect();
    score(&truth, &found)
}

fn score(truth: &[&str], found: &[(PatternId, String)]) -> Scores {
    if truth.is_empty() {
        return Scores::default();
    }
    let mut groups: BTreeMap<PatternId, BTreeSet<usize>> = BTreeMap::new();
    let mut wanted: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (line, (truth, (id, _))) in truth.iter().zip(found).enumerate() {
        groups.entry(*id).or_default().insert(line);
        wanted.entry(truth).or_default().insert(line);
    }
    let (mut lines, mut right, mut templates) = (0, 0, 0);
    for group in groups.values() {
        let Some(first) = group.first().copied() else { continue };
        if wanted.get(truth[first]).is_some_and(|wanted| wanted == group) {
            lines += group.len();
            right += 1;
            templates += usize::from(normal(&found[first].1) == normal(truth[first]));
        }
    }
    let exact = truth.iter().zip(found).filter(|(truth, (_, found))| normal(truth) == normal(found)).count();
    let f1 = |hits: usize| {
        let (precision, recall) = (hits as f64 / groups.len() as f64, hits as f64 / wanted.len() as f64);
        if hits == 0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) }
    };
    Scores {
        ga: lines as f64 / truth.len() as f64,
        pa: exact as f64 / truth.len() as f64,
        fga: f1(right),
        fta: f1(templates),
    }
}

fn normal(template: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(start) = rest.find(['<', '{']) {
        let close = if rest.as_bytes()[start] == b'<' { '>' } else { '}' };
        let Some(length) = rest[start..].find(close) else { break };
        out.push_str(&rest[..start]);
        out.push_str("<*>");
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    let out = out.replace("/<*>", "<*>").replace("<*>:<*>", "<*>").replace("-<*>", "<*>");
    out.replace("<*>MB", "<*>").replace("<*> KB", "<*>").replace("<*><*>", "<*>").replace(".<*>", "<*>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_right_as_a_whole_and_a_template_by_its_text() {
        let (a, b) = (PatternId(1), PatternId(2));
        let found = |id: PatternId, text: &str| (id, text.to_owned());
        // The first template is whole and right; of the second a line stands in the group of the third.
        let truth = ["up <*>", "up <*>", "down <*>", "down <*>", "gone"];
        let right = [found(a, "up <num>"), found(a, "up <num>"), found(b, "down <*>"), found(b, "down <*>")];
        let all: Vec<_> = right.iter().cloned().chain([found(PatternId(3), "gone")]).collect();
        assert_eq!(score(&truth, &all), Scores { ga: 1.0, pa: 1.0, fga: 1.0, fta: 1.0 });
        let one: Vec<_> = right.into_iter().chain([found(b, "down <*>")]).collect();
        let scores = score(&truth, &one);
        assert_eq!((scores.ga, scores.pa), (0.4, 0.8));
        // One of two groups, one of three templates.
        assert!((scores.fga - 0.4).abs() < 1e-9 && (scores.fta - 0.4).abs() < 1e-9, "{scores:?}");
        assert_eq!(score(&[], &[]), Scores::default());
    }
}
