//! The learned store: measured footprints, load times and their stages, the sequence model and the usage history that wait to be
//! written, and the state store behind them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ComponentKey, LoadStage, Moment, Rung, StateStore};
use majordomo_engine::{LearnedRung, Persisted, PersistedRung, SequenceModel};
use majordomo_registry::Catalog;

use super::file_reads::FileReads;
use super::stages::LearnedStages;
use crate::clock::Clock;
use crate::log_throttle::LogThrottle;
use crate::rungs::paged;
use crate::state::measured::{self, Measured, MeasuredKey};
use crate::state::rungs;
use crate::state::stages::StageTimes;
use crate::state::{SEQUENCE, host_hash};
use crate::usage::UsageLog;

fn measured_key(catalog: &Catalog, key: ComponentKey, host: u64) -> MeasuredKey {
    let component = catalog.id(key).clone();
    MeasuredKey { component, config: catalog.config_hash(key), host }
}

/// Learned figures that wait to be written, and the store behind them.
pub(crate) struct LearnedStore {
    /// This machine: figures of another one do not count.
    host: u64,
    pub(super) store: Option<Arc<dyn StateStore>>,
    /// By the configuration that each was measured under, which another may have replaced since.
    pub(super) dirty: BTreeMap<MeasuredKey, Measured>,
    pub(super) stages: LearnedStages,
    /// Figures of rungs that wait to be written.
    pub(super) rungs: BTreeMap<(MeasuredKey, Rung), LearnedRung>,
    pub(super) files: FileReads,
    /// The sequence model learned something since it was written.
    pub(super) sequence_dirty: bool,
    /// Something was forgotten that must not be left in the file.
    pub(super) scrub: bool,
    pub(super) usage: UsageLog,
    /// The writes to swap of a day, when they changed.
    pub(super) swap_writes: Option<Vec<u8>>,
    pub(super) since: Option<Moment>,
    pub(super) writing: Option<tokio::task::JoinHandle<Result<(), Box<Unwritten>>>>,
    /// Why writes fail, until one succeeds.
    failing: LogThrottle,
    /// Writes that succeeded.
    writes: u64,
}

/// The changes of a failed write, to be written again.
pub(super) struct Unwritten {
    pub(super) learned: BTreeMap<MeasuredKey, Measured>,
    pub(super) stages: BTreeMap<MeasuredKey, StageTimes>,
    pub(super) rungs: BTreeMap<(MeasuredKey, Rung), LearnedRung>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) sequence: bool,
    pub(super) usage: bool,
    pub(super) swap_writes: Option<Vec<u8>>,
    pub(super) scrub: bool,
    pub(super) why: String,
}

impl LearnedStore {
    /// Reads what earlier processes learned of the components of a catalog.
    pub(super) fn open(
        store: Option<Arc<dyn StateStore>>,
        catalog: &Catalog,
    ) -> (Self, Vec<Persisted>) {
        let mut learned = Vec::new();
        let host = host_hash().unwrap_or(0);
        let mut stages = LearnedStages::default();
        let files = FileReads::open(store.as_ref(), catalog);
        if let Some(store) = &store {
            for key in catalog.keys() {
                stages.read(&**store, key, measured_key(catalog, key, host));
                match measured::get(&**store, &measured_key(catalog, key, host)) {
                    Ok(Some(m)) => {
                        let Measured { learned: known, load_time } = m;
                        learned.push(Persisted { key, learned: known, load_time });
                    }
                    Ok(None) => {}
                    Err(error) => {
                        tracing::warn!(%error, "learned figures cannot be read");
                        break;
                    }
                }
            }
        }
        let usage = match store.as_deref().map(UsageLog::open) {
            None => UsageLog::default(),
            Some(Ok(usage)) => usage,
            Some(Err(error)) => {
                tracing::warn!(%error, "the usage history cannot be read");
                UsageLog::default()
            }
        };
        let new = Self {
            host,
            store,
            dirty: BTreeMap::new(),
            stages,
            rungs: BTreeMap::new(),
            files,
            sequence_dirty: false,
            scrub: false,
            usage,
            swap_writes: None,
            since: None,
            writing: None,
            failing: LogThrottle::default(),
            writes: 0,
        };
        (new, learned)
    }

    /// The sequence model that an earlier process left; none when there is none, or it cannot be used.
    pub(super) fn sequence(&self, catalog: &Catalog) -> Option<SequenceModel> {
        let bytes = match self.store.as_ref()?.get(SEQUENCE.0, SEQUENCE.1) {
            Ok(bytes) => bytes?,
            Err(error) => {
                tracing::warn!(%error, "what was learned of use cannot be read");
                return None;
            }
        };
        match SequenceModel::decode(&bytes, |name| catalog.key(name)) {
            Ok(model) => Some(model),
            Err(error) => {
                tracing::warn!(%error, "what was learned of use is left out");
                None
            }
        }
    }

    /// The writes to swap that an earlier process booked.
    pub(super) fn swap_writes(&self) -> Option<Vec<u8>> {
        let (namespace, key) = paged::STORED;
        self.store.as_ref()?.get(namespace, key).unwrap_or_else(|error| {
            tracing::warn!(%error, "earlier writes to swap cannot be read");
            None
        })
    }

    /// Takes the writes to swap of a day, when they changed.
    pub(super) fn wrote_to_swap(&mut self, writes: Option<Vec<u8>>) {
        if let Some(writes) = writes.filter(|_| self.store.is_some()) {
            self.swap_writes = Some(writes);
        }
    }

    pub(super) fn learned_of_use(&mut self) {
        self.sequence_dirty = self.store.is_some();
    }

    pub(super) fn is_written(&self) -> bool {
        self.dirty.is_empty()
            && self.stages.dirty.is_empty()
            && self.rungs.is_empty()
            && self.files.dirty.is_empty()
            && !self.sequence_dirty
            && self.usage.is_written()
            && self.swap_writes.is_none()
    }

    /// Takes figures that were measured under the catalog at hand.
    pub(super) fn learn(&mut self, learned: &Persisted, catalog: &Catalog) {
        if self.store.is_some() {
            let &Persisted { key, learned, load_time } = learned;
            let key = measured_key(catalog, key, self.host);
            self.dirty.insert(key, Measured { learned, load_time });
        }
    }

    /// The figures of rungs that earlier processes measured of the components of a catalog.
    pub(super) fn rungs(&self, catalog: &Catalog) -> Vec<PersistedRung> {
        let Some(store) = self.store.as_deref() else { return Vec::new() };
        let of = |key: ComponentKey| {
            let measured = measured_key(catalog, key, self.host);
            Rung::ALL.iter().filter(|rung| rung.is_parked()).filter_map(
                move |rung| match rungs::get(store, &measured, *rung) {
                    Ok(learned) => Some(PersistedRung { key, rung: *rung, learned: learned? }),
                    Err(error) => {
                        tracing::warn!(%error, "learned figures of rungs cannot be read");
                        None
                    }
                },
            )
        };
        catalog.keys().flat_map(of).collect()
    }

    /// Takes figures of a rung that were measured under the catalog at hand.
    pub(super) fn learn_rung(&mut self, row: PersistedRung, catalog: &Catalog) {
        if self.store.is_some() {
            let key = measured_key(catalog, row.key, self.host);
            self.rungs.insert((key, row.rung), row.learned);
        }
    }

    /// Takes the stages of a load that succeeded under the catalog at hand.
    pub(super) fn learn_stages(
        &mut self,
        key: ComponentKey,
        load: Vec<(LoadStage, Duration)>,
        catalog: &Catalog,
    ) {
        let keep = self.store.is_some();
        self.stages.learn(key, measured_key(catalog, key, self.host), load, keep);
    }

    pub(super) fn describe(&self) -> String {
        match &self.store {
            None => "none: learned figures are forgotten at the end".to_owned(),
            Some(_) => match (self.failing.why(), self.dirty.len()) {
                (Some(why), _) if self.writing.is_some() => {
                    format!("being written, after a failure: {why}")
                }
                (Some(why), n) => format!("{n} to write, after a failure: {why}"),
                (None, _) if self.writing.is_some() => "being written".to_owned(),
                (None, _) if self.is_written() => "up to date".to_owned(),
                (None, 0) if self.sequence_dirty || !self.usage.is_written() => {
                    "what was learned of use to write".to_owned()
                }
                (None, 0) => "writes to swap to write".to_owned(),
                (None, n) => format!("{n} to write"),
            },
        }
    }

    /// How often learned figures were written.
    pub(super) fn writes(&self) -> u64 {
        self.writes
    }

    /// Records the end of a write. Figures that could not be written are dirty again, unless newer ones are known.
    fn written(
        &mut self,
        ended: Result<Result<(), Box<Unwritten>>, tokio::task::JoinError>,
        now: Moment,
    ) {
        let why = match ended {
            Ok(Ok(())) => {
                self.writes += 1;
                if self.failing.succeeded() {
                    tracing::info!("learned figures are written again");
                }
                return;
            }
            Ok(Err(unwritten)) => {
                let unwritten = *unwritten;
                for (key, learned) in unwritten.learned {
                    self.dirty.entry(key).or_insert(learned);
                }
                for (key, learned) in unwritten.rungs {
                    self.rungs.entry(key).or_insert(learned);
                }
                for (key, times) in unwritten.stages {
                    self.stages.dirty.entry(key).or_insert(times);
                }
                for (name, record) in unwritten.files {
                    self.files.dirty.entry(name).or_insert(record);
                }
                self.sequence_dirty |= unwritten.sequence;
                self.swap_writes = self.swap_writes.take().or(unwritten.swap_writes);
                self.scrub |= unwritten.scrub;
                if unwritten.usage {
                    self.usage.write_all_again();
                }
                unwritten.why
            }
            Err(lost) => lost.to_string(),
        };
        if let Some(suppressed) = self.failing.failed(&why, now) {
            tracing::warn!(
                why,
                suppressed,
                "learned figures cannot be written; they are kept and tried again"
            );
        }
    }

    pub(super) async fn settle(&mut self, clock: &Clock) {
        if let Some(writing) = self.writing.take() {
            let ended = writing.await;
            self.written(ended, clock.now());
        }
    }
}

impl LearnedStore {
    /// The problem of the state store, if it has one.
    pub(super) fn problem(&self) -> Option<String> {
        self.store.as_ref()?.warning()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use majordomo_core::{ByteSize, StoreError, StoreOp};
    use majordomo_memory::Learned;
    use majordomo_registry::ComponentSpec;

    struct Nowhere;

    impl StateStore for Nowhere {
        fn get(&self, _: &str, _: &str) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(None)
        }

        fn list(&self, _: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
            Ok(Vec::new())
        }

        fn apply(&self, _: &[StoreOp]) -> Result<(), StoreError> {
            Err(StoreError { what: "no space left".to_owned(), source: None })
        }

        fn scrub(&self) -> Result<(), StoreError> {
            Ok(())
        }
    }

    /// Two components of a version.
    fn catalog(version: &str) -> Catalog {
        let spec = |name| {
            let mut spec = ComponentSpec::builtin(name).unwrap();
            spec.version = version.into();
            spec
        };
        Catalog::build(vec![spec("a"), spec("b")], Vec::new(), None).unwrap()
    }

    #[test]
    fn figures_belong_to_the_configuration_that_they_were_measured_under() {
        let (old, new) = (catalog("1"), catalog("2"));
        let (mut memory, _) = LearnedStore::open(Some(Arc::new(Nowhere)), &old);
        memory.learn(&learned(0, 1), &old);
        // The configuration changes before anything is written.
        memory.learn(&learned(0, 2), &new);
        let of = |catalog: &Catalog| {
            memory.dirty.get(&measured_key(catalog, ComponentKey(0), memory.host)).copied()
        };
        let peak =
            |n| Some(Measured { learned: Learned::of_one_peak(ByteSize(n)), load_time: None });
        assert_eq!((of(&old), of(&new)), (peak(1), peak(2)));
    }

    fn learned(key: u32, peak: u64) -> Persisted {
        let learned = Learned::of_one_peak(ByteSize(peak));
        Persisted { key: ComponentKey(key), learned, load_time: None }
    }

    #[test]
    fn what_could_not_be_written_is_written_again_and_not_called_up_to_date() {
        let catalog = catalog("1");
        let (mut memory, _) = LearnedStore::open(Some(Arc::new(Nowhere)), &catalog);
        assert_eq!(memory.describe(), "up to date");
        memory.learn(&learned(0, 1), &catalog);
        memory.learn(&learned(1, 1), &catalog);
        let taken = std::mem::take(&mut memory.dirty);
        // Newer figures of one of them come in during the write.
        memory.learn(&learned(1, 2), &catalog);
        memory.written(
            Ok(Err(Box::new(Unwritten {
                learned: taken,
                stages: BTreeMap::new(),
                rungs: BTreeMap::new(),
                files: BTreeMap::new(),
                sequence: false,
                usage: false,
                swap_writes: None,
                scrub: false,
                why: "no space left".to_owned(),
            }))),
            Moment::ZERO,
        );
        assert_eq!(memory.describe(), "2 to write, after a failure: no space left");
        let again: Vec<_> = memory.dirty.values().map(|m| m.learned.peak().unwrap().0).collect();
        assert_eq!(again, [1, 2]);
        memory.dirty.clear();
        assert_eq!(memory.writes(), 0);
        memory.written(Ok(Ok(())), Moment::ZERO);
        assert_eq!((memory.describe().as_str(), memory.writes()), ("up to date", 1));
    }
}
