use std::fs;

use super::*;

/// A `/proc` with these command lines.
fn processes(dir: &Path, lines: &[&str]) {
    let _ = fs::remove_dir_all(dir);
    for (pid, line) in lines.iter().enumerate() {
        let dir = dir.join((pid + 100).to_string());
        fs::create_dir_all(&dir).expect("a directory");
        fs::write(dir.join("cmdline"), line.replace(' ', "\0")).expect("a command line");
    }
}

fn found(nginx: &Nginx, dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    nginx.find(&mut all);
    let ours = all.into_iter().filter(|finding| finding.candidate.path.starts_with(dir));
    ours.map(|finding| finding.candidate.path.strip_prefix(dir).expect("ours").display().to_string()).collect()
}

fn nginx(dir: &Path) -> Nginx {
    let seen =
        Seen { compiled: Compiled { conf_path: Some(dir.join("nowhere")), ..Compiled::default() }, ..Seen::default() };
    Nginx { proc: dir.join("proc"), seen: Mutex::new(seen), ..Nginx::new(&Roots::default()) }
}

#[tokio::test(start_paused = true)]
async fn one_that_is_started_later_is_found_with_its_own_configuration() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let dir = temp.path();
    fs::create_dir_all(dir.join("srv/conf")).expect("directories");
    fs::write(dir.join("own.conf"), format!("error_log {}/own.log;", dir.display())).expect("a configuration");
    fs::write(dir.join("srv/conf/shop.conf"), "error_log logs/shop.log;").expect("a configuration");
    let proc = dir.join("proc");
    let nginx = nginx(dir);
    processes(&proc, &["bash -c nginx"]);
    assert!(found(&nginx, dir).is_empty());
    let prefixed = format!("nginx: master process nginx -p {}/srv -c conf/shop.conf", dir.display());
    let own = format!("nginx: master process /usr/sbin/nginx -g daemon off; -c {}/own.conf", dir.display());
    processes(&proc, &["bash", &prefixed, &own, "nginx: worker process -c /etc/passwd"]);
    assert!(found(&nginx, dir).is_empty(), "not yet: the processes were looked at just now");
    tokio::time::advance(ASK_EVERY).await;
    assert_eq!(found(&nginx, dir), ["own.log", "srv/logs/shop.log"]);
    assert!(nginx.is_configuration(&dir.join("own.conf")) && nginx.directories().contains(&dir.join("srv/conf")));
    processes(&proc, &["bash"]);
    tokio::time::advance(ASK_EVERY).await;
    assert!(found(&nginx, dir).is_empty());
}

#[test]
fn a_process_that_only_calls_itself_one_is_not_believed() {
    if !rustix::process::geteuid().is_root() {
        // Only root can give a file away; everywhere else there is nobody to be mistaken for.
        return;
    }
    let temp = tempfile::tempdir().expect("a temporary directory");
    processes(temp.path(), &["nginx: master process nginx -c /tmp/mine.conf"]);
    assert_eq!(running(temp.path()).len(), 1);
    std::os::unix::fs::chown(temp.path().join("100"), Some(4_242), None).expect("root may");
    assert_eq!(running(temp.path()), []);
}

#[test]
fn a_change_of_any_of_its_files_is_one_of_the_configuration() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let dir = temp.path();
    fs::create_dir_all(dir.join("sites")).expect("a directory");
    fs::write(dir.join("nginx.conf"), "http { include sites/*.conf; }").expect("a configuration");
    fs::write(dir.join("sites/a.conf"), "server { }").expect("a configuration");
    let roots = Roots { nginx: Some(vec![dir.join("nginx.conf")]), ..Roots::default() };
    let nginx = Nginx::new(&roots);
    assert!(found(&nginx, dir).is_empty());
    for (file, is) in [("nginx.conf", true), ("sites/a.conf", true), ("sites/a.txt", false)] {
        assert_eq!(nginx.is_configuration(&dir.join(file)), is, "{file}");
    }
    // Also where an include matches nothing yet.
    assert!(nginx.directories().contains(&dir.join("sites")));
}

#[test]
fn two_formats_in_one_file_travel_together() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let dir = temp.path();
    let conf = "http { log_format a '$status'; log_format b 'b $status';
        access_log a.log a; access_log a.log b; access_log $host.log b; }";
    fs::write(dir.join("nginx.conf"), conf).expect("a configuration");
    fs::write(dir.join("a.log"), "").expect("a log");
    let nginx = Nginx::new(&Roots { nginx: Some(vec![dir.join("nginx.conf")]), ..Roots::default() });
    let mut all = Vec::new();
    nginx.find(&mut all);
    assert_eq!(&*all[0].candidate.format, "$status\u{1e}b $status");
}
