//! Stand-ins that check what each service documents, with hostile text in every field.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::message::{Links, Message};
use super::policy::Outcome;
use super::{alertmanager, discord, pagerduty, sender, sms, teams, telegram};
use crate::fixture::{S, StandIn, T0, episode, hostile_message, message, poster, secret};
use crate::route::channel::{
    Alertmanager, Discord, Kind, PagerDuty, Slack, SlackAccess, SlackBot, Sms, Teams, Telegram, Webhook,
};
use crate::state::{Episode, RowKind};

mod anything;

const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";

fn chars(value: &Value) -> usize {
    value.as_str().expect("a text").chars().count()
}

fn strings<'a>(value: &'a Value, out: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => out.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, out)),
        Value::Object(map) => map.values().for_each(|item| strings(item, out)),
        _ => {}
    }
}

fn no_mention(body: &Value) {
    let mut texts = Vec::new();
    strings(body, &mut texts);
    for text in texts {
        let lower = text.to_lowercase();
        for word in ["@here", "@everyone", "@channel"] {
            assert!(!lower.contains(word), "a mention in {text}");
        }
        assert!(!text.contains(['\u{202e}', '\u{0}']), "a control character in {text:?}");
    }
}

fn pagerduty_channel(url: &str) -> PagerDuty {
    PagerDuty {
        routing_key: secret(ROUTING_KEY),
        url: url.to_owned(),
        severities: ["info", "warning", "critical"].map(str::to_owned),
        webhook_secret: None,
    }
}

/// Events API v2, as documented.
fn check_pagerduty(body: &Value) {
    assert!(body.to_string().len() <= pagerduty::BODY_BYTES_MAX);
    let fields = ["routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"];
    assert!(body.as_object().expect("a mapping").keys().all(|key| fields.contains(&key.as_str())), "{body}");
    assert_eq!(chars(&body["routing_key"]), 32);
    assert!((1..=255).contains(&chars(&body["dedup_key"])));
    let action = body["event_action"].as_str().expect("an action");
    assert!(["trigger", "acknowledge", "resolve"].contains(&action));
    if action != "trigger" {
        return;
    }
    let payload = &body["payload"];
    let known = ["summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"];
    assert!(payload.as_object().expect("a mapping").keys().all(|key| known.contains(&key.as_str())));
    assert!((1..=1_024).contains(&chars(&payload["summary"])) && chars(&payload["source"]) >= 1);
    assert!(["critical", "error", "warning", "info"].contains(&payload["severity"].as_str().expect("a severity")));
    payload["timestamp"].as_str().expect("a time").parse::<jiff::Timestamp>().expect("ISO 8601");
    for link in body["links"].as_array().expect("links") {
        assert!(link["href"].as_str().expect("a link").starts_with("http") && chars(&link["text"]) > 0);
    }
}

/// Adaptive Cards as a workflow takes them.
fn check_teams(body: &Value) {
    assert!(body.to_string().len() <= teams::BODY_BYTES_MAX);
    assert_eq!(body["type"], "message");
    let attachments = body["attachments"].as_array().expect("attachments");
    assert_eq!(
        (attachments.len(), &attachments[0]["contentType"]),
        (1, &json!("application/vnd.microsoft.card.adaptive"))
    );
    let card = &attachments[0]["content"];
    assert_eq!((&card["type"], &card["version"]), (&json!("AdaptiveCard"), &json!("1.4")));
    let colors = ["default", "dark", "light", "accent", "good", "warning", "attention"];
    for block in card["body"].as_array().expect("a body") {
        match block["type"].as_str().expect("a type") {
            "RichTextBlock" => {
                for run in block["inlines"].as_array().expect("runs") {
                    assert_eq!(run["type"], "TextRun");
                    assert!(run["color"].as_str().is_none_or(|color| colors.contains(&color)));
                }
            }
            "Image" => assert!(block["url"].is_string()),
            other => panic!("{other} would read markdown"),
        }
    }
    let actions = card["actions"].as_array().expect("actions");
    assert!(actions.iter().all(|action| action["type"] == "Action.OpenUrl" && action["url"].is_string()));
    no_mention(body);
}

fn check_discord(body: &Value) {
    assert!((1..=discord::CONTENT_CHARS_MAX).contains(&chars(&body["content"])));
    assert_eq!(body["allowed_mentions"]["parse"], json!([]));
    let embeds = body["embeds"].as_array().expect("embeds");
    assert!(embeds.len() <= discord::EMBEDS_MAX);
    let mut total = 0;
    for embed in embeds {
        let (title, text) = (chars(&embed["title"]), chars(&embed["description"]));
        assert!(title <= discord::TITLE_CHARS_MAX && (1..=discord::DESCRIPTION_CHARS_MAX).contains(&text));
        let fences = embed["description"].as_str().expect("a text").matches("```").count();
        assert!(fences % 2 == 0, "an open code block");
        total += title + text;
    }
    assert!(total <= discord::TOTAL_CHARS_MAX, "{total}");
    no_mention(body);
    let mut texts = Vec::new();
    strings(body, &mut texts);
    for (text, _) in texts.iter().flat_map(|text| text.match_indices("<@").map(move |(at, _)| (text, at))) {
        assert!(text.contains("\\<"), "a mention in {text}");
    }
}

/// Telegram reads a few tags and refuses a message with any other, or with one left open.
fn check_telegram(body: &Value) {
    let text = body["text"].as_str().expect("a text");
    assert!((1..=telegram::TEXT_UNITS_MAX).contains(&text.encode_utf16().count()));
    assert_eq!(body["parse_mode"], "HTML");
    let mut open: Vec<&str> = Vec::new();
    for tag in text.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None => open.push(tag.split(' ').next().expect("a name")),
        }
    }
    assert!(open.is_empty(), "{open:?} left open in {text}");
    let known = ["&lt;", "&gt;", "&amp;", "&quot;", "&#39;"];
    assert!(text.match_indices('&').all(|(i, _)| known.iter().any(|escape| text[i..].starts_with(escape))));
}

fn check_alertmanager(body: &Value) {
    for alert in body.as_array().expect("a list") {
        for (name, value) in alert["labels"].as_object().expect("labels") {
            let good = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            assert!(good && !name.starts_with(|c: char| c.is_ascii_digit()) && chars(value) > 0, "{name}");
        }
        let time = |name: &str| alert[name].as_str().expect("a time").parse::<jiff::Timestamp>().expect("RFC 3339");
        assert!(time("startsAt") <= time("endsAt"));
    }
}

fn telegram_channel(api_url: String) -> Telegram {
    Telegram { token: secret("1:hush"), chat: "-100".into(), api_url }
}

fn sms_channel(api_url: String) -> Sms {
    let (account, from, to) = ("AC1".into(), "+15005550006".into(), vec!["+4930123456".into()]);
    Sms { account, token: secret("hush"), from, to, api_url }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_text_breaks_what_a_channel_documents(message in hostile_message(), kind in 0..4usize) {
        let kind = [RowKind::Alert, RowKind::Digest, RowKind::Storm, RowKind::Escalation][kind];
        let message = Message { kind, ..message };
        check_pagerduty(&pagerduty::payload(&pagerduty_channel("https://x/"), ROUTING_KEY, &message));
        check_teams(&teams::payload(&message));
        check_discord(&discord::payload(&message));
        check_telegram(&telegram::payload(&telegram_channel(String::new()), &message));
        check_alertmanager(&alertmanager::payload(&message));
        let text = sms::text(&message);
        prop_assert!((1..=sms::BODY_CHARS_MAX).contains(&text.chars().count()));
        let form = sms::body(&sms_channel(String::new()), "+1", &message);
        prop_assert!(form.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~%&=".contains(&b)));
        prop_assert_eq!(form.matches('&').count(), 2);
    }
}

fn over(mut alert: Episode) -> Episode {
    alert.closed_at = Some(T0 + S);
    alert
}

#[tokio::test]
async fn an_incident_has_one_key_from_trigger_over_acknowledge_to_resolve() {
    let mut stand_in = StandIn::start(|number, received, _| {
        check_pagerduty(&received.body);
        if number == 1 { (429, vec![], "{}".into()) } else { (202, vec![], r#"{"status":"success"}"#.into()) }
    })
    .await;
    let channel = pagerduty_channel(&format!("http://{}/v2/enqueue", stand_in.address));
    let poster = poster();
    let links = Links { ack: "https://logs.example/act/x".into(), ..Links::default() };
    let firing = Message { links, ..message(vec![episode("e1")]) };
    let busy = pagerduty::send(&channel, &poster, &firing).await;
    assert!(matches!(busy, Outcome::Status { code: 429, .. }), "{busy:?}");
    let acked = Message { kind: RowKind::Ack, ..firing.clone() };
    for message in [&firing, &acked, &message(vec![over(episode("e1"))])] {
        assert!(matches!(pagerduty::send(&channel, &poster, message).await, Outcome::Status { code: 202, .. }));
    }
    let mut seen = Vec::new();
    for _ in 0..4 {
        let body = stand_in.received.recv().await.expect("it came").body;
        assert_eq!(body["dedup_key"], "lw-abc-1");
        seen.push(body["event_action"].as_str().expect("an action").to_owned());
    }
    assert_eq!(seen, ["trigger", "trigger", "acknowledge", "resolve"]);
}

#[test]
fn what_pagerduty_sends_back_is_checked() {
    let key = logweir_runtime::secrets::Secret::new("s3cret");
    let body = br#"{"event":{"event_type":"incident.acknowledged","agent":{"summary":"Ann"},"data":{"incident_key":"lw-abc-1"}}}"#;
    assert!(!pagerduty::verify(&key, "v1=7d2a9ff3a3f1c0d2", body), "a wrong signature");
    let ours = {
        use hmac::Mac;
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"s3cret").expect("any key");
        mac.update(body);
        super::slack::interact::hex(&mac.finalize().into_bytes())
    };
    assert!(pagerduty::verify(&key, &format!("v1={ours}"), body));
    assert!(pagerduty::verify(&key, &format!("v1=00,v1={ours}"), body), "one of several is enough");
    assert!(!pagerduty::verify(&key, &format!("v1={ours}"), b"{}"));
    let event = pagerduty::acknowledged(body).expect("an acknowledgement");
    assert_eq!((event.thread.as_str(), event.by.as_str()), ("abc-1", "Ann (PagerDuty)"));
    for other in [&b"{}"[..], b"\xff", br#"{"event":{"event_type":"incident.resolved"}}"#] {
        assert_eq!(pagerduty::acknowledged(other), None);
    }
}

#[tokio::test]
async fn the_other_programs_are_spoken_to_as_they_document() {
    let mut stand_in = StandIn::start(|number, received, raw| match received.path.as_str() {
        "/teams" => {
            check_teams(&received.body);
            (202, vec![], String::new())
        }
        "/discord" => {
            check_discord(&received.body);
            (204, vec![], String::new())
        }
        "/bot1:hush/sendMessage" if number == 3 => {
            (429, vec![], r#"{"ok":false,"parameters":{"retry_after":9}}"#.into())
        }
        "/bot1:hush/sendMessage" => {
            check_telegram(&received.body);
            (200, vec![], r#"{"ok":true}"#.into())
        }
        "/2010-04-01/Accounts/AC1/Messages.json" => {
            assert_eq!(received.headers["authorization"], "Basic QUMxOmh1c2g=");
            assert!(raw.starts_with(b"To=%2B4930123456&From=%2B15005550006&Body="));
            (201, vec![], "{}".into())
        }
        other => panic!("{other}"),
    })
    .await;
    let (poster, message) = (poster(), message(vec![episode("e1")]));
    let base = format!("http://{}", stand_in.address);
    let outcome = teams::send(&Teams { url: secret(format!("{base}/teams")) }, &poster, &message).await;
    assert!(matches!(outcome, Outcome::Status { code: 202, .. }), "{outcome:?}");
    let outcome = discord::send(&Discord { url: secret(format!("{base}/discord")) }, &poster, &message).await;
    assert!(matches!(outcome, Outcome::Status { code: 204, .. }), "{outcome:?}");
    let busy = telegram::send(&telegram_channel(base.clone()), &poster, &message).await;
    assert!(matches!(busy, Outcome::Status { code: 429, retry_after_ns: Some(9_000_000_000), .. }), "{busy:?}");
    let outcome = telegram::send(&telegram_channel(base.clone()), &poster, &message).await;
    assert!(matches!(outcome, Outcome::Status { code: 200, .. }), "{outcome:?}");
    let outcome = sms::send(&sms_channel(base), &poster, &message).await;
    assert!(matches!(outcome, Outcome::Status { code: 201, .. }), "{outcome:?}");
    for _ in 0..5 {
        assert!(stand_in.received.recv().await.is_some());
    }
}

/// The whole request as the answer: some servers do that with what they do not understand.
#[tokio::test]
async fn a_channel_whose_server_repeats_everything_shows_no_secret() {
    const SECRET: &str = "SECRETSECRETSECRETSECRETSECRETSE";
    for status in [404, 500] {
        let stand_in = StandIn::start(move |_, received, body| {
            let headers: Vec<String> = received.headers.iter().map(|(k, v)| format!("{k}: {v:?}")).collect();
            let at = received.path.find(SECRET).map_or(0, |at| at.saturating_sub(5));
            // What is shown of an answer begins with its end, too, in one of them.
            let filler = if status == 404 { String::new() } else { "x".repeat(160) };
            let text = format!("{filler}{} {} {headers:?}", &received.path[at..], String::from_utf8_lossy(body));
            (status, vec![], text)
        })
        .await;
        let base = format!("http://{}", stand_in.address);
        let url = || secret(format!("{base}/services/T0/{SECRET}"));
        let bot = SlackBot {
            token: secret(SECRET),
            channel: "C01".to_owned(),
            api_url: base.clone(),
            thread: true,
            signing_secret: Some(secret(SECRET)),
        };
        let webhook = Webhook {
            url: url(),
            secrets: vec![secret(format!("whsec_{SECRET}"))],
            bearer: Some(secret(SECRET)),
            headers: Vec::new(),
            payload: None,
        };
        let kinds = [
            Kind::Webhook(webhook),
            Kind::Slack(Slack { access: SlackAccess::Webhook(url()), buttons: true }),
            Kind::Slack(Slack { access: SlackAccess::Bot(bot), buttons: true }),
            Kind::PagerDuty(PagerDuty {
                routing_key: secret(SECRET),
                ..pagerduty_channel(&format!("{base}/v2/enqueue"))
            }),
            Kind::Alertmanager(Alertmanager { url: url(), bearer: Some(secret(SECRET)) }),
            Kind::Teams(Teams { url: url() }),
            Kind::Discord(Discord { url: url() }),
            Kind::Telegram(Telegram { token: secret(SECRET), ..telegram_channel(base.clone()) }),
            Kind::Sms(Sms { token: secret(SECRET), ..sms_channel(base.clone()) }),
        ];
        for kind in kinds {
            let sent = sender::dispatch(&kind, &poster(), &message(vec![episode("01E")])).await;
            let text = format!("{} {:?}", sent.outcome, sent.outcome);
            assert!(text.contains(&status.to_string()), "{text}");
            assert!(!text.contains("SECRETSE"), "{kind:?}: {text}");
            // Nor does a channel tell it when it is printed.
            assert!(!format!("{kind:?}").contains("SECRETSE"), "{kind:?}");
        }
    }
}
