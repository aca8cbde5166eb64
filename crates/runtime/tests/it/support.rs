//! Shared by the tests: directories, loaders, the one way to wait, and looks at `/proc` or `ps`.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use libtest_mimic::Trial;
use majordomo_core::{ComponentId, OpId};
use majordomo_registry::{ProcessSpec, ReadySpec};
use majordomo_runtime::LoadClock;
use majordomo_runtime::guard::{Guard, GuardConfig, GuardForm};
use majordomo_runtime::logs::LogBuffer;
use majordomo_runtime::process::{ProcessConfig, ProcessLoader, StartContext};

use crate::eventually::eventually;
use crate::helper;

/// Long enough for a busy machine; nothing waits that long when all is well.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// Adds a test to the list, by name.
pub(crate) fn add(tests: &mut Vec<Trial>, name: &str, test: impl FnOnce() + Send + 'static) {
    tests.push(Trial::test(name, move || {
        test();
        Ok(())
    }));
}

/// Adds a test that needs a runtime.
pub(crate) fn add_async<F: Future<Output = ()> + Send>(
    tests: &mut Vec<Trial>,
    name: &str,
    test: impl FnOnce() -> F + Send + 'static,
) {
    let name = name.to_owned();
    add(tests, &name.clone(), move || {
        let bounded = async { tokio::time::timeout(DEADLINE * 10, test()).await };
        runtime().block_on(bounded).unwrap_or_else(|_| panic!("{name} took too long"));
    });
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A directory that is removed with the test.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("majordomo-it-{}-{n}", std::process::id()));
        // Left by a run that had the same process id.
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // A guard task may be writing its list at this very moment.
        for _ in 0..1000 {
            if std::fs::remove_dir_all(&self.0).is_ok() {
                break;
            }
            std::thread::yield_now();
        }
    }
}

pub(crate) fn hidden() -> GuardForm {
    GuardForm::Hidden { program: std::env::current_exe().unwrap() }
}

pub(crate) async fn loader(dir: &Dir, form: GuardForm) -> ProcessLoader {
    let guard =
        Guard::start(GuardConfig { form, pid_file: Some(dir.path("groups")), temporary: None })
            .await
            .unwrap();
    ProcessLoader::new(ProcessConfig::new(dir.0.clone()), guard)
}

/// A specification that runs this binary as a helper.
pub(crate) fn spec(words: &[&str], ready: ReadySpec) -> ProcessSpec {
    let exe = std::env::current_exe().unwrap().display().to_string();
    let command = [exe.as_str(), helper::ARG].iter().chain(words).map(|&w| w.to_owned()).collect();
    ProcessSpec { command, ready, ..ProcessSpec::default() }
}

pub(crate) fn context(spec: ProcessSpec) -> StartContext {
    StartContext {
        memory_limit: None,
        may_park: false,
        component: ComponentId::new("c").unwrap(),
        op: OpId(7),
        spec: Arc::new(spec),
        base_dir: "/".into(),
        dependencies: BTreeMap::new(),
        deadline: DEADLINE * 10,
        logs: Arc::new(LogBuffer::default()),
        usual: None,
        clock: Arc::new(LoadClock::start()),
    }
}

/// Whether the process is there and no zombie.
pub(crate) fn lives(pid: i32) -> bool {
    let out = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().unwrap();
    let state = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    !state.is_empty() && !state.starts_with('Z')
}

/// Reads a process id that a helper wrote; waits for the file.
pub(crate) fn read_pid(path: &Path) -> i32 {
    let mut pid = None;
    eventually(DEADLINE, "a helper's process id", || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        pid = text.strip_suffix('\n').and_then(|t| t.parse().ok());
        pid.is_some()
    });
    pid.unwrap()
}

/// The texts of all lines of a log.
pub(crate) fn log_text(log: &LogBuffer) -> Vec<String> {
    log.tail(usize::MAX).iter().map(|l| l.text.to_string()).collect()
}
