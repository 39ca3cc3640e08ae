//! The rules that come with Logweir. They are in force unless the operator names rule files of his own.

/// Name and text of every shipped file.
pub const FILES: [(&str, &str); 12] = [
    ("library/nginx-5xx-ratio.yaml", include_str!("../library/nginx-5xx-ratio.yaml")),
    ("library/error-burst.yaml", include_str!("../library/error-burst.yaml")),
    ("library/silent-host.yaml", include_str!("../library/silent-host.yaml")),
    ("library/upstream-timeouts.yaml", include_str!("../library/upstream-timeouts.yaml")),
    ("library/pm2-crash-loop.yaml", include_str!("../library/pm2-crash-loop.yaml")),
    ("library/nginx-latency.yaml", include_str!("../library/nginx-latency.yaml")),
    ("library/nginx-clients.yaml", include_str!("../library/nginx-clients.yaml")),
    ("library/pm2-processes.yaml", include_str!("../library/pm2-processes.yaml")),
    ("library/containers.yaml", include_str!("../library/containers.yaml")),
    ("library/services.yaml", include_str!("../library/services.yaml")),
    ("library/canary.yaml", include_str!("../library/canary.yaml")),
    ("library/logweir.yaml", include_str!("../library/logweir.yaml")),
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
            let row = format!("\n| `{}` | ", rule.name);
            assert!(
                include_str!("../../docs/rules.md").contains(&row),
                "{} is not in the table of docs/rules.md",
                rule.name
            );
        }
    }
}
