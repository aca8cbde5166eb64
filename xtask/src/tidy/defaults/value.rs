//! Values in code as people write them: `Duration::from_secs(300)` is 5 min.

use super::source::Source;

/// The value in words, if it is of a form that is known here.
pub(super) fn in_words(code: &str, kind: &str, source: &Source<'_>) -> Option<String> {
    if let Some(variant) = source.variants.get(kind)
        && (code == format!("{kind}::default()") || code == "Default::default()")
    {
        return Some(spaced(variant));
    }
    if matches!(code, "true" | "false") {
        return Some(code.to_owned());
    }
    if code == "None" {
        return Some("none".to_owned());
    }
    if let Some(inner) = code.strip_prefix("Some(").and_then(|code| code.strip_suffix(')')) {
        let kind =
            kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>')).unwrap_or(kind);
        return in_words(inner, kind, source);
    }
    if let Some(number) = number(code) {
        return Some(number);
    }
    let Some((function, arguments)) = code.split_once('(') else {
        // `PressureLevel::High`, or a variant of any other enum.
        return code.rsplit_once("::").map(|(_, variant)| spaced(variant));
    };
    let number = number(arguments.strip_suffix(')')?)?;
    match function {
        "Duration::from_secs" => Some(duration(number.parse().ok()?)),
        "Duration::from_millis" => Some(format!("{number} ms")),
        "Duration::from_micros" => Some(format!("{number} µs")),
        "ByteSize::from_mib" | "ByteSize::mib" => Some(format!("{number} MiB")),
        "ByteSize::from_gib" | "ByteSize::gib" => Some(format!("{number} GiB")),
        "ByteSize::from_kib" | "ByteSize::kib" => Some(format!("{number} KiB")),
        "Confidence::saturating" => Some(number),
        _ if function.ends_with("::Share") => {
            Some(format!("{} %", (number.parse::<f64>().ok()? * 1000.0).round() / 10.0))
        }
        _ => None,
    }
}

/// Whether the words stand in what is stated, as words: 1 does not stand in 1024.
pub(super) fn contains(stated: &str, words: &str) -> bool {
    let (stated, words) = (stated.to_lowercase(), words.to_lowercase());
    stated.match_indices(&words).any(|(position, _)| {
        let before = stated.get(..position).and_then(|text| text.chars().next_back());
        let after = stated.get(position + words.len()..).and_then(|text| text.chars().next());
        let is_part = |char: char| char.is_alphanumeric() || char == '.';
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

fn duration(seconds: u64) -> String {
    match seconds {
        86_400.. if seconds.is_multiple_of(86_400) => format!("{} d", seconds / 86_400),
        7_200.. if seconds.is_multiple_of(3_600) => format!("{} h", seconds / 3_600),
        120.. if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

fn number(code: &str) -> Option<String> {
    let plain = code.replace('_', "");
    plain.parse::<f64>().is_ok().then_some(plain)
}

/// `HeadOfLine` is "head of line".
fn spaced(variant: &str) -> String {
    let mut words = String::new();
    for char in variant.chars() {
        if char.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(char.to_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_in_words() {
        let source = Source::default();
        for (code, words) in [
            ("Duration::from_secs(60)", "60 s"),
            ("Duration::from_secs(900)", "15 min"),
            ("Duration::from_secs(7_200)", "2 h"),
            ("Duration::from_millis(100)", "100 ms"),
            ("BudgetSetting::Share(0.6)", "60 %"),
            ("PressureLevel::High", "high"),
            ("Some(Duration::from_secs(5))", "5 s"),
            ("Confidence::saturating(0.2)", "0.2"),
            ("1_024", "1024"),
            ("None", "none"),
            ("false", "false"),
        ] {
            assert_eq!(in_words(code, "T", &source).as_deref(), Some(words), "{code}");
        }
        assert_eq!(in_words("compute()", "T", &source), None);
    }

    #[test]
    fn numbers_are_compared_whole() {
        assert!(contains("60 % of the limit", "60 %"));
        assert!(contains("LRU", "lru"));
        assert!(!contains("1024", "1"));
        assert!(!contains("0.25", "0.2"));
    }
}
