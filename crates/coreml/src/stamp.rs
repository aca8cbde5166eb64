//! Where an exported model comes from: the snapshot, its weights, its features and its labels, as metadata of the file.

use std::collections::BTreeMap;
use std::fmt;

use majordomo_core::ComponentId;
use majordomo_predictor::{DenseWeights, FEATURE_VERSION, Head, WeightsId};

use crate::proto::Metadata;

/// The version of this form.
const FORM: &str = "1";
pub(crate) const KEY_FORM: &str = "majordomo.form";
pub(crate) const KEY_SNAPSHOT: &str = "majordomo.snapshot";
pub(crate) const KEY_WEIGHTS: &str = "majordomo.weights";
pub(crate) const KEY_FEATURES: &str = "majordomo.features";
pub(crate) const KEY_HEAD: &str = "majordomo.head";
pub(crate) const KEY_LABELS: &str = "majordomo.labels";

/// The origin of an exported model. A back end answers for the snapshot and the weights that its file names, for no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Version of the snapshot ([`DenseWeights::version`]).
    pub snapshot: u64,
    /// The weights by their content.
    pub weights: WeightsId,
    /// [`FEATURE_VERSION`] of the features before the first layer.
    pub features: u32,
    /// How scores become probabilities, which is its reader's work.
    pub head: Head,
    /// The names, one a line.
    labels: String,
}

impl Stamp {
    /// The stamp of weights of this program, with the components that their outputs stand for (from the second on); none for
    /// outputs without names, such as the topics of a prior.
    #[must_use]
    pub fn new(weights: &DenseWeights, labels: &[ComponentId]) -> Self {
        Self {
            snapshot: weights.version(),
            weights: weights.id(),
            features: FEATURE_VERSION,
            head: weights.head(),
            labels: labels.iter().map(ComponentId::as_str).collect::<Vec<_>>().join("\n"),
        }
    }

    /// The components, by output from the second on; the first output stands for none.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.labels.split('\n').filter(|label| !label.is_empty())
    }

    /// Whether there is a name for each output but the first, or none at all.
    pub(crate) fn fits(&self, n_outputs: usize) -> bool {
        self.labels.is_empty() || self.labels().count() + 1 == n_outputs
    }

    pub(crate) fn to_metadata(&self) -> Metadata {
        let head = match self.head {
            Head::Exclusive => "exclusive",
            Head::Independent => "independent",
        };
        let pairs = [
            (KEY_FORM, FORM.to_owned()),
            (KEY_SNAPSHOT, self.snapshot.to_string()),
            (KEY_WEIGHTS, self.weights_text()),
            (KEY_FEATURES, self.features.to_string()),
            (KEY_HEAD, head.to_owned()),
            (KEY_LABELS, self.labels.clone()),
        ];
        // Writers of protobuf differ in empty values of maps.
        let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        Metadata {
            short_description: "Dense layers of a Majordomo text model: pooled units to scores"
                .to_owned(),
            version_string: self.snapshot.to_string(),
            author: "Majordomo".to_owned(),
            user_defined: pairs.map(|(key, value)| (key.to_owned(), value)).collect(),
        }
    }

    /// The weights' name as 16 digits.
    #[must_use]
    pub fn weights_text(&self) -> String {
        format!("{:016x}", self.weights.0)
    }

    /// From the metadata of a file; none where it has none of ours.
    ///
    /// # Errors
    /// The key whose value is not of this form.
    pub(crate) fn from_metadata(pairs: &BTreeMap<&str, &str>) -> Result<Option<Self>, BadStamp> {
        let Some(&form) = pairs.get(KEY_FORM) else { return Ok(None) };
        let value = |key| pairs.get(key).copied().ok_or(BadStamp(key));
        if form != FORM {
            return Err(BadStamp(KEY_FORM));
        }
        let number = |key| value(key)?.parse().map_err(|_| BadStamp(key));
        let head = match value(KEY_HEAD)? {
            "exclusive" => Head::Exclusive,
            "independent" => Head::Independent,
            _ => return Err(BadStamp(KEY_HEAD)),
        };
        let weights = u64::from_str_radix(value(KEY_WEIGHTS)?, 16);
        let labels = pairs.get(KEY_LABELS).copied().unwrap_or_default();
        let is_name = |label: &str| label.parse::<ComponentId>().is_ok();
        if !labels.is_empty() && !labels.split('\n').all(is_name) {
            return Err(BadStamp(KEY_LABELS));
        }
        Ok(Some(Self {
            snapshot: number(KEY_SNAPSHOT)?,
            weights: WeightsId(weights.map_err(|_| BadStamp(KEY_WEIGHTS))?),
            features: number(KEY_FEATURES)?.try_into().map_err(|_| BadStamp(KEY_FEATURES))?,
            head,
            labels: labels.to_owned(),
        }))
    }
}

/// A key of the metadata without a value of its form.
#[derive(Debug)]
pub(crate) struct BadStamp(&'static str);

impl fmt::Display for BadStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its metadata `{}` is missing or not of this form", self.0)
    }
}
