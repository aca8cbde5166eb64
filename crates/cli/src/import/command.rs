//! From the text of `cmd` to program and arguments.
//!
//! Owns comments, line breaks and quotation marks as llama-swap reads them (no shell is involved there), and the words
//! of our `command` that stand for them: braces, the port, and variables that are read when the program starts.

use super::marks;

/// Lines that begin with `#` are comments, wherever they stand.
pub(super) fn without_comments(text: &str) -> String {
    let lines = text.split('\n').filter(|line| !line.trim().starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

/// The words of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub words: Vec<String>,
    /// A quotation mark is not closed; the rest of the text is one word, as in llama-swap.
    pub is_open: bool,
}

/// Splits a command at spaces, tabs and line breaks outside of quotation marks. A backslash at the end of a line is a space;
/// elsewhere it stands for the next character, within double quotation marks only before `$`, `` ` ``, `"` and `\`.
pub(super) fn split(text: &str) -> Words {
    let joined: Vec<String> = text
        .split('\n')
        .filter(|line| !line.trim().starts_with('#'))
        .map(|line| match line.trim().strip_suffix('\\') {
            Some(line) => format!("{line} "),
            None => line.to_owned(),
        })
        .collect();
    let text = joined.join("\n");
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (None, '\\') => match rest.next() {
                None | Some('\n') => {}
                Some(next) => word.get_or_insert_default().push(next),
            },
            (Some('"'), '\\') => match rest.peek() {
                None | Some('\n') => drop(rest.next()),
                Some(next @ ('$' | '`' | '"' | '\\')) => {
                    word.get_or_insert_default().push(*next);
                    rest.next();
                }
                Some(_) => word.get_or_insert_default().push('\\'),
            },
            (Some(mark), c) if mark == c => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t' | '\n') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Words { words, is_open: quote.is_some() }
}

/// A text as our `command` and `env` hold it: braces doubled, the port as its place-holder.
pub(super) fn place_holders(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '{' => out.push_str("{{"),
            '}' => out.push_str("}}"),
            marks::PORT => out.push_str("{port}"),
            c => out.push(c),
        }
    }
    out
}

/// A command whose words, and whose variables `exports`, have environment variables in them: a shell fills them in at each start
/// and becomes the program. An unset variable ends it with an error in the component's log.
pub(super) fn by_shell(words: &[String], exports: &[(String, String)]) -> Vec<String> {
    let mut script = String::new();
    for (name, value) in exports {
        script += &format!("export {name}={}; ", shell_word(value));
    }
    script += "exec";
    for word in words {
        script.push(' ');
        script += &shell_word(word);
    }
    ["/bin/sh", "-c"].into_iter().map(str::to_owned).chain([script]).collect()
}

fn shell_word(word: &str) -> String {
    let is_plain = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || c == marks::PORT || "-_./=:,@%+".contains(c))
    };
    let quoted = |text: &str| match text {
        "" => String::new(),
        text if is_plain(text) => text.to_owned(),
        text => format!("'{}'", text.replace('\'', "'\\''")),
    };
    let mut out = String::new();
    for piece in marks::pieces(word) {
        match piece {
            marks::Piece::Text(text) => out += &quoted(text),
            marks::Piece::Variable(name) => out += &format!("\"${{{name}:?}}\""),
        }
    }
    if out.is_empty() { "''".to_owned() } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(
            split(text),
            Words { words: expected.iter().map(|w| (*w).to_owned()).collect(), is_open: false }
        );
    }

    #[test]
    fn words_are_split_as_llama_swap_does() {
        check("llama-server --port 1", &["llama-server", "--port", "1"]);
        check("a\n  # comment\n  -b \\\n  -c 'x y' \\\n", &["a", "-b", "-c", "x y"]);
        check("a --gpus '\"device=2,3\"'", &["a", "--gpus", "\"device=2,3\""]);
        check(r#"a --json "{\"k\": \"v\"}" b\ c"#, &["a", "--json", r#"{"k": "v"}"#, "b c"]);
        check(r#"a "C:\dir" 'x\y' "" ''"#, &["a", r"C:\dir", r"x\y", "", ""]);
        check("a b'c d'e", &["a", "bc de"]);
        check("a\tb  # not a comment", &["a", "b", "#", "not", "a", "comment"]);
        check("", &[]);
        assert_eq!(split("a 'b c"), Words { words: vec!["a".into(), "b c".into()], is_open: true });
    }

    #[test]
    fn comments_with_macros_are_removed_before_anything_is_filled_in() {
        assert_eq!(without_comments("# ${x}\na ${y}\n  # z\n"), "a ${y}\n");
    }

    #[test]
    fn a_shell_fills_in_what_is_known_at_the_start_only() {
        let word = |text: &str| marks::mark_variables(text);
        let words = [
            word("server"),
            word("--key"),
            word("${env.KEY}"),
            word("it's ${env.A}/x y"),
            String::new(),
        ];
        let command = by_shell(&words, &[("HF".to_owned(), word("${env.B}/hf"))]);
        assert_eq!(
            command,
            [
                "/bin/sh",
                "-c",
                "export HF=\"${B:?}\"/hf; exec server --key \"${KEY:?}\" 'it'\\''s '\"${A:?}\"'/x y' ''"
            ]
        );
    }

    #[test]
    fn braces_are_doubled() {
        assert_eq!(place_holders(&format!("{{a}} {}", marks::PORT)), "{{a}} {port}");
    }
}
