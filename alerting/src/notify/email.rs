//! E-mail over SMTP: text and HTML, one thread per life of a group, the chart inline.
//!
//! `Message-ID` is the message's id, so a repetition after a crash is the same mail; `References` and `In-Reply-To` name
//! a first mail that never existed, by which mail programs gather the thread. The subject stays the same in a thread.

use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use logweir_proto::text::escape_markup as escape;

use super::chart;
use super::message::Message;
use super::policy::Outcome;
use super::text::{SAMPLES_SHOWN, clip, clip_lines, color, facts, is_link, notes, plain, title};
use crate::route::channel::{Email, SmtpServer, SmtpTls};
use crate::state::{Episode, RowKind};

/// Alerts that are written out; the rest is counted.
const ALERTS_SHOWN: usize = 30;
const SUBJECT_CHARS_MAX: usize = 200;
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
const CHART_ID: &str = "chart@logweir";

/// Sends one message.
pub async fn send(channel: &Email, message: &Message) -> Outcome {
    let mail = match mail(channel, message) {
        Ok(mail) => mail,
        Err(reason) => return Outcome::Misconfigured(reason),
    };
    let transport = match transport(&channel.server) {
        Ok(transport) => transport,
        Err(reason) => return Outcome::Misconfigured(reason),
    };
    match tokio::time::timeout(SEND_TIMEOUT, transport.send(mail)).await {
        Err(_) => Outcome::Timeout,
        Ok(Ok(_)) => Outcome::Status { code: 250, retry_after_ns: None, body: "accepted".to_owned() },
        Ok(Err(error)) => failure(&error),
    }
}

fn failure(error: &lettre::transport::smtp::Error) -> Outcome {
    let text = clip(&error.to_string(), 300);
    if error.is_permanent() {
        Outcome::Rejected(text)
    } else if error.is_timeout() {
        Outcome::Timeout
    } else if error.is_transient() || error.is_tls() || error.is_client() {
        Outcome::Later(text)
    } else {
        Outcome::NoConnection(text)
    }
}

fn transport(server: &SmtpServer) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let parameters = || {
        let mut builder = TlsParameters::builder(server.host.clone());
        if let Some(path) = &server.ca_file {
            let pem = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let certificate = Certificate::from_pem(&pem).map_err(|error| format!("{}: {error}", path.display()))?;
            builder = builder.add_root_certificate(certificate);
        }
        builder.build_rustls().map_err(|error| format!("TLS: {error}"))
    };
    let tls = match server.tls {
        SmtpTls::Starttls => Tls::Required(parameters()?),
        SmtpTls::Implicit => Tls::Wrapper(parameters()?),
        SmtpTls::None => Tls::None,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
        .port(server.port)
        .tls(tls)
        .timeout(Some(SEND_TIMEOUT));
    if let Some(password) = &server.password {
        let user = server.username.clone().unwrap_or_else(|| server.from.clone());
        builder = builder.credentials(Credentials::new(user, password.read()?.expose().to_owned()));
    }
    Ok(builder.build())
}

/// The mail of a message.
pub fn mail(channel: &Email, message: &Message) -> Result<lettre::Message, String> {
    let from: Mailbox = channel.server.from.parse().map_err(|_| "the sender is not a mail address".to_owned())?;
    let host = from.email.domain().to_owned();
    let first = format!("<{}@{host}>", message.thread);
    let mut builder = lettre::Message::builder()
        .from(from)
        .message_id(Some(format!("<{}@{host}>", message.id)))
        .subject(clip(&subject(message), SUBJECT_CHARS_MAX));
    let sent = Duration::from_nanos(message.now_wall.max(0) as u64);
    builder = builder.date(std::time::SystemTime::UNIX_EPOCH + sent);
    for to in &channel.to {
        builder = builder.to(to.parse().map_err(|_| "a recipient is not a mail address".to_owned())?);
    }
    if channel.threading {
        builder = builder.references(first.clone()).in_reply_to(first);
    }
    // Not answered by holiday notices, and sorted by programs that know lists.
    for (name, value) in [("Auto-Submitted", "auto-generated".to_owned()), ("List-Id", list_id(message, &host))] {
        builder = builder.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
    }
    let picture = message.chart().and_then(chart::png);
    let html = SinglePart::html(html(message, picture.is_some()));
    let text = SinglePart::plain(plain(message, ALERTS_SHOWN));
    let body = MultiPart::alternative().singlepart(text);
    let body = match picture {
        Some(png) => {
            let kind = ContentType::parse("image/png").map_err(|_| "the type of the chart".to_owned())?;
            let inline = Attachment::new_inline(CHART_ID.to_owned()).body(png, kind);
            body.multipart(MultiPart::related().singlepart(html).singlepart(inline))
        }
        None => body.singlepart(html),
    };
    builder.multipart(body).map_err(|error| format!("the mail cannot be made: {error}"))
}

fn list_id(message: &Message, host: &str) -> String {
    let name: String = message.receiver.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    format!("<{}.logweir.{host}>", if name.is_empty() { "alerts" } else { &name })
}

/// Without what changes while the thread goes on.
fn subject(message: &Message) -> String {
    match message.kind {
        RowKind::Digest | RowKind::Storm | RowKind::Test => return title(message),
        _ => {}
    }
    let name = message.alerts.first().map_or("alert", |alert| alert.rule.as_str());
    let labels: Vec<String> =
        message.group_labels.iter().filter(|(key, _)| *key != "alertname").map(|(k, v)| format!("{k}={v}")).collect();
    if labels.is_empty() { format!("Alert: {name}") } else { format!("Alert: {name} ({})", labels.join(", ")) }
}

fn html(message: &Message, picture: bool) -> String {
    let mut out = format!(
        "<!doctype html><html><head><meta charset=\"utf-8\"></head><body style=\"font-family:sans-serif\"><h2 style=\"border-left:6px solid {};padding-left:10px\">{}</h2>",
        color(message),
        escape(&clip(&title(message), 300))
    );
    for note in notes(message, ALERTS_SHOWN) {
        out.push_str(&format!("<p>{}</p>", escape(&clip(&note, 1_000))));
    }
    if picture {
        out.push_str(&format!(
            "<p><img src=\"cid:{CHART_ID}\" alt=\"the values of the rule\" width=\"640\" height=\"200\"></p>"
        ));
    }
    for alert in message.alerts.iter().take(ALERTS_SHOWN) {
        push_alert(&mut out, alert);
    }
    for (name, url) in message.links.shown() {
        push_link(&mut out, name, url);
    }
    out.push_str("</body></html>\n");
    out
}

fn push_alert(out: &mut String, alert: &Episode) {
    let mark = if alert.is_firing() { "" } else { "✅ " };
    out.push_str(&format!("<h3>{mark}{}</h3><table>", escape(&clip(&alert.summary, 600))));
    for (name, text) in facts(alert) {
        let (name, text) = (escape(&clip(&name, 60)), escape(&clip(&text, 500)));
        out.push_str(&format!("<tr><td style=\"color:#57606a;padding-right:12px\">{name}</td><td>{text}</td></tr>"));
    }
    out.push_str("</table>");
    if alert.is_firing() && !alert.samples.is_empty() {
        out.push_str("<pre style=\"background:#f6f8fa;padding:8px;white-space:pre-wrap\">");
        for sample in alert.samples.iter().take(SAMPLES_SHOWN) {
            out.push_str(&escape(&clip_lines(&sample.line, 1_000)));
            out.push('\n');
        }
        out.push_str("</pre>");
    }
    push_link(out, "Show the lines", &alert.link);
}

fn push_link(out: &mut String, name: &str, url: &str) {
    // Never a scheme that a mail program would run.
    if is_link(url) {
        out.push_str(&format!("<p><a href=\"{}\">{}</a></p>", escape(url), escape(name)));
    }
}

#[cfg(test)]
pub(super) mod tests;
