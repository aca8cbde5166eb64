//! The predicted use of each component, as a dense table.

use crate::{ComponentKey, Confidence};

/// One component's prospects.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Value {
    /// Probability that the next command needs it.
    pub next: Confidence,
    /// Probability that it is used again soon (within the predictor's horizon).
    pub reuse: Confidence,
}

/// Prospects by component key. Keys beyond the table have none.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Values {
    table: Vec<Value>,
    version: u64,
}

impl Values {
    /// An empty table: no component has prospects.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The prospects of one component; zeros when unknown.
    #[must_use]
    pub fn get(&self, key: ComponentKey) -> Value {
        self.table.get(key.index()).copied().unwrap_or_default()
    }

    /// How often the table was replaced or changed.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The same table but for these rows. The version stays.
    #[must_use]
    pub fn with(&self, rows: impl IntoIterator<Item = (ComponentKey, Value)>) -> Self {
        let mut changed = self.clone();
        for (key, value) in rows {
            if changed.table.len() <= key.index() {
                changed.table.resize(key.index() + 1, Value::default());
            }
            changed.table[key.index()] = value;
        }
        changed
    }

    /// Replaces the whole table in place; row `i` belongs to key `i`. Keeps the allocation.
    pub fn refresh(&mut self, rows: impl IntoIterator<Item = Value>) {
        self.table.clear();
        self.table.extend(rows);
        self.version += 1;
    }
}
