//! TLS by rustls with the ring provider, for both sides.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

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

/// The server's side; with `client_ca` a client must show a certificate of that authority.
pub fn server_config(cert: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Arc<ServerConfig>, TlsError> {
    install_provider();
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
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
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
