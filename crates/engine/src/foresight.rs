//! What the engine expects: the sequence model, the values made of it, the hints, what is trimmed while idle.
//!
//! Owns everything that is learned of use, and the accounts of what was loaded ahead. Knows nothing of
//! victims and loads: `speculate` asks for its proposals and tells what came of them. Values and hints look past the
//! latest command at work, or follow the last one observed. Invariant: the model learns from what was used alone;
//! equal commands in a row teach once, as in recorded traces.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    CommandId, ComponentKey, ComponentState, Confidence, EventKind, HintOutcome, IdleTrimWhen,
    Moment, PreloadEnd, PressureLevel, Section, Values, WallSeconds,
};
use majordomo_lifecycle::{Effect, Step};
use majordomo_predictor::{Forecast, SequenceModel, combine};
use majordomo_preloader::{Hint, HintSource, IdleTrim, Preloader, Tier};

use crate::Engine;

/// A use that no command has told of within this time counts as a command of its own.
const UNTOLD: Duration = Duration::from_secs(2);
/// Uses seen at moments no further apart are one command: the coarse clock of uses moves so often.
const TOGETHER: Duration = Duration::from_millis(100);
/// From this P(reuse) on a component is worth loading into memory that is free and would stay so.
const WORTH_FREE_ROOM: f32 = 0.5;

/// Commands at work that are kept in mind; the oldest go.
const MOST_AT_WORK: usize = 64;

/// What is expected, and why.
#[derive(Debug)]
pub(crate) struct Foresight {
    /// Shared with whoever writes it down; changed in place while nobody does.
    pub model: Arc<SequenceModel>,
    pub values: Values,
    pub preloader: Preloader,
    pub trim: IdleTrim,
    /// The processor has time to spare.
    pub calm: bool,
    pub on_battery: bool,
    /// A moment and the wall clock then.
    wall: Option<(Moment, WallSeconds)>,
    /// What the last command used, ascending.
    last_command: Vec<ComponentKey>,
    /// Commands that have begun and not ended, the latest last, with what they are about to use, ascending.
    at_work: Vec<(CommandId, Vec<ComponentKey>)>,
    /// What the values rest on, if they look past a command at work.
    pub forecast: Option<Forecast>,
    /// When the last command was observed, or began, if its hints are still to be made.
    expected_since: Option<Moment>,
    /// What the text of the one observed says of the next.
    text: Vec<(ComponentKey, Confidence)>,
    /// Uses that no command has told of yet, by their last moment.
    untold: BTreeMap<ComponentKey, Moment>,
    /// Up to when uses of a component are accounted for.
    told: BTreeMap<ComponentKey, Moment>,
    /// Uses up to then are forgotten.
    forgotten: Option<Moment>,
    /// When hints for a component that led to no load were last recorded, by what came of them.
    in_vain: BTreeMap<ComponentKey, Vec<(HintOutcome, Moment)>>,
}

impl Foresight {
    pub(crate) fn new(config: &majordomo_core::Config) -> Self {
        Self {
            model: Arc::default(),
            values: Values::new(),
            preloader: Preloader::new(&clamped(&config.speculation))
                .expect("clamped settings are allowed"),
            trim: IdleTrim::new(clamped(&config.idle)),
            calm: true,
            on_battery: false,
            wall: None,
            last_command: Vec::new(),
            at_work: Vec::new(),
            forecast: None,
            forgotten: None,
            expected_since: None,
            text: Vec::new(),
            untold: BTreeMap::new(),
            told: BTreeMap::new(),
            in_vain: BTreeMap::new(),
        }
    }

    pub(crate) fn configure(&mut self, config: &majordomo_core::Config) {
        self.preloader
            .set_config(&clamped(&config.speculation))
            .expect("clamped settings are allowed");
        self.trim.set_config(clamped(&config.idle));
    }

    /// The wall clock at a moment; before it was ever told, the engine's own time.
    fn wall(&self, now: Moment) -> WallSeconds {
        let (told_at, wall) = self.wall.unwrap_or_default();
        let passed = i64::try_from(now.since(told_at).as_secs()).unwrap_or(i64::MAX);
        WallSeconds(wall.0.saturating_add(passed))
    }

    pub(crate) fn set_wall(&mut self, now: Moment, wall: WallSeconds) {
        self.wall = Some((now, wall));
    }

    pub(crate) fn is_current(&self, key: ComponentKey) -> bool {
        self.last_command.contains(&key) || self.is_at_work(key)
    }

    /// Whether a command at work uses it.
    fn is_at_work(&self, key: ComponentKey) -> bool {
        self.at_work.iter().any(|(_, uses)| uses.contains(&key))
    }

    /// When uses that no command has told of become a command.
    fn next_untold(&self) -> Option<Moment> {
        self.untold.values().min().map(|at| *at + UNTOLD)
    }

    /// The oldest untold uses that belong together, if they have waited long enough.
    fn take_untold(&mut self, now: Moment) -> Option<(Moment, Vec<ComponentKey>)> {
        let first = self.untold.values().min().copied().filter(|at| *at + UNTOLD <= now)?;
        let together = |at: Moment| at.since(first) <= TOGETHER;
        let set: Vec<_> =
            self.untold.iter().filter(|(_, at)| together(**at)).map(|(k, _)| *k).collect();
        let last = set.iter().filter_map(|k| self.untold.remove(k)).max()?;
        Some((last, set))
    }

    /// Makes the values anew: of what follows the latest command at work, or the last one that was observed.
    fn refresh(&mut self, now: Moment) {
        let at = self.wall(now);
        // The same again teaches nothing, so it foretells nothing new.
        let ahead = self.at_work.last().filter(|(_, uses)| *uses != self.last_command);
        self.forecast = ahead
            .map(|(_, uses)| Arc::make_mut(&mut self.model).forecast(uses, at, &mut self.values));
        if self.forecast.is_none() {
            self.model.refresh(&mut self.values);
        }
        let said = self.text.iter().map(|(k, score)| (*k, combine(self.values.get(*k), *score)));
        if !self.text.is_empty() {
            self.values = self.values.with(said);
        }
    }

    /// A command is no longer at work. Whether it was.
    fn end(&mut self, command: CommandId) -> bool {
        let before = self.at_work.len();
        self.at_work.retain(|(id, _)| *id != command);
        self.at_work.len() < before
    }

    pub(crate) fn forget(&mut self, now: Moment) {
        self.model = Arc::default();
        self.last_command.clear();
        self.at_work.clear();
        self.forecast = None;
        self.expected_since = None;
        self.untold.clear();
        self.told.clear();
        self.in_vain.clear();
        self.text.clear();
        self.values.refresh([]);
        self.preloader.forget();
        self.trim.retain(|_| false);
        self.forgotten = Some(now);
    }

    /// Whether what came of a hint is news: one that leads to no load, like the one before it, is told once a
    /// minute only, so that hints by the thousand leave room for what else happened.
    pub(crate) fn is_news(&mut self, key: ComponentKey, outcome: HintOutcome, now: Moment) -> bool {
        if outcome == HintOutcome::Started {
            self.in_vain.remove(&key);
            return true;
        }
        let told = self.in_vain.entry(key).or_default();
        match told.iter_mut().find(|t| t.0 == outcome) {
            Some(last) if now.since(last.1) < Duration::from_secs(60) => return false,
            Some(last) => last.1 = now,
            None => told.push((outcome, now)),
        }
        true
    }
}

/// The settings as they are declared, whatever the caller gave: the engine refuses none.
fn clamped<S: Section + Clone>(section: &S) -> S {
    let mut section = section.clone();
    section.clamp();
    section
}

impl Engine {
    /// The sequence model, to look at or to write down.
    #[must_use]
    pub fn sequence(&self) -> &Arc<SequenceModel> {
        &self.foresight.model
    }

    /// What is expected of each component.
    #[must_use]
    pub fn values(&self) -> &Values {
        &self.foresight.values
    }

    /// What was loaded ahead and what that brought.
    #[must_use]
    pub fn preloader(&self) -> &Preloader {
        &self.foresight.preloader
    }

    pub(crate) fn remembered(&mut self, model: SequenceModel) {
        self.foresight.model = Arc::new(model);
        self.foresight.refresh(self.now);
    }

    /// A command is about to use a set. Values and hints look past it, so that its victims are chosen, and what comes
    /// next is loaded, while it is still at work; the model learns when it is observed.
    pub(crate) fn begun(&mut self, command: CommandId, mut uses: Vec<ComponentKey>, now: Moment) {
        uses.retain(|k| self.catalog().spec(*k).is_some());
        uses.sort_unstable();
        uses.dedup();
        if uses.is_empty() {
            return;
        }
        let f = &mut self.foresight;
        if f.at_work.len() == MOST_AT_WORK {
            f.at_work.remove(0);
        }
        f.at_work.push((command, uses));
        f.text.clear();
        f.preloader.begun();
        self.look_ahead(now);
    }

    /// A command ends and teaches nothing.
    pub(crate) fn ended(&mut self, command: CommandId, now: Moment) {
        if self.foresight.end(command) {
            self.foresight.preloader.begun();
            self.look_ahead(now);
        }
    }

    /// Makes the values anew; hints follow. Those that are due are not put off by every command that begins or ends.
    fn look_ahead(&mut self, now: Moment) {
        let f = &mut self.foresight;
        f.refresh(now);
        f.expected_since.get_or_insert(now);
    }

    /// A command used a set: the model learns, values and hints are made anew.
    pub(crate) fn observed(
        &mut self,
        command: Option<CommandId>,
        mut used: Vec<ComponentKey>,
        mut text: Vec<(ComponentKey, Confidence)>,
        up_to: Moment,
        step: &mut Step<'_>,
    ) {
        used.retain(|k| self.catalog().spec(*k).is_some());
        text.retain(|(k, _)| self.catalog().spec(*k).is_some());
        used.sort_unstable();
        used.dedup();
        step.record(EventKind::Observed { used: used.clone() });
        if !used.is_empty() {
            step.push(Effect::PersistUse { used: used.clone() });
        }
        let f = &mut self.foresight;
        for key in &used {
            f.untold.remove(key);
            f.told.insert(*key, up_to);
        }
        if used.is_empty() && text.is_empty() {
            if let Some(command) = command {
                self.ended(command, step.now);
            }
            return;
        }
        let was_at_work = command.is_some_and(|c| f.end(c));
        f.trim.on_used(step.now);
        if !used.is_empty() && used != f.last_command {
            let at = f.wall(up_to);
            Arc::make_mut(&mut f.model).observe(&used, at);
            f.last_command.clone_from(&used);
            step.push(Effect::PersistSequence);
        }
        for key in self.catalog().closure(&used) {
            // A use of long ago was of an earlier incarnation.
            let e = self.scheduler.entry(key);
            let up = matches!(e.state(), ComponentState::Ready | ComponentState::Draining);
            if up && e.ready_at() <= up_to {
                self.had(key, step);
            }
        }
        let f = &mut self.foresight;
        f.text = text;
        f.preloader.observed(step.now, was_at_work);
        f.expected_since = Some(step.now);
        self.look_ahead(step.now);
        self.foresee(step.now);
        self.scheduler.touch();
    }

    /// The hints that follow from the last command, when their delay is over: what is absent shows only then,
    /// since the command's own loads and victims come first.
    pub(crate) fn foresee(&mut self, now: Moment) {
        let Some(since) = self.foresight.expected_since else { return };
        if since + self.config().speculation.delay > now {
            return;
        }
        self.foresight.expected_since = None;
        if !self.config().speculation.enabled || self.ending.is_some() {
            return;
        }
        let absent = |key: ComponentKey| {
            !is_present(self.state(key))
                && !self.foresight.is_current(key)
                && self.catalog().spec(key).is_some()
                && !self.scheduler.is_never_evicted(key)
        };
        let f = &self.foresight;
        let keys: Vec<_> = self.catalog().keys().filter(|k| absent(*k)).collect();
        let floor = f.preloader.floor();
        let mut hints = Vec::new();
        let mut soon = Vec::new();
        // While idle memory is given back, memory is not free for the taking.
        let fills_free_room = !self.may_trim_idle();
        for &key in &keys {
            let value = f.values.get(key);
            let stakes = self.policy.stakes(self.load_time(key)) as f32;
            let next = Confidence::saturating(value.next.get() * stakes);
            let said = f.text.iter().any(|(k, _)| *k == key);
            let source = if said { HintSource::Text } else { HintSource::Sequence };
            if next >= floor {
                hints.push(Hint { key, confidence: next, tier: Tier::Delayed, source });
            } else if fills_free_room && value.reuse.get() >= WORTH_FREE_ROOM {
                let tier = Tier::Background;
                soon.push(Hint { key, confidence: value.reuse, tier, source });
            }
        }
        // What was trimmed had its place by its worth: that it is used again soon is enough.
        for &key in f.trim.trimmed().iter().filter(|k| absent(**k)) {
            let confidence = f.values.get(key).reuse;
            hints.push(Hint { key, confidence, tier: Tier::Delayed, source: HintSource::Refill });
        }
        soon.sort_by(|a, b| b.confidence.cmp(&a.confidence).then(a.key.cmp(&b.key)));
        // What was loaded for the same command since it began is not to be had twice.
        let begun = f.preloader.n_proposed(Tier::Background);
        soon.truncate(self.config().speculation.per_command.saturating_sub(begun));
        let preloader = &mut self.foresight.preloader;
        preloader.predict(&hints, since, now);
        for hint in soon {
            preloader.hint(hint, now);
        }
    }

    /// Somebody had a component: it is no guess any more.
    pub(crate) fn had(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        self.scheduler.entry_mut(key).requested();
        self.preload_used(key, step);
    }

    /// Uses that a sweep found.
    pub(crate) fn swept(&mut self, key: ComponentKey, last_use: Moment) {
        let f = &mut self.foresight;
        f.trim.on_used(last_use);
        let forgotten = f.forgotten.is_some_and(|t| last_use <= t);
        let told = f.told.get(&key).is_some_and(|told| last_use <= *told);
        // A command at work tells of it at its end.
        if !forgotten && !told && !f.is_at_work(key) {
            f.untold.insert(key, last_use);
        }
    }

    /// Turns uses that no command told of into commands, when they have waited long enough.
    pub(crate) fn tell_untold(&mut self, step: &mut Step<'_>) {
        while let Some((at, used)) = self.foresight.take_untold(step.now) {
            self.observed(None, used, Vec::new(), at, step);
        }
    }

    pub(crate) fn preload_used(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        let end = self.foresight.preloader.on_used(key, step.now);
        note_end(key, end, step);
    }

    /// Somebody asks for a set: what waits for it as a hint is done with.
    pub(crate) fn preload_demanded(&mut self, keys: &[ComponentKey], now: Moment) {
        for key in self.catalog().closure(keys) {
            self.foresight.preloader.on_demand(key, now);
        }
    }

    /// A demand for a set ended without it: what nobody else asks for was asked for in vain.
    pub(crate) fn preload_not_wanted(&mut self, keys: &[ComponentKey]) {
        for key in self.catalog().closure(keys) {
            let wanted = self
                .scheduler
                .transactions()
                .any(|t| t.origin.waiter().is_some() && t.closure.contains(&key));
            if !wanted {
                self.foresight.preloader.on_withdrawn(key);
            }
        }
    }

    /// What was loaded ahead so long ago that its use is no longer expected.
    pub(crate) fn expire_preloads(&mut self, step: &mut Step<'_>) {
        for (key, end) in self.foresight.preloader.expire(step.now) {
            note_end(key, Some(end), step);
        }
    }

    /// A component left memory or the way into it.
    pub(crate) fn preload_gone(&mut self, key: ComponentKey, failed: bool, step: &mut Step<'_>) {
        let preloader = &mut self.foresight.preloader;
        let end =
            if failed { preloader.on_failed(key) } else { preloader.on_evicted(key, step.now) };
        note_end(key, end, step);
    }

    /// Whether idle memory may be given back now.
    pub(crate) fn may_trim_idle(&self) -> bool {
        self.ending.is_none()
            && match self.config().idle.trim {
                IdleTrimWhen::Never => false,
                IdleTrimWhen::Always => true,
                _ => {
                    self.foresight.on_battery || self.scheduler.pressure() >= PressureLevel::Medium
                }
            }
    }

    /// When foresight wants to be called next.
    pub(crate) fn next_foreseen(&self) -> Option<Moment> {
        let f = &self.foresight;
        let expected = f.expected_since.map(|t| t + self.config().speculation.delay);
        let hint = f.preloader.next_wakeup(self.now).filter(|_| self.may_speculate());
        let trim = f.trim.next_wakeup().filter(|_| self.may_trim_idle());
        [expected, hint, trim, f.next_untold()].into_iter().flatten().min()
    }
}

fn note_end(key: ComponentKey, end: Option<PreloadEnd>, step: &mut Step<'_>) {
    if let Some(result) = end {
        step.record(EventKind::Preload { component: key, result });
    }
}

pub(crate) fn is_present(state: ComponentState) -> bool {
    matches!(state, ComponentState::Ready | ComponentState::Loading | ComponentState::Queued)
}
