//! `majordomo-lab stress --kills`: SIGKILL of the manager at many random moments, from its first millisecond on. After each
//! nothing of it lives longer than two seconds, its state file opens, and what was durable before is there.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use majordomo_sim::Rng;
use tokio::time::{sleep_until, timeout_at};

use super::driver::{Driver, Subject};
use super::plan::{Profile, Times};
use super::record::{Folder, Record, new_folder};
use super::sample::Message;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// How many.
    pub(crate) times: u32,
    /// Managers that are tried at once.
    pub(crate) jobs: u32,
    /// The seed of the moments.
    pub(crate) seed: u64,
    /// Where logs and state go; none = a new folder in target/stress.
    pub(crate) out: Option<PathBuf>,
}

/// Learned figures are gathered for ten seconds before they are written: some moments must come later.
const LATEST_MS: u64 = 16_000;

/// A moment after the start: half of them within the first second, a quarter after the first write.
fn moment(rng: &mut Rng) -> Duration {
    match rng.below(4) {
        0 => Duration::from_millis(rng.between(10_000, LATEST_MS)),
        1 => Duration::from_millis(rng.between(1_000, 10_000)),
        _ => rng.millis(1, 1_000),
    }
}

/// Runs the command.
pub(crate) fn run(args: &Options) -> anyhow::Result<()> {
    ensure!(args.times > 0 && args.jobs > 0, "--kills and --jobs must be at least 1");
    let out = new_folder(args.out.as_deref(), "kills")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lanes: Vec<_> = (0..args.jobs)
        .map(|lane| (lane, args.times / args.jobs + u32::from(lane < args.times % args.jobs)))
        .filter(|(_, n)| *n > 0)
        .collect();
    let mut done = runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for (lane, n) in lanes {
            let folder = Folder(out.path(&format!("lane-{lane}")));
            let seed = args.seed.wrapping_add(u64::from(lane) << 32);
            tasks.spawn(kill_often(folder, seed, n));
        }
        let mut done = Vec::new();
        while let Some(lane) = tasks.join_next().await {
            done.push(lane.context("a lane panicked")??);
        }
        anyhow::Ok(done)
    })?;
    done.sort_by_key(|d| d.before_up);
    let sum = |get: fn(&Done) -> u64| done.iter().map(get).sum::<u64>();
    println!(
        "{} kills, {} of them before the manager was up and {} after a checkpoint: {} violations",
        sum(|d| d.kills),
        sum(|d| d.before_up),
        sum(|d| d.after_checkpoint),
        sum(|d| d.violations.len() as u64),
    );
    let told: Vec<_> = done.into_iter().flat_map(|d| d.violations).collect();
    if !told.is_empty() {
        bail!("{}", told.join("\n"));
    }
    Ok(())
}

#[derive(Default)]
struct Done {
    kills: u64,
    before_up: u64,
    after_checkpoint: u64,
    violations: Vec<String>,
}

async fn kill_often(folder: Folder, seed: u64, n: u32) -> anyhow::Result<Done> {
    std::fs::create_dir_all(&folder.0).context("a lane's folder cannot be made")?;
    let long = Duration::from_secs(24 * 3_600);
    let record = Record::new(Profile::Thrash, seed, long);
    let mut driver =
        Driver::new(folder, record, Vec::new(), Times::of(Duration::from_secs(60), None), None);
    // So that many moments fall into its work.
    driver.warms_up = false;
    let mut rng = Rng::new(&[seed]);
    let mut done = Done::default();
    for _ in 0..n {
        let mut subject = driver.spawn()?;
        let at = tokio::time::Instant::now() + moment(&mut rng);
        let (up, checkpoint) = listen_until(&mut driver, &mut subject, at).await?;
        done.kills += 1;
        done.before_up += u64::from(!up);
        done.after_checkpoint += u64::from(checkpoint);
        driver.kill(subject).await?;
    }
    // Once more in peace: what the last one left is looked at, too.
    let subject = driver.start().await?;
    driver.kill(subject).await?;
    done.violations = driver.record.violations.into_iter().map(|v| v.1).collect();
    Ok(done)
}

/// Hears the process until a moment; whether it came up, and whether it told of a checkpoint.
async fn listen_until(
    driver: &mut Driver,
    subject: &mut Subject,
    at: tokio::time::Instant,
) -> anyhow::Result<(bool, bool)> {
    let (mut up, mut checkpoint) = (false, false);
    while let Ok(line) = timeout_at(at, subject.next_line()).await {
        let Some(line) = line? else {
            driver.violation("the manager's process ended by itself");
            sleep_until(at).await;
            break;
        };
        let message = Message::read(&line)?;
        up |= matches!(message, Message::Started { .. });
        checkpoint |= matches!(message, Message::Checkpoint { .. });
        driver.hear(message)?;
    }
    Ok((up, checkpoint))
}
