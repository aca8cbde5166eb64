//! From a command's text to the components it needs, learned from what commands really used.
//!
//! Knows no lease and no engine. Invariants: queries never wait for the thread that learns; a text is never logged.

mod after_retrain;
mod answer;
mod brain;
mod error;
#[cfg(feature = "coreml")]
mod export;
mod figures;
mod learned;
mod learner;
mod offline;
mod pace;
mod saved;
mod service;
mod settings;
mod spoken;
mod view;

#[cfg(feature = "coreml")]
pub(crate) use after_retrain::AfterRetrain;
pub use answer::{Evidence, IntentsAnswer, NGram, Need, Prediction, Scored};
pub(crate) use brain::{Brain, Matchers};
pub use error::IntentError;
#[cfg(feature = "coreml")]
pub use export::IntentExportError;
pub use learned::{LearnReport, Learned};
pub use majordomo_predictor::{Decision, Fit};
pub use offline::OfflineIntents;
pub(crate) use service::{IntentService, Teacher};
pub(crate) use settings::Settings;
pub use spoken::MAX_TEXT;
pub(crate) use spoken::{Spoken, cut};
