//! YAML as a tree with the line of every key and value.
//!
//! Owns the limits of what is read (size, depth, nodes that aliases repeat), duplicate keys, merge keys (`<<`) and the
//! kinds of plain scalars as llama-swap's reader sees them. Does not know any key. A tree that is returned is bounded: at
//! most [`MAX_NODES`] nodes, nested at most [`MAX_DEPTH`] deep.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

use super::problem::Problem;

/// The largest file that is read, in bytes.
pub(super) const MAX_BYTES: usize = 4 << 20;
pub(super) const MAX_DEPTH: usize = 64;
pub(super) const MAX_NODES: usize = 200_000;
/// Bytes of all texts, those that aliases repeat counted each time.
const MAX_TEXT: usize = 16 << 20;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub value: Value,
    /// From 1.
    pub line: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Member>),
}

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub key: String,
    pub node: Node,
    pub line: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scalar {
    /// As it is written, without quotation marks.
    pub text: String,
    pub kind: Kind,
    /// Written without quotation marks, so its kind follows from its text.
    pub is_plain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text,
}

impl Scalar {
    pub(super) fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind: kind_of(&text), text, is_plain: true }
    }

    pub(super) fn quoted(text: impl Into<String>) -> Self {
        Self { text: text.into(), kind: Kind::Text, is_plain: false }
    }

    /// As it is filled into a text around it.
    pub(super) fn shown(&self) -> Cow<'_, str> {
        match self.kind {
            Kind::Integer(number) => number.to_string().into(),
            Kind::Float(number) => number.to_string().into(),
            Kind::Bool(truth) => truth.to_string().into(),
            Kind::Null => "<nil>".into(),
            Kind::Text => self.text.as_str().into(),
        }
    }
}

impl Node {
    pub(super) fn member(&self, key: &str) -> Option<&Member> {
        self.members().iter().find(|member| member.key == key)
    }

    /// The members of a table, in the order of the file; none of any other value.
    pub(super) fn members(&self) -> &[Member] {
        match &self.value {
            Value::Map(members) => members,
            _ => &[],
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(Scalar { kind: Kind::Null, .. }))
    }

    /// The value's kind in words, for errors.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Map(_) => "a table",
            Value::List(_) => "a list",
            Value::Scalar(scalar) => match scalar.kind {
                Kind::Null => "empty",
                Kind::Bool(_) => "true or false",
                Kind::Integer(_) | Kind::Float(_) => "a number",
                Kind::Text => "a text",
            },
        }
    }
}

/// Reads the first document of a text; `None` when it is empty. The number is the line of a second document.
///
/// # Errors
/// The first mistake, with its line.
pub(super) fn read(text: &str) -> Result<(Option<Node>, Option<usize>), Problem> {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| {
            let at = error.marker();
            // The scanner's own limit, within one line.
            let what = match error.info() {
                "recursion limit exceeded" => too_deep(),
                info => format!("this is not YAML: {info} (column {})", at.col() + 1),
            };
            Problem::at(at.line(), what)
        })?;
        let line = span.start.line();
        if let (Event::DocumentStart(_), Some(root)) = (&event, &builder.root) {
            return Ok((Some(root.clone()), Some(line)));
        }
        builder.take(event, line)?;
    }
    Ok((builder.root, None))
}

fn too_deep() -> String {
    format!("values are nested more than {MAX_DEPTH} deep")
}

/// A node with what it weighs.
#[derive(Clone, Debug)]
struct Weighed {
    node: Node,
    n_nodes: usize,
    n_bytes: usize,
    depth: usize,
}

#[derive(Debug)]
struct Open {
    anchor: usize,
    line: usize,
    content: Content,
    n_nodes: usize,
    n_bytes: usize,
    depth: usize,
}

#[derive(Debug)]
enum Content {
    List(Vec<Node>),
    Map {
        members: Vec<Member>,
        lines: HashMap<String, usize>,
        /// The key whose value comes next, and whether it is a merge key.
        key: Option<(String, usize, bool)>,
        merged: Vec<Node>,
    },
}

#[derive(Debug, Default)]
struct Builder {
    root: Option<Node>,
    stack: Vec<Open>,
    /// By the parser's number; `None` while the node is open.
    anchors: HashMap<usize, Option<Weighed>>,
    n_nodes: usize,
    n_bytes: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain;
                let scalar = scalar(text.into_owned(), is_plain, tag.as_deref());
                let n_bytes = scalar.text.len();
                let node = Node { value: Value::Scalar(scalar), line };
                self.finish(Weighed { node, n_nodes: 1, n_bytes, depth: 1 }, anchor, line)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(Some(target)) => {
                    let target = target.clone();
                    self.finish(target, 0, line)
                }
                _ => Err(Problem::at(line, "an alias (*) stands inside the value that it repeats")),
            },
            Event::SequenceStart(anchor, _) => self.open(anchor, line, Content::List(Vec::new())),
            Event::MappingStart(anchor, _) => {
                let (members, lines, merged) = (Vec::new(), HashMap::new(), Vec::new());
                self.open(anchor, line, Content::Map { members, lines, key: None, merged })
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => Ok(()),
        }
    }

    fn open(&mut self, anchor: usize, line: usize, content: Content) -> Result<(), Problem> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(Problem::at(line, too_deep()));
        }
        if let Some(Open { content: Content::Map { key: None, .. }, .. }) = self.stack.last() {
            return Err(Problem::at(line, "a key is a list or a table; write a text"));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, None);
        }
        self.stack.push(Open { anchor, line, content, n_nodes: 1, n_bytes: 0, depth: 1 });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Map { mut members, mut lines, merged, .. } => {
                for member in merged.into_iter().flat_map(members_of) {
                    if !lines.contains_key(&member.key) {
                        lines.insert(member.key.clone(), member.line);
                        members.push(member);
                    }
                }
                Value::Map(members)
            }
        };
        let node = Node { value, line: open.line };
        let (n_nodes, n_bytes, depth) = (open.n_nodes, open.n_bytes, open.depth);
        // Its content was counted when it was added.
        self.n_nodes = self.n_nodes.saturating_sub(n_nodes - 1);
        self.n_bytes = self.n_bytes.saturating_sub(n_bytes);
        self.finish(Weighed { node, n_nodes, n_bytes, depth }, open.anchor, open.line)
    }

    /// A value that is complete: the next key or value of what is open.
    fn finish(&mut self, done: Weighed, anchor: usize, line: usize) -> Result<(), Problem> {
        self.n_nodes += done.n_nodes;
        self.n_bytes += done.n_bytes;
        if self.n_nodes > MAX_NODES || self.n_bytes > MAX_TEXT {
            let what = format!(
                "with its aliases the file has more than {MAX_NODES} values or 16 MiB of text"
            );
            return Err(Problem::at(line, what));
        }
        if self.stack.len() + done.depth > MAX_DEPTH + 1 {
            return Err(Problem::at(line, too_deep()));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, Some(done.clone()));
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(done.node);
            return Ok(());
        };
        open.n_nodes += done.n_nodes;
        open.n_bytes += done.n_bytes;
        open.depth = open.depth.max(done.depth + 1);
        match &mut open.content {
            Content::List(items) => items.push(done.node),
            Content::Map { members, lines, key, merged } => match key.take() {
                None => {
                    let Value::Scalar(scalar) = done.node.value else {
                        return Err(Problem::at(line, "a key is a list or a table; write a text"));
                    };
                    let is_merge = scalar.is_plain && scalar.text == "<<";
                    if !is_merge && let Some(first) = lines.insert(scalar.text.clone(), line) {
                        let what = format!(
                            "the key {} is in this table twice, first in line {first}; remove one",
                            majordomo::quoted(&scalar.text)
                        );
                        return Err(Problem::at(line, what));
                    }
                    *key = Some((scalar.text, line, is_merge));
                }
                Some((_, line, true)) => {
                    let is_table = |node: &Node| matches!(node.value, Value::Map(_));
                    match done.node.value {
                        Value::Map(_) => merged.push(done.node),
                        Value::List(items) if items.iter().all(is_table) => merged.extend(items),
                        _ => {
                            return Err(Problem::at(
                                line,
                                "`<<` takes a table, or a list of tables",
                            ));
                        }
                    }
                }
                Some((key, line, false)) => members.push(Member { key, node: done.node, line }),
            },
        }
        Ok(())
    }
}

fn members_of(node: Node) -> Vec<Member> {
    match node.value {
        Value::Map(members) => members,
        _ => Vec::new(),
    }
}

fn scalar(text: String, is_plain: bool, tag: Option<&Tag>) -> Scalar {
    let suffix = tag.map(|tag| (tag.is_yaml_core_schema(), tag.suffix.as_str()));
    let is_plain = match suffix {
        Some((true, "int" | "float" | "bool" | "null")) => true,
        Some((true, "str") | (false, "")) => false,
        _ => is_plain,
    };
    if is_plain { Scalar::plain(text) } else { Scalar::quoted(text) }
}

/// The kind of a plain scalar: the core schema of YAML 1.2, and the numbers of YAML 1.1 that llama-swap's reader takes (`1_000`,
/// `0b11`, `017`).
fn kind_of(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Kind::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Kind::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Kind::Float(f64::NAN),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return Kind::Text;
    }
    let digits = text.replace('_', "");
    if let Some(number) = integer(&digits) {
        return Kind::Integer(number);
    }
    let is_float = digits.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
        && digits.bytes().any(|b| b.is_ascii_digit());
    match digits.parse() {
        Ok(number) if is_float => Kind::Float(number),
        _ => Kind::Text,
    }
}

fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x" | "0X") => (16, &digits[2..]),
        Some("0o" | "0O") => (8, &digits[2..]),
        Some("0b" | "0B") => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    i64::from_str_radix(&format!("{sign}{digits}"), radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, line: usize, part: &str) {
        let problem = read(text).unwrap_err();
        assert_eq!(problem.line, Some(line), "{problem:?}");
        assert!(problem.message.contains(part), "{problem:?}");
    }

    fn root(text: &str) -> Node {
        read(text).unwrap().0.unwrap()
    }

    #[test]
    fn kinds_follow_from_plain_scalars_only() {
        let kinds = |text: &str| kind_of(text);
        assert_eq!(kinds("12"), Kind::Integer(12));
        assert_eq!(kinds("-0x1F"), Kind::Integer(-31));
        assert_eq!(kinds("1_000"), Kind::Integer(1000));
        assert_eq!(kinds("017"), Kind::Integer(15));
        assert_eq!(kinds("0.7"), Kind::Float(0.7));
        assert_eq!(kinds(".5"), Kind::Float(0.5));
        assert_eq!(kinds("1e3"), Kind::Float(1000.0));
        assert_eq!(kinds("+-1"), Kind::Text);
        assert_eq!(kinds("1.2.3"), Kind::Text);
        assert_eq!(kinds("yes"), Kind::Text);
        assert_eq!(kinds("~"), Kind::Null);
        let node = root("a: '12'\nb: !!str 12\nc: !!int 12\n");
        let kind = |key: &str| match &node.member(key).unwrap().node.value {
            Value::Scalar(scalar) => scalar.kind,
            _ => unreachable!("scalars"),
        };
        assert_eq!(kind("a"), Kind::Text);
        assert_eq!(kind("b"), Kind::Text);
        assert_eq!(kind("c"), Kind::Integer(12));
    }

    #[test]
    fn lines_are_those_of_keys_and_values() {
        let node = root("# comment\na: 1\nb:\n  - x\n  - y\n");
        assert_eq!(node.member("a").unwrap().line, 2);
        let Value::List(items) = &node.member("b").unwrap().node.value else { unreachable!() };
        assert_eq!(items[1].line, 5);
    }

    #[test]
    fn merge_keys_add_what_is_not_stated() {
        let node = root(
            "base: &b {ttl: 5, name: base}\nx:\n  <<: *b\n  name: own\ny:\n  <<: [*b, {z: 1}]\n",
        );
        let x = &node.member("x").unwrap().node;
        let text = |node: &Node, key: &str| match &node.member(key).unwrap().node.value {
            Value::Scalar(scalar) => scalar.text.clone(),
            _ => unreachable!("scalars"),
        };
        assert_eq!(text(x, "name"), "own");
        assert_eq!(text(x, "ttl"), "5");
        assert_eq!(node.member("y").unwrap().node.members().len(), 3);
        refused("x:\n  <<: 5\n", 2, "takes a table");
    }

    #[test]
    fn hostile_documents_are_refused_with_their_line() {
        refused("a: 1\nb: 2\na: 3\n", 3, "\"a\" is in this table twice, first in line 1");
        refused("a: &x [1, *x]\n", 1, "inside the value that it repeats");
        refused(&format!("a: {}1{}\n", "[".repeat(100), "]".repeat(100)), 1, "nested more than");
        refused("[a, b]: 1\n", 1, "a key is a list");
        refused("a: [1, 2\nb: 3\n", 2, "not YAML");
        refused("a: b: c\n", 1, "not YAML");
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            bomb += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "));
        }
        refused(&bomb, 6, "more than 200000 values");
        let mut deep = "a0: &a0 [x]\n".to_owned();
        for n in 1..80 {
            deep += &format!("a{n}: &a{n} [*a{}]\n", n - 1);
        }
        refused(&deep, 64, "nested more than");
    }

    #[test]
    fn further_documents_are_not_read() {
        let (node, second) = read("a: 1\n---\nb: 2\n").unwrap();
        assert_eq!(node.unwrap().members().len(), 1);
        assert_eq!(second, Some(2));
        assert!(read("# nothing\n").unwrap().0.is_none());
    }
}
