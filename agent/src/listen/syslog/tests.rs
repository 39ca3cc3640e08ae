use logweir_runtime::clock::Clock;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::*;
use crate::listen::State;

async fn listening() -> (SocketAddr, SocketAddr, mpsc::Receiver<Vec<Message>>, Drain, Vec<tokio::task::JoinHandle<()>>)
{
    let any = Some("127.0.0.1:0".parse().expect("an address"));
    let sockets = Sockets::bind(&Syslog { udp: any, tcp: any, service: None }).await.expect("free ports");
    let (udp, tcp) = sockets.addresses();
    let (sender, receiver) = mpsc::channel(8);
    let inbox = Inbox { name: "syslog", sender, clock: Clock::manual(7), state: std::sync::Arc::new(State::default()) };
    let drain = Drain::new();
    let tasks = sockets.start(inbox, drain.clone()).into_iter().map(tokio::spawn).collect();
    (udp.expect("bound"), tcp.expect("bound"), receiver, drain, tasks)
}

async fn collect(receiver: &mut mpsc::Receiver<Vec<Message>>, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let batch = receiver.recv().await.expect("the listener lives");
        texts.extend(batch.into_iter().map(|message| String::from_utf8_lossy(&message.text).into_owned()));
    }
    texts
}

#[tokio::test]
async fn datagrams_and_streams() {
    let (udp, tcp, mut receiver, drain, tasks) = listening().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    for text in [&b"<13>one\n"[..], b"", b"\0\n", b"<13>two lines\nin one\r\n"] {
        socket.send_to(text, udp).await.expect("sent");
    }
    assert_eq!(collect(&mut receiver, 2).await, ["<13>one", "<13>two lines\nin one"]);
    let mut stream = TcpStream::connect(tcp).await.expect("connected");
    stream.write_all(b"<13>line\n9 <13>a\nbc\n<13>without its end").await.expect("written");
    assert_eq!(collect(&mut receiver, 2).await, ["<13>line", "<13>a\nbc"]);
    drop(stream);
    assert_eq!(collect(&mut receiver, 1).await, ["<13>without its end"]);
    let open = TcpStream::connect(tcp).await.expect("connected");
    drain.cancel();
    for task in tasks {
        task.await.expect("it ends, whoever is connected");
    }
    drop(open);
}
