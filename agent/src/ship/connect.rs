//! The way to the servers: whom to trust, which certificate to show, which proxy to use.
//!
//! The files of TLS are looked at before each try; when one has changed, a new client takes over. One that cannot be used
//! leaves the old one in force, and says so once.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use logweir_runtime::tls::{self, Stamps};
use reqwest::{Certificate, Identity, NoProxy, Proxy};

use crate::config::{ClientCert, Config, Proxies};
use crate::error::{Error, Result};

pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A try as a whole: the server answers when the batch is durable, which is a matter of milliseconds.
pub const TRY_TIMEOUT: Duration = Duration::from_secs(60);
/// The loopback of a proxy is another machine's.
const NEVER_BY_PROXY: &str = "localhost,127.0.0.0/8,::1";

#[derive(Debug)]
pub struct Connector {
    ways: Ways,
    stamps: Stamps,
    http: reqwest::Client,
}

/// What a client is made of.
#[derive(Debug)]
struct Ways {
    ca_file: Option<PathBuf>,
    client_cert: Option<ClientCert>,
    proxies: Proxies,
    timeout: Duration,
    /// Without an address that asks for TLS the authorities of the system are not read: they are half a megabyte.
    tls: bool,
}

impl Connector {
    pub fn new(config: &Config, timeout: Duration) -> Result<Connector> {
        tls::install_provider();
        let proxies = config.proxies.clone().unwrap_or_default();
        let mut urls = config.server_url.iter().chain(&config.server_fallbacks).chain(&proxies.http);
        let ways = Ways {
            ca_file: config.ca_file.clone(),
            client_cert: config.client_cert.clone(),
            tls: urls.any(|url| !url.starts_with("http://")),
            proxies,
            timeout,
        };
        Ok(Connector { stamps: ways.stamps(), http: ways.build()?, ways })
    }

    /// The client of the moment.
    pub fn client(&mut self) -> reqwest::Client {
        let stamps = self.ways.stamps();
        if stamps != self.stamps {
            match self.ways.build() {
                Ok(http) => {
                    tracing::info!("the files of tls have changed: they are in force");
                    self.http = http;
                }
                Err(error) => tracing::error!(error = %error, "the files of tls have changed: the old ones stay"),
            }
            self.stamps = stamps;
        }
        self.http.clone()
    }
}

impl Ways {
    fn stamps(&self) -> Stamps {
        let cert = self.client_cert.iter().flat_map(|cert| [&cert.cert_file, &cert.key_file]);
        Stamps::of(self.ca_file.iter().chain(cert))
    }

    fn build(&self) -> Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("logweir-agent/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(self.timeout)
            .redirect(reqwest::redirect::Policy::none())
            // The environment has its say in the configuration, where it can be overruled.
            .no_proxy();
        let except = [self.proxies.except.as_deref().unwrap_or_default(), NEVER_BY_PROXY].join(",");
        let except = NoProxy::from_string(&except);
        if let Some(url) = &self.proxies.http {
            builder = builder.proxy(Proxy::http(url)?.no_proxy(except.clone()));
        }
        if let Some(url) = &self.proxies.https {
            builder = builder.proxy(Proxy::https(url)?.no_proxy(except));
        }
        if let Some(path) = &self.ca_file {
            let bad = |reason: String| tls_error(path, reason);
            let authorities = Certificate::from_pem_bundle(&read(path)?).map_err(|error| bad(error.to_string()))?;
            if authorities.is_empty() {
                return Err(bad("no certificate in it".to_owned()));
            }
            builder = builder.tls_certs_only(authorities);
        } else if !self.tls {
            builder = builder.tls_certs_only([]);
        }
        if let Some(cert) = &self.client_cert {
            let mut pem = read(&cert.cert_file)?;
            pem.push(b'\n');
            pem.extend_from_slice(&read(&cert.key_file)?);
            let identity = Identity::from_pem(&pem).map_err(|error| tls_error(&cert.cert_file, error.to_string()))?;
            builder = builder.identity(identity);
        }
        builder.build().map_err(|error| match &self.client_cert {
            // Only now are certificate and key put together.
            Some(cert) if error.is_builder() => tls_error(&cert.key_file, super::client::with_causes(&error)),
            _ => Error::Client(error),
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| tls_error(path, error.to_string()))
}

fn tls_error(path: &Path, reason: String) -> Error {
    Error::Tls { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests;
