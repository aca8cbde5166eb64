//! Shared by the tests: a directory per test, components that are small shell programs, and views
//! of states.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use majordomo::{
    AcquireOptions, AnyLease, Builder, ByteSize, Cause, ComponentSpec, ComponentState,
    ComponentStatus, Config, EventKind, EventRecord, LoaderSpec, Manager, ProcessSpec, ReadySpec,
    Refusal,
};

use crate::eventually::{eventually, until};
use crate::processes::{MARK, marked};

/// Long enough for a busy machine; no passing test waits that long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// A component's program: prints `up` and runs until it is stopped.
pub(crate) const UP: &str = "echo up; exec sleep 1000";

/// Prints `up` and ignores TERM.
pub(crate) const STUBBORN: &str = "trap '' TERM; echo up; while :; do sleep 1; done";

/// Runs a test on its own runtime; a test that hangs fails.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    let bounded = async { tokio::time::timeout(DEADLINE * 10, test).await };
    runtime.block_on(bounded).expect("the test took too long");
    runtime.shutdown_background();
}

pub(crate) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) const fn mib(n: u64) -> ByteSize {
    ByteSize::mib(n)
}

/// A directory and a mark for the processes of one test. No process with the mark may live when it
/// is dropped.
pub(crate) struct World {
    dir: PathBuf,
    mark: String,
}

impl World {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("facade-{}-{n}", std::process::id());
        let dir = std::env::temp_dir().join(format!("majordomo-{mark}"));
        // Left by a run that had the same process id.
        drop(std::fs::remove_dir_all(&dir));
        std::fs::create_dir_all(&dir).unwrap();
        Self { dir, mark }
    }

    /// The value of the mark in the environment of this test's programs.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The text of a file that programs of the test write; empty while the file is absent.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// The living processes of this test's components.
    pub(crate) fn processes(&self) -> Vec<i32> {
        marked(MARK, &self.mark)
    }

    /// A component of 10 MiB that runs a shell script, with the test's directory as its working
    /// directory.
    pub(crate) fn program(&self, name: &str, script: &str) -> ComponentSpec {
        self.command(name, &["/bin/sh", "-c", script])
    }

    pub(crate) fn command(&self, name: &str, command: &[&str]) -> ComponentSpec {
        let mut spec = ComponentSpec::process(name, &[]).unwrap();
        spec.loader = LoaderSpec::Process(ProcessSpec {
            command: command.iter().map(|w| (*w).to_owned()).collect(),
            env: [(MARK.to_owned(), self.mark.clone())].into(),
            cwd: Some(self.dir.clone()),
            ready: ReadySpec::Stdout("up".to_owned()),
            ..ProcessSpec::default()
        });
        spec.memory = mib(10);
        spec
    }

    /// The component of [`World::program`] as a section of a configuration file, with the lines
    /// `more`.
    pub(crate) fn section(&self, name: &str, script: &str, more: &str) -> String {
        format!(
            "[components.{name}]\nmemory = \"10MiB\"\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\ncwd = \".\"\n\
             env = {{ {MARK} = {:?} }}\nready = {{ stdout = \"up\" }}\n{more}\n",
            self.mark
        )
    }

    /// A manager of components with the settings of [`config`].
    pub(crate) async fn manager(&self, specs: Vec<ComponentSpec>) -> Manager {
        self.builder(specs).start().await.unwrap()
    }

    pub(crate) fn builder(&self, specs: Vec<ComponentSpec>) -> Builder {
        let builder = Manager::builder().config(config()).budget(mib(1000)).pressure(None);
        specs.into_iter().fold(builder, Builder::component)
    }

    pub(crate) async fn manager_of_file(&self, file: &str) -> Manager {
        let builder = Manager::builder().config_file(self.path(file)).pressure(None);
        builder.start().await.unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            eventually(DEADLINE, "the end of every process", || self.processes().is_empty());
        }
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

/// The defaults with short deadlines of demands and loads.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.deadlines.demand = DEADLINE * 4;
    config.deadlines.load = DEADLINE * 4;
    config
}

pub(crate) async fn lease(manager: &Manager, name: &str) -> Result<AnyLease, Refusal> {
    lease_within(manager, name, None).await
}

/// A lease, demanded with a deadline.
pub(crate) async fn lease_within(
    manager: &Manager,
    name: &str,
    deadline: Option<Duration>,
) -> Result<AnyLease, Refusal> {
    let options = AcquireOptions::default().deadline(deadline);
    let mut leases = manager.acquire_all(&[name], options).await?;
    Ok(leases.pop().unwrap())
}

/// The state changes of a component, with causes.
pub(crate) fn changes(manager: &Manager, name: &str) -> Vec<(ComponentState, Cause)> {
    let change = |r: EventRecord| match r.kind {
        EventKind::State { to, cause, .. } => Some((to, cause)),
        _ => None,
    };
    manager.operator().why(name).unwrap().into_iter().filter_map(change).collect()
}

/// The names of all states that a component reached.
pub(crate) fn path(manager: &Manager, name: &str) -> Vec<&'static str> {
    changes(manager, name).into_iter().map(|c| c.0.name()).collect()
}

/// The name of the current state of a component.
pub(crate) fn state(manager: &Manager, name: &str) -> &'static str {
    path(manager, name).last().copied().unwrap_or("unloaded")
}

/// The current status of one component.
pub(crate) async fn status(manager: &Manager, name: &str) -> ComponentStatus {
    let all = manager.status().await.unwrap();
    all.components.iter().find(|c| c.id.as_str() == name).unwrap().clone()
}

/// The status of one component once `ok` holds; a returned status may be 50 ms old.
pub(crate) async fn status_when(
    manager: &Manager,
    name: &str,
    ok: impl Fn(&ComponentStatus) -> bool,
) -> ComponentStatus {
    let now = std::cell::RefCell::new(status(manager, name).await);
    let looks = async {
        loop {
            now.replace(status(manager, name).await);
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = until(|| ok(&now.borrow())) => {}
        () = looks => {}
    }
    now.into_inner()
}

/// Asserts that the text contains every part.
#[track_caller]
pub(crate) fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}
