//! The costs of `serve`: memory, idling, status, leases and followers, with the real program.
//!
//! Starts the program with children and reads the system's figures of its process alone (without children);
//! requests go through the client of `majordomo-server`. `cargo bench -p majordomo-cli` measures, the idle part
//! for `IDLE_SECONDS` (an environment variable, 60 by default); run otherwise (or with `--test`) each case runs once
//! and briefly. Times are of this machine at this hour: each row has the load beside it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use majordomo_server::client::Streamed;
use majordomo_server::wire::{Bind, Command as Words, LeaseRequest};
use majordomo_server::{Address, Client};

struct Scale {
    idle: Duration,
    n_status: usize,
    n_leases: usize,
    n_followers: usize,
    followed: Duration,
}

#[expect(clippy::disallowed_methods, reason = "benches measure time")]
fn now() -> Instant {
    Instant::now()
}

/// The program, serving components in a folder of its own.
struct Served {
    child: Child,
    dir: PathBuf,
    socket: PathBuf,
}

impl Served {
    /// `n` components of 10 MiB in a budget for `fit` of them.
    fn start(name: &str, n: usize, fit: usize) -> Self {
        let dir = std::env::temp_dir().join(format!("mj-bench-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&dir));
        std::fs::create_dir_all(&dir).expect("a folder");
        let mut config = format!("[manager]\nbudget = \"{}MiB\"\n", fit * 12);
        for i in 0..n {
            config += &format!(
                "[components.c{i}]\nmemory = \"10MiB\"\nready = {{ stdout = \"up\" }}\nkeywords = [\"word{i}\"]\n\
                 command = [\"/bin/sh\", \"-c\", \"echo up; exec sleep 100000\"]\n"
            );
        }
        std::fs::write(dir.join("c.toml"), config).expect("a file");
        let socket = dir.join("s.sock");
        let child = Command::new(env!("CARGO_BIN_EXE_majordomo"))
            .args(["serve", "c.toml", "--state-dir", "state", "--socket", "s.sock"])
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program");
        Self { child, dir, socket }
    }

    fn client(&self) -> Client {
        Client::new(Address::Unix(self.socket.clone()))
    }

    /// A client once the server answers.
    async fn up(&self) -> Client {
        let client = self.client();
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while client.health().await.is_err() {
            looks.tick().await;
        }
        client
    }

    fn proc(&self, file: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(file)
    }

    /// Resident bytes in MiB; none where there is no `/proc`.
    fn resident_mib(&self) -> Option<f64> {
        let status = std::fs::read_to_string(self.proc("status")).ok()?;
        let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
        Some(kib.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
    }

    /// Seconds on a processor so far, of all its threads, also those that ended.
    fn cpu(&self) -> f64 {
        // Fields 14 and 15, counted after the name; in hundredths of a second.
        let stat = std::fs::read_to_string(self.proc("stat")).unwrap_or_default();
        let after = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = after.split_ascii_whitespace().skip(11).take(2);
        ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

fn row(what: &str, value: &str) {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("{what:<58} {value:<34} load {}", load.split(' ').next().unwrap_or_default());
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: f64| {
        let i = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
        times.get(i).map_or(0.0, |t| t.as_secs_f64() * 1e6)
    };
    format!("p50 {:.0} us, p99 {:.0} us, n {}", at(0.5), at(0.99), times.len())
}

async fn idle(scale: &Scale) {
    let served = Served::start("idle", 10, 10);
    let client = served.up().await;
    let shown = |mib: Option<f64>| mib.map_or("unknown".to_owned(), |m| format!("{m:.1} MiB"));
    row("resident, ten components, none loaded", &shown(served.resident_mib()));
    for i in 0..10 {
        client.load(&format!("c{i}")).await.expect("it loads");
    }
    row("resident, ten children", &shown(served.resident_mib()));
    let (before, start) = (served.cpu(), now());
    tokio::time::sleep(scale.idle).await;
    let share = (served.cpu() - before) / start.elapsed().as_secs_f64();
    row(
        &format!("idle with ten children, {} s", scale.idle.as_secs()),
        &format!("{:.3} % of a core", share * 100.0),
    );
    row("resident after that", &shown(served.resident_mib()));
}

async fn status(scale: &Scale) {
    let served = Served::start("status", 100, 20);
    let client = served.up().await;
    // A busy day beside it: commands that load and evict.
    let busy = served.client();
    let day = tokio::spawn(async move {
        let mut commands = tokio::time::interval(Duration::from_millis(50));
        for i in 0.. {
            commands.tick().await;
            let words = Words { text: format!("word{}", i * 7 % 100), ..Words::default() };
            drop(busy.command(&words).await);
        }
    });
    let mut times = Vec::with_capacity(scale.n_status);
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    for _ in 0..scale.n_status {
        ticks.tick().await;
        let start = now();
        let status = client.raw_status().await.expect("a status");
        times.push(start.elapsed());
        assert!(status.len() > 10_000);
    }
    day.abort();
    row("GET /v1/status, 100 components, 500 a second, busy day", &percentiles(times));
}

async fn leases(scale: &Scale) {
    let served = Served::start("leases", 10, 10);
    let client = served.up().await;
    client.load("c3").await.expect("it loads");
    let request = LeaseRequest {
        components: vec!["c3".to_owned()],
        bind: Bind::Connection,
        ..LeaseRequest::default()
    };
    let mut times = Vec::with_capacity(scale.n_leases);
    for _ in 0..scale.n_leases {
        let start = now();
        let lease = client.acquire(&request).await.expect("a lease");
        times.push(start.elapsed());
        client.release(&lease.id).await.expect("it is given back");
    }
    row("lease of a ready component", &percentiles(times));
}

async fn followers(scale: &Scale) {
    let served = Served::start("followers", 10, 10);
    let client = served.up().await;
    client.load("c3").await.expect("it loads");
    let mut tasks = Vec::new();
    for _ in 0..scale.n_followers {
        let mut stream = client.follow_events(None).await.expect("a stream");
        tasks.push(tokio::spawn(async move {
            let mut n_events = 0;
            while let Ok(Some(Streamed::Next(..))) = stream.next().await {
                n_events += 1;
            }
            n_events
        }));
    }
    let words = Words { text: "word3".to_owned(), ..Words::default() };
    let (before, start) = (served.cpu(), now());
    let mut events = tokio::time::interval(Duration::from_secs(1));
    while start.elapsed() < scale.followed {
        events.tick().await;
        // The needed component is there, and its use is recorded.
        client.command(&words).await.expect("an event");
    }
    let share = (served.cpu() - before) / start.elapsed().as_secs_f64();
    drop(served);
    let mut n_seen: usize = 0;
    for task in tasks {
        n_seen += task.await.unwrap_or(0);
    }
    row(
        &format!("{} followers, one event a second, {n_seen} seen", scale.n_followers),
        &format!("{:.3} % of a core", share * 100.0),
    );
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let measure = args.iter().any(|a| a == "--bench") && !args.iter().any(|a| a == "--test");
    let seconds = std::env::var("IDLE_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    let scale = if measure {
        Scale {
            idle: Duration::from_secs(seconds),
            n_status: 5000,
            n_leases: 5000,
            n_followers: 200,
            followed: Duration::from_secs(30),
        }
    } else {
        Scale {
            idle: Duration::from_millis(10),
            n_status: 2,
            n_leases: 2,
            n_followers: 2,
            followed: Duration::from_millis(10),
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        status(&scale).await;
        leases(&scale).await;
        followers(&scale).await;
        idle(&scale).await;
    });
}
