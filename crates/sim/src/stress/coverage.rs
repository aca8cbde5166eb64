//! Which inputs met components in which states, compared with a declared table of possible pairs.
//!
//! An input that names components counts for their states, any other for the states of all components.

use majordomo_core::{ComponentKey, ComponentState};
use majordomo_engine::{Engine, Input, OperatorAction};

/// States, in the order of the table.
pub const STATES: [&str; 12] = [
    "unloaded",
    "queued",
    "loading",
    "ready",
    "draining",
    "unloading",
    "failed",
    "quarantined",
    "stuck",
    "parked",
    "waking",
    "parking",
];

/// Inputs by `Input::name`, in the order of the table.
pub const INPUTS: [&str; 42] = [
    "start",
    "demand",
    "abandon",
    "hint",
    "observed",
    "load_succeeded",
    "load_failed",
    "unload_finished",
    "exited",
    "healthy",
    "unhealthy",
    "pressure",
    "footprints",
    "usage",
    "released",
    "configure",
    "learned",
    "resumed",
    "operator_load",
    "operator_unload",
    "operator_unload_force",
    "operator_pin",
    "operator_unpin",
    "operator_trim",
    "shutdown",
    "grow",
    "wall_clock",
    "calm",
    "battery",
    "remembered",
    "forget",
    "begun",
    "ended",
    "spare",
    "trimmed",
    "offers",
    "parked",
    "park_failed",
    "woken",
    "wake_failed",
    "operator_park",
    "learned_rungs",
];

/// The row of a state in [`STATES`].
pub(crate) fn state_idx(state: ComponentState) -> usize {
    match state {
        state if state.is_parked() => 9,
        state if state.is_waking() => 10,
        state if state.is_parking() => 11,
        ComponentState::Down(_) => 0,
        ComponentState::Queued { .. } => 1,
        ComponentState::Loading { .. } => 2,
        ComponentState::Ready => 3,
        ComponentState::Draining => 4,
        ComponentState::Unloading { .. } => 5,
        ComponentState::Failed { .. } => 6,
        ComponentState::Quarantined { .. } => 7,
        ComponentState::Stuck => 8,
    }
}

/// The column of an input in [`INPUTS`]; none for ticks, which meet every state.
pub(crate) fn input_idx(input: &Input) -> Option<usize> {
    Some(match input {
        Input::Start => 0,
        Input::Demand { .. } => 1,
        Input::Abandon { .. } => 2,
        Input::Hint { .. } => 3,
        Input::Observed { .. } => 4,
        Input::LoadFinished { result: Ok(_), .. } => 5,
        Input::LoadFinished { .. } => 6,
        Input::UnloadFinished { .. } => 7,
        Input::Exited { .. } => 8,
        Input::Health { result: Ok(()), .. } => 9,
        Input::Health { .. } => 10,
        Input::Pressure(_) => 11,
        Input::Footprints(_) => 12,
        Input::Usage(_) => 13,
        Input::Released { .. } => 14,
        Input::Configure { .. } => 15,
        Input::Learned(_) => 16,
        Input::Resumed { .. } => 17,
        Input::Operator { action, .. } => match action {
            OperatorAction::Load => 18,
            OperatorAction::Unload { force: false } => 19,
            OperatorAction::Unload { force: true } => 20,
            OperatorAction::Pin => 21,
            OperatorAction::Unpin => 22,
            OperatorAction::Park => 40,
            _ => 23,
        },
        Input::Shutdown { .. } => 24,
        Input::Grow { .. } => 25,
        Input::WallClock(_) => 26,
        Input::Calm(_) => 27,
        Input::Battery(_) => 28,
        Input::Remembered(_) => 29,
        Input::Forget => 30,
        Input::Begun { .. } => 31,
        Input::Ended { .. } => 32,
        Input::Spare(_) => 33,
        Input::Trimmed { .. } => 34,
        Input::Offers(_) => 35,
        Input::Parked { result: Ok(_), .. } => 36,
        Input::Parked { .. } => 37,
        Input::Woken { result: Ok(_), .. } => 38,
        Input::Woken { .. } => 39,
        Input::LearnedRungs(_) => 41,
        _ => return None,
    })
}

/// States and inputs that there are only where rungs are offered.
const OF_RUNGS: [&str; 10] = [
    "parked",
    "waking",
    "parking",
    "offers",
    "parked",
    "park_failed",
    "woken",
    "wake_failed",
    "operator_park",
    "learned_rungs",
];

/// The reason why a pair cannot happen, in days with `rungs` or without; none for a possible pair.
#[must_use]
pub fn unreachable(state: &str, input: &str, rungs: bool) -> Option<&'static str> {
    if !rungs && (OF_RUNGS.contains(&state) || OF_RUNGS.contains(&input)) {
        return Some("no component is parked, since no rung is offered");
    }
    let only = |states: &[&str], why: &'static str| (!states.contains(&state)).then_some(why);
    match input {
        "start" | "learned" | "learned_rungs" | "remembered" => {
            only(&["unloaded"], "sent to an engine that has loaded nothing yet")
        }
        "load_succeeded" | "load_failed" => only(
            &["loading", "unloading", "stuck"],
            "a load ends once: while it runs, or just as it is cancelled, perhaps by a shutdown at its deadline",
        ),
        "unload_finished" => {
            only(&["unloading", "stuck"], "an unload ends once, after it was requested")
        }
        // A component that waits to be woken has an incarnation.
        "exited" if rungs && ["queued", "parked", "waking", "parking"].contains(&state) => None,
        "exited" => only(
            &["ready", "draining", "unloading", "stuck"],
            "an incarnation exits by itself while it is up, or just as it is stopped, perhaps by a shutdown at its deadline",
        ),
        "parked" | "park_failed" => only(
            &["parking", "unloading", "stuck"],
            "a park ends while it runs, or just as the component is stopped",
        ),
        "woken" | "wake_failed" => only(
            &["waking", "unloading", "stuck"],
            "a wake ends while it runs, or just as the component is stopped",
        ),
        _ => None,
    }
}

/// How often each pair was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    pairs: [[u64; INPUTS.len()]; STATES.len()],
}

impl Default for Coverage {
    fn default() -> Self {
        Self { pairs: [[0; INPUTS.len()]; STATES.len()] }
    }
}

impl Coverage {
    /// Counts an input that is about to be handled. `concerned` are the components that it names; none stands for all.
    pub(crate) fn record(
        &mut self,
        engine: &Engine,
        input: &Input,
        concerned: Option<&[ComponentKey]>,
    ) {
        let Some(column) = input_idx(input) else { return };
        match concerned {
            Some(keys) => {
                let n_known = engine.catalog().len();
                for key in keys.iter().filter(|k| k.index() < n_known) {
                    self.pairs[state_idx(engine.state(*key))][column] += 1;
                }
            }
            None => {
                let mut met = [false; STATES.len()];
                for (_, e) in engine.scheduler().entries() {
                    met[state_idx(e.state())] = true;
                }
                for (row, _) in met.iter().enumerate().filter(|(_, m)| **m) {
                    self.pairs[row][column] += 1;
                }
            }
        }
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (row, theirs) in self.pairs.iter_mut().zip(&other.pairs) {
            for (n, m) in row.iter_mut().zip(theirs) {
                *n += m;
            }
        }
    }

    /// State, input and count of every pair, in the order of the table.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        STATES.iter().enumerate().flat_map(move |(r, s)| {
            INPUTS.iter().enumerate().map(move |(c, i)| (*s, *i, self.pairs[r][c]))
        })
    }

    /// Pairs that can happen and did not.
    #[must_use]
    pub fn missed(&self, rungs: bool) -> Vec<(&'static str, &'static str)> {
        self.pairs()
            .filter(|(s, i, n)| *n == 0 && unreachable(s, i, rungs).is_none())
            .map(|(s, i, _)| (s, i))
            .collect()
    }

    /// Pairs that are declared impossible and happened.
    #[must_use]
    pub fn surprising(&self, rungs: bool) -> Vec<(&'static str, &'static str)> {
        self.pairs()
            .filter(|(s, i, n)| *n > 0 && unreachable(s, i, rungs).is_some())
            .map(|(s, i, _)| (s, i))
            .collect()
    }
}
