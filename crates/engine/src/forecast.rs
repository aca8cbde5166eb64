//! The forecast: the sequence model, and the values of components that follow from it.
//!
//! Values look past the latest command at work, or follow the last one observed. Knows nothing of loads and victims.
//! Invariant: the model learns from what was used alone.

use std::sync::Arc;

use majordomo_core::{ComponentKey, Confidence, Moment, Opinion, Value, Values, WallSeconds};
use majordomo_predictor::{Forecast, SequenceModel, combine};
use majordomo_preloader::HORIZON;
use majordomo_registry::Catalog;

/// Experts named in the record of a preload.
const N_OPINIONS: usize = 3;

/// The model, and what it expects now.
#[derive(Debug, Default)]
pub(crate) struct Forecaster {
    /// Shared with the writer of the learned store; changed in place while that has no reference.
    model: Arc<SequenceModel>,
    values: Values,
    /// The same for the order and the loss of victims.
    values_with_dependents: Values,
    /// Components that were never used have a value, too: where rungs are offered.
    values_first_uses: bool,
    /// The value of a component that was never used.
    first_use: Value,
    /// The state of the model after the command at work, while values look past one.
    forecast: Option<Forecast>,
    /// Scores by the text of the last command for the components that the next one needs.
    text: Vec<(ComponentKey, Confidence)>,
    /// A moment and the wall clock then.
    wall: Option<(Moment, WallSeconds)>,
}

impl Forecaster {
    pub(crate) fn model(&self) -> &Arc<SequenceModel> {
        &self.model
    }

    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    /// The values, where a provider's covers the demands for its dependents.
    pub(crate) fn values_with_dependents(&self) -> &Values {
        &self.values_with_dependents
    }

    /// The value of a component: one that was never used shares the probability of a first use with its like.
    pub(crate) fn value(&self, key: ComponentKey) -> Value {
        let known = self.values.get(key);
        if known == Value::default() && self.values_first_uses { self.first_use } else { known }
    }

    /// Components without a forecast have a value from now on, or no more.
    pub(crate) fn value_first_uses(&mut self, values: bool, catalog: &Catalog) {
        if self.values_first_uses != values {
            self.values_first_uses = values;
            self.follow_dependencies(catalog);
        }
    }

    /// Whether the text of the last command scores a component.
    pub(crate) fn is_scored_by_text(&self, key: ComponentKey) -> bool {
        self.text.iter().any(|(k, _)| *k == key)
    }

    /// The experts whose opinions count most for a component.
    pub(crate) fn opinions(&self, key: ComponentKey) -> Vec<Opinion> {
        let all = match &self.forecast {
            Some(forecast) => self.model.opinions_of(forecast, key),
            None => self.model.opinions(key),
        };
        all.into_iter()
            .take(N_OPINIONS)
            .map(|o| Opinion { expert: o.expert, probability: o.probability })
            .collect()
    }

    pub(crate) fn set_wall(&mut self, now: Moment, wall: WallSeconds) {
        self.wall = Some((now, wall));
    }

    /// The wall clock at a moment; before the first report of it, the engine's own time.
    fn wall(&self, now: Moment) -> WallSeconds {
        let (at, wall) = self.wall.unwrap_or_default();
        let passed = i64::try_from(now.since(at).as_secs()).unwrap_or(i64::MAX);
        WallSeconds(wall.0.saturating_add(passed))
    }

    pub(crate) fn set_text(&mut self, text: Vec<(ComponentKey, Confidence)>) {
        self.text = text;
    }

    /// Learns from the uses of a command, ascending.
    pub(crate) fn learn(&mut self, used: &[ComponentKey], at: Moment) {
        let wall = self.wall(at);
        Arc::make_mut(&mut self.model).observe(used, wall);
    }

    /// Makes the values again: of what follows the command at work, or the last one that was observed.
    pub(crate) fn refresh(
        &mut self,
        under_way: Option<&[ComponentKey]>,
        catalog: &Catalog,
        now: Moment,
    ) {
        let at = self.wall(now);
        self.forecast = under_way
            .map(|uses| Arc::make_mut(&mut self.model).forecast(uses, at, &mut self.values));
        if self.forecast.is_none() {
            self.model.refresh(&mut self.values);
        }
        let said = self.text.iter().map(|(k, score)| (*k, combine(self.values.get(*k), *score)));
        if !self.text.is_empty() {
            self.values = self.values.with(said);
        }
        self.follow_dependencies(catalog);
    }

    /// Makes the values of providers again, by the dependencies of this catalog.
    pub(crate) fn follow_dependencies(&mut self, catalog: &Catalog) {
        self.first_use = self.value_of_first_use(catalog);
        self.values_with_dependents = self.values.with(self.of_providers(catalog));
        // Before anything was learned no value is known.
        if self.values_first_uses && self.values.version() > 0 {
            let table = &self.values_with_dependents;
            let is_unknown = |key: &ComponentKey| {
                catalog.spec(*key).is_some() && table.get(*key) == Value::default()
            };
            let rows: Vec<_> =
                catalog.keys().filter(is_unknown).map(|key| (key, self.first_use)).collect();
            self.values_with_dependents = table.with(rows);
        }
    }

    /// The probability of a first use, shared by the components that were never used.
    fn value_of_first_use(&self, catalog: &Catalog) -> Value {
        let is_unused = |key: &ComponentKey| {
            catalog.spec(*key).is_some() && self.values.get(*key) == Value::default()
        };
        let n_unused = catalog.keys().filter(is_unused).count().max(1);
        let next = f64::from(self.model.novelty()) / n_unused as f64;
        let reuse = 1.0 - (1.0 - next.min(1.0)).powi(HORIZON as i32);
        let confidence = |p: f64| Confidence::saturating(p as f32);
        Value { next: confidence(next), reuse: confidence(reuse) }
    }

    /// The probabilities that a provider or one of its dependents is used, as of independent events.
    fn of_providers(&self, catalog: &Catalog) -> Vec<(ComponentKey, Value)> {
        let either = |keys: &[ComponentKey], part: fn(Value) -> Confidence| {
            let none: f64 =
                keys.iter().map(|k| 1.0 - f64::from(part(self.values.get(*k)).get())).product();
            Confidence::saturating((1.0 - none) as f32)
        };
        let providers = catalog.keys().filter(|k| !catalog.dependents(*k).is_empty());
        providers
            .map(|key| {
                let keys = catalog.dependent_closure(&[key]);
                (key, Value { next: either(&keys, |v| v.next), reuse: either(&keys, |v| v.reuse) })
            })
            .collect()
    }

    /// Takes over the model of an earlier process.
    pub(crate) fn restore(&mut self, model: SequenceModel) {
        self.model = Arc::new(model);
    }

    /// A component was removed from the configuration.
    pub(crate) fn retire(&mut self, key: ComponentKey) {
        Arc::make_mut(&mut self.model).retire(key);
    }

    pub(crate) fn forget(&mut self) {
        self.model = Arc::default();
        self.forecast = None;
        self.text.clear();
        self.values.refresh([]);
        self.values_with_dependents.refresh([]);
    }
}
