//! Answers as bytes of JSON.

use crate::problem::Problem;

/// The bytes of an answer.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(value)
        .map_err(|e| Problem::new("internal", format!("the answer cannot be written: {e}")))
}
