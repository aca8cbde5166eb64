//! Admission: whether a set can be loaded now, what would be reserved, and which components would be evicted.
//!
//! [`Admission`] reads the scheduler, the policy and the values, and changes none of them: `handle` and `plan` share it,
//! and so do the relief of memory and the trim of idle memory, which evict by the same rules. It does not know which
//! components are leased: its callers pass that in, as far as their cells have answered.

mod conflicts;
mod fit;
mod needs;
mod ranking;
mod room;
mod steps;

use std::collections::BTreeMap;
use std::sync::Arc;

use majordomo_core::{
    ByteSize, ComponentKey, ComponentState, Confidence, Config, FailureCause, Holder, HolderKind,
    Moment, Refusal, Rung, Values,
};
use majordomo_lifecycle::{
    Admitted, Entry, Origin, Removal, Scheduler, Then, TxnId, Verdict, Victim,
};
use majordomo_memory::{EvictionPolicy, Reservation, Shortage};
use majordomo_preloader::Preloader;
use majordomo_registry::Catalog;

use self::fit::Fit;
pub(crate) use self::steps::{Judge, Purpose};
use crate::forecast::Forecaster;
use crate::pace::Pace;
use crate::thrash::Thrash;

/// The state that admission reads.
#[derive(Clone, Copy)]
pub(crate) struct Admission<'a> {
    scheduler: &'a Scheduler,
    policy: &'a dyn EvictionPolicy,
    forecaster: &'a Forecaster,
    /// Values with those of dependents.
    values: &'a Values,
    preloads: &'a Preloader,
    thrash: &'a Thrash,
    pace: &'a Pace,
    /// Memory that the machine can spare, as last reported.
    spare: Option<ByteSize>,
}

/// A set to be admitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub id: Option<TxnId>,
    pub origin: Origin,
    pub closure: &'a [ComponentKey],
    /// When it is answered at the latest; none = it waits for no component that failed to be tried again.
    pub deadline: Option<Moment>,
    /// Until when it waits for that, if not until its deadline.
    pub patience: Option<Moment>,
    /// The probability of a demand within the horizon that a hint states, over the forecast.
    pub stated: Option<Confidence>,
    /// Where a preload leaves the component; none = ready.
    pub raises_to: Option<Rung>,
    /// Components whose leases it gives up: none of them stays for having been loaded just now, or is held.
    pub gives_up: &'a [ComponentKey],
}

impl<'a> Ask<'a> {
    /// A set that gives up no lease and states no confidence.
    pub(crate) fn new(
        id: Option<TxnId>,
        origin: Origin,
        closure: &'a [ComponentKey],
        deadline: Option<Moment>,
    ) -> Self {
        Self {
            id,
            origin,
            closure,
            deadline,
            patience: None,
            stated: None,
            raises_to: None,
            gives_up: &[],
        }
    }

    fn by_operator(&self) -> bool {
        matches!(self.origin, Origin::Demand { lease: false, .. })
    }
}

/// Why one component stays, and until when if that ends by itself.
struct Bar {
    kind: HolderKind,
    until: Option<Moment>,
}

/// The part of a verdict that admission has gathered so far.
#[derive(Clone, Default)]
struct Draft {
    /// Members are not ready.
    incomplete: bool,
    reserve: Vec<Reservation>,
    victims: Vec<Victim>,
    replaced: Vec<ComponentKey>,
    awaits: Vec<ComponentKey>,
    /// It is admitted by what its members hold: their peaks do not fit.
    beyond: bool,
    /// Bytes that loads take beyond what is reserved.
    overloads: Vec<(ComponentKey, ByteSize)>,
    holders: Vec<Holder>,
    until: Option<Moment>,
    /// Its victims are worth more than it.
    declined: bool,
    /// The memory that is missing, whatever else is in the way.
    short: Shortage,
}

impl Draft {
    /// Where a component is left that is a victim already.
    fn target(&self, key: ComponentKey) -> Option<Rung> {
        self.victims.iter().find(|v| v.key == key).map(|v| v.to)
    }

    fn block(&mut self, holder: Holder, until: Option<Moment>) {
        if !self.holders.iter().any(|h| h.component == holder.component) {
            self.holders.push(holder);
        }
        self.until = match (self.until, until) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}

impl<'a> Admission<'a> {
    pub(crate) fn new(
        scheduler: &'a Scheduler,
        policy: &'a dyn EvictionPolicy,
        forecaster: &'a Forecaster,
        preloads: &'a Preloader,
        thrash: &'a Thrash,
        pace: &'a Pace,
        spare: Option<ByteSize>,
    ) -> Self {
        let values = forecaster.values_with_dependents();
        Self { scheduler, policy, forecaster, values, preloads, thrash, pace, spare }
    }

    fn catalog(&self) -> &Arc<Catalog> {
        self.scheduler.catalog()
    }

    fn config(&self) -> &Config {
        self.scheduler.config()
    }

    fn state(&self, key: ComponentKey) -> ComponentState {
        self.scheduler.entry(key).state()
    }
}

impl Admission<'_> {
    /// The verdict on a set now.
    pub(crate) fn admit(
        &self,
        ask: Ask<'_>,
        leased: &BTreeMap<ComponentKey, u32>,
        now: Moment,
    ) -> Verdict {
        let fit = match self.possible(ask, now) {
            Ok(fit) => fit,
            Err(refusal) => return Verdict::Refuse(refusal),
        };
        if let Some(later) = self.next_attempts(ask, now) {
            return later;
        }
        let mut draft = self.missing_members(ask);
        if !draft.incomplete && draft.holders.is_empty() {
            return Verdict::Ready;
        }
        let pressure = self.scheduler.pressure();
        if !draft.reserve.is_empty() && pressure >= self.config().memory.refuse_loads_at {
            return Verdict::Refuse(Refusal::Pressure { level: pressure });
        }
        if !draft.reserve.is_empty()
            && let Some(key) = self.beyond_under_way(ask)
        {
            draft.block(self.holder(key, HolderKind::InTransaction), None);
        }
        if let Fit::Beyond(room) = &fit {
            self.spread(ask, room, &mut draft, now);
        }
        if let Err(refusal) = self.clear_conflicts(ask, leased, now, &mut draft) {
            return Verdict::Refuse(refusal);
        }
        if draft.holders.is_empty() {
            self.find_room(ask, leased, now, &mut draft);
        }
        if ask.origin.is_speculative() && !draft.victims.is_empty() {
            let missing = keys_of(&draft.reserve);
            draft.declined = !self.is_worth(ask, &missing, &draft.victims, now);
        }
        if !draft.holders.is_empty() || draft.declined {
            let Draft { holders, until, short, .. } = draft;
            return Verdict::Blocked { holders, until, short };
        }
        if let Err(refusal) = self.machine_bears(ask, &draft, now) {
            return Verdict::Refuse(refusal);
        }
        let Draft { reserve, victims, replaced, mut awaits, overloads, .. } = draft;
        // One that waits to be loaded is gone at once, one that waits to be woken is not.
        let ends_later = |v: &&Victim| self.state(v.key).is_alive();
        awaits.extend(victims.iter().filter(ends_later).map(|v| v.key));
        awaits.sort_unstable();
        awaits.dedup();
        Verdict::Start(Admitted { reserve, victims, replaced, awaits, overloads })
    }

    /// Reserves for the members that are neither ready nor loaded by another transaction.
    fn missing_members(&self, ask: Ask<'_>) -> Draft {
        let mut draft = Draft::default();
        for &key in ask.closure {
            let e = self.scheduler.entry(key);
            match e.state() {
                ComponentState::Ready if !e.is_open() => {
                    draft.block(self.holder(key, HolderKind::Unloading), None);
                    continue;
                }
                ComponentState::Ready => continue,
                ComponentState::Queued { .. } | ComponentState::Loading { .. } => {}
                ComponentState::Draining => draft.block(self.holder(key, leaving_kind(e)), None),
                // Another transaction loads it: its bytes are reserved once.
                _ if self.scheduler.is_expected(key, ask.id) => {}
                // A park is not reversed.
                state if state.is_parking() => {
                    draft.block(self.holder(key, HolderKind::Unloading), None);
                }
                ComponentState::Down(rung) if rung.is_parked() => {
                    draft.reserve.push(self.scheduler.needed_to_wake(key, rung));
                }
                state => {
                    if state.is_unloading() {
                        draft.awaits.push(key);
                    }
                    draft.reserve.push(Reservation {
                        key,
                        pool: self.catalog().pool(key),
                        bytes: self.needs(key).load,
                        apart: self.scheduler.declared_apart(key),
                        adds: false,
                    });
                }
            }
            draft.incomplete = true;
        }
        draft
    }

    /// Why a key names no component: it was removed from the configuration, or never was in it.
    pub(crate) fn no_component(&self, key: ComponentKey) -> Option<Refusal> {
        if self.catalog().spec(key).is_some() {
            return None;
        }
        Some(if key.index() < self.catalog().len() {
            Refusal::Removed { component: self.catalog().id(key).clone() }
        } else {
            Refusal::UnknownComponent { name: format!("#{key}"), did_you_mean: None }
        })
    }

    /// Refuses a set that is impossible whatever is evicted.
    fn possible(&self, ask: Ask<'_>, now: Moment) -> Result<Fit, Refusal> {
        for &key in ask.closure {
            if let Some(refusal) = self.no_component(key) {
                return Err(refusal);
            }
            let id = || self.catalog().id(key).clone();
            let e = self.scheduler.entry(key);
            let cause =
                || FailureCause::from(e.cause().map(ToString::to_string).unwrap_or_default());
            match e.state() {
                ComponentState::Stuck => return Err(Refusal::Stuck { component: id() }),
                ComponentState::Failed { retry_at }
                    if retry_at > now
                        && !ask.by_operator()
                        && ask.patience.or(ask.deadline).is_none_or(|t| retry_at >= t) =>
                {
                    let retry_in = retry_at.since(now);
                    let (component, cause) = (id(), cause());
                    return Err(Refusal::BackingOff { component, retry_at, retry_in, cause });
                }
                ComponentState::Quarantined { until } if !ask.by_operator() => {
                    let retry_in = until.since(now);
                    let (component, cause) = (id(), cause());
                    return Err(Refusal::Quarantined { component, until, retry_in, cause });
                }
                _ => {}
            }
            let within =
                self.catalog().conflicts(key).iter().find(|c| ask.closure.contains(&c.with));
            if let Some(c) = within {
                return Err(Refusal::ConflictWithin {
                    a: id(),
                    b: self.catalog().id(c.with).clone(),
                });
            }
        }
        self.fits_at_all(ask, now)
    }

    /// That the set waits until the last of its members that back off may be tried again.
    fn next_attempts(&self, ask: Ask<'_>, now: Moment) -> Option<Verdict> {
        let mut holders = Vec::new();
        let mut until = now;
        for &key in ask.closure {
            if let ComponentState::Failed { retry_at } = self.state(key)
                && retry_at > now
                && !ask.by_operator()
            {
                holders.push(self.holder(key, HolderKind::BackingOff));
                until = until.max(retry_at);
            }
        }
        (!holders.is_empty()).then_some(Verdict::Later { holders, until })
    }

    /// CORE or pinned, itself or through a live dependent.
    fn fixed_by(&self, key: ComponentKey) -> Option<HolderKind> {
        self.scheduler.live_closure(key).into_iter().find_map(|k| {
            let e = self.scheduler.entry(k);
            // A component that is not to be loaded again is in no set's way.
            let ends = e.state().is_unloading()
                && e.removal().is_some_and(|r| *r.then() == Then::Unloaded);
            if !e.is_fixed() || ends {
                return None;
            }
            let pinned = e.is_pinned_now();
            Some(if pinned { HolderKind::Pinned } else { HolderKind::Core })
        })
    }

    pub(crate) fn holder(&self, key: ComponentKey, kind: HolderKind) -> Holder {
        Holder {
            component: self.catalog().id(key).clone(),
            booked: self.scheduler.budget().booked_for(key),
            kind,
            tags: Vec::new(),
        }
    }
}

pub(crate) fn keys_of(reserve: &[Reservation]) -> Vec<ComponentKey> {
    reserve.iter().map(|r| r.key).collect()
}

/// Whether a component has memory, or is about to: it is loaded, loading, or next to load.
pub(crate) fn is_present(state: ComponentState) -> bool {
    matches!(
        state,
        ComponentState::Ready | ComponentState::Loading { .. } | ComponentState::Queued { .. }
    )
}

/// How a component that is being removed is in the way: whether leases keep it.
pub(crate) fn leaving_kind(e: &Entry) -> HolderKind {
    let is_leased = e.removal().is_some_and(Removal::awaits_leases);
    match e.state() {
        ComponentState::Draining if is_leased => HolderKind::Draining,
        _ => HolderKind::Unloading,
    }
}
