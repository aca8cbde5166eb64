//! Reading a large TOML file piece by piece.
//!
//! The parser holds all tokens and events of its text at once, twenty times the text; fresh memory of that
//! size costs more than the parsing, and grows faster than the text. A configuration of many components is
//! a row of `[components.NAME]` tables, so it is cut before such lines. Invariant: the tree is that of
//! the complete text, or there is none and the text is parsed at once: whenever a piece has an error, or two pieces
//! have the same table, or a cut could fall inside a value.

use std::collections::HashSet;
use std::ops::Range;

use toml::de::DeTable;

use super::{Member, Node, Value, from_toml_table};

/// Pieces have at least this many bytes: enough that cutting costs nothing.
pub(super) const LEAST: usize = 1 << 20;

const HEADER: &str = "[components.";

/// Where to cut: first what stands before the components, then pieces that each begin with a header.
fn cut(text: &str, least: usize) -> Option<Vec<Range<usize>>> {
    // Inside a multi-line string a line may look like a header. Inside a list it cannot: it is no value.
    if text.len() < 2 * least || text.contains("\"\"\"") || text.contains("'''") {
        return None;
    }
    let mut pieces = Vec::new();
    let (mut begin, mut at) = (0, 0);
    for line in text.split_inclusive('\n') {
        if line.starts_with(HEADER) {
            if pieces.is_empty() || at - begin >= least {
                pieces.push(begin..at);
                begin = at;
            }
        } else if line.trim_start().starts_with('[') && line.contains("components") {
            return None; // Another way to speak of the same table.
        }
        at += line.len();
    }
    pieces.push(begin..text.len());
    (pieces.len() > 2).then_some(pieces)
}

/// The tree of the whole text; none when it must be parsed as a whole.
pub(super) fn parse(text: &str, least: usize) -> Option<Node<'_>> {
    let mut roots: Vec<Member<'_>> = Vec::new();
    let mut components: Option<Member<'_>> = None;
    let mut names: HashSet<String> = HashSet::new();
    for (i, piece) in cut(text, least)?.into_iter().enumerate() {
        let base = piece.start;
        let table = DeTable::parse(&text[piece]).ok()?;
        let Value::Table(members) = from_toml_table(table.into_inner(), base) else { return None };
        for member in members {
            if member.key != "components" {
                if roots.iter().any(|r| r.key == member.key) {
                    return None;
                }
                roots.push(member);
                continue;
            }
            let Value::Table(more) = member.node.value else { return None };
            if i == 0 || more.iter().any(|m| !names.insert(m.key.to_string())) {
                return None;
            }
            let whole = components.get_or_insert_with(|| Member {
                key: member.key,
                key_span: member.key_span,
                node: Node { span: member.node.span, value: Value::Table(Vec::new()) },
            });
            let Value::Table(all) = &mut whole.node.value else { return None };
            all.extend(more);
        }
    }
    roots.extend(components);
    Some(Node { span: 0..text.len(), value: Value::Table(roots) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A tree without the spans of tables: a parser's span of a table is its header.
    fn show(node: &Node<'_>) -> String {
        match &node.value {
            Value::Table(members) => {
                let mut shown: Vec<String> = members
                    .iter()
                    .map(|m| format!("{}@{:?}={}", m.key, m.key_span, show(&m.node)))
                    .collect();
                shown.sort();
                format!("{{{}}}", shown.join(", "))
            }
            other => format!("{:?}{other:?}", node.span),
        }
    }

    fn same(text: &str) -> Result<bool, TestCaseError> {
        let Some(pieced) = parse(text, 1) else { return Ok(false) };
        let whole = DeTable::parse(text);
        prop_assert!(whole.is_ok(), "pieces accept an invalid text: {text}");
        let whole = Node { span: 0..0, value: from_toml_table(whole.unwrap().into_inner(), 0) };
        prop_assert_eq!(show(&pieced), show(&whole));
        Ok(true)
    }

    #[test]
    fn pieces_are_used_where_they_can_be() {
        let check = |text: &str, want: bool| assert_eq!(same(text).unwrap(), want, "{text}");
        check(
            "x = 1\n[components.a]\nb = 1\n[components.c]\nb = [\n1,\n]\n[pools.x]\n[components.d]",
            true,
        );
        check("[components.a]\nb = 1\n[components.a]\n[components.b]", false);
        check("[components.a]\nb = 1\n[components.c]\n[components.a.e]", false);
        check("components.x = 1\n[components.a]\n[components.b]", false);
        check("[components.a]\n[components.b]\n[components]\nx = 1", false);
        check("[components.a]\n[components.b]\nx = \"\"\"\n[components.c]\n\"\"\"", false);
        check("[components.a]\n[components.b]\nx = [\n[components.c]\n]", false);
        check("[components.a]\n[components.b]\n[[components.c]]", false);
        check("[manager]\n[components.a]\n[manager]\n[components.b]", false);
    }

    fn line() -> impl Strategy<Value = String> {
        let odd = [
            "[components.a]",
            "[components.d.env]",
            "[components.\"a\"]",
            "[components]",
            "[ components.e ]",
            "[manager]",
            "[pools.x]",
            "[[components.f]]",
            "y = [",
            "]",
            "1,",
            "z = \"[components.\"",
            "w = '''",
            "'''",
            "components.g = {}",
            "# [components.",
            "e.f = { a = 1 }",
            "\u{feff}",
        ];
        prop_oneof![
            6 => (0..60).prop_map(|i| format!("[components.c{i}]\nx = {i}")),
            3 => (0..60).prop_map(|i| format!("k{i} = [\n\"é\", {{ a = 1 }}]")),
            1 => prop::sample::select(odd.to_vec()).prop_map(String::from),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn pieces_give_the_tree_of_the_complete_text(lines in prop::collection::vec(line(), 0..12)) {
            same(&lines.join("\n"))?;
        }
    }
}
