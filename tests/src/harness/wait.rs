//! Waiting with a deadline.

use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{Instant, sleep};

const PAUSE: Duration = Duration::from_millis(25);

/// Asks `probe` until it gives a value. An error is an answer that may get better; the last one is in the message.
pub async fn eventually<T>(
    within: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + within;
    loop {
        let last = match probe().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => "not yet".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= deadline {
            return Err(anyhow!("{what}: not within {within:?}, at last: {last}"));
        }
        sleep(PAUSE).await;
    }
}
