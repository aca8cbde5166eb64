//! The end of a process under test, killed or stopped, after which none of its processes may run.

use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, sleep, timeout};

use super::super::record::Ending;
use super::super::sample::{MARK, Message, marked};
use super::super::subject::Stop;
use super::{Driver, Subject};

/// After a SIGKILL of the manager nothing of it may live longer.
const ORPHANS: Duration = Duration::from_secs(2);
/// After a request to stop it must be down within this.
const DOWN: Duration = Duration::from_secs(120);

impl Driver {
    /// SIGKILL, and what must be true after it.
    pub(crate) async fn kill(&mut self, s: Subject) -> anyhow::Result<()> {
        rustix::process::kill_process(s.pid, Signal::KILL)?;
        self.after_kill(s).await;
        Ok(())
    }

    pub(super) async fn after_kill(&mut self, mut s: Subject) {
        // Reaped at once; what it had written to the pipe before still counts.
        let _ = s.child.wait().await;
        while let Ok(Ok(Some(line))) = timeout(Duration::from_secs(5), s.lines.next_line()).await {
            // The last line may have been cut off.
            let Ok(message) = Message::read(&line) else { continue };
            if let Err(error) = self.hear(message) {
                self.violation(format!("{error:#}"));
            }
        }
        self.orphans("a SIGKILL of the manager").await;
        self.unwritten = None;
    }

    /// Nothing that carries the mark may outlive the manager by more than two seconds.
    pub(super) async fn orphans(&mut self, what: &str) -> usize {
        let until = Instant::now() + ORPHANS;
        let mut left = marked(MARK, &self.mark);
        while !left.is_empty() && Instant::now() < until {
            sleep(Duration::from_millis(20)).await;
            left = marked(MARK, &self.mark);
        }
        let n = left.len();
        if n > 0 {
            self.violation(format!("{ORPHANS:?} after {what} {n} processes live: {left:?}"));
            for pid in left.into_iter().filter_map(Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        n
    }

    /// Stops it and reads its last lines.
    pub(super) async fn stop(
        &mut self,
        mut s: Subject,
        how: Stop,
        interrupts: &mut tokio::signal::unix::Signal,
    ) -> anyhow::Result<()> {
        let mut ending = Ending::default();
        let _ = s.stdin.write_all(format!("{}\n", how.word()).as_bytes()).await;
        let heard = async {
            while let Some(line) = s.lines.next_line().await? {
                match Message::read(&line)? {
                    Message::Ended { levels, booked, not_unloaded } => {
                        (ending.end, ending.booked) = (levels, booked);
                        ending.not_unloaded = not_unloaded;
                        ending.in_order = true;
                    }
                    Message::Down { stuck } => ending.stuck = stuck,
                    other => self.hear(other)?,
                }
            }
            anyhow::Ok(())
        };
        let (late, killed) = tokio::select! {
            heard = timeout(DOWN, heard) => match heard {
                Ok(heard) => {
                    heard?;
                    (false, false)
                }
                Err(_) => (true, false),
            },
            Some(()) = interrupts.recv() => (false, true),
        };
        if late {
            self.violation(format!("the manager's process does not end within {DOWN:?}"));
        }
        if late || killed {
            ending.in_order = false;
            let _ = s.child.start_kill();
        }
        let status = s.child.wait().await?;
        if !status.success() {
            ending.in_order = false;
            if !killed {
                self.violation(format!("the manager's process ends with {status}"));
            }
        }
        // Known only now, if it was still warming up.
        ending.start = self.warm;
        ending.orphans = self.orphans("its orderly end").await;
        self.record.endings.push(ending);
        Ok(())
    }
}
