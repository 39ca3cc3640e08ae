//! The part of LogQL that alerts are written in: an aggregation of lines, compared with a number.
//!
//! ```text
//! series := [sum [by (a, b)]] ( count_over_time | rate ( {sel} filters [5m] ) ) [by (a, b)]
//! [100 *] series [/ series] [* 100] OP number
//! ```

use super::literal;

/// Deeper ones are no alert that somebody wrote.
const PARENTHESES_MAX: usize = 32;

/// An aggregation of lines.
#[derive(Debug, PartialEq)]
pub(super) struct Series {
    pub(super) filter: String,
    pub(super) agg: &'static str,
    pub(super) window: String,
    /// By which labels its sum is; `None` where it is a number for each stream.
    pub(super) by: Option<Vec<String>>,
}

/// What an expression means here.
#[derive(Debug, PartialEq)]
pub(super) struct Mapped {
    pub(super) of: Series,
    /// What it is divided by.
    pub(super) by: Option<Series>,
    /// `> 10`
    pub(super) compare: String,
}

pub(super) fn map(expr: &str) -> Result<Mapped, String> {
    let mut rest = Rest(expr.trim());
    // Percentages are ratios here.
    let mut factor = rest.factor_before().unwrap_or(1.0);
    let (of, by) = rest.quotient()?;
    if rest.eat("*") {
        factor *= rest.number()?;
    }
    let op = ["==", "!=", ">=", "<=", ">", "<"]
        .into_iter()
        .find(|op| rest.eat(op))
        .ok_or("it is not compared with a number")?;
    let number = rest.number()?;
    if !rest.0.trim().is_empty() {
        return Err(format!("'{}' behind the comparison has no equivalent", rest.0.trim()));
    }
    if factor <= 0.0 {
        return Err("it is multiplied by nothing".to_owned());
    }
    Ok(Mapped { of, by, compare: format!("{op} {}", number / factor) })
}

struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// `100 *` at the beginning.
    fn factor_before(&mut self) -> Option<f64> {
        let before = self.0;
        match self.number() {
            Ok(number) if self.eat("*") => Some(number),
            _ => {
                self.0 = before;
                None
            }
        }
    }

    fn number(&mut self) -> Result<f64, String> {
        let text = self.0.trim_start();
        let digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        let end = text.find(|c| !digit(c)).unwrap_or(text.len());
        let number = text[..end].parse::<f64>().ok().filter(|number| number.is_finite());
        self.0 = &text[end..];
        number.ok_or_else(|| format!("'{text}' is not a number"))
    }

    /// `a / b` or `a`, also in parentheses.
    fn quotient(&mut self) -> Result<(Series, Option<Series>), String> {
        let before = self.0;
        if self.eat("(")
            && let Ok((of, by @ Some(_))) = self.quotient_in(PARENTHESES_MAX)
            && self.eat(")")
        {
            return Ok((of, by));
        }
        self.0 = before;
        self.quotient_in(PARENTHESES_MAX)
    }

    fn quotient_in(&mut self, depth: usize) -> Result<(Series, Option<Series>), String> {
        let of = self.series(depth)?;
        let by = if self.eat("/") { Some(self.series(depth)?) } else { None };
        Ok((of, by))
    }

    fn series(&mut self, depth: usize) -> Result<Series, String> {
        let closed = |rest: &mut Self, open: bool| match !open || rest.eat(")") {
            true => Ok(()),
            false => Err("the parentheses do not end where they should".to_owned()),
        };
        let depth = depth.checked_sub(1).ok_or("it has too many parentheses")?;
        if self.eat("(") {
            let inner = self.series(depth)?;
            closed(self, true)?;
            return Ok(inner);
        }
        match self.word() {
            "sum" => {
                let before = self.grouping()?;
                let open = self.eat("(");
                let inner = self.series(depth)?;
                closed(self, open)?;
                let by = match before {
                    Some(by) => by,
                    None => self.grouping()?.unwrap_or_default(),
                };
                Ok(Series { by: Some(by), ..inner })
            }
            "count_over_time" => self.range("count"),
            "rate" => self.range("rate"),
            "" => Err("it is not an aggregation of lines".to_owned()),
            other => Err(format!("'{other}' is about a metric, or has no equivalent over lines")),
        }
    }

    fn range(&mut self, agg: &'static str) -> Result<Series, String> {
        if !self.eat("(") || !self.0.trim_start().starts_with('{') {
            return Err("it is about a metric, not about lines".to_owned());
        }
        let filter = self.selector()?;
        let window = self.between('[', ']').ok_or("the range '[5m]' is missing")?.trim().to_owned();
        if !self.eat(")") {
            return Err("an offset or a subquery has no equivalent".to_owned());
        }
        Ok(Series { filter, agg, window, by: None })
    }

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
            parts.extend(labels.matcher()?);
            labels.eat(",");
        }
        loop {
            let negate = |part: String, yes: bool| if yes { format!("NOT {part}") } else { part };
            if self.eat("|=") {
                // Every line has nothing in it.
                parts.extend(Some(self.string()?).filter(|text| !text.is_empty()).map(|text| literal_text(&text)));
            } else if self.eat("|~") {
                let text = Some(self.string()?).filter(|text| !text.is_empty());
                parts.extend(text.map(|text| format!("~{}", literal_text(&text))));
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
                        parts.extend(self.matcher()?);
                    }
                }
            } else {
                return Ok(if parts.is_empty() { "*".to_owned() } else { parts.join(" AND ") });
            }
        }
    }

    /// What a label is compared with; `None` where every line passes.
    fn matcher(&mut self) -> Result<Option<String>, String> {
        let name = self.word();
        let op = ["=~", "!~", "!=", "==", ">=", "<=", ">", "<", "="].into_iter().find(|op| self.eat(op));
        let op = op.ok_or_else(|| format!("'{name}' is not compared with anything"))?;
        if !self.0.trim_start().starts_with(['"', '`']) {
            let op = if op == "==" { "=" } else { op };
            let quantity = self.quantity();
            let quantity = quantity.ok_or_else(|| format!("'{name}' is compared with neither a text nor a number"))?;
            return Ok(Some(format!("{name}{op}{quantity}")));
        }
        let value = self.string()?;
        Ok(match (name, op, value.as_str()) {
            // A line that is not what the parser wants has none of its fields here.
            ("__error__" | "__error_details__", "=", "") => None,
            ("__error__" | "__error_details__", ..) => {
                return Err(format!("'{name}' has no equivalent: lines are parsed when they are stored"));
            }
            // A label that is not there is an empty one there.
            (_, "=", "") => Some(format!("NOT {name}:*")),
            (_, "!=", "") => Some(format!("{name}:*")),
            (_, "=~", ".*") => None,
            // A selector matches the whole value, a filter of the query language a part of it.
            (_, "=~" | "!~", _) => Some(format!("{name}{op}{}", literal_text(&format!("^(?:{value})$")))),
            _ => Some(format!("{name}{op}{}", literal(&value))),
        })
    }

    /// `500`, `-1.5`, `10s`, `20MB`.
    fn quantity(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        let (quantity, rest) = text.split_at(text.find(|c| !is_part(c)).unwrap_or(text.len()));
        self.0 = rest;
        quantity.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit()).then_some(quantity)
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
