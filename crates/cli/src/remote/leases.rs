//! Leases: the list of holders, and holding one alone or for a command.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;
use std::time::Duration;

use majordomo::quoted;
use majordomo_server::ClientError;
use majordomo_server::wire::{Bind, Lease, LeaseRequest, LeaseState};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::command::place;
use super::{Remote, span};
use crate::args::{LeaseArgs, ReleaseArgs};
use crate::exit::Exit;
use crate::print;
use crate::table::{self, Cell};

/// The server is asked this often whether a held lease was revoked.
const LOOK: Duration = Duration::from_secs(1);
/// The exit codes of a shell for a command that cannot be run, and for one that does not exist.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

pub(super) fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

impl Remote {
    pub(super) async fn leases(&self) -> anyhow::Result<Exit> {
        let leases = self.client.leases().await?;
        self.show(&leases, |l| {
            if l.leases.is_empty() {
                return vec!["no leases".to_owned()];
            }
            let rows: Vec<_> = l.leases.iter().map(row).collect();
            let heading = ["LEASE", "AGE", "ENDS", "PID", "HOLDER", "COMPONENTS"];
            table::lines(&heading, &rows)
        })?;
        Ok(Exit::Success)
    }

    pub(super) async fn release(&self, args: &ReleaseArgs) -> anyhow::Result<Exit> {
        for id in &args.ids {
            self.client.release(id).await?;
            self.show(&serde_json::json!({ "released": id }), |_| format!("{id} released"))?;
        }
        Ok(Exit::Success)
    }

    pub(super) async fn lease(&self, args: &LeaseArgs) -> anyhow::Result<ExitCode> {
        let mut interrupts = crate::signals::Interrupts::new()?;
        let stays = args.command.is_empty() && args.ttl.is_some();
        let request = LeaseRequest {
            components: args.names.clone(),
            ttl_ms: args.ttl.map(millis),
            bind: if stays { Bind::Ttl } else { Bind::Connection },
            tag: Some(args.tag.clone().unwrap_or_else(|| tag(&args.command))),
            deadline_ms: args.deadline.map(millis),
            priority: None,
        };
        let lease = tokio::select! {
            lease = self.wait(self.client.acquire(&request)) => lease?,
            // The connection ends with the program, and with it the wait.
            () = interrupts.next() => return Ok(Exit::Refused.into()),
        };
        if !args.command.is_empty() {
            let code = self.run_with(&lease, &args.command).await?;
            // The server may be gone by now, and the lease with it; the command's end is what counts.
            drop(self.client.release(&lease.id).await);
            return Ok(code);
        }
        self.show(&lease, text)?;
        if stays {
            return Ok(Exit::Success.into());
        }
        if !self.json {
            print::message("held until Ctrl-C");
        }
        let ended = async {
            let mut look = tokio::time::interval(LOOK);
            loop {
                look.tick().await;
                match self.client.lease(&lease.id).await {
                    Ok(now) if now.state == LeaseState::Revoked => return Ok(now),
                    Ok(_) => {}
                    Err(error) => return Err(error),
                }
            }
        };
        let lost = tokio::select! {
            ended = ended => Some(ended?),
            () = interrupts.next() => None,
        };
        // Renewing gives the reason, in the server's words and form.
        let refused = match lost {
            Some(lost) => self.client.renew(&lost.id, None).await.err(),
            None => None,
        };
        self.client.release(&lease.id).await?;
        match refused {
            Some(error) => Err(error.into()),
            None => Ok(Exit::Success.into()),
        }
    }

    /// Runs a command while the lease is held, and ends as it does.
    async fn run_with(&self, lease: &Lease, command: &[String]) -> anyhow::Result<ExitCode> {
        let (program, words) = match command {
            [program, words @ ..] => (program, words),
            [] => anyhow::bail!("a command is missing after --"),
        };
        let started = Command::new(program).args(words).envs(environment(lease)?).spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                print::error(&format!("{} cannot be run: {error}", quoted(program)));
                let missing = error.kind() == std::io::ErrorKind::NotFound;
                return Ok(ExitCode::from(if missing { NOT_FOUND } else { CANNOT_RUN }));
            }
        };
        let mut watch = LeaseWatch::default();
        let status = self.accompany(&mut child, lease, &mut watch).await?;
        // The lease may have ended since the last look.
        watch.look(self.client.lease(&lease.id).await);
        // As shells do: 128 and the number of the signal.
        let code = status.code().or_else(|| status.signal().map(|n| 128 + n)).unwrap_or(1);
        match u8::try_from(code) {
            Ok(0) if watch.is_lost => Ok(Exit::Lost.into()),
            code => Ok(ExitCode::from(code.unwrap_or(1))),
        }
    }

    async fn accompany(
        &self,
        child: &mut Child,
        lease: &Lease,
        watch: &mut LeaseWatch,
    ) -> anyhow::Result<std::process::ExitStatus> {
        // The terminal sends its interrupt to the command as well, which decides what comes of it.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut look = tokio::time::interval(LOOK);
        loop {
            tokio::select! {
                status = child.wait() => return Ok(status?),
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {
                    let pid = child.id().and_then(|id| i32::try_from(id).ok());
                    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
                        // It may have ended just now.
                        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                    }
                }
                _ = look.tick() => watch.look(self.client.lease(&lease.id).await),
            }
        }
    }
}

/// The state of a lease as it was last printed for the user of a command.
#[derive(Debug, Default)]
struct LeaseWatch {
    /// A component has ended or is being stopped.
    is_lost: bool,
    /// The message that was printed last.
    message: String,
}

impl LeaseWatch {
    /// Prints what has changed since the last look.
    fn look(&mut self, found: Result<Lease, ClientError>) {
        let message = match found {
            Ok(now) => match now.revocation() {
                Some(what) => {
                    self.is_lost = true;
                    format!("majordomo: {what}")
                }
                None => return,
            },
            Err(error) => format!("majordomo: the lease is lost: {error}"),
        };
        if message != self.message {
            print::message(&message);
            self.message = message;
        }
    }
}

/// The name of a holder that has given none.
fn tag(command: &[String]) -> String {
    let words = match command {
        [] => "majordomo lease".to_owned(),
        words => words.join(" "),
    };
    // The server takes 64 characters.
    print::cut(&words, 64)
}

/// The endpoints as variables: `MAJORDOMO_NAME_HOST`, `_PORT`, `_SOCKET`, `_URL`, with the name in capitals.
fn environment(lease: &Lease) -> anyhow::Result<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    out.insert("MAJORDOMO_LEASE".to_owned(), lease.id.clone());
    let mut seen = BTreeMap::new();
    for leased in &lease.components {
        let name = leased.component.as_str().to_uppercase().replace('-', "_");
        if let Some(other) = seen.insert(name.clone(), leased.component.as_str()) {
            anyhow::bail!(
                "{other} and {} would both set the variables MAJORDOMO_{name}_…; lease them one after the other",
                leased.component
            );
        }
        let Some(endpoint) = &leased.endpoint else { continue };
        let mut put = |what: &str, value: Option<String>| {
            out.extend(value.map(|v| (format!("MAJORDOMO_{name}_{what}"), v)));
        };
        put("HOST", endpoint.host.clone());
        put("PORT", endpoint.port.map(|p| p.to_string()));
        put("SOCKET", endpoint.socket.clone());
        put("URL", endpoint.url.clone());
    }
    Ok(out)
}

fn text(lease: &Lease) -> Vec<String> {
    let ends = lease.expires_in_ms.map(|ms| format!(", ends in {}", print::span(span(ms))));
    let mut out = vec![format!("lease {}{}", lease.id, ends.unwrap_or_default())];
    for leased in &lease.components {
        let at = place(leased).map(|at| format!(" at {at}")).unwrap_or_default();
        out.push(format!("  {}{at}", leased.component));
    }
    out
}

fn row(lease: &Lease) -> Vec<Cell> {
    let names: Vec<_> = lease.components.iter().map(|c| c.component.as_str()).collect();
    let tag = lease.tag.clone();
    let ends = match (lease.expires_in_ms, lease.state) {
        (_, LeaseState::Revoked) if lease.components.iter().any(|c| c.ended) => "ended".to_owned(),
        (_, LeaseState::Revoked) => "revoked".to_owned(),
        (Some(ms), _) => format!("in {}", print::span(span(ms))),
        (None, _) => "with its holder".to_owned(),
    };
    vec![
        Cell::left(lease.id.as_str()),
        Cell::right(print::span(span(lease.age_ms))),
        Cell::left(ends),
        Cell::right(lease.pid.map_or_else(|| "-".to_owned(), |p| p.to_string())),
        Cell::left(if lease.old { format!("{tag} (old)") } else { tag }),
        Cell::left(names.join(", ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_of_an_ipv6_address_is_in_brackets() {
        let leased = |host: &str| Leased {
            endpoint: Some(Endpoint {
                host: Some(host.to_owned()),
                port: Some(80),
                ..Endpoint::default()
            }),
            component: "a".parse().unwrap(),
            revoked: false,
            ended: false,
            reason: None,
        };
        assert_eq!(place(&leased("::1")).unwrap(), "[::1]:80");
        assert_eq!(place(&leased("127.0.0.1")).unwrap(), "127.0.0.1:80");
    }
    use majordomo_server::wire::{Endpoint, Leased};

    fn lease(names: &[&str]) -> Lease {
        let leased = |name: &&str| Leased {
            component: majordomo::ComponentId::new(name).unwrap(),
            endpoint: Some(Endpoint {
                host: Some("127.0.0.1".into()),
                port: Some(80),
                socket: None,
                url: Some("http://127.0.0.1:80".into()),
            }),
            revoked: false,
            ended: false,
            reason: None,
        };
        Lease {
            id: "1-1".into(),
            state: LeaseState::Active,
            components: names.iter().map(leased).collect(),
            bind: Bind::Ttl,
            tag: String::new(),
            pid: None,
            age_ms: 0.0,
            expires_in_ms: None,
            old: false,
        }
    }

    #[test]
    fn endpoints_become_variables() {
        let vars = environment(&lease(&["speech-model"])).unwrap();
        let vars: Vec<_> = vars.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            vars,
            [
                "MAJORDOMO_LEASE=1-1",
                "MAJORDOMO_SPEECH_MODEL_HOST=127.0.0.1",
                "MAJORDOMO_SPEECH_MODEL_PORT=80",
                "MAJORDOMO_SPEECH_MODEL_URL=http://127.0.0.1:80",
            ]
        );
        let error = environment(&lease(&["a-b", "a_b"])).unwrap_err().to_string();
        assert!(error.contains("a-b and a_b"), "{error}");
    }
}
