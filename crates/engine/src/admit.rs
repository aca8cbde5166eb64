//! Admission: whether a set can be had now, what would be reserved, and who would have to go.
//!
//! [`Engine::admit`] is pure: `handle` and `plan` share it. What it does not know — who holds leases — it
//! is told in `leased`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{
    ByteSize, Cause, ComponentKey, ComponentState, Confidence, Holder, HolderKind, Moment,
    PressureLevel, Priority, Refusal, Value, Values,
};
use majordomo_lifecycle::{Origin, TxnId, Verdict};
use majordomo_memory::{Candidate, Need, Shortage, newcomer, victim_order};
use majordomo_registry::ConflictPolicy;

use crate::Engine;

/// A set to be admitted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub id: Option<TxnId>,
    pub origin: Origin,
    pub closure: &'a [ComponentKey],
    /// What the source of a hint says of the component's next use, over what is known of it.
    pub stated: Option<Confidence>,
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
    holders: Vec<Holder>,
    until: Option<Moment>,
    /// Its victims are worth more than it.
    declined: bool,
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
        if let Err(refusal) = self.possible(ask, now) {
            return Verdict::Refuse(refusal);
        }
        let mut draft = Draft::default();
        let mut missing = false;
        for &key in ask.closure {
            let e = self.scheduler.entry(key);
            match e.state {
                ComponentState::Ready if e.probe_first => {
                    draft.block(self.holder(key, HolderKind::Leaving), None);
                }
                ComponentState::Ready => {}
                ComponentState::Queued | ComponentState::Loading => missing = true,
                ComponentState::Draining => {
                    missing = true;
                    draft.block(self.holder(key, HolderKind::Leaving), None);
                }
                // Another transaction brings it: it is not paid for twice.
                _ if self.scheduler.is_expected(key, ask.id) => missing = true,
                ComponentState::Unloading => {
                    missing = true;
                    draft.awaits.push(key);
                    draft.reserve.push((key, self.configured_pool(key), self.need(key)));
                }
                _ => {
                    missing = true;
                    draft.reserve.push((key, self.configured_pool(key), self.need(key)));
                }
            }
        }
        if !missing && draft.holders.is_empty() {
            return Verdict::Ready;
        }
        if !draft.reserve.is_empty() && self.pressure >= self.config().memory.refuse_loads_at {
            return Verdict::Refuse(Refusal::Pressure { level: self.pressure });
        }
        if let Err(refusal) = self.clear_conflicts(ask, leased, now, &mut draft) {
            return Verdict::Refuse(refusal);
        }
        if draft.holders.is_empty() {
            self.find_room(ask, leased, now, &mut draft);
        }
        if !draft.holders.is_empty() || draft.declined {
            return Verdict::Blocked { holders: draft.holders, until: draft.until };
        }
        let Draft { reserve, victims, replaced, mut awaits, .. } = draft;
        let down = |k: &ComponentKey| self.scheduler.entry(*k).state != ComponentState::Queued;
        awaits.extend(victims.iter().copied().filter(down));
        awaits.sort_unstable();
        awaits.dedup();
        Verdict::Start { reserve, victims, replaced, awaits }
    }

    /// What makes a set impossible whoever goes.
    fn possible(&self, ask: Ask<'_>, now: Moment) -> Result<(), Refusal> {
        for &key in ask.closure {
            let id = || self.catalog().id(key).clone();
            let e = self.scheduler.entry(key);
            if self.catalog().spec(key).is_none() {
                return Err(Refusal::Removed { component: id() });
            }
            match e.state {
                ComponentState::Stuck => return Err(Refusal::Stuck { component: id() }),
                ComponentState::Failed { retry_at } if retry_at > now && !ask.by_operator() => {
                    let retry_in = retry_at.since(now);
                    return Err(Refusal::BackingOff { component: id(), retry_at, retry_in });
                }
                ComponentState::Quarantined { until } if !ask.by_operator() => {
                    let retry_in = until.since(now);
                    return Err(Refusal::Quarantined { component: id(), until, retry_in });
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
        self.fits_at_all(ask)
    }

    /// Whether the closure fits into the budget less what can never go.
    fn fits_at_all(&self, ask: Ask<'_>) -> Result<(), Refusal> {
        let mut need = Need::new();
        let mut total = ByteSize::ZERO;
        for &key in ask.closure {
            let booked = self.budget.booked_for(key);
            let bytes =
                if self.scheduler.entry(key).state == ComponentState::Unloading || booked.0 == 0 {
                    self.need(key)
                } else {
                    booked
                };
            let pool = self.pool(key);
            need.add(pool, bytes);
            if !self.budget.limit_of(pool).declared {
                total += bytes;
            }
        }
        let mut fixed = Need::new();
        let mut fixed_total = ByteSize::ZERO;
        let mut holders = Vec::new();
        for (key, e) in self.scheduler.entries() {
            if !e.state.is_alive() || ask.closure.contains(&key) {
                continue;
            }
            let kind = match e.state {
                ComponentState::Stuck => HolderKind::Stuck,
                ComponentState::Unloading | ComponentState::Draining => continue,
                _ => match self.fixed_by(key) {
                    Some(kind) => kind,
                    None => continue,
                },
            };
            let pool = self.pool(key);
            let booked = self.budget.booked_for(key);
            fixed.add(pool, booked);
            if !self.budget.limit_of(pool).declared {
                fixed_total += booked;
            }
            holders.push(self.holder(key, kind));
        }
        let available = self.budget.total() - fixed_total;
        if total > available {
            let measured = self.measured_need(ask.closure, None);
            return Err(Refusal::TooLarge {
                need: total,
                available,
                pool: None,
                holders,
                measured,
            });
        }
        for (pool, bytes) in need.iter() {
            let Some(limit) = self.budget.limit_of(pool).budget else { continue };
            let available = limit - fixed.of(pool);
            if bytes > available {
                let name = Arc::clone(&self.catalog().pools()[pool].name);
                holders.retain(|h| {
                    self.catalog().key(h.component.as_str()).is_some_and(|k| self.pool(k) == pool)
                });
                return Err(Refusal::TooLarge {
                    need: bytes,
                    available,
                    pool: Some(name),
                    holders,
                    measured: self.measured_need(ask.closure, Some(pool)),
                });
            }
        }
        Ok(())
    }

    /// CORE or pinned, itself or through a live dependent.
    fn fixed_by(&self, key: ComponentKey) -> Option<HolderKind> {
        self.scheduler.live_group(key).into_iter().find_map(|k| {
            let e = self.scheduler.entry(k);
            if !e.is_fixed() {
                return None;
            }
            let pinned = e.is_pinned(e.spec.as_ref());
            Some(if pinned { HolderKind::Pinned } else { HolderKind::Core })
        })
    }

    pub(crate) fn holder(&self, key: ComponentKey, kind: HolderKind) -> Holder {
        Holder {
            component: self.catalog().id(key).clone(),
            booked: self.budget.booked_for(key),
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
                if !(e.state.is_alive() || e.state == ComponentState::Queued || expected) {
                    continue;
                }
                let refuse = |refuses: bool| Refusal::Conflict {
                    component: self.catalog().id(key).clone(),
                    with: self.catalog().id(other).clone(),
                    refuses,
                };
                if conflict.policy == ConflictPolicy::Refuse || ask.origin.is_speculative() {
                    return Err(refuse(true));
                }
                if self.fixed_by(other).is_some() || e.state == ComponentState::Stuck {
                    return Err(refuse(false));
                }
                if expected && e.state != ComponentState::Queued {
                    // On its way out, or down, and to be loaded again for somebody else.
                    draft.block(self.holder(other, HolderKind::InTransaction), None);
                    continue;
                }
                if e.state == ComponentState::Unloading {
                    draft.awaits.push(other);
                    continue;
                }
                for member in self.scheduler.live_group(other) {
                    match self.bar(member, ask, leased, now) {
                        _ if self.scheduler.entry(member).state == ComponentState::Unloading => {
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
            let pinned = e.is_pinned(e.spec.as_ref());
            return bar(if pinned { HolderKind::Pinned } else { HolderKind::Core });
        }
        if e.pins > 0 || ask.closure.contains(&key) {
            return bar(HolderKind::InTransaction);
        }
        if let Some(&leases) = leased.get(&key) {
            return bar(HolderKind::Leased { leases });
        }
        match e.state {
            // Its cell is closed until it has answered a probe; nothing opens it before.
            ComponentState::Ready if e.probe_first => bar(HolderKind::Leaving),
            ComponentState::Ready => {
                let stays = e.ready_at + self.config().memory.min_residency;
                // What nobody asked for has no right to stay.
                (stays > now && !e.speculative)
                    .then_some(Bar { kind: HolderKind::JustLoaded, until: Some(stays) })
            }
            ComponentState::Queued | ComponentState::Loading => None,
            ComponentState::Stuck => bar(HolderKind::Stuck),
            _ => bar(HolderKind::Leaving),
        }
    }

    /// Victims until the reservations fit, in the policy's order.
    fn find_room(
        &self,
        ask: Ask<'_>,
        leased: &BTreeMap<ComponentKey, u32>,
        now: Moment,
        draft: &mut Draft,
    ) {
        let mut need = Need::new();
        for &(_, pool, bytes) in &draft.reserve {
            need.add(pool, bytes);
        }
        let mut short = self.budget.shortage(&need, ask.id.map(|id| id.0));
        self.relieve_by_draft(ask, draft, &mut short);
        if short.is_none() {
            return;
        }
        // Bytes that come free anyway and belong to nobody.
        for (key, e) in self.scheduler.entries() {
            let free = e.state == ComponentState::Unloading && self.frees_for(key, ask);
            if free && !draft.awaits.contains(&key) && self.helps(key, &short) {
                self.relieve_by(key, &mut short);
                draft.awaits.push(key);
            }
            if short.is_none() {
                return;
            }
        }
        let (order, mut barred) = self.ranked_groups(ask, leased, now, draft);
        let mut chosen: Vec<Vec<ComponentKey>> = Vec::new();
        for group in order {
            if short.is_none() {
                break;
            }
            if !group.iter().any(|k| self.helps(*k, &short)) {
                continue;
            }
            let fresh: Vec<_> = group
                .into_iter()
                .filter(|k| !draft.victims.contains(k) && !chosen.iter().flatten().any(|c| c == k))
                .collect();
            for &key in &fresh {
                self.relieve_by(key, &mut short);
            }
            chosen.push(fresh);
        }
        if short.is_none() {
            let victims: Vec<_> =
                self.without_surplus(&need, chosen, ask, draft).into_iter().flatten().collect();
            let bytes = draft.reserve.iter().map(|r| r.2).sum();
            if ask.origin.is_speculative() && !self.is_worth(ask, &victims, bytes) {
                draft.declined = true;
                return;
            }
            draft.victims.extend(victims);
            return;
        }
        barred.sort_by_key(|(h, _)| std::cmp::Reverse(h.booked));
        if barred.is_empty() {
            // Nobody holds it: other programs, claims of others, or bytes not given back.
            draft.until = Some(now + Duration::from_secs(1));
            draft.holders.extend(self.in_flight(ask));
        }
        for (holder, until) in barred {
            draft.block(holder, until);
        }
        if draft.holders.is_empty() {
            draft.holders.push(self.nobody(ask));
        }
    }

    /// Bytes of what is on its way out that whoever it was sent away for does not need. `owed` is what each of
    /// those still needs.
    fn left_over(
        &self,
        key: ComponentKey,
        ask: Ask<'_>,
        owed: &mut BTreeMap<TxnId, ByteSize>,
    ) -> ByteSize {
        let booked = self.budget.booked_for(key);
        let leave = self.scheduler.entry(key).leave.as_ref();
        let Some(other) = leave.and_then(|l| l.freed_for).filter(|t| Some(*t) != ask.id) else {
            return booked;
        };
        let owed = owed.entry(other).or_insert_with(|| {
            let Some(t) = self.scheduler.transaction(other) else { return ByteSize::ZERO };
            let short = self.budget.shortage(&t.need(), Some(t.id.0));
            short.pools.iter().map(|p| p.1).fold(short.total, ByteSize::max)
        });
        let given = booked.min(*owed);
        *owed = *owed - given;
        booked - given
    }

    /// Whether the bytes of what is on its way out are promised to nobody else.
    fn frees_for(&self, key: ComponentKey, ask: Ask<'_>) -> bool {
        let leave = self.scheduler.entry(key).leave.as_ref();
        leave.is_some_and(|l| l.freed_for.is_none() || l.freed_for == ask.id)
    }

    /// Loads and departures of others whose bytes are spoken for.
    fn in_flight(&self, ask: Ask<'_>) -> Vec<Holder> {
        self.scheduler
            .entries()
            .filter(|(k, e)| {
                !ask.closure.contains(k)
                    && (e.state.is_alive() || e.state == ComponentState::Queued)
                    && self.budget.booked_for(*k).0 > 0
            })
            .map(|(k, e)| {
                let leaving =
                    matches!(e.state, ComponentState::Draining | ComponentState::Unloading);
                self.holder(
                    k,
                    if leaving { HolderKind::Leaving } else { HolderKind::InTransaction },
                )
            })
            .collect()
    }

    /// The component itself as a stand-in when the budget is taken by no component at all.
    fn nobody(&self, ask: Ask<'_>) -> Holder {
        let key = ask.closure.last().copied().unwrap_or_default();
        self.holder(key, HolderKind::InTransaction)
    }

    fn helps(&self, key: ComponentKey, short: &Shortage) -> bool {
        let pool = self.pool(key);
        self.budget.booked_for(key).0 > 0
            && short.helped_by(pool, self.budget.limit_of(pool).declared)
    }

    fn relieve_by(&self, key: ComponentKey, short: &mut Shortage) {
        let pool = self.pool(key);
        short.relieve(pool, self.budget.limit_of(pool).declared, self.budget.booked_for(key));
    }

    /// By what is going to go, and what is on its way out.
    fn relieve_by_draft(&self, ask: Ask<'_>, draft: &Draft, short: &mut Shortage) {
        for &key in &draft.victims {
            self.relieve_by(key, short);
        }
        let mut owed = BTreeMap::new();
        for &key in &draft.awaits {
            let pool = self.pool(key);
            let bytes = self.left_over(key, ask, &mut owed);
            short.relieve(pool, self.budget.limit_of(pool).declared, bytes);
        }
    }

    /// Groups that may go, worst first, and those that may not with the reason.
    #[allow(clippy::type_complexity)]
    fn ranked_groups(
        &self,
        ask: Ask<'_>,
        leased: &BTreeMap<ComponentKey, u32>,
        now: Moment,
        draft: &Draft,
    ) -> (Vec<Vec<ComponentKey>>, Vec<(Holder, Option<Moment>)>) {
        let mut groups = Vec::new();
        let mut candidates = Vec::new();
        let mut barred = Vec::new();
        let tiers = self.scheduler.wanted_tiers(now);
        for (key, e) in self.scheduler.entries() {
            let there = matches!(
                e.state,
                ComponentState::Ready | ComponentState::Loading | ComponentState::Queued
            );
            if !there || draft.victims.contains(&key) || self.budget.booked_for(key).0 == 0 {
                continue;
            }
            let group = self.scheduler.live_group(key);
            let found = group.iter().find_map(|k| {
                if draft.victims.contains(k) {
                    return None;
                }
                self.bar(*k, ask, leased, now).map(|b| (*k, b))
            });
            if let Some((who, bar)) = found {
                if who == key {
                    barred.push((self.holder(who, bar.kind), bar.until));
                }
                continue;
            }
            candidates.push(self.candidate(key, &group, &tiers));
            groups.push(group);
        }
        if ask.origin.is_speculative() {
            self.spare_what_matters_more(ask, &mut candidates, &mut groups);
        }
        let order = self.order_to_go(&candidates, &groups, now);
        (order.into_iter().map(|i| std::mem::take(&mut groups[i])).collect(), barred)
    }

    pub(crate) fn candidate(
        &self,
        key: ComponentKey,
        group: &[ComponentKey],
        tiers: &[Priority],
    ) -> Candidate {
        let e = self.scheduler.entry(key);
        let touched = group.iter().map(|k| self.scheduler.entry(*k).last_touched()).max();
        Candidate {
            key,
            priority: self.scheduler.effective_priority(key, group, tiers),
            size: group.iter().map(|k| self.budget.booked_for(*k)).sum(),
            load_time: self.load_time(key),
            last_use: touched.unwrap_or_default(),
            uses: e.uses,
            speculative: self.goes_first(group),
        }
    }

    /// A load that nobody waits for and that still runs goes before all others, so that no demand waits behind
    /// it; what was loaded ahead and not used yet, only where the policy does not judge it by its worth.
    fn goes_first(&self, group: &[ComponentKey]) -> bool {
        let unasked = |k: &ComponentKey| self.scheduler.entry(*k).speculative;
        let runs = |k: &ComponentKey| self.state(*k) != ComponentState::Ready;
        group.iter().all(unasked) && (!self.policy.judges_unused() || group.iter().any(runs))
    }

    /// Speculation takes the place of nothing that has a higher priority.
    fn spare_what_matters_more(
        &self,
        ask: Ask<'_>,
        candidates: &mut Vec<Candidate>,
        groups: &mut Vec<Vec<ComponentKey>>,
    ) {
        let target = ask.closure.last().copied().unwrap_or_default();
        let priority = self.catalog().spec(target).map_or(Priority::Low, |s| s.priority);
        let mut kept =
            candidates.iter().map(|c| c.priority >= priority).collect::<Vec<_>>().into_iter();
        groups.retain(|_| kept.next().unwrap_or(false));
        candidates.retain(|c| c.priority >= priority);
    }

    /// Whether loading a set ahead is worth losing these.
    fn is_worth(&self, ask: Ask<'_>, victims: &[ComponentKey], reserve: ByteSize) -> bool {
        let key = ask.closure.last().copied().unwrap_or_default();
        let load_time = ask.closure.iter().map(|k| self.load_time(*k)).sum();
        let one = |k: &ComponentKey| newcomer(*k, self.budget.booked_for(*k), self.load_time(*k));
        let victims: Vec<_> = victims.iter().map(one).collect();
        let values = &self.foresight.values;
        self.policy.pays(&newcomer(key, reserve, load_time), ask.stated, &victims, values)
    }

    /// The values, but that a component's covers everything alive that would go with it.
    pub(crate) fn values_of_groups(
        &self,
        candidates: &[Candidate],
        groups: &[Vec<ComponentKey>],
    ) -> Cow<'_, Values> {
        let values = &self.foresight.values;
        if groups.iter().all(|g| g.len() <= 1) {
            return Cow::Borrowed(values);
        }
        let sum = |group: &[ComponentKey], part: fn(Value) -> Confidence| {
            Confidence::saturating(group.iter().map(|k| part(values.get(*k)).get()).sum())
        };
        let of_groups =
            candidates.iter().zip(groups).filter(|(_, g)| g.len() > 1).map(|(c, g)| {
                (c.key, Value { next: sum(g, |v| v.next), reuse: sum(g, |v| v.reuse) })
            });
        Cow::Owned(values.with(of_groups))
    }

    /// Positions in the order in which they go.
    pub(crate) fn order_to_go(
        &self,
        candidates: &[Candidate],
        groups: &[Vec<ComponentKey>],
        now: Moment,
    ) -> Vec<usize> {
        let values = self.values_of_groups(candidates, groups);
        victim_order(candidates, &self.policy.rank(candidates, &values, now))
    }

    /// Leaves out groups that later, larger ones made unnecessary, the most valuable first.
    fn without_surplus(
        &self,
        need: &Need,
        mut chosen: Vec<Vec<ComponentKey>>,
        ask: Ask<'_>,
        draft: &Draft,
    ) -> Vec<Vec<ComponentKey>> {
        for i in (0..chosen.len()).rev() {
            let spared = &chosen[i];
            // A provider whose dependents are victims of another group cannot be spared alone, nor can a
            // dependent of a victim.
            let tied = spared.iter().any(|k| {
                let e = self.scheduler.entry(*k);
                chosen
                    .iter()
                    .enumerate()
                    .any(|(j, g)| j != i && g.iter().any(|o| e.dependencies.contains(o)))
                    || draft.victims.iter().any(|o| e.dependencies.contains(o))
            });
            if tied {
                continue;
            }
            let mut short = self.budget.shortage(need, ask.id.map(|id| id.0));
            let rest = chosen.iter().enumerate().filter(|(j, _)| *j != i).flat_map(|(_, g)| g);
            for &key in rest {
                self.relieve_by(key, &mut short);
            }
            self.relieve_by_draft(ask, draft, &mut short);
            if short.is_none() {
                chosen.remove(i);
            }
        }
        chosen
    }

    /// The cause that victims of a transaction are given.
    pub(crate) fn eviction_cause(origin: Origin) -> Cause {
        match origin.waiter() {
            Some(waiter) => Cause::EvictedForDemand { waiter },
            None => Cause::EvictedForLoad,
        }
    }

    /// Whether anything may be loaded ahead now.
    pub(crate) fn may_speculate(&self) -> bool {
        self.config().speculation.enabled
            && self.pressure == PressureLevel::Low
            && !self.budget.is_overdrawn()
            && self.ending.is_none()
    }
}
