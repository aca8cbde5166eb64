//! The configuration as it is written: TOML for people, with the reason behind values that were not in the input.

use std::fmt::Write as _;

use super::document::{Kind, Node, Value};

/// Lines are no wider where that can be helped.
const WIDTH: usize = 100;

/// A key of a table, its value as TOML, and what a reader should know about it.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub name: &'static str,
    pub value: String,
    pub comment: Option<String>,
}

/// A table of the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    /// Without brackets.
    pub name: String,
    /// Lines above the table.
    pub comments: Vec<String>,
    pub keys: Vec<Key>,
}

impl Table {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    pub(super) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.keys.push(Key { name, value: value.into(), comment: None });
    }

    pub(super) fn set_with(
        &mut self,
        name: &'static str,
        value: impl Into<String>,
        comment: impl Into<String>,
    ) {
        self.keys.push(Key { name, value: value.into(), comment: Some(comment.into()) });
    }

    pub(super) fn write(&self, out: &mut String) {
        for comment in &self.comments {
            write_comment(out, comment);
        }
        let _ = writeln!(out, "[{}]", self.name);
        for Key { name, value, comment } in &self.keys {
            if let Some(comment) = comment {
                write_comment(out, comment);
            }
            let _ = writeln!(out, "{name} = {value}");
        }
    }
}

/// A comment, wrapped; nothing in it ends it.
pub(super) fn write_comment(out: &mut String, text: &str) {
    let text = majordomo::printable(text);
    let mut line = "#".to_owned();
    for word in text.split(' ') {
        if line.chars().count() + word.chars().count() + 1 > WIDTH && line.len() > 1 {
            let _ = writeln!(out, "{line}");
            "#".clone_into(&mut line);
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
}

/// A text in quotation marks.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A key, in quotation marks where it needs them.
pub(super) fn key(name: &str) -> String {
    let is_bare = !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_bare { name.to_owned() } else { text(name) }
}

/// A list of texts, on one line where it fits behind `key = `.
pub(super) fn list<T: AsRef<str>>(key: &str, items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(|item| text(item.as_ref())).collect();
    packed(key, &items, |_, _| false)
}

/// A command: each option begins a line of its own when one line is not enough.
pub(super) fn command(key: &str, words: &[String]) -> String {
    let items: Vec<String> = words.iter().map(|item| text(item)).collect();
    packed(key, &items, |i, item| i > 0 && item.starts_with("\"-"))
}

fn packed(key: &str, items: &[String], breaks: impl Fn(usize, &str) -> bool) -> String {
    let line = format!("[{}]", items.join(", "));
    if key.len() + 3 + line.chars().count() <= WIDTH {
        return line;
    }
    let mut out = "[\n".to_owned();
    let mut line = "   ".to_owned();
    for (i, item) in items.iter().enumerate() {
        let is_full = line.chars().count() + item.chars().count() + 2 > WIDTH;
        if line.len() > 3 && (is_full || breaks(i, item)) {
            out += &line;
            out.push('\n');
            "   ".clone_into(&mut line);
        }
        let _ = write!(line, " {item},");
    }
    out + &line + "\n]"
}

/// A table on one line.
pub(super) fn inline(entries: &[(String, String)]) -> String {
    let entries: Vec<_> =
        entries.iter().map(|(name, value)| format!("{} = {value}", key(name))).collect();
    if entries.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", entries.join(", ")) }
}

/// A value of a request's body.
///
/// # Errors
/// The reason why TOML cannot hold it.
pub(super) fn value(node: &Node) -> Result<String, &'static str> {
    match &node.value {
        Value::List(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(value).collect();
            Ok(format!("[{}]", items?.join(", ")))
        }
        Value::Map(members) => {
            let entry = |member: &super::document::Member| {
                value(&member.node).map(|v| (member.key.clone(), v))
            };
            let entries: Result<Vec<_>, _> = members.iter().map(entry).collect();
            Ok(inline(&entries?))
        }
        Value::Scalar(scalar) => match scalar.kind {
            Kind::Null => Err("a TOML file cannot hold null"),
            Kind::Bool(truth) => Ok(truth.to_string()),
            Kind::Integer(number) => Ok(number.to_string()),
            Kind::Float(number) if number.is_finite() => Ok(format!("{number:?}")),
            Kind::Float(_) => Err("JSON has no such number"),
            Kind::Text if scalar.text.contains(super::marks::is_reserved) => {
                Err("its variable is only known when a program starts")
            }
            Kind::Text => Ok(text(&scalar.text)),
        },
    }
}

/// A duration of whole seconds.
pub(super) fn seconds(n: u64) -> String {
    match n {
        n if n >= 120 && n.is_multiple_of(3600) => format!("\"{}h\"", n / 3600),
        n if n >= 120 && n.is_multiple_of(60) => format!("\"{}min\"", n / 60),
        n => format!("\"{n}s\""),
    }
}

/// A size in whole MiB, rounded up.
pub(super) fn size(bytes: u64) -> String {
    format!("\"{}MiB\"", bytes.div_ceil(1 << 20).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_keys_are_escaped() {
        assert_eq!(text("a\"\\\n\u{1}é"), r#""a\"\\\n\u0001é""#);
        assert_eq!(key("a.b"), "\"a.b\"");
        assert_eq!(key("a-B_1"), "a-B_1");
    }

    #[test]
    fn long_commands_have_a_line_for_each_option() {
        let words: Vec<String> =
            ["server", "--port", "{port}", "-x"].iter().map(|w| (*w).to_owned()).collect();
        assert_eq!(command("command", &words), r#"["server", "--port", "{port}", "-x"]"#);
        let mut long = words;
        long.push("y".repeat(90));
        let expected = format!(
            "[\n    \"server\",\n    \"--port\", \"{{port}}\",\n    \"-x\",\n    \"{}\",\n]",
            "y".repeat(90)
        );
        assert_eq!(command("command", &long), expected);
    }

    #[test]
    fn values_of_bodies_keep_their_kinds() {
        let node = super::super::document::read("{a: 1, b: 0.5, c: [true, 'x'], d: {e.f: 2.0}}")
            .unwrap()
            .0
            .unwrap();
        assert_eq!(
            value(&node).unwrap(),
            r#"{ a = 1, b = 0.5, c = [true, "x"], d = { "e.f" = 2.0 } }"#
        );
        let null = super::super::document::read("[~]").unwrap().0.unwrap();
        assert!(value(&null).is_err());
    }

    #[test]
    fn comments_are_wrapped_and_stay_comments() {
        let mut out = String::new();
        write_comment(&mut out, &format!("a\n[x] {}", "word ".repeat(30)));
        assert!(out.lines().all(|line| line.starts_with('#')), "{out}");
    }
}
