//! From a command's text to the components it needs, each with a confidence and the evidence for it.
//!
//! Pure computation: no file, no clock, no thread, and no idea of what is loaded. Everything is
//! deterministic given its seed; nothing here depends on the order of a hash map.
#![forbid(unsafe_code)]

mod buffer;
mod classifier;
mod codec;
mod combine;
mod decision;
mod features;
mod intents;
mod keywords;
mod labels;
#[cfg(feature = "linfa")]
mod linfa_traits;
mod model;
mod params;
mod phrases;
mod prior;
mod retrain;
mod rng;
mod sequence;
mod standing;
mod text_predictor;

pub use classifier::{Example, TextClassifier, TextScratch, TrainError};
pub use codec::DecodeError;
pub use combine::combine;
pub use decision::{Decision, Intent, Thresholds};
pub use features::{FEATURE_VERSION, MAX_WORDS};
pub use intents::{Explanation, IntentScratch, Intents, TextSnapshot};
pub use keywords::{
    ComponentHits, Fit, KeywordError, KeywordHit, KeywordMatcher, KeywordMatches, KeywordScratch,
};
#[cfg(feature = "linfa")]
pub use linfa_traits::{FitError, LabelSets, TextModelParams, TextRecords};
pub use model::dense::DenseForward;
pub use params::{LinearParams, MlpParams, ParamError, TextParams, TextValidParams};
pub use prior::Prior;
pub use retrain::{Candidate, CandidateReport, RetrainJob, Verdict};
pub use sequence::{ExpertOpinion, Forecast, REUSE_HORIZON, SequenceModel, SequenceStateError};
pub use text_predictor::{LearnError, PredictorConfig, Prequential, TextPredictor};
