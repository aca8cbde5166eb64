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
    let stamp = Stamp::new(&weights, snapshot.output_names());
    Ok(Exported::new(&weights, &stamp, settings)?)
}
