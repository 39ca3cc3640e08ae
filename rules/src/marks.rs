//! What somebody has said about a pattern: in a rule file, or with `logweir patterns mark`.

use logweir_proto::pattern::{Miner, PatternId};
use logweir_proto::yaml::{Fields, Node, Problems};
use serde::{Deserialize, Serialize};

use crate::model::Labels;

/// Marks of one rule set.
pub const MARKS_MAX: usize = 1_000;
const WORDS: [(&str, Word); 3] = [("known", Word::Known), ("ignore", Word::Ignore), ("ticket", Word::Ticket)];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// It is no news: no alert of it, and an open one ends.
    Known,
    /// The same, and its lines are not even counted.
    Ignore,
    /// Somebody has it in hand: its alert is an info and names the ticket.
    Ticket,
}

impl Word {
    pub fn as_str(self) -> &'static str {
        WORDS.iter().find(|(_, word)| *word == self).map_or("", |(name, _)| name)
    }

    pub fn parse(text: &str) -> Option<Word> {
        WORDS.iter().find(|(name, _)| *name == text).map(|(_, word)| *word)
    }
}

/// Which pattern is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The `pattern` label of its alert; also an id that it had before it was merged.
    Id(PatternId),
    /// The template as it is shown.
    Template(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub target: Target,
    pub word: Word,
    /// Only where these labels of the scope are so.
    #[serde(default)]
    pub scope: Labels,
    #[serde(default)]
    pub ticket: Option<String>,
    #[serde(default)]
    pub comment: String,
}

impl Mark {
    fn is_here(&self, labels: &Labels) -> bool {
        self.scope.iter().all(|(name, value)| labels.get(name) == Some(value))
    }
}

/// The last that was said about a pattern.
pub(crate) fn of<'a>(marks: &'a [Mark], miner: &Miner, labels: &Labels, id: PatternId) -> Option<&'a Mark> {
    let mut template: Option<Option<String>> = None;
    marks.iter().rev().filter(|mark| mark.is_here(labels)).find(|mark| match &mark.target {
        Target::Id(own) => *own == id || miner.resolve(*own) == id,
        Target::Template(text) => template.get_or_insert_with(|| miner.template(id)).as_deref() == Some(text),
    })
}

/// Reads `patterns:` of a rule file.
pub(crate) fn read(node: &Node, problems: &mut Problems) -> Vec<Mark> {
    let marks: Vec<Mark> = problems.list(node, "patterns").iter().filter_map(|one| read_one(one, problems)).collect();
    if marks.len() > MARKS_MAX {
        problems.add(node.at, format!("more than {MARKS_MAX} marked patterns"));
    }
    marks
}

fn read_one(node: &Node, problems: &mut Problems) -> Option<Mark> {
    let mut fields = Fields::new(node, "a marked pattern", problems)?;
    let id = fields.get("pattern").and_then(|n| Some((n, problems.text(n, "pattern")?)));
    let template = fields.get("template").and_then(|n| problems.text(n, "template"));
    let target = match (id, template) {
        (Some((node, id)), None) => {
            let parsed = PatternId::parse(&id).map(Target::Id);
            if parsed.is_none() {
                problems.add(
                    node.at,
                    "a pattern is 16 hexadecimal digits in quotes, as its alert and `logweir patterns` say",
                );
            }
            parsed
        }
        (None, Some(template)) => Some(Target::Template(template)),
        _ => {
            problems.add(node.at, "a marked pattern has one of 'pattern' and 'template'");
            None
        }
    };
    let word = fields.require("mark", problems).and_then(|n| problems.word(n, "mark", &WORDS));
    let scope = fields.get("scope").map(|n| problems.texts(n, "scope")).unwrap_or_default();
    let scope = scope.into_iter().map(|(name, value, _)| (name, value)).collect();
    let ticket = fields.get("ticket").and_then(|n| problems.text(n, "ticket"));
    if ticket.is_some() != (word == Some(Word::Ticket)) && word.is_some() {
        problems.add(node.at, "'mark: ticket' needs a 'ticket', and nothing else has one");
    }
    let comment = fields.get("comment").and_then(|n| problems.text(n, "comment")).unwrap_or_default();
    fields.finish(problems);
    Some(Mark { target: target?, word: word?, scope, ticket, comment })
}
