//! Macros: `${NAME}` in the values of the file.
//!
//! Owns the order in which they are filled in, which is llama-swap's: the last declared first, so that a macro may use those
//! above it; a model's own replace global ones of the same name in their place. A value that is a macro and nothing else
//! keeps the macro's kind. Invariant: all texts together grow by at most [`MAX_GROWTH`] bytes.

use super::document::{Kind, Node, Scalar, Value};
use super::problem::Problem;

const MAX_GROWTH: usize = 16 << 20;

#[derive(Clone, Debug)]
pub(super) struct Macro {
    pub name: String,
    pub value: Scalar,
    pub line: usize,
}

/// The macros that a table declares.
pub(super) fn declared(table: &Node, problems: &mut Vec<Problem>) -> Vec<Macro> {
    let mut macros = Vec::new();
    if !matches!(table.value, Value::Map(_)) && !table.is_null() {
        problems.push(Problem::at(table.line, format!("macros is {}, not a table", table.kind())));
    }
    for member in table.members() {
        let (name, line) = (&member.key, member.line);
        let is_name = !name.is_empty()
            && name.len() < 64
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let shown = majordomo::quoted(name);
        let mut wrong = |what: String| problems.push(Problem::at(line, what));
        match &member.node.value {
            _ if !is_name => {
                wrong(format!(
                    "{shown} is no name of a macro: letters, digits, _ and -, at most 63"
                ));
            }
            _ if ["PID", "PORT", "MODEL_ID"].contains(&name.as_str()) => {
                wrong(format!("the name of the macro {shown} is reserved; choose another"));
            }
            Value::Scalar(value) if value.kind == Kind::Null => {
                wrong(format!("the macro {shown} has no value"));
            }
            Value::Scalar(value) if value.text.contains(&format!("${{{name}}}")) => {
                wrong(format!("the macro {shown} contains itself"));
            }
            Value::Scalar(value) => {
                macros.push(Macro { name: name.clone(), value: value.clone(), line });
            }
            _ => wrong(format!("the macro {shown} is {}, not a text", member.node.kind())),
        }
    }
    macros
}

/// The macros of a model: its ID, the global ones, its own.
pub(super) fn of_model(id: &str, global: &[Macro], own: Vec<Macro>, line: usize) -> Vec<Macro> {
    let id = Macro { name: "MODEL_ID".to_owned(), value: Scalar::quoted(id), line };
    let mut all: Vec<Macro> = std::iter::once(id).chain(global.iter().cloned()).collect();
    for entry in own {
        match all.iter_mut().find(|known| known.name == entry.name) {
            Some(known) => *known = entry,
            None => all.push(entry),
        }
    }
    all
}

/// Fills macros in, within a bound for the file.
#[derive(Debug)]
pub(super) struct Filler {
    room: usize,
}

impl Filler {
    pub(super) const fn new() -> Self {
        Self { room: MAX_GROWTH }
    }

    /// Fills macros into every value of a tree, not into keys.
    pub(super) fn fill(&mut self, node: &mut Node, macros: &[Macro]) -> Result<(), Problem> {
        match &mut node.value {
            Value::List(items) => items.iter_mut().try_for_each(|item| self.fill(item, macros)),
            Value::Map(members) => {
                members.iter_mut().try_for_each(|member| self.fill(&mut member.node, macros))
            }
            Value::Scalar(scalar) => {
                let line = node.line;
                for entry in macros.iter().rev() {
                    if !scalar.text.contains("${") {
                        break;
                    }
                    if scalar.text == format!("${{{}}}", entry.name) {
                        self.grow(entry.value.text.len(), line)?;
                        *scalar = entry.value.clone();
                    } else {
                        self.fill_text(&mut scalar.text, entry, line)?;
                    }
                }
                Ok(())
            }
        }
    }

    pub(super) fn fill_text(
        &mut self,
        text: &mut String,
        entry: &Macro,
        line: usize,
    ) -> Result<(), Problem> {
        let slug = format!("${{{}}}", entry.name);
        let n = text.matches(&slug).count();
        if n > 0 {
            let value = entry.value.shown();
            self.grow(n.saturating_mul(value.len()), line)?;
            *text = text.replace(&slug, &value);
        }
        Ok(())
    }

    fn grow(&mut self, n_bytes: usize, line: usize) -> Result<(), Problem> {
        let room = self.room.checked_sub(n_bytes);
        self.room = room.ok_or_else(|| {
            Problem::at(line, "macros make more than 16 MiB of text; one repeats another too often")
        })?;
        Ok(())
    }
}

/// The first macro that is left in a text: `NAME` of `${NAME}`.
pub(super) fn left_in(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some((_, from)) = rest.split_once("${") {
        if let Some((name, _)) = from.split_once('}') {
            let is_name = !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            if is_name {
                return Some(name);
            }
        }
        rest = from;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::document::read;

    fn filled(macros: &str, text: &str) -> (Scalar, Vec<Problem>) {
        let mut problems = Vec::new();
        let table = read(macros).unwrap().0.unwrap();
        let macros = declared(&table, &mut problems);
        let mut node = read(text).unwrap().0.unwrap();
        Filler::new().fill(&mut node, &of_model("m/1", &macros, Vec::new(), 1)).unwrap();
        let Value::Scalar(scalar) = node.value else { unreachable!("a scalar") };
        (scalar, problems)
    }

    #[test]
    fn macros_use_those_above_them_and_keep_their_kind_alone() {
        let (scalar, problems) = filled("ctx: 4096\nargs: -c ${ctx}\n", "run ${args} ${MODEL_ID}");
        assert_eq!((scalar.text.as_str(), problems.len()), ("run -c 4096 m/1", 0));
        assert_eq!(filled("ctx: 4096\n", "${ctx}").0.kind, Kind::Integer(4096));
        assert_eq!(filled("t: 0.70\n", "x${t}").0.text, "x0.7");
    }

    #[test]
    fn circles_and_later_macros_are_left() {
        let (scalar, problems) = filled("a: ${b}\nb: ${a}\n", "run ${b}");
        assert!(problems.is_empty());
        assert!(left_in(&scalar.text).is_some(), "{scalar:?}");
        let (scalar, _) = filled("a: x\nb: ${c}\nc: y\n", "${a} ${b}");
        assert_eq!(left_in(&scalar.text), Some("c"));
    }

    #[test]
    fn bad_declarations_are_problems_with_their_line() {
        let (_, problems) = filled("PORT: 1\na b: 2\nc: [1]\nd: ${d}\ne:\n", "x");
        let lines: Vec<_> = problems.iter().filter_map(|p| p.line).collect();
        assert_eq!(lines, [1, 2, 3, 4, 5], "{problems:?}");
    }

    #[test]
    fn macros_that_multiply_are_bounded() {
        let mut table = "m0: xxxxxxxxxxxxxxxx\n".to_owned();
        for n in 1..30 {
            table += &format!("m{n}: ${{m{0}}}${{m{0}}}\n", n - 1);
        }
        let table = read(&table).unwrap().0.unwrap();
        let macros = declared(&table, &mut Vec::new());
        let mut node = read("${m29}x").unwrap().0.unwrap();
        let problem = Filler::new().fill(&mut node, &macros).unwrap_err();
        assert!(problem.message.contains("16 MiB"), "{problem:?}");
    }

    #[test]
    fn what_is_no_macro_stays() {
        assert_eq!(left_in("a ${} ${x y} $x"), None);
        assert_eq!(left_in("a ${} ${x-1}"), Some("x-1"));
    }
}
