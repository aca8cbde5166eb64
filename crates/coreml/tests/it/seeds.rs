//! The first inputs of the fuzz targets: small files as the exporter writes them.
//!
//! They are in `fuzz/seeds`. After a change of the exporter they are written again with `MAJORDOMO_BLESS=1`.

use std::path::{Path, PathBuf};

use majordomo_coreml::Format;

use super::support::{export, kinds, parts, weights};
use super::target::{read_and_evaluate, target};

/// Path below the folder of seeds, and contents.
fn seeds() -> Vec<(PathBuf, Vec<u8>)> {
    let of = |(n_hidden, n_outputs)| {
        kinds().map(|settings| {
            let exported = export(&weights(n_hidden, n_outputs), settings);
            let (model, blobs) = parts(&exported);
            let (folder, bytes) = match settings.format {
                Format::MlModel => ("mlmodel", model.to_vec()),
                Format::MlPackage => ("mlpackage", data(model, blobs)),
            };
            let precision = format!("{:?}", settings.precision).to_lowercase();
            let name = format!("{n_hidden}-{n_outputs}-{precision}-{}", settings.batch);
            (Path::new(folder).join(name), bytes)
        })
    };
    [(3, 2), (12, 11)].into_iter().flat_map(of).collect()
}

/// Bytes for the target of packages.
pub(crate) fn data(model: &[u8], weights: Option<&[u8]>) -> Vec<u8> {
    let length = if weights.is_some() { model.len() as u32 } else { u32::MAX };
    [&length.to_le_bytes()[..], model, weights.unwrap_or_default()].concat()
}

#[test]
fn seeds_are_what_the_exporter_writes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let is_blessed = std::env::var_os("MAJORDOMO_BLESS").is_some_and(|value| value == "1");
    for (path, bytes) in seeds() {
        let place = folder.join(&path);
        if is_blessed {
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(&place, &bytes).unwrap();
        }
        let found = std::fs::read(&place).unwrap_or_default();
        assert!(found == bytes, "{} is another; write it with MAJORDOMO_BLESS=1", path.display());
        let read = match path.starts_with("mlmodel") {
            true => read_and_evaluate(&bytes, None),
            false => target(&bytes),
        };
        assert!(read, "{} is read and evaluated", path.display());
    }
}
