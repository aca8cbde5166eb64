//! A state store that keeps no uses: neither the history of them nor what the sequence model learned of them.

use std::sync::Arc;

use majordomo_core::{StateStore, StoreError, StoreOp};
use majordomo_runtime::state::{SEQUENCE, USAGE};

/// Reads what is there; changes of uses are dropped.
pub(crate) struct WithoutUses(Arc<dyn StateStore>);

impl WithoutUses {
    pub(crate) fn of(store: Arc<dyn StateStore>) -> Arc<dyn StateStore> {
        Arc::new(Self(store))
    }
}

impl StateStore for WithoutUses {
    fn get(&self, namespace: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(namespace, key)
    }

    fn list(&self, namespace: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.0.list(namespace)
    }

    fn apply(&self, batch: &[StoreOp]) -> Result<(), StoreError> {
        let is_kept = |op: &&StoreOp| ![SEQUENCE.0, USAGE].contains(&op.namespace());
        let kept: Vec<_> = batch.iter().filter(is_kept).cloned().collect();
        self.0.apply(&kept)
    }

    fn namespaces(&self) -> Result<Vec<String>, StoreError> {
        self.0.namespaces()
    }

    fn warning(&self) -> Option<String> {
        self.0.warning()
    }

    fn scrub(&self) -> Result<(), StoreError> {
        self.0.scrub()
    }
}
