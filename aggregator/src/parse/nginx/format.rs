//! The grammar of `log_format`: literals and variables, and which literal ends which variable.
//!
//! The text is the value of the directive with its parts joined, with an optional prefix `escape=json;`,
//! `escape=none;` or `escape=default;`. The empty text is `combined`.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while1};
use nom::combinator::{map, opt, value};
use nom::multi::many0;
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

/// Longest format that is compiled.
pub(super) const FORMAT_BYTES_MAX: usize = 16 << 10;

/// Most variables of a format.
pub(super) const VARIABLES_MAX: usize = 64;

pub(super) const COMBINED: &str = concat!(
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent ",
    "\"$http_referer\" \"$http_user_agent\""
);

/// How NGINX escapes the bytes of variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    Default,
    Json,
    None,
}

/// A variable and the literal that ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    /// The name without `$`; those of adjacent variables, which are one field, joined by `_`.
    pub(super) name: String,
    /// The variable stands alone: its values have the form that NGINX gives it.
    pub(super) single: bool,
    /// What follows; empty after the last one, which takes the rest of the line.
    pub(super) after: Box<[u8]>,
    /// The key before it, where the format writes JSON.
    pub(super) key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) escape: Escape,
    /// The literal before the first variable.
    pub(super) lead: Box<[u8]>,
    pub(super) slots: Vec<Slot>,
}

enum Part<'a> {
    Literal(&'a str),
    Variable(&'a str),
}

impl Format {
    /// `None` when the text has no variable, or is over a limit.
    pub(super) fn compile(text: &str) -> Option<Format> {
        if text.len() > FORMAT_BYTES_MAX {
            return None;
        }
        let (text, escape) = escape_prefix(text).ok()?;
        let text = if text.is_empty() { COMBINED } else { text };
        let (_, parts) = many0(part).parse(text).ok()?;
        let json = text.trim_start().starts_with('{');
        let mut lead = String::new();
        let mut slots: Vec<(Slot, String)> = Vec::new();
        for part in parts {
            match (part, slots.last_mut()) {
                (Part::Literal(literal), None) => lead.push_str(literal),
                (Part::Literal(literal), Some((_, after))) => after.push_str(literal),
                (Part::Variable(name), Some((slot, after))) if after.is_empty() => {
                    slot.name.push('_');
                    slot.name.push_str(name);
                    slot.single = false;
                }
                (Part::Variable(name), last) => {
                    let before = last.map_or(&lead, |(_, after)| after);
                    let key = if json { key_before(before) } else { None };
                    let slot = Slot { name: name.to_owned(), single: true, after: Box::default(), key };
                    slots.push((slot, String::new()));
                }
            }
        }
        if slots.is_empty() || slots.len() > VARIABLES_MAX {
            return None;
        }
        let slots = slots.into_iter().map(|(slot, after)| Slot { after: after.into_bytes().into(), ..slot }).collect();
        Some(Format { escape, lead: lead.into_bytes().into(), slots })
    }
}

fn escape_prefix(text: &str) -> IResult<&str, Escape> {
    let kind = alt((
        value(Escape::Default, tag("default")),
        value(Escape::Json, tag("json")),
        value(Escape::None, tag("none")),
    ));
    map(opt(delimited(tag("escape="), kind, tag(";"))), |escape| escape.unwrap_or(Escape::Default)).parse(text)
}

fn part(text: &str) -> IResult<&str, Part<'_>> {
    let name = || take_while1(|c: char| c.is_ascii_alphanumeric() || c == '_');
    alt((
        map(preceded(tag("$"), name()), Part::Variable),
        map(delimited(tag("${"), name(), tag("}")), Part::Variable),
        map(take_while1(|c| c != '$'), Part::Literal),
        // A dollar that begins no variable stands for itself.
        map(tag("$"), Part::Literal),
    ))
    .parse(text)
}

/// The JSON key that a literal ends with: `…,"key":"` or `…,"key":`.
fn key_before(literal: &str) -> Option<String> {
    let rest = literal.trim_end().trim_end_matches('"').trim_end().strip_suffix(':')?;
    let rest = rest.trim_end().strip_suffix('"')?;
    let start = rest.rfind('"')?;
    let key = &rest[start + 1..];
    (!key.is_empty()).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(text: &str, want: &Expect) {
        let shown = Format::compile(text).map_or("none".to_owned(), |format| {
            let slots = format.slots.iter().map(|slot| {
                let key = slot.key.as_ref().map(|key| format!(" key {key}")).unwrap_or_default();
                let single = if slot.single { "" } else { " joined" };
                format!("\n{}{key}{single} then {:?}", slot.name, String::from_utf8_lossy(&slot.after))
            });
            format!("{:?} lead {:?}{}", format.escape, String::from_utf8_lossy(&format.lead), slots.collect::<String>())
        });
        want.assert_eq(&shown);
    }

    #[test]
    fn formats_become_slots() {
        check(
            "",
            &expect![[r#"
                Default lead ""
                remote_addr then " - "
                remote_user then " ["
                time_local then "] \""
                request then "\" "
                status then " "
                body_bytes_sent then " \""
                http_referer then "\" \""
                http_user_agent then "\"""#]],
        );
        check(
            "escape=json;{\"t\":\"$time_iso8601\", \"s\" : $status,\"o\":{\"u\":\"${uri}\"}}",
            &expect![[r#"
                Json lead "{\"t\":\""
                time_iso8601 key t then "\", \"s\" : "
                status key s then ",\"o\":{\"u\":\""
                uri key u then "\"}}""#]],
        );
        check(
            "escape=none;$a$b-${c}d $",
            &expect![[r#"
            None lead ""
            a_b joined then "-"
            c then "d $""#]],
        );
        check("no variable", &expect!["none"]);
        check(&"$a ".repeat(VARIABLES_MAX + 1), &expect!["none"]);
    }
}
