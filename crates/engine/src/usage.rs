//! Uses and commands: what they teach the forecast, and which hints follow.
//!
//! Carries facts between the parts: attribution says which uses are one command, the forecaster learns from it, and the
//! hints are made from its values. Invariant: equal commands in a row teach once, as in recorded traces.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{CommandId, ComponentKey, Confidence, EventKind, HintSource, Moment, Values};
use majordomo_lifecycle::{Effect, Step};
use majordomo_memory::PolicyEvent;
use majordomo_predictor::SequenceModel;
use majordomo_preloader::{Hint, Preloader, Tier};

use crate::admit::is_present;
use crate::pace::Pace;
use crate::{Engine, Usage};

/// From this P(reuse) on a component is worth loading into memory that is free and would stay so.
const WORTH_FREE_ROOM: f32 = 0.5;

impl Engine {
    /// The sequence model, to look at or to write down.
    #[must_use]
    pub fn sequence(&self) -> &Arc<SequenceModel> {
        self.forecaster.model()
    }

    /// The forecast for each component.
    #[must_use]
    pub fn values(&self) -> &Values {
        self.forecaster.values()
    }

    /// The preloads, and what became of them.
    #[must_use]
    pub fn preloader(&self) -> &Preloader {
        self.hints.preloader()
    }

    /// Takes over the sequence model of an earlier process.
    pub(crate) fn restore_sequence(&mut self, model: SequenceModel) {
        self.forecaster.restore(model);
        self.refresh_forecast(self.now);
    }

    /// Forgets everything that was learned of commands.
    pub(crate) fn forget_sequence(&mut self, step: &mut Step<'_>) {
        self.forecaster.forget();
        self.attribution.forget(step.now);
        self.pace = Pace::default();
        self.hints.forget();
        self.priming.forget();
        self.idleness.retain(|_| false);
        step.push(Effect::PersistSequence);
    }

    /// A command is about to use a set. Values and hints look past it, so that its victims are chosen, and the next
    /// components are loaded, while it is still at work; the model learns when it is observed.
    pub(crate) fn begun(&mut self, command: CommandId, mut uses: Vec<ComponentKey>, now: Moment) {
        uses.retain(|k| self.catalog().spec(*k).is_some());
        uses.sort_unstable();
        uses.dedup();
        self.pace.begun(now);
        if uses.is_empty() {
            return;
        }
        self.attribution.begin(command, uses);
        self.forecaster.set_text(Vec::new());
        self.hints.preloader_mut().begun();
        self.expect_hints(now);
    }

    /// A command ends and teaches nothing.
    pub(crate) fn ended(&mut self, command: CommandId, now: Moment) {
        if self.attribution.end(command) {
            self.hints.preloader_mut().begun();
            self.expect_hints(now);
        }
    }

    fn refresh_forecast(&mut self, now: Moment) {
        let catalog = Arc::clone(self.catalog());
        self.forecaster.refresh(self.attribution.under_way(), &catalog, now);
    }

    fn expect_hints(&mut self, now: Moment) {
        self.refresh_forecast(now);
        self.hints.expect(now);
    }

    /// A command used a set: the model learns, values and hints are made again.
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
        // Uses that belong to no command are observed late, and end none.
        if command.is_some() {
            self.pace.ended(step.now);
        }
        let is_new = self.attribution.attribute(&used, up_to);
        if used.is_empty() && text.is_empty() {
            if let Some(command) = command {
                self.ended(command, step.now);
            }
            return;
        }
        let was_at_work = command.is_some_and(|c| self.attribution.end(c));
        self.idleness.used(step.now);
        if is_new {
            self.forecaster.learn(&used, up_to);
            step.push(Effect::PersistSequence);
        }
        for key in self.catalog().closure(&used) {
            // A use of long ago was of an earlier incarnation.
            let e = self.scheduler.entry(key);
            if e.is_up() && e.ready_at() <= up_to {
                self.record_use(key, step);
            }
        }
        self.forecaster.set_text(text);
        self.hints.preloader_mut().observed(step.now, was_at_work);
        self.hints.expect_from(step.now);
        self.refresh_forecast(step.now);
        self.make_hints(step.now);
        self.scheduler.touch();
    }

    /// Makes the hints that follow from the last command, when their delay is over: which components are absent shows
    /// only then, since the command's own loads and victims come first.
    pub(crate) fn make_hints(&mut self, now: Moment) {
        let delay = self.config().speculation.delay;
        let Some(since) = self.hints.take_expected(delay, now) else { return };
        if !self.config().speculation.enabled || self.ending.is_some() {
            return;
        }
        self.read_ahead.predicted();
        let (likely, background) = self.predicted_hints();
        let preloader = self.hints.preloader_mut();
        preloader.predict(&likely, since, now);
        for hint in background {
            preloader.hint(hint, now);
        }
    }

    /// Hints by the forecast: likely next uses, and uses that are worth memory which is free.
    fn predicted_hints(&self) -> (Vec<Hint>, Vec<Hint>) {
        let absent = |key: ComponentKey| {
            !is_present(self.state(key))
                && !self.attribution.is_current(key)
                && self.catalog().spec(key).is_some()
                && !self.scheduler.is_never_evicted(key)
        };
        let (forecaster, preloader) = (&self.forecaster, self.hints.preloader());
        let floor = preloader.floor();
        let (mut likely, mut background) = (Vec::new(), Vec::new());
        // While idle memory is given back, memory is not free for the taking.
        let fills_free_room = !self.may_trim_idle();
        for key in self.catalog().keys().filter(|k| absent(*k)) {
            let value = forecaster.values().get(key);
            let missing = self.catalog().closure(&[key]).into_iter();
            let missing = missing.filter(|k| !is_present(self.state(*k)));
            let (wait, load) = missing
                .fold(<[Duration; 2]>::default(), |sums, k| {
                    [sums[0] + self.scheduler.wait(k), sums[1] + self.scheduler.load_time(k)]
                })
                .into();
            // A wake saves less than a load, and costs as much less: the floor is the same for both.
            let weight = self.policy.stakes(load) * self.pace.share_before_next(wait);
            let next = Confidence::saturating(value.next.get() * weight as f32);
            let by_text = forecaster.is_scored_by_text(key);
            let source = if by_text { HintSource::Text } else { HintSource::Sequence };
            if next >= floor {
                likely.push(Hint { key, confidence: next, tier: Tier::Delayed, source });
            } else if fills_free_room && value.reuse.get() >= WORTH_FREE_ROOM {
                let tier = Tier::Background;
                background.push(Hint { key, confidence: value.reuse, tier, source });
            }
        }
        // A trimmed component had its place by its worth: that it is used again soon is enough.
        for &key in self.idleness.trimmed().iter().filter(|k| absent(**k)) {
            let (confidence, source) = (forecaster.values().get(key).reuse, HintSource::Refill);
            likely.push(Hint { key, confidence, tier: Tier::Delayed, source });
        }
        background.sort_by(|a, b| b.confidence.cmp(&a.confidence).then(a.key.cmp(&b.key)));
        // Preloads for the same command since it began count.
        let begun = preloader.n_proposed(Tier::Background);
        background.truncate(self.config().speculation.per_command.saturating_sub(begun));
        (likely, background)
    }

    /// A demand has a component, or a use of it was seen: it is not speculative any more.
    pub(crate) fn record_use(&mut self, key: ComponentKey, step: &mut Step<'_>) {
        self.scheduler.entry_mut(key).requested();
        self.priming.used(key);
        self.end_preload_as_used(key, step);
    }

    /// Uses that a sweep counted.
    pub(crate) fn used(&mut self, rows: &[Usage], step: &mut Step<'_>) {
        for u in rows {
            if !self.scheduler.is_current(u.id) {
                continue;
            }
            let key = u.id.key;
            self.scheduler.entry_mut(key).used(u.uses, u.last_use);
            // A lease that is still held has no last use yet; everything that it needs is in use with it.
            if u.uses > 0 || u.last_use.is_some() {
                for needed in self.catalog().closure(&[key]) {
                    self.scheduler.entry_mut(needed).figures_mut().used(step.now);
                    self.record_use(needed, step);
                }
            }
            let Some(at) = u.last_use else { continue };
            // Components that are never evicted are no policy's business.
            if !self.scheduler.entry(key).is_fixed() {
                self.policy.on_event(&PolicyEvent::Used {
                    key,
                    at,
                    uses: u.uses.max(1),
                    size: self.scheduler.budget().booked_for(key),
                    load_time: self.scheduler.load_time(key),
                    rung: self.admission().rung_of_use(key, step.now),
                });
            }
            self.idleness.used(at);
            self.attribution.swept(key, at);
        }
    }

    /// Turns uses that no command reported into commands, when they have waited long enough.
    pub(crate) fn attribute_open_uses(&mut self, step: &mut Step<'_>) {
        while let Some((at, used)) = self.attribution.take_open(step.now) {
            self.observed(None, used, Vec::new(), at, step);
        }
    }
}
