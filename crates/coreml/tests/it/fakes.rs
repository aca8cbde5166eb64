//! Fake back ends on a clock of their own, and the calibration child that has them: this test program, started again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use majordomo_coreml::{ChildCommand, Maker, Plan, Stopwatch, child_main};
use majordomo_predictor::{
    Backend, BackendError, Capabilities, DenseWeights, Head, SimdBackend, WeightsId,
};

/// Set in a child only.
const CHILD: &str = "MAJORDOMO_TEST_CHILD";

/// The life of a child; in the parent's run of the tests it does nothing.
#[test]
fn child_entry() {
    if std::env::var_os(CHILD).is_some() {
        let clock = Arc::new(Virtual::default());
        let maker = Fakes { clock: Arc::clone(&clock), ..Fakes::new(&[]) };
        // The child's own words must not hide its reply.
        println!("a framework says something");
        let code = child_main(&maker, &*clock);
        std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
    }
}

/// This program as a child.
pub(crate) fn child() -> ChildCommand {
    ChildCommand {
        program: std::env::current_exe().expect("a program"),
        args: ["--exact", "fakes::child_entry", "--nocapture", "--test-threads=1"]
            .map(Into::into)
            .into(),
        env: vec![(CHILD.into(), "1".into())],
    }
}

pub(crate) fn plan(deadline: Duration) -> Plan {
    Plan { hot_calls: 5, idle_calls: 3, deadline, ..Plan::default() }
}

/// Every call takes 100 µs unless a fake says otherwise; pauses pass at once.
#[derive(Debug, Default)]
pub(crate) struct Virtual {
    now: AtomicU64,
    /// Time of the current call in µs as a fake set it; 0 = the usual.
    call: AtomicU64,
    is_asleep: AtomicBool,
}

impl Virtual {
    fn takes(&self, us: u64) {
        self.call.store(us, Ordering::Relaxed);
    }
}

impl Stopwatch for Virtual {
    fn elapsed(&self) -> Duration {
        let us = match self.call.swap(0, Ordering::Relaxed) {
            0 => 100,
            us => us,
        };
        Duration::from_micros(self.now.fetch_add(us, Ordering::Relaxed) + us)
    }

    fn idle(&self, time: Duration) {
        self.now.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
        self.is_asleep.store(true, Ordering::Relaxed);
    }
}

/// Makes fakes by name.
#[derive(Debug)]
pub(crate) struct Fakes {
    pub(crate) names: Vec<String>,
    pub(crate) clock: Arc<Virtual>,
    /// Folders that were prepared.
    pub(crate) prepared: Mutex<Vec<PathBuf>>,
    pub(crate) cannot_prepare: bool,
    /// Another file beside the model.
    pub(crate) exports_more: bool,
    pub(crate) settings: &'static str,
}

impl Fakes {
    pub(crate) fn new(names: &[&str]) -> Self {
        Self {
            names: names.iter().map(|&name| name.to_owned()).collect(),
            clock: Arc::default(),
            prepared: Mutex::default(),
            cannot_prepare: false,
            exports_more: false,
            settings: "",
        }
    }
}

impl Maker for Fakes {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn settings(&self, _name: &str) -> String {
        self.settings.to_owned()
    }

    fn prepare(&self, weights: &DenseWeights, folder: &Path) -> Result<(), BackendError> {
        if self.cannot_prepare {
            return Err(BackendError::Failed("planted".to_owned()));
        }
        self.prepared.lock().expect("not poisoned").push(folder.to_owned());
        let more = if self.exports_more { "of another exporter" } else { "" };
        std::fs::write(folder.join("more"), more)
            .and_then(|()| std::fs::write(folder.join("model"), weights.id().0.to_string()))
            .map_err(|error| BackendError::Failed(error.to_string()))
    }

    fn make(
        &self,
        name: &str,
        weights: &DenseWeights,
        folder: &Path,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        let model = std::fs::read_to_string(folder.join("model")).unwrap_or_default();
        if name == "unmakable" || model != weights.id().0.to_string() {
            return Err(BackendError::Failed("cannot be made".to_owned()));
        }
        let pid = std::process::id().to_string();
        let written = std::fs::write(folder.join(format!("pid of {name}")), pid);
        written.map_err(|error| BackendError::Failed(error.to_string()))?;
        Ok(Arc::new(Fake {
            name: name.to_owned(),
            simd: SimdBackend::new(weights.clone()),
            clock: Arc::clone(&self.clock),
            is_child: std::env::var_os(CHILD).is_some(),
        }))
    }

    fn placement(&self, name: &str, _folder: &Path) -> Vec<(String, u32)> {
        if name == "fast" { vec![("accelerator".to_owned(), 4)] } else { Vec::new() }
    }
}

/// Computes as the kernels do, with the faults of its name.
struct Fake {
    name: String,
    simd: SimdBackend,
    clock: Arc<Virtual>,
    is_child: bool,
}

impl Backend for Fake {
    fn name(&self) -> &str {
        &self.name
    }

    fn weights_id(&self) -> WeightsId {
        self.simd.weights_id()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { max_rows: if self.name == "small" { 8 } else { 512 }, bits: 16 }
    }

    fn infer_batch(&self, units: &[f32], rows: usize, out: &mut [f32]) -> Result<(), BackendError> {
        assert!(rows <= self.capabilities().max_rows, "{rows} rows for {}", self.name);
        self.simd.infer_batch(units, rows, out)?;
        let was_asleep = self.clock.is_asleep.swap(false, Ordering::Relaxed);
        match self.name.as_str() {
            "slow" => self.clock.takes(1000),
            "slightly" => self.clock.takes(85),
            "for large batches" => self.clock.takes(if rows >= 32 { 20 } else { 500 }),
            "fast only when hot" => self.clock.takes(if was_asleep { 5000 } else { 5 }),
            "wrong" => out[0] += 1.0,
            "no number" => out[0] = f32::NAN,
            "wrong row by row" if rows == 1 => out[0] += 1.0,
            "wrong for 8 rows" if rows == 8 => out[0] += 1.0,
            "wrong for others" if self.simd.weights().version() != 1 => out[0] += 1.0,
            "wrong for others" => self.clock.takes(5),
            "crashing" => std::process::abort(),
            "quitting" => std::process::exit(0),
            "hanging" => loop {
                std::thread::park();
            },
            "breaking" if !self.is_child => {
                return Err(BackendError::Failed("the device is gone".to_owned()));
            }
            _ => self.clock.takes(10),
        }
        Ok(())
    }
}

/// Weights of two units and three outputs.
pub(crate) fn weights(version: u64, first: f32) -> DenseWeights {
    DenseWeights::new(
        version,
        Head::Exclusive,
        vec![0.1, -0.1],
        vec![first, 2.0, -1.0, 0.5, 0.25, -2.0],
        vec![0.0, 0.5, -0.5],
    )
    .expect("they fit")
}
