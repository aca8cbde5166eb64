//! The driver: starts the process under test, hits it, starts it again, and keeps what it says.
//!
//! It acts on the process only from outside: signals, a limit on file sizes in place of a full
//! disk, memory taken in its cgroup. Its own state is written after every sample, so that it may be ended at
//! any moment and continue with `--resume`.

mod blows;
mod endings;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use majordomo_sim::Rng;
use rustix::process::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until, timeout};

use blows::Blow;

use super::group::{Group, abandoned};
use super::plan::{Leak, Times};
use super::progress::Progress;
use super::record::{Folder, Record, Row};
use super::sample::{Learned, Levels, MARK, Message};
use super::subject::Stop;

/// The process under test must be up within this.
const UP: Duration = Duration::from_secs(60);
/// After a full disk has room again, what was learned must be written within this.
const WRITTEN: Duration = Duration::from_secs(60);

/// The folder of the manager's socket, one of a short name, since the system takes no long path. Removed when dropped.
struct SocketFolder(PathBuf);

/// A run under way.
pub(crate) struct Driver {
    pub(crate) folder: Folder,
    pub(crate) record: Record,
    pub(crate) rows: Vec<Row>,
    pub(crate) times: Times,
    pub(crate) plant: Vec<Leak>,
    /// Whether the process first brings everything that grows to a bound near it.
    pub(crate) warms_up: bool,
    /// After how long the process writes learned data, with a report of each write; none = after the default time.
    pub(crate) write_state_ms: Option<u64>,
    /// Data that is known to be on the disk, and is there in the next process.
    pub(crate) durable: Learned,
    /// Writes of the state that have begun and are not over.
    pub(crate) n_writing: u32,
    pub(crate) interrupted: bool,
    mark: String,
    sockets: SocketFolder,
    began: Instant,
    before_s: f64,
    rng: Rng,
    group: Option<Group>,
    hog: Option<Child>,
    blows: Vec<(Instant, Blow)>,
    /// The levels of the process under test after warming up; none before.
    warm: Option<Levels>,
    /// Since when the disk has had room again and nothing was written yet.
    unwritten: Option<Instant>,
}

pub(crate) struct Subject {
    child: Child,
    pid: Pid,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Subject {
    /// Its next line; none when it has ended.
    pub(crate) async fn next_line(&mut self) -> std::io::Result<Option<String>> {
        self.lines.next_line().await
    }
}

/// How watching one process ended.
enum Over {
    Time,
    Interrupted,
    Killed,
    /// It ended by itself.
    Ended,
}

impl Driver {
    pub(crate) fn new(
        folder: Folder,
        record: Record,
        rows: Vec<Row>,
        times: Times,
        plant: Vec<Leak>,
    ) -> Self {
        let mark = format!("soak-{}-{:x}", std::process::id(), record.seed);
        let sockets = SocketFolder::new(&mark);
        let before_s = record.elapsed_s;
        let rng = Rng::new(&[record.seed, before_s as u64]);
        let now = Instant::now();
        Self {
            folder,
            record,
            rows,
            times,
            plant,
            warms_up: true,
            write_state_ms: None,
            durable: Learned::new(),
            n_writing: 0,
            interrupted: false,
            mark,
            sockets,
            began: now,
            before_s,
            rng,
            group: None,
            hog: None,
            blows: Vec::new(),
            warm: None,
            unwritten: None,
        }
    }

    fn at_s(&self) -> f64 {
        self.before_s + self.began.elapsed().as_secs_f64()
    }

    fn left(&self) -> Duration {
        Duration::from_secs_f64((self.record.total_s - self.at_s()).max(0.0))
    }

    fn mark(&mut self, what: impl Into<String>) {
        let at = self.at_s();
        self.record.mark(at, what);
    }

    pub(crate) fn violation(&mut self, what: impl Into<String>) {
        let (at, what) = (self.at_s(), what.into());
        eprintln!("\r\x1b[K{at:.0} s: {what}");
        self.record.violation(at, what);
    }

    /// Runs until the time is over or an interrupt.
    pub(crate) async fn run(&mut self) -> anyhow::Result<()> {
        let hits = self.record.profile.hits_the_manager();
        if hits {
            match Group::create(&format!("majordomo-{}", self.mark)) {
                Ok(group) => {
                    self.group = Some(group);
                    self.record.pressure = "real: a cgroup of the run's own".to_owned();
                }
                Err(why) => {
                    self.record.pressure = format!("scripted, since there is no group: {why}");
                }
            }
        } else {
            self.record.pressure = "none".to_owned();
        }
        let mut progress = Progress::new();
        // From here on none is lost, whatever is being done when it comes.
        let mut interrupts =
            signal(SignalKind::interrupt()).context("interrupts cannot be heard")?;
        loop {
            if self.before_s > 0.0 || self.record.epoch > 0 || !self.rows.is_empty() {
                self.record.next_epoch();
            }
            let mut subject = self.start().await?;
            let over = self.watch(&mut subject, &mut progress, &mut interrupts).await?;
            self.release(&subject);
            self.hog = None;
            let again = matches!(over, Over::Killed | Over::Ended);
            match over {
                Over::Time => self.stop(subject, Stop::Warm, &mut interrupts).await?,
                Over::Interrupted => {
                    self.interrupted = true;
                    progress.say("interrupted: it ends in order; once more kills it");
                    self.stop(subject, Stop::Now, &mut interrupts).await?;
                }
                Over::Killed => self.after_kill(subject).await,
                Over::Ended => {
                    let status = subject.child.wait().await?;
                    self.violation(format!("the manager's process ended by itself: {status}"));
                    self.orphans("its end").await;
                }
            }
            self.save()?;
            // A process that cannot live for long needs no second of the same to be judged.
            if !again || self.left().is_zero() || self.record.n_violations > 1_000 {
                break;
            }
        }
        progress.end();
        Ok(())
    }

    fn save(&mut self) -> anyhow::Result<()> {
        self.record.elapsed_s = self.at_s();
        self.folder.save(&self.record)
    }

    /// Starts the process under test and waits until it is up.
    pub(crate) async fn start(&mut self) -> anyhow::Result<Subject> {
        let mut subject = self.spawn()?;
        self.warm = None;
        let first = timeout(UP, subject.lines.next_line()).await;
        let Ok(Ok(Some(line))) = first else {
            bail!(
                "the process under test does not come up; see {}",
                self.folder.path("subject.log").display()
            );
        };
        self.hear(Message::read(&line)?)?;
        self.mark("start");
        self.plan();
        Ok(subject)
    }

    /// Starts the process under test.
    pub(crate) fn spawn(&self) -> anyhow::Result<Subject> {
        let program = std::env::current_exe().context("the own program cannot be found")?;
        // The signal of the file size limit is ignored, so that writes fail as on a full disk; a group is joined before
        // anything is allocated.
        let script = "trap '' XFSZ; if [ -n \"$1\" ]; then echo $$ >\"$1\" || exit 1; fi; shift; exec \"$@\"";
        let members = self.group.as_ref().map(Group::members).unwrap_or_default();
        let mut command = Command::new("/bin/sh");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path("subject.log"))
            .context("the log of the process under test cannot be opened")?;
        command
            .args(["-c", script, "sh"])
            .arg(members)
            .arg(&program)
            .arg("soak-subject")
            .arg(format!("--mark={}", self.mark))
            .arg("--dir")
            .arg(&self.folder.0)
            .arg("--socket")
            .arg(self.sockets.0.join("api"))
            .arg(format!("--profile={}", super::word(self.record.profile)))
            .arg(format!("--seed={}", self.record.seed))
            .arg(format!("--epoch={}", self.record.epoch))
            .arg(format!("--offset-ms={}", (self.at_s() * 1e3) as u64))
            .arg(format!("--sample-ms={}", self.times.sample.as_millis()))
            .arg(format!("--day-ms={}", self.times.day.as_millis()))
            .arg(format!("--settle-batches={}", self.times.settle_batches))
            .env_remove(MARK)
            // Else std reads the program's symbols, tens of MiB, at the first panic, more at each in another place,
            // and keeps them: that is no leak of ours, and would hide one.
            .env("RUST_BACKTRACE", "0")
            .env_remove("RUST_LIB_BACKTRACE")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        if self.record.rungs {
            command.arg("--rungs");
        }
        if self.group.is_some() {
            command.arg("--real-pressure");
        }
        if !self.warms_up {
            command.arg("--no-warm-up");
        }
        if let Some(ms) = self.write_state_ms {
            command.arg(format!("--write-state-ms={ms}"));
        }
        if !self.plant.is_empty() {
            command.arg(format!("--plant={}", super::words(&self.plant)));
        }
        let mut child = command.spawn().context("the process under test cannot be started")?;
        let pid = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let (Some(pid), Some(stdin), Some(stdout)) = (pid, child.stdin.take(), child.stdout.take())
        else {
            bail!("the process under test ended at once");
        };
        Ok(Subject { child, pid, stdin, lines: BufReader::new(stdout).lines() })
    }

    /// Everything that was durable before is there.
    fn remembered(&mut self, learned: &Learned) {
        // Data that it read is on the disk.
        let durable = std::mem::replace(&mut self.durable, learned.clone());
        let lost: Vec<_> = durable
            .iter()
            .filter(|(name, was)| !was.is_kept_in(learned.get(*name)))
            .map(|(name, was)| format!("{name}: {was:?}, now {:?}", learned.get(name)))
            .collect();
        if !lost.is_empty() {
            self.violation(format!("the restarted manager has forgotten {}", lost.join("; ")));
        }
        let aside = std::fs::read_dir(self.folder.path("state")).into_iter().flatten().flatten();
        let odd: Vec<_> = aside
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains("corrupt") || name.contains("aside"))
            .collect();
        if !odd.is_empty() {
            self.violation(format!("the state file did not open and was set aside: {odd:?}"));
        }
    }

    async fn watch(
        &mut self,
        s: &mut Subject,
        progress: &mut Progress,
        interrupts: &mut tokio::signal::unix::Signal,
    ) -> anyhow::Result<Over> {
        let end = Instant::now() + self.left();
        loop {
            self.blows.sort();
            let blow = self.blows.first().copied();
            tokio::select! {
                biased;
                () = sleep_until(end) => return Ok(Over::Time),
                Some(()) = interrupts.recv() => return Ok(Over::Interrupted),
                () = async { sleep_until(blow.map_or(end, |b| b.0)).await }, if blow.is_some() => {
                    let (_, blow) = self.blows.remove(0);
                    // The last minute of a run shows what stays, not what was killed.
                    if blow == Blow::Kill && self.left() < self.times.warm_up * 2 {
                        continue;
                    }
                    if self.strike(blow, s).await? {
                        return Ok(Over::Killed);
                    }
                }
                line = s.lines.next_line() => match line? {
                    Some(line) => self.hear(Message::read(&line)?)?,
                    None => return Ok(Over::Ended),
                }
            }
            progress.show(&self.record, self.rows.last(), self.left());
        }
    }

    /// Takes what the process says.
    pub(crate) fn hear(&mut self, message: Message) -> anyhow::Result<()> {
        match message {
            Message::Started { learned } => self.remembered(&learned),
            Message::Ended { .. } | Message::Down { .. } => {}
            Message::Warm { levels } => self.warm = Some(levels),
            Message::Sample { sample } => {
                let counts = self.record.add(&sample);
                self.folder.append_counts(&sample, &counts)?;
                let row = Row::new(&sample);
                self.folder.append(&row)?;
                self.rows.push(row);
                self.save()?;
                if self.unwritten.is_some_and(|since| since.elapsed() > WRITTEN) {
                    self.unwritten = None;
                    self.violation(format!(
                        "{WRITTEN:?} after the disk had room again nothing is written"
                    ));
                }
            }
            Message::Swap { offered } => self.record.swap = Some(offered),
            Message::Mark { at_s, what } => self.record.mark(at_s, what),
            Message::Violation { at_s, what } => {
                eprintln!("\r\x1b[K{at_s:.0} s: {what}");
                self.record.violation(at_s, what);
            }
            Message::Checkpoint { learned } => {
                self.durable = learned;
                self.unwritten = None;
            }
            Message::Write { begins: true } => self.n_writing += 1,
            Message::Write { begins: false } => self.n_writing = self.n_writing.saturating_sub(1),
        }
        Ok(())
    }
}

impl SocketFolder {
    /// Names it; the server makes it. Those of runs that were killed go.
    fn new(mark: &str) -> Self {
        let path = std::env::temp_dir().join(format!("majordomo-{mark}"));
        abandoned(&path).for_each(|dir| drop(std::fs::remove_dir_all(dir)));
        Self(path)
    }
}

impl Drop for SocketFolder {
    fn drop(&mut self) {
        // A folder that stays does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
