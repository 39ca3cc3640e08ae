//! What several tests need: a scripted log store, and receivers that check what they are sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use logweir_rules::condition::Values;
use logweir_rules::model::{Labels, Severity};
use logweir_runtime::secrets::Secret;
use proptest::prelude::{Just, Strategy, prop_oneof};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::notify::http::Poster;
use crate::notify::message::{Links, Message};
use crate::route::channel::{NetRules, SecretSource};
use crate::source::{Answer, HostMark, QueryError, QuerySource};
use crate::state::{Episode, Extra, RowKind, Sample};

pub(crate) const S: i64 = 1_000_000_000;
/// A round time to begin at.
pub(crate) const T0: i64 = 1_790_000_000 * S;

pub(crate) fn answer(rows: Value) -> Result<Answer, QueryError> {
    let rows = serde_json::from_value(rows).expect("rows");
    Ok(Answer { rows, complete: true, reason: None })
}

type Script = Box<dyn FnMut(&str, i64, i64) -> Result<Answer, QueryError> + Send>;

/// Answers as a closure says.
pub(crate) struct ScriptedSource(Mutex<Script>);

impl ScriptedSource {
    pub(crate) fn new(
        script: impl FnMut(&str, i64, i64) -> Result<Answer, QueryError> + Send + 'static,
    ) -> Arc<ScriptedSource> {
        Arc::new(ScriptedSource(Mutex::new(Box::new(script))))
    }
}

impl QuerySource for ScriptedSource {
    fn query<'a>(
        &'a self,
        query: &'a str,
        from_ns: i64,
        to_ns: i64,
        _limit: usize,
    ) -> BoxFuture<'a, Result<Answer, QueryError>> {
        logweir_proto::query::parse::parse(query).unwrap_or_else(|e| panic!("{query}: {e:?}"));
        let answer = (self.0.lock().expect("not poisoned"))(query, from_ns, to_ns);
        Box::pin(async move { answer })
    }
}

/// Hosts that a test moves; it has no lines.
#[derive(Default)]
pub(crate) struct Watched(Mutex<Vec<HostMark>>);

impl Watched {
    pub(crate) fn new() -> Arc<Watched> {
        Arc::default()
    }

    pub(crate) fn set(&self, marks: Vec<HostMark>) {
        *self.0.lock().expect("not poisoned") = marks;
    }
}

impl QuerySource for Watched {
    fn hosts(&self) -> Vec<HostMark> {
        self.0.lock().expect("not poisoned").clone()
    }

    fn query<'a>(&'a self, _: &'a str, _: i64, _: i64, _: usize) -> BoxFuture<'a, Result<Answer, QueryError>> {
        Box::pin(async { answer(json!([])) })
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// What a receiver answers: status, headers, body.
pub(crate) type Reply = (u16, Vec<(&'static str, String)>, String);
type Judge = Arc<dyn Fn(usize, &Received, &[u8]) -> Reply + Send + Sync>;

/// A receiver on loopback. `judge` sees every request and decides the answer.
pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    pub(crate) received: mpsc::Receiver<Received>,
}

#[derive(Clone)]
struct Shared {
    judge: Judge,
    count: Arc<Mutex<usize>>,
    sender: mpsc::Sender<Received>,
}

impl StandIn {
    pub(crate) async fn start(judge: impl Fn(usize, &Received, &[u8]) -> Reply + Send + Sync + 'static) -> StandIn {
        let (sender, received) = mpsc::channel(100);
        let shared = Shared { judge: Arc::new(judge), count: Arc::default(), sender };
        let router = Router::new().fallback(take).with_state(shared);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(async move { axum::serve(listener, router).await });
        StandIn { address, received }
    }
}

async fn take(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let received =
        Received { path: uri.path().to_owned(), headers, body: serde_json::from_slice(&body).unwrap_or(json!(null)) };
    let number = {
        let mut count = shared.count.lock().expect("not poisoned");
        *count += 1;
        *count
    };
    let (status, headers, text) = (shared.judge)(number, &received, &body);
    shared.sender.send(received).await.expect("the test listens");
    let mut response = (StatusCode::from_u16(status).expect("a status"), text).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response
}

/// What Slack documents of a message, checked strictly.
pub(crate) fn check_slack(body: &Value) {
    let text = body["text"].as_str().expect("a fallback text");
    assert!(!text.is_empty() && text.chars().count() <= 40_000);
    let attachments = body["attachments"].as_array().expect("attachments");
    assert_eq!(attachments.len(), 1);
    let blocks = attachments[0]["blocks"].as_array().expect("blocks");
    assert!((1..=50).contains(&blocks.len()), "{} blocks", blocks.len());
    let mut total = 0;
    let mut texts = vec![(text.to_owned(), true)];
    let mut count = |value: &Value, max: usize, markup: bool| {
        let text = value["text"].as_str().expect("a text").to_owned();
        let length = text.chars().count();
        assert!((1..=max).contains(&length), "{length} of {max}: {text}");
        total += length;
        texts.push((text, markup));
    };
    for block in blocks {
        match block["type"].as_str().expect("a type") {
            "header" => {
                assert_eq!(block["text"]["type"], "plain_text");
                count(&block["text"], 150, false);
            }
            "section" => count(&block["text"], 3_000, true),
            "context" => {
                let elements = block["elements"].as_array().expect("elements");
                assert!(elements.len() <= 10);
                elements.iter().for_each(|element| count(element, 2_000, true));
            }
            "actions" => {
                let elements = block["elements"].as_array().expect("elements");
                assert!(elements.len() <= 25);
                for element in elements {
                    match element["url"].as_str() {
                        Some(url) => assert!(url.len() <= 3_000),
                        None => {
                            assert!(element["action_id"].as_str().expect("an action").len() <= 255);
                            assert!(element["value"].as_str().expect("a value").len() <= 2_000);
                        }
                    }
                    count(&element["text"], 75, false);
                }
            }
            other => panic!("unknown block {other}"),
        }
    }
    assert!(total <= 12_000, "{total} characters of blocks");
    for (text, markup) in texts {
        if markup {
            let mut rest = text.as_str();
            while let Some(i) = rest.find(['<', '>', '&']) {
                let good = ["&amp;", "&lt;", "&gt;"].iter().any(|escape| rest[i..].starts_with(escape));
                assert!(good, "markup that is not escaped: {text}");
                rest = &rest[i + 1..];
            }
            assert!(text.matches("```").count() % 2 == 0, "an open code block: {text}");
        }
        for word in ["@channel", "@here", "@everyone"] {
            assert!(!text.to_lowercase().contains(word), "a mention: {text}");
        }
    }
}

pub(crate) fn poster() -> Poster {
    let net = NetRules { allow_private: vec!["127.0.0.1".parse().expect("an address")], insecure_http: true };
    Poster::new(net)
}

pub(crate) fn secret(text: impl Into<String>) -> SecretSource {
    SecretSource::Known(Secret::new(text))
}

/// A message that is ten minutes late.
pub(crate) fn message(alerts: Vec<Episode>) -> Message {
    Message {
        id: "msg_1".into(),
        receiver: "ops".into(),
        group_key: "abc".into(),
        group_labels: Labels::new(),
        alerts,
        external_url: "http://logs.example".into(),
        late_ns: Some(600 * S),
        kind: RowKind::Alert,
        thread: "abc-1".into(),
        place: None,
        doubtful: false,
        links: Links { lines: "http://logs.example/?q=x".into(), ..Links::default() },
        digest_by: vec![],
        repeat_ns: 4 * 3600 * S,
        now_wall: T0,
    }
}

/// Texts that try to break out of every format.
pub(crate) fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<!channel>".to_owned()),
        Just("@here ".to_owned()),
        Just("@Everyone".to_owned()),
        Just("```".to_owned()),
        Just("&<>\"'".to_owned()),
        Just("\u{202e}\u{0}\r\nBcc: a@b.example\r\n\r\n".to_owned()),
        Just("</td><script>[x](http://evil.example)".to_owned()),
        Just("{{ 7*7 }}{% for %}".to_owned()),
        Just("&".repeat(700)),
        Just("x".repeat(5000)),
        "\\PC{0,30}",
    ];
    proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

/// A message all of whose texts are hostile.
pub(crate) fn hostile_message() -> impl Strategy<Value = Message> {
    let texts = proptest::collection::vec(hostile(), 9);
    (texts, 1usize..40, 0usize..12, 0usize..40).prop_map(|(texts, count, samples, resolved)| {
        let alerts = (0..count).map(|i| {
            let mut alert = episode(&format!("e{i}"));
            alert.rule = texts[0].clone();
            alert.summary = texts[1].clone();
            alert.reason = texts[2].clone();
            alert.annotations.insert(texts[3].clone(), texts[4].clone());
            alert.link = format!("http://logs.example/{}", texts[5]);
            alert.rule_at = texts[7].clone();
            alert.labels.insert("host".into(), texts[8].clone());
            alert.extra.top.insert(texts[2].clone(), vec![(texts[8].clone(), 3)]);
            let sample = |n: usize| Sample { id: n.to_string(), time: String::new(), line: texts[6].clone() };
            alert.samples = (0..samples).map(sample).collect();
            alert.closed_at = (i < resolved).then_some(T0);
            alert
        });
        let mut message = message(alerts.collect());
        message.group_labels.insert("host".into(), texts[8].clone());
        message
    })
}

pub(crate) fn episode(id: &str) -> Episode {
    Episode {
        id: id.to_owned(),
        rule: "Errors".into(),
        group: "g".into(),
        rule_at: "rules/r.yaml:8".into(),
        labels: Labels::from([("alertname".into(), "Errors".into()), ("host".into(), "a".into())]),
        instance: Labels::from([("host".into(), "a".into())]),
        severity: Severity::Warning,
        peak: Severity::Critical,
        opened_at: T0,
        closed_at: None,
        closed_wall: None,
        reason: "errors >= 3 has held for 20s".into(),
        close_reason: None,
        values: Values::from([("errors".into(), 7.0), ("ratio".into(), 0.25)]),
        first_values: Values::from([("errors".into(), 3.0)]),
        summary: "7 errors on a".into(),
        annotations: Labels::from([("action".into(), "restart a".into())]),
        query: "(level>=error) host=\"a\"".into(),
        link: "http://logs.example/?q=x".into(),
        samples: vec![Sample { id: "01".into(), time: "2026-09-21T00:00:00Z".into(), line: "boom".into() }],
        groups: Vec::new(),
        extra: Extra::default(),
    }
}
