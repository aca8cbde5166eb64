//! A model that does not answer: kept for a roll-back, or on its way into a state.

use std::sync::Arc;

use crate::model::mlp::Mlp;
use crate::model::packed::PackedLayer;
use crate::model::text_model::TextModel;

/// The first layer takes 8 bits a weight.
#[derive(Clone, Debug)]
pub(crate) struct Retired {
    /// Its first layer is empty.
    pub(crate) model: TextModel,
    pub(crate) table: PackedLayer,
}

impl Retired {
    pub(crate) fn pack(mut model: TextModel) -> Self {
        let table = PackedLayer::pack(&model.mlp.first);
        model.mlp = Mlp { first: Arc::new(model.mlp.first.emptied()), dense: model.mlp.dense };
        Self { model, table }
    }

    pub(crate) fn unpack(mut self) -> TextModel {
        self.model.mlp.first = Arc::new(self.table.unpack());
        self.model
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.model.memory_bytes() + self.table.memory_bytes()
    }
}
