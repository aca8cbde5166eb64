//! `majordomo-lab stress --kills`: SIGKILL of the manager at many random moments, from its first millisecond on. After each
//! nothing of it lives longer than two seconds, its state file opens, and the data that was durable before is there.
//!
//! The manager writes learned data as often as a setting allows, and reports each write: most kills come after a
//! checkpoint of their own process, and a third of them wait for a write and fall into it or just behind it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use majordomo_sim::Rng;
use tokio::time::{Instant, timeout_at};

use super::driver::{Driver, Subject};
use super::histogram::Histogram;
use super::plan::{Profile, Times};
use super::record::{Folder, Record, new_folder};
use super::sample::{Known, Learned, Message};

/// The options of the kills.
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

/// The shortest time that the setting allows.
const WRITE_STATE_MS: u64 = 1_000;
/// The latest moment after the start: the manager has written several times by then.
const LATEST_MS: u64 = 8_000;
/// A kill that waits for a write waits no longer.
const LATEST_WRITE_MS: u64 = 12_000;
/// How long a write took of which none was seen yet, microseconds.
const WRITE_US: u64 = 2_000;

/// Twice the resolution of tokio's timer.
const TIMER: Duration = Duration::from_millis(2);

/// When a manager is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    /// So long after its start.
    After(Duration),
    /// At the first write that begins so long after its start, this share of the usual time into it.
    Writing(Duration, f64),
}

impl Moment {
    /// A sixth within the first second, half in the time in which there is something to lose, a third at a write that
    /// is not the first.
    fn random(rng: &mut Rng) -> Self {
        match rng.below(6) {
            0 => Self::After(rng.millis(1, 1_000)),
            1..=3 => Self::After(rng.millis(2_500, LATEST_MS)),
            // Beyond 1 it is just over: what it wrote must be there.
            _ => Self::Writing(rng.millis(2_500, 6_000), 1.3 * rng.unit()),
        }
    }
}

/// Runs the command; false when it was interrupted.
pub(crate) fn run(args: &Options) -> anyhow::Result<bool> {
    ensure!(args.times > 0 && args.jobs > 0, "--kills and --jobs must be at least 1");
    let out = new_folder(args.out.as_deref(), "kills")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lanes: Vec<_> = (0..args.jobs)
        .map(|lane| (lane, args.times / args.jobs + u32::from(lane < args.times % args.jobs)))
        .filter(|(_, n)| *n > 0)
        .collect();
    let done = Arc::new(Mutex::new(Done::default()));
    let to_its_end = runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for (lane, n) in lanes {
            let folder = Folder(out.path(&format!("lane-{lane}")));
            let seed = args.seed.wrapping_add(u64::from(lane) << 32);
            tasks.spawn(kill_often(folder, seed, n, Arc::clone(&done)));
        }
        let lanes = async {
            while let Some(lane) = tasks.join_next().await {
                lane.context("a lane panicked")??;
            }
            anyhow::Ok(true)
        };
        tokio::select! {
            done = lanes => done,
            interrupt = tokio::signal::ctrl_c() => {
                interrupt.context("interrupts cannot be heard").map(|()| false)
            }
        }
    })?;
    // The managers of lanes that were broken off end with them.
    drop(runtime);
    let done = done.lock().unwrap_or_else(PoisonError::into_inner);
    if !to_its_end {
        println!("interrupted before {} kills were done", args.times);
    }
    print!("{}", done.lines());
    if !done.violations.is_empty() {
        bail!("{}", done.violations.join("\n"));
    }
    Ok(to_its_end)
}

/// The result of the kills.
#[derive(Debug, Default)]
struct Done {
    kills: u64,
    /// Before the manager was up.
    before_up: u64,
    /// When something was durable that the next process must know.
    something_to_lose: u64,
    /// After a checkpoint of the same process, with more in it than the process began with.
    after_checkpoint: u64,
    /// While the state was being written.
    in_a_write: u64,
    checkpoints: u64,
    writes: u64,
    /// How long the writes took of which the end was seen.
    times: Histogram,
    violations: Vec<String>,
}

impl Done {
    fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.before_up += other.before_up;
        self.something_to_lose += other.something_to_lose;
        self.after_checkpoint += other.after_checkpoint;
        self.in_a_write += other.in_a_write;
        self.checkpoints += other.checkpoints;
        self.writes += other.writes;
        self.times.merge(&other.times);
        self.violations.extend(other.violations);
    }

    fn lines(&self) -> String {
        let ms = self.times.quantile(0.5).map_or(0.0, |t| t.as_secs_f64() * 1e3);
        format!(
            "{} kills of a manager; when it died there was\n{:>6} something durable to lose\n{:>6} something that this \
             very process had learned and written ({} checkpoints in all)\n{:>6} a write of the state under way ({} \
             writes in all, half of them within {ms:.1} ms)\n{:>6} no manager yet: it was still starting\nnothing durable lost, every state file \
             opened, nothing alive after 2 s: {} violations\n",
            self.kills,
            self.something_to_lose,
            self.after_checkpoint,
            self.checkpoints,
            self.in_a_write,
            self.writes,
            self.before_up,
            self.violations.len(),
        )
    }
}

async fn kill_often(
    folder: Folder,
    seed: u64,
    n: u32,
    all: Arc<Mutex<Done>>,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(&folder.0).context("a lane's folder cannot be made")?;
    let long = Duration::from_secs(24 * 3_600);
    let record = Record::new(Profile::Thrash, seed, long);
    let mut driver = Driver::new(
        folder,
        record,
        Vec::new(),
        Times::of(Duration::from_secs(60), None),
        Vec::new(),
    );
    // So that many moments fall into its work.
    driver.warms_up = false;
    driver.write_state_ms = Some(WRITE_STATE_MS);
    let mut rng = Rng::new(&[seed]);
    let mut write = Duration::from_micros(WRITE_US);
    for _ in 0..n {
        driver.record.next_epoch();
        driver.n_writing = 0;
        let mut subject = driver.spawn()?;
        let mut heard = Heard { write, ..Heard::default() };
        heard.until(&mut driver, &mut subject, Moment::random(&mut rng)).await?;
        driver.kill(subject).await?;
        write = heard.write;
        // All that it had said was heard.
        let one = Done {
            kills: 1,
            before_up: u64::from(heard.began.is_none()),
            something_to_lose: u64::from(is_something(&driver.durable)),
            after_checkpoint: u64::from(heard.began.is_some_and(|b| b != driver.durable)),
            in_a_write: u64::from(driver.n_writing > 0),
            checkpoints: heard.checkpoints,
            writes: heard.writes,
            times: heard.times,
            violations: violations(&mut driver),
        };
        all.lock().unwrap_or_else(PoisonError::into_inner).add(one);
    }
    // Once more in peace: the remains of the last one are checked, too.
    let subject = driver.start().await?;
    driver.kill(subject).await?;
    let last = Done { violations: violations(&mut driver), ..Done::default() };
    all.lock().unwrap_or_else(PoisonError::into_inner).add(last);
    Ok(())
}

/// Violations since the last call.
fn violations(driver: &mut Driver) -> Vec<String> {
    std::mem::take(&mut driver.record.violations).into_iter().map(|v| v.1).collect()
}

fn is_something(learned: &Learned) -> bool {
    learned.values().any(Known::is_something)
}

/// The reports of one process.
#[derive(Default)]
struct Heard {
    /// Learned data when it was up.
    began: Option<Learned>,
    checkpoints: u64,
    writes: u64,
    /// How long a write takes.
    write: Duration,
    times: Histogram,
}

impl Heard {
    /// Hears the process until its moment has come.
    async fn until(
        &mut self,
        driver: &mut Driver,
        subject: &mut Subject,
        moment: Moment,
    ) -> anyhow::Result<()> {
        let start = Instant::now();
        let (mut at, aim) = match moment {
            Moment::After(time) => (start + time, None),
            Moment::Writing(time, share) => {
                (start + Duration::from_millis(LATEST_WRITE_MS), Some((start + time, share)))
            }
        };
        let mut writing_since = None;
        while let Ok(line) = timeout_at(at, subject.next_line()).await {
            let Some(line) = line? else {
                driver.violation("the manager's process ended by itself");
                return Ok(());
            };
            let message = Message::read(&line)?;
            match &message {
                Message::Started { learned } => self.began = Some(learned.clone()),
                Message::Checkpoint { .. } => self.checkpoints += 1,
                Message::Write { begins: true } => {
                    writing_since = Some(Instant::now());
                    self.writes += 1;
                    if let Some((from, share)) = aim
                        && Instant::now() >= from
                    {
                        at = Instant::now() + self.write.mul_f64(share);
                        // Finer than the timer is.
                        if self.write.mul_f64(share) <= TIMER {
                            driver.hear(message)?;
                            while Instant::now() < at {
                                std::hint::spin_loop();
                            }
                            return Ok(());
                        }
                    }
                }
                Message::Write { begins: false } => {
                    if let Some(since) = writing_since.take() {
                        self.write = since.elapsed();
                        self.times.record(self.write);
                    }
                }
                _ => {}
            }
            driver.hear(message)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_fall_into_every_part_of_a_managers_life() {
        let mut rng = Rng::new(&[3]);
        let all: Vec<_> = (0..600).map(|_| Moment::random(&mut rng)).collect();
        let n = |is: fn(&Moment) -> bool| all.iter().filter(|m| is(m)).count();
        let early = n(|m| matches!(m, Moment::After(t) if t.as_millis() <= 1_000));
        let later = n(|m| matches!(m, Moment::After(t) if t.as_millis() >= 2_500));
        let inside = n(|m| matches!(m, Moment::Writing(_, share) if *share < 1.0));
        let behind = n(|m| matches!(m, Moment::Writing(_, share) if *share >= 1.0));
        assert!((60..140).contains(&early) && (250..350).contains(&later), "{early} {later}");
        assert!((110..200).contains(&inside) && (20..90).contains(&behind), "{inside} {behind}");
    }
}
