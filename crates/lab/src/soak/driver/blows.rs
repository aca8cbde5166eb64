//! Faults of the process under test from outside: it is killed, stopped for seconds, denied its disk, starved of
//! memory. Knows when, not what must be true afterwards.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use super::{Driver, Subject};

/// Where files end on a full disk: orders and configuration still fit, the state file does not.
const FULL: u64 = 8 << 10;

/// A fault of the manager from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Blow {
    Kill,
    Stall,
    StallEnds,
    Disk,
    DiskEnds,
    Press,
    PressEnds,
}

impl Driver {
    /// When the next of each blow falls.
    pub(super) fn plan(&mut self) {
        self.blows.clear();
        if !self.record.profile.hits_the_manager() {
            return;
        }
        let total = Duration::from_secs_f64(self.record.total_s);
        let now = Instant::now();
        // The first kill comes early, so that the last process lives long enough to be judged.
        let kill = if self.record.count("SIGKILL") == 0 {
            total.mul_f64(0.12)
        } else {
            self.times.kill_every.mul_f64(0.8 + 0.4 * self.rng.unit())
        };
        let rare = (total / 5).min(Duration::from_secs(600));
        let often = (total / 6).min(Duration::from_secs(300));
        let mut next = |mean: Duration| now + mean.mul_f64(0.5 + self.rng.unit());
        let (stall, disk, press) = (next(rare), next(rare), next(often));
        self.blows.push((now + kill, Blow::Kill));
        self.blows.extend([(stall, Blow::Stall), (disk, Blow::Disk), (press, Blow::Press)]);
    }

    /// Causes a fault; returns whether it killed the process.
    pub(super) async fn strike(&mut self, blow: Blow, s: &mut Subject) -> anyhow::Result<bool> {
        let soon = |s: f64| Instant::now() + Duration::from_secs_f64(s);
        let total = Duration::from_secs_f64(self.record.total_s);
        let rare = (total / 5).min(Duration::from_secs(600)).as_secs_f64();
        match blow {
            Blow::Kill => {
                self.count("SIGKILL");
                rustix::process::kill_process(s.pid, Signal::KILL)?;
                return Ok(true);
            }
            Blow::Stall => {
                self.count("stopped for seconds");
                rustix::process::kill_process(s.pid, Signal::STOP)?;
                let lasts = 1.0 + 6.0 * self.rng.unit();
                self.blows.push((soon(lasts), Blow::StallEnds));
            }
            Blow::StallEnds => {
                rustix::process::kill_process(s.pid, Signal::CONT)?;
                self.mark("continues");
                let next = rare * (0.5 + self.rng.unit());
                self.blows.push((soon(next), Blow::Stall));
            }
            Blow::Disk => {
                self.count("disk full");
                limit_files(s.pid, Some(FULL));
                self.blows.push((soon(15.0), Blow::DiskEnds));
            }
            Blow::DiskEnds => {
                limit_files(s.pid, None);
                self.mark("disk has room");
                self.unwritten = Some(Instant::now());
                let next = rare * (0.5 + self.rng.unit());
                self.blows.push((soon(next), Blow::Disk));
            }
            Blow::Press => {
                self.count("memory pressure");
                self.press(s).await?;
                self.blows.push((soon(4.0 + 8.0 * self.rng.unit()), Blow::PressEnds));
            }
            Blow::PressEnds => {
                self.mark("memory pressure ends");
                if let Some(mut hog) = self.hog.take() {
                    let _ = hog.kill().await;
                }
                if self.group.is_none() {
                    s.stdin.write_all(b"pressure 0\n").await?;
                }
                let next = (total / 6).min(Duration::from_secs(300)).as_secs_f64();
                self.blows.push((soon(next * (0.5 + self.rng.unit())), Blow::Press));
            }
        }
        Ok(false)
    }

    fn count(&mut self, what: &str) {
        self.mark(what);
        *self.record.counters.entry(what.to_owned()).or_default() += 1;
    }

    /// HIGH, CRITICAL or EMERGENCY, by what is left of the limit.
    async fn press(&mut self, s: &mut Subject) -> anyhow::Result<()> {
        let level = self.rng.between(2, 4);
        let left = [0.5, 0.22, 0.18, 0.13, 0.08][level as usize];
        match &self.group {
            Some(group) => match group.press(&std::env::current_exe()?, left) {
                Ok(hog) => self.hog = Some(hog),
                Err(why) => self.mark(format!("no pressure: {why}")),
            },
            None => s.stdin.write_all(format!("pressure {level}\n").as_bytes()).await?,
        }
        Ok(())
    }

    /// Ends a stop and a limit on files.
    pub(super) fn release(&self, s: &Subject) {
        // It may be dead; then there is nothing to release.
        let _ = rustix::process::kill_process(s.pid, Signal::CONT);
        limit_files(s.pid, None);
    }
}

/// No file of the process may be written beyond this. Linux alone can do it from outside.
fn limit_files(pid: Pid, bytes: Option<u64>) {
    #[cfg(target_os = "linux")]
    {
        let limit = Rlimit { current: bytes, maximum: None };
        // It may have ended.
        let _ = rustix::process::prlimit(Some(pid), Resource::Fsize, limit);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (pid, bytes);
}
