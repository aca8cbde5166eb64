//! Output of components for a terminal: colours pass, nothing else of their escape sequences does.

use majordomo::printable;

const RESET: &str = "\u{1b}[0m";

/// A line of a component's output. Escape sequences are removed; colours and type faces (SGR) stay with `colours` and
/// are reset at the end of the line. Other unsafe characters are escaped, but for tabs.
pub(super) fn output(line: &str, colours: bool) -> String {
    let mut out = String::with_capacity(line.len());
    let mut is_coloured = false;
    let mut rest = line;
    while !rest.is_empty() {
        let text = rest.split(is_introducer).next().unwrap_or_default();
        let parts: Vec<_> = text.split('\t').map(printable).collect();
        out += &parts.join("\t");
        rest = &rest[text.len()..];
        let Some(first) = rest.chars().next() else { break };
        match sequence(rest) {
            Some(length) => {
                let whole = &rest[..length];
                if let Some(parameters) = sgr(whole)
                    && colours
                {
                    out += &format!("\u{1b}[{parameters}m");
                    is_coloured = true;
                }
                rest = &rest[length..];
            }
            None => {
                // One that is not whole is shown, so that nothing disappears.
                out += &printable(first.encode_utf8(&mut [0; 4]));
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    if is_coloured {
        out += RESET;
    }
    out
}

/// Whether a character begins an escape sequence: ESC, or the one-character forms of CSI, OSC, DCS, SOS, PM and APC.
fn is_introducer(c: char) -> bool {
    matches!(c, '\u{1b}' | '\u{90}' | '\u{98}' | '\u{9b}' | '\u{9d}'..='\u{9f}')
}

/// The length of the escape sequence (ECMA-48) that a text begins with; none when it is not whole.
fn sequence(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    let kind = match text.chars().next()? {
        '\u{1b}' => chars.next()?.1,
        // ESC and this character mean the same.
        c => char::from_u32(u32::from(c) - 0x40)?,
    };
    match kind {
        '[' => {
            let is_inner = |c: char| (' '..='?').contains(&c);
            let (at, last) = chars.find(|(_, c)| !is_inner(*c))?;
            ('@'..='~').contains(&last).then_some(at + 1)
        }
        // A text of any length, ended by BEL or ST.
        ']' | 'P' | 'X' | '^' | '_' => {
            while let Some((at, c)) = chars.next() {
                match c {
                    '\u{7}' | '\u{9c}' => return Some(at + c.len_utf8()),
                    '\u{1b}' => return (chars.next()?.1 == '\\').then_some(at + 2),
                    _ => {}
                }
            }
            None
        }
        // Intermediate characters and a final one, such as the choice of a character set.
        ' '..='/' => chars.find(|(_, c)| !(' '..='/').contains(c)).map(|(at, c)| at + c.len_utf8()),
        '0'..='~' => Some(2),
        _ => None,
    }
}

/// The parameters of a sequence that sets colours and type faces.
fn sgr(sequence: &str) -> Option<&str> {
    let inner = sequence.strip_prefix("\u{1b}[").or_else(|| sequence.strip_prefix('\u{9b}'))?;
    let parameters = inner.strip_suffix('m')?;
    parameters.chars().all(|c| matches!(c, '0'..='9' | ';' | ':')).then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_pass_on_a_terminal_only_and_end_with_the_line() {
        let line = "\u{1b}[31mred\u{9b}1;38:5:7mbold";
        assert_eq!(output(line, true), "\u{1b}[31mred\u{1b}[1;38:5:7mbold\u{1b}[0m");
        assert_eq!(output(line, false), "redbold");
        assert_eq!(output("plain\ttext", true), "plain\ttext");
    }

    #[test]
    fn no_other_escape_sequence_or_control_character_passes() {
        for colours in [true, false] {
            let check =
                |line: &str, want: &str| assert_eq!(output(line, colours), want, "{line:?}");
            check("a\u{1b}[2Jb\u{1b}[1;1Hc\u{1b}[?25ld\u{1b}[38;5;1He", "abcde");
            check("a\u{1b}]0;title\u{7}b\u{1b}]8;;http://x\u{1b}\\c\u{9d}0;t\u{9c}d", "abcd");
            check("a\u{1b}P1$r\u{1b}\\b\u{1b}(Bc\u{1b}cd", "abcd");
            check("a\u{1b}[>4;1mb", "ab");
            check("a\u{1b}", "a\\u{1b}");
            check("a\u{1b}]0;no end", "a\\u{1b}]0;no end");
            check("a\u{1b}[31\u{7}m", "a\\u{1b}[31\\u{7}m");
            check("a\u{8}b\u{7f}\u{202e}c\u{feff}", "a\\u{8}b\\u{7f}\\u{202e}c\\u{feff}");
            check("संगीत ♥", "संगीत ♥");
        }
    }
}
