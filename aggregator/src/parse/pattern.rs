//! Lines by example: the language in which formats are described, those of this build and those of its users.
//!
//! A pattern is the line with its values replaced by `{name}` or `{name:kind}`; the kinds are those of [`Kind`]. Spaces
//! in a pattern stand for one blank or more, `{?` and `?}` surround what may be missing, `{{` and `}}` are braces. Text
//! ends where what follows it begins, at the first such place from which the rest of the line fits. Other kinds take
//! what has their form. A pattern describes whole lines; blanks at their ends do not count.
//!
//! Compiled it is a list of items; an optional part is its length and then its items, so that a line is matched by
//! walking the list, see [`fit`].

pub(super) mod emit;
mod fit;
mod kind;

pub(super) use self::fit::Found;
pub(super) use self::kind::Kind;

/// Longest pattern.
pub const PATTERN_BYTES_MAX: usize = 4096;

/// Most fields of a pattern.
pub const FIELDS_MAX: usize = 64;

/// Most items of a pattern: matching goes as deep.
const ITEMS_MAX: usize = 256;

/// Longest name of a field.
const NAME_BYTES_MAX: usize = 64;

/// Columns that a line cannot fill.
const RESERVED: [&str; 3] = ["seq", "pattern_id", "source"];

/// The place of `time` among the names of all formats, and that of a time of a line that has one already, from what
/// is around the text.
pub(super) const TIME: u16 = 0;
pub(super) const LOGGED_TIME: u16 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Literal(Box<[u8]>),
    /// One blank or more.
    Blank,
    Field {
        /// Its place among the names of all formats.
        name: u16,
        kind: Kind,
    },
    /// So many of the next items may be missing.
    Optional(u16),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    items: Box<[Item]>,
}

/// What is wrong with a pattern, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub at: usize,
    pub message: String,
}

impl Pattern {
    /// `intern` gives names their places.
    pub(super) fn compile(text: &str, intern: &mut impl FnMut(&str) -> u16) -> Result<Pattern, Mistake> {
        if text.len() > PATTERN_BYTES_MAX {
            let message = format!("is longer than {PATTERN_BYTES_MAX} bytes");
            return Err(Mistake { at: 0, message });
        }
        let mut compiler = Compiler { text, at: 0, items: Vec::new(), open: None, names: Vec::new() };
        while compiler.at < text.len() {
            compiler.step(intern)?;
        }
        compiler.finish()
    }
}

struct Compiler<'a> {
    text: &'a str,
    at: usize,
    items: Vec<Item>,
    /// Where the optional part that is not closed yet has its item, and where it stands in the text.
    open: Option<(usize, usize)>,
    names: Vec<&'a str>,
}

impl<'a> Compiler<'a> {
    fn step(&mut self, intern: &mut impl FnMut(&str) -> u16) -> Result<(), Mistake> {
        let rest = &self.text[self.at..];
        let skip = match rest.as_bytes() {
            [b'{', b'{', ..] => {
                self.literal(b"{");
                2
            }
            [b'}', b'}', ..] => {
                self.literal(b"}");
                2
            }
            [b'{', b'?', ..] => {
                if self.open.is_some() {
                    return Err(self.mistake("optional parts cannot stand within each other"));
                }
                self.open = Some((self.items.len(), self.at));
                self.items.push(Item::Optional(0));
                2
            }
            [b'?', b'}', ..] => {
                let Some((item, _)) = self.open.take() else {
                    return Err(self.mistake("'?}' closes no optional part"));
                };
                self.items[item] = Item::Optional((self.items.len() - item - 1) as u16);
                2
            }
            [b'{', ..] => self.field(rest, intern)?,
            [b'}', ..] => return Err(self.mistake("'}' closes nothing: write '}}' for a brace")),
            [b' ', ..] => {
                if self.items.last() != Some(&Item::Blank) {
                    self.items.push(Item::Blank);
                }
                1
            }
            [byte, ..] => {
                self.literal(&[*byte]);
                1
            }
            [] => 0,
        };
        self.at += skip;
        if self.items.len() > ITEMS_MAX || self.names.len() > FIELDS_MAX {
            return Err(self.mistake(&format!("has more than {FIELDS_MAX} fields or {ITEMS_MAX} parts")));
        }
        Ok(())
    }

    /// A literal goes on in the item before it, but not into or out of an optional part.
    fn literal(&mut self, bytes: &[u8]) {
        let begins = self.open.is_some_and(|(item, _)| item + 1 == self.items.len());
        let ended = self.open.is_none() && self.text[..self.at].ends_with("?}");
        match self.items.last_mut() {
            Some(Item::Literal(literal)) if !begins && !ended => *literal = [literal, bytes].concat().into(),
            _ => self.items.push(Item::Literal(bytes.into())),
        }
    }

    /// `{name}` or `{name:kind}`; its length.
    fn field(&mut self, rest: &'a str, intern: &mut impl FnMut(&str) -> u16) -> Result<usize, Mistake> {
        let end = rest.find('}').ok_or_else(|| self.mistake("'{' is not closed"))?;
        let body = &rest[1..end];
        let (name, word) = body.split_once(':').unwrap_or((body, ""));
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.@-".contains(&byte);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(fits) {
            return Err(self.mistake(&format!(
                "'{name}' is not a name: letters, digits, '_', '.', '@' and '-', at most {NAME_BYTES_MAX} of them"
            )));
        }
        if RESERVED.contains(&name) {
            return Err(self.mistake(&format!("'{name}' is a column that no line fills")));
        }
        if self.names.contains(&name) {
            return Err(self.mistake(&format!("'{name}' stands twice")));
        }
        let kind = match (word, name) {
            ("", "time") => Kind::Time,
            ("", "level") => Kind::Level,
            ("", _) => Kind::Text,
            (word, _) => Kind::parse(word).ok_or_else(|| {
                let known: Vec<&str> = Kind::NAMES.iter().map(|(name, _)| *name).collect();
                self.mistake(&format!("'{word}' is not a kind: one of {}", known.join(", ")))
            })?,
        };
        if name == "time" && !kind.is_time() || name == "level" && !kind.is_level() {
            return Err(self.mistake(&format!("'{name}' cannot be of the kind '{word}'")));
        }
        self.ends_before()?;
        self.names.push(name);
        self.items.push(Item::Field { name: intern(name), kind });
        Ok(end + 1)
    }

    /// A text must be followed by something that tells its end.
    fn ends_before(&self) -> Result<(), Mistake> {
        let after_text = |item: &Item| matches!(item, Item::Field { kind, .. } if kind.is_open());
        let (last, before) = match self.items.as_slice() {
            [.., before, last] => (Some(last), Some(before)),
            [last] => (Some(last), None),
            [] => (None, None),
        };
        let begins_optional = matches!(last, Some(Item::Optional(_))) && before.is_some_and(after_text);
        if last.is_some_and(after_text) || begins_optional {
            return Err(self.mistake("stands right behind a text: nothing tells where that ends"));
        }
        Ok(())
    }

    fn finish(self) -> Result<Pattern, Mistake> {
        if let Some((_, at)) = self.open {
            return Err(Mistake { at, message: "'{?' is not closed".to_owned() });
        }
        if self.names.is_empty() {
            return Err(Mistake { at: 0, message: "has no field".to_owned() });
        }
        let mut items = self.items;
        // Blanks at the end of a line do not count.
        if items.last() == Some(&Item::Blank) {
            items.pop();
        }
        Ok(Pattern { items: items.into() })
    }

    fn mistake(&self, message: &str) -> Mistake {
        Mistake { at: self.at, message: message.to_owned() }
    }
}
