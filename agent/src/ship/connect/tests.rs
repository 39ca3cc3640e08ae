//! Real handshakes with authorities that openssl makes, against the server of `runtime`, which reloads as the agent does.

use std::process::Command;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use logweir_runtime::drain::Drain;
use logweir_runtime::tls::{LOOK_EVERY, ServerTls};
use tokio::net::TcpListener;

use super::*;

struct Authority {
    dir: tempfile::TempDir,
}

fn openssl(args: &[&str]) {
    let out = Command::new("openssl").args(args).output().expect("openssl is installed");
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
}

impl Authority {
    fn new() -> Authority {
        let authority = Authority { dir: tempfile::tempdir().expect("a temporary directory") };
        let (key, cert) = (authority.path("ca.key"), authority.path("ca.pem"));
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test authority",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-keyout",
            &key,
            "-out",
            &cert,
        ]);
        authority
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Makes `NAME.pem` and `NAME.key` for 127.0.0.1.
    fn issue(&self, name: &str) {
        let (key, cert, request) =
            (self.path(&format!("{name}.key")), self.path(&format!("{name}.pem")), self.path(&format!("{name}.csr")));
        openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            &self.path("ca.pem"),
            "-CAkey",
            &self.path("ca.key"),
            "-CAcreateserial",
            "-days",
            "2",
            "-copy_extensions",
            "copy",
            "-out",
            &cert,
        ]);
    }
}

async fn serve(authority: &Authority) -> (String, Drain) {
    let path = |name: &str| PathBuf::from(authority.path(name));
    let tls = ServerTls::load(&path("server.pem"), &path("server.key"), Some(&path("ca.pem"))).expect("its files");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let (router, drain) = (Router::new().route("/", get(async || "hello")), Drain::new());
    tokio::spawn(logweir_runtime::serve::serve(listener, Some(Arc::new(tls)), router, drain.clone()));
    (url, drain)
}

fn config(authority: &Authority) -> Config {
    let path = |name: &str| PathBuf::from(authority.path(name));
    let cert = ClientCert { cert_file: path("agent.pem"), key_file: path("agent.key") };
    Config { ca_file: Some(path("ca.pem")), client_cert: Some(cert), ..Config::new() }
}

async fn ask(connector: &mut Connector, url: &str) -> Result<String, reqwest::Error> {
    connector.client().get(url).send().await?.text().await
}

#[tokio::test]
async fn both_sides_show_certificates_and_reload_them() {
    let (old, new) = (Authority::new(), Authority::new());
    for authority in [&old, &new] {
        authority.issue("server");
        authority.issue("agent");
    }
    let (url, _drain) = serve(&old).await;
    let mut connector = Connector::new(&config(&old), TRY_TIMEOUT).expect("its files");
    assert_eq!(ask(&mut connector, &url).await.expect("both are trusted"), "hello");

    // Without a certificate, or with one of another authority, nobody comes in.
    let mut nobody = Connector::new(&Config { client_cert: None, ..config(&old) }, TRY_TIMEOUT).expect("its files");
    assert!(ask(&mut nobody, &url).await.is_err());
    let stranger = Config { client_cert: config(&new).client_cert, ..config(&old) };
    assert!(ask(&mut Connector::new(&stranger, TRY_TIMEOUT).expect("its files"), &url).await.is_err());

    // The server changes to the new authority, and then the agent: neither is restarted.
    for name in ["ca.pem", "server.pem", "server.key"] {
        fs::copy(new.path(name), old.path(name)).expect("a copy");
    }
    tokio::time::sleep(LOOK_EVERY).await;
    let mut pinned = Connector::new(&config(&new), TRY_TIMEOUT).expect("its files");
    assert_eq!(ask(&mut pinned, &url).await.expect("the server has reloaded"), "hello");
    assert!(ask(&mut connector, &url).await.is_err(), "its certificate is of the old authority");
    for name in ["agent.pem", "agent.key"] {
        fs::copy(new.path(name), old.path(name)).expect("a copy");
    }
    assert_eq!(ask(&mut connector, &url).await.expect("the agent has reloaded"), "hello");

    // What is broken leaves the old in force, on both sides.
    for name in ["agent.key", "server.pem"] {
        fs::write(old.path(name), "no key").expect("a broken file");
    }
    tokio::time::sleep(LOOK_EVERY).await;
    assert_eq!(ask(&mut connector, &url).await.expect("nothing has changed"), "hello");
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("ca.pem");
    let config = Config { ca_file: Some(path.clone()), ..Config::new() };
    let message = |config: &Config| Connector::new(config, TRY_TIMEOUT).expect_err("it is wrong").to_string();
    assert!(message(&config).contains("ca.pem: No such file"), "{}", message(&config));
    fs::write(&path, "nothing").expect("a file");
    assert!(message(&config).ends_with("ca.pem: no certificate in it"), "{}", message(&config));
}
