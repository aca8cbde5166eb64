//! From a command's text to the components it needs, each with a confidence and the evidence for it; and from past uses to
//! the next ones.
//!
//! Pure computation: no file, no clock and no thread; loaded components are unknown here. Everything is
//! deterministic given its seed and does not depend on the order of a hash map.
//!
//! Keywords answer at once, and a model learns from outcomes:
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//!
//! use majordomo_core::{ComponentId, ComponentKey};
//! use majordomo_predictor::{
//!     Decision, IntentScratch, KeywordMatcher, PredictorConfig, TextPredictor,
//! };
//!
//! let [music, clock] = [ComponentKey(0), ComponentKey(1)];
//! let names = [ComponentId::new("music")?, ComponentId::new("clock")?];
//! let mut predictor = TextPredictor::new(PredictorConfig::default());
//! let keywords = KeywordMatcher::build([(music, "song"), (clock, "alarm")])?;
//! predictor.set_catalog([music, clock].into_iter().zip(&names), keywords);
//!
//! let mut scratch = IntentScratch::default();
//! let answer = predictor.intents("another song please", &mut scratch);
//! assert_eq!((answer.decision, answer.components[0].component), (Decision::Confident, music));
//!
//! // Outcomes: the components that commands really used.
//! for i in 0..12 {
//!     predictor.learn(&format!("play some jazz number {i}"), &[music])?;
//!     predictor.learn(&format!("wake me up at {i}"), &[clock])?;
//! }
//! assert!(predictor.retrain_due());
//! let candidate = predictor.retrain_job().run(&AtomicBool::new(false))?;
//! predictor.install(candidate);
//!
//! let snapshot = predictor.snapshot(); // for readers on any thread
//! let answer = snapshot.intents("please wake me", &mut scratch);
//! assert_eq!(answer.components[0].component, clock);
//! let why = snapshot.explain("please wake me", clock, &mut scratch);
//! assert!(why.n_grams.iter().any(|(gram, _)| gram == "wake"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The sequence model predicts the next use:
//!
//! ```
//! use majordomo_core::{ComponentKey, WallSeconds};
//! use majordomo_predictor::SequenceModel;
//!
//! let mut model = SequenceModel::new();
//! for i in 0..60 {
//!     model.observe(&[ComponentKey(i % 3)], WallSeconds(i64::from(i) * 30));
//! }
//! let (next, probability) = model.likeliest(1)[0];
//! assert_eq!(next, ComponentKey(0));
//! assert!(probability.get() > 0.5);
//! ```
#![forbid(unsafe_code)]

mod backend;
mod buffer;
mod classifier;
mod codec;
mod combine;
mod decision;
mod features;
mod intents;
mod keywords;
mod label_set;
mod labels;
#[cfg(feature = "linfa")]
mod linfa_traits;
mod model;
mod params;
mod phrases;
mod prior;
mod probes;
mod rescore;
mod retrain;
mod rng;
mod sequence;
mod standing;
mod text_predictor;

pub use backend::{
    Backend, BackendError, Capabilities, DenseWeights, Head, ShapeError, SimdBackend, WeightsId,
};
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
pub use probes::{ProbeAnswers, Probes};
pub use rescore::{RescoreBackends, RescoreError, RescoreJob, Rescored};
pub use retrain::{Candidate, CandidateReport, RetrainJob, Verdict};
pub use sequence::{ExpertOpinion, Forecast, REUSE_HORIZON, SequenceModel, SequenceStateError};
pub use text_predictor::{LearnError, PredictorConfig, Prequential, TextPredictor};
