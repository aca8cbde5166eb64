//! Where the parts of a model are: one file, or a package with a table of contents.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use majordomo_core::quoted_start;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{ReadError, fault};
use crate::layout::{MANIFEST_PATH, MAX_FILE, MODEL_PATH, WEIGHTS_PATH};

/// The most bytes of a table of contents. Errors in it quote it.
const MAX_MANIFEST: u64 = 64 << 10;

/// The table of contents; the entries are read one at a time.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    file_format_version: &'a str,
    #[serde(borrow)]
    item_info_entries: &'a RawValue,
    root_model_identifier: &'a str,
}

/// An item of a package.
#[derive(Deserialize)]
struct Item<'a> {
    path: &'a str,
}

/// The bytes of a model, and of its file of weights where it has one.
pub(super) fn load(path: &Path) -> Result<(Vec<u8>, Option<Vec<u8>>), ReadError> {
    let found = std::fs::metadata(path).map_err(|error| io(path, error))?;
    if !found.is_dir() {
        return Ok((read(path, MAX_FILE)?, None));
    }
    check_manifest(&read(&path.join(MANIFEST_PATH), MAX_MANIFEST)?)?;
    let model = read(&path.join(MODEL_PATH), MAX_FILE)?;
    // A program may have all its numbers in the model.
    let weights = match read(&path.join(WEIGHTS_PATH), MAX_FILE) {
        Ok(bytes) => Some(bytes),
        Err(ReadError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    Ok((model, weights))
}

/// Checks that the table's model is the one that is read.
fn check_manifest(text: &[u8]) -> Result<(), ReadError> {
    let manifest: Manifest<'_> =
        serde_json::from_slice(text).or_else(|error| unreadable(&error))?;
    if manifest.file_format_version != "1.0.0" {
        let version = quoted_start(manifest.file_format_version);
        return fault(MANIFEST_PATH, format_args!("its version is {version}, not 1.0.0"));
    }
    let path = entry(manifest.item_info_entries.get(), manifest.root_model_identifier)?;
    let expected = MODEL_PATH.strip_prefix("Data/").unwrap_or(MODEL_PATH);
    if path != expected {
        return fault(
            MANIFEST_PATH,
            format_args!("its model is {}, not {expected}", quoted_start(path)),
        );
    }
    Ok(())
}

/// The path of an item, by its identifier.
fn entry<'a>(entries: &'a str, identifier: &str) -> Result<&'a str, ReadError> {
    struct Visitor<'i>(&'i str);
    impl<'de> serde::de::Visitor<'de> for Visitor<'_> {
        type Value = Option<&'de str>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("items by identifier")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(
            self,
            mut map: A,
        ) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(key) = map.next_key::<&str>()? {
                if key == self.0 {
                    found = Some(map.next_value::<Item<'de>>()?.path);
                } else {
                    map.next_value::<serde::de::IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    let mut json = serde_json::Deserializer::from_str(entries);
    match serde::Deserializer::deserialize_map(&mut json, Visitor(identifier)) {
        Ok(Some(path)) => Ok(path),
        Ok(None) => fault(MANIFEST_PATH, "it has no item for its model"),
        Err(error) => unreadable(&error),
    }
}

/// The table is no such JSON. The error quotes it, and is cut.
fn unreadable<T>(error: &serde_json::Error) -> Result<T, ReadError> {
    fault(MANIFEST_PATH, quoted_start(&error.to_string()))
}

/// The bytes of a file of at most so many.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, ReadError> {
    let found = std::fs::metadata(path).map_err(|error| io(path, error))?;
    // A pipe would be waited for.
    if !found.is_file() {
        return fault(path.display(), "this is no file");
    }
    if found.len() > most {
        return fault(path.display(), format_args!("it has more than {most} bytes"));
    }
    let mut file = File::open(path).map_err(|error| io(path, error))?;
    let mut bytes = Vec::with_capacity(found.len() as usize);
    // A file that grows meanwhile is cut; what is missing is a fault of its content.
    let mut bounded = (&mut file).take(found.len());
    bounded.read_to_end(&mut bytes).map_err(|error| io(path, error))?;
    Ok(bytes)
}

fn io(path: &Path, error: std::io::Error) -> ReadError {
    ReadError::Io { path: path.to_owned(), error }
}
