//! The threads of the stages: whether each still works, and their end.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

type Named = (&'static str, JoinHandle<()>);

/// Cheap to clone; clones share the threads.
#[derive(Debug, Clone, Default)]
pub struct Stages(Arc<Mutex<Vec<Named>>>);

impl Stages {
    pub fn new(threads: Vec<Named>) -> Stages {
        Stages(Arc::new(Mutex::new(threads)))
    }

    /// Each stage by name; `Err` when its thread has ended, by a panic or at shutdown.
    pub fn health(&self) -> Vec<(&'static str, Result<(), String>)> {
        let threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = |thread: &JoinHandle<()>| match thread.is_finished() {
            true => Err("its thread has ended: the log has the reason; start logweir again".to_owned()),
            false => Ok(()),
        };
        threads.iter().map(|(name, thread)| (*name, state(thread))).collect()
    }

    /// Waits for all, in the order in which they were named. Blocks.
    pub fn join(&self) {
        let threads = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (stage, thread) in threads {
            if thread.join().is_err() {
                tracing::error!(stage, "a stage ended with a panic");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_stage_that_ended_is_not_well() {
        let (stop, stopped) = mpsc::sync_channel::<()>(1);
        let works = std::thread::spawn(move || stopped.iter().for_each(drop));
        let broke = std::thread::spawn(|| std::panic::resume_unwind(Box::new("on purpose")));
        while !broke.is_finished() {
            std::thread::yield_now();
        }
        let stages = Stages::new(vec![("wal", works), ("index", broke)]);
        let health: Vec<_> = stages.health().into_iter().map(|(name, state)| (name, state.is_ok())).collect();
        assert_eq!(health, [("wal", true), ("index", false)]);
        drop(stop);
        stages.join();
        assert!(stages.health().is_empty());
    }
}
