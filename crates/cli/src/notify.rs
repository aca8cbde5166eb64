//! Reports the server's state to the service manager: the notification protocol of systemd (`sd_notify(3)`), and its
//! watchdog.
//!
//! Without `NOTIFY_SOCKET` nothing is sent and nothing costs anything.

use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use majordomo::environment_variable;

/// The way to the service manager.
#[derive(Debug)]
pub(crate) struct Notify {
    to: Option<(UnixDatagram, SocketAddr)>,
}

impl Notify {
    /// From the environment.
    pub(crate) fn new() -> Self {
        let name = environment_variable("NOTIFY_SOCKET");
        let to = name.and_then(|name| match open(&name) {
            Ok(to) => Some(to),
            Err(error) => {
                tracing::warn!(?name, %error, "the service manager cannot be notified");
                None
            }
        });
        Self { to }
    }

    /// Whether a service manager listens.
    pub(crate) fn is_listening(&self) -> bool {
        self.to.is_some()
    }

    fn send(&self, text: &str) {
        let Some((socket, address)) = &self.to else { return };
        if let Err(error) = socket.send_to_addr(text.as_bytes(), address) {
            tracing::debug!(%error, "the service manager was not notified");
        }
    }

    /// Start-up, or a reload, has ended; and how it stands.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// A reload begins.
    pub(crate) fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    /// Shutdown begins, which may take this long.
    pub(crate) fn stopping(&self, deadline: Duration) {
        let micros = deadline.as_micros().saturating_add(1_000_000);
        self.send(&format!("STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC={micros}"));
    }

    /// How it stands.
    pub(crate) fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", one_line(status)));
    }

    /// The server lives.
    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// Starting takes longer than the service manager may think.
    pub(crate) fn still_starting(&self, more: Duration) {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}", more.as_micros()));
    }
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

fn open(name: &std::ffi::OsStr) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let bytes = name.as_encoded_bytes();
    let address = match bytes.split_first() {
        // A name that is no path, which only Linux has.
        #[cfg(target_os = "linux")]
        Some((b'@', name)) => {
            use std::os::linux::net::SocketAddrExt;
            SocketAddr::from_abstract_name(name)?
        }
        _ => SocketAddr::from_pathname(name)?,
    };
    Ok((UnixDatagram::unbound()?, address))
}

/// How often the service manager wants to hear that the server lives: half of `WATCHDOG_USEC`, as it advises; none when
/// it does not ask.
pub(crate) fn watchdog() -> Option<Duration> {
    let var = |name| environment_variable(name)?.into_string().ok();
    let is_other = var("WATCHDOG_PID").is_some_and(|pid| pid != std::process::id().to_string());
    let micros: u64 = var("WATCHDOG_USEC")?.parse().ok()?;
    (!is_other && micros > 0).then(|| Duration::from_micros(micros) / 2)
}
