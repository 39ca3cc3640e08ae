//! Label matchers as in Alertmanager: `severity="critical"`, `host!~"test-.*"`. A missing label is an empty one.

use logweir_rules::model::Labels;
use regex::Regex;

#[derive(Debug, Clone)]
pub struct Matcher {
    label: String,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Equal(String),
    NotEqual(String),
    Regex(Regex),
    NotRegex(Regex),
}

impl Matcher {
    /// Reads one matcher; the error is a fragment for people.
    pub fn parse(text: &str) -> Result<Matcher, String> {
        let at = text.find(['=', '!']).ok_or_else(|| format!("'{text}' has no '=', '!=', '=~' or '!~'"))?;
        let label = text[..at].trim();
        let rest = &text[at..];
        let op = ["=~", "!~", "!=", "="].into_iter().find(|op| rest.starts_with(op));
        let op = op.ok_or_else(|| format!("'{text}' has no '=', '!=', '=~' or '!~'"))?;
        let value = rest[op.len()..].trim();
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
        if label.is_empty() || label.contains(char::is_whitespace) {
            return Err(format!("'{text}' has no label before the operator"));
        }
        // Anchored, as everybody expects of label matchers.
        let regex = || Regex::new(&format!("^(?:{value})$")).map_err(|e| format!("'{value}' is not a regex: {e}"));
        let test = match op {
            "=" => Test::Equal(value.to_owned()),
            "!=" => Test::NotEqual(value.to_owned()),
            "=~" => Test::Regex(regex()?),
            _ => Test::NotRegex(regex()?),
        };
        Ok(Matcher { label: label.to_owned(), test })
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.label).map_or("", String::as_str);
        match &self.test {
            Test::Equal(wanted) => value == wanted,
            Test::NotEqual(wanted) => value != wanted,
            Test::Regex(regex) => regex.is_match(value),
            Test::NotRegex(regex) => !regex.is_match(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_are_anchored_and_see_missing_labels_as_empty() {
        let labels = Labels::from([("severity".into(), "critical".into()), ("host".into(), "web-1".into())]);
        for (text, matches) in [
            (r#"severity="critical""#, true),
            ("severity = critical", true),
            (r#"severity!="critical""#, false),
            (r#"host=~"web""#, false),
            (r#"host=~"web-.*""#, true),
            (r#"host!~"db-.*""#, true),
            (r#"team="""#, true),
            (r#"team!="""#, false),
        ] {
            assert_eq!(Matcher::parse(text).expect(text).matches(&labels), matches, "{text}");
        }
        for text in ["severity", "=x", "host=~\"(\"", "a b=c"] {
            assert!(Matcher::parse(text).is_err(), "{text}");
        }
    }
}
