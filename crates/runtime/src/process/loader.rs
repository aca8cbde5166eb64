//! Brings a program up: prepare, start behind the guard, wait until it is ready.

use std::convert::Infallible;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::LoadStage;
use majordomo_memory::{LimitChoice, MemoryCgroup, ProcessLimit};
use majordomo_registry::{ReadySpec, StdinMode};
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::bound::{Bound, Limits};
use super::command::Commands;
use super::heard::Heard;
use super::phase::{Order, Phase};
use super::prepare::{self, Prepared};
use super::spawn::{self, Leader};
use super::stepping::Stepping;
use super::stop_request::StopRequest;
use super::strays::Subreaper;
use super::supervise::Supervisor;
use super::{Endpoint, ProcessError, RunningProcess, StartContext, Tail, ready, warm_up};
use crate::cancel::next_order;
use crate::guard::{Announced, GO, Guard};
use crate::logs::{LogStream, pump};
use crate::proctable::ProcessTable;
use crate::stdio::{Calls, Tap};

/// The footprint of a program that is loading is measured after this, and then at growing intervals.
const FIRST_SAMPLE: Duration = Duration::from_millis(20);
const LONGEST_SAMPLE_PAUSE: Duration = Duration::from_millis(500);
/// Measuring during a load takes at most one part in so many of its time.
const SAMPLE_SHARE: u32 = 20;
/// Lines of output shown with a failure.
const TAIL_LINES: usize = 3;
/// Lines of output in which a port that is taken is looked for.
const PORT_LINES: usize = 50;

/// Settings of the process loader.
#[derive(Clone, Debug)]
pub struct ProcessConfig {
    /// Sockets and the components' own directories live here; absolute.
    pub state_dir: PathBuf,
    /// With readiness `started`, a program that ends within this after its start counts as failed
    /// instead of ready. Default 20 ms.
    pub settle: Duration,
    /// Adopts and reaps children that have lost their parent; see [`Subreaper`].
    pub subreaper: Option<Subreaper>,
}

impl ProcessConfig {
    /// The defaults.
    #[must_use]
    pub fn new(state_dir: PathBuf) -> Self {
        Self { state_dir, settle: Duration::from_millis(20), subreaper: None }
    }
}

/// Starts programs. Cloning gives the same loader.
#[derive(Clone, Debug)]
pub struct ProcessLoader {
    config: Arc<ProcessConfig>,
    guard: Guard,
    limits: Limits,
    table: Arc<ProcessTable>,
}

impl ProcessLoader {
    /// A loader whose children the guard watches. Needs the runtime in which the guard was started.
    #[must_use]
    pub fn new(config: ProcessConfig, guard: Guard) -> Self {
        if let Some(subreaper) = &config.subreaper {
            subreaper.keep_reaping();
        }
        let table = ProcessTable::new(guard.session());
        Self { config: Arc::new(config), guard, limits: Limits::default(), table }
    }

    /// Finds out how processes can be bounded here. Blocks.
    pub fn find_limits(&self) {
        self.limits.choice();
    }

    /// The cgroup below which those of components are made, where there is one. Blocks when asked first.
    #[must_use]
    pub fn cgroups(&self) -> Option<MemoryCgroup> {
        match self.limits.choice() {
            LimitChoice::Cgroup(parent) => Some(parent.clone()),
            _ => None,
        }
    }

    /// How processes are bounded, and why not better.
    #[must_use]
    pub fn describe_limits(&self) -> String {
        self.limits.describe()
    }

    /// The guard that watches the children of this loader.
    #[must_use]
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Starts a program and waits until it is ready, at most the context's deadline. On error everything
    /// it started is down. Dropping the future kills its process group. A program with `{port}` that ends
    /// because its port is taken is started once more.
    ///
    /// # Errors
    /// A [`ProcessError`] that names the component, what failed, and the way out.
    pub async fn start(&self, ctx: StartContext) -> Result<RunningProcess, ProcessError> {
        let (_never, cancel) = watch::channel(None);
        self.start_unless(ctx, cancel).await
    }

    /// The same, but a time span sent to `cancel` stops the program: politely for so long, then by force;
    /// a later, shorter one hastens that.
    /// When this returns [`ProcessError::Cancelled`] everything it started is down.
    ///
    /// # Errors
    /// A [`ProcessError`] that names the component, what failed, and the way out.
    pub async fn start_unless(
        &self,
        ctx: StartContext,
        mut cancel: watch::Receiver<Option<Duration>>,
    ) -> Result<RunningProcess, ProcessError> {
        let until = Instant::now() + ctx.deadline;
        match self.start_once(&ctx, until, &mut cancel).await {
            Err(Failure { error, port_taken: true }) if Instant::now() < until => {
                let remark = format!("its port was taken, starting it once more: {error}");
                ctx.logs.push(LogStream::Manager, &remark);
                ctx.clock.begin_again();
                self.start_once(&ctx, until, &mut cancel).await.map_err(|f| f.error)
            }
            other => other.map_err(|f| f.error),
        }
    }

    async fn start_once(
        &self,
        ctx: &StartContext,
        until: Instant,
        cancel: &mut watch::Receiver<Option<Duration>>,
    ) -> Result<RunningProcess, Failure> {
        let first_line = ctx.logs.next_number();
        let (prepared, leader, bound) = self.spawn(ctx).await?;
        let program = prepared.argv[0].to_string_lossy().into_owned();
        let ready_at = Arc::default();
        let stop = ctx.spec.stop.as_ref();
        let commands = Commands::new(&prepared, &self.guard, &ctx.logs);
        let endpoint = prepared.endpoint;
        let request = StopRequest::new(stop, &commands, &endpoint, &ready_at);
        let (process_group, command_line) =
            (leader.process_group.clone(), leader.trampoline.clone());
        let component = || ctx.component.clone();
        // Were the guard asked to kill a process group that is still to be made, it would find none. A trampoline that
        // takes until the deadline is not ready then.
        let _ = timeout_at(until, leader.until_it_leads()).await;
        let cgroup = bound.limit.as_ref().and_then(ProcessLimit::cgroup).map(MemoryCgroup::dir);
        let announced = self.guard.announce(process_group.clone(), cgroup).await;
        let announced =
            announced.map_err(|source| ProcessError::Guard { component: component(), source })?;
        // From here on the program may write.
        ctx.clock.reached(LoadStage::Spawn);
        let guarded = (leader, announced);
        let started = self.supervise(ctx, guarded, bound, &endpoint, commands, request);
        let (mut process, mut heard) = started.map_err(|source| ProcessError::Spawn {
            component: component(),
            program: program.clone(),
            source,
        })?;

        let ready = async {
            match &ctx.spec.ready {
                ReadySpec::Stdout(_) | ReadySpec::Line => {
                    let line = match &mut heard.line {
                        Some(line) if ctx.spec.ready == ReadySpec::Line => line,
                        _ => &mut heard.stdout,
                    };
                    match line.await {
                        Ok(()) => endpoint.host,
                        // Its output ended without the line: it can only end now, or hang.
                        Err(_) => std::future::pending().await,
                    }
                }
                how @ (ReadySpec::Connect | ReadySpec::Http(_)) => {
                    let host = ready::until_good(how, &endpoint, ctx.usual, &ctx.clock).await;
                    // Set once: this is the only place.
                    let _ = ready_at.set(host);
                    host
                }
                _ => {
                    while !spawn::has_become_the_program(process_group.pgid, &command_line) {
                        sleep(Duration::from_millis(1)).await;
                    }
                    sleep(self.config.settle).await;
                    endpoint.host
                }
            }
        };
        let calls = process.calls.clone();
        let up = async {
            let host = ready.await;
            ctx.clock.reached(LoadStage::Ready);
            if let Some(request) = &ctx.spec.warm_up {
                let endpoint = Endpoint { host, ..endpoint.clone() };
                let answered = warm_up::ask(request, &endpoint, calls.as_ref()).await;
                answered.map_err(|why| (request.how.to_string(), why))?;
                ctx.clock.reached(LoadStage::WarmUp);
            }
            Ok::<_, (String, String)>(host)
        };
        let tail = |lines| {
            let all = ctx.logs.since(first_line, usize::MAX).lines;
            let own = all.iter().filter(|l| l.stream != LogStream::Manager);
            let texts: Vec<String> = own.map(ToString::to_string).collect();
            Tail(texts[texts.len().saturating_sub(lines)..].to_vec())
        };
        tokio::select! {
            // An exit is looked at first: who takes a dead program's port is not the program.
            biased;
            exit = process.wait_exit() => {
                process.wait_down().await?;
                if let Some(evidence) = process.out_of_memory() {
                    return Err(ProcessError::OutOfMemory {
                        component: component(),
                        program,
                        evidence: *evidence,
                        tail: tail(TAIL_LINES),
                    }.into());
                }
                let port_taken = endpoint.port.is_some_and(|port| is_port_trouble(&tail(PORT_LINES), port));
                let tail = tail(TAIL_LINES);
                match (port_taken, ctx.spec.port) {
                    // Another try would find the same.
                    (true, Some(port)) => {
                        let (component, tail) = (component(), Some(tail));
                        Err(ProcessError::PortTaken { component, port, tail }.into())
                    }
                    // It was ready before it ended, whichever was seen first here.
                    (false, _) if ctx.spec.warm_up.is_none() && heard.saw_ready_text(&ctx.spec.ready) => {
                        ctx.clock.reached(LoadStage::Ready);
                        ctx.logs.push(LogStream::Manager, &format!("ready, process {}", process_group.pgid));
                        Ok(process)
                    }
                    _ => {
                        let (component, advice) =
                            (component(), heard.advice(&ctx.spec.ready, Some(exit)));
                        let error =
                            ProcessError::ExitedEarly { component, program, exit, tail, advice };
                        Err(Failure { error, port_taken })
                    }
                }
            }
            grace = next_order(cancel) => {
                let mut grace = grace;
                loop {
                    tokio::select! {
                        stopped = process.terminate(grace) => {
                            stopped?;
                            break;
                        }
                        // Another order hastens it.
                        next = next_order(cancel) => grace = next,
                    }
                }
                Err(ProcessError::Cancelled { component: component() }.into())
            }
            never = sample_again_and_again(&process) => match never {},
            outcome = up => match outcome {
                Err((request, why)) => {
                    process.kill();
                    process.wait_down().await?;
                    let (component, tail) = (component(), tail(TAIL_LINES));
                    Err(ProcessError::WarmUp { component, program, request, why, tail }.into())
                }
                Ok(host) => {
                    process.endpoint.host = host;
                    ctx.logs.push(LogStream::Manager, &format!("ready, process {}", process_group.pgid));
                    Ok(process)
                }
            },
            () = tokio::time::sleep_until(until) => {
                process.kill();
                process.wait_down().await?;
                Err(ProcessError::NeverReady {
                    component: component(),
                    program,
                    deadline: ctx.deadline,
                    waited_for: waited_for(ctx, &endpoint),
                    tail: tail(TAIL_LINES),
                    advice: heard.advice(&ctx.spec.ready, None),
                }.into())
            }
        }
    }

    /// Checks, prepares and starts the trampoline, on a blocking thread. Dropping the future drops the
    /// leader there, which kills it.
    async fn spawn(&self, ctx: &StartContext) -> Result<(Prepared, Leader, Bound), ProcessError> {
        let (component, ctx) = (ctx.component.clone(), ctx.clone());
        let (config, guard) = (Arc::clone(&self.config), self.guard.clone());
        let limits = self.limits.clone();
        let work = tokio::task::spawn_blocking(move || {
            let prepared = prepare::prepare(&ctx, &config.state_dir, guard.session())?;
            let trampoline = guard.trampoline(ctx.spec.stdin_mode());
            let leader = spawn::spawn(&prepared, &trampoline);
            let leader = leader.map_err(|source| ProcessError::Spawn {
                component: ctx.component.clone(),
                program: prepared.argv[0].to_string_lossy().into_owned(),
                source,
            })?;
            let bound = limits.bound(&ctx, leader.child.id());
            let component = ctx.component;
            let bound = bound.map_err(|source| ProcessError::Limit { component, source })?;
            Ok((prepared, leader, bound))
        });
        // It fails only when the runtime shuts down.
        work.await.unwrap_or(Err(ProcessError::Cancelled { component }))
    }

    /// Hands the leader to its supervisor and lets the trampoline become the program.
    fn supervise(
        &self,
        ctx: &StartContext,
        (mut leader, announced): (Leader, Announced),
        bound: Bound,
        endpoint: &Endpoint,
        commands: Commands,
        stop_request: Option<StopRequest>,
    ) -> std::io::Result<(RunningProcess, Heard)> {
        let child_ended = signal(SignalKind::child())?;
        let calls = ctx
            .spec
            .stdio()
            .map(|bounds| Calls::new(ctx.component.clone(), bounds.clone(), Arc::clone(&ctx.logs)));
        let (mut tap, line) = calls.as_ref().map(Tap::new).unzip();
        let (mut watches, heard) = Heard::watch(&ctx.spec.ready, line);
        let out = leader.child.stdout.take().map(|p| pipe::Receiver::from_owned_fd(p.into()));
        let err = leader.child.stderr.take().map(|p| pipe::Receiver::from_owned_fd(p.into()));
        let mut pumps = Vec::new();
        for (pipe, stream) in [(out, LogStream::Stdout), (err, LogStream::Stderr)] {
            if let Some(pipe) = pipe.transpose()? {
                let watch = watches[stream as usize].take();
                let tap = tap.take_if(|_| stream == LogStream::Stdout);
                let (logs, clock) = (Arc::clone(&ctx.logs), Some(Arc::clone(&ctx.clock)));
                pumps.push(tokio::spawn(pump(pipe, logs, stream, watch, tap, clock)));
            }
        }
        let (orders, orders_seen) = watch::channel(Order::Run);
        let (phase, phase_seen) = watch::channel(Phase::Running);
        let mut stdin = leader.take_stdin();
        let cgroup = bound.limit.as_ref().and_then(|limit| limit.cgroup().cloned());
        let members =
            Arc::new(self.table.follow(leader.process_group.clone(), &leader.mark, cgroup));
        let process = RunningProcess {
            component: ctx.component.clone(),
            endpoint: endpoint.clone(),
            members: Arc::clone(&members),
            logs: Arc::clone(&ctx.logs),
            spec: Arc::clone(&ctx.spec),
            commands,
            orders,
            phase: phase_seen,
            memory: Arc::default(),
            stepping: Stepping::default(),
            calls: calls.clone(),
        };
        if let Some(pipe) = &mut stdin {
            // Three bytes into an empty pipe never block. If it fails the trampoline has ended, which
            // the supervisor sees.
            let _ = pipe.write_all(GO);
        }
        if ctx.spec.stdin_mode() == StdinMode::Empty {
            stdin = None;
        }
        if let (Some(calls), Some(pipe)) = (&calls, stdin.take_if(|_| calls.is_some())) {
            let pipe = pipe::Sender::from_owned_fd(pipe.into())?;
            tokio::spawn(Arc::clone(calls).write_to(pipe));
        }
        let supervisor = Supervisor {
            leader,
            child_ended,
            orders: orders_seen,
            phase,
            pumps,
            announced,
            logs: Arc::clone(&ctx.logs),
            adopts: self.config.subreaper.is_some(),
            members,
            socket: endpoint.socket.clone(),
            bound,
            memory: Arc::clone(&process.memory),
            calls,
            stop_request,
            stopping: None,
            killed: false,
            terminated: false,
        };
        tokio::spawn(async move {
            supervisor.run().await;
            // Held until here: it is what `stdin = "hold"` promises.
            drop(stdin);
        });
        Ok((process, heard))
    }
}

/// The condition that a program has not met, in words.
fn waited_for(ctx: &StartContext, endpoint: &Endpoint) -> String {
    let was_ready = ctx.clock.stages().iter().any(|(stage, _)| *stage == LoadStage::Ready);
    match &ctx.spec.warm_up {
        Some(warm_up) if was_ready => format!("the answer to its warm_up request, {}", warm_up.how),
        _ => ready::words(&ctx.spec.ready, endpoint),
    }
}

/// Measures a program that is loading, so that its peak is known even if it has several processes.
async fn sample_again_and_again(process: &RunningProcess) -> Infallible {
    let mut pause = FIRST_SAMPLE;
    loop {
        sleep(pause).await;
        let before = Instant::now();
        process.sample().await;
        pause = (pause * 2).min(LONGEST_SAMPLE_PAUSE).max(before.elapsed() * SAMPLE_SHARE);
    }
}

struct Failure {
    error: ProcessError,
    port_taken: bool,
}

impl From<ProcessError> for Failure {
    fn from(error: ProcessError) -> Self {
        Self { error, port_taken: false }
    }
}

/// Whether a program ended because its port was taken: its output says so, or another program listens there now.
fn is_port_trouble(tail: &Tail, port: u16) -> bool {
    let says_so = |line: &String| {
        let line = line.to_ascii_lowercase();
        ["in use", "eaddrinuse", "errno 98", "errno 48"].iter().any(|w| line.contains(w))
    };
    tail.0.iter().any(says_so) || prepare::is_taken(port)
}
