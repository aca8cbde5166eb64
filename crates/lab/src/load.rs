//! `majordomo-lab stress --load`: the highest rate of the socket API, and its behaviour beyond that.
//!
//! Open loop: requests fall due at fixed times whether earlier ones are answered or not, and a latency counts from
//! the time at which the request was due. Rates rise until p99 breaks the bound; the last good one is the knee. At
//! three times the knee the server must answer or say clearly that it will not, stay up, and be well again within a
//! second. Server and generator share the machine, so for this the server is held to a share of one core, where the
//! system allows it, and has a knee that the generator can exceed; the rate that it proved to send is printed. Bounded in requests
//! under way and time; a Unix socket only.

mod generator;
mod held;
mod outcome;
mod server;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use generator::{Pool, request};
use held::Held;
use outcome::{HEAD, Outcome, QUEUE_FULL};
pub(crate) use server::{ServerArgs, serve};

/// A request that has no answer by then is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// After too much, the server is well again within this.
const RECOVERY: Duration = Duration::from_secs(1);
/// The generator must send this share of what was due, or the rate is not proved.
const PROVED: f64 = 0.98;
/// A rate is too high when it fails so often: another process may cause a single failure.
const TRIES: u32 = 3;
/// How many knees are too much.
const TOO_MUCH: f64 = 3.0;
/// The share of one core that a held server has.
const SHARE: f64 = 0.25;
/// The lowest rate, requests a second.
const LOWEST: f64 = 200.0;
/// Rates end here on any machine.
const HIGHEST: f64 = 100_000.0;

/// The options of a load test.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The bound of p99.
    pub(crate) bound: Duration,
    /// How long each rate lasts.
    pub(crate) step: Duration,
}

/// Runs the load test; false when it was interrupted.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    ensure!(options.step >= Duration::from_millis(500), "a rate must last at least 500 ms");
    let dir = std::env::temp_dir().join(format!("majordomo-load-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let held = Held::create(&format!("majordomo-load-{}", std::process::id()));
    let result = runtime.block_on(async {
        tokio::select! {
            done = load(options, &dir, held.as_ref()) => done.map(|()| true),
            interrupt = tokio::signal::ctrl_c() => {
                interrupt.context("interrupts cannot be heard").map(|()| false)
            }
        }
    });
    drop(runtime);
    // A folder that cannot be removed does no harm.
    let _ = std::fs::remove_dir_all(&dir);
    result
}

async fn load(options: &Options, dir: &Path, held: Result<&Held, &String>) -> anyhow::Result<()> {
    let socket = dir.join("api.sock");
    let mut server = server::start(dir, &socket, held.ok()).await?;
    let pool = Arc::new(Pool::new(&socket));
    // The first request loads the component.
    pool.once("hot").await.0.map_err(|e| anyhow::anyhow!("the first request failed: {e}"))?;

    println!("p99 must stay within {:?}; each rate for {:?}", options.bound, options.step);
    let knee = knee(&pool, options, LOWEST).await?;
    println!("knee: {knee:.0} requests a second (each a lease and its return, on one connection)");

    let (over, much) = match held {
        Ok(held) => {
            held.hold(SHARE).context("the server cannot be held")?;
            println!("the server is held to {SHARE} of a core, so that the generator outruns it");
            let lowest = (knee * SHARE / 8.0).min(LOWEST);
            let held_knee = self::knee(&pool, options, lowest).await?;
            println!("its knee: {held_knee:.0} requests a second");
            (too_much(&pool, options, held_knee).await?, held_knee)
        }
        Err(why) => {
            println!("the server cannot be held ({why}): the generator may not outrun it");
            (too_much(&pool, options, knee).await?, knee)
        }
    };
    ensure!(server.try_wait()?.is_none(), "the server died of it");
    if let Ok(held) = held {
        held.release().context("the bound of the server cannot be removed")?;
    }

    neighbour(&pool, options, knee).await?;
    drop(server.stdin.take());
    let status = timeout(Duration::from_secs(30), server.wait())
        .await
        .context("the server does not end")??;
    ensure!(status.success(), "the server ended with {status}");
    verdict(&over, much, held.is_ok())?;
    println!("passed");
    Ok(())
}

/// The highest rate that is served within the bound; each is half again as high as the one before.
async fn knee(pool: &Arc<Pool>, options: &Options, lowest: f64) -> anyhow::Result<f64> {
    println!("{HEAD}");
    let (mut knee, mut rate) = (0.0, lowest);
    'rates: while rate < HIGHEST {
        for _ in 0..TRIES {
            let outcome = pool.at_rate(rate, options.step).await;
            println!("{}", outcome.line(rate));
            if outcome.is_good(options.bound) {
                knee = outcome.rate();
                rate *= 1.5;
                continue 'rates;
            }
            recovered(pool, options.bound).await?;
        }
        break;
    }
    ensure!(knee > 0.0, "not even the lowest rate is served within {:?}", options.bound);
    recovered(pool, options.bound).await?;
    Ok(knee)
}

/// Three times the knee, and twice as much again and again until something is refused: on a machine that does other
/// things the knee is where those begin to show. The server must be well again soon after the last request.
async fn too_much(pool: &Arc<Pool>, options: &Options, knee: f64) -> anyhow::Result<Outcome> {
    println!("three times the knee, or as much as it takes:\n{HEAD}");
    let (mut rate, mut left) = (knee * TOO_MUCH, TRIES);
    loop {
        let sent = pool.send(rate, options.step).await;
        let (took, over) = tokio::join!(recovered(pool, options.bound), sent.answered());
        println!("{}", over.line(rate));
        left -= 1;
        let took = match took {
            Ok(took) => took,
            Err(error) if left == 0 => return Err(error),
            Err(error) => {
                println!("once more: {error:#}");
                continue;
            }
        };
        if over.refused.count() > 0 || rate > HIGHEST {
            println!("the generator proved {:.2} times the knee", over.rate() / knee);
            println!("well again {took:.0?} after the last request");
            return Ok(over);
        }
        (rate, left) = (rate * 2.0, TRIES);
    }
}

/// Requests that are not served must be refused in words that mean "not now".
fn verdict(over: &Outcome, knee: f64, is_held: bool) -> anyhow::Result<()> {
    let says_so = |code: &str| code.starts_with("503 ") || code == QUEUE_FULL;
    if let Some((code, n)) = over.codes.iter().find(|(code, _)| !says_so(code)) {
        bail!("{n} answers were {code}, which does not say that the server has too much to do");
    }
    let how: Vec<_> = over.how.iter().map(|(how, n)| format!("{n}: {how}")).collect();
    ensure!(over.broken == 0, "{} requests had no answer at all: {}", over.broken, how.join("; "));
    ensure!(over.served.count() > 0, "nothing was served any more");
    let proved = over.rate() / knee;
    ensure!(over.refused.count() > 0, "nothing was refused, so it was not too much");
    ensure!(
        !is_held || proved >= TOO_MUCH * PROVED,
        "the generator sent {proved:.2} times the knee only, which says nothing of three times; is the machine busy?"
    );
    Ok(())
}

/// Latency of one component alone, and while another is loaded and unloaded all the time.
async fn neighbour(pool: &Arc<Pool>, options: &Options, knee: f64) -> anyhow::Result<()> {
    let rate = (knee / 4.0).max(20.0);
    let alone = pool.at_rate(rate, options.step).await;
    let (stop, stopped) = watch::channel(false);
    let heavy = Arc::clone(pool);
    let loading = tokio::spawn(async move {
        let mut n = 0u32;
        while !*stopped.borrow() {
            if heavy.client().acquire(&request("heavy")).await.is_ok() {
                n += 1;
            }
            // In use for a moment still: then it is asked again.
            while heavy.client().unload("heavy", true).await.is_err() && !*stopped.borrow() {
                sleep(Duration::from_millis(20)).await;
            }
        }
        n
    });
    let beside = pool.at_rate(rate, options.step).await;
    stop.send_replace(true);
    let n = loading.await.context("the neighbour's loads came to grief")?;
    println!("a neighbour that loads 64 MiB again and again, {n} times:\n{HEAD}");
    println!("{}  alone\n{}  beside it", alone.line(rate), beside.line(rate));
    ensure!(n > 0, "the neighbour was never loaded");
    ensure!(beside.broken == 0, "{} requests broke beside the neighbour", beside.broken);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_much_may_be_refused_in_words_only_and_must_be_too_much() {
        let mut over = Outcome { sent: 3_000, seconds: 1.0, ..Outcome::default() };
        over.served.record(Duration::from_millis(5));
        over.refused.record(Duration::from_millis(1));
        over.codes.insert("503 too_many_connections".to_owned(), 7);
        over.codes.insert(QUEUE_FULL.to_owned(), 2);
        verdict(&over, 1_000.0, true).unwrap();
        let error = |over: &Outcome, knee| verdict(over, knee, true).unwrap_err().to_string();
        assert!(error(&over, 1_100.0).contains("2.73 times"), "{}", error(&over, 1_100.0));
        // Without a hold the rate need not be proved.
        verdict(&over, 1_100.0, false).unwrap();
        over.broken = 1;
        assert!(error(&over, 1_000.0).contains("no answer"));
        over.broken = 0;
        over.codes.insert("500 internal".to_owned(), 2);
        assert!(error(&over, 1_000.0).contains("500 internal"));
        let mut good = Outcome { sent: 3_000, due: 3_000, seconds: 1.0, ..Outcome::default() };
        good.served.record(Duration::from_millis(5));
        assert!(error(&good, 1_000.0).contains("nothing was refused"));
    }
}
