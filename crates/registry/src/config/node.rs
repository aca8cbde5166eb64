//! One tree for both formats: values with their byte spans.
//!
//! Owns the two parsers' results and syntax errors. Does not know the keys. Members keep
//! the file's order; JSON objects may hold a key twice, TOML tables never do.

use std::borrow::Cow;
use std::ops::Range;

use jsonc_parser::ast;
use majordomo_core::quoted;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::source::Report;

mod pieces;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    pub(crate) span: Range<usize>,
    pub(crate) value: Value<'a>,
}

/// A value of either format.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    /// None when it does not fit.
    Integer(Option<i64>),
    Float(f64),
    Bool(bool),
    List(Vec<Node<'a>>),
    Table(Vec<Member<'a>>),
    /// A type that no key has, by name.
    Other(&'static str),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) key: Cow<'a, str>,
    pub(crate) key_span: Range<usize>,
    pub(crate) node: Node<'a>,
}

impl Node<'_> {
    /// The name of the type, for messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match &self.value {
            Value::Text(_) => "text",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Bool(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Other(name) => name,
        }
    }
}

impl<'a> Node<'a> {
    /// The members of a table; none for other types.
    pub(crate) fn members(&self) -> &[Member<'a>] {
        match &self.value {
            Value::Table(members) => members,
            _ => &[],
        }
    }

    /// The member with a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Member<'a>> {
        self.members().iter().find(|m| m.key == key)
    }
}

/// Parses TOML. None after a syntax error or duplicate keys, which are reported.
pub(crate) fn parse_toml<'s>(report: &mut Report<'s>) -> Option<Node<'s>> {
    let text = report.source.text.as_str();
    if let Some(tree) = pieces::parse(text, pieces::LEAST) {
        return Some(tree);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    let Some(first) = errors.first() else {
        return Some(Node { span: table.span(), value: from_toml_table(table.into_inner(), 0) });
    };
    // A recovering parser reports one slip many times; but a duplicate key causes no further errors.
    let duplicates = errors.iter().filter(|e| e.message() == DUPLICATE_KEY);
    for error in std::iter::once(first).filter(|e| e.message() != DUPLICATE_KEY).chain(duplicates) {
        let span = error.span().unwrap_or(text.len()..text.len());
        if error.message() == DUPLICATE_KEY {
            let key = text.get(span.clone()).unwrap_or_default();
            let message = format!("key {} is given twice in one table", quoted(key));
            report.error("duplicate", &span, message, Some("keep one of them".to_owned()));
        } else {
            let message = format!("this is not valid TOML: {}", error.message());
            report.error("syntax", &span, message, None);
        }
    }
    None
}

/// The parser's message for a duplicate key.
const DUPLICATE_KEY: &str = "duplicate key";

/// Spans are shifted by `base`, the place of the parsed text in the file.
fn shifted<T>(spanned: &Spanned<T>, base: usize) -> Range<usize> {
    let span = spanned.span();
    span.start + base..span.end + base
}

fn from_toml_table<'a>(table: DeTable<'a>, base: usize) -> Value<'a> {
    let members = table.into_iter().map(|(key, value)| {
        let key_span = shifted(&key, base);
        Member { key: key.into_inner(), key_span, node: from_toml(value, base) }
    });
    Value::Table(members.collect())
}

fn from_toml<'a>(value: Spanned<DeValue<'a>>, base: usize) -> Node<'a> {
    let span = shifted(&value, base);
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text),
        DeValue::Integer(n) => Value::Integer(i64::from_str_radix(n.as_str(), n.radix()).ok()),
        DeValue::Float(x) => {
            x.as_str().parse().map_or(Value::Other("a number out of range"), Value::Float)
        }
        DeValue::Boolean(b) => Value::Bool(b),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Array(items) => {
            Value::List(items.into_iter().map(|item| from_toml(item, base)).collect())
        }
        DeValue::Table(table) => from_toml_table(table, base),
    };
    Node { span, value }
}

/// Parses strict JSON. None after a syntax error, which is reported.
pub(crate) fn parse_json<'s>(report: &mut Report<'s>) -> Option<Node<'s>> {
    let strict = jsonc_parser::ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let text = report.source.text.as_str();
    match jsonc_parser::parse_to_ast(text, &Default::default(), &strict) {
        Ok(result) => result.value.map(from_json),
        Err(error) => {
            let range = error.range();
            let message =
                format!("this is not valid JSON: {}", lower_first(&error.kind().to_string()));
            report.error("syntax", &(range.start..range.end), message, None);
            None
        }
    }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

fn from_json<'a>(value: ast::Value<'a>) -> Node<'a> {
    let range = match &value {
        ast::Value::StringLit(x) => x.range,
        ast::Value::NumberLit(x) => x.range,
        ast::Value::BooleanLit(x) => x.range,
        ast::Value::Object(x) => x.range,
        ast::Value::Array(x) => x.range,
        ast::Value::NullKeyword(x) => x.range,
    };
    let value = match value {
        ast::Value::StringLit(text) => Value::Text(text.value),
        ast::Value::NumberLit(n) => json_number(n.value),
        ast::Value::BooleanLit(b) => Value::Bool(b.value),
        ast::Value::NullKeyword(_) => Value::Other("null"),
        ast::Value::Array(array) => {
            Value::List(array.elements.into_iter().map(from_json).collect())
        }
        ast::Value::Object(object) => Value::Table(
            object
                .properties
                .into_iter()
                .map(|property| {
                    let (key, range) = match property.name {
                        ast::ObjectPropName::String(text) => (text.value, text.range),
                        ast::ObjectPropName::Word(word) => (Cow::Borrowed(word.value), word.range),
                    };
                    let node = from_json(property.value);
                    Member { key, key_span: range.start..range.end, node }
                })
                .collect(),
        ),
    };
    Node { span: range.start..range.end, value }
}

fn json_number<'a>(text: &str) -> Value<'a> {
    if text.contains(['.', 'e', 'E']) {
        let finite = text.parse().ok().filter(|x: &f64| x.is_finite());
        return finite.map_or(Value::Other("a number out of range"), Value::Float);
    }
    Value::Integer(text.parse().ok())
}
