//! What a service tells systemd: ready, reloading, still alive, stopping. Without systemd nothing happens.
//!
//! The protocol is one datagram of `NAME=value` lines to the socket of `NOTIFY_SOCKET`.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to the manager, if there is one.
#[derive(Debug, Default)]
pub struct Manager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// `env` answers `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn new(env: &dyn Fn(&str) -> Option<String>) -> io::Result<Manager> {
        let Some(path) = env("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else { return Ok(Manager::default()) };
        let address = match path.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&path)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        // A manager that does not read must not hold the service up.
        socket.set_nonblocking(true)?;
        let ours = env("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let period = env("WATCHDOG_USEC").filter(|_| ours).and_then(|usec| usec.parse().ok());
        let watchdog = period.filter(|usec| *usec > 0).map(Duration::from_micros);
        Ok(Manager { socket: Some(socket), watchdog })
    }

    /// How often [`Manager::alive`] is due: half of what the manager waits.
    pub fn alive_every(&self) -> Option<Duration> {
        self.watchdog.map(|period| period / 2)
    }

    pub fn ready(&self) {
        self.tell("READY=1");
    }

    pub fn alive(&self, status: &str) {
        self.tell(&format!("WATCHDOG=1\nSTATUS={}", status.replace('\n', " ")));
    }

    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    fn tell(&self, text: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(text.as_bytes())
        {
            tracing::debug!(error = %error, "cannot tell systemd");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_what_it_is_told() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("notify").display().to_string();
        let abstract_name = format!("logweir-test-{}", std::process::id());
        let here = UnixDatagram::bind(&path).expect("a socket");
        let nowhere = SocketAddr::from_abstract_name(&abstract_name).expect("a name");
        let there = UnixDatagram::bind_addr(&nowhere).expect("a socket");
        for (socket, at) in [(here, path), (there, format!("@{abstract_name}"))] {
            let env = |name: &str| match name {
                "NOTIFY_SOCKET" => Some(at.clone()),
                "WATCHDOG_USEC" => Some("30000000".to_owned()),
                _ => None,
            };
            let manager = Manager::new(&env).expect("it is there");
            assert_eq!(manager.alive_every(), Some(Duration::from_secs(15)));
            manager.ready();
            manager.alive("3 files");
            let mut buffer = [0; 100];
            for want in ["READY=1", "WATCHDOG=1\nSTATUS=3 files"] {
                let read = socket.recv(&mut buffer).expect("a message");
                assert_eq!(String::from_utf8_lossy(&buffer[..read]), want);
            }
        }
    }

    #[test]
    fn without_systemd_nothing_happens() {
        let manager = Manager::new(&|_| None).expect("nothing to fail");
        manager.ready();
        assert_eq!(manager.alive_every(), None);
        assert!(Manager::new(&|name| (name == "NOTIFY_SOCKET").then(|| "/nowhere".to_owned())).is_err());
        let other = |name: &str| Some(if name == "WATCHDOG_PID" { "1" } else { "" }.to_owned());
        assert_eq!(Manager::new(&other).expect("no socket").alive_every(), None);
    }
}
