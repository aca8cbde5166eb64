//! Rows of `[intents]`: learning which components texts need.

use majordomo_core::{Confidence, Config};

use super::{Key, Kind, key};

/// `[intents]`.
pub(crate) const INTENTS: &[Key<Config>] = &[
    key!(
        "enabled",
        "true",
        "Whether what was learned answers; without it keywords answer alone.",
        Kind::Bool(|c, v| c.intents.enabled = v)
    ),
    key!(
        "learn",
        "true",
        "Whether what commands really used is learned.",
        Kind::Bool(|c, v| c.intents.learn = v)
    ),
    key!(
        "prior",
        "true",
        "Whether learning starts from the table of public command text that is shipped. Read at start.",
        Kind::Bool(|c, v| c.intents.prior = v)
    ),
    key!(
        "min_confidence",
        "0.5",
        "How sure a learned answer must be to load anything; below that, the command is unsure. The thresholds are learned from outcomes and move with this: 0.5 leaves them as they are, more asks more often.",
        Kind::Number(0.0, 1.0, |c, v| c.intents.min_confidence = Confidence::saturating(v as f32))
    ),
    key!(
        "min_gap",
        "0",
        "Where commands need one component at a time, the likeliest must be this much likelier than the next.",
        Kind::Number(0.0, 1.0, |c, v| c.intents.min_gap = Confidence::saturating(v as f32))
    ),
    key!(
        "retrain_every",
        "100",
        "New outcomes after which the model is trained anew, in the background.",
        Kind::Count(1, 100_000, |c, v| c.intents.retrain_every = v as usize)
    ),
    key!(
        "max_outcomes",
        "10000",
        "Outcomes that are kept to learn from. Read at start.",
        Kind::Count(1, 100_000, |c, v| c.intents.max_outcomes = v as usize)
    ),
    key!(
        "evidence",
        "true",
        "Whether answers say which parts of the text spoke for them.",
        Kind::Bool(|c, v| c.intents.evidence = v)
    ),
];
