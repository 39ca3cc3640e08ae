//! The part of LogQL that alerts are written in: an aggregation of lines, compared with a number.
//!
//! ```text
//! [sum|count|avg|min|max [by (a, b)]] ( count_over_time | rate ( {sel} filters [5m] ) ) [by (a, b)] OP number
//! ```

use super::literal;

/// What an expression means here.
#[derive(Debug, PartialEq)]
pub(super) struct Mapped {
    pub(super) filter: String,
    pub(super) agg: &'static str,
    pub(super) window: String,
    pub(super) by: Vec<String>,
    /// `> 10`
    pub(super) compare: String,
}

pub(super) fn map(expr: &str) -> Result<Mapped, String> {
    let mut rest = Rest(expr.trim());
    let mut by = Vec::new();
    let mut depth = 0;
    loop {
        if rest.eat("(") {
            depth += 1;
            continue;
        }
        match rest.word() {
            "sum" => by = rest.grouping()?.unwrap_or(by),
            "count_over_time" => return range(rest, "count", by, depth),
            "rate" => return range(rest, "rate", by, depth),
            "" => return Err("it is not an aggregation of lines".to_owned()),
            other => return Err(format!("'{other}' is about a metric, or has no equivalent over lines")),
        }
    }
}

fn range(mut rest: Rest<'_>, agg: &'static str, mut by: Vec<String>, depth: usize) -> Result<Mapped, String> {
    if !rest.eat("(") || !rest.0.trim_start().starts_with('{') {
        return Err("it is about a metric, not about lines".to_owned());
    }
    let filter = rest.selector()?;
    let window = rest.between('[', ']').ok_or("the range '[5m]' is missing")?.trim().to_owned();
    if !rest.eat(")") {
        return Err("an offset or a subquery has no equivalent".to_owned());
    }
    for _ in 0..depth {
        if !rest.eat(")") {
            return Err("the parentheses do not end where they should".to_owned());
        }
        if by.is_empty() {
            by = rest.grouping()?.unwrap_or_default();
        }
    }
    if by.is_empty() {
        by = rest.grouping()?.unwrap_or_default();
    }
    let op = ["==", "!=", ">=", "<=", ">", "<"]
        .into_iter()
        .find(|op| rest.eat(op))
        .ok_or("it is not compared with a number")?;
    let number: f64 = rest.0.trim().parse().map_err(|_| format!("'{}' is not a number", rest.0.trim()))?;
    Ok(Mapped { filter, agg, window, by, compare: format!("{op} {number}") })
}

struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn eat(&mut self, what: &str) -> bool {
        match self.0.trim_start().strip_prefix(what) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> &'a str {
        let text = self.0.trim_start();
        let end =
            text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.'))).unwrap_or(text.len());
        self.0 = &text[end..];
        &text[..end]
    }

    fn between(&mut self, open: char, close: char) -> Option<&'a str> {
        let text = self.0.trim_start().strip_prefix(open)?;
        let (inner, rest) = text.split_once(close)?;
        self.0 = rest;
        Some(inner)
    }

    fn grouping(&mut self) -> Result<Option<Vec<String>>, String> {
        let before = self.0;
        match self.word() {
            "by" => {
                let inner = self.between('(', ')').ok_or("'by' needs labels in parentheses")?;
                let labels = inner.split(',').map(|label| label.trim().to_owned());
                Ok(Some(labels.filter(|label| !label.is_empty()).collect()))
            }
            "without" => Err("'without' has no equivalent: name the labels with 'by'".to_owned()),
            _ => {
                self.0 = before;
                Ok(None)
            }
        }
    }

    /// `{app="x", env!="dev"} |= "error" != "debug" | json | level="error"`, up to the range.
    fn selector(&mut self) -> Result<String, String> {
        let mut parts = Vec::new();
        let inner = self.between('{', '}').ok_or("the selector is not closed")?;
        let mut labels = Rest(inner);
        while !labels.0.trim().is_empty() {
            parts.push(labels.matcher()?);
            labels.eat(",");
        }
        loop {
            let negate = |part: String, yes: bool| if yes { format!("NOT {part}") } else { part };
            if self.eat("|=") {
                parts.push(literal_text(&self.string()?));
            } else if self.eat("|~") {
                parts.push(format!("~{}", literal_text(&self.string()?)));
            } else if self.eat("!=") {
                parts.push(negate(literal_text(&self.string()?), true));
            } else if self.eat("!~") {
                parts.push(negate(format!("~{}", literal_text(&self.string()?)), true));
            } else if self.eat("|") {
                let before = self.0;
                match self.word() {
                    // Lines are parsed when they are stored.
                    "json" | "logfmt" | "unpack" => {}
                    "pattern" | "regexp" | "line_format" | "label_format" | "unwrap" | "decolorize" => {
                        return Err("a stage that makes labels at query time has no equivalent".to_owned());
                    }
                    _ => {
                        self.0 = before;
                        parts.push(self.matcher()?);
                    }
                }
            } else {
                return Ok(if parts.is_empty() { "*".to_owned() } else { parts.join(" AND ") });
            }
        }
    }

    fn matcher(&mut self) -> Result<String, String> {
        let name = self.word();
        for (op, made) in
            [("=~", "=~"), ("!~", "!~"), ("!=", "!="), (">=", ">="), ("<=", "<="), (">", ">"), ("<", "<"), ("=", "=")]
        {
            if !self.eat(op) {
                continue;
            }
            let is_text = self.0.trim_start().starts_with(['"', '`']);
            let value = if is_text { self.string()? } else { self.word().to_owned() };
            // A selector matches the whole value, a filter of the query language a part of it.
            return Ok(match made {
                "=~" | "!~" => format!("{name}{made}{}", literal_text(&format!("^(?:{value})$"))),
                _ => format!("{name}{made}{}", literal(&value)),
            });
        }
        Err(format!("'{name}' is not compared with anything"))
    }

    fn string(&mut self) -> Result<String, String> {
        let text = self.0.trim_start();
        if let Some(raw) = text.strip_prefix('`') {
            let (inner, rest) = raw.split_once('`').ok_or("a text is not closed")?;
            self.0 = rest;
            return Ok(inner.to_owned());
        }
        let body = text.strip_prefix('"').ok_or("a text in quotes is missing")?;
        let (mut out, mut chars) = (String::new(), body.char_indices());
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.0 = &body[at + 1..];
                    return Ok(out);
                }
                '\\' => out.extend(chars.next().map(|(_, c)| match c {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                })),
                c => out.push(c),
            }
        }
        Err("a text is not closed".to_owned())
    }
}

fn literal_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
