//! Hints: which wait, which are due to be made, and which outcomes were recorded.
//!
//! Owns the preloader's core with the accounts of preloads. Loads nothing: the engine asks for proposals and reports
//! what became of them.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{ComponentKey, HintOutcome, Moment, Section, SpeculationConfig};
use majordomo_memory::Need;
use majordomo_preloader::Preloader;

/// An outcome that starts no load is recorded once in this time for each component.
const REPEATED: Duration = Duration::from_secs(60);

/// Demands queued for memory beside leased components. For as long as a demand may wait by default after the last one
/// did, a preload that needs the same memory can only make the next ones queue for longer: it evicts nothing, and leaves
/// free as much as the largest of them needed, in each pool.
#[derive(Clone, Debug)]
pub(crate) struct Contention {
    pub until: Moment,
    pub need: Need,
}

/// Hints, and the preloads that they led to.
#[derive(Debug)]
pub(crate) struct Hints {
    preloader: Preloader,
    /// When the last command was observed, or began, if its hints are still to be made.
    expected_since: Option<Moment>,
    /// When outcomes that started no load were last recorded.
    recorded: BTreeMap<ComponentKey, Vec<(HintOutcome, Moment)>>,
    contention: Option<Contention>,
}

impl Hints {
    /// `weighted`: the policy weighs predictions by load times.
    pub(crate) fn new(config: &SpeculationConfig, weighted: bool) -> Self {
        let mut preloader = Preloader::new(&clamped(config)).expect("clamped settings are allowed");
        preloader.set_weighted(weighted);
        Self { preloader, expected_since: None, recorded: BTreeMap::new(), contention: None }
    }

    pub(crate) fn configure(&mut self, config: &SpeculationConfig) {
        self.preloader.set_config(&clamped(config)).expect("clamped settings are allowed");
    }

    pub(crate) fn preloader(&self) -> &Preloader {
        &self.preloader
    }

    pub(crate) fn preloader_mut(&mut self) -> &mut Preloader {
        &mut self.preloader
    }

    /// Hints follow from what is under way. Those that are due are not put off by every command that begins or ends.
    pub(crate) fn expect(&mut self, now: Moment) {
        self.expected_since.get_or_insert(now);
    }

    /// Hints follow from a command that was observed, and from none before it.
    pub(crate) fn expect_from(&mut self, now: Moment) {
        self.expected_since = Some(now);
    }

    /// When hints are to be made.
    pub(crate) fn expected_at(&self, delay: Duration) -> Option<Moment> {
        self.expected_since.map(|since| since + delay)
    }

    /// Since when hints are expected, if they are due.
    pub(crate) fn take_expected(&mut self, delay: Duration, now: Moment) -> Option<Moment> {
        self.expected_at(delay).filter(|at| *at <= now)?;
        self.expected_since.take()
    }

    /// Whether to record an outcome: one that starts no load is recorded once a minute only, so that hints by the
    /// thousand leave room for other events.
    pub(crate) fn is_news(&mut self, key: ComponentKey, outcome: HintOutcome, now: Moment) -> bool {
        if outcome == HintOutcome::Started {
            self.recorded.remove(&key);
            return true;
        }
        let recorded = self.recorded.entry(key).or_default();
        match recorded.iter_mut().find(|r| r.0 == outcome) {
            Some(last) if now.since(last.1) < REPEATED => return false,
            Some(last) => last.1 = now,
            None => recorded.push((outcome, now)),
        }
        true
    }

    /// A demand that needs so many bytes found no room beside leased components; preloads yield until a moment.
    pub(crate) fn contend(&mut self, mut need: Need, until: Moment, now: Moment) {
        if let Some(before) = self.contention(now) {
            let mut more = before.need.clone();
            more.take(&need);
            need.add_all(&more);
        }
        self.contention = Some(Contention { until, need });
    }

    /// The contention for memory, while it lasts.
    pub(crate) fn contention(&self, now: Moment) -> Option<&Contention> {
        self.contention.as_ref().filter(|c| c.until > now)
    }

    pub(crate) fn forget(&mut self) {
        self.expected_since = None;
        self.recorded.clear();
        self.preloader.forget();
    }
}

/// The settings within their ranges: the engine refuses none.
pub(crate) fn clamped<S: Section + Clone>(section: &S) -> S {
    let mut section = section.clone();
    section.clamp();
    section
}
