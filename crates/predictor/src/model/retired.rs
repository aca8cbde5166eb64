//! A model that does not answer: kept for a roll-back.

use crate::model::linear::{Linear, PackedLinear};
use crate::model::text_model::TextModel;

/// Its linear part takes 16 bits a weight; the other parts are unchanged.
#[derive(Clone, Debug)]
pub(crate) struct Retired {
    /// Its linear part is empty.
    model: TextModel,
    linear: PackedLinear,
}

impl Retired {
    pub(crate) fn pack(mut model: TextModel) -> Self {
        let linear = model.linear.pack();
        model.linear = Linear::new(0, model.n_outputs());
        Self { model, linear }
    }

    pub(crate) fn unpack(mut self) -> TextModel {
        self.model.linear = self.linear.unpack();
        self.model
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.model.memory_bytes() + self.linear.memory_bytes()
    }
}
