//! Inhibition: while one alert fires, others that follow from it are not told.

use logweir_rules::model::Labels;

use super::matcher::Matcher;

#[derive(Debug, Clone)]
pub struct Inhibit {
    pub name: String,
    pub source: Vec<Matcher>,
    pub target: Vec<Matcher>,
    pub equal: Vec<String>,
}

impl Inhibit {
    /// Whether an alert with the labels `source` hides one with the labels `target`.
    ///
    /// Labels that must be equal must be there: that both lack a label says nothing about where they come from. Of two
    /// alerts that are both source and target none hides the other.
    pub fn hides(&self, source: &Labels, target: &Labels) -> bool {
        let all = |matchers: &[Matcher], labels: &Labels| matchers.iter().all(|matcher| matcher.matches(labels));
        let mutual = || all(&self.source, target) && all(&self.target, source);
        all(&self.target, target)
            && all(&self.source, source)
            && self.equal.iter().all(|name| source.get(name).is_some_and(|value| target.get(name) == Some(value)))
            && !mutual()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_missing_label_never_equals() {
        let matcher = |text: &str| vec![Matcher::parse(text).expect(text)];
        let rule = Inhibit {
            name: "n".into(),
            source: matcher("severity=critical"),
            target: matcher("severity=~\"warning|info\""),
            equal: vec!["host".into()],
        };
        let critical = labels(&[("severity", "critical"), ("host", "a")]);
        assert!(rule.hides(&critical, &labels(&[("severity", "warning"), ("host", "a")])));
        assert!(!rule.hides(&critical, &labels(&[("severity", "warning"), ("host", "b")])));
        assert!(!rule.hides(&critical, &labels(&[("severity", "warning")])));
        assert!(!rule.hides(&labels(&[("severity", "critical")]), &labels(&[("severity", "warning")])));
        assert!(!rule.hides(&critical, &critical));
        let all = Inhibit { source: matcher("severity!=x"), target: matcher("severity!=x"), ..rule };
        assert!(!all.hides(&critical, &labels(&[("severity", "warning"), ("host", "a")])), "none of the two");
    }
}
