//! The HTTP API as functions: requests out, typed frames and typed errors back.

mod lines;
pub mod sse;

use std::path::Path;

use futures_util::StreamExt;
use logweir_proto::api::{ErrorBody, ErrorCode, ErrorDetail, Frame, QueryRequest};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;

use crate::args::{self, ServerArgs};
use crate::error::{CliError, Result};
use crate::profile::{self, Target};
use lines::Lines;

/// A server that does not take the connection in this time is called unreachable.
const CONNECT_TIMEOUT_S: u64 = 10;
/// Between two pieces of an answer; a query sends progress far more often.
const READ_TIMEOUT_S: u64 = 330;
/// One JSON document: alerts, sources, fields.
const DOCUMENT_BYTES_MAX: usize = 64 << 20;
/// Of an error that is not ours (a proxy's page), this much is quoted.
const FOREIGN_ERROR_CHARS_MAX: usize = 200;

/// A server's address and the right to ask it.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
}

impl Client {
    pub fn new(args: &ServerArgs) -> Result<Client> {
        Client::to(&profile::target(args)?)
    }

    fn to(target: &Target) -> Result<Client> {
        let base = base_url(&target.url)?;
        // Our own TLS provider has to be in place before reqwest builds its connector.
        logweir_runtime::tls::install_provider();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("logweir/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(std::time::Duration::from_secs(CONNECT_TIMEOUT_S))
            .read_timeout(std::time::Duration::from_secs(READ_TIMEOUT_S))
            .redirect(reqwest::redirect::Policy::none())
            .default_headers(headers(target)?);
        if base.host_str().is_some_and(logweir_runtime::loopback::is_loopback_host) {
            builder = builder.no_proxy();
        }
        if let Some(path) = &target.ca_file {
            let pem = read(path)?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| CliError::Usage(format!("{}: {}", path.display(), chain(&error))))?;
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let http = builder.build().map_err(|error| CliError::Usage(format!("cannot use TLS: {}", chain(&error))))?;
        Ok(Client { http, base })
    }

    /// The address as it may be shown: without user and password.
    pub fn shown(&self) -> String {
        let mut url = self.base.clone();
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.as_str().trim_end_matches('/').to_owned()
    }

    /// Runs a query and hands over its frames as they come.
    pub async fn query(&self, request: &QueryRequest) -> Result<FrameStream> {
        let sent =
            self.request(Method::POST, "/api/v1/query", &[])?.header(ACCEPT, "application/x-ndjson").json(request);
        let response = self.send(sent).await.map_err(|error| about_query(error, &request.query))?;
        Ok(FrameStream { lines: Lines::new(response.bytes_stream().boxed()), rows: 0, ended: false })
    }

    /// One JSON document.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, parameters: &[(&str, &str)]) -> Result<T> {
        let response =
            self.send(self.request(Method::GET, path, parameters)?.header(ACCEPT, "application/json")).await?;
        self.document(response).await
    }

    /// One JSON document for another: asks for a change, or for an answer that takes words.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl serde::Serialize) -> Result<T> {
        let response = self.send(self.request(Method::POST, path, &[])?.json(body)).await?;
        self.document(response).await
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let response = self.send(self.request(Method::DELETE, path, &[])?).await?;
        self.document(response).await
    }

    /// One JSON document that also comes with 503: the health of a server that is not ready.
    pub async fn get_even_unready<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let request = self.request(Method::GET, path, &[])?.header(ACCEPT, "application/json");
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() || response.status().as_u16() == ErrorCode::Unavailable.status() {
            self.document(response).await
        } else {
            Err(self.refusal(response).await)
        }
    }

    fn request(&self, method: Method, path: &str, parameters: &[(&str, &str)]) -> Result<RequestBuilder> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| CliError::Usage(format!("not the address of a server: {}", self.base)))?
            .pop_if_empty()
            .extend(path.split('/').filter(|segment| !segment.is_empty()));
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        Ok(self.http.request(method, url))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response).await) }
    }

    async fn document<T: DeserializeOwned>(&self, response: Response) -> Result<T> {
        let body = self.body(response).await?;
        serde_json::from_slice(&body)
            .map_err(|error| CliError::Protocol { url: self.shown(), reason: error.to_string() })
    }

    async fn body(&self, response: Response) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        let mut stream = response.bytes_stream();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| self.unreachable(&error))?;
            if body.len() + chunk.len() > DOCUMENT_BYTES_MAX {
                let reason = format!("longer than {DOCUMENT_BYTES_MAX} bytes");
                return Err(CliError::Protocol { url: self.shown(), reason });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Reads why the server said no; what is not our JSON is somebody else's answer and is quoted.
    async fn refusal(&self, response: Response) -> CliError {
        let status = response.status().as_u16();
        let body = match self.body(response).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        if let Ok(ErrorBody { error: detail }) = serde_json::from_slice(&body) {
            return CliError::Refused { status, detail };
        }
        let text: String = String::from_utf8_lossy(&body).trim().chars().take(FOREIGN_ERROR_CHARS_MAX).collect();
        let reason = if text.is_empty() { format!("status {status}") } else { format!("status {status}: {text}") };
        CliError::Protocol { url: self.shown(), reason }
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        CliError::Unreachable { url: self.shown(), reason: chain(error) }
    }
}

/// A refusal whose place is known belongs to the query text, so that it can be underlined.
pub fn about_query(error: CliError, query: &str) -> CliError {
    match error {
        CliError::Refused { detail, .. } if detail.pos.is_some() || detail.code == ErrorCode::ParseError => {
            CliError::Query { query: query.to_owned(), detail: Box::new(detail) }
        }
        other => other,
    }
}

/// The frames of one answer, in order; ends after [`Frame::End`].
pub struct FrameStream {
    lines: Lines,
    rows: u64,
    ended: bool,
}

impl FrameStream {
    /// The next frame. A stream that stops before its `end` is an error: the answer is not whole.
    pub async fn next(&mut self) -> Option<Result<Frame>> {
        if self.ended {
            return None;
        }
        let step = match self.lines.next().await {
            Some(Ok(line)) => self.frame(&line),
            Some(Err(reason)) => Err(reason),
            None => Err("the connection was closed".to_owned()),
        };
        let rows = self.rows;
        self.ended = !matches!(step, Ok(Frame::Row { .. } | Frame::Meta { .. } | Frame::Progress { .. }));
        Some(step.map_err(|reason| CliError::BrokenOff { rows, reason }))
    }

    fn frame(&mut self, line: &[u8]) -> std::result::Result<Frame, String> {
        if let Ok(ErrorBody { error: ErrorDetail { message, .. } }) = serde_json::from_slice(line) {
            return Err(message);
        }
        let frame = serde_json::from_slice(line).map_err(|error| format!("not a frame: {error}"))?;
        self.rows += u64::from(matches!(frame, Frame::Row { .. }));
        Ok(frame)
    }
}

fn base_url(text: &str) -> Result<Url> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = Url::parse(&with_scheme).map_err(|error| CliError::Usage(format!("--url {text}: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(CliError::Usage(format!("--url {text}: it looks like http://127.0.0.1:7171")));
    }
    Ok(url)
}

fn headers(target: &Target) -> Result<HeaderMap> {
    let token = match &target.token_file {
        Some(path) => Some(String::from_utf8_lossy(&read(path)?).trim().to_owned()),
        None if !target.token_of_environment => None,
        None => args::token_from_environment().map(|token| token.to_string_lossy().trim().to_owned()),
    };
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| CliError::Usage("the token holds characters that no token has".to_owned()))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| CliError::Read { path: path.to_owned(), source })
}

/// The innermost cause says what happened (`connection refused`); the outer ones repeat the URL.
fn chain(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, shown) in [
            ("http://127.0.0.1:7171", "http://127.0.0.1:7171"),
            ("logs.example.net:7171/", "http://logs.example.net:7171"),
            ("https://u:p@logs.example.net/logweir/", "https://logs.example.net/logweir"),
        ] {
            let target = Target { url: text.to_owned(), ..Target::default() };
            assert_eq!(Client::to(&target).expect(text).shown(), shown);
        }
        for text in ["", "ftp://x", "http://"] {
            let target = Target { url: text.to_owned(), ..Target::default() };
            assert!(matches!(Client::to(&target), Err(CliError::Usage(_))), "{text:?}");
        }
    }

    #[test]
    fn a_path_below_a_prefix_keeps_the_prefix_and_escapes_values() {
        let target = Target { url: "http://h/logs/".to_owned(), ..Target::default() };
        let request = Client::to(&target).expect("built").request(Method::GET, "/api/v1/tail", &[("query", "a b&c")]);
        let url = request.expect("a request").build().expect("built").url().to_string();
        assert_eq!(url, "http://h/logs/api/v1/tail?query=a+b%26c");
    }
}
