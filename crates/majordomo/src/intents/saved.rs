//! The learned predictor in the state store: one value in a namespace of its own.
//!
//! The predictor's bytes carry format, feature version and checksum. Invariant: bytes that cannot be used are
//! moved to another key, and overwritten only by the next that cannot.

use majordomo_core::{StateStore, StoreError, StoreOp};
use majordomo_predictor::{PredictorConfig, TextPredictor};

const NAMESPACE: &str = "intents";
const STATE: &str = "state";
const SET_ASIDE: &str = "set-aside";

fn put(key: &str, value: Vec<u8>) -> StoreOp {
    StoreOp::Put { namespace: NAMESPACE.to_owned(), key: key.to_owned(), value }
}

fn delete(key: &str) -> StoreOp {
    StoreOp::Delete { namespace: NAMESPACE.to_owned(), key: key.to_owned() }
}

/// The stored predictor, or an empty one.
pub(super) fn read(store: &dyn StateStore, config: &dyn Fn() -> PredictorConfig) -> TextPredictor {
    let bytes = match store.get(NAMESPACE, STATE) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return TextPredictor::new(config()),
        Err(error) => {
            tracing::warn!(%error, "what was learned from texts cannot be read; learning starts fresh");
            return TextPredictor::new(config());
        }
    };
    match TextPredictor::decode(config(), &bytes) {
        Ok(predictor) => predictor,
        Err(error) => {
            tracing::warn!(
                %error,
                "what was learned from texts cannot be used; it was kept as {NAMESPACE}/{SET_ASIDE} in the state \
                 and learning starts fresh"
            );
            if let Err(error) = store.apply(&[put(SET_ASIDE, bytes), delete(STATE)]) {
                tracing::warn!(%error, "it could not be set aside");
            }
            TextPredictor::new(config())
        }
    }
}

pub(super) fn write(store: &dyn StateStore, predictor: &TextPredictor) -> Result<(), StoreError> {
    store.apply(&[put(STATE, predictor.encode())])
}

/// Writes the predictor and erases everything written before: the value that was set aside, which may hold any text,
/// and free pages.
pub(super) fn write_without_trace(
    store: &dyn StateStore,
    predictor: &TextPredictor,
) -> Result<(), StoreError> {
    store.apply(&[put(STATE, predictor.encode()), delete(SET_ASIDE)])?;
    store.scrub()
}
