//! Who may do what: bearer tokens with scopes, and the loopback rule.
//!
//! Without any token a loopback address serves everybody on the machine, and nobody else: `Host` and `Origin` are
//! checked so that a web page cannot reach it by rebinding a name. From the first token on, and on any other address,
//! a token is needed. A token is `lw_<id>_<secret>`; only the SHA-256 of the secret is kept (256 random bits need no
//! slow hash). The file is read again when it changes, so `logweir tokens` works while the server runs.
//!
//! What runs in the server's own process (the agents of `logweir up`) has a token that is made at the start, lives in
//! memory only and may ingest: so the first token of the file does not lock it out.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use logweir_runtime::durable;
use logweir_runtime::loopback::is_loopback_host;
use logweir_runtime::secrets::{Secret, constant_time_eq};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Tokens of one server.
pub const TOKENS_MAX: usize = 1000;
/// The id of the token that lives in memory; those of the file are hexadecimal.
const INTERNAL_ID: &str = "internal";

/// What a token may do. `admin` may do everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Ingest,
    Query,
    Tail,
    #[serde(rename = "rules:write")]
    RulesWrite,
    Metrics,
    Admin,
}

impl Scope {
    pub const ALL: [Scope; 6] =
        [Scope::Ingest, Scope::Query, Scope::Tail, Scope::RulesWrite, Scope::Metrics, Scope::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Ingest => "ingest",
            Scope::Query => "query",
            Scope::Tail => "tail",
            Scope::RulesWrite => "rules:write",
            Scope::Metrics => "metrics",
            Scope::Admin => "admin",
        }
    }

    pub fn parse(name: &str) -> Option<Scope> {
        Scope::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    pub id: String,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub tenants: Vec<String>,
    /// RFC 3339.
    pub created: String,
    /// Hexadecimal SHA-256 of the secret.
    pub secret_sha256: String,
}

impl TokenRecord {
    /// A new token and its text.
    fn make(id: String, name: &str, scopes: &[Scope], created: String) -> Result<(TokenRecord, String), TokenError> {
        let mut random = [0u8; 32];
        getrandom::fill(&mut random).map_err(TokenError::Random)?;
        let secret = URL_SAFE_NO_PAD.encode(random);
        let text = format!("lw_{id}_{secret}");
        let record = TokenRecord {
            id,
            name: name.to_owned(),
            scopes: scopes.to_vec(),
            tenants: vec![crate::receive::DEFAULT_TENANT.to_owned()],
            created,
            secret_sha256: sha256_hex(secret.as_bytes()),
        };
        Ok((record, text))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("{path}: {source}")]
    Io { path: String, source: std::io::Error },
    #[error("{path} is not a token file: {source}")]
    Format { path: String, source: serde_json::Error },
    #[error("there are {TOKENS_MAX} tokens already: revoke one first")]
    TooMany,
    #[error("no token has the id '{0}': see logweir tokens list")]
    NotFound(String),
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
}

/// The token file of a data directory.
#[derive(Debug, Clone)]
pub struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    pub fn new(data_dir: &Path) -> TokenFile {
        TokenFile { path: data_dir.join("tokens.json") }
    }

    pub fn exists(&self) -> bool {
        self.path.is_file()
    }

    /// Makes it the file of another data directory.
    pub fn move_to(&self, data_dir: &Path) -> std::io::Result<()> {
        let there = TokenFile::new(data_dir).path;
        std::fs::rename(&self.path, &there)?;
        durable::sync_parent(&there)
    }

    pub fn read(&self) -> Result<Vec<TokenRecord>, TokenError> {
        match std::fs::read(&self.path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| TokenError::Format { path: self.path.display().to_string(), source }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(TokenError::Io { path: self.path.display().to_string(), source }),
        }
    }

    /// Makes a token and returns its text, which is not kept anywhere.
    pub fn create(&self, name: &str, scopes: &[Scope], created: String) -> Result<(TokenRecord, String), TokenError> {
        let mut all = self.read()?;
        if all.len() >= TOKENS_MAX {
            return Err(TokenError::TooMany);
        }
        let mut random = [0u8; 6];
        getrandom::fill(&mut random).map_err(TokenError::Random)?;
        let id = random.iter().map(|b| format!("{b:02x}")).collect();
        let (record, text) = TokenRecord::make(id, name, scopes, created)?;
        all.push(record.clone());
        self.write(&all)?;
        Ok((record, text))
    }

    pub fn revoke(&self, id: &str) -> Result<TokenRecord, TokenError> {
        let mut all = self.read()?;
        let at = all.iter().position(|token| token.id == id).ok_or_else(|| TokenError::NotFound(id.to_owned()))?;
        let gone = all.remove(at);
        self.write(&all)?;
        Ok(gone)
    }

    fn write(&self, all: &[TokenRecord]) -> Result<(), TokenError> {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
        let io = |source| TokenError::Io { path: self.path.display().to_string(), source };
        if let Some(dir) = self.path.parent() {
            durable::create_private_dir(dir).map_err(io)?;
        }
        let json = serde_json::to_vec_pretty(all)
            .map_err(|source| TokenError::Format { path: self.path.display().to_string(), source })?;
        durable::replace(&self.path, &json).map_err(io)?;
        std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(0o600)).map_err(io)?;
        // Root makes tokens for a server that runs as somebody else, who owns the directory and has to read them.
        let Some(dir) = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()) else { return Ok(()) };
        let (file, dir) = (std::fs::metadata(&self.path).map_err(io)?, std::fs::metadata(dir).map_err(io)?);
        if file.uid() == 0 && dir.uid() != 0 {
            chown(&self.path, Some(dir.uid()), Some(dir.gid())).map_err(io)?;
        }
        Ok(())
    }

    fn modified(&self) -> Option<SystemTime> {
        std::fs::metadata(&self.path).and_then(|meta| meta.modified()).ok()
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The token's id, or `local`.
    pub name: String,
    pub tenant: String,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// 401
    TokenMissing,
    TokenUnknown,
    /// 403
    ScopeMissing(Scope),
    ForeignHost,
    ForeignOrigin,
}

impl Denial {
    pub const fn is_unauthenticated(self) -> bool {
        matches!(self, Denial::TokenMissing | Denial::TokenUnknown)
    }

    pub fn message(self) -> String {
        match self {
            Denial::TokenMissing => {
                "a token is needed: send 'Authorization: Bearer …', make one with 'logweir tokens create'".to_owned()
            }
            Denial::TokenUnknown => "the token is not known or was revoked".to_owned(),
            Denial::ScopeMissing(scope) => format!("the token lacks the scope '{}'", scope.as_str()),
            Denial::ForeignHost => {
                "the Host header does not name this machine; without tokens only loopback names are served".to_owned()
            }
            Denial::ForeignOrigin => "requests from other web pages are not served without a token".to_owned(),
        }
    }
}

/// Answers for every request. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: TokenFile,
    loopback: bool,
    cache: Mutex<Cache>,
    internal: TokenRecord,
    internal_token: Secret,
}

#[derive(Debug, Default)]
struct Cache {
    modified: Option<SystemTime>,
    tokens: Vec<TokenRecord>,
}

impl Auth {
    pub fn new(file: TokenFile, loopback: bool) -> Result<Auth, TokenError> {
        let cache = Mutex::new(Cache { modified: file.modified(), tokens: file.read()? });
        let id = INTERNAL_ID.to_owned();
        let (internal, text) = TokenRecord::make(id, INTERNAL_ID, &[Scope::Ingest], String::new())?;
        Ok(Auth(Arc::new(Inner { file, loopback, cache, internal, internal_token: Secret::new(text) })))
    }

    /// For what runs in this process: it may ingest, and ends with the process.
    pub fn internal_token(&self) -> Secret {
        self.0.internal_token.clone()
    }

    pub fn has_tokens(&self) -> bool {
        !self.tokens().is_empty()
    }

    /// Decides whether the request with these headers may do what `scope` covers.
    pub fn allow(&self, headers: &HeaderMap, scope: Scope) -> Result<Principal, Denial> {
        let tokens = self.tokens();
        if tokens.is_empty() && self.0.loopback {
            return allow_local(headers);
        }
        let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let text = header.strip_prefix("Bearer ").or_else(|| header.strip_prefix("bearer "));
        let text = text.ok_or(Denial::TokenMissing)?.trim();
        let (id, secret) =
            text.strip_prefix("lw_").and_then(|rest| rest.split_once('_')).ok_or(Denial::TokenUnknown)?;
        let hash = sha256_hex(secret.as_bytes());
        let token = tokens
            .iter()
            .chain([&self.0.internal])
            .find(|token| token.id == id && constant_time_eq(token.secret_sha256.as_bytes(), hash.as_bytes()))
            .ok_or(Denial::TokenUnknown)?;
        if !token.scopes.contains(&scope) && !token.scopes.contains(&Scope::Admin) {
            return Err(Denial::ScopeMissing(scope));
        }
        let tenant = token.tenants.first().map_or(crate::receive::DEFAULT_TENANT, String::as_str).to_owned();
        Ok(Principal { name: token.id.clone(), tenant })
    }

    fn tokens(&self) -> Vec<TokenRecord> {
        let modified = self.0.file.modified();
        let mut cache = self.0.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.modified != modified {
            match self.0.file.read() {
                Ok(tokens) => *cache = Cache { modified, tokens },
                // A file that cannot be read must not open the door: what was known stays in force.
                Err(error) => tracing::error!(error = %error, "cannot read the tokens"),
            }
        }
        cache.tokens.clone()
    }
}

fn allow_local(headers: &HeaderMap) -> Result<Principal, Denial> {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    if !host.is_none_or(names_this_machine) {
        return Err(Denial::ForeignHost);
    }
    if let Some(origin) = headers.get(ORIGIN).and_then(|value| value.to_str().ok()) {
        let authority = origin.split_once("://").map_or("", |(_, rest)| rest);
        if !names_this_machine(authority) {
            return Err(Denial::ForeignOrigin);
        }
    }
    Ok(Principal { name: "local".to_owned(), tenant: crate::receive::DEFAULT_TENANT.to_owned() })
}

/// Whether an authority (`host[:port]`) is a loopback name or address.
fn names_this_machine(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(host, _)| host),
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    is_loopback_host(host)
}

fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header value"))
        });
        pairs.collect()
    }

    #[test]
    fn loopback_without_tokens_serves_this_machine_and_no_web_page() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let auth = Auth::new(TokenFile::new(dir.path()), true).expect("no file is no token");
        for host in ["127.0.0.1:7171", "localhost", "[::1]:7171", "LOCALHOST:1"] {
            assert!(auth.allow(&headers(&[("host", host)]), Scope::Query).is_ok(), "{host}");
        }
        let rebound = auth.allow(&headers(&[("host", "evil.example:7171")]), Scope::Query);
        assert_eq!(rebound, Err(Denial::ForeignHost));
        let foreign = headers(&[("host", "127.0.0.1:7171"), ("origin", "https://evil.example")]);
        assert_eq!(auth.allow(&foreign, Scope::Ingest), Err(Denial::ForeignOrigin));
        let own = headers(&[("host", "127.0.0.1:7171"), ("origin", "http://127.0.0.1:7171")]);
        assert!(auth.allow(&own, Scope::Ingest).is_ok());
    }

    #[test]
    fn from_the_first_token_on_a_token_is_needed_and_its_scope_holds() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = TokenFile::new(dir.path());
        let auth = Auth::new(file.clone(), true).expect("no file is no token");
        let (record, text) = file.create("web-1", &[Scope::Ingest], "2026-11-20T00:00:00Z".into()).expect("a token");
        let bearer = format!("Bearer {text}");
        assert_eq!(auth.allow(&headers(&[("host", "localhost")]), Scope::Query), Err(Denial::TokenMissing));
        let with = headers(&[("authorization", &bearer)]);
        assert_eq!(auth.allow(&with, Scope::Ingest).expect("its scope").name, record.id);
        assert_eq!(auth.allow(&with, Scope::Query), Err(Denial::ScopeMissing(Scope::Query)));
        let inside = headers(&[("authorization", &format!("Bearer {}", auth.internal_token().expose()))]);
        assert_eq!(auth.allow(&inside, Scope::Ingest).expect("made before there was a token").name, "internal");
        assert_eq!(auth.allow(&inside, Scope::Query), Err(Denial::ScopeMissing(Scope::Query)));
        let other = Auth::new(file, true).expect("another start");
        assert_eq!(other.allow(&inside, Scope::Ingest), Err(Denial::TokenUnknown), "it ends with the process");
        let wrong = headers(&[("authorization", &format!("Bearer lw_{}_wrong", record.id))]);
        assert_eq!(auth.allow(&wrong, Scope::Ingest), Err(Denial::TokenUnknown));
        assert!(!std::fs::read_to_string(dir.path().join("tokens.json")).expect("the file").contains(&text[10..]));
    }
}
