//! Forgetting what was measured of components, in the store.

use majordomo_core::{ComponentId, StateStore, StoreError, StoreOp};

use super::{FILES, measured, rungs, stages};

/// Forgets the figures of components, of their rungs and of the stages of their loads, and their files, whatever
/// configuration and machine they are of; says how many figures there were.
///
/// # Errors
/// When the store cannot be read or written; nothing is forgotten then.
pub fn forget(store: &dyn StateStore, components: &[ComponentId]) -> Result<usize, StoreError> {
    let of = |key: &str| {
        key.split('/').next().is_some_and(|c| components.iter().any(|id| id.as_str() == c))
    };
    let keys_of = |namespace: &str| -> Result<Vec<_>, StoreError> {
        let keys = store.list(namespace)?.into_iter().map(|(key, _)| key).filter(|key| of(key));
        Ok(keys.map(|key| StoreOp::Delete { namespace: namespace.into(), key }).collect())
    };
    let mut batch = keys_of(measured::NAMESPACE)?;
    let n_figures = batch.len();
    batch.extend(keys_of(stages::NAMESPACE)?);
    batch.extend(keys_of(rungs::NAMESPACE)?);
    batch.extend(keys_of(FILES)?);
    if !batch.is_empty() {
        store.apply(&batch)?;
        // Freed pages of a file keep their bytes.
        store.scrub()?;
    }
    Ok(n_figures)
}
