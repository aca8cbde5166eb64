//! Times of the stages of loads: what the shell learned of them, and what waits to be written.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{ComponentKey, LoadStage, StageTime, StateStore};
use majordomo_registry::Catalog;

use crate::state::measured::MeasuredKey;
use crate::state::stages::{self, StageTimes};

type Load = Vec<(LoadStage, Duration)>;

/// The learned times of one component, and its last load.
#[derive(Debug)]
struct Known {
    /// The configuration that it is of.
    key: MeasuredKey,
    learned: StageTimes,
    /// The last load of this process.
    last: Load,
}

/// Learned times of all components.
#[derive(Debug, Default)]
pub(super) struct LearnedStages {
    known: BTreeMap<ComponentKey, Known>,
    pub(super) dirty: BTreeMap<MeasuredKey, StageTimes>,
}

impl LearnedStages {
    /// Reads what earlier processes learned of a component.
    pub(super) fn read(
        &mut self,
        store: &dyn StateStore,
        component: ComponentKey,
        key: MeasuredKey,
    ) {
        match stages::get(store, &key) {
            Ok(Some(learned)) => {
                self.known.insert(component, Known { key, learned, last: Load::new() });
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "learned stages of loads cannot be read"),
        }
    }

    /// Learns from a load that succeeded.
    pub(super) fn learn(
        &mut self,
        component: ComponentKey,
        key: MeasuredKey,
        load: Load,
        keep: bool,
    ) {
        let of_before = self.known.remove(&component).filter(|known| known.key == key);
        let mut learned = of_before.map(|known| known.learned).unwrap_or_default();
        learned.learn(&load);
        if keep {
            self.dirty.insert(key.clone(), learned);
        }
        self.known.insert(component, Known { key, learned, last: load });
    }

    /// Forgets components; what is in the store is forgotten there.
    pub(super) fn forget(&mut self, components: &[ComponentKey], catalog: &Catalog) {
        self.known.retain(|component, _| !components.contains(component));
        let is_one =
            |key: &MeasuredKey| components.iter().any(|c| *catalog.id(*c) == key.component);
        self.dirty.retain(|key, _| !is_one(key));
    }

    /// The rows of a component, in the order of time.
    pub(super) fn rows(&self, component: ComponentKey, config: u64) -> Vec<StageTime> {
        let known = self.known.get(&component).filter(|known| known.key.config == config);
        let Some(Known { learned, last, .. }) = known else { return Vec::new() };
        let row = |stage: &LoadStage| {
            let last = last.iter().find(|(s, _)| s == stage).map(|(_, took)| *took);
            Some(StageTime { stage: *stage, learned: learned.of(*stage)?, last })
        };
        let mut rows: Vec<_> = LoadStage::ALL.iter().filter_map(row).collect();
        rows.sort_by_key(|row| row.learned);
        rows
    }
}
