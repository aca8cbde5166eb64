//! The scripts that rules depend on.

/// Whether a folded word is one Han character.
#[must_use]
pub fn is_han(word: &[u8]) -> bool {
    // Every Han character takes three or four bytes.
    if !(3..=4).contains(&word.len()) {
        return false;
    }
    let mut chars = std::str::from_utf8(word).unwrap_or_default().chars();
    chars.next().is_some_and(is_han_char) && chars.next().is_none()
}

pub(crate) fn is_han_char(c: char) -> bool {
    matches!(c,
        '\u{3007}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{323af}')
}

pub(crate) fn is_hangul(c: char) -> bool {
    matches!(c, '가'..='힣')
}

pub(crate) fn is_arabic(c: char) -> bool {
    matches!(c, '\u{620}'..='\u{64a}' | '\u{66e}'..='\u{6d5}')
}

pub(crate) fn is_hebrew(c: char) -> bool {
    matches!(c, 'א'..='ת')
}
