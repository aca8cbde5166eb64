//! The memory that is booked for a model, and its pools.

use majordomo::ByteSize;

use super::model::Translated;
use super::out;
use super::reader::Context;
use super::size::Size;
use super::surroundings::{Device, Surroundings};

/// A size that the budget can hold: what is larger than it is on a graphics card.
pub(super) fn usable(made: &Translated, around: &Surroundings<'_>) -> Size {
    match (around.device, &made.size) {
        (Device::Gpu(_), size) => size.clone(),
        (_, Size::Known { bytes, .. })
            if around.budget.is_some_and(|budget| ByteSize(*bytes) > budget) =>
        {
            Size::Unknown
        }
        (_, size) => size.clone(),
    }
}

/// The pool of a set of models of which one runs at a time.
pub(super) fn pool_name(n: usize) -> String {
    if n == 0 { "one-at-a-time".to_owned() } else { format!("one-at-a-time-{}", n + 1) }
}

/// States the memory of a component. `pool` is the number of a pool that it takes all of.
pub(super) fn memory(
    cx: &mut Context,
    made: &mut Translated,
    name: &str,
    size: &Size,
    device: Device,
    pool: Option<usize>,
) {
    let mut entries: Vec<(String, String)> = Vec::new();
    let mut comment = match (size, &made.size) {
        (Size::Known { how, .. }, _) => format!("estimated {how}; what the program holds in main memory is learned from its first load on"),
        (Size::Unknown, Size::Known { bytes, how }) => format!(
            "about {} ({how}), more than the budget of this machine: on a graphics card, import with --gpu-memory SIZE. In main memory, 100 MiB and a margin are booked until the first load is measured",
            ByteSize(*bytes)
        ),
        (Size::Unknown, Size::Unknown) => {
            "not known: 100 MiB and a margin are booked in main memory until the first load is measured; state `memory`".to_owned()
        }
    };
    if made.is_container {
        comment +=
            ". A container is no child of this program: its memory is not measured, so state it";
    }
    match (device, size) {
        (Device::Gpu(all), size) => {
            let bytes = size.bytes().unwrap_or(all.0).min(all.0);
            entries.push(("gpu".to_owned(), out::size(bytes.max(1)).to_owned()));
            if size.bytes().is_none() {
                "not known: it gets the card alone until you state it".clone_into(&mut comment);
            }
        }
        (_, Size::Known { bytes, .. }) => entries.push(("ram".to_owned(), out::size(*bytes))),
        _ => {}
    }
    if let Some(pool) = pool {
        entries.push((pool_name(pool), "\"1MiB\"".to_owned()));
    }
    let is_known = size.bytes().is_some();
    if !is_known {
        let what = if matches!(made.size, Size::Known { .. }) {
            "is more than the budget of this machine"
        } else {
            "is not known"
        };
        cx.report
            .remarks
            .push(format!("memory of [components.{name}] {what}; see the comment there"));
    }
    match entries.as_slice() {
        [] => made.table.comments.push(format!("memory: {comment}")),
        [(ram, size)] if ram == "ram" => made.table.set_with("memory", size.clone(), comment),
        entries => made.table.set_with("memory", out::inline(entries), comment),
    }
}
