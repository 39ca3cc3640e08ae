//! A pattern of the operator's with which each event of a log begins.

use regex::bytes::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use super::{GROUP_BYTES_MAX, GROUP_LINES_MAX};

/// Longest pattern.
const PATTERN_BYTES_MAX: usize = 1_000;
/// Memory that one compiled pattern may take.
const PATTERN_MEMORY_BYTES_MAX: usize = 1 << 20;
/// Bounds of `lines_max`.
pub const START_LINES_MAX: u32 = 10_000;
/// Bound of `bytes_max`; the line limit holds too.
pub const START_BYTES_MAX: usize = 8 << 20;
/// Bytes of a line that the pattern is tried on.
const START_HEAD_BYTES_MAX: usize = 4 << 10;

/// How the events of one log begin, and how long they get.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct StartRule {
    pattern: Regex,
    lines_max: u32,
    bytes_max: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum StartRuleError {
    #[error("must be a pattern of at most {PATTERN_BYTES_MAX} bytes")]
    TooLong,
    #[error("is no pattern: {}", reason(.0))]
    Pattern(#[from] regex::Error),
}

/// The last line of a message says what is wrong, those before it show where.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).trim().to_owned()
}

/// As it stands in a checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Written {
    start: String,
    lines_max: u32,
    bytes_max: usize,
}

impl StartRule {
    pub fn new(start: &str) -> Result<StartRule, StartRuleError> {
        if start.is_empty() || start.len() > PATTERN_BYTES_MAX {
            return Err(StartRuleError::TooLong);
        }
        let pattern = RegexBuilder::new(start).size_limit(PATTERN_MEMORY_BYTES_MAX).build()?;
        Ok(StartRule { pattern, lines_max: GROUP_LINES_MAX, bytes_max: GROUP_BYTES_MAX })
    }

    /// With other limits than the usual ones.
    #[must_use]
    pub fn with_limits(self, lines_max: Option<u32>, bytes_max: Option<usize>) -> StartRule {
        let lines_max = lines_max.unwrap_or(self.lines_max).clamp(1, START_LINES_MAX);
        StartRule { lines_max, bytes_max: bytes_max.unwrap_or(self.bytes_max), ..self }
    }

    /// Whether an event begins with `line`.
    pub fn begins(&self, line: &[u8]) -> bool {
        self.pattern.is_match(&line[..line.len().min(START_HEAD_BYTES_MAX)])
    }

    pub fn lines_max(&self) -> u32 {
        self.lines_max
    }

    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }
}

impl PartialEq for StartRule {
    fn eq(&self, other: &StartRule) -> bool {
        (self.pattern.as_str(), self.lines_max, self.bytes_max)
            == (other.pattern.as_str(), other.lines_max, other.bytes_max)
    }
}

impl Eq for StartRule {}

impl From<StartRule> for Written {
    fn from(rule: StartRule) -> Written {
        Written { start: rule.pattern.as_str().to_owned(), lines_max: rule.lines_max, bytes_max: rule.bytes_max }
    }
}

impl TryFrom<Written> for StartRule {
    type Error = StartRuleError;

    fn try_from(written: Written) -> Result<StartRule, StartRuleError> {
        Ok(StartRule::new(&written.start)?.with_limits(Some(written.lines_max), Some(written.bytes_max)))
    }
}
