//! An HTTP server over an axum router: plain or TLS, bounded connections, graceful end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::ConnectInfo;
use hyper::server::conn::http1;
#[cfg(feature = "http2")]
use hyper::server::conn::http2;
#[cfg(feature = "http2")]
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::drain::Drain;
use crate::tls::ServerTls;

/// Connections open at once; further ones wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 4096;
/// A client has this long to send the head of its request, and to finish a TLS handshake.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// An HTTP/2 client that is silent is asked this often whether it is still there.
#[cfg(feature = "http2")]
pub const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Requests that run when draining begins have this long to end.
pub const GRACE: Duration = Duration::from_secs(10);

/// Serves until `drain`, then lets running requests end.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    router: Router,
    drain: Drain,
) -> std::io::Result<()> {
    let Some(tls) = tls else { return serve_plain(listener, router, drain).await };
    let serve = move |stream, peer, watcher| {
        let (router, acceptor) = (router.clone(), TlsAcceptor::from(tls.current()));
        async move {
            match tokio::time::timeout(HEADER_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let version = Version::agreed(stream.get_ref().1.alpn_protocol());
                    connection(TokioIo::new(stream), version, peer, router, watcher).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, error = %error, "tls handshake failed"),
                Err(_) => tracing::debug!(%peer, "tls handshake timed out"),
            }
        }
    };
    accept(listener, drain, serve).await
}

/// The same without TLS: a program that serves nothing else holds none of it.
pub async fn serve_plain(listener: TcpListener, router: Router, drain: Drain) -> std::io::Result<()> {
    let serve =
        move |stream, peer, watcher| connection(TokioIo::new(stream), Version::Http1, peer, router.clone(), watcher);
    accept(listener, drain, serve).await
}

async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    drain: Drain,
    serve: impl Fn(TcpStream, SocketAddr, Watcher) -> F,
) -> std::io::Result<()> {
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { break };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: waiting is better than a busy loop or an end.
                    tracing::warn!(error = %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = drain.cancelled() => break,
        };
        let _ = stream.set_nodelay(true);
        let connection = serve(stream, peer, graceful.watcher());
        tokio::spawn(async move {
            let _slot = slot;
            connection.await;
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!(grace_s = GRACE.as_secs(), "requests were still running when the server ended");
    }
    Ok(())
}

/// What the client speaks, known before its first byte: HTTP/2 is agreed on within TLS or not at all. So the time for
/// the first request runs from the beginning, and silent connections give their place back.
enum Version {
    Http1,
    #[cfg(feature = "http2")]
    Http2,
}

impl Version {
    fn agreed(protocol: Option<&[u8]>) -> Version {
        match protocol {
            #[cfg(feature = "http2")]
            Some(b"h2") => Version::Http2,
            _ => Version::Http1,
        }
    }
}

async fn connection<S>(stream: TokioIo<S>, version: Version, peer: SocketAddr, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.map(axum::body::Body::new)
    });
    let service = TowerToHyperService::new(service);
    let ended = match version {
        Version::Http1 => {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
            watcher.watch(builder.serve_connection(stream, service)).await
        }
        #[cfg(feature = "http2")]
        Version::Http2 => {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(HEADER_TIMEOUT);
            watcher.watch(builder.serve_connection(stream, service)).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error = %error, "connection ended");
    }
}
