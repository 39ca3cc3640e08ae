use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn all() -> Redactor {
    let detectors = Detector::ALL.map(|(_, detector)| (detector, Action::Mask)).to_vec();
    Redactor::new(&Settings { detectors, ..Settings::default() }).expect("it is right")
}

fn only(settings: Settings) -> Redactor {
    Redactor::new(&settings).expect("it is right")
}

fn redact(redactor: &Redactor, line: &str) -> String {
    let mut out = Vec::new();
    match redactor.apply(line.as_bytes(), &mut out) {
        true => String::from_utf8_lossy(&out).into_owned(),
        false => line.to_owned(),
    }
}

fn check(redactor: &Redactor, lines: &str, want: &Expect) {
    let shown: String = lines.trim().lines().map(|line| redact(redactor, line.trim_start()) + "\n").collect();
    want.assert_eq(&shown);
}

#[test]
fn addresses() {
    check(
        &all(),
        r#"
        mail to joe.bloggs+x@example.co.uk, twice: <a@b.de>.
        GET /u?email=joe%2B1%40example.com&x=1 HTTP/1.1
        no mail: a@b @home user@host 3@4.5 @ a@.de
        10.0.0.1 - - [20/Nov/2026] "GET / HTTP/1.1" x=192.168.1.255:8080
        not 1.2.3 or 1.2.3.4.5 or 256.1.1.1 or v1.2.3.4x or 01.2.3.4
        [2001:db8::8a2e:370:7334]:443 and ::1 and ::ffff:10.0.0.9, not 12:34:56 or std::io or abc::de
        "#,
        &expect![[r#"
            mail to [email], twice: <[email]>.
            GET /u?email=[email]&x=1 HTTP/1.1
            no mail: a@b @home user@host 3@4.5 @ a@.de
            [ipv4] - - [20/Nov/2026] "GET / HTTP/1.1" x=[ipv4]:8080
            not 1.2.3 or 1.2.3.4.5 or 256.1.1.1 or v1.2.3.4x or 01.2.3.4
            [[ipv6]]:443 and [ipv6] and [ipv6], not 12:34:56 or std::io or abc::de
        "#]],
    );
}

#[test]
fn numbers() {
    check(
        &all(),
        r#"
        card 4111 1111 1111 1111 and 5500-0000-0000-0004, amex 378282246310005.
        {"card":4111111111111111,"n":1}
        not 4111 1111 1111 1112, 1763630016536000001, 41111111111111110, a4111111111111111
        2026-11-20 12:00:00 4111111111111111 2026
        IBAN DE89 3704 0044 0532 0130 00, GB82WEST12345698765432 not DE89 3704 0044 0532 0130 01 nor XX00
        "#,
        &expect![[r#"
            card [card] and [card], amex [card].
            {"card":"[card]","n":1}
            not 4111 1111 1111 1112, 1763630016536000001, 41111111111111110, a4111111111111111
            2026-11-20 12:00:00 [card] 2026
            IBAN [iban], [iban] not DE89 3704 0044 0532 0130 01 nor XX00
        "#]],
    );
}

#[test]
fn secrets() {
    check(
        &all(),
        r#"
        Authorization: Bearer abcdef0123456789.x-y_z~== end
        authorization=bearer%20s3cr3t&x=1 the bearer of bad news
        Authorization: Basic dXNlcjpwYXNz, basic things
        jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.c2lnbmF0dXJl!
        key AKIAIOSFODNN7EXAMPLE aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
        password=hunter2 DB_PASSWORD: "a \" b" pwd=x; token=abc, api-key='k'
        {"token":"abc","tokens_used":5,"token_count":7,"pin_password":1234,"pass":null}
        {"msg":"login {\"password\":\"hunter2\"}"}
        POST /login?user=joe&password=hunter2&x=1 postgres://app:p@ss@db:5432/x
        wrong token: unexpected end; bypass=1 passenger=Bob; secret == other; if (password != x)
        "#,
        &expect![[r#"
            Authorization: Bearer [bearer] end
            authorization=bearer%20[bearer]&x=1 the bearer of bad news
            Authorization: Basic [bearer], basic things
            jwt [bearer]!
            key [aws] aws_secret_access_key = [password]
            password=[password] DB_PASSWORD: "[password]" pwd=[password]; token=[password], api-key='[password]'
            {"token":"[password]","tokens_used":5,"token_count":7,"pin_password":"[password]","pass":null}
            {"msg":"login {\"password\":\"[password]\"}"}
            POST /login?user=joe&password=[password]&x=1 postgres://app:[password]@db:5432/x
            wrong token: unexpected end; bypass=1 passenger=Bob; secret == other; if (password != x)
        "#]],
    );
}

#[test]
fn fields_by_path() {
    let fields = |action| {
        let fields = vec![("user.email".to_owned(), action), ("age".to_owned(), action)];
        only(Settings { fields, ..Settings::default() })
    };
    let lines = r#"
        {"user":{"id":1,"email":"joe"},"age":7,"email":"kept"}
        2026-11-20 {"user.email": "jo\"e", "users":[{"age": [1,{"x":2}]}], "age" : null}
        {"a":{no json} {"us\u0065r":{"email":"cut off
        level=info user.email=joe msg="x" user.email="j o" xuser.email=1 GET /?age=5&b=1
    "#;
    check(
        &fields(Action::Mask),
        lines,
        &expect![[r#"
            {"user":{"id":1,"email":"[user.email]"},"age":"[age]","email":"kept"}
            2026-11-20 {"user.email": "[user.email]", "users":[{"age": [1,{"x":2}]}], "age" : "[age]"}
            {"a":{no json} {"us\u0065r":{"email":"[user.email]
            level=info user.email=[user.email] msg="x" user.email="[user.email]" xuser.email=1 GET /?age=[age]&b=1
        "#]],
    );
    check(
        &fields(Action::Drop),
        lines,
        &expect![[r#"
            {"user":{"id":1},"email":"kept"}
            2026-11-20 { "users":[{"age": [1,{"x":2}]}]}
            {"a":{no json} {"us\u0065r":{
            level=info  msg="x"  xuser.email=1 GET /?&b=1
        "#]],
    );
}

#[test]
fn hashes_join_and_need_a_key() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let key = dir.path().join("key");
    std::fs::write(&key, "0123456789abcdef\n").expect("a key");
    let settings = Settings {
        detectors: vec![(Detector::Email, Action::Hash)],
        fields: vec![("who".into(), Action::Hash)],
        hash_key_file: Some(key.clone()),
        ..Settings::default()
    };
    let redactor = only(settings.clone());
    check(
        &redactor,
        r#"
        from a@b.de to c@d.de and a@b.de
        {"who":"a@b.de"}
        "#,
        // printf %s a@b.de | openssl dgst -sha256 -hmac 0123456789abcdef
        &expect![[r#"
            from h_e277049f2d231fbe to h_beab9705deb23d6d and h_e277049f2d231fbe
            {"who":"h_e277049f2d231fbe"}
        "#]],
    );
    assert_eq!(redactor.take_counts(), [("email", 3), ("who", 1)]);
    std::fs::write(&key, "short").expect("a key");
    let error = Redactor::new(&settings).expect_err("too short").to_string();
    assert!(error.contains("needs 16 bytes"), "{error}");
    let error = Redactor::new(&Settings { hash_key_file: None, ..settings }).expect_err("no key").to_string();
    assert_eq!(error, "redact: hash_key_file is missing, and an action is hash");
}

#[test]
fn patterns_take_their_first_group() {
    let patterns = vec![
        ("employee".to_owned(), r"EMP-\d+".to_owned(), Action::Mask),
        ("session".to_owned(), r"sid=(\w+)".to_owned(), Action::Drop),
    ];
    let redactor = only(Settings { patterns, ..Settings::default() });
    assert_eq!(redact(&redactor, "EMP-12 sid=ab EMP-x"), "[employee] sid= EMP-x");
    assert!(pattern(r"\w{500}{500}").is_err());
}

/// Secrets of every kind, in the form in which logs have them.
fn secret() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{3,9}[.][a-z0-9]{2,6}@[a-z]{3,9}[.](com|de|io)",
        "[1-9][0-9]{14}".prop_map(|digits| {
            let digits = format!("4{}", &digits[1..]);
            let check = (0..10).find(|check| luhn_ok(&format!("{digits}{check}"))).unwrap_or(0);
            format!("{digits}{check}")
        }),
        "(AKIA|ASIA)[A-Z0-9]{16}",
        "eyJ[A-Za-z0-9]{20}[.]eyJ[A-Za-z0-9]{20}[.][A-Za-z0-9_-]{20}",
    ]
}

fn luhn_ok(digits: &str) -> bool {
    let sum: u32 = (0..)
        .zip(digits.bytes().rev())
        .map(|(i, b)| {
            let digit = u32::from(b - b'0') * if i % 2 == 1 { 2 } else { 1 };
            digit / 10 + digit % 10
        })
        .sum();
    sum.is_multiple_of(10)
}

proptest! {
    #[test]
    fn no_byte_of_a_secret_stays(before in "[ -~]{0,40}", after in "[ -~]{0,40}", secret in secret(), seps in 0..5usize) {
        let (open, close) = [(" ", " "), ("\"", "\""), ("=", "&"), ("<", ">"), (": ", ",")][seps];
        let line = format!("{before}{open}{secret}{close}{after}");
        let text = redact(&all(), &line);
        prop_assert!(!text.contains(&secret), "{line} -> {text}");
    }

    #[test]
    fn any_bytes_are_redacted_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let fields = vec![("a.b".to_owned(), Action::Drop), ("a".to_owned(), Action::Mask)];
        let detectors = Detector::ALL.map(|(_, detector)| (detector, Action::Drop)).to_vec();
        let redactor = only(Settings { fields, detectors, ..Settings::default() });
        let mut out = Vec::new();
        redactor.apply(&bytes, &mut out);
    }

    #[test]
    fn anything_like_a_line_is_redacted_without_a_panic(
        parts in prop::collection::vec(prop_oneof![
            Just("{\"a\":"), Just("\"b\""), Just(":"), Just("\\\""), Just("\""), Just("a.b="), Just("["), Just("}"),
            Just("@"), Just("%40"), Just("x.de"), Just("password"), Just("="), Just("://"), Just("4111111111111111"),
            Just("-"), Just(" "), Just("DE89"), Just("bearer "), Just("eyJ"), Just("::1"), Just("10.0.0.1"), Just("{"),
        ], 0..40),
    ) {
        let fields = vec![("a.b".to_owned(), Action::Drop), ("a".to_owned(), Action::Mask)];
        let detectors = Detector::ALL.map(|(_, detector)| (detector, Action::Mask)).to_vec();
        let redactor = only(Settings { fields, detectors, ..Settings::default() });
        let mut out = Vec::new();
        redactor.apply(parts.concat().as_bytes(), &mut out);
    }
}
