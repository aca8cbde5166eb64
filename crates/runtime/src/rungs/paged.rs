//! The paged rung: the process runs on, and its memory was moved to swap.
//!
//! Knows what this machine offers, what of it components hold, and how fast it is; pages out and in on blocking threads.
//! Invariant: a rung is offered only after a trial on an own child has shown that it frees memory.

mod expected;
mod refusals;
mod steps;
mod trials;
mod writes;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use majordomo_core::{
    BudgetSetting, ByteSize, ComponentKey, IncarnationId, Moment, ParkingConfig, ParkingStatus,
    Priority, Rung, WallSeconds,
};
use majordomo_engine::{ParkReport, RungOffer, WakeReport};
use majordomo_memory::{LimitChoice, choose_limits, has_swap};
use majordomo_paging::{Pager, Swap, try_paging};
use majordomo_registry::{Catalog, PoolSpec};

use super::Subject;
use crate::process::{ProcessLoader, RunningProcess};
use expected::Rates;
use refusals::Refusals;
use trials::Trial;
pub(crate) use writes::STORED;
use writes::Writes;

/// A program to be measured.
#[derive(Debug)]
pub(crate) struct Sampled {
    pub(crate) id: IncarnationId,
    pub(crate) process: Arc<RunningProcess>,
    /// How often it was used so far.
    pub(crate) uses: u64,
    pub(crate) is_leased: bool,
}

/// The paged rung of this machine. Cloning gives the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paged(Arc<Mutex<Machine>>);

#[derive(Debug, Default)]
struct Machine {
    trial: Trial,
    /// Its offer was reported to the engine.
    is_announced: bool,
    /// As seen by the last look.
    swap: Swap,
    /// Room in swap within a limit of the manager's own cgroup, as seen by the last look.
    own_room: Option<ByteSize>,
    /// Bytes of components that are in swap, as measured last.
    ours: ByteSize,
    refusals: Refusals,
    /// The share of each component's memory that can be moved to swap, where it is known.
    movable: BTreeMap<ComponentKey, f64>,
    rates: Option<Rates>,
    writes: Writes,
    /// Writes were booked since they were stored.
    is_dirty: bool,
}

impl Paged {
    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Continues with the writes that an earlier manager booked.
    pub(crate) fn restore(&self, stored: &[u8]) {
        if let Some(writes) = Writes::decode(stored) {
            self.machine().writes = writes;
        }
    }

    /// The booked writes, when they changed since they were taken last.
    pub(crate) fn changed_writes(&self) -> Option<Vec<u8>> {
        let mut machine = self.machine();
        std::mem::take(&mut machine.is_dirty).then(|| machine.writes.encode())
    }

    /// Begins a trial where one may change the answer. It takes about a second, on a thread of its own.
    pub(crate) fn try_if_due(
        &self,
        loader: &ProcessLoader,
        now: Moment,
        ended: impl FnOnce() + Send + 'static,
    ) {
        let mut machine = self.machine();
        if !machine.trial.begin_if_due(now, || has_swap(Path::new("/"))) {
            return;
        }
        drop(machine);
        let (paged, loader) = (self.clone(), loader.clone());
        tokio::task::spawn_blocking(move || {
            let root = Path::new("/");
            let cgroups = if has_swap(root) { loader.cgroups() } else { None };
            let tried = try_paging(root, cgroups.as_ref());
            match &tried {
                Ok(pager) => {
                    tracing::info!(means = %pager.means(), "programs can be parked in swap");
                }
                Err(why) => tracing::debug!(%why, "programs cannot be parked in swap"),
            }
            let mut machine = paged.machine();
            machine.trial.ended(tried);
            drop(machine);
            paged.look_at_swap();
            ended();
        });
    }

    fn pager(&self) -> Option<Pager> {
        self.machine().trial.pager().cloned()
    }

    fn look_at_swap(&self) {
        let Some(pager) = self.pager() else { return };
        let (swap, own_room) = (pager.swap().unwrap_or_default(), pager.own_room());
        let share = swap.ram_of_next();
        let mut machine = self.machine();
        machine.rates.get_or_insert_with(|| Rates::expected(share)).set_ram_share(share);
        (machine.swap, machine.own_room) = (swap, own_room);
    }

    /// Looks at the machine's swap and the writes to it, with the bytes of components that are in swap. Blocks for a moment.
    pub(crate) fn look(&self, ours: ByteSize, now: WallSeconds) {
        self.look_at_swap();
        let count = self.pager().and_then(|pager| pager.written_to_disks());
        let mut machine = self.machine();
        machine.ours = ours;
        // Compressed memory wears nothing out.
        if machine.swap.is_disk()
            && let Some(count) = count
        {
            let is_new = machine.writes.look(count, now);
            machine.is_dirty |= is_new;
        }
    }

    /// Looks at a component: bytes of it in main memory that no process has mapped, because they were read ahead or are on
    /// their way to a disk. Frees the former when they are of no use any more. Blocks.
    pub(crate) fn look_at(&self, sampled: &Sampled) -> ByteSize {
        let process = &sampled.process;
        let Some(pager) = self.pager().filter(|_| process.stepping().was_paged()) else {
            return ByteSize::ZERO;
        };
        self.release_if_due(&pager, sampled);
        let cgroup = process.members().cgroup();
        cgroup.map_or(ByteSize::ZERO, |cgroup| pager.held(&[], Some(cgroup)).cached)
    }

    /// Takes over how much of a component's memory can be moved, as its process was measured.
    pub(crate) fn learn_movable(&self, key: ComponentKey, process: &RunningProcess) {
        if let Some(share) = process.stepping().record().movable {
            self.machine().movable.insert(key, share);
        }
    }

    /// Main memory that so many bytes of a component in swap take.
    pub(crate) fn ram_of(&self, swapped: ByteSize) -> ByteSize {
        self.machine().swap.ram_of(swapped)
    }

    /// The components that may be parked here; `bytes` are those that a component has when it is ready, and `lacks_cgroup`
    /// says of which one the processes have no cgroup of their own.
    pub(crate) fn offers(
        &self,
        catalog: &Catalog,
        config: &ParkingConfig,
        now: WallSeconds,
        bytes: impl Fn(ComponentKey) -> ByteSize,
        lacks_cgroup: impl Fn(ComponentKey) -> bool,
    ) -> Vec<RungOffer> {
        let mut machine = self.machine();
        let (Some(pager), Some(rates)) = (machine.trial.pager(), machine.rates) else {
            return Vec::new();
        };
        let needs_cgroup = pager.means().needs_cgroup();
        machine.is_announced = true;
        machine.refusals.expire(now);
        if machine.swap.total == ByteSize::ZERO {
            return Vec::new();
        }
        let rows = catalog.keys().filter(|key| {
            catalog.spec(*key).is_some()
                && reason_against(catalog, *key, config).is_none()
                && !machine.refusals.has(*key)
                && !(needs_cgroup && lacks_cgroup(*key))
        });
        let movable = |key| machine.movable.get(&key).copied();
        let offer = |key| RungOffer {
            key,
            rung: Rung::Paged,
            figures: rates.figures(bytes(key), movable(key)),
        };
        rows.map(offer).collect()
    }

    /// The bytes that parked components may have in swap, all together.
    pub(crate) fn room(&self, config: &ParkingConfig) -> ByteSize {
        let machine = self.machine();
        // Whatever other programs have in swap is theirs.
        let free = machine.own_room.map_or(machine.swap.free, |own| own.min(machine.swap.free));
        let left = free + machine.ours;
        let budget = match config.swap_budget {
            BudgetSetting::Share(share) => left.scaled(share),
            BudgetSetting::Bytes(bytes) => bytes.min(left),
        };
        // In steps: pages come and go all the time.
        let step = (machine.swap.total.0 / ROOM_STEPS).max(1);
        ByteSize(budget.0 / step * step)
    }

    /// The machine's offer, for the status.
    pub(crate) fn status(&self, config: &ParkingConfig, now: WallSeconds) -> ParkingStatus {
        let budget = self.room(config);
        let machine = self.machine();
        let (means, why_not) = match &machine.trial {
            Trial::None => (None, Some("no component is a program that may be parked".to_owned())),
            Trial::UnderWay { .. } => (None, None),
            Trial::Offered(_) if !machine.is_announced => (None, None),
            Trial::Failed { why, .. } => (None, Some(why.to_string())),
            Trial::Offered(_) if machine.swap.total == ByteSize::ZERO => {
                (None, Some("the swap was turned off; `swapon` turns it on again".to_owned()))
            }
            Trial::Offered(_) if machine.refusals.of_all().is_some() => {
                (None, machine.refusals.of_all().map(|why| format!("{why}; {TRIED_AGAIN}")))
            }
            Trial::Offered(pager) => (Some(in_words(pager, &machine.swap)), None),
        };
        let is_disk = machine.swap.is_disk();
        ParkingStatus {
            means,
            why_not,
            swapped: machine.ours,
            budget,
            written: machine.writes.of_a_day(now),
            writes_per_day: is_disk.then_some(config.swap_writes_per_day),
        }
    }

    /// Why the machine could not park a component, which others may be.
    pub(crate) fn refusal(&self, key: ComponentKey) -> Option<String> {
        self.machine().refusals.of_one(key).map(|why| format!("{why}; {TRIED_AGAIN}"))
    }

    /// The bytes that parks may still write today; none without a bound.
    pub(crate) fn may_write(&self, config: &ParkingConfig, now: WallSeconds) -> Option<ByteSize> {
        let machine = self.machine();
        if !machine.swap.is_disk() {
            return None;
        }
        let left = config.swap_writes_per_day - machine.writes.of_a_day(now);
        let step = Self::step_of_writes(config).0;
        Some(ByteSize(left.0 / step * step))
    }

    /// The bytes that may be written are reported in steps of this size.
    pub(crate) fn step_of_writes(config: &ParkingConfig) -> ByteSize {
        ByteSize((config.swap_writes_per_day.0 / ROOM_STEPS).max(1))
    }

    /// Wakes that may run at a time; none where nothing is paged.
    pub(crate) fn wake_lanes(&self) -> Option<usize> {
        let machine = self.machine();
        machine.trial.pager().map(|_| machine.swap.lanes())
    }
}

/// Finds out whether programs can be parked in swap on this machine: by which means and where to, or why not and the way
/// out. Blocks for about a second.
///
/// # Errors
/// In words, why not.
pub fn try_parking() -> Result<String, String> {
    let root = Path::new("/");
    let cgroups = match has_swap(root).then(|| choose_limits(root)) {
        Some(LimitChoice::Cgroup(parent)) => Some(parent),
        _ => None,
    };
    let pager = try_paging(root, cgroups.as_ref()).map_err(|why| why.to_string())?;
    let swap = pager.swap().map_err(|error| error.to_string())?;
    Ok(in_words(&pager, &swap))
}

fn in_words(pager: &Pager, swap: &Swap) -> String {
    format!("{}; {swap}", pager.means())
}

/// The end of the reason of a refusal that passes.
const TRIED_AGAIN: &str = "it is tried again within a minute";

/// Room and writes are reported in steps of this part of them.
const ROOM_STEPS: u64 = 256;

/// Why a component is not parked here, whatever the machine offers.
pub(crate) fn reason_against(
    catalog: &Catalog,
    key: ComponentKey,
    config: &ParkingConfig,
) -> Option<String> {
    let spec = catalog.spec(key)?;
    let is_elsewhere = |pool: &&PoolSpec| pool.name == spec.pool && pool.declared;
    if !spec.may_park(config.park) {
        return Some("park = \"never\"".to_owned());
    }
    if spec.priority == Priority::Core {
        return Some("it is CORE".to_owned());
    }
    if spec.program().is_none() {
        return Some("it is no program of the manager's own".to_owned());
    }
    let pool = catalog.pools().iter().find(is_elsewhere)?;
    Some(format!("its memory is in {}, which is no main memory", pool.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use majordomo_core::ParkChoice;
    use majordomo_registry::ComponentSpec;

    #[test]
    fn program_in_main_memory_is_parked_unless_its_configuration_forbids_it() {
        let program = |name: &str| ComponentSpec::process(name, &["x"]).unwrap();
        let specs = vec![
            program("plain"),
            program("core").priority(Priority::Core),
            program("never").park(ParkChoice::Never),
            program("card").pool("gpu"),
            ComponentSpec::builtin("builtin").unwrap(),
        ];
        let gpu = PoolSpec { name: "gpu".into(), budget: None, declared: true };
        let catalog = Catalog::build(specs, vec![gpu], None).unwrap();
        let against = |name: &str, park| {
            let config = ParkingConfig { park, ..ParkingConfig::default() };
            reason_against(&catalog, catalog.key(name).unwrap(), &config)
        };
        assert_eq!(against("plain", ParkChoice::Auto), None);
        for (name, word) in
            [("core", "CORE"), ("never", "never"), ("card", "gpu"), ("builtin", "program")]
        {
            let why = against(name, ParkChoice::Auto).unwrap();
            assert!(why.contains(word), "{name}: {why}");
        }
        assert!(against("plain", ParkChoice::Never).is_some());
    }
}
