//! Syslog over UDP and TCP, on this host unless the configuration says otherwise.
//!
//! A datagram is a message. Over TCP each message is framed for itself (RFC 6587): a number and a space count its octets,
//! anything else ends at the next newline. Both take text of any shape: what it means is the server's to find out.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use logweir_runtime::drain::Drain;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_util::task::TaskTracker;

use super::{BATCH_BYTES_GOAL, BATCH_MESSAGES_MAX, Inbox};
use crate::config::Syslog;
use crate::decode::frames::Part;
use crate::error::{Error, Result};
use crate::spool::Message;

pub mod framing;

use framing::Framer;

/// Longest message; what is beyond becomes a message of its own.
pub const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Connections at once; further ones wait to be accepted.
pub const CONNECTIONS_MAX: usize = 256;
/// How long a datagram waits for room in the queue.
pub const DATAGRAM_PATIENCE: Duration = Duration::from_millis(200);
/// After a failed accept or read: descriptors may be short.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
const READ_BYTES: usize = 64 << 10;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Bound and not yet read.
#[derive(Debug)]
pub struct Sockets {
    udp: Option<UdpSocket>,
    tcp: Option<TcpListener>,
}

impl Sockets {
    pub async fn bind(settings: &Syslog) -> Result<Sockets> {
        let listen = |address| move |source| Error::Listen { address, source };
        for address in [settings.udp, settings.tcp].into_iter().flatten() {
            if !address.ip().is_loopback() {
                tracing::warn!(%address, "syslog from other hosts: who reaches this address can write logs");
            }
        }
        let udp = match settings.udp {
            Some(address) => Some(UdpSocket::bind(address).await.map_err(listen(address))?),
            None => None,
        };
        let tcp = match settings.tcp {
            Some(address) => Some(TcpListener::bind(address).await.map_err(listen(address))?),
            None => None,
        };
        Ok(Sockets { udp, tcp })
    }

    /// Where it listens, for the log and for tests that ask for any port.
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let udp = self.udp.as_ref().and_then(|socket| socket.local_addr().ok());
        (udp, self.tcp.as_ref().and_then(|listener| listener.local_addr().ok()))
    }

    pub(super) fn start(self, inbox: Inbox, drain: Drain) -> Vec<Task> {
        let (udp, tcp) = self.addresses();
        tracing::info!(?udp, ?tcp, "listening for syslog");
        let mut tasks: Vec<Task> = Vec::new();
        if let Some(socket) = self.udp {
            tasks.push(Box::pin(datagrams(socket, inbox.clone(), drain.clone())));
        }
        if let Some(listener) = self.tcp {
            tasks.push(Box::pin(accept(listener, inbox, drain)));
        }
        tasks
    }
}

async fn datagrams(socket: UdpSocket, inbox: Inbox, drain: Drain) {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let first = tokio::select! {
            () = drain.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        if let Err(error) = &first {
            tracing::warn!(error = %error, "cannot read a datagram");
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut next = first;
        // All that is there already goes to the disk with one sync.
        while let Ok((len, _)) = next {
            bytes += len;
            batch.extend(message(&buffer[..len], inbox.now_ns()));
            if bytes >= BATCH_BYTES_GOAL || batch.len() >= BATCH_MESSAGES_MAX {
                break;
            }
            next = socket.try_recv_from(&mut buffer);
        }
        if !batch.is_empty() {
            inbox.send_or_drop(batch, DATAGRAM_PATIENCE).await;
        }
    }
}

async fn accept(listener: TcpListener, inbox: Inbox, drain: Drain) {
    let connections = TaskTracker::new();
    let slots = std::sync::Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = async {
            let slot = std::sync::Arc::clone(&slots).acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = drain.cancelled() => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (inbox, drain) = (inbox.clone(), drain.clone());
                connections.spawn(async move {
                    connection(stream, peer, inbox, drain).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "cannot accept a syslog connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn connection(mut stream: TcpStream, peer: SocketAddr, inbox: Inbox, drain: Drain) {
    let mut framer = Framer::default();
    let mut block = vec![0; READ_BYTES];
    loop {
        let read = tokio::select! {
            () = drain.cancelled() => Ok(0),
            read = stream.read(&mut block) => read,
        };
        let n = match read {
            Ok(n) => n,
            Err(error) => {
                tracing::debug!(%peer, error = %error, "syslog connection lost");
                0
            }
        };
        framer.add(&block[..n]);
        let mut batch = Vec::new();
        while let Some(text) = framer.next(n == 0) {
            batch.extend(message(&text, inbox.now_ns()));
        }
        // Waiting here is what makes the sender wait.
        if !inbox.send(batch).await || n == 0 {
            return;
        }
    }
}

/// A message without the line end that its frame left; `None` for nothing.
fn message(text: &[u8], time_ns: i64) -> Option<Message> {
    let end = text.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0)).map_or(0, |at| at + 1);
    (end > 0).then(|| Message { time_ns, text: text[..end].to_vec(), part: Part::Whole })
}

#[cfg(test)]
mod tests;
