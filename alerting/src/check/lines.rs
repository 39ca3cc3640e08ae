//! The lines of a rule's test: what is written in the file, with its macros, at every time that it names.

use logweir_rules::model::{Labels, TestBody, TestCase, TestLogs};

/// Lines of one test.
pub const LINES_MAX: usize = 1_000_000;

/// One line that the parser of the store reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestLine {
    /// When it came; also the time of a line that carries none itself.
    pub at_ns: i64,
    /// Format as the test names it (`nginx_error`, `nginx_access`, …); `None`: the parser guesses.
    pub parser: Option<String>,
    /// The line is one JSON object.
    pub json: bool,
    pub text: String,
    /// Labels of its source: host, service, ….
    pub set: Labels,
}

/// Every line of a test, in the order of time. Tests begin at `start_ns`.
pub fn lines(case: &TestCase, start_ns: i64) -> Result<Vec<TestLine>, String> {
    let mut lines = Vec::new();
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for logs in &case.logs {
        expand(case, logs, start_ns, &mut random, &mut lines)?;
    }
    lines.sort_by_key(|line: &TestLine| line.at_ns);
    Ok(lines)
}

fn expand(
    case: &TestCase,
    logs: &TestLogs,
    start_ns: i64,
    random: &mut Random,
    lines: &mut Vec<TestLine>,
) -> Result<(), String> {
    let (template, json) = match &logs.body {
        TestBody::Line(text) => (text, false),
        TestBody::Json(text) => (text, true),
    };
    let parser = logs.parser.as_ref().or(case.parser.as_ref()).filter(|_| !json);
    let mut at_ns = logs.from_ns;
    let mut index = 0u64;
    while at_ns < logs.to_ns {
        if lines.len() >= LINES_MAX {
            return Err(format!("the test makes more than {LINES_MAX} lines"));
        }
        let time_ns = start_ns.saturating_add(at_ns);
        let text = macros(template, time_ns, index, random)?;
        lines.push(TestLine { at_ns: time_ns, parser: parser.cloned(), json, text, set: logs.set.clone() });
        at_ns = at_ns.saturating_add(logs.every_ns);
        index += 1;
    }
    Ok(())
}

/// Replaces `{{ts:nginx_error}}`, `{{ts:nginx_access}}`, `{{ts:pm2}}`, `{{ts:iso}}`, `{{i}}` and `{{rand_int}}`.
fn macros(template: &str, time_ns: i64, index: u64, random: &mut Random) -> Result<String, String> {
    let mut out = String::with_capacity(template.len() + 16);
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        out.push_str(&rest[..start]);
        let Some(length) = rest[start..].find("}}") else {
            return Err(format!("'{{{{' is never closed in '{template}'"));
        };
        let name = rest[start + 2..start + length].trim();
        match name {
            "i" => out.push_str(&index.to_string()),
            "rand_int" => out.push_str(&(random.next() % 100_000).to_string()),
            "ts:iso" => out.push_str(&time(time_ns, "%Y-%m-%dT%H:%M:%S%.3fZ")?),
            "ts:nginx_error" => out.push_str(&time(time_ns, "%Y/%m/%d %H:%M:%S")?),
            "ts:nginx_access" => out.push_str(&time(time_ns, "%d/%b/%Y:%H:%M:%S +0000")?),
            "ts:pm2" => out.push_str(&time(time_ns, "%Y-%m-%dT%H:%M:%S")?),
            other => return Err(format!("unknown macro '{{{{{other}}}}}'")),
        }
        rest = &rest[start + length + 2..];
    }
    out.push_str(rest);
    Ok(out)
}

fn time(ns: i64, format: &str) -> Result<String, String> {
    let time = jiff::Timestamp::from_nanosecond(i128::from(ns)).map_err(|error| error.to_string())?;
    Ok(time.strftime(format).to_string())
}

/// xorshift64: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_become_times_and_numbers() {
        let mut random = Random(1);
        let mut check = |template: &str| macros(template, 1_767_225_600_500_000_000, 7, &mut random);
        assert_eq!(check("[{{ts:nginx_error}}] *{{i}}").expect("known"), "[2026/01/01 00:00:00] *7");
        assert_eq!(check("{{ts:nginx_access}}").expect("known"), "01/Jan/2026:00:00:00 +0000");
        assert_eq!(check("{{ ts:iso }} {{ts:pm2}}").expect("known"), "2026-01-01T00:00:00.500Z 2026-01-01T00:00:00");
        assert!(check("{{rand_int}}").expect("known").parse::<u64>().is_ok());
        assert!(check("{{ts:banana}}").is_err() && check("{{i").is_err());
    }
}
