use expect_test::{Expect, expect};
use logweir_proto::batch::SourceKind;
use proptest::prelude::*;

use crate::parse::tests::fixture::Fixture;

fn check(text: &str, want: &Expect) {
    want.assert_eq(&Fixture::with(SourceKind::Syslog, "frames", &[("service", "router")]).show(text));
}

#[test]
fn rfc3164() {
    check(
        "<131>Nov 20 09:02:43 vm myapp: plain text error: db down",
        &expect![[r#"
        time 2026-11-20T09:02:43.000Z
        level error
        syslog_pri 131 |
        facility "local0"
        host "vm" |
        service "myapp" |
        message "plain text error: db down" |
        syslog_time "Nov 20 09:02:43" |"#]],
    );
    check(
        "<13>Nov  2 09:02:43 vm sshd[712]: Accepted publickey for root",
        &expect![[r#"
        time 2026-11-02T09:02:43.000Z
        level info
        syslog_pri 13 |
        facility "user"
        host "vm" |
        service "sshd" |
        procid 712 |
        message "Accepted publickey for root" |
        syslog_time "Nov  2 09:02:43" |"#]],
    );
    check(
        "<13>2026-11-20T09:02:43.807195+00:00 vm cron[7]: started",
        &expect![[r#"
        time 2026-11-20T09:02:43.807Z |
        level info
        syslog_pri 13 |
        facility "user"
        host "vm" |
        service "cron" |
        procid 7 |
        message "started" |"#]],
    );
    // Without a host, without a time, without anything.
    check(
        "<30>Nov 20 09:02:43 app[1]: no host",
        &expect![[r#"
        time 2026-11-20T09:02:43.000Z
        level info
        syslog_pri 30 |
        facility "daemon"
        service "app" |
        procid 1 |
        message "no host" |
        syslog_time "Nov 20 09:02:43" |"#]],
    );
    check(
        "<30>app: no time",
        &expect![[r#"
        level info
        syslog_pri 30 |
        facility "daemon"
        service "app" |
        message "no time" |"#]],
    );
    check(
        "<0>only text, it seems",
        &expect![[r#"
        level fatal
        syslog_pri 0 |
        facility "kern"
        message "only text, it seems" |
        service "router""#]],
    );
    check(
        "no priority at all",
        &expect![[r#"
        message "no priority at all" |
        service "router""#]],
    );
}

#[test]
fn rfc5424() {
    check(
        "<131>1 2026-11-20T09:03:38.807195+00:00 vm myapp - - - plain text error: db down",
        &expect![[r#"
        time 2026-11-20T09:03:38.807Z |
        level error
        syslog_pri 131 |
        facility "local0"
        host "vm" |
        service "myapp" |
        message "plain text error: db down" |"#]],
    );
    check(
        r#"<165>1 2026-11-20T22:14:15.003Z mymachine.example.com evntslog 42 ID47 [exampleSDID@32473 iut="3" eventID="10\"11"][x@1 a="b"] BOMAn application event"#,
        &expect![[r#"
            time 2026-11-20T22:14:15.003Z |
            level info
            syslog_pri 165 |
            facility "local4"
            sd.exampleSDID@32473.iut "3" |
            sd.exampleSDID@32473.eventID "10\"11" *
            sd.x@1.a "b" |
            host "mymachine.example.com" |
            service "evntslog" |
            msgid "ID47" |
            procid 42 |
            message "BOMAn application event" |"#]],
    );
    check(
        r#"<14>1 - - - - - - {"level":"warn","msg":"slow","ms":12}"#,
        &expect![[r#"
        level warn
        syslog_pri 14 |
        facility "user"
        message "slow" |
        ms 12 |
        service "router""#]],
    );
    check(
        r#"<14>1 - host app - - [torn a="b message"#,
        &expect![[r#"
        level info
        syslog_pri 14 |
        facility "user"
        host "host" |
        service "app" |
        message "[torn a=\"b message" |"#]],
    );
}

#[test]
fn a_byte_order_mark_is_no_text() {
    let mut fixture = Fixture::new(SourceKind::Syslog);
    let text = "<14>1 2026-11-20T22:14:15Z h a - - - \u{feff}marked";
    fixture.parse(text.as_bytes());
    assert_eq!(fixture.field(text.as_bytes(), "message").as_deref(), Some("marked"));
    assert!(fixture.prints_back(text.as_bytes()));
}

proptest! {
    #[test]
    fn ordinary_messages_need_no_raw_line(
        pri in 0u8..192, host in "[a-z][a-z0-9.]{0,9}", app in "[a-z]{1,9}", pid in 1u32..99_999, text in "[a-zA-Z][a-z =,]{0,40}", new: bool,
    ) {
        let line = if new {
            format!("<{pri}>1 2026-11-20T09:03:38.807195Z {host} {app} {pid} ID1 [a@1 k=\"v\"] {text}")
        } else {
            format!("<{pri}>Nov 20 09:03:38 {host} {app}[{pid}]: {text}")
        };
        let mut fixture = Fixture::new(SourceKind::Syslog);
        fixture.parse(line.as_bytes());
        prop_assert!(fixture.prints_back(line.as_bytes()), "{}", line);
        prop_assert_eq!(fixture.field(line.as_bytes(), "host"), Some(host));
        prop_assert_eq!(fixture.field(line.as_bytes(), "service"), Some(app));
        prop_assert_eq!(fixture.field(line.as_bytes(), "procid"), Some(pid.to_string()));
    }

    #[test]
    fn any_message_is_safe(head in "(<[0-9]{1,3}>)?(1 )?([-a-zA-Z0-9:.\\[\\]]{0,12} ){0,6}", tail in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut text = head.into_bytes();
        text.extend_from_slice(&tail);
        Fixture::new(SourceKind::Syslog).show(&text);
    }

    #[test]
    fn any_structured_data_are_safe(data in "[-\\[\\]a=\"\\\\ ]{0,40}") {
        Fixture::new(SourceKind::Syslog).show(format!("<14>1 - h a - - {data}"));
    }
}
