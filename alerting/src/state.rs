//! What alerting must not forget: cursors, instances, episodes, notification groups, the outbox.

pub mod records;
pub mod store;

pub use records::{Ack, Attempt, Episode, Extra, Member, NotifyGroup, OutboxRow, RowKind, RowState, Sample, Silence};
pub use store::{Store, StoreError};
