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

/// A matcher in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    pub label: &'a str,
    pub value: &'a str,
    pub regex: bool,
    /// `=` or `=~`, not `!=` or `!~`.
    pub equal: bool,
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
        if label.starts_with('{') || has_another(value) {
            return Err(format!("'{text}' is a list of matchers: write each by itself"));
        }
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

    /// As other programs name the parts.
    pub fn parts(&self) -> Parts<'_> {
        let (value, regex, equal) = match &self.test {
            Test::Equal(value) => (value.as_str(), false, true),
            Test::NotEqual(value) => (value.as_str(), false, false),
            Test::Regex(regex) => (unanchored(regex), true, true),
            Test::NotRegex(regex) => (unanchored(regex), true, false),
        };
        Parts { label: &self.label, value, regex, equal }
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

/// Whether a value goes on as `a", host="b`: Alertmanager takes several matchers in one text, and here it would be one that
/// matches nothing.
fn has_another(value: &str) -> bool {
    let behind = value.split('"').skip(1).filter_map(|text| text.trim_start().strip_prefix(','));
    let is_label = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.');
    let mut found = behind.map(|text| text.trim_start().trim_start_matches(is_label).trim_start());
    found.any(|operator| operator.starts_with(['=', '!']))
}

/// The expression as it was written.
fn unanchored(regex: &Regex) -> &str {
    let text = regex.as_str();
    text.strip_prefix("^(?:").and_then(|text| text.strip_suffix(")$")).unwrap_or(text)
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
        let parts = |text: &str| {
            let matcher = Matcher::parse(text).expect(text);
            let Parts { label, value, regex, equal } = matcher.parts();
            (label.to_owned(), value.to_owned(), regex, equal)
        };
        assert_eq!(parts("host!~\"web-(a|b)\""), ("host".into(), "web-(a|b)".into(), true, false));
        assert_eq!(parts("host=a"), ("host".into(), "a".into(), false, true));
        assert_eq!(parts("path=\"say \"a, b\" twice\""), ("path".into(), "say \"a, b\" twice".into(), false, true));
        for text in ["severity", "=x", "host=~\"(\"", "a b=c", "{a=\"b\"}", "a=\"b\", c=\"d\"", "a=\"b\",c!~d"] {
            assert!(Matcher::parse(text).is_err(), "{text}");
        }
    }
}
