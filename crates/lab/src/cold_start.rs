//! `majordomo-lab cold-start`: how long real components load with warm files, with files that have to come from the disk, and
//! with files that were read ahead.
//!
//! Four ways for each component: `warm`; `cold`, without read ahead; `demanded`, where the load reads its files itself;
//! `likely`, where they were read after the command before, because the component is likely next. Dropped before a cold load
//! are the cached files that its processes mapped and those of the configuration's folder, or all of the machine's cache.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use majordomo::{
    AcquireOptions, ByteSize, ComponentId, ComponentSpec, Config, GuardForm, LoadedConfig, Manager,
    Outcome, ParkChoice, StatusValue, read_config,
};
use tokio::time::{Instant, sleep};

use crate::short::files;

/// Arguments of `cold-start`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The configuration of the components
    #[arg(long)]
    config: PathBuf,
    /// Loads of each component in each way
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Drop the whole page cache of the machine before each cold load (root)
    #[arg(long)]
    drop_all: bool,
    /// The components (default: all)
    names: Vec<String>,
}

/// The component whose use is followed by that of the measured one. It conflicts with it, so that nothing is preloaded while
/// it is leased.
const BEFORE: &str = "before";
/// The texts of both commands.
const TEXTS: [&str; 2] = ["first of two lessons", "second of two lessons"];
/// Uses in turn that teach what comes next.
const LESSONS: u32 = 8;
/// A read ahead has ended when its bytes stayed the same for so many looks.
const LOOKS: u32 = 10;
const LOOK: Duration = Duration::from_millis(200);
const DEADLINE: Duration = Duration::from_secs(300);
/// The page cache, as `/proc/sys/vm/drop_caches` numbers it.
const PAGE_CACHE: &str = "1";

/// The ways of one component, in milliseconds.
#[derive(Debug, Default)]
struct Times {
    warm: Vec<f64>,
    cold: Vec<f64>,
    demanded: Vec<f64>,
    likely: Vec<f64>,
    read_ahead: ByteSize,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(args))
}

async fn measure(args: &Args) -> anyhow::Result<()> {
    let loaded = read_config(&args.config, majordomo::memory_limit())?;
    let base = args.config.canonicalize()?;
    let base = base.parent().unwrap_or(Path::new("/"));
    let all = || loaded.specs.iter().map(|spec| spec.id.to_string()).collect();
    let names: Vec<String> = if args.names.is_empty() { all() } else { args.names.clone() };
    let (mut useful, mut wasted) = (ByteSize::ZERO, ByteSize::ZERO);
    println!(
        "{:<12} {:>9} {:>9} {:>6} {:>9} {:>7} {:>9} {:>7} {:>10}",
        "component", "warm ms", "cold ms", "ratio", "demanded", "", "likely", "", "read"
    );
    for name in &names {
        let name = ComponentId::new(name)?;
        ensure!(
            loaded.specs.iter().any(|spec| spec.id == name),
            "{name} is no component of the configuration"
        );
        let dir = std::env::temp_dir().join(format!("majordomo-cold-start-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let subject = Subject { args, loaded: &loaded, base, dir: &dir, name };
        let times = subject.measure(&mut useful, &mut wasted).await;
        // A folder that cannot be removed does no harm.
        let _ = std::fs::remove_dir_all(&dir);
        times?.print(&subject.name);
    }
    println!("read ahead for the next command: {useful} useful, {wasted} wasted");
    Ok(())
}

impl Times {
    fn print(&mut self, name: &ComponentId) {
        let [warm, cold, demanded, likely] =
            [&mut self.warm, &mut self.cold, &mut self.demanded, &mut self.likely]
                .map(|times| median(times));
        let change = |ms: f64| format!("{:+.0} %", 100.0 * (ms / cold - 1.0));
        println!(
            "{name:<12} {warm:>9.0} {cold:>9.0} {:>6.1} {demanded:>9.0} {:>7} {likely:>9.0} {:>7} {:>10}",
            cold / warm,
            change(demanded),
            change(likely),
            self.read_ahead.to_string()
        );
    }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

struct Subject<'a> {
    args: &'a Args,
    loaded: &'a LoadedConfig,
    base: &'a Path,
    dir: &'a Path,
    name: ComponentId,
}

impl Subject<'_> {
    async fn measure(&self, useful: &mut ByteSize, wasted: &mut ByteSize) -> anyhow::Result<Times> {
        let mut times = Times::default();
        let manager = self.start(|config| config.read_ahead.enabled = false, "off").await?;
        // The first load of all reads what was never read.
        self.load(&manager).await?;
        let mapped = files::mapped(self.pids(&manager).await?);
        for _ in 0..self.args.rounds {
            self.unload(&manager, self.name.as_str()).await?;
            times.warm.push(self.load(&manager).await?);
        }
        for _ in 0..self.args.rounds {
            self.drop_cached(&manager, &mapped).await?;
            times.cold.push(self.load(&manager).await?);
        }
        manager.shutdown(None).await;
        let manager = self.start(|_| {}, "on").await?;
        self.load(&manager).await?;
        for _ in 0..self.args.rounds {
            self.drop_cached(&manager, &mapped).await?;
            times.demanded.push(self.load(&manager).await?);
        }
        self.teach(&manager).await?;
        manager.shutdown(None).await;
        for _ in 0..self.args.rounds {
            // Another process of the manager: this one takes the files as cached for some time after a use.
            let manager = self.start(|config| config.speculation.enabled = true, "on").await?;
            self.drop_cached(&manager, &mapped).await?;
            let before = use_by(&manager, TEXTS[0]).await?;
            times.read_ahead = times.read_ahead.max(self.read_ahead(&manager).await?);
            drop(before);
            self.unload(&manager, BEFORE).await?;
            times.likely.push(self.load(&manager).await?);
            *useful += figure(&manager, "useful").await?;
            *wasted += figure(&manager, "wasted").await?;
            manager.shutdown(None).await;
        }
        Ok(times)
    }

    /// A manager of the configuration with one more component. Nothing is preloaded or parked unless `change` says so.
    async fn start(
        &self,
        change: impl FnOnce(&mut Config),
        state: &str,
    ) -> anyhow::Result<Manager> {
        let mut config = self.loaded.config.clone();
        config.speculation.enabled = false;
        config.parking.park = ParkChoice::Never;
        change(&mut config);
        let program = std::env::current_exe()?;
        let program = program.to_str().context("the path of this program is no text")?;
        let record = self.dir.join("ready");
        let record = record.to_str().context("the folder for temporary files is no text")?;
        let mut before = ComponentSpec::process(BEFORE, &[program, "late", "{port}", "0", record])?;
        before.conflicts = vec![self.name.clone()];
        before.keywords = vec![TEXTS[0].into()];
        let mut builder = Manager::builder()
            .config(config)
            .budget(ByteSize::gib(64))
            .base_dir(self.base)
            .state_dir(self.dir.join(state))
            .guard(GuardForm::this_program()?)
            .component(before);
        for pool in &self.loaded.pools {
            builder = builder.pool(pool.clone());
        }
        for spec in &self.loaded.specs {
            let mut spec = ComponentSpec::clone(spec);
            if spec.id == self.name {
                spec.keywords.push(TEXTS[1].into());
            }
            builder = builder.component(spec);
        }
        Ok(builder.start().await?)
    }

    /// The time of a load, in milliseconds.
    async fn load(&self, manager: &Manager) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let options = AcquireOptions::within(DEADLINE);
        let _leases = manager.acquire_all(&[self.name.as_str()], options).await?;
        Ok(begun.elapsed().as_secs_f64() * 1e3)
    }

    async fn unload(&self, manager: &Manager, name: &str) -> anyhow::Result<()> {
        // The lease was released just now, which the manager may not have seen.
        Ok(manager.operator().unload(name, true).await?)
    }

    /// The use of both in turn.
    async fn teach(&self, manager: &Manager) -> anyhow::Result<()> {
        for _ in 0..LESSONS {
            for text in TEXTS {
                drop(use_by(manager, text).await?);
            }
        }
        Ok(())
    }

    async fn pids(&self, manager: &Manager) -> anyhow::Result<Vec<i32>> {
        let status = manager.status().await?;
        Ok(status.components.iter().filter_map(|c| c.pid).collect())
    }

    /// Unloads everything and drops the cached files.
    async fn drop_cached(
        &self,
        manager: &Manager,
        mapped: &BTreeSet<PathBuf>,
    ) -> anyhow::Result<()> {
        let status = manager.status().await?;
        for component in status.components.iter().filter(|c| c.state.is_alive()) {
            self.unload(manager, component.id.as_str()).await?;
        }
        if self.args.drop_all {
            rustix::fs::sync();
            return std::fs::write("/proc/sys/vm/drop_caches", PAGE_CACHE).context(
                "/proc/sys/vm/drop_caches cannot be written: run it as root, or without --drop-all",
            );
        }
        let mut all = files::below(self.base);
        all.extend(mapped.iter().cloned());
        files::drop_cached(&all);
        Ok(())
    }

    /// Waits until the speculative read ahead has ended, and returns its bytes.
    async fn read_ahead(&self, manager: &Manager) -> anyhow::Result<ByteSize> {
        let (mut last, mut same) = (ByteSize::ZERO, 0);
        while same < LOOKS {
            sleep(LOOK).await;
            let now = figure(manager, "not decided yet").await?;
            same = if now == last { same + 1 } else { 0 };
            last = now;
        }
        Ok(last)
    }
}

/// A command that uses what its text needs, and keeps it leased.
async fn use_by(manager: &Manager, text: &str) -> anyhow::Result<Outcome> {
    let mut outcome = manager.command_with(text, AcquireOptions::within(DEADLINE)).await;
    if let Some(refusal) = outcome.refusal() {
        bail!("{text:?} was refused: {refusal}");
    }
    let used: Vec<_> = outcome.needed().iter().map(|need| need.id.clone()).collect();
    ensure!(used.len() == 1, "{text:?} needs {used:?}");
    outcome.feedback(&[used[0].as_str()])?;
    Ok(outcome)
}

/// A figure of the read ahead.
async fn figure(manager: &Manager, name: &str) -> anyhow::Result<ByteSize> {
    let status = manager.status().await?;
    let rows = status.sections.get("read_ahead").map(Vec::as_slice).unwrap_or_default();
    let found = rows.iter().find(|(row, _)| row == name);
    Ok(found.map_or(ByteSize::ZERO, |(_, value)| match value {
        StatusValue::Bytes(bytes) => *bytes,
        _ => ByteSize::ZERO,
    }))
}
