//! The rules that come with Logweir. They are in force unless the operator names rule files of his own.

/// Name and text of every shipped file.
pub const FILES: [(&str, &str); 5] = [
    ("library/nginx-5xx-ratio.yaml", include_str!("../library/nginx-5xx-ratio.yaml")),
    ("library/error-burst.yaml", include_str!("../library/error-burst.yaml")),
    ("library/silent-host.yaml", include_str!("../library/silent-host.yaml")),
    ("library/upstream-timeouts.yaml", include_str!("../library/upstream-timeouts.yaml")),
    ("library/pm2-crash-loop.yaml", include_str!("../library/pm2-crash-loop.yaml")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_rule_is_right_and_tested() {
        let set = crate::file::load(FILES).unwrap_or_else(|problems| {
            panic!("{}", problems.iter().map(|p| format!("{p}\n")).collect::<String>());
        });
        assert!(set.rules().count() >= FILES.len());
        for (_, rule) in set.rules() {
            assert!(!rule.tests.is_empty(), "{} has no tests", rule.name);
            assert!(!rule.summary.text.is_empty(), "{} has no summary", rule.name);
        }
    }
}
