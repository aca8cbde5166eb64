//! The control beside the demo: a second manager of the same components in the same budget, LRU on demand.
//!
//! It gets the same commands at the same moments, with processes of its own, so that the two differ in nothing
//! but what decides. Knows how to start it, and to compare what the two came to.

use std::time::Duration;

use majordomo::{
    AcquireOptions, ByteSize, ComponentSpec, Config, GuardForm, Manager, ParkChoice, PolicyKind,
    StatusValue,
};

use crate::summary::Summary;

/// The second manager and its figures.
pub(super) struct Control {
    manager: Manager,
    pub(super) summary: Summary,
}

/// Settings of a manager that loads on demand, unloads the least recently used, and parks none.
fn on_demand(mut config: Config) -> Config {
    config.memory.policy = PolicyKind::Lru;
    config.speculation.enabled = false;
    config.parking.park = ParkChoice::Never;
    config
}

impl Control {
    pub(super) async fn start(
        specs: &[ComponentSpec],
        config: Config,
        budget: ByteSize,
    ) -> anyhow::Result<Self> {
        let mut builder = Manager::builder()
            .config(on_demand(config))
            .budget(budget)
            .guard(GuardForm::this_program()?);
        for spec in specs {
            builder = builder.component(spec.clone());
        }
        let manager = builder.start().await?;
        let summary = Summary::new(&manager);
        Ok(Self { manager, summary })
    }

    /// The same command for the control, and the same correction.
    pub(super) async fn command(
        &mut self,
        text: &str,
        options: AcquireOptions,
    ) -> majordomo::Outcome {
        let outcome = self.manager.command_with(text, options).await;
        outcome.mark_used();
        self.summary.command(&outcome);
        self.summary.catch_up(&self.manager).await;
        outcome
    }

    /// The manager itself.
    pub(super) fn manager(&self) -> &Manager {
        &self.manager
    }

    pub(super) async fn stop(&mut self) {
        self.summary.catch_up(&self.manager).await;
        self.manager.shutdown(None).await;
    }
}

/// The accounts of all preloads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Preloads {
    started: u64,
    hits: u64,
    late: u64,
    wasted: u64,
    wasted_mib_seconds: f64,
}

impl Preloads {
    /// Sums the tiers of the status.
    pub(super) async fn of(manager: &Manager) -> Self {
        let mut all = Self::default();
        let Ok(status) = manager.status().await else { return all };
        let tiers = ["immediate: ", "delayed: ", "background: "];
        for (name, value) in status.sections.get("preloader").into_iter().flatten() {
            let Some(what) = tiers.iter().find_map(|t| name.strip_prefix(t)) else { continue };
            match (what, value) {
                ("started", StatusValue::Count(n)) => all.started += n,
                ("hits", StatusValue::Count(n)) => all.hits += n,
                ("late", StatusValue::Count(n)) => all.late += n,
                ("wasted", StatusValue::Count(n)) => all.wasted += n,
                ("wasted MiB-seconds", StatusValue::Number(x)) => all.wasted_mib_seconds += x,
                _ => {}
            }
        }
        all
    }

    pub(super) fn json(self) -> serde_json::Value {
        serde_json::json!({
            "started": self.started,
            "hits": self.hits,
            "late": self.late,
            "wasted": self.wasted,
            "wasted_byte_seconds": self.wasted_mib_seconds * f64::from(1u32 << 20),
        })
    }
}

/// The two side by side.
pub(super) fn lines(managed: &Summary, control: &Summary, preloads: Preloads) -> Vec<String> {
    let time = crate::print::time;
    let of = |part: u64, whole: u64| {
        if whole == 0 {
            String::new()
        } else {
            format!(" ({:.2} of LRU)", part as f64 / whole as f64)
        }
    };
    let of_time =
        |part: Duration, whole: Duration| of(part.as_micros() as u64, whole.as_micros() as u64);
    let row = |what: &str, a: String, b: String| format!("{what:<26} {a:>22} {b:>12}");
    vec![
        row("the same days", "preloading".to_owned(), "LRU".to_owned()),
        row(
            "commands that waited",
            format!("{}{}", managed.n_waited(), of(managed.n_waited(), control.n_waited())),
            control.n_waited().to_string(),
        ),
        row(
            "wait, mean",
            format!(
                "{}{}",
                time(managed.mean_wait()),
                of_time(managed.mean_wait(), control.mean_wait())
            ),
            time(control.mean_wait()),
        ),
        row("wait, 95 %", time(managed.percentile(0.95)), time(control.percentile(0.95))),
        row("loads", managed.loads.to_string(), control.loads.to_string()),
        row("wakes", managed.wakes.to_string(), control.wakes.to_string()),
        row("resident, mean", managed.memory.mean().to_string(), control.memory.mean().to_string()),
        row("resident, peak", managed.memory.peak.to_string(), control.memory.peak.to_string()),
        format!(
            "preloads {}: {} hits, {} late, {} wasted, which held {:.1} MiB-seconds",
            preloads.started,
            preloads.hits,
            preloads.late,
            preloads.wasted,
            preloads.wasted_mib_seconds
        ),
    ]
}
