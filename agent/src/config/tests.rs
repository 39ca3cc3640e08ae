use expect_test::{Expect, expect};

use super::*;
use crate::redact::{Action, Detector};

fn env(name: &str) -> Option<String> {
    (name == "TEAM").then(|| "pay".to_owned())
}

fn mistakes(text: &str, want: &Expect) {
    let mistakes = Config::parse("agent.yaml", text, &env).expect_err("it has mistakes");
    let shown: String = mistakes.iter().map(|mistake| format!("{mistake}\n")).collect();
    want.assert_eq(&shown);
}

#[test]
fn the_example_of_the_contract() {
    let text = r#"
server: { url: https://logs.example.net:7171/, token_file: /etc/logweir/token, ca_file: /etc/logweir/ca.pem }
state_dir: /var/lib/logweir-agent
labels: { env: prod, team: "${TEAM}" }
discover: [pm2, nginx]
discover_roots: { nginx: [/etc/nginx/nginx.conf], pm2: [/home/deploy/.pm2], docker: /var/lib/docker }
files:
  - { paths: [/srv/app/log/*.log], exclude: ["*.gz"], service: billing, format: auto, multiline: none, start_at: beginning }
  - { paths: [/srv/x.log], format: '$remote_addr "$request" ${status}' }
redact: { detectors: [email, bearer, card], fields: { "user.email": mask } }
limits: { memory_bytes: 32MiB, line_bytes: 1MiB, batch_bytes: 1MiB, batch_age: 1s, open_files: 4096 }
"#;
    let config = Config::parse("agent.yaml", text, &env).expect("it is right");
    assert_eq!(config.server_url.as_deref(), Some("https://logs.example.net:7171"));
    assert_eq!(config.labels["team"], "pay");
    assert_eq!(config.discover, Discover { pm2: true, nginx: true, ..Discover::NONE });
    assert_eq!(config.files[0].service.as_deref(), Some("billing"));
    assert_eq!(config.files[0].start_at, StartAt::Beginning);
    assert_eq!(config.files[0].multiline, Multiline::None);
    assert_eq!(config.files[1].kind, SourceKind::NginxAccess);
    assert_eq!(&*config.files[1].format, r#"$remote_addr "$request" ${status}"#);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.redact.detectors.len(), 3);
    assert_eq!(config.redact.fields, [("user.email".to_owned(), Action::Mask)]);
}

#[test]
fn servers_rules_and_actions() {
    let text = r#"
server: { urls: ["https://a:1/", "https://b:1"], cert_file: /c, key_file: /k, proxy: "http://p:3128", no_proxy: .local }
listen: none
host_stats: false
docker: { labels: ["com.example.*", team] }
files:
  - { paths: [/srv/*.log], exclude: [x*], drop: '\$$', sample: 0.5 }
rules:
  - { service: shop, drop: [healthz, debug] }
redact:
  detectors: [email, ipv4]
  patterns: { employee: 'EMP-\d+' }
  actions: { email: hash, employee: drop }
  hash_key_file: /etc/logweir/hash.key
"#;
    let config = Config::parse("agent.yaml", text, &env).expect("it is right");
    assert_eq!(config.server_url.as_deref(), Some("https://a:1"));
    assert_eq!(config.server_fallbacks, ["https://b:1"]);
    assert_eq!(config.container_labels.as_deref(), Some(&["com.example.*".to_owned(), "team".to_owned()][..]));
    assert!(config.client_cert.is_some() && config.listen.is_none() && !config.host_stats);
    assert_eq!(config.proxies.expect("given").except.as_deref(), Some(".local"));
    assert_eq!((config.rules[0].drop[0].as_str(), config.rules[0].sample), (r"\$$", Some(0.5)));
    assert_eq!(config.rules[1].service.as_deref(), Some("shop"));
    assert_eq!(config.redact.detectors, [(Detector::Email, Action::Hash), (Detector::Ipv4, Action::Mask)]);
    assert_eq!(config.redact.patterns[0].2, Action::Drop);
}

#[test]
fn mistakes_of_servers_rules_and_actions() {
    mistakes(
        r#"
server: { url: "http://a", urls: [ftp://b], cert_file: /c, proxy: yes, no_proxy: x }
listen: everywhere
rules:
  - { service: shop }
  - { drop: ['(', 'ok'], sample: 2, smaple: 1 }
redact:
  detectors: [emial]
  patterns: { a: '[' }
  actions: { card: mask, a: shred }
  fields: { x: hash }
"#,
        &expect![[r#"
            agent.yaml:2:34: server.urls and server.url cannot both be given: remove one
            agent.yaml:2:35: server.urls[0]: "ftp://b" must begin with http:// or https:// and name a host
            agent.yaml:2:56: server.cert_file needs server.key_file beside it
            agent.yaml:2:67: server.proxy: "yes" is not a url: relative URL without a base, or be none
            agent.yaml:3:9: listen must be an address with a port, as 127.0.0.1:7172, or none, not 'everywhere'
            agent.yaml:5:5: rules[0].drop or sample is missing: a rule must leave something out
            agent.yaml:6:14: rules[1].drop[0] is not a regular expression: unclosed group
            agent.yaml:6:34: rules[1].sample must be a share from 0 to 1: 0.1 keeps every tenth line
            agent.yaml:6:37: unknown key 'smaple' in rules[1] (did you mean 'sample'?)
            agent.yaml:8:3: redact.hash_key_file is missing: hash needs a key of its own (openssl rand -hex 32)
            agent.yaml:8:15: redact.detectors[0] must be one of email, ipv4, ipv6, bearer, aws, card, iban, password, not 'emial' (did you mean 'email'?)
            agent.yaml:9:18: redact.patterns.a is not a regular expression: unclosed character class
            agent.yaml:10:20: redact.actions.card names neither one of redact.detectors nor one of redact.patterns
            agent.yaml:10:29: redact.actions.a must be one of mask, drop, hash, not 'shred'
        "#]],
    );
}

#[test]
fn nothing_is_fine() {
    assert_eq!(Config::parse("agent.yaml", "", &env).expect("it is right").discover, Discover::ALL);
    assert_eq!(Config::parse("agent.yaml", "# later\n", &env).expect("it is right").limits, Limits::default());
}

#[test]
fn all_mistakes_at_once() {
    mistakes(
        r#"
server: { url: "logs.example.net", tokenfile: /x }
syslog: { listen: 1 }
labels: [a]
discover: [pm2, apache]
files:
  - { exclude: ["*.gz"] }
  - { paths: ["/a/**b"], format: apach, start_at: middle, service: "${NOBODY}" }
limits: { batch_bytes: 1GiB, batch_age: soon, line_bytes: lots }
"#,
        &expect![[r#"
            agent.yaml:2:16: server.url: "logs.example.net" is not a url: relative URL without a base
            agent.yaml:2:36: unknown key 'tokenfile' in server (did you mean 'token_file'?)
            agent.yaml:3:11: unknown key 'listen' in syslog (known here: udp, tcp, service)
            agent.yaml:4:9: labels must be a mapping, not a list
            agent.yaml:5:17: discover[1] must be one of pm2, nginx, docker, kubernetes, not 'apache'
            agent.yaml:7:5: files[0].paths is missing: name at least one path or glob
            agent.yaml:8:15: files[1].paths[0] is not a glob: recursive wildcards must form a single path component
            agent.yaml:8:34: files[1].format must be one of auto, nginx, nginx_error, pm2, docker, cri, text, json, logfmt, iis, mysql_slow, haproxy, traefik, envoy, apache, apache_error, postgresql, mysql, redis, java, python, go, syslog_file, leveled, parser:NAME for a parser of the server's own, or an nginx log_format with its $variables, not 'apach'
            agent.yaml:8:51: files[1].start_at must be one of end, beginning, not 'middle'
            agent.yaml:8:68: the environment variable NOBODY is not set
            agent.yaml:9:24: limits.batch_bytes must be a size from 64KiB to 8MiB, not 1GiB
            agent.yaml:9:41: limits.batch_age must be a duration (for example 30s, 5m or 1h30m)
            agent.yaml:9:59: limits.line_bytes must be a size (for example 512KiB, 64MiB or 1GiB)
        "#]],
    );
}

#[test]
fn limits_that_do_not_fit_together() {
    mistakes(
        "limits: { memory_bytes: 16MiB, batch_bytes: 4MiB }",
        &expect![[r#"
            agent.yaml:1:25: limits.memory_bytes is too small: batch_bytes and line_bytes need 32MiB; raise it or lower them
        "#]],
    );
}

#[test]
fn what_is_no_yaml() {
    let mistakes = Config::parse("agent.yaml", "files: [", &env).expect_err("it is broken");
    assert!(mistakes[0].to_string().starts_with("agent.yaml:1:8: "), "{mistakes:?}");
}

#[test]
fn formats_keep_what_looks_like_the_environment() {
    let text = "files:\n  - { paths: '/x/${TEAM}.log', format: '${TEAM} $$ $status' }\n";
    let config = Config::parse("agent.yaml", text, &env).expect("it is right");
    assert_eq!(config.files[0].paths, ["/x/pay.log"]);
    assert_eq!(&*config.files[0].format, "${TEAM} $$ $status");
}

#[test]
fn where_an_event_begins() {
    let text = "files:\n  - { paths: [/x], multiline: { start: '^\\d{4}-[$]', lines_max: 20, bytes_max: 64KiB } }\n";
    let config = Config::parse("agent.yaml", text, &env).expect("it is right");
    let Multiline::Start(rule) = &config.files[0].multiline else { panic!("{:?}", config.files[0].multiline) };
    assert_eq!((rule.lines_max(), rule.bytes_max()), (20, 64 << 10));
    let back: Multiline = serde_json::from_str(&serde_json::to_string(&config.files[0].multiline).expect("json"))
        .expect("a checkpoint keeps it");
    assert_eq!(back, config.files[0].multiline);
    mistakes(
        "files:\n  - { paths: [/x], multiline: { start: '(', lines: 3 } }\n  - { paths: [/x], multiline: {} }\n  - { paths: [/x], format: nginx, multiline: { start: x } }\n  - { paths: [/x], multiline: all }\n",
        &expect![[r#"
            agent.yaml:2:40: files[0].multiline.start is no pattern: unclosed group
            agent.yaml:2:45: unknown key 'lines' in files[0].multiline (known here: start, lines_max, bytes_max)
            agent.yaml:3:31: files[1].multiline.start is missing: give the pattern with which an event begins
            agent.yaml:4:46: files[2].multiline cannot be a pattern: every line of an access log is an event
            agent.yaml:5:31: files[3].multiline must be one of auto, none, not 'all'
        "#]],
    );
}

#[test]
fn sources_that_are_no_files() {
    let inputs = |text: &str| Config::parse("agent.yaml", text, &env).expect("it is right").inputs;
    let here = Some("127.0.0.1:5514".parse().expect("an address"));
    assert_eq!(inputs("syslog: {}").syslog, Some(Syslog { udp: here, tcp: here, service: None }));
    let only_tcp = inputs("syslog: { tcp: '[::1]:601', service: net }").syslog.expect("it is on");
    assert!(only_tcp.udp.is_none() && only_tcp.tcp.is_some() && only_tcp.service.as_deref() == Some("net"));
    let set = inputs("journald: { units: [a.service], start_at: beginning }\nspool: { bytes: 64MiB }\n");
    assert_eq!(set.journald.expect("it is on").units, ["a.service"]);
    assert_eq!((set.spool_bytes, inputs("").syslog), (64 << 20, None));
    mistakes(
        "syslog: { udp: 5514, tls: x }\njournald: { unit: a }\nspool: { bytes: 1KiB }\n",
        &expect![[r#"
            agent.yaml:1:16: syslog.udp must be an address and a port, as in 127.0.0.1:5514
            agent.yaml:1:22: unknown key 'tls' in syslog (known here: udp, tcp, service)
            agent.yaml:2:13: unknown key 'unit' in journald (did you mean 'units'?)
            agent.yaml:3:17: spool.bytes must be a size from 1MiB to 1TiB, not 1KiB
        "#]],
    );
}
