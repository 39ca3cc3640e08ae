//! The journal of systemd, through `journalctl -o json --follow`. The journal is its own spool: the cursor of the last
//! entry that was written to ours says where to go on, after a crash of either side.

use std::process::Stdio;
use std::time::Duration;

use logweir_runtime::drain::Drain;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::{BATCH_BYTES_GOAL, BATCH_MESSAGES_MAX, Inbox};
use crate::config::{Journald, StartAt};
use crate::decode::frames::Part;
use crate::spool::Message;

/// A longer entry (a core dump in a field) is passed over and counted.
pub const ENTRY_BYTES_MAX: usize = 8 << 20;
/// An entry over this is shortened field by field.
pub const SPOOLED_BYTES_MAX: usize = 256 << 10;
/// What is left of a long field of such an entry.
pub const FIELD_BYTES_MAX: usize = 16 << 10;
/// Before journalctl is started again; doubled each time up to the last.
pub const RESTART_PAUSE: Duration = Duration::from_secs(1);
pub const RESTART_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Follows the journal until the drain.
pub(super) async fn follow(settings: Journald, after: Option<String>, inbox: Inbox, drain: Drain) {
    let mut after = after;
    let mut pause = RESTART_PAUSE;
    loop {
        let run = async {
            if after.is_none() && settings.start_at == StartAt::End {
                // What is the last entry now is pinned: what comes while the agent is down is found again.
                after = newest(&settings, &inbox).await;
            }
            run(&settings, &mut after, &inbox).await
        };
        let (taken, why) = tokio::select! {
            () = drain.cancelled() => return,
            ended = run => ended,
        };
        if taken {
            pause = RESTART_PAUSE;
        }
        tracing::warn!(why, pause_s = pause.as_secs(), "journalctl ended, starting it again");
        tokio::select! {
            () = drain.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(RESTART_PAUSE_MAX);
    }
}

fn command(settings: &Journald) -> Command {
    let mut command = Command::new(&settings.program);
    command.args(["--output=json", "--all", "--quiet"]);
    command.args(settings.units.iter().map(|unit| format!("--unit={unit}")));
    if let Some(directory) = &settings.directory {
        command.arg("--directory").arg(directory);
    }
    command.stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

/// Spools the newest entry, so that its cursor is durable, and returns that.
async fn newest(settings: &Journald, inbox: &Inbox) -> Option<String> {
    let output = command(settings).arg("--lines=1").output().await.ok()?;
    let line = output.stdout.split(|byte| *byte == b'\n').next()?;
    let cursor = cursor_of(line)?;
    let message = Message { time_ns: inbox.now_ns(), text: fit(line), part: Part::Whole };
    inbox.send(vec![message]).await.then_some(cursor)
}

/// One run of journalctl: whether it gave anything, and why it ended.
async fn run(settings: &Journald, after: &mut Option<String>, inbox: &Inbox) -> (bool, String) {
    let mut command = command(settings);
    command.args(["--follow", "--no-tail"]);
    if let Some(cursor) = after {
        command.arg(format!("--after-cursor={cursor}"));
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return (false, format!("cannot start {}: {error}", settings.program.display())),
    };
    let Some(stdout) = child.stdout.take() else { return (false, "it has no output".to_owned()) };
    let mut entries = Entries { reader: BufReader::with_capacity(64 << 10, stdout), line: Vec::new() };
    let mut taken = false;
    while let Some(batch) = entries.batch(inbox).await {
        let last = batch.last().and_then(|message| cursor_of(&message.text));
        if !inbox.send(batch).await {
            break;
        }
        taken = true;
        *after = last.or(after.take());
    }
    (taken, why(child).await)
}

/// What it said last, or how it went.
async fn why(mut child: Child) -> String {
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(4 << 10).read_to_end(&mut said).await;
    }
    let said = String::from_utf8_lossy(&said);
    match (said.lines().last(), child.wait().await) {
        (Some(line), _) if !line.trim().is_empty() => line.trim().to_owned(),
        (_, Ok(status)) => status.to_string(),
        (_, Err(error)) => error.to_string(),
    }
}

struct Entries {
    reader: BufReader<ChildStdout>,
    line: Vec<u8>,
}

impl Entries {
    /// The entries that are there; waits for the first. `None` at the end.
    async fn batch(&mut self, inbox: &Inbox) -> Option<Vec<Message>> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        loop {
            let whole = self.entry().await?;
            if whole && self.line.len() > 1 {
                bytes += self.line.len();
                let text = fit(self.line.trim_ascii_end());
                batch.push(Message { time_ns: inbox.now_ns(), text, part: Part::Whole });
            } else if !whole {
                tracing::warn!(limit = ENTRY_BYTES_MAX, "an entry of the journal is too long");
                inbox.count_dropped(1);
            }
            self.line.clear();
            let more = memchr::memchr(b'\n', self.reader.buffer()).is_some();
            if !batch.is_empty() && (!more || bytes >= BATCH_BYTES_GOAL || batch.len() >= BATCH_MESSAGES_MAX) {
                return Some(batch);
            }
        }
    }

    /// Reads a line into `line`; false when it was too long and is passed over. Half a line at the end is none: the
    /// entry is read again after the cursor before it.
    async fn entry(&mut self) -> Option<bool> {
        let mut whole = true;
        loop {
            let buffer = self.reader.fill_buf().await.ok()?;
            if buffer.is_empty() {
                return None;
            }
            let end = memchr::memchr(b'\n', buffer);
            let len = end.map_or(buffer.len(), |at| at + 1);
            whole &= self.line.len() + len <= ENTRY_BYTES_MAX;
            if whole {
                self.line.extend_from_slice(&buffer[..len]);
            }
            self.reader.consume(len);
            if end.is_some() {
                return Some(whole);
            }
        }
    }
}

/// `__CURSOR` of an entry.
pub fn cursor_of(entry: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"\"__CURSOR\"";
    let at = memchr::memmem::find(entry, KEY)? + KEY.len();
    let rest = entry[at..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let cursor = &rest[..memchr::memchr(b'"', rest)?];
    let plain = cursor.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'\\');
    std::str::from_utf8(cursor).ok().filter(|cursor| plain && !cursor.is_empty()).map(str::to_owned)
}

/// An entry that is not longer than a record can be.
pub fn fit(entry: &[u8]) -> Vec<u8> {
    if entry.len() <= SPOOLED_BYTES_MAX {
        return entry.to_vec();
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(entry) else {
        return entry[..SPOOLED_BYTES_MAX].to_vec();
    };
    for value in fields.values_mut() {
        match value {
            Value::String(text) => crate::batch::cut(text, FIELD_BYTES_MAX),
            Value::Array(items) => items.truncate(FIELD_BYTES_MAX / 4),
            _ => {}
        }
    }
    // With so many fields that they are still too long, only what makes it an entry is left.
    let mut bytes = serde_json::to_vec(&fields).unwrap_or_default();
    if bytes.len() > SPOOLED_BYTES_MAX {
        const KEPT: [&str; 6] =
            ["__CURSOR", "__REALTIME_TIMESTAMP", "MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT"];
        fields.retain(|name, _| KEPT.contains(&name.as_str()));
        bytes = serde_json::to_vec(&fields).unwrap_or_default();
    }
    bytes
}

#[cfg(test)]
mod tests;
