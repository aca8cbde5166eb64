//! `majordomo-lab stress --load`: how much the socket API bears, and what it does when it is asked for more.
//!
//! Open loop: requests fall due at fixed times whether earlier ones are answered or not, and a latency counts from
//! the time at which the request was due. Rates rise until p99 breaks the bound; the last good one is the knee. At
//! three times the knee the server must answer or say clearly that it will not, stay up, and be well again within a
//! second. Bounded in connections and time; a Unix socket only. Server and generator share the machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use majordomo::{ByteSize, ComponentSpec, GuardForm, LoaderSpec, Manager, ProcessSpec, ReadySpec};
use majordomo_server::wire::LeaseRequest;
use majordomo_server::{Address, Client, ClientError, ServeOptions};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::soak::Histogram;

/// Connections of the generator; more requests than these at once are not sent, which is counted.
const CONNECTIONS: usize = 1_500;
/// A request that has no answer by then is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// After too much, the server is well again within this.
const RECOVERY: Duration = Duration::from_secs(1);
/// The generator must send this share of what was due, or the rate is not proved.
const PROVED: f64 = 0.98;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The bound of p99.
    pub(crate) bound: Duration,
    /// How long each rate lasts.
    pub(crate) step: Duration,
}

/// What came of one rate.
#[derive(Debug, Default)]
struct Outcome {
    due: u64,
    sent: u64,
    served: Histogram,
    refused: Histogram,
    codes: BTreeMap<String, u64>,
    broken: u64,
    /// How they broke.
    how: BTreeMap<String, u64>,
    seconds: f64,
}

impl Outcome {
    fn rate(&self) -> f64 {
        self.sent as f64 / self.seconds.max(1e-9)
    }

    fn is_good(&self, bound: Duration) -> bool {
        self.served.quantile(0.99).is_some_and(|p| p <= bound)
            && self.broken == 0
            && self.refused.count() == 0
            && self.sent as f64 >= PROVED * self.due as f64
    }

    fn line(&self, rate: f64) -> String {
        let ms = |h: &Histogram, q| {
            h.quantile(q)
                .map_or_else(|| "-".to_owned(), |d| format!("{:.2}", d.as_secs_f64() * 1e3))
        };
        let codes: Vec<_> = self.codes.iter().map(|(c, n)| format!("{c} {n}")).collect();
        format!(
            "{rate:>8.0} {:>9.0} {:>8} {:>9} {:>9} {:>8} {:>6}  {}",
            self.rate(),
            self.served.count(),
            ms(&self.served, 0.5),
            ms(&self.served, 0.99),
            self.refused.count(),
            self.broken,
            codes.join(", ")
        )
    }
}

const HEAD: &str = "   asked      sent   served    p50 ms    p99 ms  refused broken";

/// Runs the load test.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.step >= Duration::from_millis(500), "a rate must last at least 500 ms");
    let dir = std::env::temp_dir().join(format!("majordomo-load-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(load(options, &dir));
    drop(runtime);
    // A folder in the way of nobody when it cannot be removed.
    let _ = std::fs::remove_dir_all(&dir);
    result
}

async fn load(options: &Options, dir: &Path) -> anyhow::Result<()> {
    let socket = dir.join("api.sock");
    let mut server = server(dir, &socket).await?;
    let pool = Arc::new(Pool::new(&socket)?);
    // The first request loads the component.
    pool.once("hot").await.0.map_err(|e| anyhow::anyhow!("the first request failed: {e}"))?;

    println!("p99 must stay within {:?}; each rate for {:?}\n{HEAD}", options.bound, options.step);
    let (mut knee, mut rate) = (0.0, 200.0);
    // Each rate half again as high; 100 000 a second end the search on any machine.
    while rate < 100_000.0 {
        let outcome = at_rate(&pool, "hot", rate, options.step).await;
        println!("{}", outcome.line(rate));
        if !outcome.is_good(options.bound) {
            break;
        }
        knee = outcome.rate();
        rate *= 1.5;
    }
    ensure!(knee > 0.0, "not even the lowest rate is served within {:?}", options.bound);
    println!("knee: {knee:.0} requests a second (each a lease and its return, on one connection)");
    recovered(&pool, options.bound).await?;

    let over = at_rate(&pool, "hot", knee * 3.0, options.step).await;
    println!("three times the knee:\n{HEAD}\n{}", over.line(knee * 3.0));
    let took = recovered(&pool, options.bound).await?;
    println!("well again after {took:.0?}");
    ensure!(server.try_wait()?.is_none(), "the server died of it");

    neighbour(&pool, options, knee).await?;
    drop(server.stdin.take());
    let status = timeout(Duration::from_secs(30), server.wait())
        .await
        .context("the server does not end")??;
    ensure!(status.success(), "the server ended with {status}");
    verdict(&over)
}

/// What is not served must be refused in words, with the status that means "not now".
fn verdict(over: &Outcome) -> anyhow::Result<()> {
    if let Some((code, n)) = over.codes.iter().find(|(c, _)| !c.starts_with("503 ")) {
        bail!("{n} answers were {code}, which does not say that the server has too much to do");
    }
    let how: Vec<_> = over.how.iter().map(|(how, n)| format!("{n}: {how}")).collect();
    ensure!(over.broken == 0, "{} requests had no answer at all: {}", over.broken, how.join("; "));
    ensure!(over.served.count() > 0, "nothing was served any more");
    println!("passed");
    Ok(())
}

/// Latency of one component alone, and while another is loaded and unloaded all the time.
async fn neighbour(pool: &Arc<Pool>, options: &Options, knee: f64) -> anyhow::Result<()> {
    let rate = (knee / 4.0).max(20.0);
    let alone = at_rate(pool, "hot", rate, options.step).await;
    let heavy = Arc::clone(pool);
    let loading = tokio::spawn(async move {
        let mut n = 0u32;
        loop {
            if heavy.client().acquire(&request("heavy")).await.is_ok() {
                n += 1;
            }
            // In use for a moment still: then it is asked again.
            while heavy.client().unload("heavy", true).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
            if n == u32::MAX {
                return;
            }
        }
    });
    let beside = at_rate(pool, "hot", rate, options.step).await;
    loading.abort();
    println!("a neighbour that loads 64 MiB again and again:\n{HEAD}");
    println!("{}  alone\n{}  beside it", alone.line(rate), beside.line(rate));
    Ok(())
}

/// Waits until a lease comes within the bound again.
async fn recovered(pool: &Arc<Pool>, bound: Duration) -> anyhow::Result<Duration> {
    let began = Instant::now();
    loop {
        let asked = Instant::now();
        let (answer, _) = pool.once("hot").await;
        if answer.is_ok() && asked.elapsed() <= bound {
            return Ok(began.elapsed());
        }
        ensure!(
            began.elapsed() <= RECOVERY,
            "{RECOVERY:?} after the load has ended the server is not well: {answer:?} after {:?}",
            asked.elapsed()
        );
        sleep(Duration::from_millis(10)).await;
    }
}

fn request(name: &str) -> LeaseRequest {
    LeaseRequest {
        components: vec![name.to_owned()],
        ttl_ms: Some(5_000),
        deadline_ms: Some(2_000),
        ..LeaseRequest::default()
    }
}

/// Connections that are idle.
struct Pool {
    address: Address,
    idle: Mutex<Vec<Client>>,
}

impl Pool {
    fn new(socket: &Path) -> anyhow::Result<Self> {
        let address = Address::Unix(socket.to_owned());
        Ok(Self { address, idle: Mutex::default() })
    }

    fn client(&self) -> Client {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop().unwrap_or_else(|| Client::new(self.address.clone()))
    }

    /// A lease and its return; how long the lease took.
    async fn once(&self, name: &str) -> (Result<(), ClientError>, Duration) {
        let client = self.client();
        let asked = Instant::now();
        let answer = client.acquire(&request(name)).await;
        let took = asked.elapsed();
        let answer = match answer {
            Ok(lease) => client.release(&lease.id).await,
            Err(error) => Err(error),
        };
        // A connection that broke is not used again; one that was refused opens anew.
        if answer.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        }
        (answer, took)
    }
}

/// Sends at a rate, whatever the answers do.
async fn at_rate(pool: &Arc<Pool>, name: &'static str, rate: f64, lasts: Duration) -> Outcome {
    let began = Instant::now();
    let n = (rate * lasts.as_secs_f64()) as u64;
    let (mut outcome, mut under_way) = (Outcome { due: n, ..Outcome::default() }, JoinSet::new());
    for i in 0..n {
        let due = began + Duration::from_secs_f64(i as f64 / rate);
        // The timer is good for a millisecond; what is due within it goes at once.
        if due > Instant::now() + Duration::from_millis(1) {
            sleep_until(due).await;
        }
        while let Some(done) = under_way.try_join_next() {
            outcome.take(done.ok());
        }
        if under_way.len() >= CONNECTIONS {
            continue;
        }
        outcome.sent += 1;
        let pool = Arc::clone(pool);
        under_way.spawn(async move {
            let late = Instant::now().saturating_duration_since(due);
            let answered = timeout(PATIENCE, pool.once(name)).await.ok();
            answered.map(|(answer, took)| (answer, late + took))
        });
    }
    outcome.seconds = began.elapsed().as_secs_f64();
    while let Some(done) = under_way.join_next().await {
        outcome.take(done.ok());
    }
    outcome
}

impl Outcome {
    fn take(&mut self, done: Option<Option<(Result<(), ClientError>, Duration)>>) {
        match done.flatten() {
            Some((Ok(()), took)) => self.served.record(took),
            Some((Err(ClientError::Problem(problem)), took)) => {
                self.refused.record(took);
                let code = format!("{} {}", problem.status, problem.code);
                *self.codes.entry(code).or_default() += 1;
            }
            Some((Err(error), _)) => {
                self.broken += 1;
                *self.how.entry(error.to_string()).or_default() += 1;
            }
            None => {
                self.broken += 1;
                *self.how.entry(format!("no answer within {PATIENCE:?}")).or_default() += 1;
            }
        }
    }
}

/// Arguments of `load-server`.
#[derive(clap::Args)]
pub(crate) struct ServerArgs {
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    socket: PathBuf,
}

async fn server(dir: &Path, socket: &Path) -> anyhow::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("load-server").arg("--dir").arg(dir).arg("--socket").arg(socket);
    // Its end follows from ours: it serves as long as standard input is open.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().context("the server cannot be started")?;
    let mut up = [0u8; 3];
    let stdout = child.stdout.as_mut().context("the server has no output")?;
    timeout(Duration::from_secs(30), stdout.read_exact(&mut up))
        .await
        .context("the server does not come up")?
        .context("the server ended at once")?;
    Ok(child)
}

/// Is the server that is put under load, until standard input ends.
pub(crate) fn serve(args: &ServerArgs) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(served(args));
    runtime.shutdown_background();
    result
}

async fn served(args: &ServerArgs) -> anyhow::Result<()> {
    let program = std::env::current_exe()?.display().to_string();
    let command = ["component", "--mib=64", "--load-ms=20"].map(str::to_owned);
    let mut heavy = ComponentSpec::process("heavy", &[])?;
    heavy.loader = LoaderSpec::Process(ProcessSpec {
        command: std::iter::once(program).chain(command).collect(),
        ready: ReadySpec::Stdout("ready".to_owned()),
        ..ProcessSpec::default()
    });
    heavy.memory = ByteSize::mib(72);
    let mut hot = ComponentSpec::builtin("hot")?;
    hot.memory = ByteSize::mib(1);
    let manager = Manager::builder()
        .budget(ByteSize::mib(256))
        .pressure(None)
        .state_dir(args.dir.join("state"))
        .guard(GuardForm::this_program()?)
        .component(hot)
        .component(heavy)
        .builtin("hot", |_| Ok(()))
        .start()
        .await?;
    let options = ServeOptions { socket: Some(args.socket.clone()), ..ServeOptions::default() };
    let server = majordomo_server::serve(manager, options).await?;
    use std::io::Write as _;
    writeln!(std::io::stdout(), "up").context("nobody listens")?;
    let ended =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    ended.await??;
    server.shutdown(None).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_good_when_all_was_sent_served_and_in_time() {
        let bound = Duration::from_millis(20);
        let good = || {
            let mut o = Outcome { due: 100, sent: 100, seconds: 1.0, ..Outcome::default() };
            (0..100).for_each(|_| o.served.record(Duration::from_millis(5)));
            o
        };
        assert!(good().is_good(bound));
        assert!(!Outcome { sent: 90, ..good() }.is_good(bound));
        assert!(!Outcome { broken: 1, ..good() }.is_good(bound));
        assert!(!good().is_good(Duration::from_millis(4)));
        let mut refused = good();
        refused.refused.record(Duration::from_millis(1));
        assert!(!refused.is_good(bound));
    }

    #[test]
    fn too_much_may_be_refused_with_503_only() {
        let mut over = Outcome::default();
        over.served.record(Duration::from_millis(5));
        over.codes.insert("503 too_many_connections".to_owned(), 7);
        verdict(&over).unwrap();
        over.broken = 1;
        assert!(verdict(&over).unwrap_err().to_string().contains("no answer"));
        over.broken = 0;
        over.codes.insert("500 internal".to_owned(), 2);
        assert!(verdict(&over).unwrap_err().to_string().contains("500 internal"));
    }
}
