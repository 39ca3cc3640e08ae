//! A bounded pool of threads for work that burns CPU or blocks: searches, compression, reads of splits.
//!
//! The async runtime stays free for the network: a handful of searches cannot stall the receive path.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Jobs that wait for a thread before callers are told to come back.
pub const POOL_QUEUE_MAX: usize = 256;

/// Cheap to clone; the threads end when the last clone is gone.
#[derive(Debug, Clone)]
pub struct Pool {
    queue: mpsc::SyncSender<Job>,
}

/// The queue is full, or the job panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    #[error("too much work is queued")]
    Full,
    #[error("the work panicked")]
    Panicked,
}

/// Sets its flag when it is dropped: whoever waits for work holds it, the work asks the flag.
#[derive(Debug, Default)]
pub struct CancelOnDrop(Arc<AtomicBool>);

impl CancelOnDrop {
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Pool {
    pub fn new(name: &str, threads: NonZeroUsize) -> std::io::Result<Pool> {
        let (queue, jobs) = mpsc::sync_channel::<Job>(POOL_QUEUE_MAX);
        let jobs = Arc::new(Mutex::new(jobs));
        for i in 0..threads.get() {
            let jobs = Arc::clone(&jobs);
            thread::Builder::new().name(format!("{name}-{i}")).spawn(move || {
                loop {
                    let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(job) = job else { return };
                    // A panic in one search must not take the thread from the others.
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                }
            })?;
        }
        Ok(Pool { queue })
    }

    /// As many threads as the machine has cores.
    pub fn per_core(name: &str) -> std::io::Result<Pool> {
        Pool::new(name, thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// Runs `job` and waits for its result. If the caller goes away before the job starts, it is never run.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, PoolError> {
        let (done, result) = oneshot::channel();
        let job = Box::new(move || {
            if !done.is_closed() {
                let _ = done.send(job());
            }
        });
        self.queue.try_send(job).map_err(|_| PoolError::Full)?;
        result.await.map_err(|_| PoolError::Panicked)
    }

    /// As [`Pool::run`]; the job asks its flag, which is set when the caller goes away, and then ends early.
    pub async fn run_cancellable<T: Send + 'static>(
        &self,
        job: impl FnOnce(&AtomicBool) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let guard = CancelOnDrop::default();
        let flag = guard.flag();
        self.run(move || job(&flag)).await
    }

    /// Hands over work whose result travels by other ways.
    pub fn spawn(&self, job: impl FnOnce() + Send + 'static) -> Result<(), PoolError> {
        self.queue.try_send(Box::new(job)).map_err(|_| PoolError::Full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_and_a_panic_costs_only_itself() {
        let pool = Pool::new("test", NonZeroUsize::MIN).expect("a thread");
        assert_eq!(pool.run(|| 6 * 7).await, Ok(42));
        assert_eq!(pool.run(|| panic!("on purpose")).await, Err::<(), _>(PoolError::Panicked));
        assert_eq!(pool.run(|| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn work_whose_caller_went_away_sees_its_flag() {
        let pool = Pool::new("test", NonZeroUsize::MIN).expect("a thread");
        let (begun, has_begun) = oneshot::channel();
        let (ended, has_ended) = oneshot::channel();
        let job = pool.run_cancellable(move |cancel| {
            let _ = begun.send(());
            while !cancel.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            let _ = ended.send(());
        });
        tokio::select! {
            _ = job => panic!("nobody cancelled it yet"),
            begun = has_begun => begun.expect("it runs"),
        }
        has_ended.await.expect("the flag ended it");
    }
}
