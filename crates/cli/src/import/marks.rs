//! Characters that stand for what is not known yet: the port, and environment variables.
//!
//! Private characters of Unicode, so that YAML, macros and the splitting of commands pass them on like letters. A file that
//! has one of them is refused ([`is_reserved`]).

/// Stands for `${PORT}` of a model with a port.
pub(super) const PORT: char = '\u{e002}';
const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';

pub(super) fn is_reserved(c: char) -> bool {
    [OPEN, CLOSE, PORT].contains(&c)
}

/// Replaces each `${env.NAME}` by a mark.
pub(super) fn mark_variables(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${env.") {
        let (before, from) = rest.split_at(at);
        out += before;
        let inner = &from["${env.".len()..];
        match inner.find('}').map(|end| &inner[..end]) {
            Some(name) if is_variable(name) => {
                out.push(OPEN);
                out += name;
                out.push(CLOSE);
                rest = &inner[name.len() + 1..];
            }
            _ => {
                out += "${env.";
                rest = inner;
            }
        }
    }
    out + rest
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    Text(&'t str),
    Variable(&'t str),
}

/// A marked text as texts and variables.
pub(super) fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once(OPEN) {
        let (name, after) = from.split_once(CLOSE).unwrap_or((from, ""));
        if !before.is_empty() {
            out.push(Piece::Text(before));
        }
        out.push(Piece::Variable(name));
        rest = after;
    }
    if !rest.is_empty() {
        out.push(Piece::Text(rest));
    }
    out
}

/// The names of the marked variables.
pub(super) fn variables(text: &str) -> Vec<&str> {
    let names = pieces(text).into_iter().filter_map(|piece| match piece {
        Piece::Variable(name) => Some(name),
        Piece::Text(_) => None,
    });
    names.collect()
}

/// Fills in the variables that `value` knows.
pub(super) fn fill(text: &str, value: &mut dyn FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => out += text,
            Piece::Variable(name) => match value(name) {
                Some(value) => out += &value,
                None => out.extend([OPEN.to_string().as_str(), name, CLOSE.to_string().as_str()]),
            },
        }
    }
    out
}

/// As it was written, for messages.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => out += text,
            Piece::Variable(name) => out += &format!("${{env.{name}}}"),
        }
    }
    out.replace(PORT, "${PORT}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_marked_and_filled_in() {
        let marked = mark_variables("a ${env.X}/${env.Y_1} ${env.1} ${env. ${PORT}");
        assert_eq!(variables(&marked), ["X", "Y_1"]);
        assert_eq!(shown(&marked), "a ${env.X}/${env.Y_1} ${env.1} ${env. ${PORT}");
        let filled = fill(&marked, &mut |name| (name == "X").then(|| "x".to_owned()));
        assert_eq!(shown(&filled), "a x/${env.Y_1} ${env.1} ${env. ${PORT}");
        assert_eq!(pieces(""), []);
    }
}
