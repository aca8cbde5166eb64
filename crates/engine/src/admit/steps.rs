//! Steps: the ways to free the memory of one component with its live dependents, each from the one before.
//!
//! A component that is ready may be parked or unloaded, a parked one unloaded. The policy ranks steps; it does not know
//! rungs. Invariant: the steps of a component come in order, and each costs at least as much for each byte as those
//! before, but where the policy parks everything first.

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{
    ByteSize, ComponentKey, ComponentState, Moment, NoPark, PressureLevel, Rung, Value,
};
use majordomo_lifecycle::Victim;
use majordomo_memory::{Need, Point, RungOfUse, Shortage, lower_hull};

use super::Admission;

/// Where the value of a component is not known, its unload loses at least so many times as much for each byte as its park:
/// as much as makes a difference in the order of victims.
const LOSS_OF_UNLOAD: f64 = 2.0;

/// Why memory is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A demand waits for it, and for the parks that free it.
    Demand,
    /// A preload, or an early park: they leave alone what was woken just now.
    Other,
    /// Memory is short.
    Relief,
}

/// By which steps are judged.
pub(crate) struct Judge<'a> {
    pub purpose: Purpose,
    /// The worth that evictions lose together.
    pub loss: &'a dyn Fn(&[Victim]) -> f64,
}

/// One way to free memory, beyond the step before.
pub(crate) struct EvictionStep {
    /// The component and its live dependents, dependents first, and where each is left.
    pub members: Vec<Victim>,
    /// Bytes that it frees in the accounts that lack some.
    pub freed: ByteSize,
    /// The worth that it loses.
    pub loss: f64,
}

/// Where the victims of a plan are left so far.
#[derive(Clone, Default)]
pub(super) struct Targets(BTreeMap<ComponentKey, Rung>);

impl Targets {
    pub(super) fn of<'v>(victims: impl IntoIterator<Item = &'v Victim>) -> Self {
        let mut targets = Self::default();
        victims.into_iter().for_each(|v| targets.add(*v));
        targets
    }

    fn get(&self, key: ComponentKey) -> Option<Rung> {
        self.0.get(&key).copied()
    }

    /// Whether a victim would be left deeper than it is now.
    pub(super) fn lacks(&self, victim: Victim) -> bool {
        self.get(victim.key).is_none_or(|to| to < victim.to)
    }

    fn add(&mut self, victim: Victim) {
        let to = self.0.entry(victim.key).or_insert(victim.to);
        *to = (*to).max(victim.to);
    }
}

impl Admission<'_> {
    /// The steps of a component whose live closure may be evicted.
    pub(crate) fn steps(
        &self,
        key: ComponentKey,
        closure: &[ComponentKey],
        short: &Shortage,
        judge: &Judge<'_>,
        now: Moment,
    ) -> Vec<EvictionStep> {
        let Judge { purpose, loss } = *judge;
        let gone: Vec<_> = closure.iter().copied().map(Victim::gone).collect();
        let mut ways = Vec::new();
        for rung in self.rungs_from_here(key) {
            if let Some(members) = self.parked_at(key, rung, closure, purpose, now) {
                ways.push(members);
            }
        }
        if ways.is_empty() {
            let (freed, loss) = (self.freed_where_short(&gone, short), loss(&gone));
            return vec![EvictionStep { members: gone, freed, loss }];
        }
        ways.push(gone);
        let mut points: Vec<_> = ways
            .iter()
            .map(|members| Point {
                freed: self.proven_where_short(members, short),
                loss: loss(members) + self.time_to_enter(members, purpose).as_secs_f64(),
            })
            .collect();
        let is_unforecast = closure.iter().any(|k| self.is_used_without_forecast(*k));
        let chosen = if is_unforecast || self.policy.parks_first(self.values) {
            let last = ways.len() - 1;
            let deepest = (0..last).max_by_key(|i| (points[*i].freed, std::cmp::Reverse(*i)));
            let deepest = deepest.filter(|i| points[*i].freed.0 > 0);
            if let Some(park) = deepest.map(|i| points[i]) {
                // The unload comes after the park, whatever it is thought to lose.
                let per_byte = LOSS_OF_UNLOAD * park.loss / park.freed.0 as f64;
                let further = points[last].freed.saturating_sub(park.freed).0 as f64;
                points[last].loss = points[last].loss.max(park.loss + per_byte * further);
            }
            deepest.into_iter().chain([last]).collect()
        } else {
            lower_hull(&points)
        };
        let mut before = Point::default();
        let mut steps = Vec::new();
        for i in chosen {
            let point = points[i];
            steps.push(EvictionStep {
                members: std::mem::take(&mut ways[i]),
                freed: point.freed.saturating_sub(before.freed),
                loss: point.loss - before.loss,
            });
            before = point;
        }
        steps
    }

    /// The rungs that a component may be left at: those on offer, or where it is while it waits to be woken.
    fn rungs_from_here(&self, key: ComponentKey) -> Vec<Rung> {
        match self.state(key) {
            ComponentState::Ready => self.scheduler.entry(key).parking().offered().collect(),
            ComponentState::Queued { from } if from.is_parked() => vec![from],
            _ => Vec::new(),
        }
    }

    /// The park of a component with its dependents that frees most of the total budget and the pools, or why there is none.
    pub(crate) fn deepest_park(
        &self,
        key: ComponentKey,
        closure: &[ComponentKey],
        now: Moment,
    ) -> Result<Vec<Victim>, NoPark> {
        let offered: Vec<_> = self.scheduler.entry(key).parking().offered().collect();
        let ways = offered
            .iter()
            .filter_map(|rung| self.parked_at(key, *rung, closure, Purpose::Demand, now))
            .filter(|victims| !victims.is_empty())
            // Of equal ones the shallowest.
            .rev();
        let all = Shortage { total: ByteSize(u64::MAX), pools: Vec::new() };
        let freed = |victims: &Vec<Victim>| self.freed_where_short(victims, &all);
        if let Some(victims) = ways.max_by_key(freed) {
            return Ok(victims);
        }
        let is_ready =
            |k: &ComponentKey| self.state(*k).is_parked() || self.scheduler.entry(*k).is_open();
        if !closure.iter().all(is_ready) {
            return Err(NoPark::NotReady);
        }
        let reasons = offered.iter().map(|rung| self.why_not_parked(key, closure, *rung, now));
        // The rung that meets most of the conditions is the one to explain.
        let (_, why) = reasons.max_by_key(|(n_met, _)| *n_met).unwrap_or((0, NoPark::NotOffered));
        Err(why)
    }

    /// The first reason against parking a component with its live dependents at a rung, and how many conditions are met
    /// before it.
    fn why_not_parked(
        &self,
        key: ComponentKey,
        closure: &[ComponentKey],
        rung: Rung,
        now: Moment,
    ) -> (usize, NoPark) {
        let members: Vec<_> = closure
            .iter()
            .map(|k| Victim { key: *k, to: self.nearest_offered(*k, key, rung).unwrap_or(rung) })
            .collect();
        let any = |f: &dyn Fn(&Victim) -> bool| members.iter().any(f);
        let parking = |v: &Victim| self.scheduler.entry(v.key).parking();
        let quarantine = &self.config().quarantine;
        let reasons = [
            (NoPark::Pressure, self.scheduler.pressure() >= PressureLevel::Critical),
            (NoPark::NotOffered, any(&|v| parking(v).offered().all(|rung| rung != v.to))),
            (
                NoPark::GivenUp,
                any(&|v| parking(v).is_given_up(now, quarantine))
                    || any(&|v| !self.scheduler.frees_at(v.key, v.to)),
            ),
            (
                NoPark::Slower,
                any(&|v| self.scheduler.wait_at(v.key, v.to) >= self.scheduler.load_time(v.key)),
            ),
            (NoPark::WritesSpent, self.exceeds_writes(&members)),
            (NoPark::NoRoom, true),
        ];
        let first = reasons.into_iter().enumerate().find(|(_, (_, holds))| *holds);
        first.map_or((0, NoPark::NoRoom), |(n_met, (why, _))| (n_met, why))
    }

    /// The rung that a component in use would be parked at by a policy that parks everything it may.
    pub(crate) fn rung_of_use(&self, key: ComponentKey, now: Moment) -> Option<RungOfUse> {
        let own = self.scheduler.pool(key);
        let parking = self.scheduler.entry(key).parking();
        if parking.is_given_up(now, &self.config().quarantine) {
            return None;
        }
        let saves = |rung: &Rung| {
            self.scheduler.wait_at(key, *rung) < self.scheduler.load_time(key)
                && self.scheduler.frees_at(key, *rung)
                && !self.exceeds_writes(&[Victim { key, to: *rung }])
        };
        let at = |rung: Rung| {
            let held = self.scheduler.held_at(key, rung);
            let enter = parking.rung(rung)?.figures().enter;
            let wake = self.scheduler.wait_at(key, rung);
            Some(RungOfUse { stays: held.of(own), swapped: held.of(Need::SWAP), enter, wake })
        };
        parking.offered().filter(saves).filter_map(at).min_by_key(|rung| rung.stays)
    }

    /// Whether a component alone may be parked at a rung, leases apart.
    pub(crate) fn parks(&self, key: ComponentKey, rung: Rung, now: Moment) -> bool {
        self.may_park(key, rung, Purpose::Other, now)
            && !self.lacks_room_to_park(&[Victim { key, to: rung }])
    }

    /// Whether parks would write more to swap than may still be written.
    fn exceeds_writes<'v>(&self, victims: impl IntoIterator<Item = &'v Victim>) -> bool {
        let Some(left) = self.scheduler.may_write() else { return false };
        let is_park = |v: &&Victim| v.to.is_parked() && self.state(v.key) == ComponentState::Ready;
        let parks = victims.into_iter().filter(is_park);
        let written: ByteSize = parks.map(|v| self.scheduler.written_by_park(v.key, v.to)).sum();
        written > left
    }

    /// The rung that a member of the live closure of `head` is parked at with it: the same, or else the deepest that is on
    /// offer for the member.
    fn nearest_offered(&self, key: ComponentKey, head: ComponentKey, rung: Rung) -> Option<Rung> {
        let mut offered = self.scheduler.entry(key).parking().offered();
        if key == head {
            return offered.find(|offered| *offered == rung);
        }
        offered.max_by_key(|offered| (*offered == rung, *offered))
    }

    /// A component parked at a rung with its live dependents, if all of them may be; what is parked already stays, and what
    /// waits to be woken for a preload stays where it is.
    fn parked_at(
        &self,
        head: ComponentKey,
        rung: Rung,
        closure: &[ComponentKey],
        purpose: Purpose,
        now: Moment,
    ) -> Option<Vec<Victim>> {
        let mut members = Vec::new();
        for &key in closure {
            match self.state(key) {
                state if state.is_parked() => {}
                ComponentState::Ready => {
                    let to = self.nearest_offered(key, head, rung)?;
                    if !self.may_park(key, to, purpose, now) {
                        return None;
                    }
                    members.push(Victim { key, to });
                }
                ComponentState::Queued { from } if from.is_parked() => {
                    members.push(Victim { key, to: from });
                }
                _ => return None,
            }
        }
        (!self.lacks_room_to_park(&members)).then_some(members)
    }

    /// Whether a component that is ready may be parked at a rung, leases and room apart.
    fn may_park(&self, key: ComponentKey, rung: Rung, purpose: Purpose, now: Moment) -> bool {
        let e = self.scheduler.entry(key);
        let parking = e.parking();
        parking.offered().any(|offered| offered == rung)
            && e.is_open()
            && self.scheduler.wait_at(key, rung) < self.scheduler.load_time(key)
            && !e.is_fixed()
            && !e.restart().is_outdated()
            && !parking.is_given_up(now, &self.config().quarantine)
            && self.scheduler.frees_at(key, rung)
            && now >= parking.absent_until()
            && (purpose != Purpose::Other || now >= parking.rests_until())
            // There is no time left to move memory.
            && self.scheduler.pressure() < PressureLevel::Critical
    }

    /// Whether the bytes that parks need beside what is booked do not fit, or would be too much to write.
    pub(super) fn lacks_room_to_park<'v>(
        &self,
        victims: impl IntoIterator<Item = &'v Victim>,
    ) -> bool {
        let budget = self.scheduler.budget();
        let mut need = Need::new();
        let is_park = |v: &&Victim| v.to.is_parked() && self.state(v.key) == ComponentState::Ready;
        let parks: Vec<_> = victims.into_iter().filter(is_park).collect();
        for v in &parks {
            need.add_all(&budget.needed_to_park(v.key, &self.scheduler.held_at(v.key, v.to)));
        }
        !budget.shortage(&need, None).is_none() || self.exceeds_writes(parks)
    }

    /// How long a demand waits for parks side by side.
    pub(crate) fn time_to_enter(&self, members: &[Victim], purpose: Purpose) -> Duration {
        let enter = |v: &Victim| {
            let known = self.scheduler.entry(v.key).parking().rung(v.to);
            known.filter(|_| v.to.is_parked()).map(|rung| rung.figures().enter)
        };
        match purpose {
            Purpose::Demand => members.iter().filter_map(enter).max().unwrap_or_default(),
            Purpose::Other | Purpose::Relief => Duration::ZERO,
        }
    }

    /// The bytes that a component frees on its way from where it is now.
    pub(crate) fn freed_by(&self, victim: Victim) -> Need {
        let mut freed = self.scheduler.budget().bookings(victim.key);
        match self.state(victim.key) {
            ComponentState::Queued { from } if from == victim.to => {
                freed.take(self.scheduler.entry(victim.key).parking().held());
            }
            _ => freed.take(&self.scheduler.held_at(victim.key, victim.to)),
        }
        freed
    }

    /// The bytes that evictions are worth choosing for, in the accounts that lack some. A park gives back as large a share of
    /// a reservation as it frees of the memory in use: bytes that are reserved and not in use are no merit of it.
    fn proven_where_short(&self, victims: &[Victim], short: &Shortage) -> ByteSize {
        let proven = |v: &Victim| {
            let mut freed = self.freed_by(*v);
            let own = self.scheduler.pool(v.key);
            let (in_use, booked) = (
                self.scheduler.footprint(v.key).of(own),
                self.scheduler.budget().booked_for(v.key),
            );
            if v.to.is_parked() && in_use < booked && self.state(v.key) == ComponentState::Ready {
                let stays = self.scheduler.held_at(v.key, v.to).of(own).0 as f64;
                let share = 1.0 - (stays / in_use.0.max(1) as f64).min(1.0);
                let slack = freed.of(own).saturating_sub(booked.scaled(share));
                freed.take(&[(own, slack)].into_iter().collect());
            }
            freed
        };
        let budget = self.scheduler.budget();
        victims.iter().map(|v| budget.helpful(&proven(v), short)).sum()
    }

    /// Whether a component was used, and no use of it was observed yet: what it is worth is not known.
    fn is_used_without_forecast(&self, key: ComponentKey) -> bool {
        self.state(key) == ComponentState::Ready
            && !self.scheduler.entry(key).is_speculative()
            && self.forecaster.values().get(key) == Value::default()
    }

    /// Takes the bytes of a victim off a shortage, less those of the step before.
    pub(super) fn relieve_by(&self, victim: Victim, targets: &mut Targets, short: &mut Shortage) {
        let mut freed = self.freed_by(victim);
        if let Some(to) = targets.get(victim.key) {
            if to >= victim.to {
                return;
            }
            freed.take(&self.freed_by(Victim { to, ..victim }));
        }
        targets.add(victim);
        self.scheduler.budget().relieve(short, &freed);
    }

    /// The bytes that evictions free in the accounts that lack some: what they are worth evicting for.
    pub(super) fn freed_where_short(&self, victims: &[Victim], short: &Shortage) -> ByteSize {
        let budget = self.scheduler.budget();
        victims.iter().map(|v| budget.helpful(&self.freed_by(*v), short)).sum()
    }

    /// The wait that these components are expected to save where they are, and not where they are left, together.
    pub(crate) fn loss(&self, victims: &[Victim]) -> f64 {
        let worth = |v: &Victim| {
            let value = self.value(v.key);
            let then = self.policy.worth(value, self.scheduler.wait_at(v.key, v.to));
            match self.state(v.key) {
                ComponentState::Down(now) if now.is_parked() => {
                    let saved = self.policy.worth(value, self.scheduler.wait_at(v.key, now));
                    (then - saved).max(0.0)
                }
                _ => then,
            }
        };
        victims.iter().map(worth).sum()
    }

    /// How much longer a demand waits for a component once it is evicted.
    pub(crate) fn added_wait(&self, victim: Victim) -> Duration {
        let now = match self.state(victim.key) {
            ComponentState::Down(rung) => self.scheduler.wait_at(victim.key, rung),
            _ => Duration::ZERO,
        };
        self.scheduler.wait_at(victim.key, victim.to).saturating_sub(now)
    }
}
