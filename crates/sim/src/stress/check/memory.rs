//! Invariant 3: admissions and peaks of loads within the budget.

use majordomo_core::{ByteSize, ComponentKey, ComponentState, OpId};
use majordomo_engine::{Effect, Engine, Input};
use majordomo_lifecycle::Origin;
use majordomo_memory::Shortage;

use super::broken::{Broken, broken};

/// The reservation of one component in the total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reserved {
    bytes: ByteSize,
    /// The incarnation that it is for.
    op: Option<OpId>,
}

/// The engine's budget before an input.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The overdraft without the peaks of loads.
    lasting: Shortage,
    claimed: ByteSize,
    reserved: Vec<Reserved>,
    /// The input may change the bytes booked without admitting anything.
    measures: bool,
    /// The input may change the pools.
    configures: bool,
}

impl Memory {
    pub(super) fn before(&mut self, engine: &Engine, input: &Input) {
        self.measures = matches!(
            input,
            Input::Footprints(_)
                | Input::LoadFinished { .. }
                | Input::Parked { .. }
                | Input::Woken { .. }
                | Input::Offers(_)
                | Input::Configure { .. }
        );
        self.configures = matches!(input, Input::Configure { .. });
        self.lasting = engine.budget().excess();
        self.claimed = engine.budget().claimed();
        self.reserved.clear();
        self.reserved.extend(reserved(engine));
    }

    pub(super) fn after(&self, engine: &Engine, effects: &[Effect]) -> Result<(), Broken> {
        self.lasting(engine)?;
        Self::peaks(engine)?;
        Self::peaks_are_requested(engine, effects)
    }

    /// A load beyond the budget is admitted, and begins, for a party that waits for it.
    fn peaks_are_requested(engine: &Engine, effects: &[Effect]) -> Result<(), Broken> {
        let s = engine.scheduler();
        let is_requested = |key: ComponentKey| {
            let mut owned = s.transactions().filter(|t| {
                t.is_active() && !t.origin.is_speculative() && t.origin != Origin::Adopted
            });
            owned.any(|t| t.closure.contains(&key))
        };
        let admitted = s.transactions().flat_map(|t| &t.overloads).map(|(key, _)| *key);
        let queued = s.entries().filter(|(_, e)| e.overload().0 > 0).map(|(key, _)| key);
        let begun = effects.iter().filter_map(|effect| match effect {
            Effect::StartLoad { id, .. } => Some(id.key),
            _ => None,
        });
        let begun = begun.filter(|key| engine.budget().overload_of(*key).0 > 0);
        match admitted.chain(queued).chain(begun).find(|key| !is_requested(*key)) {
            Some(key) => broken(3, format!("{key} is loaded beyond the budget for no demand")),
            None => Ok(()),
        }
    }

    /// Without the peaks of loads, the overdraft rises only by measuring, by other programs and by the configuration.
    fn lasting(&self, engine: &Engine) -> Result<(), Broken> {
        let lasting = engine.budget().excess();
        let (before, now) = (self.lasting.total, lasting.total);
        let admitted = self.admitted(engine);
        if now > before && admitted > ByteSize::ZERO && !self.configures {
            return broken(
                3,
                format!(
                    "the overdraft rises from {before} to {now} while {admitted} more are admitted"
                ),
            );
        }
        if self.measures {
            return Ok(());
        }
        if now > before {
            return broken(3, format!("the overdraft rises from {before} to {now}"));
        }
        for (pool, now) in lasting.pools {
            let before = self.lasting.pools.iter().find(|p| p.0 == pool);
            let before = before.map_or(ByteSize::ZERO, |p| p.1);
            if now > before {
                return broken(
                    3,
                    format!("the overdraft of pool {pool} rises from {before} to {now}"),
                );
            }
        }
        Ok(())
    }

    /// Bytes of the total that admissions added: reservations and claims. The reservation of an incarnation that
    /// existed before the input follows its measurement, and does not count.
    fn admitted(&self, engine: &Engine) -> ByteSize {
        let (mut before, mut now) = (self.claimed, engine.budget().claimed());
        for (i, is) in reserved(engine).enumerate() {
            let was = self.reserved.get(i).copied().unwrap_or_default();
            if was.op.is_none() || was.op != is.op {
                before += was.bytes;
                now += is.bytes;
            }
        }
        now - before
    }

    /// A load whose peak exceeds the budget runs alone, and is within the budget when it has ended.
    fn peaks(engine: &Engine) -> Result<(), Broken> {
        let s = engine.scheduler();
        let loads = s.entries().filter(|(_, e)| e.state().is_cold_load());
        let (mut n_loads, mut alone) = (0, None);
        for (key, _) in loads {
            n_loads += 1;
            if engine.budget().overload_of(key) > ByteSize::ZERO {
                alone = Some(key);
            }
        }
        if let Some(key) = alone.filter(|_| n_loads > 1) {
            return broken(3, format!("{key} loads beyond the budget beside another load"));
        }
        let past = s.entries().find(|(key, e)| {
            let down =
                matches!(e.state(), ComponentState::Unloading { .. } | ComponentState::Stuck);
            engine.budget().overload_of(*key) > ByteSize::ZERO && !down && !e.state().is_loading()
        });
        match past {
            Some((key, e)) => broken(3, format!("{key} is {} beyond the budget", e.state())),
            None => Ok(()),
        }
    }
}

fn reserved(engine: &Engine) -> impl Iterator<Item = Reserved> {
    let b = engine.budget();
    engine.scheduler().entries().map(move |(key, e)| {
        let counts = b.pool_of(key).is_some_and(|p| !b.limit_of(p).declared);
        Reserved { bytes: if counts { b.reserved_for(key) } else { ByteSize::ZERO }, op: e.op() }
    })
}
