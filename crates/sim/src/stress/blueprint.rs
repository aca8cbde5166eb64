//! Random configurations: catalogs with every feature, and random changes to them.
//!
//! Knows no engine. Invariant: a blueprint always builds a catalog, and its CORE and pinned components fit its budget.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    ByteSize, ComponentId, ComponentKey, Config, IdleTrimWhen, PolicyKind, Priority,
};
use majordomo_registry::{
    Catalog, ComponentSpec, ConflictPolicy, LoaderSpec, OnAbandon, OverLimit, PoolSpec, ProbeRule,
    ProbeSpec, ProcessSpec, ReadySpec, RestartPolicy, TrimSignal, TrimSpec, WhileLeased,
};

use crate::rng::Rng;

/// Number of components that later configurations may add.
pub(crate) const N_SPARE: usize = 3;

/// A configuration that can be changed.
#[derive(Clone, Debug)]
pub(crate) struct Blueprint {
    pub(crate) specs: Vec<ComponentSpec>,
    pub(crate) pools: Vec<PoolSpec>,
    pub(crate) budget: ByteSize,
    pub(crate) config: Config,
}

/// The name of the `i`-th component of the simulated world.
pub(crate) fn name(i: usize) -> ComponentId {
    ComponentId::new(&format!("c{i:02}")).expect("made of allowed letters")
}

const POLICIES: [PolicyKind; 4] =
    [PolicyKind::Vrank, PolicyKind::VrankWait, PolicyKind::Lru, PolicyKind::Gdsf];
const IDLE_TRIMS: [IdleTrimWhen; 3] =
    [IdleTrimWhen::Never, IdleTrimWhen::Pressed, IdleTrimWhen::Always];
/// The pool of memory that is not main memory.
const VRAM: &str = "vram";
const POOLS: [&str; 5] = ["vision", "audio", "ml", "general", VRAM];

fn spec(i: usize, n: usize, rng: &mut Rng) -> ComponentSpec {
    let process = rng.chance(0.7);
    let while_leased = [WhileLeased::Report, WhileLeased::Restart][i % 2];
    let loader = if process {
        let probe = rng.chance(0.5).then(|| ProbeSpec {
            how: ReadySpec::Connect,
            every: Duration::from_secs(rng.between(5, 30)),
            timeout: Duration::from_secs(2),
            // Not drawn, so that the other draws of a seed stay the same.
            rule: ProbeRule { failures: 1 + i as u32 % 3, while_leased },
        });
        LoaderSpec::Process(ProcessSpec {
            command: vec![format!("program-{i}")],
            probe,
            // Not drawn, so that the other draws of a seed stay the same.
            trim: i.is_multiple_of(3).then_some(TrimSpec::Signal(TrimSignal::Usr1)),
            ..ProcessSpec::default()
        })
    } else {
        LoaderSpec::Builtin { factory: format!("factory-{i}") }
    };
    let mut s = ComponentSpec::new(name(i), loader);
    s.priority = match rng.below(20) {
        0 => Priority::Core,
        1..=4 => Priority::High,
        5..=12 => Priority::Medium,
        _ => Priority::Low,
    };
    s.pool = Arc::from(*rng.pick(&POOLS));
    s.memory = ByteSize::mib(rng.between(10, 300));
    // Not drawn, so that the other draws of a seed stay the same.
    if i.is_multiple_of(3) {
        s.memory_in.insert(Arc::from(VRAM), s.memory.scaled(0.2 + 0.2 * (i % 5) as f64));
    }
    s.memory_limit = rng.chance(0.2).then(|| s.memory.scaled(0.9 + 0.8 * rng.unit()));
    s.over_limit = *rng.pick(&[OverLimit::Restart, OverLimit::Unload]);
    s.load_time = rng.millis(20, 3000);
    for _ in 0..rng.below(3) {
        // Edges point to smaller numbers only, so there is no cycle; most components have none.
        if i > 0 && rng.chance(0.45) {
            let d = name(rng.below(i));
            if !s.dependencies.contains(&d) {
                s.dependencies.push(d);
            }
        }
    }
    if i > 0 && rng.chance(0.1) {
        s.after.push(name(rng.below(i)));
    }
    if rng.chance(0.2) {
        let other = rng.below(n);
        if other != i {
            s.conflicts.push(name(other));
            if rng.chance(0.3) {
                s.conflict_policy = ConflictPolicy::Refuse;
            }
        }
    }
    s.lazy_init = !rng.chance(0.1);
    s.pinned = rng.chance(0.04);
    s.max_leases = rng.chance(0.15).then(|| rng.between(1, 3) as u32);
    s.idle_timeout = rng.chance(0.3).then(|| rng.millis(500, 120_000));
    s.idle_park = rng.chance(0.3).then(|| rng.millis(200, 60_000));
    s.load_deadline = rng.chance(0.5).then(|| s.load_time * 4 + rng.millis(100, 5000));
    s.stop_deadline = rng.chance(0.5).then(|| rng.millis(50, 4000));
    s.restart = *rng.pick(&[
        RestartPolicy::OnDemand,
        RestartPolicy::Always,
        RestartPolicy::Never,
        RestartPolicy::OnDemand,
        RestartPolicy::OnFailure,
    ]);
    s.on_abandon =
        *rng.pick(&[OnAbandon::Auto, OnAbandon::Finish, OnAbandon::Cancel, OnAbandon::Auto]);
    s
}

impl Blueprint {
    /// `n` components.
    pub(crate) fn seeded(rng: &mut Rng, n: usize) -> Self {
        let specs: Vec<_> = (0..n).map(|i| spec(i, n, rng)).collect();
        let total: u64 = specs.iter().map(|s| s.memory.0).sum();
        let budget = ByteSize((total as f64 * (0.25 + 0.4 * rng.unit())) as u64);
        let pools = vec![
            PoolSpec {
                name: Arc::from("vision"),
                budget: rng.chance(0.5).then_some(ByteSize(budget.0 / 2)),
                declared: false,
            },
            PoolSpec {
                name: Arc::from("ml"),
                budget: rng.chance(0.3).then_some(ByteSize(budget.0 / 3 * 2)),
                declared: false,
            },
            PoolSpec {
                name: Arc::from(VRAM),
                budget: Some(ByteSize(budget.0 / 2)),
                declared: true,
            },
        ];
        let mut config = Config::default();
        config.memory.policy = *rng.pick(&POLICIES);
        config.speculation.patience = rng.millis(1_000, 60_000);
        config.idle.trim = *rng.pick(&IDLE_TRIMS);
        config.idle.after = rng.millis(1_000, 120_000);
        config.deadlines.load = Duration::from_secs(20);
        config.loads.max_concurrent = Some(rng.between(1, 4) as usize);
        config.loads.kept_for_demands = rng.below(2);
        config.queue.capacity = if rng.chance(0.2) { 12 } else { 256 };
        if rng.chance(0.2) {
            config.memory.min_residency = Duration::from_secs(2);
        }
        let mut made = Self { specs, pools, budget, config };
        made.mend();
        made
    }

    /// Builds the catalog; keys of `prev` stay valid.
    pub(crate) fn build(&self, prev: Option<&Catalog>) -> Catalog {
        Catalog::build(self.specs.clone(), self.pools.clone(), prev)
            .expect("a mended blueprint has no errors")
    }

    /// Takes out everything that a catalog refuses: names of removed components, conflicts inside closures, and CORE or
    /// pinned components that do not fit.
    fn mend(&mut self) {
        let names: Vec<_> = self.specs.iter().map(|s| s.id.clone()).collect();
        for s in &mut self.specs {
            s.dependencies.retain(|d| names.contains(d));
            s.after.retain(|d| names.contains(d));
            s.conflicts.retain(|d| names.contains(d));
            // A component has its bytes there as its own, or besides its own, as a configuration must say.
            if &*s.pool == VRAM {
                s.memory_in.clear();
            }
        }
        let conflicts: Vec<_> =
            self.specs.iter_mut().map(|s| std::mem::take(&mut s.conflicts)).collect();
        let plain = self.build(None);
        let fixed: Vec<ComponentKey> = plain
            .keys()
            .filter(|k| plain.spec(*k).is_some_and(|s| s.priority == Priority::Core || s.pinned))
            .collect();
        let mut together: Vec<Vec<ComponentKey>> =
            plain.keys().map(|k| plain.closure(&[k])).collect();
        together.push(plain.closure(&fixed));
        for (s, drawn) in self.specs.iter_mut().zip(conflicts) {
            let own = plain.key(s.id.as_str());
            s.conflicts = drawn
                .into_iter()
                .filter(|c| {
                    let other = plain.key(c.as_str());
                    own.zip(other).is_some_and(|(a, b)| {
                        !together.iter().any(|t| t.contains(&a) && t.contains(&b))
                    })
                })
                .collect();
        }
        let need: u64 = plain
            .closure(&fixed)
            .iter()
            .filter_map(|k| plain.spec(*k))
            .map(|s| s.memory.0 * 2 + s.memory_in.values().map(|b| b.0).sum::<u64>())
            .sum();
        if need > self.budget.0 / 2 {
            for s in &mut self.specs {
                s.pinned = false;
                if s.priority == Priority::Core {
                    s.priority = Priority::High;
                }
            }
        }
    }

    /// Switches preloading on or off; `None` keeps it.
    pub(crate) fn set_preloading(&mut self, preloading: Option<bool>) {
        if let Some(on) = preloading {
            self.config.speculation.enabled = on;
        }
    }

    /// One random change of the configuration.
    pub(crate) fn change(&mut self, rng: &mut Rng, n: usize) {
        let i = rng.below(self.specs.len().max(1));
        match rng.below(13) {
            0 | 1 => {
                if let Some(s) = self.specs.get_mut(i) {
                    s.version.push('x');
                }
            }
            2 => {
                if let Some(s) = self.specs.get_mut(i) {
                    let factor = 0.5 + rng.unit();
                    s.memory = s.memory.scaled(factor);
                    s.memory_in.values_mut().for_each(|bytes| *bytes = bytes.scaled(factor));
                    s.idle_timeout = rng.chance(0.5).then(|| rng.millis(500, 60_000));
                    s.idle_park = rng.chance(0.5).then(|| rng.millis(200, 30_000));
                    s.max_leases = rng.chance(0.3).then(|| rng.between(1, 3) as u32);
                }
            }
            3 => {
                if let Some(s) = self.specs.get_mut(i) {
                    s.priority = *rng.pick(Priority::ALL);
                    s.pinned = rng.chance(0.2);
                }
            }
            4 if self.specs.len() > 3 => {
                self.specs.remove(i);
            }
            4 | 5 | 12 => {
                let absent: Vec<_> = (0..n + N_SPARE)
                    .filter(|i| !self.specs.iter().any(|s| s.id == name(*i)))
                    .collect();
                if !absent.is_empty() {
                    let new = *rng.pick(&absent);
                    self.specs.push(spec(new, n, rng));
                }
            }
            6 => {
                // All relations of one component.
                if let Some(number) =
                    self.specs.get(i).and_then(|s| s.id.as_str()[1..].parse().ok())
                {
                    let fresh = spec(number, n, rng);
                    self.specs[i].dependencies = fresh.dependencies;
                    self.specs[i].conflicts = fresh.conflicts;
                    self.specs[i].conflict_policy = fresh.conflict_policy;
                }
            }
            7..=9 => {
                // The budget shrinks or grows.
                let total: u64 = self.specs.iter().map(|s| s.memory.0).sum();
                self.budget = ByteSize(total).scaled(0.15 + 0.6 * rng.unit());
            }
            10 => {
                self.config.loads.max_concurrent = Some(rng.between(1, 4) as usize);
                self.config.loads.kept_for_demands = rng.below(2);
                self.config.memory.policy = *rng.pick(&POLICIES);
                self.config.idle.trim = *rng.pick(&IDLE_TRIMS);
                self.config.speculation.enabled = rng.chance(0.9);
            }
            _ => {
                if let Some(s) = self.specs.get_mut(i) {
                    s.pool = Arc::from(*rng.pick(&POOLS));
                }
                let at = rng.below(self.pools.len());
                self.pools[at].budget =
                    rng.chance(0.7).then(|| self.budget.scaled(0.3 + 0.5 * rng.unit()));
                if rng.chance(0.3) {
                    self.pools.reverse();
                }
            }
        }
        self.mend();
    }
}
