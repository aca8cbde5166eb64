//! A failed load: the words for the engine, and the loader's error for callers.

use std::error::Error;
use std::sync::Arc;

use majordomo_engine::LoadFailure;

use crate::loader::{LoadError, in_words};

/// A load that ended without an instance.
#[derive(Debug)]
pub(crate) struct FailedLoad {
    /// For the engine.
    pub failure: LoadFailure,
    /// For callers.
    pub error: Option<Arc<dyn Error + Send + Sync>>,
}

impl From<LoadError> for FailedLoad {
    fn from(error: LoadError) -> Self {
        Self { failure: LoadFailure::from(in_words(&*error)), error: Some(Arc::from(error)) }
    }
}

impl From<String> for FailedLoad {
    fn from(words: String) -> Self {
        Self { failure: words.into(), error: None }
    }
}
