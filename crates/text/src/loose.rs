//! The looser forms of a folded word: its spellings by users who omit characters that are hard to type.
//!
//! Owns the letters that are equal for a weaker match: accents of Latin and Greek letters, the spelled
//! out umlauts, the forms of alef, ya and ta marbuta, nuktas, skin tones, digits of other scripts, and
//! traditional and simplified Chinese characters. Letters that distinguish words in practice (Cyrillic
//! `й`, kana with voicing marks) are kept. Invariant: a loose form is its own loose form.

use unicode_normalization::char::decompose_canonical;

use crate::script::is_han_char;

/// Pairs of a traditional and a simplified character, three bytes each, sorted; see `data/ATTRIBUTION.md`.
static SIMPLIFIED: &[u8] = include_bytes!("../data/simplified.txt");
const PAIR: usize = 6;

/// Writes the loose form of a folded word into `out`. Returns `false` when the word is its own loose form.
pub fn loosen(word: &[u8], out: &mut Vec<u8>) -> bool {
    rewrite(word, out, |_, _| false)
}

/// As [`loosen`], with umlauts and similar letters spelled in two letters: `ue` for `ü`. Returns `false` when the word
/// has none of them.
pub fn spell_out(word: &[u8], out: &mut Vec<u8>) -> bool {
    let mut has_any = false;
    rewrite(word, out, |c, out| {
        let two = match c {
            'ä' | 'æ' => b"ae",
            'ö' | 'ø' | 'œ' => b"oe",
            'ü' => b"ue",
            'å' => b"aa",
            _ => return false,
        };
        out.extend_from_slice(two);
        has_any = true;
        true
    });
    has_any
}

fn rewrite(
    word: &[u8],
    out: &mut Vec<u8>,
    mut first: impl FnMut(char, &mut Vec<u8>) -> bool,
) -> bool {
    out.clear();
    let Ok(text) = std::str::from_utf8(word) else { return false };
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c as u8);
        } else if !first(c, out) {
            loosen_char(c, out);
        }
    }
    if out.is_empty() {
        out.extend_from_slice(word);
    }
    out != word
}

fn loosen_char(c: char, out: &mut Vec<u8>) {
    let mut utf8 = [0; 4];
    let mut push = |c: char| out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
    match c {
        // Combining accents, a nukta, an enclosing keycap, skin tones.
        '\u{300}'..='\u{36f}' | '\u{93c}' | '\u{20e3}' | '\u{1f3fb}'..='\u{1f3ff}' => {}
        '\u{c0}'..='\u{24f}' | '\u{370}'..='\u{3ff}' | '\u{1e00}'..='\u{1fff}' => {
            decompose_canonical(c, |part| match part {
                '\u{300}'..='\u{36f}' => {}
                'ø' => push('o'),
                'ł' => push('l'),
                'đ' | 'ð' => push('d'),
                'ħ' => push('h'),
                'ŧ' => push('t'),
                'þ' => ['t', 'h'].into_iter().for_each(&mut push),
                'æ' => ['a', 'e'].into_iter().for_each(&mut push),
                'œ' => ['o', 'e'].into_iter().for_each(&mut push),
                part => push(part),
            });
        }
        'ё' => push('е'),
        'أ' | 'إ' | 'آ' | 'ٱ' => push('ا'),
        'ى' | 'ی' | 'ې' | 'ئ' => push('ي'),
        'ة' | 'ۀ' | 'ہ' | 'ھ' | 'ە' | 'ۃ' => push('ه'),
        'ؤ' => push('و'),
        'ک' => push('ك'),
        '\u{901}' => push('\u{902}'),
        '\u{958}'..='\u{95f}' | '\u{929}' | '\u{931}' | '\u{934}' => {
            decompose_canonical(c, |part| {
                if part != '\u{93c}' {
                    push(part);
                }
            });
        }
        '\u{660}'..='\u{669}' => push(digit(c, '\u{660}')),
        '\u{6f0}'..='\u{6f9}' => push(digit(c, '\u{6f0}')),
        '\u{966}'..='\u{96f}' => push(digit(c, '\u{966}')),
        c => push(if is_han_char(c) { simplified(c) } else { c }),
    }
}

fn digit(c: char, zero: char) -> char {
    char::from_digit(c as u32 - zero as u32, 10).unwrap_or(c)
}

fn simplified(c: char) -> char {
    let mut utf8 = [0; 4];
    let key = c.encode_utf8(&mut utf8).as_bytes();
    if key.len() * 2 != PAIR {
        return c;
    }
    let pair = |i: usize| &SIMPLIFIED[i * PAIR..(i + 1) * PAIR];
    let (mut low, mut high) = (0, SIMPLIFIED.len() / PAIR);
    while low < high {
        let middle = usize::midpoint(low, high);
        if &pair(middle)[..PAIR / 2] < key { low = middle + 1 } else { high = middle }
    }
    if low == SIMPLIFIED.len() / PAIR || &pair(low)[..PAIR / 2] != key {
        return c;
    }
    let found = std::str::from_utf8(&pair(low)[PAIR / 2..]).unwrap_or_default();
    found.chars().next().unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Words;

    fn folded(text: &str) -> Vec<u8> {
        let mut words = Words::default();
        words.split(text);
        (0..words.len()).flat_map(|i| words.folded(i).to_vec()).collect()
    }

    #[test]
    fn spellings_that_people_mix_have_one_loose_form() {
        let check = |a: &str, b: &str| {
            let loose = |text: &str| {
                let mut out = Vec::new();
                loosen(&folded(text), &mut out);
                String::from_utf8(out).expect("a loose form is UTF-8")
            };
            assert_eq!(loose(a), loose(b), "{a} {b}");
        };
        check("música", "musica");
        check("canción", "CANCION");
        check("mañana", "manana");
        check("ΜΟΥΣΙΚΗ", "μουσική");
        check("ΡΟΛΌΙ", "ρολόι");
        check("şarkı", "sarki");
        check("âm nhạc", "am nhac");
        check("światło", "swiatlo");
        check("ёлка", "елка");
        check("أغنية", "اغنيه");
        check("موسیقی", "موسيقى");
        check("燈", "灯");
        check("फ़ोन", "फोन");
        check("👍🏽", "👍");
        check("٣٠", "30");
    }

    #[test]
    fn other_letters_stay_other_letters() {
        for word in ["мой", "が", "ペ", "ї", "plain", "灯"] {
            assert!(!loosen(&folded(word), &mut Vec::new()), "{word}");
        }
    }

    #[test]
    fn umlauts_are_spelled_in_two_letters() {
        let check = |text: &str, want: &str| {
            let mut out = Vec::new();
            assert!(spell_out(&folded(text), &mut out));
            assert_eq!(String::from_utf8(out).expect("UTF-8"), want);
        };
        check("TÜR", "tuer");
        check("lautstärke", "lautstaerke");
        check("på", "paa");
        assert!(!spell_out("musica".as_bytes(), &mut Vec::new()));
    }

    #[test]
    fn loose_form_is_its_own_loose_form() {
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        for c in '\u{80}'..=char::MAX {
            loosen(&folded(&format!("x{c}")), &mut once);
            assert!(!loosen(&once, &mut twice), "{c:?}");
        }
    }

    #[test]
    fn table_of_simplified_characters_is_sorted_pairs() {
        let text = std::str::from_utf8(SIMPLIFIED).expect("UTF-8");
        let chars: Vec<char> = text.chars().collect();
        assert!(text.len() == 3 * chars.len() && chars.len().is_multiple_of(2));
        assert!(chars.chunks(2).map(|p| p[0]).is_sorted());
        assert!(chars.chunks(2).all(|p| is_han_char(p[0]) && simplified(p[1]) == p[1]));
    }
}
