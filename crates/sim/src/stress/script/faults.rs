//! Faults of loads, unloads, parks and wakes.

/// A fault in the next load of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name of the other variant says it")]
pub enum LoadFault {
    /// Takes ten times as long.
    Slow,
    /// The loader returns an error.
    Fails,
    Panics,
    /// The load never ends by itself.
    Hangs,
    /// The component becomes ready and exits at once.
    DiesAtOnce,
}

/// A fault in the next unload of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopFault {
    /// Ignores the request to stop; ends when killed.
    Refuses,
    /// Ends neither on request nor when killed, until much later.
    Stuck,
}

/// A fault in the next park of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name of the other variants says it")]
pub enum ParkFault {
    Fails,
    /// Other programs have filled the swap: nothing is moved, and the component is intact.
    SwapFull,
    /// The park never ends by itself.
    Hangs,
    /// Half of the memory stays.
    FreesHalf,
    /// All memory stays, as locked memory does.
    FreesNothing,
    /// The component ends while it is parked, or on its way there.
    Dies,
}

/// A fault in the next wake of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name of the other variants says it")]
pub enum WakeFault {
    Fails,
    /// The wake never ends by itself.
    Hangs,
    /// The pages of its files were dropped from the system's cache: the wake takes ten times as long.
    PagesDropped,
    /// The component ends while it is woken.
    Dies,
}

/// The faults of rungs, as they are counted.
pub(crate) const RUNG_FAULTS: [&str; 11] = [
    "park fails",
    "swap is full",
    "park hangs",
    "park frees half",
    "park frees nothing",
    "wake fails",
    "wake hangs",
    "pages dropped",
    "killed while parking",
    "killed while parked",
    "killed while waking",
];
