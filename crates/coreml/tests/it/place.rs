//! Models on disk: whole or not there, and never in the place of something else.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use majordomo_coreml::{ExportSettings, Format, ModelFile, Precision, WriteError};

use super::support::{export, kinds, weights};

/// A new folder, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("majordomo-coreml-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn path_of(dir: &Dir, settings: ExportSettings) -> PathBuf {
    dir.0.join(match settings.format {
        Format::MlPackage => "a.mlpackage",
        Format::MlModel => "a.mlmodel",
    })
}

#[test]
fn model_is_written_complete_and_read_back() {
    for settings in kinds() {
        let dir = Dir::new("written");
        let path = path_of(&dir, settings);
        let exported = export(&weights(96, 12), settings);
        exported.write(&path, false).unwrap();
        assert_eq!(dir.names().len(), 1);
        for (below, bytes) in exported.files() {
            let file = if below.is_empty() { path.clone() } else { path.join(below) };
            assert_eq!(fs::read(&file).unwrap(), *bytes);
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let read = ModelFile::open(&path).unwrap();
        let n_model: usize = exported
            .files()
            .iter()
            .skip(usize::from(read.format() == Format::MlPackage))
            .map(|(_, bytes)| bytes.len())
            .sum();
        assert_eq!(read.n_bytes(), n_model as u64);
    }
}

#[test]
fn existing_model_is_replaced_only_on_request() {
    for settings in kinds() {
        let dir = Dir::new("replaced");
        let path = path_of(&dir, settings);
        export(&weights(96, 12), settings).write(&path, false).unwrap();
        let other = export(&weights(96, 5), settings);
        let error = other.write(&path, false).unwrap_err();
        assert!(matches!(error, WriteError::Exists(_)), "{error}");
        assert_eq!(ModelFile::open(&path).unwrap().n_outputs(), 12);
        other.write(&path, true).unwrap();
        assert_eq!(ModelFile::open(&path).unwrap().n_outputs(), 5);
        assert_eq!(dir.names().len(), 1);
    }
}

#[test]
fn other_things_are_never_replaced() {
    let dir = Dir::new("other");
    let [package, _, network] = kinds().map(|settings| export(&weights(4, 3), settings));
    let path = dir.0.join("a.mlpackage");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("thesis.txt"), "years of work").unwrap();
    let error = package.write(&path, true).unwrap_err();
    assert!(matches!(error, WriteError::Other(_)), "{error}");
    assert!(path.join("thesis.txt").exists());

    let path = dir.0.join("a.mlmodel");
    symlink(dir.0.join("elsewhere"), &path).unwrap();
    assert!(matches!(network.write(&path, true).unwrap_err(), WriteError::Other(_)));
    assert!(matches!(network.write(&path, false).unwrap_err(), WriteError::Exists(_)));

    let error = package.write(&dir.0.join("a.zip"), false).unwrap_err();
    assert!(error.to_string().contains(".mlpackage"), "{error}");
    assert!(package.write(&dir.0.join("none/a.mlpackage"), false).is_err());
    assert_eq!(dir.names(), ["a.mlmodel", "a.mlpackage"]);
}

#[test]
fn foreign_folders_and_broken_packages_are_named() {
    let dir = Dir::new("broken");
    let error = |path: &Path| ModelFile::open(path).unwrap_err().to_string();
    assert!(error(&dir.0.join("none")).contains("cannot be read"));
    assert!(error(&dir.0).contains("Manifest.json"));
    let path = dir.0.join("a.mlpackage");
    let settings = ExportSettings { precision: Precision::Half, ..ExportSettings::default() };
    export(&weights(96, 12), settings).write(&path, false).unwrap();
    let manifest = path.join("Manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    for (from, to, expected) in [
        ("1.0.0", "2.0.0", "its version is \"2.0.0\""),
        ("CoreML/model.mlmodel", "CoreML/../../model", "its model is"),
        ("rootModelIdentifier", "root", "missing field"),
        ("{", "", "Manifest.json"),
    ] {
        fs::write(&manifest, text.replacen(from, to, 1)).unwrap();
        assert!(error(&path).contains(expected), "{}", error(&path));
    }
    let root: serde_json::Value = serde_json::from_str(&text).unwrap();
    let root = root["rootModelIdentifier"].as_str().unwrap();
    fs::write(&manifest, text.replacen(&format!("\"{root}\": {{"), "\"other\": {", 1)).unwrap();
    assert!(error(&path).contains("no item for its model"), "{}", error(&path));
    fs::write(&manifest, &text).unwrap();
    fs::remove_file(path.join("Data/com.apple.CoreML/weights/weight.bin")).unwrap();
    assert!(error(&path).contains("there is no file of weights"), "{}", error(&path));
    fs::remove_file(path.join("Data/com.apple.CoreML/model.mlmodel")).unwrap();
    fs::create_dir(path.join("Data/com.apple.CoreML/model.mlmodel")).unwrap();
    assert!(error(&path).contains("this is no file"), "{}", error(&path));
}
