//! Silences: who asked for quiet, why, over which labels, and until when. Kept in the store, over every restart.

use logweir_rules::model::Labels;
use ulid::Ulid;

use super::matcher::Matcher;
use crate::state::Silence;
use crate::state::store::{SILENCES, StoreError, Tx, View};

/// Silences that are kept at once, with those that ended lately.
pub const SILENCES_MAX: usize = 1_000;
/// Matchers of one silence.
pub const MATCHERS_MAX: usize = 20;
/// What somebody writes about a silence or an acknowledgement.
pub const COMMENT_CHARS_MAX: usize = 1_000;
/// Longest silence.
pub const SILENCE_MAX_NS: i64 = 366 * 86_400 * 1_000_000_000;
/// A silence that ended stays readable this long.
const KEEP_NS: i64 = 7 * 86_400 * 1_000_000_000;

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSilence {
    pub matchers: Vec<String>,
    pub starts_wall: Option<i64>,
    pub ends_wall: i64,
    pub author: String,
    pub comment: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SilenceError {
    #[error("{0}")]
    Wrong(String),
    #[error("there are {SILENCES_MAX} silences already: end some of them")]
    TooMany,
    #[error("there is no silence '{0}'")]
    Unknown(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A silence that is ready to be asked.
#[derive(Debug)]
pub struct Compiled {
    pub silence: Silence,
    matchers: Vec<Matcher>,
}

impl Compiled {
    pub fn new(silence: Silence) -> Option<Compiled> {
        let matchers = silence.matchers.iter().map(|text| Matcher::parse(text).ok()).collect::<Option<Vec<_>>>()?;
        Some(Compiled { silence, matchers })
    }

    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    pub fn matches(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches(labels))
    }

    pub fn is_active(&self, now_wall: i64) -> bool {
        self.silence.starts_wall <= now_wall && now_wall < self.silence.ends_wall
    }
}

/// Checks what was asked for. A silence must not match every alert there is, and must end.
pub fn check(new: &NewSilence, now_wall: i64) -> Result<(), SilenceError> {
    let wrong = |text: &str| Err(SilenceError::Wrong(text.to_owned()));
    if new.author.trim().is_empty() || new.comment.trim().is_empty() {
        return wrong("a silence needs an author and a comment that says why");
    }
    if new.comment.chars().count() > COMMENT_CHARS_MAX || new.author.chars().count() > 200 {
        return wrong("the author or the comment is too long");
    }
    let starts = new.starts_wall.unwrap_or(now_wall);
    if new.ends_wall <= starts.max(now_wall) {
        return wrong("a silence must end after it begins, and in the future");
    }
    if new.ends_wall.saturating_sub(starts) > SILENCE_MAX_NS {
        return wrong("a silence lasts at most 366 days");
    }
    if new.matchers.is_empty() || new.matchers.len() > MATCHERS_MAX {
        return Err(SilenceError::Wrong(format!("a silence needs 1 to {MATCHERS_MAX} matchers")));
    }
    let mut narrow = false;
    for text in &new.matchers {
        let matcher = Matcher::parse(text).map_err(SilenceError::Wrong)?;
        narrow |= !matcher.matches(&Labels::new());
    }
    if narrow { Ok(()) } else { wrong("these matchers match everything: at least one must need a label") }
}

pub fn add(tx: &Tx, new: NewSilence, now_wall: i64) -> Result<Silence, SilenceError> {
    check(&new, now_wall)?;
    if tx.scan(SILENCES, "")?.len() >= SILENCES_MAX {
        return Err(SilenceError::TooMany);
    }
    let silence = Silence {
        id: id(&new, now_wall),
        matchers: new.matchers,
        starts_wall: new.starts_wall.unwrap_or(now_wall),
        ends_wall: new.ends_wall,
        author: new.author.trim().to_owned(),
        comment: new.comment.trim().to_owned(),
        created_wall: now_wall,
    };
    tx.put(SILENCES, &silence.id, &silence)?;
    Ok(silence)
}

fn id(new: &NewSilence, now_wall: i64) -> String {
    let text = format!("{:?}{now_wall}", (&new.matchers, new.ends_wall, &new.author, &new.comment));
    let mut random = [0u8; 16];
    random[6..].copy_from_slice(&blake3::hash(text.as_bytes()).as_bytes()[..10]);
    Ulid::from_parts(now_wall.max(0) as u64 / 1_000_000, u128::from_be_bytes(random)).to_string()
}

/// Ends a silence now; it stays in the list for a while.
pub fn expire(tx: &Tx, id: &str, now_wall: i64) -> Result<Silence, SilenceError> {
    let Some(mut silence) = tx.get(SILENCES, id)? else { return Err(SilenceError::Unknown(id.to_owned())) };
    silence.ends_wall = silence.ends_wall.min(now_wall);
    silence.starts_wall = silence.starts_wall.min(silence.ends_wall);
    tx.put(SILENCES, id, &silence)?;
    Ok(silence)
}

/// All that are kept, the newest first.
pub fn list(view: &View) -> Result<Vec<Silence>, StoreError> {
    let mut silences: Vec<Silence> = view.scan(SILENCES, "")?.into_iter().map(|(_, silence)| silence).collect();
    silences.reverse();
    Ok(silences)
}

pub fn housekeep(tx: &Tx, now_wall: i64) -> Result<(), StoreError> {
    for (id, silence) in tx.scan(SILENCES, "")? {
        if now_wall.saturating_sub(silence.ends_wall) > KEEP_NS {
            tx.delete(SILENCES, &id)?;
        }
    }
    Ok(())
}

/// Matchers for exactly these labels.
pub fn matchers_of(labels: &Labels) -> Vec<String> {
    let labels = labels.iter().filter(|(key, _)| *key != "severity").take(MATCHERS_MAX);
    labels.map(|(key, value)| format!("{key}=\"{value}\"")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{S, T0};
    use crate::state::Store;

    fn new(matchers: &[&str], ends_wall: i64) -> NewSilence {
        let matchers = matchers.iter().map(|m| (*m).to_owned()).collect();
        NewSilence { matchers, starts_wall: None, ends_wall, author: "ann".into(), comment: "deploy".into() }
    }

    #[test]
    fn a_silence_says_who_and_why_and_ends_and_is_no_gag() {
        for (asked, part) in [
            (new(&["host=a"], T0), "must end"),
            (new(&["host=a"], T0 + 400 * 86_400 * S), "366 days"),
            (new(&[], T0 + S), "1 to 20 matchers"),
            (new(&["host=~\".*\""], T0 + S), "match everything"),
            (new(&["host"], T0 + S), "has no '='"),
            (NewSilence { comment: " ".into(), ..new(&["host=a"], T0 + S) }, "author and a comment"),
            (NewSilence { author: String::new(), ..new(&["host=a"], T0 + S) }, "author and a comment"),
        ] {
            let error = check(&asked, T0).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(check(&new(&["host=a"], T0 + S), T0).is_ok());
    }

    #[test]
    fn a_silence_is_there_after_a_restart_and_can_be_ended() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("opens");
        let add = |tx: &Tx| Ok(super::add(tx, new(&["host=~\"web-.*\""], T0 + 60 * S), T0).expect("right"));
        let silence = store.write(add).expect("writes");
        drop(store);
        let store = Store::open(dir.path()).expect("opens again");
        let kept = store.read(list).expect("reads");
        assert_eq!(kept, std::slice::from_ref(&silence));
        let compiled = Compiled::new(silence.clone()).expect("it was checked");
        let labels = |host: &str| Labels::from([("host".to_owned(), host.to_owned())]);
        assert!(compiled.matches(&labels("web-1")) && !compiled.matches(&labels("db-1")));
        assert!(compiled.is_active(T0) && !compiled.is_active(T0 + 60 * S) && !compiled.is_active(T0 - 1));
        let ended = store.write(|tx| Ok(expire(tx, &silence.id, T0 + S).expect("it is there"))).expect("writes");
        assert_eq!(ended.ends_wall, T0 + S);
        let gone = store.write(|tx| Ok(expire(tx, "none", T0).is_err())).expect("writes");
        assert!(gone);
        store.write(|tx| housekeep(tx, T0 + 8 * 86_400 * S)).expect("writes");
        assert!(store.read(list).expect("reads").is_empty());
    }
}
