use expect_test::{Expect, expect};
use logweir_proto::batch::SourceKind;
use proptest::prelude::*;

use crate::parse::tests::fixture::Fixture;

fn check(text: &str, want: &Expect) {
    want.assert_eq(&Fixture::with(SourceKind::Journald, "frames", &[]).show(text));
}

#[test]
fn entries() {
    check(
        r#"{"__CURSOR":"s=1;i=2","__REALTIME_TIMESTAMP":"1795166139687150","_HOSTNAME":"web-1","_SYSTEMD_UNIT":"shop.service","SYSLOG_IDENTIFIER":"node","PRIORITY":"6","_PID":"712","MESSAGE":"WARN pool exhausted"}"#,
        &expect![[r#"
            time 2026-11-20T09:15:39.687Z |
            level warn
            __CURSOR "s=1;i=2" |
            _HOSTNAME "web-1" |
            _SYSTEMD_UNIT "shop.service" |
            SYSLOG_IDENTIFIER "node" |
            PRIORITY "6" |
            _PID "712" |
            host "web-1"
            service "shop"
            message "WARN pool exhausted" |"#]],
    );
    // Old versions put spaces; a session is no service.
    check(
        r#"{ "__REALTIME_TIMESTAMP" : "1795166139687150", "_SYSTEMD_UNIT" : "session-1.scope", "SYSLOG_IDENTIFIER" : "sshd", "PRIORITY" : "3", "MESSAGE" : "no" }"#,
        &expect![[r#"
            time 2026-11-20T09:15:39.687Z |
            level error
            _SYSTEMD_UNIT "session-1.scope" |
            SYSLOG_IDENTIFIER "sshd" |
            PRIORITY "3" |
            service "sshd"
            message "no" |"#]],
    );
    // A container, with JSON and with a trace in the message.
    check(
        r#"{"CONTAINER_NAME":"shop-web","_SYSTEMD_UNIT":"docker.service","PRIORITY":"6","MESSAGE":"{\"level\":50,\"msg\":\"down\",\"time\":1}"}"#,
        &expect![[r#"
            level error
            CONTAINER_NAME "shop-web" |
            _SYSTEMD_UNIT "docker.service" |
            PRIORITY "6" |
            container "shop-web"
            service "shop-web"
            message "down" *
            time_ 1"#]],
    );
    check(
        r#"{"PRIORITY":"6","MESSAGE":"TypeError: x\n    at f (a.js:1:2)"}"#,
        &expect![[r#"
        level error
        PRIORITY "6" |
        message "TypeError: x"
        exception.stack "TypeError: x\n    at f (a.js:1:2)" |
        exception.type "TypeError""#]],
    );
}

#[test]
fn messages_that_are_no_text() {
    check(
        r#"{"MESSAGE":[104,105,255,10],"PRIORITY":"2"}"#,
        &expect![[r#"
        level fatal
        PRIORITY "2" |
        message "hi�" *"#]],
    );
    check(
        r#"{"MESSAGE":[256],"PRIORITY":2}"#,
        &expect![[r#"
        level fatal
        MESSAGE "[256]" |
        PRIORITY 2 |
        message "{\"MESSAGE\":[256],\"PRIORITY\":2}""#]],
    );
    check(
        r#"{"MESSAGE":null,"_COMM":"x"}"#,
        &expect![[r#"
        _COMM "x" |
        service "x"
        message "{\"MESSAGE\":null,\"_COMM\":\"x\"}""#]],
    );
    check("torn {", &expect![[r#"message "torn {" |"#]]);
}

proptest! {
    #[test]
    fn ordinary_entries_need_no_raw_line(message in "[a-zA-Z][a-z \"\\\\\n]{0,40}[a-z]", time in 1_600_000_000_000_000u64..1_900_000_000_000_000, pid in 1u32..9_999) {
        let text = serde_json::json!({
            "__REALTIME_TIMESTAMP": time.to_string(), "MESSAGE": message, "PRIORITY": "6", "_PID": pid.to_string(),
            "_SYSTEMD_UNIT": "a.service",
        }).to_string();
        let mut fixture = Fixture::new(SourceKind::Journald);
        fixture.parse(text.as_bytes());
        prop_assert!(fixture.prints_back(text.as_bytes()), "{}", text);
        prop_assert_eq!(fixture.field(text.as_bytes(), "service"), Some("a".to_owned()));
    }

    #[test]
    fn any_message_is_safe(message in any::<String>(), bytes in proptest::collection::vec(any::<u16>(), 0..20), list: bool) {
        let message = if list { serde_json::json!(bytes) } else { serde_json::json!(message) };
        let text = serde_json::json!({ "MESSAGE": message, "__REALTIME_TIMESTAMP": "1", "PRIORITY": 9, "CONTAINER_NAME": "" });
        Fixture::new(SourceKind::Journald).show(text.to_string());
    }
}
