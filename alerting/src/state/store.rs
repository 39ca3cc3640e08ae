//! The store: one redb file, all changes of one evaluation in one transaction.
//!
//! `alerting.redb` has one table per record kind, text keys, JSON values. Table `meta` holds `format` = 1.
//! ```text
//! cursors    group                         event time of the last evaluation
//! rules      rule                          grouping labels, whether the memory of expected values was filled
//! instances  rule NUL labels-as-JSON       state of an instance that is not ok
//! seen       rule NUL labels-as-JSON       event time at which an expected value was last there
//! series     rule NUL labels-as-JSON       what an anomaly rule has learned of a series
//! patterns   rule NUL scope-as-JSON        the known patterns of a scope
//! rollups    feed NUL 20-digit hour        lines by minute of one hour, for long windows; outlives the lines
//! transitions 20-digit event time, group, n every change of every instance: `state::history`
//! scenes     group NUL 20-digit event time which hosts had reported, where it differs from the step before
//! hosts      host                          wall time at which its agent was last heard
//! agents     host                          since when its agent speaks, and when it was last heard
//! marks      hash of pattern and scope     what was said about a pattern
//! episodes   ULID                          open episodes, and closed ones for a while
//! groups     key                           notification groups with members
//! outbox     message id                    messages that are queued or under way
//! finished   20-digit wall time, id        messages that are sent, dead, superseded or dropped
//! told       episode NUL receiver/channel  whether a channel knows of an episode
//! health     receiver/channel              since when it fails
//! outbox_of  receiver NUL channel NUL group NUL id   which messages are in the outbox
//! history    rule                          since when a rule is known, and its alerts by day
//! silences   ULID                          silences, and expired ones for a while
//! why_not    episode NUL receiver          why a receiver was not told, at most 20 reasons
//! flaps      rule NUL labels-as-JSON       changes of an instance that came and went
//! storm      `now`                         episodes opened lately
//! threads    receiver/channel NUL thread   where the messages of one life of a group went
//! used       hash of a signed link         wall time at which it was used
//! beats      name                          when a heartbeat was last heard
//! keys       `links`                       what signed links are signed with
//! ```

use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use logweir_rules::anomaly::Series;
use logweir_rules::evaluate::{Instance, Scope};
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::records::{
    AgentMemory, Beat, Episode, Flap, Health, MarkRecord, NotifyGroup, OutboxRow, Quiet, RuleHistory, RuleMemory,
    Silence, StormState, Suppression, ThreadRef, Told,
};

use super::history::TransitionLine;
use crate::evaluate::counts::Piece;
use crate::evaluate::scene::Scene;

const FORMAT: u64 = 1;

/// A table of records of one kind.
#[derive(Debug)]
pub struct Table<V> {
    name: &'static str,
    kind: PhantomData<fn() -> V>,
}

impl<V> Clone for Table<V> {
    fn clone(&self) -> Table<V> {
        *self
    }
}

impl<V> Copy for Table<V> {}

const fn table<V>(name: &'static str) -> Table<V> {
    Table { name, kind: PhantomData }
}

const META: Table<u64> = table("meta");
pub const CURSORS: Table<i64> = table("cursors");
pub const RULES: Table<RuleMemory> = table("rules");
pub const INSTANCES: Table<Instance> = table("instances");
pub const SEEN: Table<i64> = table("seen");
pub const SERIES: Table<Series> = table("series");
pub const PATTERNS: Table<Scope> = table("patterns");
pub const ROLLUPS: Table<Piece> = table("rollups");
pub const TRANSITIONS: Table<TransitionLine> = table("transitions");
pub const SCENES: Table<Scene> = table("scenes");
pub const HOSTS: Table<i64> = table("hosts");
pub const AGENTS: Table<AgentMemory> = table("agents");
pub const MARKS: Table<MarkRecord> = table("marks");
pub const EPISODES: Table<Episode> = table("episodes");
pub const GROUPS: Table<NotifyGroup> = table("groups");
pub const OUTBOX: Table<OutboxRow> = table("outbox");
/// Found by what they are about; kept by the outbox together with its rows.
pub const OUTBOX_OF: Table<bool> = table("outbox_of");
pub const HISTORY: Table<RuleHistory> = table("history");
pub const FINISHED: Table<OutboxRow> = table("finished");
pub const TOLD: Table<Told> = table("told");
pub const HEALTH: Table<Health> = table("health");
pub const SILENCES: Table<Silence> = table("silences");
pub const WHY_NOT: Table<Vec<Suppression>> = table("why_not");
pub const FLAPS: Table<Flap> = table("flaps");
pub const STORM: Table<StormState> = table("storm");
pub const THREADS: Table<ThreadRef> = table("threads");
pub const USED: Table<i64> = table("used");
pub const BEATS: Table<Beat> = table("beats");
pub const QUIET: Table<Quiet> = table("quiet");
/// The key of signed links, 32 bytes in hexadecimal digits.
pub const KEYS: Table<String> = table("keys");

const TABLES: [&str; 30] = [
    META.name,
    CURSORS.name,
    RULES.name,
    INSTANCES.name,
    SEEN.name,
    SERIES.name,
    PATTERNS.name,
    ROLLUPS.name,
    TRANSITIONS.name,
    SCENES.name,
    HOSTS.name,
    AGENTS.name,
    MARKS.name,
    EPISODES.name,
    GROUPS.name,
    OUTBOX.name,
    OUTBOX_OF.name,
    HISTORY.name,
    FINISHED.name,
    TOLD.name,
    HEALTH.name,
    SILENCES.name,
    WHY_NOT.name,
    FLAPS.name,
    STORM.name,
    THREADS.name,
    USED.name,
    BEATS.name,
    QUIET.name,
    KEYS.name,
];

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the alert store: {0}")]
    Db(Box<redb::Error>),
    #[error("the alert store: a record of '{table}' cannot be read: {source}")]
    Record { table: &'static str, source: serde_json::Error },
    #[error("the alert store has format {found}, this version reads {FORMAT}")]
    Format { found: u64 },
    #[error("the alert store: the work was stopped")]
    Stopped,
}

macro_rules! from_redb {
    ($($error:ident)*) => {
        $(impl From<redb::$error> for StoreError {
            fn from(error: redb::$error) -> StoreError {
                StoreError::Db(Box::new(error.into()))
            }
        })*
    };
}

from_redb!(DatabaseError TransactionError TableError StorageError CommitError);

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    db: Arc<Database>,
}

impl Store {
    /// Opens or creates the store in a directory.
    pub fn open(dir: &Path) -> Result<Store, StoreError> {
        logweir_runtime::durable::create_private_dir(dir).map_err(redb::StorageError::from)?;
        Store::prepared(Database::create(dir.join("alerting.redb"))?)
    }

    fn prepared(db: Database) -> Result<Store, StoreError> {
        let store = Store { db: Arc::new(db) };
        store.write(|tx| {
            for name in TABLES {
                tx.0.open_table(TableDefinition::<&str, &[u8]>::new(name))?;
            }
            match tx.get(META, "format")? {
                Some(FORMAT) => Ok(()),
                Some(found) => Err(StoreError::Format { found }),
                None => tx.put(META, "format", &FORMAT),
            }
        })?;
        Ok(store)
    }

    /// A store that nobody sees, for trying out what would happen.
    pub fn in_memory() -> Result<Store, StoreError> {
        let db = Database::builder().create_with_backend(redb::backends::InMemoryBackend::new())?;
        Store::prepared(db)
    }

    /// All of it happens and is durable, or none of it.
    pub fn write<T>(&self, work: impl FnOnce(&Tx) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let tx = Tx(self.db.begin_write()?);
        let result = work(&tx)?;
        tx.0.commit()?;
        Ok(result)
    }

    pub fn read<T>(&self, work: impl FnOnce(&View) -> Result<T, StoreError>) -> Result<T, StoreError> {
        work(&View(self.db.begin_read()?))
    }

    /// [`Store::write`] away from the async threads: a commit waits for the disk.
    pub async fn write_async<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.write(work)).await.map_err(|_| StoreError::Stopped)?
    }

    pub async fn read_async<T: Send + 'static>(
        &self,
        work: impl FnOnce(&View) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || store.read(work)).await.map_err(|_| StoreError::Stopped)?
    }
}

/// A transaction that writes.
pub struct Tx(WriteTransaction);

impl Tx {
    pub fn get<V: DeserializeOwned>(&self, table: Table<V>, key: &str) -> Result<Option<V>, StoreError> {
        let open = self.0.open_table(definition(table.name))?;
        let value = open.get(key)?;
        value.map(|guard| decode(table, guard.value())).transpose()
    }

    pub fn put<V: Serialize>(&self, table: Table<V>, key: &str, value: &V) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(value).map_err(|source| StoreError::Record { table: table.name, source })?;
        self.0.open_table(definition(table.name))?.insert(key, bytes.as_slice())?;
        Ok(())
    }

    pub fn delete<V>(&self, table: Table<V>, key: &str) -> Result<(), StoreError> {
        self.0.open_table(definition(table.name))?.remove(key)?;
        Ok(())
    }

    /// Removes the records with keys in `[from, to)`.
    pub fn delete_range<V>(&self, table: Table<V>, from: &str, to: &str) -> Result<(), StoreError> {
        let mut open = self.0.open_table(definition(table.name))?;
        open.retain_in::<&str, _>(from..to, |_, _| false)?;
        Ok(())
    }

    /// All records whose key begins with `prefix`, in the order of the keys.
    pub fn scan<V: DeserializeOwned>(&self, table: Table<V>, prefix: &str) -> Result<Vec<(String, V)>, StoreError> {
        scan(&self.0.open_table(definition(table.name))?, table, prefix)
    }
}

/// A transaction that reads: the state at one moment.
pub struct View(ReadTransaction);

impl View {
    pub fn get<V: DeserializeOwned>(&self, table: Table<V>, key: &str) -> Result<Option<V>, StoreError> {
        match self.0.open_table(definition(table.name)) {
            Ok(open) => open.get(key)?.map(|guard| decode(table, guard.value())).transpose(),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub fn scan<V: DeserializeOwned>(&self, table: Table<V>, prefix: &str) -> Result<Vec<(String, V)>, StoreError> {
        match self.0.open_table(definition(table.name)) {
            Ok(open) => scan(&open, table, prefix),
            Err(TableError::TableDoesNotExist(_)) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    /// The records with keys in `[from, to)`, in the order of the keys.
    pub fn range<V: DeserializeOwned>(
        &self,
        table: Table<V>,
        from: &str,
        to: &str,
    ) -> Result<Vec<(String, V)>, StoreError> {
        let open = match self.0.open_table(definition(table.name)) {
            Ok(open) => open,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut out = Vec::new();
        for entry in open.range::<&str>(from..to)? {
            let (key, value) = entry?;
            out.push((key.value().to_owned(), decode(table, value.value())?));
        }
        Ok(out)
    }
}

fn definition(name: &'static str) -> TableDefinition<'static, &'static str, &'static [u8]> {
    TableDefinition::new(name)
}

fn decode<V: DeserializeOwned>(table: Table<V>, bytes: &[u8]) -> Result<V, StoreError> {
    serde_json::from_slice(bytes).map_err(|source| StoreError::Record { table: table.name, source })
}

fn scan<V: DeserializeOwned>(
    open: &impl ReadableTable<&'static str, &'static [u8]>,
    table: Table<V>,
    prefix: &str,
) -> Result<Vec<(String, V)>, StoreError> {
    let mut out = Vec::new();
    for entry in open.range::<&str>(prefix..)? {
        let (key, value) = entry?;
        if !key.value().starts_with(prefix) {
            break;
        }
        out.push((key.value().to_owned(), decode(table, value.value())?));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_whole_or_not_there() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("opens");
        let failed: Result<(), StoreError> = store.write(|tx| {
            tx.put(CURSORS, "g", &5)?;
            Err(StoreError::Stopped)
        });
        assert!(failed.is_err());
        store.write(|tx| tx.put(CURSORS, "h", &7)).expect("writes");
        drop(store);
        let store = Store::open(dir.path()).expect("opens again");
        let cursors = store.read(|view| view.scan(CURSORS, "")).expect("reads");
        assert_eq!(cursors, [("h".to_owned(), 7)]);
    }

    #[test]
    fn a_scan_ends_with_its_prefix() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("opens");
        store.write(|tx| ["a", "b\0x", "b\0y", "bc"].iter().try_for_each(|key| tx.put(SEEN, key, &1))).expect("writes");
        let keys = store.read(|view| view.scan(SEEN, "b\0")).expect("reads");
        assert_eq!(keys.len(), 2);
    }

    #[test]
    fn a_later_format_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("opens");
        store.write(|tx| tx.put(META, "format", &2)).expect("writes");
        drop(store);
        assert!(matches!(Store::open(dir.path()), Err(StoreError::Format { found: 2 })));
    }
}
