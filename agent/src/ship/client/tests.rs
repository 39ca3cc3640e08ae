//! Against servers that answer what a script says, byte for byte.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::Proxies;

const STORED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 43\r\n\r\n{\"accepted\":1,\"duplicate\":0,\"offsets\":{}}  ";

/// What the server does with one request.
#[derive(Debug, Clone, Copy)]
enum Step {
    Say(&'static str),
    /// Part of an answer, then the end of the connection.
    Cut(&'static str),
    /// Nothing at all.
    Silence,
}

struct Script {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    taken: Arc<AtomicUsize>,
}

/// Answers by the script; after its end every batch is stored.
async fn script(steps: &[Step]) -> Script {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let steps = Arc::new(Mutex::new(steps.iter().copied().collect::<VecDeque<_>>()));
    let (requests, taken) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicUsize>::default());
    let (log, count) = (Arc::clone(&requests), Arc::clone(&taken));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&steps), Arc::clone(&log), Arc::clone(&count)));
        }
    });
    Script { url, requests, taken }
}

async fn answer(
    mut stream: TcpStream,
    steps: Arc<Mutex<VecDeque<Step>>>,
    log: Arc<Mutex<Vec<String>>>,
    taken: Arc<AtomicUsize>,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        // Requests of the tests are small and come in one piece or two.
        let mut request = String::new();
        while !request.ends_with("the batch") {
            match stream.read(&mut buffer).await {
                Ok(read) if read > 0 => request.push_str(&String::from_utf8_lossy(&buffer[..read])),
                _ => return,
            }
        }
        log.lock().expect("no panic").push(request);
        taken.fetch_add(1, Ordering::SeqCst);
        let step = steps.lock().expect("no panic").pop_front().unwrap_or(Step::Say(STORED));
        match step {
            Step::Say(text) => stream.write_all(text.as_bytes()).await.expect("a client"),
            Step::Cut(text) => {
                stream.write_all(text.as_bytes()).await.expect("a client");
                return;
            }
            Step::Silence => std::future::pending().await,
        }
    }
}

fn config(urls: &[&Script]) -> Config {
    Config {
        server_url: urls.first().map(|script| script.url.clone()),
        server_fallbacks: urls[1..].iter().map(|script| script.url.clone()).collect(),
        proxies: Some(Proxies::default()),
        ..Config::new()
    }
}

async fn deliver(config: &Config, timeout: Duration) -> (Outcome, Status) {
    let status = Status::new();
    let client = Client::with_timeout(config, 7, status.clone(), timeout).expect("a client");
    (client.deliver(Bytes::from_static(b"the batch")).await, status)
}

#[tokio::test]
async fn the_same_batch_until_it_is_stored() {
    let server = script(&[
        Step::Say("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"),
        Step::Say("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"),
        Step::Cut("HTTP/1.1 200 OK\r\ncontent-length: 42\r\n\r\n{\"accepted\":1,"),
    ])
    .await;
    let (outcome, status) = deliver(&config(&[&server]), Duration::from_millis(300)).await;
    assert!(matches!(outcome, Outcome::Acked(answer) if answer.accepted == 1));
    assert_eq!(server.taken.load(Ordering::SeqCst), 4);
    assert!(status.parts().iter().all(|part| part.ok));
    let requests = server.requests.lock().expect("no panic");
    assert!(requests.iter().all(|request| request.starts_with("POST /api/v1/batches ")));
}

#[tokio::test]
async fn what_is_no_answer_is_no_ack() {
    let server = script(&[
        Step::Cut(""),
        Step::Cut("garbage that is no http\r\n\r\n"),
        Step::Silence,
        Step::Say("HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n"),
    ])
    .await;
    let (outcome, _) = deliver(&config(&[&server]), Duration::from_millis(300)).await;
    assert!(matches!(outcome, Outcome::Acked(answer) if answer.accepted == 1));
    assert_eq!(server.taken.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn retry_after_is_kept() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n";
    let server = script(&[Step::Say(busy)]).await;
    let begun = Instant::now();
    deliver(&config(&[&server]), TRY_TIMEOUT).await;
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_is_too_large_or_refused_comes_back_at_once() {
    let refusal = "HTTP/1.1 400 Bad Request\r\ncontent-length: 55\r\n\r\n{\"error\":{\"code\":\"bad_body\",\"message\":\"line 3 is bad\"}} ";
    let server =
        script(&[Step::Say("HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n"), Step::Say(refusal)]).await;
    let (outcome, _) = deliver(&config(&[&server]), TRY_TIMEOUT).await;
    assert!(matches!(outcome, Outcome::Split), "{outcome:?}");
    let (outcome, _) = deliver(&config(&[&server]), TRY_TIMEOUT).await;
    assert!(matches!(&outcome, Outcome::Refused(why) if why == "status 400: line 3 is bad"), "{outcome:?}");
}

#[tokio::test]
async fn a_refused_token_waits_and_says_so() {
    let refused = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
    let server = script(&[Step::Say(refused)]).await;
    let status = Status::new();
    let client = Client::new(&config(&[&server]), 7, status.clone()).expect("a client");
    let delivery = tokio::spawn(async move { client.deliver(Bytes::from_static(b"the batch")).await });
    while status.trouble() != Some(Why::TokenRefused) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // It is not asked again for a quarter of a minute.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(server.taken.load(Ordering::SeqCst), 1);
    delivery.abort();
}

#[tokio::test]
async fn another_server_takes_over() {
    let away = Script { url: "http://127.0.0.1:1".into(), requests: Arc::default(), taken: Arc::default() };
    let (busy, good) =
        (script(&[Step::Say("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")]).await, script(&[]).await);
    let client = Client::new(&config(&[&away, &busy, &good]), 7, Status::new()).expect("a client");
    client.route().servers.failed(Why::Unreachable, Instant::now() - super::super::servers::SWITCH_AFTER);
    assert!(matches!(client.deliver(Bytes::from_static(b"the batch")).await, Outcome::Acked(_)));
    assert_eq!((busy.taken.load(Ordering::SeqCst), good.taken.load(Ordering::SeqCst)), (1, 1));
    // It stays with the one that works.
    assert!(matches!(client.deliver(Bytes::from_static(b"the batch")).await, Outcome::Acked(_)));
    assert_eq!((busy.taken.load(Ordering::SeqCst), good.taken.load(Ordering::SeqCst)), (1, 2));
}

#[tokio::test]
async fn a_proxy_is_asked_for_what_is_not_excepted() {
    let proxy = script(&[]).await;
    let through = Config {
        server_url: Some("http://logs.example:7171".into()),
        proxies: Some(Proxies { http: Some(proxy.url.clone()), https: None, except: Some(".internal".into()) }),
        ..Config::new()
    };
    let (outcome, _) = deliver(&through, TRY_TIMEOUT).await;
    assert!(matches!(outcome, Outcome::Acked(_)));
    let head = proxy.requests.lock().expect("no panic")[0].clone();
    assert!(head.starts_with("POST http://logs.example:7171/api/v1/batches "), "{head}");
    // This machine itself is never asked for by a proxy.
    let server = script(&[]).await;
    let direct = Config { server_url: Some(server.url.clone()), ..through };
    assert!(matches!(deliver(&direct, TRY_TIMEOUT).await.0, Outcome::Acked(_)));
    assert_eq!((proxy.taken.load(Ordering::SeqCst), server.taken.load(Ordering::SeqCst)), (1, 1));
}
