//! The file with its environment variables, macros and ports filled in.

use std::collections::BTreeMap;

use majordomo::quoted;

use super::document::{Kind, Member, Node, Scalar, Value};
use super::macros::{self, Filler, Macro};
use super::marks;
use super::problem::Problem;
use super::reader::Context;
use super::report::{Outcome, Report};
use super::surroundings::Surroundings;

/// Models of a file, all of which may exclude each other.
const MAX_MODELS: usize = 1000;

/// Keys in which no macro may be left; llama-swap does not read others.
const KNOWN: [&str; 8] =
    ["groups", "hooks", "matrix", "peers", "profiles", "routing", "selectors", "upstream"];

/// Whether a variable holds a secret, by its name: its value is not written.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"]
        .iter()
        .any(|part| name.contains(part))
}

/// Fills in the variables that are set and no secrets, in keys and values.
pub(super) fn fill_variables(root: &mut Node, around: &Surroundings<'_>, report: &mut Report) {
    fn walk(node: &mut Node, fill: &mut dyn FnMut(&str) -> String) {
        match &mut node.value {
            Value::List(items) => items.iter_mut().for_each(|item| walk(item, fill)),
            Value::Map(members) => {
                for Member { key, node, .. } in members {
                    *key = fill(key);
                    walk(node, fill);
                }
            }
            Value::Scalar(scalar) if scalar.text.contains(marks::is_reserved) => {
                let text = fill(&scalar.text);
                *scalar = if scalar.is_plain { Scalar::plain(text) } else { Scalar::quoted(text) };
            }
            Value::Scalar(_) => {}
        }
    }
    let mut used: BTreeMap<String, bool> = BTreeMap::new();
    walk(root, &mut |text| {
        marks::fill(text, &mut |name: &str| {
            let value = (around.env)(name)
                .filter(|value| !is_secret(name) && !value.contains(['\n', '\r', '\0']));
            used.insert(name.to_owned(), value.is_some());
            value
        })
    });
    let names = |filled: bool| {
        let names = used.iter().filter(|(_, is_filled)| **is_filled == filled);
        names.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    };
    if used.values().any(|is_filled| *is_filled) {
        report.remarks.push(format!(
            "environment variables whose present values were filled in: {}",
            names(true)
        ));
    }
    if used.values().any(|is_filled| !is_filled) {
        report.remarks.push(format!(
            "environment variables that are not set here, or hold secrets by their names: {}; commands read them from the manager's environment when they start",
            names(false)
        ));
    }
}

/// Fills macros in, and takes the models out of the tree, in the order of the file.
pub(super) fn fill_macros(root: &mut Node, cx: &mut Context) -> Vec<Member> {
    let Value::Map(members) = &mut root.value else { return Vec::new() };
    let mut global = Vec::new();
    if let Some(at) = members.iter().position(|member| member.key == "macros") {
        global = macros::declared(&members.remove(at).node, &mut cx.problems);
    }
    account(cx, &[], &global);
    let mut filler = Filler::new();
    let mut models = Vec::new();
    for member in members.iter_mut() {
        if member.key == "models" {
            if let Value::Map(all) = &mut member.node.value {
                models = std::mem::take(all);
            } else if !member.node.is_null() {
                let what = format!("models is {}, not a table", member.node.kind());
                cx.problems.push(Problem::at(member.line, what));
            }
        } else if let Err(problem) = filler.fill(&mut member.node, &global) {
            cx.problems.push(problem);
        }
    }
    if models.len() > MAX_MODELS {
        cx.problems.push(Problem::file(format!("the file has more than {MAX_MODELS} models")));
        models.clear();
    }
    let is_known = |name: &str| global.iter().any(|known| known.name == name);
    for member in root.members().iter().filter(|member| KNOWN.contains(&member.key.as_str())) {
        cx.macros_left(&member.node, &mut vec![member.key.clone()], &is_known, false);
    }
    let mut out = Vec::new();
    for mut model in models {
        let path = ["models".to_owned(), model.key.clone()];
        let Value::Map(keys) = &mut model.node.value else {
            cx.problems.push(Problem::at(
                model.line,
                format!("the model {} is {}, not a table", quoted(&model.key), model.node.kind()),
            ));
            continue;
        };
        let mut own = Vec::new();
        if let Some(at) = keys.iter().position(|member| member.key == "macros") {
            own = macros::declared(&keys.remove(at).node, &mut cx.problems);
        }
        account(cx, &path, &own);
        let all = macros::of_model(&model.key, &global, own, model.line);
        // Comments are no text in which macros could make commands.
        for command in
            keys.iter_mut().filter(|member| ["cmd", "cmdStop"].contains(&member.key.as_str()))
        {
            if let Value::Scalar(scalar) = &mut command.node.value {
                scalar.text = super::command::without_comments(&scalar.text);
            }
        }
        if let Err(problem) = filler
            .fill(&mut model.node, &all)
            .and_then(|()| fill_ids(&mut model.node, &all, &mut filler))
        {
            cx.problems.push(problem);
            continue;
        }
        mark_port(&mut model.node);
        let is_known = |name: &str| all.iter().any(|known| known.name == name);
        cx.macros_left(&model.node, &mut path.to_vec(), &is_known, false);
        out.push(model);
    }
    out
}

fn account(cx: &mut Context, path: &[String], macros: &[Macro]) {
    for entry in macros {
        let mut path = path.to_vec();
        path.extend(["macros".to_owned(), entry.name.clone()]);
        cx.report.add(Outcome::Translated, &path, entry.line, "filled in where it is used");
    }
}

/// Macros in the keys of `filters.setParamsByID`, the only keys that have some.
fn fill_ids(model: &mut Node, macros: &[Macro], filler: &mut Filler) -> Result<(), Problem> {
    let mut node = model;
    for step in ["filters", "setParamsByID"] {
        let Value::Map(members) = &mut node.value else { return Ok(()) };
        let Some(next) = members.iter_mut().find(|member| member.key == step) else {
            return Ok(());
        };
        node = &mut next.node;
    }
    let Value::Map(members) = &mut node.value else { return Ok(()) };
    for member in members {
        for entry in macros.iter().rev() {
            filler.fill_text(&mut member.key, entry, member.line)?;
        }
    }
    Ok(())
}

/// Marks `${PORT}` in a model whose command has it.
fn mark_port(model: &mut Node) {
    fn walk(node: &mut Node) {
        match &mut node.value {
            Value::List(items) => items.iter_mut().for_each(walk),
            Value::Map(members) => members.iter_mut().for_each(|member| walk(&mut member.node)),
            Value::Scalar(scalar) => {
                if scalar.text.contains("${PORT}") {
                    scalar.text = scalar.text.replace("${PORT}", &marks::PORT.to_string());
                    scalar.kind = Kind::Text;
                }
            }
        }
    }
    let has_port = model.member("cmd").is_some_and(|cmd| match &cmd.node.value {
        Value::Scalar(scalar) => scalar.text.contains("${PORT}"),
        _ => false,
    });
    if has_port {
        walk(model);
    } else if let Value::Map(members) = &mut model.value {
        // Reported for the model, which has no component then.
        let proxy = members.iter_mut().filter(|member| member.key == "proxy");
        proxy.for_each(|member| walk(&mut member.node));
    }
}
