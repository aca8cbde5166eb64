//! The processes inside the group: the manager of one of three designs, an idle component, the hog.
//!
//! Each waits for the word "go" first, so that nothing happens before it stands in the group.

use std::io::{BufRead, Write};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context;
use majordomo::{
    ByteSize, ComponentSpec, Config, EventKind, Followed, LoaderSpec, Manager, PressureLevel,
    Priority, ProcessSpec, ReadySpec,
};
use majordomo_core::{ComponentState, PressureProfile};
use majordomo_memory::{CgroupSource, MachineSource, PressureSource, pressure_thresholds};

use super::Args;

/// So many components share the idle memory: half of them LOW, half MEDIUM.
const N_IDLE: u64 = 6;
/// The predecessor looked this often.
const POLL: Duration = Duration::from_secs(2);
const PAGE: usize = 4096;
/// The hog grows by so much at a time.
const STEP: usize = 1 << 20;

/// The role of this process in a run.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Role {
    Product,
    PollsMachine,
    PollsCgroup,
    Idle,
    Hog,
}

pub(crate) fn run(role: Role, args: &Args) -> anyhow::Result<()> {
    match role {
        Role::Idle => {
            let _memory = filled((args.idle / N_IDLE) as usize * STEP);
            say("ready");
            let (_keep, never) = mpsc::channel::<()>();
            let _ = never.recv();
            Ok(())
        }
        Role::Hog => {
            go()?;
            hog(args)
        }
        Role::Product | Role::PollsMachine | Role::PollsCgroup => {
            go()?;
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()?;
            let done = runtime.block_on(manage(role, args));
            runtime.shutdown_background();
            done
        }
    }
}

fn go() -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    anyhow::ensure!(line == "go\n", "this is run by `majordomo-lab hog` only");
    Ok(())
}

fn say(word: &str) {
    let mut out = std::io::stdout().lock();
    // The reader has ended when the run is over.
    let _ = writeln!(out, "{word}").and_then(|()| out.flush());
}

fn filled(bytes: usize) -> Vec<u8> {
    let mut memory = vec![0u8; bytes];
    memory.iter_mut().step_by(PAGE).for_each(|b| *b = 1);
    std::hint::black_box(memory)
}

fn hog(args: &Args) -> anyhow::Result<()> {
    let (_keep, never) = mpsc::channel::<()>();
    let wait = |time| {
        let _ = never.recv_timeout(time);
    };
    let pause = Duration::from_secs(1) / u32::try_from(args.rate).context("too fast")?;
    let mut memory = Vec::new();
    for _ in 0..args.to {
        memory.push(filled(STEP));
        wait(pause);
    }
    say("held");
    wait(Duration::from_secs(args.hold));
    drop(memory);
    Ok(())
}

async fn manage(role: Role, args: &Args) -> anyhow::Result<()> {
    let mut config = Config::default();
    config.loads.max_concurrent = Some(1);
    config.loads.kept_for_demands = 0;
    let mut builder = Manager::builder().config(config).budget(ByteSize::mib(args.limit * 9 / 10));
    if !matches!(role, Role::Product) {
        builder = builder.pressure(None);
    }
    let names: Vec<String> = (0..N_IDLE).map(|i| format!("idle-{i}")).collect();
    for (i, name) in names.iter().enumerate() {
        builder = builder.component(idle(name, i, args)?);
    }
    let manager = builder.start().await?;
    for name in &names {
        manager.operator().load(name).await?;
    }
    let mut events = manager.events(None);
    tokio::spawn(async move {
        while let Some(followed) = events.next().await {
            let Followed::Record(record) = followed else { continue };
            if matches!(record.kind, EventKind::State { to: ComponentState::Unloading { .. }, .. })
            {
                say("unload");
            }
        }
    });
    if !matches!(role, Role::Product) {
        tokio::spawn(poll(manager.clone(), names, matches!(role, Role::PollsCgroup)));
    }
    say("ready");
    // The end of standard input is the end of the run.
    let ended =
        tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new()));
    let _ = ended.await;
    manager.shutdown(Some(Duration::from_secs(5))).await;
    Ok(())
}

fn idle(name: &str, i: usize, args: &Args) -> anyhow::Result<ComponentSpec> {
    let mut spec = ComponentSpec::process(name, &[])?;
    let program = std::env::current_exe()?.to_string_lossy().into_owned();
    let idle = args.idle.to_string();
    let words = ["hog", "--inside", "idle", "--idle", &idle];
    let command = std::iter::once(program).chain(words.map(str::to_owned)).collect();
    let ready = ReadySpec::Stdout("ready".to_owned());
    spec.loader = LoaderSpec::Process(ProcessSpec { command, ready, ..ProcessSpec::default() });
    spec.memory = ByteSize::mib(args.idle / N_IDLE);
    spec.priority = if i.is_multiple_of(2) { Priority::Low } else { Priority::Medium };
    Ok(spec)
}

/// The predecessor's watch: looks every two seconds, and acts when the level is another than at the last look.
async fn poll(manager: Manager, names: Vec<String>, own_cgroup: bool) {
    let mut machine = MachineSource::default();
    let mut group = CgroupSource::new("/", MachineSource::default());
    let mut last = PressureLevel::Low;
    let mut looks = tokio::time::interval(POLL);
    loop {
        looks.tick().await;
        let read = if own_cgroup { group.read() } else { machine.read() };
        let Ok(reading) = read else { continue };
        let profile = if own_cgroup { PressureProfile::Share } else { PressureProfile::Legacy };
        let thresholds = pressure_thresholds(profile, reading.limit);
        let n_below = thresholds.iter().filter(|t| reading.available < **t).count();
        let level = PressureLevel::ALL[n_below];
        if level == last {
            continue;
        }
        last = level;
        for (i, name) in names.iter().enumerate() {
            let low = i.is_multiple_of(2);
            if level >= PressureLevel::Critical || (level == PressureLevel::High && low) {
                // A component that is down already stays down.
                let _ = manager.operator().unload(name, false).await;
            }
        }
    }
}
