//! The paged rung: the process runs on, and its memory was moved to swap.
//!
//! Knows what this machine offers, what of it components hold, and how fast it is; pages out and in on blocking threads.
//! Invariant: a rung is offered only after a trial on an own child has shown that it frees memory.

mod expected;
mod steps;
mod writes;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use majordomo_core::{
    BudgetSetting, ByteSize, ComponentKey, IncarnationId, ParkingConfig, ParkingStatus, Priority,
    Rung, WallSeconds,
};
use majordomo_engine::{ParkReport, RungOffer, WakeReport};
use majordomo_memory::{LimitChoice, choose_limits, has_swap, written_to_swap};
use majordomo_paging::{NotOffered, NotOfferedKind, Pager, Swap, try_paging};
use majordomo_registry::{Catalog, PoolSpec};

use super::Subject;
use crate::process::{ProcessLoader, RunningProcess};
use expected::Rates;
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
    /// Bytes of components that are in swap, as measured last.
    ours: ByteSize,
    rates: Option<Rates>,
    writes: Writes,
    /// Writes were booked since they were stored.
    is_dirty: bool,
}

#[derive(Debug, Default)]
enum Trial {
    /// No component could be paged out.
    #[default]
    None,
    UnderWay,
    Offered(Pager),
    Failed(NotOffered),
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

    /// Begins a trial where one may change the answer: none was made, or there was no swap and now there is. It takes about a
    /// second, on a thread of its own.
    pub(crate) fn try_if_due(&self, loader: &ProcessLoader, ended: impl FnOnce() + Send + 'static) {
        let mut machine = self.machine();
        let is_due = match &machine.trial {
            Trial::None => true,
            Trial::UnderWay | Trial::Offered(_) => false,
            Trial::Failed(why) => why.kind() == NotOfferedKind::NoSwap && has_swap(Path::new("/")),
        };
        if !is_due {
            return;
        }
        machine.trial = Trial::UnderWay;
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
            machine.trial = tried.map_or_else(Trial::Failed, Trial::Offered);
            drop(machine);
            paged.look_at_swap();
            ended();
        });
    }

    fn pager(&self) -> Option<Pager> {
        match &self.machine().trial {
            Trial::Offered(pager) => Some(pager.clone()),
            _ => None,
        }
    }

    fn look_at_swap(&self) {
        let Some(pager) = self.pager() else { return };
        let swap = pager.swap().unwrap_or_default();
        let share = ram_share(&swap);
        let mut machine = self.machine();
        machine.rates.get_or_insert_with(|| Rates::expected(share)).set_ram_share(share);
        machine.swap = swap;
    }

    /// Looks at the machine's swap and the writes to it, with the bytes of components that are in swap. Blocks for a moment.
    pub(crate) fn look(&self, ours: ByteSize, now: WallSeconds) {
        self.look_at_swap();
        let count = written_to_swap(Path::new("/"));
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

    /// The part of a swapped byte that is main memory.
    pub(crate) fn ram_share(&self) -> f64 {
        ram_share(&self.machine().swap)
    }

    /// The components that may be parked here; `bytes` are those that a component has when it is ready.
    pub(crate) fn offers(
        &self,
        catalog: &Catalog,
        config: &ParkingConfig,
        bytes: impl Fn(ComponentKey) -> ByteSize,
    ) -> Vec<RungOffer> {
        let mut machine = self.machine();
        let (Trial::Offered(_), Some(rates)) = (&machine.trial, machine.rates) else {
            return Vec::new();
        };
        machine.is_announced = true;
        if machine.swap.total == ByteSize::ZERO {
            return Vec::new();
        }
        let rows = catalog.keys().filter(|key| {
            catalog.spec(*key).is_some() && reason_against(catalog, *key, config).is_none()
        });
        let offer = |key| RungOffer { key, rung: Rung::Paged, figures: rates.figures(bytes(key)) };
        rows.map(offer).collect()
    }

    /// The bytes that parked components may have in swap, all together.
    pub(crate) fn room(&self, config: &ParkingConfig) -> ByteSize {
        let machine = self.machine();
        // Whatever other programs have in swap is theirs.
        let left = machine.swap.free + machine.ours;
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
            Trial::UnderWay => (None, None),
            Trial::Offered(_) if !machine.is_announced => (None, None),
            Trial::Failed(why) => (None, Some(why.to_string())),
            Trial::Offered(_) if machine.swap.total == ByteSize::ZERO => {
                (None, Some("the swap was turned off".to_owned()))
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
        matches!(machine.trial, Trial::Offered(_)).then(|| machine.swap.lanes())
    }
}

/// The part of a swapped byte that is main memory, as compressed memory shows it once it holds enough.
fn ram_share(swap: &Swap) -> f64 {
    let is_compressed = !swap.is_disk() && swap.total > ByteSize::ZERO;
    match is_compressed && swap.total - swap.free < ENOUGH {
        true => COMPRESSED,
        false => swap.ram_share(),
    }
}

/// Compressed memory that holds less than this does not show its ratio.
const ENOUGH: ByteSize = ByteSize::mib(32);
/// The ratio that is expected until then.
const COMPRESSED: f64 = 0.5;
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
