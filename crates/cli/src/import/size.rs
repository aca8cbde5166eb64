//! The memory of a model, as far as its files or its name state it.
//!
//! An estimate for the first load only: what a program really holds in main memory is measured then and booked from
//! there on. The memory of a graphics card is not measured, so the estimate stays until the operator states it.

use std::path::Path;

/// A model's memory before its first load.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Size {
    Known {
        bytes: u64,
        /// Where the figure comes from, for people.
        how: String,
    },
    Unknown,
}

impl Size {
    pub(super) const fn bytes(&self) -> Option<u64> {
        match self {
            Self::Known { bytes, .. } => Some(*bytes),
            Self::Unknown => None,
        }
    }
}

/// Options whose value is a file that the program keeps in memory.
const FILES: [&str; 14] = [
    "-m",
    "--model",
    "--mmproj",
    "-mm",
    "-md",
    "--model-draft",
    "--diffusion-model",
    "--vae",
    "--clip_l",
    "--clip_g",
    "--t5xxl",
    "--llm",
    "--hf-file",
    "-hff",
];

/// Estimates a model's memory: the size of its files where they exist, else the parameters and the quantisation in the name of
/// its file, its repository or itself. A tenth is added for what a program keeps besides.
pub(super) fn estimate(id: &str, words: &[String], folder: &Path) -> Size {
    let values = |names: &[&str]| {
        let mut found = Vec::new();
        for (i, word) in words.iter().enumerate() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), words.get(i + 1).map(String::as_str)),
            };
            if let Some(value) = value.filter(|_| names.contains(&name)) {
                found.push(value.to_owned());
            }
        }
        found
    };
    let files: Vec<u64> =
        values(&FILES).iter().filter_map(|file| bytes_of(&folder.join(file))).collect();
    if !files.is_empty() {
        let bytes = files.iter().copied().fold(0, u64::saturating_add);
        let how = format!("the size of its {} and a tenth", majordomo::count(files.len(), "file"));
        return Size::Known { bytes: bytes.saturating_add(bytes / 10), how };
    }
    let repositories = ["-hf", "-hfr", "--hf-repo"];
    let mut names = values(&["-m", "--model", "--hf-file", "-hff", "--diffusion-model"]);
    names.extend(values(&repositories));
    if words.iter().any(|word| word == "serve") {
        // vllm serve MODEL
        names.extend(words.iter().filter(|word| word.contains('/')).cloned());
    }
    names.push(id.to_owned());
    for name in names {
        let name = name.rsplit('/').next().unwrap_or(&name).to_owned();
        if let Some((bytes, how)) = by_name(&name) {
            return Size::Known { bytes: bytes + bytes / 10, how };
        }
    }
    Size::Unknown
}

/// The size of a file, of all parts of a split one, or of the weights in a folder.
fn bytes_of(path: &Path) -> Option<u64> {
    let metadata = std::fs::metadata(path).ok()?;
    if metadata.is_dir() {
        let is_weights = |path: &Path| {
            path.extension().is_some_and(|e| ["safetensors", "gguf", "bin"].iter().any(|w| e == *w))
        };
        return sum_of(path, &|path| is_weights(path));
    }
    let name = path.file_name()?.to_str()?;
    // `NAME-00001-of-00003.gguf`
    match name.rsplit_once("-of-").and_then(|(start, _)| start.get(..start.len().checked_sub(5)?)) {
        Some(start) if name.ends_with(".gguf") => {
            let is_part = |path: &Path| {
                path.file_name()
                    .and_then(|n| n.to_str())
                    .is_some_and(|n| n.starts_with(start) && n.ends_with(".gguf"))
            };
            sum_of(path.parent()?, &is_part)
        }
        _ => Some(metadata.len()).filter(|n| *n > 0),
    }
}

fn sum_of(folder: &Path, counts: &dyn Fn(&Path) -> bool) -> Option<u64> {
    const MAX_FILES: usize = 1000;
    let mut sum = 0u64;
    for entry in std::fs::read_dir(folder).ok()?.take(MAX_FILES) {
        let entry = entry.ok()?;
        if counts(&entry.path()) {
            sum = sum.saturating_add(std::fs::metadata(entry.path()).map_or(0, |m| m.len()));
        }
    }
    (sum > 0).then_some(sum)
}

/// Bits of each weight by the name of a quantisation: averages over the tensors of published models.
const BITS: [(&str, f64); 32] = [
    ("iq1", 1.8),
    ("iq2", 2.6),
    ("q2_k", 3.2),
    ("iq3", 3.5),
    ("q3_k", 3.9),
    ("iq4", 4.4),
    ("q4_k", 4.9),
    ("q4_0", 4.6),
    ("q4_1", 5.0),
    ("q4", 4.9),
    ("q5_k", 5.7),
    ("q5_0", 5.6),
    ("q5_1", 6.0),
    ("q5", 5.7),
    ("q6_k", 6.6),
    ("q6", 6.6),
    ("q8_0", 8.5),
    ("q8_k", 8.6),
    ("q8", 8.5),
    ("q3", 3.9),
    ("q2", 3.2),
    ("mxfp4", 4.4),
    ("nvfp4", 4.6),
    ("bf16", 16.0),
    ("fp16", 16.0),
    ("f16", 16.0),
    ("fp8", 8.3),
    ("awq", 4.6),
    ("gptq", 4.6),
    ("int4", 4.6),
    ("int8", 8.3),
    ("4bit", 4.6),
];

fn by_name(name: &str) -> Option<(u64, String)> {
    let lower = name.to_ascii_lowercase();
    let (quantisation, bits) = BITS.iter().find(|(q, _)| has_word(&lower, q))?;
    let billions = parameters(&lower)?;
    let bytes = billions * 1e9 * bits / 8.0;
    Some((bytes as u64, format!("by its name: {billions} billion parameters, {quantisation}")))
}

/// Whether a text has a part that begins a word.
fn has_word(text: &str, part: &str) -> bool {
    text.match_indices(part)
        .any(|(at, _)| at == 0 || !text.as_bytes()[at - 1].is_ascii_alphanumeric())
}

/// Parameters in billions: the largest of `7b`, `0.5b`, `8x7b`, `270m` among the words of a name. The active parameters of a
/// mixture (`30b-a3b`) are fewer than all.
fn parameters(lower: &str) -> Option<f64> {
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    let number = |word: &str| {
        let (digits, scale) = match word.strip_suffix('b') {
            Some(digits) => (digits, 1.0),
            None => (word.strip_suffix('m')?, 1e-3),
        };
        let product = digits.split('x').map(|part| {
            part.parse::<f64>()
                .ok()
                .filter(|_| part.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
        });
        let product: Option<f64> = product.product();
        product.map(|n| n * scale).filter(|n| (0.001..5000.0).contains(n))
    };
    words.filter_map(number).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, gib: Option<f64>) {
        let found = by_name(name).map(|(bytes, _)| bytes as f64 / f64::from(1 << 30));
        match (found, gib) {
            (Some(found), Some(gib)) => {
                assert!((found - gib).abs() < gib * 0.15, "{name}: {found}");
            }
            (found, gib) => assert_eq!(found.is_some(), gib.is_some(), "{name}: {found:?}"),
        }
    }

    #[test]
    fn names_say_parameters_and_quantisation() {
        // Sizes of published files.
        check("Qwen2.5-7B-Instruct-Q4_K_M.gguf", Some(4.36));
        check("Meta-Llama-3.1-70B-Instruct-IQ4_XS.gguf", Some(35.3));
        check("Qwen3-30B-A3B-Q8_0.gguf", Some(30.25));
        check("gemma-3-270m-it-F16.gguf", Some(0.50));
        check("Qwen3-Coder-30B-A3B-Instruct-AWQ", Some(16.0));
        check("gpt-oss-120b", None);
        check("model.gguf", None);
        check("Q4_K_M", None);
    }

    #[test]
    fn files_come_before_names() {
        let folder = std::env::temp_dir().join(format!("majordomo-size-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for part in ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"] {
            std::fs::write(folder.join(part), vec![0; 100]).unwrap();
        }
        let words: Vec<String> =
            ["s", "--model", "m-00001-of-00002.gguf"].iter().map(|w| (*w).to_owned()).collect();
        assert_eq!(estimate("7B-Q8_0", &words, &folder).bytes(), Some(220));
        assert!(
            matches!(estimate("7B-Q8_0", &words[..1], &folder), Size::Known { bytes, .. } if bytes > 7 << 30)
        );
        assert_eq!(estimate("x", &words[..1], &folder), Size::Unknown);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
