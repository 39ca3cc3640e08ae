//! Mails by eye, and hostile text that cannot add a header, a part or markup.

use proptest::prelude::*;

use super::*;
use crate::fixture::{S, T0, episode, hostile_message, message};

fn channel() -> Email {
    let server = SmtpServer {
        host: "localhost".into(),
        port: 25,
        tls: SmtpTls::None,
        from: "Logweir <alerts@example.com>".into(),
        username: None,
        password: None,
        ca_file: None,
    };
    Email { to: vec!["a@example.com".into(), "b@example.com".into()], server, threading: true }
}

fn text(message: &Message) -> String {
    String::from_utf8(mail(&channel(), message).expect("a mail").formatted()).expect("ascii")
}

/// No header that is not ours, no line that is too long, no markup that is not ours.
pub(in crate::notify) fn check(message: &Message) {
    let mail = text(message);
    let (head, _) = mail.split_once("\r\n\r\n").expect("a head");
    let known = [
        "From",
        "To",
        "Message-ID",
        "Subject",
        "References",
        "In-Reply-To",
        "Auto-Submitted",
        "List-Id",
        "MIME-Version",
        "Content-Type",
        "Date",
        "Content-Transfer-Encoding",
    ];
    for line in head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])) {
        let name = line.split_once(':').expect("a header").0;
        assert!(known.contains(&name), "{line}");
    }
    assert!(mail.lines().all(|line| line.len() <= 998));
    let html = html(message, true);
    let ours = "!doctype html head meta /head body /body /html h2 /h2 h3 /h3 p /p img table /table tr /tr td /td pre /pre a /a";
    for tag in html.split('<').skip(1).map(|tag| tag.split(['>', ' ']).next().unwrap_or_default()) {
        assert!(ours.split(' ').any(|own| own == tag), "{tag} in {html}");
    }
}

#[test]
fn a_mail_has_its_thread_its_chart_and_what_machines_need() {
    let mut alert = episode("e1");
    alert.extra.points = (0..20).map(|i| (T0 + i * S, i as f64)).collect();
    let mail = text(&message(vec![alert]));
    for part in [
        "From: Logweir <alerts@example.com>\r\n",
        "To: a@example.com, b@example.com\r\n",
        "Subject: Alert: Errors\r\n",
        "Message-ID: <msg_1@example.com>\r\n",
        "References: <abc-1@example.com>\r\n",
        "In-Reply-To: <abc-1@example.com>\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "List-Id: <ops.logweir.example.com>\r\n",
        "multipart/alternative",
        "multipart/related",
        "Content-Type: image/png\r\n",
        "Content-ID: <chart@logweir>\r\n",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Type: text/html; charset=utf-8",
    ] {
        assert!(mail.contains(part), "{part} in\n{}", &mail[..mail.len().min(3_000)]);
    }
    let end = {
        let mut alert = episode("e1");
        alert.closed_at = Some(T0 + S);
        text(&Message { id: "msg_2".into(), ..message(vec![alert]) })
    };
    assert!(end.contains("Message-ID: <msg_2@") && end.contains("Subject: Alert: Errors\r\n"), "the thread goes on");
}

#[test]
fn log_text_is_text_in_html() {
    let mut alert = episode("e1");
    alert.summary = "<script>alert(1)</script> & \"x\"".into();
    alert.samples[0].line = "</pre><img src=x onerror=alert(1)>".into();
    alert.link = "javascript:alert(1)".into();
    let html = html(&message(vec![alert]), false);
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;x&quot;"), "{html}");
    assert!(html.contains("&lt;/pre&gt;&lt;img") && !html.contains("javascript:"), "{html}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_text_adds_a_header_or_markup(message in hostile_message()) {
        check(&message);
    }
}
