//! What alerting must not forget: cursors, instances, episodes, what rules did, notification groups, the outbox.

pub mod history;
pub mod records;
pub mod store;

pub use records::{
    Ack, Attempt, Episode, Extra, MarkRecord, Member, NotifyGroup, OutboxRow, RowKind, RowState, Sample, Silence,
};
pub use store::{Store, StoreError};
