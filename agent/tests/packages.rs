//! What is packaged: the Debian package is built and looked into, and every configuration that is shipped is read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use expect_test::expect;
use logweir_agent::Config;
use logweir_proto::yaml::{self, Problems};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn run(command: &mut Command) -> String {
    let out = command.output().expect("it is installed");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&out.stderr));
    text
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).expect("a file of the repository")
}

fn parses(file: &str, text: &str) -> Config {
    let env = |name: &str| (name == "NODE_NAME").then(|| "node-1".to_owned());
    Config::parse(file, text, &env).unwrap_or_else(|problems| panic!("{problems:?}"))
}

#[test]
fn the_debian_package() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let binary = dir.path().join("logweir-agent");
    fs::write(&binary, "#!/bin/sh\n# GLIBC_2.2 GLIBC_2.34 GLIBC_2.9\n").expect("a stand-in for the program");
    run(Command::new(repository().join("deploy/deb.sh")).arg(&binary).arg(dir.path()));
    let packages = fs::read_dir(dir.path()).expect("a directory").filter_map(|entry| Some(entry.ok()?.path()));
    let package =
        packages.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb")).expect("a package");
    let listing = run(Command::new("dpkg-deb").arg("--contents").arg(&package));
    // Mode, owner, name; not size and time.
    let shown: String = listing
        .lines()
        .filter(|line| !line.ends_with('/'))
        .map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            format!("{} {} {}\n", fields[0], fields[1], fields[5])
        })
        .collect();
    expect![[r#"
        -rw-r----- root/root ./etc/logweir/agent.yaml
        -rwxr-xr-x root/root ./usr/bin/logweir-agent
        -rw-r--r-- root/root ./usr/lib/systemd/system/logweir-agent.service
        -rw-r--r-- root/root ./usr/share/doc/logweir-agent/README.md
        -rw-r--r-- root/root ./usr/share/doc/logweir-agent/copyright
    "#]]
    .assert_eq(&shown);
    let field = |name: &str| run(Command::new("dpkg-deb").arg("--field").arg(&package).arg(name)).trim().to_owned();
    assert_eq!(field("Version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(field("Depends"), "passwd, libc6 (>= 2.34), libgcc-s1");

    let control = dir.path().join("control");
    run(Command::new("dpkg-deb").arg("--control").arg(&package).arg(&control));
    assert_eq!(fs::read_to_string(control.join("conffiles")).expect("conffiles"), "/etc/logweir/agent.yaml\n");
    for script in ["postinst", "prerm", "postrm"] {
        run(Command::new("sh").arg("-n").arg(control.join(script)));
    }
}

#[test]
fn the_unit_runs_what_the_package_holds() {
    let unit = read("deploy/logweir-agent.service");
    for line in [
        "Type=notify",
        "ExecStart=/usr/bin/logweir-agent --config /etc/logweir/agent.yaml",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "User=logweir-agent",
    ] {
        assert!(unit.lines().any(|known| known == line), "{line}");
    }
}

#[test]
fn shipped_configurations_are_right() {
    let packaged = parses("deploy/agent.yaml", &read("deploy/agent.yaml"));
    assert_eq!(packaged.token_file.as_deref(), Some(Path::new("/etc/logweir/agent.token")));
    // What stands there as a comment is right too.
    let all = read("deploy/agent.yaml").replace("\n#   ca_file", "\n  ca_file");
    let all: Vec<&str> = all.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).skip(2).collect();
    assert_eq!(parses("deploy/agent.yaml", &all.join("\n")).redact.detectors.len(), 4);

    let readme = read("agent/README.md");
    let (_, example) = readme
        .split_once(
            "```yaml
",
        )
        .expect("an example");
    let every_key = parses("agent/README.md", example.split("```").next().expect("its end"));
    assert_eq!((every_key.rules.len(), every_key.redact.detectors.len()), (2, 8));

    let cluster = read("deploy/kubernetes/agent.yaml");
    for document in cluster.split("\n---\n") {
        let mut problems = Problems::new("agent.yaml", document);
        yaml::parse(document, &mut problems);
        assert!(problems.is_empty(), "{:?}", problems.into_sorted());
    }
    let (_, rest) = cluster.split_once("  agent.yaml: |\n").expect("the configuration");
    let (text, _) = rest.split_once("---").expect("its end");
    let config = parses("configmap", text);
    assert_eq!((config.host.as_deref(), config.discover.kubernetes), (Some("node-1"), true));
    let probes = format!("containerPort: {}", config.listen.expect("probes").port());
    assert!(cluster.contains(&probes));
}
