//! The settings that queries and the learner read.

use std::time::Duration;

use majordomo_core::{Config, IntentConfig, TriggerConfig};
use majordomo_predictor::{PredictorConfig, Prior, Thresholds};

/// Settings of texts, and how long changes may wait to be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub intents: IntentConfig,
    pub triggers: TriggerConfig,
    pub write_after: Duration,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self {
            intents: config.intents.clone(),
            triggers: config.triggers.clone(),
            write_after: config.state.write_after,
        }
    }
}

impl Settings {
    /// Whether outcomes are learned.
    pub(super) fn learns(&self) -> bool {
        let IntentConfig { enabled, learn, .. } = self.intents;
        enabled && learn
    }

    pub(super) fn thresholds(&self) -> Thresholds {
        Thresholds {
            keyword: self.triggers.threshold,
            min_confidence: self.intents.min_confidence,
            min_gap: self.intents.min_gap,
        }
    }

    pub(super) fn predictor(&self) -> PredictorConfig {
        PredictorConfig {
            buffer_capacity: self.intents.max_outcomes,
            retrain_every: self.intents.retrain_every,
            prior: self.intents.prior.then(Prior::shipped),
            thresholds: self.thresholds(),
            ..PredictorConfig::default()
        }
    }
}
