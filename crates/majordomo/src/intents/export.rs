//! The learned text model as a Core ML file.

use majordomo_coreml::{ExportError, ExportSettings, Exported, Stamp};
use majordomo_predictor::TextSnapshot;

/// Why the text model is not exported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntentExportError {
    /// Keywords answer alone so far.
    #[error(
        "there is no trained model to export yet: keywords answer alone until enough outcomes were learned"
    )]
    NoModel,
    /// It cannot be exported as asked.
    #[error(transparent)]
    Settings(#[from] ExportError),
}

/// The dense layers of a snapshot, with the names of its components.
pub(crate) fn export(
    snapshot: &TextSnapshot,
    settings: ExportSettings,
) -> Result<Exported, IntentExportError> {
    let weights = snapshot.dense().ok_or(IntentExportError::NoModel)?;
    let names = snapshot.output_names();
    let (n_labels, n_outputs) = (names.len(), weights.n_outputs());
    // A file without names is one of a prior; one of a model without them would be of no use to its reader.
    if n_labels + 1 != n_outputs {
        return Err(ExportError::Labels { n_labels, n_outputs }.into());
    }
    let stamp = Stamp::new(&weights, names);
    Ok(Exported::new(&weights, &stamp, settings)?)
}
