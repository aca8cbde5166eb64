//! Room for a set: bytes that come free anyway, and victims for the rest.
//!
//! Pure, as all of admission. Invariant: bytes that are on their way to another transaction count only as far as
//! that one does not need them.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, ComponentState, Holder, HolderKind, Moment};
use majordomo_lifecycle::{TxnId, Victim};
use majordomo_memory::{Need, Shortage};

use super::ranking::Evictable;
use super::steps::{Purpose, Targets};
use super::{Admission, Ask, Draft, leaving_kind};

/// Whether the bytes of parks count that are under way for no transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AwaitsParks {
    Yes,
    No,
}

impl Admission<'_> {
    /// Victims until the reservations fit, in the policy's order. A demand waits for parks that are under way for no other
    /// transaction only if it waits less by that than its other victims lose.
    pub(super) fn find_room(
        &self,
        ask: Ask<'_>,
        leased: &BTreeMap<ComponentKey, u32>,
        now: Moment,
        draft: &mut Draft,
    ) {
        if self.purpose(ask) == Purpose::Demand && self.has_parks_under_way(ask) {
            let mut other = draft.clone();
            self.find_room_with(ask, leased, now, &mut other, AwaitsParks::No);
            let is_found = other.holders.is_empty() && other.short.is_none();
            let mut waiting = draft.clone();
            self.find_room_with(ask, leased, now, &mut waiting, AwaitsParks::Yes);
            let costs = |draft: &Draft| {
                let wait = self.time_to_park(&draft.victims, &draft.awaits, now);
                self.loss_for(ask, &draft.victims, now) + wait.as_secs_f64()
            };
            *draft = if is_found && costs(&other) < costs(&waiting) { other } else { waiting };
            return;
        }
        self.find_room_with(ask, leased, now, draft, AwaitsParks::Yes);
    }

    /// Whether a component is being parked for no other transaction.
    fn has_parks_under_way(&self, ask: Ask<'_>) -> bool {
        let parks =
            |k: ComponentKey| self.state(k).is_parking() && self.promised_to(k, ask).is_none();
        self.scheduler.entries().any(|(k, _)| parks(k))
    }

    /// How long a demand waits for the parks of its victims, and for those under way of other components.
    pub(crate) fn time_to_park(
        &self,
        victims: &[Victim],
        awaited: &[ComponentKey],
        now: Moment,
    ) -> Duration {
        let entered = self.time_to_enter(victims, Purpose::Demand);
        entered.max(self.longest_park(awaited, now))
    }

    /// How long the last of these parks will take from now on, as far as that is known.
    fn longest_park(&self, keys: &[ComponentKey], now: Moment) -> Duration {
        let left = |key: &ComponentKey| {
            let parking = self.scheduler.entry(*key).parking();
            let step = parking.step().filter(|_| self.state(*key).is_parking())?;
            let enter = parking.rung(step.rung)?.figures().enter;
            Some(enter.saturating_sub(now.since(step.began)))
        };
        keys.iter().filter_map(left).max().unwrap_or_default()
    }

    fn find_room_with(
        &self,
        ask: Ask<'_>,
        leased: &BTreeMap<ComponentKey, u32>,
        now: Moment,
        draft: &mut Draft,
        parks: AwaitsParks,
    ) {
        let mut need = Need::new();
        for reservation in &draft.reserve {
            need.add_all(&reservation.need());
        }
        let mut short = self.scheduler.budget().shortage(&need, ask.id.map(|id| id.0));
        self.relieve_by_draft(ask, draft, &mut short);
        if short.is_none() {
            return;
        }
        // Bytes that come free anyway and are promised to no transaction.
        for (key, e) in self.scheduler.entries() {
            let is_awaited = parks == AwaitsParks::Yes || !e.state().is_parking();
            let free =
                e.state().is_unloading() && is_awaited && self.promised_to(key, ask).is_none();
            if free && !draft.awaits.contains(&key) && self.helps(key, &short) {
                self.scheduler.budget().relieve(&mut short, &self.scheduler.freeing(key));
                draft.awaits.push(key);
            }
            if short.is_none() {
                return;
            }
        }
        let Evictable { order, mut barred } = self.evictable(ask, leased, now, draft, &short);
        let mut chosen: Vec<Vec<Victim>> = Vec::new();
        let mut targets = Targets::of(&draft.victims);
        for group in order {
            if short.is_none() {
                break;
            }
            if !group.iter().any(|v| self.helps(v.key, &short)) {
                continue;
            }
            let fresh: Vec<_> = group.into_iter().filter(|v| targets.lacks(*v)).collect();
            if self.lacks_room_to_park(chosen.iter().flatten().chain(&fresh)) {
                continue;
            }
            for &victim in &fresh {
                self.relieve_by(victim, &mut targets, &mut short);
            }
            chosen.push(fresh);
        }
        // A component that stays for a while only is waited for: the load exceeds the budget by less then.
        let stay_for_good = barred.iter().all(|(_, until)| until.is_none());
        if !short.is_none() && draft.beyond && stay_for_good {
            self.reserve_less(draft, &mut short, now);
            if short.is_none() {
                // Every candidate is evicted: so the load exceeds the budget by less.
                draft.victims.extend(self.deepest(chosen));
                return;
            }
        }
        if short.is_none() {
            let victims = self.deepest(self.without_surplus(&need, chosen, ask, draft));
            draft.victims.extend(victims);
            return;
        }
        draft.short.clone_from(&short);
        barred.sort_by_key(|(h, _)| std::cmp::Reverse(h.booked));
        if barred.is_empty() {
            // No component holds the bytes: other programs do, other transactions claim them, or
            // they were not given back.
            draft.until = Some(now + Duration::from_secs(1));
            draft.holders.extend(self.in_flight(ask, &short));
        }
        for (holder, until) in barred {
            draft.block(holder, until);
        }
        // A draining component is no candidate any more, but its leases are still in the way.
        for (key, e) in self.scheduler.entries() {
            let kind = leaving_kind(e);
            if kind == HolderKind::Draining && self.helps(key, &short) {
                draft.block(self.holder_where_short(key, kind, &short), None);
            }
        }
        if draft.holders.is_empty() {
            draft.holders.push(self.stand_in(ask));
        }
    }

    /// Bytes of a component that is being removed, by pool, less those that the transaction it is removed
    /// for needs. `owed`: the bytes that each such transaction still needs, of the total and of each
    /// pool apart from it.
    fn left_over(
        &self,
        key: ComponentKey,
        ask: Ask<'_>,
        owed: &mut BTreeMap<(TxnId, Option<usize>), ByteSize>,
    ) -> Need {
        let booked = self.scheduler.freeing(key);
        let Some(other) = self.promised_to(key, ask) else { return booked };
        let apart = |pool: usize| self.scheduler.budget().limit_of(pool).declared.then_some(pool);
        let left = booked.iter().map(|(pool, bytes)| {
            let from = apart(pool);
            let owed = owed.entry((other, from)).or_insert_with(|| {
                let Some(t) = self.scheduler.transaction(other) else { return ByteSize::ZERO };
                let rest = self.scheduler.budget().unclaimed(&t.need(), t.id.0);
                rest.iter().filter(|(pool, _)| apart(*pool) == from).map(|(_, bytes)| bytes).sum()
            });
            let given = bytes.min(*owed);
            *owed = *owed - given;
            (pool, bytes - given)
        });
        left.collect()
    }

    /// Another transaction for which a component is being removed. A demand may take the bytes that a preload waits for.
    fn promised_to(&self, key: ComponentKey, ask: Ask<'_>) -> Option<TxnId> {
        let other = self.scheduler.entry(key).removal()?.freed_for()?;
        let taken =
            ask.id == Some(other) || (!ask.origin.is_speculative() && self.is_preload(other));
        (!taken).then_some(other)
    }

    pub(crate) fn is_preload(&self, id: TxnId) -> bool {
        self.scheduler.transaction(id).is_some_and(|t| t.origin.is_speculative())
    }

    /// Components that are loading or being removed for other transactions.
    fn in_flight(&self, ask: Ask<'_>, short: &Shortage) -> Vec<Holder> {
        self.scheduler
            .entries()
            .filter(|(k, e)| {
                !ask.closure.contains(k)
                    && (e.state().is_alive() || e.state().is_queued())
                    && self.helps(*k, short)
            })
            .map(|(k, e)| {
                let leaving = matches!(
                    e.state(),
                    ComponentState::Draining | ComponentState::Unloading { .. }
                );
                let kind = if leaving { leaving_kind(e) } else { HolderKind::InTransaction };
                self.holder_where_short(k, kind, short)
            })
            .collect()
    }

    /// The component itself as a stand-in when the budget is taken by no component at all.
    fn stand_in(&self, ask: Ask<'_>) -> Holder {
        let key = ask.closure.last().copied().unwrap_or_default();
        self.holder(key, HolderKind::InTransaction)
    }

    /// Whether a component has memory in an account that lacks some.
    pub(crate) fn helps(&self, key: ComponentKey, short: &Shortage) -> bool {
        let budget = self.scheduler.budget();
        budget.helpful(&budget.bookings(key), short).0 > 0
    }

    /// Subtracts the bytes of the victims, and those of the components that are being removed already.
    fn relieve_by_draft(&self, ask: Ask<'_>, draft: &Draft, short: &mut Shortage) {
        let mut targets = Targets::default();
        for &victim in &draft.victims {
            self.relieve_by(victim, &mut targets, short);
        }
        let mut owed = BTreeMap::new();
        for &key in &draft.awaits {
            let bytes = self.left_over(key, ask, &mut owed);
            self.scheduler.budget().relieve(short, &bytes);
        }
    }

    /// Leaves out groups that later, larger ones made unnecessary, the most valuable first.
    fn without_surplus(
        &self,
        need: &Need,
        mut chosen: Vec<Vec<Victim>>,
        ask: Ask<'_>,
        draft: &Draft,
    ) -> Vec<Vec<Victim>> {
        for i in (0..chosen.len()).rev() {
            let spared = &chosen[i];
            // A provider whose dependents are victims of another group cannot be spared alone, nor can a
            // dependent of a victim.
            let tied = spared.iter().any(|v| {
                let e = self.scheduler.entry(v.key);
                chosen
                    .iter()
                    .enumerate()
                    .any(|(j, g)| j != i && g.iter().any(|o| e.dependencies().contains(&o.key)))
                    || draft.victims.iter().any(|o| e.dependencies().contains(&o.key))
            });
            if tied {
                continue;
            }
            let mut short = self.scheduler.budget().shortage(need, ask.id.map(|id| id.0));
            let rest = chosen.iter().enumerate().filter(|(j, _)| *j != i).flat_map(|(_, g)| g);
            let mut targets = Targets::of(&draft.victims);
            for &victim in rest {
                self.relieve_by(victim, &mut targets, &mut short);
            }
            self.relieve_by_draft(ask, draft, &mut short);
            if short.is_none() {
                chosen.remove(i);
            }
        }
        chosen
    }

    /// Victims once each, in the order of their first step, and where their last step leaves them. A dependent comes before
    /// its providers.
    fn deepest(&self, chosen: Vec<Vec<Victim>>) -> Vec<Victim> {
        let mut victims: Vec<Victim> = Vec::new();
        for victim in chosen.into_iter().flatten() {
            if let Some(known) = victims.iter_mut().find(|v| v.key == victim.key) {
                known.to = known.to.max(victim.to);
                continue;
            }
            let is_provider = |v: &Victim| self.scheduler.live_closure(v.key).contains(&victim.key);
            let at = victims.iter().position(is_provider).unwrap_or(victims.len());
            victims.insert(at, victim);
        }
        victims
    }
}
