use expect_test::{Expect, expect};

use super::*;

fn env(name: &str) -> Option<String> {
    (name == "TEAM").then(|| "pay".to_owned())
}

fn mistakes(text: &str, want: &Expect) {
    let mistakes = Config::parse(text, &env).expect_err("it has mistakes");
    let shown: String = mistakes.iter().map(|mistake| format!("{mistake}\n")).collect();
    want.assert_eq(&shown);
}

#[test]
fn the_example_of_the_contract_without_what_comes_later() {
    let text = r#"
server: { url: https://logs.example.net:7171/, token_file: /etc/logweir/token, ca_file: /etc/logweir/ca.pem }
state_dir: /var/lib/logweir-agent
labels: { env: prod, team: "${TEAM}" }
discover: [pm2, nginx]
discover_roots: { nginx: [/etc/nginx/nginx.conf], pm2: [/home/deploy/.pm2], docker: /var/lib/docker }
files:
  - { paths: [/srv/app/log/*.log], exclude: ["*.gz"], service: billing, format: auto, multiline: none, start_at: beginning }
  - { paths: [/srv/x.log], format: '$remote_addr "$request" ${status}' }
limits: { memory_bytes: 32MiB, line_bytes: 1MiB, batch_bytes: 1MiB, batch_age: 1s, open_files: 4096 }
"#;
    let config = Config::parse(text, &env).expect("it is right");
    assert_eq!(config.server_url.as_deref(), Some("https://logs.example.net:7171"));
    assert_eq!(config.labels["team"], "pay");
    assert_eq!(config.discover, Discover { pm2: true, nginx: true, ..Discover::NONE });
    assert_eq!(config.files[0].service.as_deref(), Some("billing"));
    assert_eq!(config.files[0].start_at, StartAt::Beginning);
    assert_eq!(config.files[0].multiline, Multiline::None);
    assert_eq!(config.files[1].kind, SourceKind::NginxAccess);
    assert_eq!(config.files[1].format, r#"$remote_addr "$request" ${status}"#);
    assert_eq!(config.limits, Limits::default());
}

#[test]
fn nothing_is_fine() {
    assert_eq!(Config::parse("", &env).expect("it is right").discover, Discover::ALL);
    assert_eq!(Config::parse("# later\n", &env).expect("it is right").limits, Limits::default());
}

#[test]
fn all_mistakes_at_once() {
    mistakes(
        r#"
server: { url: "logs.example.net", tokenfile: /x }
redact: { detectors: [email] }
labels: [a]
discover: [pm2, apache]
files:
  - { exclude: ["*.gz"] }
  - { paths: ["/a/**b"], format: apache, start_at: middle, service: "${NOBODY}" }
limits: { batch_bytes: 1GiB, batch_age: soon, line_bytes: lots }
"#,
        &expect![[r#"
            redact: is not supported by this version: remove it
            server.tokenfile: unknown key, did you mean token_file?
            server.url: "logs.example.net" is not a url: relative URL without a base
            labels: must be a map of keys
            discover[1]: "apache" is none of pm2, nginx, docker, kubernetes
            files[0].paths: is missing: name at least one path or glob
            files[1].paths[0]: not a glob: recursive wildcards must form a single path component
            files[1].format: "apache" is none of auto, nginx, nginx_error, pm2, docker, cri, or an nginx log_format with its $variables
            files[1].start_at: "middle" is none of end, beginning
            files[1].service: environment variable NOBODY is not set
            limits.batch_bytes: 1GiB is outside 65536 to 8388608
            limits.batch_age: must be a duration from 10ms to 1m, such as 1s
            limits.line_bytes: "lots" is not a size such as 512KiB or 1MiB
        "#]],
    );
}

#[test]
fn limits_that_do_not_fit_together() {
    mistakes(
        "limits: { memory_bytes: 16MiB, batch_bytes: 4MiB }",
        &expect![[r#"
            limits.memory_bytes: batch_bytes and line_bytes need 32MiB: raise it or lower them
        "#]],
    );
}

#[test]
fn what_is_no_yaml() {
    let mistakes = Config::parse("files: [", &env).expect_err("it is broken");
    assert!(mistakes[0].message.starts_with("not valid yaml: "), "{mistakes:?}");
}
