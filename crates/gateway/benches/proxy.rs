//! The gateway beside a bare proxy on hyper and nginx's `proxy_pass`, in one run, with one worker each.
//!
//! This program starts itself again in each role: the component, the bare proxy, the gateway. nginx takes part where it is
//! installed (`apt-get install nginx-light`). `cargo bench -p majordomo-gateway` measures, each part for `SECONDS` (an environment
//! variable, 10 by default); run otherwise (or with `--test`) each part runs once and briefly. The rounds alternate between the
//! proxies, so that a machine that slows down slows all.
#![expect(clippy::unwrap_used, reason = "a bench that cannot run ends")]

#[path = "proxy/load.rs"]
mod load;
#[path = "proxy/nginx.rs"]
mod nginx;
#[path = "proxy/roles.rs"]
mod roles;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use load::{Load, Transfer};

/// Connections that are kept.
const CONNECTIONS: usize = 64;
/// Bytes of one transfer.
const LARGE: usize = 1 << 30;

/// A process of this bench; killed with it.
pub(crate) struct Started {
    name: &'static str,
    child: Child,
    port: u16,
    prefix: &'static str,
}

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Started {
    /// This program in a role; it prints its port.
    fn role(name: &'static str, behind: u16, prefix: &'static str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--role", name, &behind.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        Self { name, child, port, prefix }
    }

    /// Processor time of the process and its children in seconds, and its resident MiB; none where there is no `/proc`.
    fn figures(&self) -> Option<(f64, f64)> {
        let of = |pid: u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            let ticks =
                fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
            let resident = fields.get(21)?.parse::<f64>().ok()? * 4096.0 / f64::from(1 << 20);
            Some((ticks / 100.0, resident))
        };
        let pid = self.child.id();
        let workers = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let workers = workers.unwrap_or_default();
        let all = workers.split_whitespace().filter_map(|pid| pid.parse().ok());
        all.filter_map(of).chain(of(pid)).reduce(|a, b| (a.0 + b.0, a.1 + b.1))
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|a| a == "--role") {
        return roles::run(&arguments[at + 1], arguments[at + 2].parse().unwrap());
    }
    let measures = arguments.iter().any(|a| a == "--bench");
    let seconds = std::env::var("SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(10.0);
    let (time, n_rounds) = match measures {
        true => (Duration::from_secs_f64(seconds), 3),
        false => (Duration::from_millis(100), 1),
    };
    let large = if measures { LARGE } else { 1 << 20 };

    let component = Started::role("component", 0, "");
    let mut proxies = vec![
        Started::role("bare", component.port, ""),
        Started::role("gateway", component.port, "/c/component"),
    ];
    match nginx::start(component.port) {
        Some(nginx) => proxies.push(nginx),
        None => println!("nginx is not installed and left out"),
    }
    println!(
        "{CONNECTIONS} kept connections, {n_rounds} rounds of {time:?}; load {}",
        load_average()
    );
    println!("proxy     requests/s  CPU us/request   p50 us   p99 us  resident MiB");
    // The first request of the gateway loads the component.
    for proxy in &proxies {
        let path = format!("{}/hello", proxy.prefix);
        drop(Load::run(proxy.port, &path, CONNECTIONS, Duration::from_millis(200)));
    }
    for _ in 0..n_rounds {
        for proxy in &proxies {
            let before = proxy.figures();
            let load = Load::run(proxy.port, &format!("{}/hello", proxy.prefix), CONNECTIONS, time);
            let used = before.zip(proxy.figures()).map(|((a, _), (b, mib))| (b - a, mib));
            let (cpu, mib) = used.unwrap_or((f64::NAN, f64::NAN));
            println!(
                "{:<9} {:>10.0} {:>15.1} {:>8} {:>8} {mib:>13.1}",
                proxy.name,
                load.n as f64 / time.as_secs_f64(),
                cpu * 1e6 / load.n as f64,
                load.at(0.5).as_micros(),
                load.at(0.99).as_micros(),
            );
        }
    }
    println!("\nproxy     direction   MiB/s  growth MiB");
    for transfer in [Transfer::Down, Transfer::Up] {
        for proxy in &proxies {
            let before = proxy.figures().map_or(f64::NAN, |(_, mib)| mib);
            let took = transfer.run(proxy.port, proxy.prefix, large);
            let after = proxy.figures().map_or(f64::NAN, |(_, mib)| mib);
            println!(
                "{:<9} {:<9} {:>7.0} {:>11.1}",
                proxy.name,
                transfer.name(),
                large as f64 / f64::from(1 << 20) / took.as_secs_f64(),
                after - before
            );
        }
    }
}

fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}
