//! Figures of the sections of a status, as people read them.

use std::time::Duration;

use majordomo::ByteSize;
use majordomo_server::wire::Figure;
use serde_json::Value;

use crate::print;

/// A figure as people read it.
pub(crate) fn figure(f: &Figure) -> String {
    match (&f.value, f.unit.as_deref()) {
        (Value::Number(n), Some("bytes")) => ByteSize(n.as_u64().unwrap_or(0)).to_string(),
        (Value::Number(n), Some("ms")) => {
            print::time(Duration::from_secs_f64(n.as_f64().unwrap_or(0.0).max(0.0) / 1e3))
        }
        (Value::Number(n), _) if n.is_f64() => format!("{:.3}", n.as_f64().unwrap_or(0.0)),
        (Value::Bool(true), _) => "yes".to_owned(),
        (Value::Bool(false), _) => "no".to_owned(),
        (Value::String(text), _) => text.clone(),
        (other, _) => other.to_string(),
    }
}
