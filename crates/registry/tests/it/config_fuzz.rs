//! Arbitrary and mutilated files: never a panic, and every place lies inside the file.

use majordomo_registry::{LoadedConfig, Problems, parse_legacy_json, parse_toml, reference};
use proptest::prelude::*;

const LEGACY: &str = r#"{"voice": {"priority": "CORE", "estimated_memory_mb": 100, "intent_keywords":
["speak", "a\u00e9"], "dependencies": []}, "wake": {"priority": "HIGH", "dependencies": ["voice"],
"conflicts": ["x"], "lazy_init": false, "estimated_load_time_ms": 1e3}}"#;

fn example() -> String {
    let text = reference();
    text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

fn sound(text: &str, result: &Result<LoadedConfig, Problems>) -> Result<(), TestCaseError> {
    let problems = match result {
        Ok(loaded) => {
            prop_assert!(loaded.catalog(None).is_ok());
            loaded.warnings.as_slice()
        }
        Err(problems) => {
            prop_assert!(problems.errors() > 0);
            problems.as_slice()
        }
    };
    let lines: Vec<&str> = text.split('\n').collect();
    for problem in problems {
        prop_assert!(!problem.message.is_empty());
        if let Some(at) = problem.at {
            let line = lines.get(at.line as usize - 1);
            prop_assert!(line.is_some(), "{problem}");
            let width = line.map_or(0, |l| l.chars().count());
            prop_assert!((1..=width + 1).contains(&(at.column as usize)), "{problem}");
        }
    }
    Ok(())
}

fn both(text: &str) -> Result<(), TestCaseError> {
    sound(text, &parse_toml(text, "c.toml", None))?;
    sound(text, &parse_legacy_json(text, "c.json", None))
}

/// Cuts, doubles and replaces pieces of a text.
fn mutilate(text: &str, cuts: &[(prop::sample::Index, usize, String)]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for (at, length, with) in cuts {
        let at = at.index(bytes.len() + 1);
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, with.bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Pieces that mean something to one of the parsers.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        "\n",
        "=",
        ",",
        ":",
        ".",
        "-1",
        "nan",
        "null",
        "true",
        "é",
        "\u{feff}",
        "\"\"\"",
        "\\u",
        "[components.",
        "dependencies = [\"",
        "{port",
        "99999999999999999999",
        "1e999",
        "\"llm\"",
        "#",
        "//",
        "\0",
        "\r",
    ];
    prop_oneof![
        4 => prop::sample::select(words.to_vec()).prop_map(String::from),
        1 => any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        both(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn arbitrary_pieces(pieces in prop::collection::vec(piece(), 0..40)) {
        both(&pieces.concat())?;
    }

    #[test]
    fn mutilated_files(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..20, piece()), 1..6),
    ) {
        both(&mutilate(&example(), &cuts))?;
        both(&mutilate(LEGACY, &cuts))?;
    }
}
