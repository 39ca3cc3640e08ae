//! `${NAME}` in the values of a configuration, replaced after parsing: what the environment says can never change the
//! structure of a file.
//!
//! Names are upper case (`[A-Z_][A-Z0-9_]*`), `$$` is a dollar sign, and any other dollar stands for itself. A value
//! that is nothing but one `${NAME}` is a number or a truth value when it reads as one.

use super::{At, Node, Problems, Value};

/// Answers the value of an environment variable; a parameter, so that tests need no environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces names in all values but those at the key paths `raw`.
pub fn replace(node: &mut Node, env: Environment<'_>, raw: &[&str], problems: &mut Problems) {
    walk(node, "", &mut Replace { env, raw, problems });
}

struct Replace<'a> {
    env: Environment<'a>,
    raw: &'a [&'a str],
    problems: &'a mut Problems,
}

fn walk(node: &mut Node, path: &str, replace: &mut Replace<'_>) {
    if replace.raw.contains(&path) {
        return;
    }
    match &mut node.value {
        Value::Text(text) if text.contains('$') => node.value = replace.value(text, node.at),
        Value::List(items) => items.iter_mut().for_each(|item| walk(item, path, replace)),
        Value::Map(entries) => {
            for entry in entries {
                let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
                walk(&mut entry.node, &path, replace);
            }
        }
        _ => {}
    }
}

impl Replace<'_> {
    fn value(&mut self, text: &str, at: At) -> Value {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut is_set = true;
        while let Some(dollar) = rest.find('$') {
            out.push_str(&rest[..dollar]);
            rest = &rest[dollar..];
            if let Some(after) = rest.strip_prefix("$$") {
                out.push('$');
                rest = after;
            } else if let Some(inner) = rest.strip_prefix("${") {
                let (name, after) = inner.split_once('}').unwrap_or((inner, ""));
                match self.named(name, inner.contains('}'), at) {
                    Some(value) => out.push_str(&value),
                    None => is_set = false,
                }
                rest = after;
            } else {
                out.push('$');
                rest = &rest[1..];
            }
        }
        out.push_str(rest);
        let is_whole = text.starts_with("${") && text.find('}') == Some(text.len() - 1);
        match (is_set, is_whole) {
            (false, _) => Value::Unset,
            (true, true) => typed(out),
            (true, false) => Value::Text(out),
        }
    }

    fn named(&mut self, name: &str, is_closed: bool, at: At) -> Option<String> {
        let hint = || Some("write $$ for a dollar sign".to_owned());
        if !is_closed {
            self.problems.add_hint(at, "a ${ has no }", hint());
            return None;
        }
        if !is_name(name) {
            let message = format!("'${{{name}}}' names no environment variable: names are upper case");
            self.problems.add_hint(at, message, hint());
            return None;
        }
        let value = (self.env)(name);
        if value.is_none() {
            self.problems.add(at, format!("the environment variable {name} is not set"));
        }
        value
    }
}

fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    name.bytes().next().is_some_and(is_letter) && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

/// A number or a truth value only if it prints as it was written, so that a text like `007` is never changed.
fn typed(text: String) -> Value {
    match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => Value::Int(number),
        _ => text.parse::<bool>().map_or(Value::Text(text), Value::Bool),
    }
}
