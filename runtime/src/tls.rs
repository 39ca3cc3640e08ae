//! TLS by rustls with the ring provider, for both sides. The files of a server are read again when they change.

use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::time::Instant;

/// Files are looked at when a connection comes, and not more often than this.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is wrong with a TLS file: the path is part of the message.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path}: {source}")]
    Read { path: String, source: io::Error },
    #[error("{path}: {reason}")]
    Pem { path: String, reason: String },
    #[error("the certificate and the key do not fit: {0}")]
    Config(#[from] rustls::Error),
    #[error("client CA: {0}")]
    ClientCa(#[from] rustls::server::VerifierBuilderError),
}

/// Makes ring the provider of the process; needed once before any TLS, harmless when repeated.
pub fn install_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// What tells files from their successors: inode, size and time of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamps(Vec<Option<(u64, u64, i64, i64)>>);

impl Stamps {
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Stamps {
        let stamp = |path: &PathBuf| {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
        };
        Stamps(paths.into_iter().map(stamp).collect())
    }
}

/// The files of a server and what they say at the moment.
#[derive(Debug)]
pub struct ServerTls {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    loaded: Mutex<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    stamps: Stamps,
    looked_at: Instant,
}

impl ServerTls {
    /// Reads the files; with `client_ca` a client must show a certificate of that authority.
    pub fn load(cert: &Path, key: &Path, client_ca: Option<&Path>) -> Result<ServerTls, TlsError> {
        install_provider();
        let paths = [Some(cert), Some(key), client_ca].into_iter().flatten().map(Path::to_owned);
        let stamps = Stamps::of(&paths.collect::<Vec<_>>());
        let config = server_config(cert, key, client_ca)?;
        Ok(ServerTls {
            cert: cert.to_owned(),
            key: key.to_owned(),
            client_ca: client_ca.map(Path::to_owned),
            loaded: Mutex::new(Loaded { config, stamps, looked_at: Instant::now() }),
        })
    }

    /// What holds for the next connection; open ones keep what they began with. Files that have changed and are wrong,
    /// or do not fit together yet, leave the old ones in force.
    pub fn current(&self) -> Arc<ServerConfig> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.looked_at.elapsed() >= LOOK_EVERY {
            loaded.looked_at = Instant::now();
            let stamps = Stamps::of([&self.cert, &self.key].into_iter().chain(&self.client_ca));
            if stamps != loaded.stamps {
                loaded.stamps = stamps;
                match server_config(&self.cert, &self.key, self.client_ca.as_deref()) {
                    Ok(config) => {
                        tracing::info!(cert = %self.cert.display(), "the files of tls have changed: they are in force");
                        loaded.config = config;
                    }
                    Err(error) => {
                        tracing::error!(error = %error, "the files of tls have changed: the old ones stay");
                    }
                }
            }
        }
        Arc::clone(&loaded.config)
    }
}

fn server_config(cert: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Arc<ServerConfig>, TlsError> {
    let certs = read_certs(cert)?;
    let key = PrivateKeyDer::from_pem_reader(&mut open(key)?)
        .map_err(|e| TlsError::Pem { path: key.display().to_string(), reason: e.to_string() })?;
    let builder = ServerConfig::builder();
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for cert in read_certs(path)? {
                roots.add(cert)?;
            }
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build()?)
        }
    };
    let mut config = builder.with_single_cert(certs, key)?;
    if cfg!(feature = "http2") {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(Arc::new(config))
}

fn read_certs(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |reason: String| TlsError::Pem { path: path.display().to_string(), reason };
    let certs: Result<Vec<_>, _> = CertificateDer::pem_reader_iter(&mut open(path)?).collect();
    let certs = certs.map_err(|e| pem(e.to_string()))?;
    if certs.is_empty() { Err(pem("no certificate in it".to_owned())) } else { Ok(certs) }
}

fn open(path: &Path) -> Result<BufReader<File>, TlsError> {
    let file = File::open(path).map_err(|source| TlsError::Read { path: path.display().to_string(), source })?;
    Ok(BufReader::new(file))
}
