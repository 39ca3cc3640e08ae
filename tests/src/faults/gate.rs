//! A door between an agent and its server that cuts, lies, dawdles and refuses, as it is told.
//!
//! It works on the bytes of HTTP/1.1 with `Content-Length`, which is what an agent without TLS sends: so half an answer
//! is half an answer on the wire.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use logweir_proto::batch::Envelope;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// Larger messages do not come from an agent.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A batch with this word in it is refused by [`Mood::Poison`].
pub const POISON: &str = "poison";

/// What the door does with the batches that come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Pass,
    /// Nobody is there: connections break, new ones are closed at once.
    Closed,
    /// Batches go in and nothing comes back, as behind a firewall that drops packets.
    Hole,
    /// This status, with the page of another program.
    Foreign(u16),
    /// This status in Logweir's words, for every so many batches; the others pass.
    Every {
        status: u16,
        nth: u64,
    },
    /// 413 for larger bodies, as a proxy has it.
    Small {
        bytes_max: usize,
    },
    /// 200 and bytes that mean nothing.
    Garbage,
    /// The answer dawdles.
    Slow {
        millis: u64,
    },
    /// The batch is stored, and its answer breaks off in the middle.
    Half,
    /// Batches with [`POISON`] in them are refused in Logweir's words, always.
    Poison,
}

/// The door; it closes when dropped.
#[derive(Debug)]
pub struct Gate {
    url: String,
    mood: watch::Sender<Mood>,
    task: tokio::task::JoinHandle<()>,
}

impl Gate {
    /// In front of a server with this URL, which may come and go.
    pub async fn open(server: &str) -> anyhow::Result<Gate> {
        let to: SocketAddr = server.trim_start_matches("http://").parse().context("address of the server")?;
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port")?;
        let url = format!("http://{}", listener.local_addr()?);
        let (mood, moods) = watch::channel(Mood::Pass);
        let count = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mut closed, count) = (moods.clone(), Arc::clone(&count));
                let connection = connection(client, to, moods.clone(), count);
                tokio::spawn(async move {
                    tokio::select! {
                        _ = connection => {}
                        _ = closed.wait_for(|mood| *mood == Mood::Closed) => {}
                    }
                });
            }
        });
        Ok(Gate { url, mood, task })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// In this mood for a time, then passing again.
    pub async fn spell(&self, mood: Mood, time: Duration) {
        self.set(mood);
        sleep(time).await;
        self.set(Mood::Pass);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Until it breaks; what breaks a connection is no news here.
async fn connection(
    mut client: TcpStream,
    to: SocketAddr,
    mut moods: watch::Receiver<Mood>,
    count: Arc<AtomicU64>,
) -> io::Result<()> {
    loop {
        let request = read_message(&mut client).await?;
        let number = count.fetch_add(1, Ordering::Relaxed);
        let mood = *moods.borrow();
        match mood {
            Mood::Closed => return Ok(()),
            Mood::Hole => {
                let _ = moods.wait_for(|mood| *mood != Mood::Hole).await;
                return Ok(());
            }
            Mood::Foreign(status) => client.write_all(&answer(status, "<html>no</html>")).await?,
            Mood::Every { status, nth } if number.is_multiple_of(nth) => client.write_all(&refusal(status)).await?,
            Mood::Small { bytes_max } if request.body().len() > bytes_max => {
                client.write_all(&answer(413, "<html>too large</html>")).await?;
            }
            Mood::Garbage => client.write_all(&answer(200, "\0\u{1}{]garbage")).await?,
            Mood::Poison if is_poisoned(request.body()) => client.write_all(&refusal(400)).await?,
            Mood::Slow { millis } => {
                let response = pass(to, &request).await?;
                sleep(Duration::from_millis(millis)).await;
                client.write_all(&response).await?;
            }
            Mood::Half => {
                let response = pass(to, &request).await?;
                return client.write_all(&response[..response.len() / 2]).await;
            }
            Mood::Pass | Mood::Every { .. } | Mood::Small { .. } | Mood::Poison => {
                client.write_all(&pass(to, &request).await?).await?;
            }
        }
    }
}

async fn pass(to: SocketAddr, request: &Message) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(to).await?;
    server.write_all(&request.bytes).await?;
    Ok(read_message(&mut server).await?.bytes)
}

/// A head, its blank line and the body.
struct Message {
    bytes: Vec<u8>,
    head_bytes: usize,
}

impl Message {
    fn body(&self) -> &[u8] {
        &self.bytes[self.head_bytes..]
    }
}

async fn read_message(stream: &mut TcpStream) -> io::Result<Message> {
    let mut bytes = Vec::new();
    let head_bytes = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        read_more(stream, &mut bytes).await?;
    };
    let head = String::from_utf8_lossy(&bytes[..head_bytes]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let total = head_bytes.saturating_add(length.unwrap_or(0));
    while bytes.len() < total {
        read_more(stream, &mut bytes).await?;
    }
    Ok(Message { bytes, head_bytes })
}

async fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    bytes.reserve(64 << 10);
    match stream.read_buf(bytes).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn is_poisoned(body: &[u8]) -> bool {
    let Ok(envelope) = Envelope::parse(body) else { return false };
    let mut found = false;
    let Ok(body) = envelope.decompress() else { return false };
    let look = |_, record: logweir_proto::batch::RecordRef<'_>| {
        found |= record.text.windows(POISON.len()).any(|part| part == POISON.as_bytes());
    };
    body.for_each(&envelope.header, look).is_ok() && found
}

fn refusal(status: u16) -> Vec<u8> {
    answer(status, r#"{"error":{"code":"bad_request","message":"refused by the drill"}}"#)
}

fn answer(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} Drill\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
