//! Forgetting: a component, a text, or everything.
//!
//! Invariant: a forgotten text is neither in the buffer nor in the previous model, and a retrain without it is required.

use std::sync::Arc;

use majordomo_core::ComponentId;

use super::{Prequential, TextPredictor};
use crate::buffer::{ReplayBuffer, cut, text_hash};

impl TextPredictor {
    /// Drops everything learned about a component. `false` when nothing was.
    pub fn remove(&mut self, name: &ComponentId) -> bool {
        let Some(removed) = self.names.iter().position(|l| l == name) else { return false };
        let old = self.names.clone();
        self.names.remove(removed);
        self.buffer.remove_label(removed as u32);
        let model = self.current.model.take().map(Arc::unwrap_or_clone);
        self.current.model = model.map(|model| Arc::new(self.fit_labels(model, &old)));
        self.epoch += 1;
        self.relabel();
        true
    }

    /// Forgets a text. It is removed from the buffer at once, and from the model by the retrain that is then
    /// required; the previous model is dropped too. `false` when the text was not known.
    pub fn forget(&mut self, text: &str) -> bool {
        self.words.split(cut(text));
        let known = self.buffer.forget(text_hash(&self.words));
        if known {
            self.previous = None;
            self.must_retrain = true;
            self.epoch += 1;
            self.changed();
            if self.buffer.outcomes().is_empty() {
                self.forget_everything();
            }
        }
        known
    }

    /// Forgets everything learned: labels, outcomes, models. The prior and the catalog stay.
    pub fn forget_everything(&mut self) {
        self.names.clear();
        self.buffer = ReplayBuffer::new(self.config.buffer_capacity);
        self.n_listed = 0;
        self.current.phrases = Arc::default();
        self.current.model = None;
        self.previous = None;
        self.n_new = 0;
        self.must_retrain = false;
        self.epoch += 1;
        self.prequential = Prequential::default();
        self.relabel();
    }
}
