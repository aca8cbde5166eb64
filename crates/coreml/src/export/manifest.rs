//! The table of contents of a package.
//!
//! Identifiers follow from the contents, so that the same model has the same table.

/// The table of a package with this model and these weights.
pub(super) fn build(model: &[u8], weights: &[u8]) -> String {
    let root = identifier("model", &[model, weights]);
    let model = (root.clone(), "model.mlmodel", "CoreML Model Specification");
    let mut items = [model, (identifier("weights", &[weights]), "weights", "CoreML Model Weights")];
    items.sort();
    let entries = items.map(|(identifier, name, description)| {
        format!(
            "        \"{identifier}\": {{\n            \"author\": \"com.apple.CoreML\",\n            \
             \"description\": \"{description}\",\n            \"name\": \"{name}\",\n            \
             \"path\": \"com.apple.CoreML/{name}\"\n        }}"
        )
    });
    format!(
        "{{\n    \"fileFormatVersion\": \"1.0.0\",\n    \"itemInfoEntries\": {{\n{}\n    }},\n    \
         \"rootModelIdentifier\": \"{root}\"\n}}\n",
        entries.join(",\n")
    )
}

/// A UUID of version 8, from a hash of a name and contents.
fn identifier(name: &str, contents: &[&[u8]]) -> String {
    let all = || std::iter::once(name.as_bytes()).chain(contents.iter().copied()).flatten();
    let high = fnv(all().copied(), 0);
    let low = fnv(all().copied(), high);
    let high = high & !0xf000 | 0x8000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// FNV-1a, started apart by a seed.
fn fnv(bytes: impl Iterator<Item = u8>, seed: u64) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325 ^ seed, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
