//! Admission: whether a set can be had now, what would be reserved, and who would have to go.
//!
//! [`Engine::admit`] is pure: `handle` and `plan` share it. What it does not know — who holds leases — it
//! is told in `leased`.

mod fit;
mod room;

use std::collections::BTreeMap;

use majordomo_core::{
    ByteSize, Cause, ComponentKey, ComponentState, Confidence, FailureCause, Holder, HolderKind,
    Moment, Refusal,
};
use majordomo_lifecycle::{Entry, Origin, Removal, Then, TxnId, Verdict};
use majordomo_registry::ConflictPolicy;

use self::fit::Fit;
use crate::Engine;

/// A set to be admitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub id: Option<TxnId>,
    pub origin: Origin,
    pub closure: &'a [ComponentKey],
    /// Until when it may wait for a component that failed to be tried again; none = not at all.
    pub deadline: Option<Moment>,
    /// What the source of a hint says of the component's next use, over what is known of it.
    pub stated: Option<Confidence>,
    /// Components whose leases it gives up: they need not stay for having been loaded just now.
    pub gives_up: &'a [ComponentKey],
}

impl Ask<'_> {
    fn by_operator(&self) -> bool {
        matches!(self.origin, Origin::Demand { lease: false, .. })
    }
}

/// Why one component stays, and until when if that ends by itself.
struct Bar {
    kind: HolderKind,
    until: Option<Moment>,
}

/// What admission has gathered so far.
#[derive(Default)]
struct Draft {
    reserve: Vec<(ComponentKey, usize, ByteSize)>,
    victims: Vec<ComponentKey>,
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
    /// RAM is missing, whatever else is in the way.
    short: bool,
}

impl Draft {
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

impl Engine {
    /// What can be done for a set now.
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
        let mut draft = Draft::default();
        let mut missing = false;
        for &key in ask.closure {
            let e = self.scheduler.entry(key);
            match e.state() {
                ComponentState::Ready if !e.is_open() => {
                    draft.block(self.holder(key, HolderKind::Unloading), None);
                }
                ComponentState::Ready => {}
                ComponentState::Queued | ComponentState::Loading => missing = true,
                ComponentState::Draining => {
                    missing = true;
                    draft.block(self.holder(key, leaving_kind(e)), None);
                }
                // Another transaction brings it: it is not paid for twice.
                _ if self.scheduler.is_expected(key, ask.id) => missing = true,
                ComponentState::Unloading => {
                    missing = true;
                    draft.awaits.push(key);
                    draft.reserve.push((key, self.catalog().pool(key), self.needs(key).load));
                }
                _ => {
                    missing = true;
                    draft.reserve.push((key, self.catalog().pool(key), self.needs(key).load));
                }
            }
        }
        if !missing && draft.holders.is_empty() {
            return Verdict::Ready;
        }
        if !draft.reserve.is_empty()
            && self.scheduler.pressure() >= self.config().memory.refuse_loads_at
        {
            return Verdict::Refuse(Refusal::Pressure { level: self.scheduler.pressure() });
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
        if !draft.holders.is_empty() || draft.declined {
            return Verdict::Blocked {
                holders: draft.holders,
                until: draft.until,
                short: draft.short,
            };
        }
        if let Err(refusal) = self.machine_bears(ask, &draft, now) {
            return Verdict::Refuse(refusal);
        }
        let Draft { reserve, victims, replaced, mut awaits, overloads, .. } = draft;
        let down = |k: &ComponentKey| self.scheduler.entry(*k).state() != ComponentState::Queued;
        awaits.extend(victims.iter().copied().filter(down));
        awaits.sort_unstable();
        awaits.dedup();
        Verdict::Start { reserve, victims, replaced, awaits, overloads }
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

    /// What makes a set impossible whoever goes.
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
                        && ask.deadline.is_none_or(|t| retry_at >= t) =>
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
        self.scheduler.live_group(key).into_iter().find_map(|k| {
            let e = self.scheduler.entry(k);
            // What goes for good keeps nobody out.
            let goes = e.state() == ComponentState::Unloading
                && e.removal().is_some_and(|r| *r.then() == Then::Unloaded);
            if !e.is_fixed() || goes {
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

    /// Everything alive that conflicts with what is to be loaded goes too, or is in the way.
    fn clear_conflicts(
        &self,
        ask: Ask<'_>,
        leased: &BTreeMap<ComponentKey, u32>,
        now: Moment,
        draft: &mut Draft,
    ) -> Result<(), Refusal> {
        let incoming: Vec<_> = draft.reserve.iter().map(|r| r.0).collect();
        for key in incoming {
            for conflict in self.catalog().conflicts(key) {
                let other = conflict.with;
                let e = self.scheduler.entry(other);
                let expected = self.scheduler.is_expected(other, ask.id);
                if !(e.state().is_alive() || e.state() == ComponentState::Queued || expected) {
                    continue;
                }
                let refuse = |refuses: bool| Refusal::Conflict {
                    component: self.catalog().id(key).clone(),
                    with: self.catalog().id(other).clone(),
                    refuses,
                };
                let stays = conflict.policy == ConflictPolicy::Refuse
                    && !self.is_unused_guess(other, leased);
                if stays || ask.origin.is_speculative() {
                    return Err(refuse(true));
                }
                if self.fixed_by(other).is_some() || e.state() == ComponentState::Stuck {
                    return Err(refuse(false));
                }
                if expected && e.state() != ComponentState::Queued {
                    // On its way out, or down, and to be loaded again for somebody else.
                    draft.block(self.holder(other, HolderKind::InTransaction), None);
                    continue;
                }
                if e.state() == ComponentState::Unloading {
                    draft.awaits.push(other);
                    continue;
                }
                for member in self.scheduler.live_group(other) {
                    match self.bar(member, ask, leased, now) {
                        _ if self.scheduler.entry(member).state() == ComponentState::Unloading => {
                            draft.awaits.push(member);
                        }
                        Some(bar) => draft.block(self.holder(member, bar.kind), bar.until),
                        None if draft.victims.contains(&member) => {}
                        None => {
                            draft.victims.push(member);
                            draft.replaced.push(member);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a component, and whatever runs on it, is loaded ahead and used by nobody: it goes for whoever asks
    /// for something else.
    fn is_unused_guess(&self, key: ComponentKey, leased: &BTreeMap<ComponentKey, u32>) -> bool {
        use ComponentState as S;
        self.scheduler.live_group(key).into_iter().all(|k| {
            let e = self.scheduler.entry(k);
            let may_go = match e.state() {
                S::Queued | S::Loading | S::Ready | S::Unloading => true,
                S::Draining => e.removal().is_some_and(Removal::is_drained),
                _ => false,
            };
            // What depends on it and goes already is not in its way.
            let goes = k != key && e.state() == S::Unloading;
            goes || (e.is_unrequested() && may_go && !e.is_fixed() && !leased.contains_key(&k))
        })
    }

    /// Why this one component cannot go for that set.
    fn bar(
        &self,
        key: ComponentKey,
        ask: Ask<'_>,
        leased: &BTreeMap<ComponentKey, u32>,
        now: Moment,
    ) -> Option<Bar> {
        let e = self.scheduler.entry(key);
        let bar = |kind| Some(Bar { kind, until: None });
        if e.is_fixed() {
            let pinned = e.is_pinned_now();
            return bar(if pinned { HolderKind::Pinned } else { HolderKind::Core });
        }
        if e.is_required() || ask.closure.contains(&key) {
            return bar(HolderKind::InTransaction);
        }
        if let Some(&leases) = leased.get(&key) {
            return bar(HolderKind::Leased { leases });
        }
        match e.state() {
            // Its cell is closed until it has answered a probe; nothing opens it before.
            ComponentState::Ready if !e.is_open() => bar(HolderKind::Unloading),
            ComponentState::Ready => {
                let stays = e.ready_at() + self.config().memory.min_residency;
                // What nobody asked for has no right to stay.
                (stays > now && !e.is_speculative() && !ask.gives_up.contains(&key))
                    .then_some(Bar { kind: HolderKind::JustLoaded, until: Some(stays) })
            }
            ComponentState::Queued | ComponentState::Loading => None,
            ComponentState::Stuck => bar(HolderKind::Stuck),
            _ => bar(leaving_kind(e)),
        }
    }

    /// The cause that victims of a transaction are given.
    pub(crate) fn eviction_cause(origin: Origin) -> Cause {
        match origin.waiter() {
            Some(waiter) => Cause::EvictedForDemand { waiter },
            None => Cause::EvictedForLoad,
        }
    }
}

/// How a component on its way out is in the way: whether leases keep it.
pub(crate) fn leaving_kind(e: &Entry) -> HolderKind {
    let is_leased = e.removal().is_some_and(Removal::awaits_leases);
    match e.state() {
        ComponentState::Draining if is_leased => HolderKind::Draining,
        _ => HolderKind::Unloading,
    }
}
