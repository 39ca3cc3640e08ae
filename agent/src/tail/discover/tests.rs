use std::fs;

use expect_test::{Expect, expect};

use super::*;
use crate::config::{Discover, Roots};

fn put(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
    fs::write(path, text).expect("a file");
}

/// Prints each finding without the temporary directory: `path kind labels [format] why`, skipped ones with a `-`.
fn check(config: &Config, dir: &Path, want: &Expect) {
    let mut shown = String::new();
    for finding in discover(config) {
        let candidate = &finding.candidate;
        let labels: Vec<String> = candidate.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mark = if finding.skipped { "-" } else { "+" };
        let kind = candidate.kind.source_name();
        let format = if candidate.format.is_empty() { String::new() } else { format!(" [{}]", candidate.format) };
        let line =
            format!("{mark} {} {kind} {}{format}: {}\n", candidate.path.display(), labels.join(" "), finding.why);
        shown.push_str(&line.replace(&dir.display().to_string(), ""));
    }
    want.assert_eq(&shown);
}

#[test]
fn nginx_configurations() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let dir = temp.path();
    put(
        dir,
        "etc/nginx.conf",
        r#"
# comment; with { signs }
error_log logs/error.log info;
http {
  log_format main '$remote_addr [$time_local] '
                  '"$request" $status';
  log_format json escape=json '{"s":$status,"q":"a \'b\' ${request}"}';
  access_log logs/access.log;
  include sites/*.conf;
  server {
    server_name a.test;
    location ~ \.php$ { access_log off; error_log stderr; }
    access_log logs/$host.log main buffer=64k;
    access_log syslog:server=10.0.0.1 main;
    access_log /dev/stdout;
    access_log logs/odd.log nosuch;
  }
}
"#,
    );
    put(dir, "etc/sites/shop.conf", "server { access_log logs/shop.log json gzip flush=1s; include ../nginx.conf; }");
    put(dir, "logs/a.test.log", "");
    put(dir, "logs/access.log", "");
    let config = Config {
        discover: Discover { nginx: true, ..Discover::NONE },
        roots: Roots { nginx: Some(vec![dir.join("etc/nginx.conf")]), ..Roots::default() },
        ..Config::new()
    };
    check(
        &config,
        dir,
        &expect![[r#"
            + /logs/error.log nginx service=nginx: error_log in /etc/nginx.conf; not there yet, followed when it appears
            + /logs/access.log nginx service=nginx [$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"]: access_log in /etc/nginx.conf, format combined
            + /logs/shop.log nginx service=nginx [escape=json;{"s":$status,"q":"a 'b' ${request}"}]: access_log in /etc/nginx.conf, format json; not there yet, followed when it appears
            - stderr nginx : error_log in /etc/nginx.conf: is no file that can be followed
            + /logs/a.test.log nginx service=nginx [$remote_addr [$time_local] "$request" $status]: access_log in /etc/nginx.conf, format main
            - syslog:server=10.0.0.1 nginx : access_log in /etc/nginx.conf: goes to syslog, not to a file
            - /dev/stdout nginx : access_log in /etc/nginx.conf: is no file that can be followed
            - logs/odd.log nginx : access_log in /etc/nginx.conf: log_format nosuch is not defined
        "#]],
    );
}

#[test]
fn what_nginx_was_compiled_with() {
    let said = "nginx version: nginx/1.22.1\nconfigure arguments: --prefix=/usr/share/nginx --conf-path=/etc/nginx/nginx.conf \
                --http-log-path=/var/log/nginx/access.log --error-log-path=stderr --with-debug";
    let compiled = nginx::Compiled::parse(said);
    assert_eq!(compiled.prefix.as_deref(), Some(Path::new("/usr/share/nginx")));
    assert_eq!(compiled.conf_path.as_deref(), Some(Path::new("/etc/nginx/nginx.conf")));
    assert_eq!(compiled.access_log.as_deref(), Some(Path::new("/var/log/nginx/access.log")));
    assert_eq!(compiled.error_log, None);
}

#[test]
fn pm2_homes() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let dir = temp.path();
    let log = |name: &str| dir.join("logs").join(name).display().to_string();
    let dump = serde_json::json!([
        { "name": "py worker", "pm_id": 11, "pm_out_log_path": log("py-worker-out.log"), "pm_err_log_path": log("py-worker-error.log") },
        { "name": "combined", "pm_id": 9, "pm_out_log_path": log("combined.log"), "pm_err_log_path": log("combined.log") },
        { "name": "withlog", "pm_id": 10, "pm2_env": { "name": "withlog", "pm_out_log_path": log("withlog-out.log"),
          "pm_err_log_path": log("withlog-error.log"), "pm_log_path": log("withlog-all.log") } },
    ]);
    put(dir, "dump.pm2", &dump.to_string());
    put(dir, "pm2.log", "");
    for name in [
        "py-worker-out.log",
        "py-worker-error.log",
        "combined.log",
        "withlog-out.log",
        "withlog-error.log",
        "withlog-all.log",
        "clu-out-5.log",
        "clu-error-5.log",
        "pm2-logrotate-out.log",
        "clu-out-5__2026-11-20_09-10-11.log",
        "old-out.log",
        "old-all.log",
        "lone.log",
        "old-out__2026-11-19_00-00-00.log.gz",
        "clu-out-5.log.1",
    ] {
        put(dir, &format!("logs/{name}"), "");
    }
    let config = Config {
        discover: Discover { pm2: true, ..Discover::NONE },
        roots: Roots { pm2: Some(vec![dir.to_path_buf(), dir.join("nowhere")]), ..Roots::default() },
        ..Config::new()
    };
    check(
        &config,
        dir,
        &expect![[r#"
            + /pm2.log pm2 service=pm2: the log of the PM2 daemon: restarts and crash loops
            + /logs/combined.log pm2 pm2_app=combined service=combined: app combined in dump.pm2
            + /logs/py-worker-error.log pm2 pm2_app=py worker service=py worker stream=stderr: app py worker in dump.pm2
            + /logs/py-worker-out.log pm2 pm2_app=py worker service=py worker stream=stdout: app py worker in dump.pm2
            - /logs/withlog-all.log pm2 : log_file of withlog: it repeats what the out and error files have
            + /logs/withlog-error.log pm2 pm2_app=withlog service=withlog stream=stderr: app withlog in dump.pm2
            + /logs/withlog-out.log pm2 pm2_app=withlog service=withlog stream=stdout: app withlog in dump.pm2
            + /logs/clu-error-5.log pm2 pm2_app=clu service=clu stream=stderr: named as PM2 names its logs
            + /logs/clu-out-5.log pm2 pm2_app=clu service=clu stream=stdout: named as PM2 names its logs
            - /logs/clu-out-5__2026-11-20_09-10-11.log pm2 : rotated by pm2-logrotate: finished under its old name
            + /logs/lone.log pm2 pm2_app=lone service=lone: in the log directory of PM2
            - /logs/old-all.log pm2 : seems to repeat the out and error files of old
            + /logs/old-out.log pm2 pm2_app=old service=old stream=stdout: named as PM2 names its logs
            - /logs/old-out__2026-11-19_00-00-00.log.gz pm2 : compressed
            - /logs/pm2-logrotate-out.log pm2 : pm2-logrotate's own log
        "#]],
    );
}

#[test]
fn docker_containers() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let dir = temp.path();
    let config = |id: &str, name: &str, labels: &str| {
        format!(
            r#"{{"ID":"{id}","Name":"/{name}","LogPath":"/elsewhere/{id}-json.log","Config":{{"Image":"shop:7","Labels":{{{labels}}}}}}}"#
        )
    };
    put(
        dir,
        "containers/aa/config.v2.json",
        &config("aa", "plain", r#""com.example.team":"pay","org.opencontainers.image.title":"x""#),
    );
    put(dir, "containers/aa/hostconfig.json", r#"{"LogConfig":{"Type":"json-file","Config":{}}}"#);
    put(dir, "containers/aa/aa-json.log", "");
    let compose = r#""com.docker.compose.project":"shop","com.docker.compose.service":"web""#;
    put(dir, "containers/bb/config.v2.json", &config("bb", "shop-web-1", compose));
    put(dir, "containers/bb/bb-json.log", "");
    put(dir, "containers/cc/config.v2.json", &config("cc", "quiet", ""));
    put(dir, "containers/cc/hostconfig.json", r#"{"LogConfig":{"Type":"local"}}"#);
    put(dir, "containers/dd/config.v2.json", "torn{");
    let settings = Config {
        discover: Discover { docker: true, ..Discover::NONE },
        roots: Roots { docker: Some(dir.to_path_buf()), ..Roots::default() },
        ..Config::new()
    };
    check(
        &settings,
        dir,
        &expect![[r#"
            + /containers/aa/aa-json.log docker container=plain image=shop:7 label.com.example.team=pay service=plain: container plain
            + /containers/bb/bb-json.log docker compose_project=shop container=shop-web-1 image=shop:7 service=web: container shop-web-1
            + /containers/cc/local-logs/container.log docker container=quiet image=shop:7 service=quiet [frames]: container quiet, local log driver; not there yet, followed when it appears
        "#]],
    );
    // What is chosen is there, machinery or not; the project of compose is a field of its own in any case.
    let labels = |globs: &[&str]| {
        let globs = globs.iter().map(|glob| (*glob).to_owned()).collect();
        let found = discover(&Config { container_labels: Some(globs), ..settings.clone() });
        let of = |finding: &Finding| -> Vec<String> {
            let labels =
                finding.candidate.labels.iter().filter(|(name, _)| name.contains("label") || name.contains("project"));
            labels.map(|(name, value)| format!("{name}={value}")).collect()
        };
        found.iter().flat_map(of).collect::<Vec<String>>()
    };
    assert_eq!(labels(&[]), ["compose_project=shop"]);
    assert_eq!(labels(&["com.example.*"]), ["label.com.example.team=pay", "compose_project=shop"]);
    let all = labels(&["*"]);
    assert_eq!(all.iter().filter(|label| label.starts_with("label.")).count(), 4, "{all:?}");
}

#[test]
fn pods_and_globs() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let dir = temp.path();
    put(dir, "pods/prod_web-7d9_1234-5678/app/0.log", "");
    put(dir, "pods/prod_web-7d9_1234-5678/app/0.log.20261120-091845", "");
    put(dir, "srv/a.log", "");
    put(dir, "srv/a.log.gz", "");
    put(dir, "srv/debug.log", "");
    fs::create_dir_all(dir.join("srv/dir.log")).expect("a directory");
    let rule = FileRule {
        exclude: vec!["debug*".into()],
        ..FileRule::plain(vec![
            dir.join("srv/*.log*").display().to_string(),
            dir.join("srv/a.log").display().to_string(),
        ])
    };
    let config = Config {
        discover: Discover { kubernetes: true, ..Discover::NONE },
        roots: Roots { kubernetes: Some(dir.join("pods")), ..Roots::default() },
        files: vec![rule],
        ..Config::new()
    };
    check(
        &config,
        dir,
        &expect![[r#"
            + /srv/a.log file service=a: matches /srv/*.log*
            - /srv/a.log.gz file : compressed
            - /srv/debug.log file : excluded by debug*
            + /pods/prod_web-7d9_1234-5678/app/0.log cri container=app namespace=prod pod=web-7d9 service=app: pod web-7d9 in prod
        "#]],
    );
    let dirs = Discovery::new(config).directories();
    assert!(dirs.contains(&dir.join("srv")) && dirs.contains(&dir.join("pods")), "{dirs:?}");
}

#[test]
fn the_table_shows_no_control_signs() {
    let candidate = Candidate::new("/tmp/a\u{1b}[2Jb.log", SourceKind::File).label("service", "x");
    let findings = [Finding::follow(candidate, "why"), Finding::skip("/tmp/c", SourceKind::Docker, "driver")];
    let mut out = Vec::new();
    crate::show::table(&findings, &mut out).expect("a table");
    expect![[r#"
        PATH             TYPE  SERVICE  FORMAT  WHY
        /tmp/a?[2Jb.log  file  x        -       why

        skipped
        /tmp/c  docker  driver
    "#]]
    .assert_eq(&String::from_utf8(out).expect("text").replace('\u{fffd}', "?"));
}
