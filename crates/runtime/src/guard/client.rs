//! The manager's end of the guard: one task that owns the guard process and announces process groups to it.
//!
//! Invariant: `add` returns success only after a living guard has acknowledged the process group. The pid file has it
//! too, unless that cannot be written any more, which is logged. A guard that dies is replaced, and all process groups
//! are announced to the new one before anything else.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use majordomo_core::quoted;
use majordomo_registry::StdinMode;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::pidfile::IfGone;
use super::protocol::{HELLO, LEAVE, Listed};
use super::{ANSWER_DEADLINE, GuardConfig, GuardError, GuardForm, Trampoline, pidfile};
use crate::children;
use crate::proctable::{self, ProcessGroup, TAG_VARIABLE};

/// A guard that has to end is given this long before it is killed.
const END_DEADLINE: Duration = Duration::from_secs(2);

enum Message {
    Add(Listed, oneshot::Sender<Result<(), GuardError>>),
    Remove(i32),
    Close(oneshot::Sender<()>),
}

/// A handle on the guard process. The guard ends, and kills what is left, when the last handle is
/// dropped or the runtime ends.
#[derive(Clone, Debug)]
pub struct Guard {
    // Bounded by construction: at most one `Add` and one `Remove` for each process that lives.
    tx: mpsc::UnboundedSender<Message>,
    form: GuardForm,
    session: Arc<str>,
    swept: Arc<[ProcessGroup]>,
}

impl Guard {
    /// Sweeps what a former manager left according to the pid file, then starts the guard. Needs a tokio
    /// runtime with I/O and time.
    ///
    /// # Errors
    /// When another manager uses the pid file, when it cannot be used, or when the guard does not start.
    pub async fn start(config: GuardConfig) -> Result<Self, GuardError> {
        // It would start itself without end.
        if std::env::var_os(super::IS_GUARD).is_some() {
            return Err(GuardError::Nested);
        }
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        let pid_file = config.pid_file.clone();
        let (start, boot, swept) = blocking(move || {
            let swept = pid_file.as_deref().map_or(Ok(Vec::new()), pidfile::sweep)?;
            Ok((proctable::start_time(own), proctable::boot_id().unwrap_or_default(), swept))
        })
        .await?;
        for process_group in &swept {
            tracing::warn!(
                process_group = process_group.pgid,
                "killed a process group that a former manager left"
            );
        }
        let start = start.ok_or_else(|| GuardError::Broken {
            why: "the system does not report when this process started".into(),
        })?;
        // One process may have several managers; the end of one must not kill processes of another.
        static MANAGERS: AtomicU32 = AtomicU32::new(0);
        let n = MANAGERS.fetch_add(1, Ordering::Relaxed);
        let session: Arc<str> = format!("{own}-{start}-{n}").into();
        let mut actor = Actor {
            form: config.form.clone(),
            contents: pidfile::Contents {
                boot,
                session: session.to_string(),
                manager: ProcessGroup { pgid: own, start },
                guard: None,
                process_groups: Vec::new(),
            },
            pid_file: config.pid_file,
            temporary: config.temporary,
            process_groups: BTreeMap::new(),
            link: None,
            behind: false,
        };
        actor.connect().await?;
        actor.save(IfGone::Fail).await?;
        let (tx, rx) = mpsc::unbounded_channel();
        tokio::spawn(actor.run(rx));
        Ok(Self { tx, form: config.form, session, swept: swept.into() })
    }

    /// The process groups of a former manager that were killed at start.
    #[must_use]
    pub fn swept(&self) -> &[ProcessGroup] {
        &self.swept
    }

    /// A word for this manager, unique on this machine until it boots again.
    #[must_use]
    pub fn session(&self) -> &str {
        &self.session
    }

    /// The variable that marks a process of this manager that belongs to no component, and what the process inherits it to: the
    /// hidden form kills them when the manager is gone, and the next manager those that are left.
    #[must_use]
    pub fn mark(&self, purpose: &str) -> (&'static str, String) {
        (TAG_VARIABLE, format!("{}/{purpose}/0/0/", self.session))
    }

    pub(crate) fn trampoline(&self, stdin: StdinMode) -> Trampoline {
        self.form.trampoline(stdin)
    }

    /// Announces a process group; when this returns success its members cannot outlive the manager, and its cgroup is removed
    /// after them. Dropping the future takes it off the list again.
    pub(crate) async fn announce(
        &self,
        process_group: ProcessGroup,
        cgroup: Option<&Path>,
    ) -> Result<Announced, GuardError> {
        let gone = || GuardError::Broken { why: "it was closed".into() };
        let announced = Announced { guard: Some(self.clone()), pgid: process_group.pgid };
        let listed = Listed { process_group, cgroup: cgroup.map(Path::to_owned) };
        let (tx, rx) = oneshot::channel();
        self.tx.send(Message::Add(listed, tx)).map_err(|_| gone())?;
        rx.await.map_err(|_| gone())??;
        Ok(announced)
    }

    /// Ends the guard (it kills every process group still listed) and waits for that, at most two seconds.
    /// Removes the pid file. Later `add`s fail.
    pub async fn close(&self) {
        let (tx, rx) = oneshot::channel();
        if self.tx.send(Message::Close(tx)).is_ok() {
            let _ = rx.await;
        }
    }
}

/// A process group on the guard's list; dropping it takes it off.
#[derive(Debug)]
pub(crate) struct Announced {
    guard: Option<Guard>,
    pgid: i32,
}

impl Announced {
    /// Takes the process group off the list: it has no members any more.
    pub(crate) fn withdraw(&mut self) {
        if let Some(guard) = self.guard.take() {
            // Without a guard task there is no list.
            let _ = guard.tx.send(Message::Remove(self.pgid));
        }
    }

    /// Leaves it on the list for good.
    pub(crate) fn keep(&mut self) {
        self.guard = None;
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.withdraw();
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GuardError> + Send + 'static,
) -> Result<T, GuardError> {
    let stopped = |_| GuardError::Broken { why: "the runtime is shutting down".into() };
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}

/// A living guard.
struct Link {
    child: Reaped,
    to: pipe::Sender,
    from: Lines<BufReader<pipe::Receiver>>,
}

/// A child that is reaped even without a waiter, as when the runtime ends before the program.
struct Reaped(Option<Child>);

impl Reaped {
    fn id(&self) -> i32 {
        self.0.as_ref().and_then(|c| i32::try_from(c.id()).ok()).unwrap_or(0)
    }

    /// Kills and reaps it; blocks until it is dead.
    fn kill(mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            reap(child);
        }
    }

    fn has_ended(&mut self) -> bool {
        let ended = self.0.as_mut().is_none_or(|c| !matches!(c.try_wait(), Ok(None)));
        if ended && let Some(child) = self.0.take() {
            reap(child);
        }
        ended
    }
}

/// Blocks until it has ended.
fn reap(mut child: Child) {
    let pid = child.id();
    let _ = child.wait();
    if let Ok(pid) = i32::try_from(pid) {
        children::forget(pid);
    }
}

impl Drop for Reaped {
    fn drop(&mut self) {
        if let Some(child) = self.0.take() {
            // The thread lives as long as the guard, which ends with its pipe.
            let reap = move || reap(child);
            drop(std::thread::Builder::new().name("majordomo-reap".into()).spawn(reap));
        }
    }
}

impl Link {
    async fn line(&mut self) -> io::Result<String> {
        match timeout(ANSWER_DEADLINE, self.from.next_line()).await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Err(e)) => Err(e),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn say(&mut self, text: &str) -> io::Result<()> {
        let written = timeout(ANSWER_DEADLINE, self.to.write_all(text.as_bytes())).await;
        written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn add(&mut self, listed: &Listed) -> io::Result<()> {
        self.say(&listed.line()).await?;
        let answer = self.line().await?;
        if answer == format!("ok {}", listed.process_group.pgid) {
            return Ok(());
        }
        Err(io::Error::other(format!("unexpected answer {}", quoted(&answer))))
    }

    /// Closes the pipe and waits for the guard to end.
    async fn end(self) {
        let Self { mut child, to, from } = self;
        drop((to, from));
        let ended = timeout(END_DEADLINE, async {
            while !child.has_ended() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        if ended.await.is_err() {
            child.kill();
        }
    }
}

struct Actor {
    form: GuardForm,
    pid_file: Option<PathBuf>,
    temporary: Option<PathBuf>,
    contents: pidfile::Contents,
    process_groups: BTreeMap<i32, Listed>,
    link: Option<Link>,
    /// The list on disk is old, because it cannot be written.
    behind: bool,
}

impl Actor {
    async fn run(mut self, mut rx: mpsc::UnboundedReceiver<Message>) {
        let closer = loop {
            tokio::select! {
                message = rx.recv() => match message {
                    None => break None,
                    Some(Message::Close(done)) => break Some(done),
                    Some(Message::Add(listed, done)) => {
                        let answer = self.add(listed).await;
                        // The load was cancelled; its owner removes the process group again.
                        let _ = done.send(answer);
                    }
                    Some(Message::Remove(pgid)) => self.remove(pgid).await,
                },
                () = died(self.link.as_mut()) => {
                    tracing::warn!("the guard process ended; starting another one");
                    self.drop_link().await;
                    if let Err(error) = self.connect().await {
                        tracing::error!(%error, "no guard: nothing is started until there is one");
                    }
                }
            }
        };
        if let Some(mut link) = self.link.take() {
            // A guard that does not hear it ends all the same.
            let _ = link.say(LEAVE).await;
            link.end().await;
        }
        if let Some(path) = self.pid_file.take() {
            let _ = tokio::task::spawn_blocking(move || pidfile::remove(&path)).await;
        }
        if let Some(done) = closer {
            let _ = done.send(());
        }
    }

    async fn add(&mut self, listed: Listed) -> Result<(), GuardError> {
        let pgid = listed.process_group.pgid;
        self.process_groups.insert(pgid, listed.clone());
        let announced_all = async {
            self.save(IfGone::Make).await?;
            if let Some(link) = self.link.as_mut() {
                match link.add(&listed).await {
                    Ok(()) => return Ok(()),
                    Err(error) => {
                        tracing::warn!(%error, "the guard process does not answer; starting another one");
                    }
                }
                self.drop_link().await;
            }
            // Announces all process groups to the new one, this one among them.
            self.connect().await
        };
        let answer = announced_all.await;
        if answer.is_err() {
            self.process_groups.remove(&pgid);
        }
        answer
    }

    async fn remove(&mut self, pgid: i32) {
        if self.process_groups.remove(&pgid).is_none() {
            return;
        }
        if let Err(error) = self.save(IfGone::Skip).await {
            // A surplus process group in the file is harmless: its start time will not match.
            tracing::warn!(%error, "a process group that ended stays in the list");
        }
        if let Some(link) = self.link.as_mut()
            && link.say(&format!("del {pgid}\n")).await.is_err()
        {
            self.drop_link().await;
            if let Err(error) = self.connect().await {
                tracing::error!(%error, "no guard: nothing is started until there is one");
            }
        }
    }

    async fn save(&mut self, if_gone: IfGone) -> Result<(), GuardError> {
        let Some(path) = self.pid_file.clone() else { return Ok(()) };
        let listed = self.process_groups.values();
        self.contents.process_groups = listed.map(|l| l.process_group.clone()).collect();
        let contents = self.contents.clone();
        match blocking(move || pidfile::write(&path, &contents, if_gone)).await {
            // The guard process knows the process groups all the same; the list is for the case that it is killed as well. A list
            // that cannot be used is refused at the start, and no reason to fail a load later.
            Err(error)
                if error.is_full_disk() || (error.is_of_list() && if_gone != IfGone::Fail) =>
            {
                if !std::mem::replace(&mut self.behind, true) {
                    tracing::warn!(%error, "should manager and guard both be killed, what they started may stay");
                }
            }
            written => {
                written?;
                self.behind = false;
            }
        }
        Ok(())
    }

    /// A guard that failed is killed outright: were it to read the end of its pipe it would kill what
    /// lives.
    async fn drop_link(&mut self) {
        if let Some(Link { child, to, from }) = self.link.take() {
            let _ = tokio::task::spawn_blocking(move || child.kill()).await;
            drop((to, from));
        }
    }

    async fn connect(&mut self) -> Result<(), GuardError> {
        let mut link = spawn(&self.form, self.temporary.as_deref()).await?;
        let announced_all = self.announce_all(&mut link).await;
        self.link = Some(link);
        if let Err(e) = announced_all {
            self.drop_link().await;
            return Err(GuardError::Broken { why: e.to_string() });
        }
        Ok(())
    }

    async fn announce_all(&mut self, link: &mut Link) -> io::Result<()> {
        link.say(&format!("session {}\n", self.contents.session)).await?;
        for listed in self.process_groups.values() {
            link.add(listed).await?;
        }
        let pid = link.child.id();
        let start = tokio::task::spawn_blocking(move || proctable::start_time(pid)).await;
        self.contents.guard = start.ok().flatten().map(|start| ProcessGroup { pgid: pid, start });
        Ok(())
    }
}

/// Returns when the guard has closed its end, that is, is dead; never while there is none.
async fn died(link: Option<&mut Link>) {
    let Some(link) = link else { return std::future::pending().await };
    // Between answers it says nothing, so a line here is as wrong as an end.
    let _ = link.from.next_line().await;
}

async fn spawn(form: &GuardForm, temporary: Option<&Path>) -> Result<Link, GuardError> {
    let argv = form.guard_argv(temporary);
    let program = PathBuf::from(&argv[0]);
    let failed = |source| GuardError::Spawn { program: program.clone(), source };
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.env(super::IS_GUARD, "1");
    if *form == GuardForm::Shell {
        // The hidden form makes its own session, which the leader of a process group may not.
        command.process_group(0);
    }
    let mut child = tokio::task::spawn_blocking(move || children::spawn(&mut command))
        .await
        .map_err(io::Error::other)
        .flatten()
        .map_err(failed)?;
    let pipes = child.stdin.take().zip(child.stdout.take());
    let (to, from) = pipes.ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
    let to = pipe::Sender::from_owned_fd(to.into()).map_err(failed)?;
    let from = pipe::Receiver::from_owned_fd(from.into()).map_err(failed)?;
    let mut link = Link { child: Reaped(Some(child)), to, from: BufReader::new(from).lines() };
    let answer = match link.line().await {
        Ok(line) if line == HELLO => return Ok(link),
        Ok(line) => line,
        Err(e) => e.to_string(),
    };
    link.child.kill();
    Err(GuardError::NoGuard { program, answer })
}
