//! Any bytes of a log, in any template of a rule, to every channel there is.

use logweir_proto::yaml::At;
use logweir_rules::condition::Values;
use logweir_rules::model::{Labels, Severity, Template};

use super::*;
use crate::notify::template::{Facts, Renderer};
use crate::notify::{email, slack, webhook};
use crate::route::channel::{Email, Payload, SmtpServer, SmtpTls};
use crate::state::Sample;

/// What a rule file may do with a text.
const FILTERS: [&str; 9] = [
    "",
    " | upper",
    " | lower",
    " | truncate(3)",
    " | default('-')",
    " | percent",
    " | duration",
    " | round(1)",
    " | nothing",
];

/// One channel of each kind. A kind that is missing here does not build: see [`check`].
fn kinds() -> Vec<Kind> {
    let url = || secret("https://x.example/");
    let server = SmtpServer {
        host: "localhost".into(),
        port: 25,
        tls: SmtpTls::None,
        from: "a@example.com".into(),
        username: None,
        password: None,
        ca_file: None,
    };
    let bot = SlackBot {
        token: secret("xoxb-hush"),
        channel: "C1".into(),
        thread: true,
        signing_secret: None,
        api_url: "https://x.example".into(),
    };
    vec![
        Kind::Webhook(Webhook { url: url(), secrets: vec![], bearer: None, headers: vec![], payload: None }),
        Kind::Slack(Slack { access: SlackAccess::Webhook(url()), buttons: true }),
        Kind::Slack(Slack { access: SlackAccess::Bot(bot), buttons: true }),
        Kind::Email(Email { to: vec!["b@example.com".into()], server, threading: true }),
        Kind::PagerDuty(pagerduty_channel("https://x.example/")),
        Kind::Alertmanager(Alertmanager { url: url(), bearer: None }),
        Kind::Teams(Teams { url: url() }),
        Kind::Discord(Discord { url: url() }),
        Kind::Telegram(telegram_channel(String::new())),
        Kind::Sms(sms_channel(String::new())),
    ]
}

/// What the service behind a channel documents.
fn check(kind: &Kind, message: &Message) {
    match kind {
        Kind::Webhook(_) => {
            let own = Payload::Map(vec![
                ("a".to_owned(), Payload::Text("{{ title }} {{ text }}".to_owned())),
                ("b".to_owned(), Payload::Text("{{ message.alerts[0].annotations.summary }}".to_owned())),
            ]);
            for body in [webhook::body(message), webhook::own_body(&own, message)] {
                let back: Value = serde_json::from_str(&body.to_string()).expect("JSON");
                assert_eq!(back, body);
            }
        }
        Kind::Slack(_) => {
            for buttons in [slack::Buttons::Links, slack::Buttons::Calls, slack::Buttons::None] {
                crate::fixture::check_slack(&slack::payload(message, buttons));
            }
        }
        Kind::Email(_) => email::tests::check(message),
        Kind::PagerDuty(own) => check_pagerduty(&pagerduty::payload(own, ROUTING_KEY, message)),
        Kind::Alertmanager(_) => check_alertmanager(&alertmanager::payload(message)),
        Kind::Teams(_) => check_teams(&teams::payload(message)),
        Kind::Discord(_) => check_discord(&discord::payload(message)),
        Kind::Telegram(own) => check_telegram(&telegram::payload(own, message)),
        Kind::Sms(own) => {
            let form = sms::body(own, "+1", message);
            assert!(form.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~%&=".contains(&b)), "{form}");
            assert!((1..=sms::BODY_CHARS_MAX).contains(&sms::text(message).chars().count()));
        }
    }
}

/// A line as a program may write it: random bytes, or bytes that mean something to somebody.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let means = crate::fixture::hostile().prop_map(String::into_bytes);
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..300), means]
}

/// A template with these filters over the label, the number and the text of the alert, and text around them.
fn template() -> impl Strategy<Value = String> {
    let part = (0..4usize, 0..FILTERS.len(), "[ -~]{0,12}").prop_map(|(name, filter, around)| {
        let name = ["labels.host", "value.template", "value.n", "labels.none"][name];
        let around = around.replace(['{', '}'], "");
        format!("{around}{{{{ {name}{} }}}}", FILTERS[filter])
    });
    prop_oneof![proptest::collection::vec(part, 0..4).prop_map(|parts| parts.concat()), "\\PC{0,60}"]
}

/// What becomes of a line in the way of an alert: a label, a value of a text, a sample, and what a rule says of them.
fn alert(line: &[u8], template: &str) -> Episode {
    let text = String::from_utf8_lossy(line).into_owned();
    let rule = crate::check::tests::rule();
    let labels = Labels::from([("host".to_owned(), text.clone()), ("alertname".to_owned(), "Errors".to_owned())]);
    let texts = [("template".to_owned(), text.clone())].into();
    let values = Values::from([("n".to_owned(), line.len() as f64 / 3.0)]);
    let facts = Facts {
        rule: &rule,
        group: "g",
        labels: &labels,
        values: &values,
        texts: &texts,
        severity: Severity::Critical,
    };
    let rendered = Renderer::default().render(&Template { text: template.to_owned(), at: At::default() }, facts);
    let mut alert = episode("e");
    (alert.labels, alert.values) = (labels, values);
    alert.annotations = [("action".to_owned(), rendered.clone()), (text.clone(), text.clone())].into();
    alert.summary = rendered;
    alert.samples = (0..3).map(|n| Sample { id: n.to_string(), time: text.clone(), line: text.clone() }).collect();
    alert.extra.top.insert("path".to_owned(), vec![(text, 3)]);
    alert
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_log_bytes_in_any_template_are_good_for_every_channel(
        lines in proptest::collection::vec(bytes(), 1..4),
        template in template(),
        end in any::<bool>(),
        kind in 0..4usize,
    ) {
        let alerts = lines.iter().map(|line| {
            let alert = alert(line, &template);
            if end { over(alert) } else { alert }
        });
        let kind = [RowKind::Alert, RowKind::Digest, RowKind::Storm, RowKind::Escalation][kind];
        let message = Message { kind, ..message(alerts.collect()) };
        for channel in kinds() {
            check(&channel, &message);
        }
    }
}
