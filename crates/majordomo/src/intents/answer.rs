//! The answer to a text: the decision, the components, and the evidence for each of them.

use majordomo_core::{ComponentId, ComponentKey, Confidence};
use majordomo_predictor::{Decision, Fit};

/// A keyword that is evidence for a component, or against it where its clause is negated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Evidence {
    /// The keyword or phrase as the text spells it.
    pub keyword: String,
    /// How many components have that keyword.
    pub shared_by: u32,
    /// How well the text's words fit the keyword's.
    pub fit: Fit,
    /// Whether its clause is negated, as in "do not play music": then it is evidence against the component.
    pub negated: bool,
}

/// A part of the text that is learned evidence for a component: a word, two words, or letters inside a word,
/// with `<` and `>` for the ends of words.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct NGram {
    /// Its letters, folded as the model reads them.
    pub text: String,
    /// Its contribution to the component's score.
    pub weight: f32,
}

/// A component that a text needs, or may need.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Need {
    /// The component's name.
    pub id: ComponentId,
    /// Its key in the catalog.
    pub key: ComponentKey,
    /// Calibrated probability that the text needs the component.
    pub confidence: Confidence,
    /// The component is loaded when its confidence reaches this.
    pub threshold: Confidence,
    /// The keywords found in the text.
    pub evidence: Vec<Evidence>,
    /// Other parts of the text that are evidence for it, strongest first; empty where evidence is switched off.
    pub n_grams: Vec<NGram>,
    /// Probability that the text needs it by the earlier outcomes of this very text; none while they have not
    /// confirmed each other, and where evidence is switched off.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub confirmed: Option<Confidence>,
}

/// The components that a text needs, with evidence.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct IntentsAnswer {
    /// Whether a command with this text would load components.
    pub decision: Decision,
    /// The components that the text needs, likeliest first.
    pub needed: Vec<Need>,
    /// Other components that are not unlikely, likeliest first.
    pub candidates: Vec<Need>,
    /// Version of the model that answered.
    pub version: u64,
}

/// A component by key, with the confidence that a text needs it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Scored {
    /// The component; [`Manager::name_of`](crate::Manager::name_of) returns its name.
    pub key: ComponentKey,
    /// Calibrated probability that the text needs it.
    pub confidence: Confidence,
    /// The component is loaded when its confidence reaches this.
    pub threshold: Confidence,
}

/// An answer without names and evidence; its buffers are reused from query to query.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Prediction {
    /// Whether a command with this text would load components.
    pub decision: Decision,
    /// The components that the text needs, likeliest first.
    pub needed: Vec<Scored>,
    /// Other components that are not unlikely, likeliest first.
    pub candidates: Vec<Scored>,
    /// Version of the model that answered.
    pub version: u64,
}

/// The answer to a text, and what its triggers say of the text after it.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub answer: IntentsAnswer,
    /// Components that are likely to be needed after such a text.
    pub follows: Vec<(ComponentKey, Confidence)>,
}
