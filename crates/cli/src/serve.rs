//! `serve`: components behind a socket until a signal.
//!
//! Owns the life of the server: start-up (degraded when a CORE component fails), reloads by SIGHUP, the end by
//! SIGINT and SIGTERM, and what the service manager hears of it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use majordomo::{BuildError, ComponentState, Manager, Priority, ReloadError, Status, count};
use majordomo_gateway::{Claimed, Running, StatusSection};
use majordomo_server::wire::Reloaded;
use majordomo_server::{ReloadFailed, ServeOptions, Server, Token};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{LogFormat, ServeArgs};
use crate::exit::Exit;
use crate::notify::{self, Notify};
use crate::print;
use crate::remote::text_of_reload;
use crate::signals::Interrupts;
use crate::start::{builder, start_or_interrupt};

/// The service manager hears this often how it stands, when that has changed.
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// The extension that is requested again and again while start-up lasts.
const MORE_TIME: Duration = Duration::from_secs(30);

pub(crate) async fn run(
    args: ServeArgs,
    socket: Option<PathBuf>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let token = match (&args.token_file, args.tcp) {
        (Some(path), _) => Some(Token::read(path)?),
        (None, Some(_)) => {
            anyhow::bail!(
                "--tcp needs --token-file: any client that reaches the port could send commands; make one with `(umask 077; openssl rand -hex 32 > FILE)`"
            )
        }
        (None, None) => None,
    };
    let section = StatusSection::default();
    let builder = builder(&args.config, args.state_dir.as_deref())?.release_program();
    let builder = builder.section({
        let section = section.clone();
        move || section.rows()
    });
    #[cfg(feature = "coreml")]
    let builder = builder.back_ends(majordomo::BackEnds::of_program(std::env::current_exe()?));
    let mut interrupts = Interrupts::new()?;
    let notify = Notify::new();
    // Before anything is loaded: a server that is refused must not disturb another.
    let options =
        ServeOptions { socket, tcp: args.tcp, token, token_file: args.token_file.clone() };
    let claimed = majordomo_server::claim(options).await?;
    let gateway = tokio::select! {
        claimed = claim_gateway(args.config.clone()) => claimed?,
        () = interrupts.next() => {
            tracing::info!("interrupted while starting");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let log: fn(&str) = |text| tracing::info!("{text}");
    let started = start_or_interrupt(builder, json, &mut interrupts, log, Exit::Success).await?;
    let manager = match started {
        Ok(manager) => manager,
        Err(code) => return Ok(code),
    };
    let server = claimed.serve(manager.clone());
    let gateway = match gateway {
        Some(gateway) => Some(gateway.serve(manager.clone(), &section).await?),
        None => None,
    };
    say_where(&server, gateway.as_ref(), json);
    tokio::select! {
        () = accompany(&manager, &notify) => {}
        () = until_interrupt(&mut interrupts, &server, &notify) => {}
    }
    // A collector of the log takes nothing but its objects.
    let is_collected = matches!(args.log_format, LogFormat::Json);
    if is_collected {
        tracing::info!("stopping");
    } else if !json {
        print::message("stopping (interrupt again to stop at once)");
    }
    notify.stopping(manager.config().deadlines.shutdown);
    // Requests under way have as long as their components.
    gateway.iter().for_each(Running::close);
    let stuck = tokio::select! {
        stuck = server.shutdown(None) => stuck,
        () = interrupts.next() => server.shutdown(None).await,
    };
    for id in &stuck {
        if is_collected {
            tracing::error!(component = %id, "a component could not be stopped");
        } else {
            print::error(&format!("{id} could not be stopped"));
        }
    }
    Ok(if stuck.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reloads at every SIGHUP. A reload that hangs does not keep an interrupt from being heard.
async fn until_interrupt(interrupts: &mut Interrupts, server: &Server, notify: &Notify) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return interrupts.next().await };
    let reloads = async {
        loop {
            hangup.recv().await;
            reload(server, notify).await;
        }
    };
    tokio::select! {
        () = interrupts.next() => {}
        () = reloads => {}
    }
}

/// Takes the addresses of the gateway, if the configuration has one. Problems of the configuration itself are reported by the
/// manager's start.
async fn claim_gateway(config: PathBuf) -> anyhow::Result<Option<Claimed>> {
    let folder = std::path::absolute(&config)?.parent().map(PathBuf::from).unwrap_or_default();
    let read = tokio::task::spawn_blocking(move || majordomo::read_config(&config, None)).await?;
    let Ok(loaded) = read else { return Ok(None) };
    match loaded.gateway {
        Some(spec) => {
            let claimed = majordomo_gateway::claim(&spec, &folder).await?;
            Ok(Some(claimed.with_components(&loaded.specs).await?))
        }
        None => Ok(None),
    }
}

fn say_where(server: &Server, gateway: Option<&Running>, json: bool) {
    let addresses = gateway.map(Running::addresses).unwrap_or_default();
    if json {
        print::json(&serde_json::json!({
            "socket": server.socket(),
            "tcp": server.tcp(),
            "gateway": addresses,
            "pid": std::process::id(),
        }));
    } else {
        let tcp = server.tcp().map(|a| format!(" and {a}")).unwrap_or_default();
        print::line(&format!("listening at {}{tcp}", server.socket().display()));
        for address in addresses {
            print::line(&format!("components at http://{address}"));
        }
    }
}

/// Reads the configuration again; what is wrong with it is logged, and nothing is changed then.
async fn reload(server: &Server, notify: &Notify) {
    notify.reloading();
    match server.reload().await {
        Ok(reloaded) => {
            tracing::info!("configuration reloaded");
            for line in text_of_reload(&Reloaded::new(&reloaded, false)) {
                tracing::info!("{}", print::plain(line.trim()));
            }
        }
        Err(ReloadFailed::Configuration(ReloadError::Build(BuildError::Config(problems)))) => {
            for problem in problems.as_slice() {
                tracing::error!("{problem:#}");
            }
            tracing::error!("the configuration has problems; nothing was changed");
        }
        Err(error) => tracing::error!("{error}; nothing was changed"),
    }
    let status = server.manager().status().await;
    notify.ready(&status.map_or_else(|e| e.to_string(), |s| summary(&s)));
}

/// Reports the end of start-up and then the state of a running server. Never ends.
async fn accompany(manager: &Manager, notify: &Notify) {
    let settled = settle(manager, notify).await;
    // Most of the program was needed for the start alone.
    majordomo::release_program();
    for c in settled.iter().flat_map(|s| &s.components) {
        if c.priority == Priority::Core && c.state != ComponentState::Ready {
            tracing::error!("degraded: CORE component {} is {}: {}", c.id, c.state, c.cause);
        }
    }
    let mut reported = settled.map(|s| summary(&s)).unwrap_or_default();
    notify.ready(&reported);
    if !notify.is_listening() {
        return std::future::pending().await;
    }
    let mut look = tokio::time::interval(STATUS_EVERY);
    let beat = notify::watchdog();
    let mut watch = tokio::time::interval(beat.unwrap_or(STATUS_EVERY));
    loop {
        tokio::select! {
            _ = look.tick() => {
                let Ok(status) = manager.status().await else { continue };
                let now = summary(&status);
                if now != reported {
                    notify.status(&now);
                    reported = now;
                }
            }
            // An engine that does not answer is not alive.
            _ = watch.tick(), if beat.is_some() => if manager.status().await.is_ok() {
                notify.alive();
            }
        }
    }
}

/// Waits until every CORE component is up, or has failed.
async fn settle(manager: &Manager, notify: &Notify) -> Option<std::sync::Arc<Status>> {
    let mut events = manager.events(None);
    loop {
        let status = manager.status().await.ok()?;
        let on_its_way = |s: ComponentState| {
            matches!(s, ComponentState::Queued { .. } | ComponentState::Loading { .. })
        };
        if !status.components.iter().any(|c| c.priority == Priority::Core && on_its_way(c.state)) {
            return Some(status);
        }
        notify.still_starting(MORE_TIME);
        // The next event, or soon: a status may be a little older than the event that was waited for.
        drop(tokio::time::timeout(MORE_TIME / 3, events.next()).await);
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

/// How it stands, in a line.
fn summary(status: &Status) -> String {
    let ready = status.components.iter().filter(|c| c.state == ComponentState::Ready).count();
    let missing: Vec<_> = status
        .components
        .iter()
        .filter(|c| c.priority == Priority::Core && c.state != ComponentState::Ready)
        .map(|c| format!("{} is {}", c.id, c.state))
        .collect();
    let degraded = match missing.is_empty() {
        true => String::new(),
        false => format!("degraded: {}; ", missing.join(", ")),
    };
    let m = &status.memory;
    format!(
        "{degraded}{ready} of {} loaded, {} of {} booked",
        count(status.components.len(), "component"),
        m.booked,
        m.budget
    )
}
