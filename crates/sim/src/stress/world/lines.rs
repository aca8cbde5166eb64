//! Inputs and effects as text, for traces: one line each.

use majordomo_core::EventKind;
use majordomo_engine::{Effect, Input};

/// An input as text; of a catalog, the names only.
pub(super) fn of_input(input: &Input) -> String {
    match input {
        Input::Configure { catalog, budget, .. } => {
            let specs: Vec<_> = catalog.keys().map(|k| catalog.id(k).as_str()).collect();
            format!("Configure {{ budget: {budget}, components: {specs:?} }}")
        }
        other => format!("{other:?}"),
    }
}

/// An effect as text; the frequent records of states and answers are shortened.
pub(super) fn of_effect(effect: &Effect) -> String {
    let Effect::Record(r) = effect else { return format!("{effect:?}") };
    match &r.kind {
        EventKind::State { component, from, to, cause, op, booked } => {
            let op = op.map_or_else(String::new, |o| format!(" #{o}"));
            format!("[{}] key {component}{op}: {from:?} -> {to:?}, {booked}: {cause}", r.seq)
        }
        EventKind::Granted { waiter, .. } => format!("[{}] granted {waiter}", r.seq),
        EventKind::Refused { waiter, refusal, .. } => {
            format!("[{}] refused {waiter}: {refusal}", r.seq)
        }
        other => format!("[{}] {other:?}", r.seq),
    }
}
