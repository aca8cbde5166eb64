//! The words of which an identifier is made.

/// The words of an identifier, in lower case.
pub(super) fn parts(identifier: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut was_lower = false;
    for char in identifier.chars() {
        if char == '_' || (char.is_uppercase() && was_lower) {
            if !part.is_empty() {
                parts.push(std::mem::take(&mut part));
            }
            was_lower = false;
        }
        if char != '_' {
            was_lower = char.is_lowercase() || char.is_numeric();
            part.extend(char.to_lowercase());
        }
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}
