//! The choice among the components of a selector. Pure: reads a status, decides nothing else.

use majordomo::{
    ByteSize, ComponentId, ComponentState, ComponentStatus, Select, SelectorSpec, Status,
};

/// The component that a request is sent to, among those that `may` be used; none when there is none.
pub(crate) fn choose(
    selector: &SelectorSpec,
    status: &Status,
    may: impl Fn(&ComponentId) -> bool,
) -> Option<ComponentId> {
    let of = |id: &ComponentId| status.components.iter().find(|c| c.id == *id);
    let all: Vec<_> = selector.components.iter().filter(|id| may(id)).filter_map(of).collect();
    let usable: Vec<_> = all.iter().copied().filter(|c| is_usable(c.state)).collect();
    // When all have failed, the refusal of the first says why.
    let first = || usable.first().or(all.first()).copied();
    let chosen = match selector.select {
        Select::First => first(),
        Select::Warm => {
            let find = |is: &dyn Fn(&ComponentStatus) -> bool| {
                usable.iter().copied().find(|component| is(component))
            };
            find(&|c| c.state == ComponentState::Ready)
                .or_else(|| find(&|c| is_on_its_way(c.state)))
                .or_else(|| find(&|c| fits(c, status)))
                .or_else(first)
        }
        Select::Smallest => usable.iter().copied().min_by_key(|c| c.settled_need).or_else(first),
    };
    chosen.map(|component| component.id.clone())
}

fn is_usable(state: ComponentState) -> bool {
    !matches!(
        state,
        ComponentState::Failed { .. } | ComponentState::Quarantined { .. } | ComponentState::Stuck
    )
}

fn is_on_its_way(state: ComponentState) -> bool {
    matches!(state, ComponentState::Loading { .. } | ComponentState::Queued { .. })
}

/// Whether a load fits beside everything that is loaded.
fn fits(component: &ComponentStatus, status: &Status) -> bool {
    let memory = &status.memory;
    let pool = memory.pools.iter().find(|pool| pool.name == component.pool);
    let is_other_memory = pool.is_some_and(|pool| pool.declared);
    let free = |budget: ByteSize, booked: ByteSize| budget.0.saturating_sub(booked.0);
    let in_total = free(memory.budget, memory.booked + memory.claimed);
    let in_pool = pool.and_then(|pool| Some(free(pool.budget?, pool.booked)));
    let need = component.load_need.max(component.settled_need).0;
    (is_other_memory || need <= in_total) && in_pool.is_none_or(|room| need <= room)
}
