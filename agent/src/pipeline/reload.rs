//! A running agent takes a new configuration: everything that can fail is tried before anything changes.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Run, follow_settings, raise_open_files};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::filter::Filter;
use crate::host::SAMPLE_EVERY;
use crate::listen;
use crate::metrics;
use crate::reload::needs_restart;
use crate::ship::client::Client;
use crate::tail::discover::Discovery;
use crate::tail::reader::linger;

impl Run {
    pub(super) async fn reload(&mut self, config: Config) -> Result<()> {
        match self.take(config).await {
            Err(error @ (Error::Worker | Error::Batch(_))) => Err(error),
            Err(error) => {
                metrics::reloaded(false);
                tracing::error!(error = %error, "the new configuration is refused, the old one stays");
                Ok(())
            }
            Ok(()) => {
                metrics::reloaded(true);
                tracing::info!("the new configuration is in force");
                Ok(())
            }
        }
    }

    async fn take(&mut self, mut config: Config) -> Result<()> {
        // `up` and the tests say this in code and not in a file.
        config.once = self.parts.config.once;
        if let Some(key) = needs_restart(&self.parts.config, &config) {
            return Err(Error::NeedsRestart { key });
        }
        let client = Client::new(&config, self.parts.seed, self.parts.status.clone())?;
        let filter = Filter::new(&config.rules, &config.redact)?;
        let redactor = listen::redactor(&config.redact)?;
        let discovery = Arc::new(Discovery::new(config.clone()));
        raise_open_files(config.limits.open_files);
        let settings = follow_settings(&config);
        self.with_tail(move |tail, _| {
            tail.set_filter(filter);
            tail.set_settings(settings);
        })
        .await?;
        self.listeners.set_redactor(redactor);
        let now = Instant::now();
        // What is under way goes the old way, maybe to where nobody answers: the same batch goes the new way instead.
        self.delivery = None;
        self.hold_until = None;
        self.parts.client = client;
        self.parts.discovery = discovery;
        self.parts.linger = linger(config.limits.batch_age);
        self.host_at = config.host_stats.then_some(now + SAMPLE_EVERY);
        self.rescan_at = now;
        self.parts.config = config;
        Ok(())
    }
}
