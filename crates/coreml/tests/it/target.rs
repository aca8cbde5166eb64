//! The targets of mutation tests and of the fuzz crate (`fuzz/`, which includes this file): bytes in, nothing out.

use majordomo_coreml::ModelFile;

/// Reads the model and the weights of a package and evaluates a row. The first four bytes are the length of the model; the
/// file of weights follows it, where there is one. Whatever the bytes are, there is no panic.
#[allow(dead_code, reason = "one fuzz target has no weights")]
pub(crate) fn target(data: &[u8]) -> bool {
    let Some((length, rest)) = data.split_first_chunk::<4>() else { return false };
    let length = u32::from_le_bytes(*length) as usize;
    match rest.split_at_checked(length) {
        Some((model, weights)) => read_and_evaluate(model, Some(weights)),
        None => read_and_evaluate(rest, None),
    }
}

/// Reads a model and evaluates a row of it.
pub(crate) fn read_and_evaluate(model: &[u8], weights: Option<&[u8]>) -> bool {
    let Ok(read) = ModelFile::from_bytes(model, weights) else { return false };
    let units = vec![0.5; read.n_hidden()];
    let mut scores = vec![0.0; read.n_outputs()];
    read.evaluate(&units, &mut scores).is_ok()
}
