//! What alerting must not forget: cursors, instances, episodes, notification groups, the outbox.

pub mod records;
pub mod store;

pub use records::{Attempt, Episode, Member, NotifyGroup, OutboxRow, RowState, Sample};
pub use store::{Store, StoreError};
