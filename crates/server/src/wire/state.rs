//! The learned store, which survives restarts.
#![expect(missing_docs, reason = "members that say all by their names have no comment")]

use majordomo::{ByteSize, ComponentId};
use serde::{Deserialize, Serialize};

use super::ms;

/// `GET /v1/state`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// Figures that were measured of components.
    pub figures: Vec<Figures>,
    /// Everything, as it is stored.
    pub values: Vec<StoredValue>,
    /// Which components were used when, in lines that `majordomo replay` reads.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub usage: String,
    /// The problem of the state directory, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Figures of a component with one configuration on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub component: ComponentId,
    /// A hash of its loader and version, in hexadecimal.
    pub config: String,
    /// A hash of the machine's id, in hexadecimal.
    pub host: String,
    /// The larger of the two peaks that follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<ByteSize>,
    /// The bytes that the peak of its next load is expected to need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_peak: Option<ByteSize>,
    /// The bytes that the peak of its use is expected to need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_peak: Option<ByteSize>,
    /// How long it takes to load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_time_ms: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredValue {
    /// Whose it is.
    pub namespace: String,
    pub key: String,
    /// Its bytes, in hexadecimal.
    pub value: String,
}

/// `POST /v1/state/forget`: one of the two, so that a slip does not forget everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Forget {
    /// The component whose figures are forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// Everything that was learned is forgotten.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// How much was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Values that the state directory had of it.
    pub forgotten: usize,
}

impl From<&majordomo::Remembered> for Remembered {
    fn from(r: &majordomo::Remembered) -> Self {
        let figures = r.figures.iter().map(|f| Figures {
            component: f.component.clone(),
            config: format!("{:016x}", f.config),
            host: format!("{:016x}", f.host),
            peak: f.load_peak.max(f.working_peak),
            load_peak: f.load_peak,
            working_peak: f.working_peak,
            load_time_ms: f.load_time.map(ms),
        });
        let values = r.values.iter().map(|v| StoredValue {
            namespace: v.namespace.clone(),
            key: v.key.clone(),
            value: hex(&v.value),
        });
        let usage = r.values.iter().filter(|v| v.namespace == "usage");
        Self {
            figures: figures.collect(),
            values: values.collect(),
            usage: majordomo::usage_trace(usage.map(|v| v.value.as_slice())),
            problem: r.problem.clone(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from(b"0123456789abcdef"[usize::from(n)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_in_hexadecimal() {
        assert_eq!(hex(&[0, 0x9f, 0xff]), "009fff");
    }
}
