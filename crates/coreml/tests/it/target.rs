//! The target of mutation tests, in the form that cargo-fuzz takes: bytes in, nothing out.
//!
//! A fuzz crate would include this file by its path and call [`target`]; there is none yet. The first four bytes are the length of the model;
//! the file of weights follows it, where there is one.

use majordomo_coreml::ModelFile;

/// Reads a model and evaluates a row of it. Whatever the bytes are, there is no panic.
pub(crate) fn target(data: &[u8]) -> bool {
    let Some((length, rest)) = data.split_first_chunk::<4>() else { return false };
    let length = u32::from_le_bytes(*length) as usize;
    let (model, weights) = match rest.split_at_checked(length) {
        Some((model, weights)) => (model, Some(weights)),
        None => (rest, None),
    };
    let Ok(read) = ModelFile::from_bytes(model, weights) else { return false };
    let units = vec![0.5; read.n_hidden()];
    let mut scores = vec![0.0; read.n_outputs()];
    read.evaluate(&units, &mut scores).is_ok()
}

/// Bytes for [`target`].
pub(crate) fn data(model: &[u8], weights: Option<&[u8]>) -> Vec<u8> {
    let length = if weights.is_some() { model.len() as u32 } else { u32::MAX };
    [&length.to_le_bytes()[..], model, weights.unwrap_or_default()].concat()
}
