//! Replays by the name of a policy: each user with a policy, or an engine, that has seen nothing yet.

use super::budget::ReplayBudget;
use super::engine::replay_engine;
use super::name::PolicyName;
use super::report::{Budget, Tally};
use super::run::replay_user;
use super::rungs::RungTable;
use super::trace::{Trace, UserTrace};

/// Replays one user, cold, with a policy by its name, and with rungs where there is a table. `on_event` is called after
/// every event.
#[must_use]
pub fn replay_one(
    user: &UserTrace,
    budget: Budget,
    policy: PolicyName,
    rungs: Option<&RungTable>,
    on_event: &mut dyn FnMut(),
) -> Tally {
    let bytes = ReplayBudget::new(budget);
    match policy.through_engine() {
        Some((kind, trims)) => replay_engine(user, bytes, (kind, trims), rungs, on_event),
        None => replay_user(user, budget, policy.build(user, bytes).as_mut(), rungs, on_event),
    }
}

/// Replays all users of a trace, each cold, and returns the counts by user. `on_event` is called after every event.
pub fn replay_trace(
    trace: &Trace,
    budget: Budget,
    policy: PolicyName,
    rungs: Option<&RungTable>,
    on_event: &mut dyn FnMut(),
) -> Vec<Tally> {
    trace.users.iter().map(|user| replay_one(user, budget, policy, rungs, on_event)).collect()
}
