//! The learned model as bytes: mark, version, checksum, names of the components, state.
//!
//! Stores names instead of keys, since keys differ between processes. Reading never panics and returns
//! either a model with consistent tables or an error.

use majordomo_core::{ComponentId, ComponentKey};

use super::SequenceModel;

const MARK: &[u8; 4] = b"MJSQ";
const VERSION: u32 = 1;
const HEADER: usize = 12;

/// Why bytes cannot be read as a sequence model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum SequenceStateError {
    /// Another kind of data.
    #[error("these bytes are not a learned sequence model (they do not start with its mark)")]
    Foreign,
    /// Written by another version of the format.
    #[error(
        "the learned sequence model has format {found}, this build reads {want}; start fresh or use the other build"
    )]
    Format { found: u32, want: u32 },
    /// Truncated or altered.
    #[error("the learned sequence model is damaged: {what}; start fresh")]
    Damaged { what: &'static str },
}

impl SequenceModel {
    /// The learned state as bytes. `name` returns the name of a key; components without a name are written as
    /// unknown, and retired when read.
    #[must_use]
    pub fn encode(&self, name: impl Fn(ComponentKey) -> Option<ComponentId>) -> Vec<u8> {
        let names: Vec<String> = self
            .keys
            .iter()
            .map(|key| key.and_then(&name).map_or_else(String::new, |id| id.as_str().to_owned()))
            .collect();
        let body = postcard::to_stdvec(&(names, self)).expect("plain data always encodes");
        let mut bytes = Vec::with_capacity(HEADER + body.len());
        bytes.extend_from_slice(MARK);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// Reads the bytes of [`encode`](Self::encode). `key` returns the key of a name in this process; components
    /// without a key are kept as retired, and never predicted.
    ///
    /// # Errors
    /// When the bytes are of another kind or version, or damaged.
    pub fn decode(
        bytes: &[u8],
        key: impl Fn(&str) -> Option<ComponentKey>,
    ) -> Result<Self, SequenceStateError> {
        let damaged = |what| SequenceStateError::Damaged { what };
        if bytes.get(..4) != Some(MARK) {
            return Err(SequenceStateError::Foreign);
        }
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
            bytes.map(u32::from_le_bytes).ok_or(damaged("it ends too early"))
        };
        let (found, sum) = (word(4)?, word(8)?);
        if found != VERSION {
            return Err(SequenceStateError::Format { found, want: VERSION });
        }
        let body = &bytes[HEADER..];
        if crc32fast::hash(body) != sum {
            return Err(damaged("its checksum does not match"));
        }
        let ((names, mut model), rest) = postcard::take_from_bytes::<(Vec<String>, Self)>(body)
            .map_err(|_| damaged("it cannot be read"))?;
        if !rest.is_empty() {
            return Err(damaged("it has bytes after its end"));
        }
        let shares = [model.novelty.0, model.set_size.0];
        if !model.experts.is_sound(names.len())
            || !model.mixture.is_sound()
            || !model.reuse.is_sound()
            || !shares.iter().all(|x| x.is_finite() && *x >= 0.0)
        {
            return Err(damaged("its tables are not consistent"));
        }
        for (local, name) in names.iter().enumerate() {
            let key = key(name).filter(|_| !name.is_empty());
            if let Some(key) = key {
                if model.locals.len() <= key.index() {
                    model.locals.resize(key.index() + 1, None);
                }
                if model.locals[key.index()].replace(local as u32).is_some() {
                    return Err(damaged("two components have one name"));
                }
            }
            model.keys.push(key);
            model.retired.push(key.is_none());
        }
        if !model.keys.is_empty() {
            model.predict();
        }
        Ok(model)
    }
}
