//! The core: which hints wait, which one is proposed next, and the results of the preloads.
//!
//! Invariants: of a component at most one predicted and one stated hint wait; no tier holds more hints than its bound;
//! no hint below the floor is proposed, and none from MEDIUM pressure on.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{
    ByteSize, ComponentKey, Confidence, Moment, PreloadEnd, PressureLevel, Section, SettingProblem,
    SpeculationConfig, StatusValue,
};

use super::account::{Accounts, Displaced, Harm, PreloadAccount};
use super::governor::{Governor, WasteBudget};
use super::hint::{Hint, HintAnswer, HintSource, Proposal, Tier};

/// Commands over which values are predicted. Harm by a preload, and the confidence that its hint stated, count within so
/// many commands of its start, with the command at work as the first.
pub const HORIZON: u64 = 8;

/// All settings outside their ranges.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct PreloaderError(pub Vec<SettingProblem>);

/// The settings, if all are within their ranges.
fn checked(config: &SpeculationConfig) -> Result<SpeculationConfig, PreloaderError> {
    let problems = config.problems();
    if problems.is_empty() { Ok(config.clone()) } else { Err(PreloaderError(problems)) }
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    hint: Hint,
    since: Moment,
    due: Moment,
    number: u64,
    /// A trigger whose command's own use has been observed since.
    old: bool,
}

/// Whether a hint is *stated* by an application or a trigger, with its own confidence, or *predicted* by a model. Both
/// kinds wait separately for a component, are replaced by their own rules, and have their own governor.
type Stated = bool;

/// Hints in, proposals out.
#[derive(Clone, Debug)]
pub struct Preloader {
    config: SpeculationConfig,
    waiting: BTreeMap<(ComponentKey, Stated), Waiting>,
    n_hints: u64,
    /// The latest proposal.
    proposed: Option<Waiting>,
    /// By tier, the predicted hints proposed since the current command began.
    n_proposed: [usize; 3],
    /// For predicted hints.
    predicted: Governor,
    /// Their confidence is weighted by load times.
    weighted: bool,
    /// For stated hints.
    stated: Governor,
    accounts: Accounts,
    /// Commands observed.
    n_commands: u64,
    merged: u64,
    replaced: u64,
    below_floor: u64,
    overflowed: u64,
    expired: u64,
    overtaken: u64,
}

impl Preloader {
    /// A preloader without hints. The setting `enabled` is for the caller, who requests no proposals without it.
    ///
    /// # Errors
    /// When settings are outside their ranges.
    pub fn new(config: &SpeculationConfig) -> Result<Self, PreloaderError> {
        let waste = WasteBudget::from(config);
        Ok(Self {
            config: checked(config)?,
            waiting: BTreeMap::new(),
            n_hints: 0,
            proposed: None,
            n_proposed: [0; 3],
            predicted: Governor::new(waste),
            weighted: false,
            stated: Governor::for_claims(waste),
            accounts: Accounts::default(),
            n_commands: 0,
            merged: 0,
            replaced: 0,
            below_floor: 0,
            overflowed: 0,
            expired: 0,
            overtaken: 0,
        })
    }

    /// Whether the confidence of predicted hints is a probability weighted by a load time; not without this call. A
    /// change begins with the lowest floor.
    pub fn set_weighted(&mut self, weighted: bool) {
        if self.weighted != weighted {
            self.weighted = weighted;
            let waste = WasteBudget::from(&self.config);
            self.predicted = Self::governor_of_predicted(weighted, waste);
        }
    }

    fn governor_of_predicted(weighted: bool, waste: WasteBudget) -> Governor {
        if weighted { Governor::for_weighted(waste) } else { Governor::new(waste) }
    }

    /// Replaces the settings; waiting hints and accounts stay.
    ///
    /// # Errors
    /// When settings are outside their ranges; nothing is changed then.
    pub fn set_config(&mut self, config: &SpeculationConfig) -> Result<(), PreloaderError> {
        let config = checked(config)?;
        let waste = WasteBudget::from(&config);
        if waste != WasteBudget::from(&self.config) {
            self.predicted = Self::governor_of_predicted(self.weighted, waste);
            self.stated = Governor::for_claims(waste);
        }
        self.config = config;
        Ok(())
    }

    /// Drops the waiting hints for components of which `keep` is false.
    pub fn retain(&mut self, keep: impl Fn(ComponentKey) -> bool) {
        self.waiting.retain(|(key, _), _| keep(*key));
    }

    /// Forgets the waiting hints, and the accounts of components.
    pub fn forget(&mut self) {
        self.waiting.clear();
        self.accounts.forget();
    }

    /// The current floor of confidence for predicted hints.
    #[must_use]
    pub fn floor(&self) -> Confidence {
        self.predicted.floor()
    }

    /// The current floor of confidence for hints of a source. Each kind of source has its own waste budget: a source
    /// that claims certainty and is wrong does not block the models, and is blocked itself in the end.
    #[must_use]
    pub fn floor_of(&self, source: HintSource) -> Confidence {
        self.governor(source).floor()
    }

    fn governor(&self, source: HintSource) -> &Governor {
        if is_stated(source) { &self.stated } else { &self.predicted }
    }

    fn governor_mut(&mut self, source: HintSource) -> &mut Governor {
        if is_stated(source) { &mut self.stated } else { &mut self.predicted }
    }

    /// Records the observation of a command: its predictions replace those of the command before. Hints of the
    /// application stay.
    pub fn observe(&mut self, predicted: &[Hint], now: Moment) {
        self.observed(now, false);
        self.predict(predicted, now, now);
    }

    /// Records the beginning of a command, which replaces earlier predictions. Triggers and hints of the application
    /// stay.
    pub fn begun(&mut self) {
        self.n_proposed = [0; 3];
        self.replace(|w| is_stated(w.hint.source));
    }

    /// Records the observation of a command whose predictions follow later, by [`predict`](Self::predict).
    /// `was_at_work`: its beginning was recorded by [`begun`](Self::begun), and proposals since then count as its own.
    pub fn observed(&mut self, now: Moment, was_at_work: bool) {
        if !was_at_work {
            self.n_proposed = [0; 3];
        }
        self.n_commands += 1;
        self.predicted.observed(now);
        self.stated.observed(now);
        self.replace(|w| match w.hint.source {
            HintSource::Application => true,
            // A command's trigger is for the command after it, so it outlives the observation of its own use.
            HintSource::Trigger => !std::mem::replace(&mut w.old, true),
            _ => false,
        });
    }

    fn replace(&mut self, mut stays: impl FnMut(&mut Waiting) -> bool) {
        let before = self.waiting.len();
        self.waiting.retain(|_, w| stays(w));
        self.replaced += (before - self.waiting.len()) as u64;
    }

    /// Queues the likeliest predictions for a command observed at `since`, from which their delay counts.
    pub fn predict(&mut self, predicted: &[Hint], since: Moment, now: Moment) {
        let mut likeliest: Vec<&Hint> = predicted.iter().filter(|h| self.admits(h)).collect();
        likeliest.sort_by(|a, b| b.confidence.cmp(&a.confidence).then(a.key.cmp(&b.key)));
        let mut taken = self.n_proposed(Tier::Delayed);
        for hint in likeliest {
            if taken >= self.config.per_command {
                break;
            }
            taken += usize::from(self.queue(*hint, since, now) == HintAnswer::Queued);
        }
    }

    /// Queues one hint, if its confidence reaches the floor.
    pub fn hint(&mut self, hint: Hint, now: Moment) -> HintAnswer {
        if !self.admits(&hint) {
            self.below_floor += 1;
            return HintAnswer::BelowFloor;
        }
        self.queue(hint, now, now)
    }

    fn admits(&self, hint: &Hint) -> bool {
        self.governor(hint.source).admits(hint.confidence)
    }

    /// Queues a hint above the floor, given at `since`.
    fn queue(&mut self, hint: Hint, since: Moment, now: Moment) -> HintAnswer {
        if self.accounts.is_open(hint.key) {
            return HintAnswer::Present;
        }
        let delay = if hint.tier == Tier::Delayed { self.config.delay } else { Duration::ZERO };
        let due = since + delay;
        let place = (hint.key, is_stated(hint.source));
        let Some(waits) = self.waiting.get(&place).copied() else {
            if !self.has_place(&hint) {
                return HintAnswer::Full;
            }
            self.n_hints += 1;
            let number = self.n_hints;
            let known = self.waiting.contains_key(&(hint.key, !place.1));
            self.waiting.insert(place, Waiting { hint, since: now, due, number, old: false });
            self.merged += u64::from(known);
            return if known { HintAnswer::Merged } else { HintAnswer::Queued };
        };
        self.merged += 1;
        let mut merged = waits;
        merged.hint.confidence = waits.hint.confidence.max(hint.confidence);
        if precedence(hint.source) >= precedence(waits.hint.source) {
            (merged.hint.source, merged.since, merged.old) = (hint.source, now, false);
        }
        let rises = Hint { tier: hint.tier, ..merged.hint };
        if hint.tier < waits.hint.tier && self.has_place(&rises) {
            (merged.hint, merged.due) = (rises, waits.due.min(due));
        }
        self.waiting.insert(place, merged);
        HintAnswer::Merged
    }

    /// Whether a hint has a place in its tier; in a full tier a likelier hint replaces the least likely one.
    fn has_place(&mut self, hint: &Hint) -> bool {
        let in_tier = self.waiting.values().filter(|w| w.hint.tier == hint.tier);
        if in_tier.clone().count() < self.config.queue {
            return true;
        }
        self.overflowed += 1;
        let least = in_tier.min_by_key(|w| (w.hint.confidence, std::cmp::Reverse(w.number)));
        match least.map(|w| w.hint) {
            Some(least) if least.confidence < hint.confidence => {
                self.waiting.remove(&(least.key, is_stated(least.source)));
                true
            }
            _ => false,
        }
    }

    /// Takes the most urgent, then likeliest hint that is due. Background hints are due only when the caller is `idle`:
    /// nothing loads, no demand waits, and the processor is not saturated.
    pub fn next(&mut self, now: Moment, idle: bool, pressure: PressureLevel) -> Option<Proposal> {
        let before = self.waiting.len();
        self.waiting.retain(|_, w| now.since(w.since) <= self.config.patience);
        self.expired += (before - self.waiting.len()) as u64;
        if pressure >= PressureLevel::Medium {
            return None;
        }
        loop {
            let due = self
                .waiting
                .values()
                .filter(|w| w.due <= now && (idle || w.hint.tier != Tier::Background));
            let order =
                |w: &&Waiting| (w.hint.tier, std::cmp::Reverse(w.hint.confidence), w.number);
            let next = *due.min_by_key(order)?;
            let Hint { key, confidence, tier, source } = next.hint;
            self.waiting.remove(&(key, is_stated(source)));
            if self.admits(&next.hint) {
                // The other kind of hint for the component has nothing to add.
                self.waiting.remove(&(key, !is_stated(source)));
                self.n_proposed[tier as usize] += usize::from(!is_stated(source));
                self.proposed = Some(next);
                return Some(Proposal { key, confidence, tier, source });
            }
            // The floor rose while the hint waited.
            self.below_floor += 1;
        }
    }

    /// Puts the latest proposal back, which cannot be loaded before `due`; a newer waiting hint for the component
    /// replaces it. Returns `false`, and drops it, when its patience ends before that.
    pub fn put_back(&mut self, proposal: &Proposal, due: Moment) -> bool {
        let Some(waited) = self.proposed.take_if(|w| w.hint.key == proposal.key) else {
            return false;
        };
        let stated = is_stated(proposal.source);
        let n_proposed = &mut self.n_proposed[proposal.tier as usize];
        *n_proposed = n_proposed.saturating_sub(usize::from(!stated));
        if due.since(waited.since) > self.config.patience {
            self.expired += 1;
            return false;
        }
        self.waiting.entry((proposal.key, stated)).or_insert(Waiting { due, ..waited });
        true
    }

    /// The moment when the next hint becomes due, if it is after `now`.
    #[must_use]
    pub fn next_wakeup(&self, now: Moment) -> Option<Moment> {
        self.waiting.values().map(|w| w.due).filter(|due| *due > now).min()
    }

    /// Records the start of a proposal's load.
    pub fn on_started(&mut self, proposal: &Proposal, size: ByteSize, now: Moment) {
        self.accounts.start(proposal, size, self.n_commands, now);
    }

    /// Records that a preload which was started costs this share of a load, as a wake does; waste counts by it.
    pub fn on_partial_load(&mut self, key: ComponentKey, share: f64) {
        self.accounts.weigh(key, share);
    }

    /// Records the components that were evicted for a preload that was started, each with its load time, and the
    /// preload's own.
    pub fn on_displaced(
        &mut self,
        key: ComponentKey,
        load_time: Duration,
        victims: Vec<(ComponentKey, Duration)>,
    ) {
        let command = self.n_commands;
        self.accounts.displaced(key, Displaced { victims, load_time, command });
    }

    /// Whether a component was preloaded, and that preload is neither used nor over.
    #[must_use]
    pub fn is_open(&self, key: ComponentKey) -> bool {
        self.accounts.is_open(key)
    }

    /// Open preloads whose hint stated its own confidence, within the horizon of that statement: until the preload is
    /// used, or for [`HORIZON`] commands.
    pub fn stated(&self) -> impl Iterator<Item = (ComponentKey, Confidence)> {
        let recent = self.accounts.recent(self.n_commands, HORIZON);
        recent
            .filter(|(_, source, _)| is_stated(*source))
            .map(|(key, _, confidence)| (key, confidence))
    }

    /// Records that a component is ready: a preload, or one that was evicted for a preload.
    pub fn on_loaded(&mut self, key: ComponentKey, now: Moment) {
        self.accounts.ready(key, now);
        self.accounts.restored(key);
    }

    /// Records that a preload failed. Returns its result, if the preload was open.
    pub fn on_failed(&mut self, key: ComponentKey) -> Option<PreloadEnd> {
        self.accounts.failed(key)
    }

    /// Records a demand for a set: drops its waiting hints, since the demand loads it. A preload that is still
    /// loading is late once it is used. Returns the harm that preloads did, by component: it was evicted for one within
    /// the last [`HORIZON`] commands that is not demanded yet, nor by this demand; the floor rises by that.
    pub fn on_demand(&mut self, keys: &[ComponentKey], now: Moment) -> Vec<(ComponentKey, Harm)> {
        for &key in keys {
            for stated in [false, true] {
                self.overtaken += u64::from(self.waiting.remove(&(key, stated)).is_some());
            }
            self.accounts.demanded(key, now);
        }
        let mut harms = Vec::new();
        for &key in keys {
            if let Some(harm) = self.accounts.harmed(key, self.n_commands, HORIZON) {
                self.governor_mut(harm.source).harmed(harm.weight);
                harms.push((key, harm));
            }
        }
        harms
    }

    /// Withdraws the demand for the component, whose last waiter has left without it.
    pub fn on_withdrawn(&mut self, key: ComponentKey) {
        self.accounts.withdrawn(key);
    }

    /// Records a use of the component. Returns the result of its open preload: a hit if it was ready at the first
    /// demand, else late.
    pub fn on_used(&mut self, key: ComponentKey, now: Moment) -> Option<PreloadEnd> {
        self.accounts.used(key, now)
    }

    /// Records that the component left memory, or that its load was cancelled.
    pub fn on_evicted(&mut self, key: ComponentKey, now: Moment) -> Option<PreloadEnd> {
        let (end, source, share) = self.accounts.unloaded(key, now)?;
        if let PreloadEnd::Wasted { byte_seconds } = end {
            self.governor_mut(source).wasted_partial(share, byte_seconds);
        }
        Some(end)
    }

    /// Ends the preloads that have been ready for longer than [`SpeculationConfig::expiry`] without a demand, as
    /// wasted.
    pub fn expire(&mut self, now: Moment) -> Vec<(ComponentKey, PreloadEnd)> {
        let keys = self.accounts.expired(now, self.config.expiry);
        keys.into_iter().filter_map(|key| Some((key, self.on_evicted(key, now)?))).collect()
    }

    /// Every component that was preloaded, with its account.
    pub fn accounts(&self) -> impl Iterator<Item = (ComponentKey, PreloadAccount)> {
        self.accounts.components()
    }

    /// Number of predicted hints of a tier that were proposed since the current command began.
    #[must_use]
    pub fn n_proposed(&self, tier: Tier) -> usize {
        self.n_proposed[tier as usize]
    }

    /// Number of waiting hints.
    #[must_use]
    pub fn n_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The results of a component's preloads.
    #[must_use]
    pub fn account(&self, key: ComponentKey) -> PreloadAccount {
        self.accounts.component(key)
    }

    /// The results of a tier's preloads.
    #[must_use]
    pub fn tier_account(&self, tier: Tier) -> PreloadAccount {
        self.accounts.tier(tier)
    }

    /// Number of waiting hints of a tier.
    #[must_use]
    pub fn n_waiting_in(&self, tier: Tier) -> usize {
        self.waiting.values().filter(|w| w.hint.tier == tier).count()
    }

    /// Lines for the status.
    #[must_use]
    pub fn section(&self) -> Vec<(String, StatusValue)> {
        let mut lines = vec![
            ("floor".to_owned(), StatusValue::Number(f64::from(self.floor().get()))),
            (
                "floor of hints and triggers".to_owned(),
                StatusValue::Number(f64::from(self.stated.floor().get())),
            ),
            ("waiting".to_owned(), StatusValue::Count(self.waiting.len() as u64)),
        ];
        let counts = [
            ("hints merged", self.merged),
            ("hints replaced", self.replaced),
            ("hints below the floor", self.below_floor),
            ("hints over the bound", self.overflowed),
            ("hints too old", self.expired),
            ("hints overtaken by a demand", self.overtaken),
        ];
        lines.extend(counts.map(|(name, n)| (name.to_owned(), StatusValue::Count(n))));
        for tier in Tier::ALL {
            let a = self.accounts.tier(tier);
            let mut line =
                |what: &str, value| lines.push((format!("{}: {what}", tier.name()), value));
            line("waiting", StatusValue::Count(self.n_waiting_in(tier) as u64));
            line("started", StatusValue::Count(a.started));
            line("hits", StatusValue::Count(a.hits));
            line("late", StatusValue::Count(a.late));
            line("time saved by late ones", StatusValue::Time(a.saved));
            line("wasted", StatusValue::Count(a.wasted));
            line(
                "wasted MiB-seconds",
                StatusValue::Number(a.wasted_byte_seconds / f64::from(1u32 << 20)),
            );
            line("harmful", StatusValue::Count(a.harmful));
            line("wait by harmful ones", StatusValue::Time(a.harm));
            line("failed", StatusValue::Count(a.failed));
            line("open", StatusValue::Count(a.open));
        }
        lines
    }
}

fn is_stated(source: HintSource) -> Stated {
    precedence(source) > 0
}

/// Of merged hints, the source of higher precedence is kept.
fn precedence(source: HintSource) -> u8 {
    match source {
        HintSource::Application => 2,
        HintSource::Trigger => 1,
        _ => 0,
    }
}
