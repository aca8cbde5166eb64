//! Reads a file of settings: structs with documented fields, enums with a default, `impl Default`.
//!
//! Relies on rustfmt's layout (one field a line, items flush left) and on nothing else; what it does not know it
//! skips, and the caller tells what it misses.

use std::collections::BTreeMap;

/// One field of a struct of settings.
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    /// Its type.
    pub(super) kind: &'a str,
    /// Its documentation in one line.
    pub(super) docs: String,
    /// From 1.
    pub(super) line: usize,
}

/// What the file says.
#[derive(Default)]
pub(super) struct Source<'a> {
    /// Fields by struct, in order.
    pub(super) structs: BTreeMap<&'a str, Vec<Field<'a>>>,
    /// The default variant by enum.
    pub(super) variants: BTreeMap<&'a str, &'a str>,
    /// The expression that `impl Default` gives, by struct and field.
    pub(super) defaults: BTreeMap<(&'a str, &'a str), &'a str>,
}

impl<'a> Source<'a> {
    pub(super) fn read(text: &'a str) -> Self {
        let mut source = Self::default();
        let mut docs = String::new();
        let mut item = "";
        let mut is_enum = false;
        let mut is_default_next = false;
        for (line_idx, line) in text.lines().enumerate() {
            let trimmed = line.trim();
            if let Some(name) = item_name(line, "pub struct ") {
                source.structs.insert(name, Vec::new());
                (item, is_enum) = (name, false);
            } else if let Some(name) = item_name(line, "pub enum ") {
                (item, is_enum) = (name, true);
            } else if line == "}" {
                item = "";
            } else if let Some(comment) = trimmed.strip_prefix("///") {
                if !docs.is_empty() {
                    docs.push(' ');
                }
                docs.push_str(comment.trim());
                continue;
            } else if trimmed.starts_with("#[") {
                is_default_next |= trimmed == "#[default]";
                continue;
            } else if is_enum && is_default_next {
                source.variants.insert(item, trimmed.trim_end_matches(','));
                is_default_next = false;
            } else if let Some(fields) = source.structs.get_mut(item)
                && let Some((name, kind)) =
                    trimmed.strip_prefix("pub ").and_then(|field| field.split_once(": "))
            {
                let docs = std::mem::take(&mut docs);
                fields.push(Field {
                    name,
                    kind: kind.trim_end_matches(','),
                    docs,
                    line: line_idx + 1,
                });
            }
            docs.clear();
        }
        source.read_defaults(text);
        source
    }

    fn read_defaults(&mut self, text: &'a str) {
        for block in text.split("\nimpl Default for ").skip(1) {
            let Some((name, body)) = block.split_once(" {") else { continue };
            let body = body.split("\n}").next().unwrap_or(body);
            let Some(values) = body.rsplit_once("Self {").map(|(_, values)| values) else {
                continue;
            };
            for value in split_top_level(values) {
                if let Some((field, value)) = value.trim().split_once(": ") {
                    self.defaults.insert((name, field), value.trim());
                }
            }
        }
    }
}

fn item_name<'a>(line: &'a str, kind: &str) -> Option<&'a str> {
    line.strip_prefix(kind)?.strip_suffix(" {")
}

/// The parts between the commas that stand in no bracket, up to the bracket that closes the whole.
fn split_top_level(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0_usize);
    for (position, char) in text.char_indices() {
        match char {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' if depth > 0 => depth -= 1,
            ',' if depth > 0 => {}
            ',' | '}' => {
                parts.extend(text.get(start..position));
                start = position + 1;
                if char == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    parts
}
