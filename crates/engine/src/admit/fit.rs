//! Whether a set fits into the budget at all, whatever is evicted, and how.
//!
//! The bytes that a component *holds* must fit; the measured peak of its load or of its use need
//! not: a set of which only a peak is too large is loaded *beyond the budget*. Its loads then run
//! alone, one at a time, after every evictable component has been evicted, on memory that the
//! machine can spare, and the bytes beyond the budget are recorded as an overdraft. So a component
//! that was loaded once is never refused for ever because of a transient peak.

use std::sync::Arc;

use majordomo_core::{ByteSize, ComponentKey, ComponentState, Holder, HolderKind, Moment, Refusal};
use majordomo_lifecycle::{Phase, TxnId};
use majordomo_memory::{Need, Reservation, Shortage};

use super::{Admission, Ask, Draft};

/// How a set fits.
pub(super) enum Fit {
    /// With all peaks.
    Within,
    /// By what it holds, not by its peaks.
    Beyond(Room),
}

/// The budget that is left once every evictable component has been evicted.
pub(super) struct Room {
    total: ByteSize,
    fixed: Need,
    holders: Vec<Holder>,
}

struct Member {
    pool: usize,
    /// Declared bytes of other pools.
    apart: Need,
    peak: ByteSize,
    held: ByteSize,
    /// The bytes it would hold had nothing been measured.
    unmeasured: ByteSize,
}

impl Admission<'_> {
    /// Whether the closure fits into the budget less the components that can never be evicted.
    pub(super) fn fits_at_all(&self, ask: Ask<'_>, now: Moment) -> Result<Fit, Refusal> {
        let members: Vec<_> = ask.closure.iter().map(|k| self.member(*k, now)).collect();
        let room = self.room_beside_fixed(ask);
        let Some(by_peaks) = self.first_lack(&members, &room, |m| m.peak) else {
            return Ok(Fit::Within);
        };
        let by_held = self.first_lack(&members, &room, |m| m.held);
        let lack = match by_held {
            None if !ask.origin.is_speculative() => return Ok(Fit::Beyond(room)),
            Some(lack) => lack,
            None => by_peaks,
        };
        let (pool, need, available) = lack;
        let mut measured = self.measured_need(ask.closure, pool, now);
        // The configured memory does not fit either: time changes nothing.
        if self.first_lack(&members, &room, |m| m.unmeasured).is_some()
            && let Some(m) = &mut measured
        {
            m.retry_in = None;
        }
        let mut holders = room.holders;
        if let Some(pool) = pool {
            for holder in &mut holders {
                let key = self.catalog().key(holder.component.as_str());
                let bookings = key.map(|key| self.scheduler.budget().bookings(key));
                holder.booked = bookings.map_or(ByteSize::ZERO, |bytes| bytes.of(pool));
            }
            holders.retain(|holder| holder.booked > ByteSize::ZERO);
        }
        let pool = pool.map(|p| Arc::clone(&self.catalog().pools()[p].name));
        let measured = measured.map(Box::new);
        Err(Refusal::TooLarge { need, available, pool, holders, measured })
    }

    fn member(&self, key: ComponentKey, now: Moment) -> Member {
        let pool = self.scheduler.pool(key);
        let booked = self.scheduler.budget().booked_for(key);
        if let ComponentState::Down(from) | ComponentState::Queued { from } = self.state(key)
            && from.is_parked()
        {
            let wake = self.scheduler.needed_to_wake(key, from);
            let (bytes, mut apart) = (booked + wake.bytes, self.scheduler.budget().apart(key));
            apart.add_all(&wake.apart);
            // It may be woken with as few bytes as a cold load holds: more is its growth.
            let held = self.held_awake(key, &wake, now);
            let unmeasured = held.min(self.estimate(key).max(booked));
            return Member { pool, apart, peak: bytes, held, unmeasured };
        }
        if booked.0 > 0 && !self.state(key).is_unloading() {
            let apart = self.scheduler.budget().apart(key);
            // The peak of a load beyond the budget ends with the load.
            let lasting = self.scheduler.budget().lasting_for(key);
            let held = if lasting < booked { lasting.min(self.held(key, now)) } else { booked };
            return Member { pool, apart, peak: lasting, held, unmeasured: held };
        }
        let held = self.held(key, now);
        Member {
            pool,
            apart: self.scheduler.declared_apart(key),
            peak: self.needs(key).load,
            held,
            unmeasured: held.min(self.estimate(key)),
        }
    }

    /// The least that a component has which is woken: what is booked for it, and what it holds after a cold load.
    fn held_awake(&self, key: ComponentKey, wake: &Reservation, now: Moment) -> ByteSize {
        let booked = self.scheduler.budget().booked_for(key);
        booked.max(self.held(key, now).min(booked + wake.bytes))
    }

    /// The bytes that a reservation adds at least.
    fn least(&self, r: &Reservation, now: Moment) -> ByteSize {
        if r.adds {
            self.held_awake(r.key, r, now) - self.scheduler.budget().booked_for(r.key)
        } else {
            self.held(r.key, now).min(self.needs(r.key).load)
        }
    }

    /// The budget and its pools less what is CORE, pinned or stuck.
    fn room_beside_fixed(&self, ask: Ask<'_>) -> Room {
        let mut room = Room {
            total: self.scheduler.budget().total(),
            fixed: Need::new(),
            holders: Vec::new(),
        };
        for (key, e) in self.scheduler.entries() {
            if !e.state().is_alive() || ask.closure.contains(&key) {
                continue;
            }
            let kind = match e.state() {
                ComponentState::Stuck => HolderKind::Stuck,
                ComponentState::Unloading { .. } | ComponentState::Draining => continue,
                _ => match self.fixed_by(key) {
                    Some(kind) => kind,
                    None => continue,
                },
            };
            let booked = self.scheduler.budget().bookings(key);
            room.fixed.add_all(&booked);
            room.total = room.total - self.in_total(&booked);
            room.holders.push(self.holder(key, kind));
        }
        room
    }

    /// The bytes that count in the total budget.
    fn in_total(&self, need: &Need) -> ByteSize {
        let ram = |pool: usize| !self.scheduler.budget().limit_of(pool).declared;
        need.iter().filter(|(pool, _)| ram(*pool)).map(|(_, bytes)| bytes).sum()
    }

    /// Where members need more than there is, how much that is, and what there is: the total first, then the pools.
    fn first_lack(
        &self,
        members: &[Member],
        room: &Room,
        bytes: impl Fn(&Member) -> ByteSize,
    ) -> Option<(Option<usize>, ByteSize, ByteSize)> {
        let mut need = Need::new();
        for m in members {
            need.add_all(&m.apart);
            need.add(m.pool, bytes(m));
        }
        let total = self.in_total(&need);
        if total > room.total {
            return Some((None, total, room.total));
        }
        need.iter().find_map(|(pool, bytes)| {
            let available = self.scheduler.budget().limit_of(pool).budget? - room.fixed.of(pool);
            (bytes > available).then_some((Some(pool), bytes, available))
        })
    }

    /// Reserves what the members hold, and as much more as there is room for: what their loads take first, those that
    /// take least before the others, then what their uses need.
    pub(super) fn spread(&self, ask: Ask<'_>, room: &Room, draft: &mut Draft, now: Moment) {
        draft.beyond = true;
        let mut left = room.total;
        let mut taken = room.fixed.clone();
        for key in ask.closure {
            let m = self.member(*key, now);
            let mut holds = m.apart;
            holds.add(m.pool, m.held);
            left = left - self.in_total(&holds);
            taken.add_all(&holds);
        }
        let mut give = |pool: usize, requested: ByteSize| {
            let limit = self.scheduler.budget().limit_of(pool);
            let mut more = requested;
            if let Some(budget) = limit.budget {
                more = more.min(budget - taken.of(pool));
            }
            if !limit.declared {
                more = more.min(left);
                left = left - more;
            }
            taken.add(pool, more);
            more
        };
        let (mut wakes, mut by_load): (Vec<_>, Vec<_>) =
            draft.reserve.iter_mut().partition(|r| r.adds);
        by_load.sort_by_key(|r| self.starting(r.key, now) - self.least(r, now));
        for r in &mut by_load {
            let least = self.least(r, now);
            r.bytes = least + give(r.pool, self.starting(r.key, now) - least);
        }
        for r in &mut wakes {
            let least = self.least(r, now);
            r.bytes = least + give(r.pool, r.bytes - least);
        }
        for r in &mut by_load {
            let rest = self.needs(r.key).load - r.bytes;
            r.bytes += give(r.pool, rest);
        }
        self.set_overloads(draft, now);
    }

    /// Reserves less instead of waiting for components that cannot be evicted now, down to what the members hold.
    pub(super) fn reserve_less(&self, draft: &mut Draft, short: &mut Shortage, now: Moment) {
        for r in &mut draft.reserve {
            let declared = self.scheduler.budget().limit_of(r.pool).declared;
            let in_pool =
                short.pools.iter().find(|s| s.0 == r.pool).map_or(ByteSize::ZERO, |s| s.1);
            let missing = if declared { in_pool } else { in_pool.max(short.total) };
            let least = self.least(r, now);
            let less = missing.min(r.bytes - least);
            r.bytes = r.bytes - less;
            short.relieve(r.pool, declared, less);
        }
        self.set_overloads(draft, now);
    }

    /// The bytes of a component's load at its peak, at least those that it holds.
    fn starting(&self, key: ComponentKey, now: Moment) -> ByteSize {
        let needs = self.needs(key);
        needs.starting.max(self.held(key, now)).min(needs.load)
    }

    /// Records the bytes that loads take beyond their reservations. A use that needs more than is reserved is no overdraft before it is
    /// measured.
    fn set_overloads(&self, draft: &mut Draft, now: Moment) {
        let beyond = |r: &Reservation| (r.key, self.starting(r.key, now) - r.bytes);
        draft.overloads = draft
            .reserve
            .iter()
            .filter(|r| !r.adds)
            .map(beyond)
            .filter(|o| o.1 > ByteSize::ZERO)
            .collect();
    }

    /// Whether the machine has the memory for the largest peak, once `gone` are down.
    pub(super) fn machine_bears(
        &self,
        ask: Ask<'_>,
        draft: &Draft,
        now: Moment,
    ) -> Result<(), Refusal> {
        let ram = |key: &ComponentKey| {
            !self.scheduler.budget().limit_of(self.catalog().pool(*key)).declared
        };
        let loads = draft.overloads.iter().filter(|o| ram(&o.0));
        let Some(peak) = loads.map(|o| self.needs(o.0).starting).max() else { return Ok(()) };
        let Some(spare) = self.spare else { return Ok(()) };
        let victims = draft.victims.iter().filter(|v| !v.to.is_parked()).map(|v| v.key);
        let mut gone: Vec<_> = victims.chain(draft.awaits.iter().copied()).collect();
        gone.sort_unstable();
        gone.dedup();
        let freed: ByteSize = gone
            .iter()
            .filter(|k| !self.scheduler.budget().limit_of(self.scheduler.pool(**k)).declared)
            .filter_map(|k| {
                let measured = self.scheduler.budget().measured_for(*k)?;
                // A park frees a part of it.
                let parks = self.state(*k).is_parking();
                let freed = self.scheduler.freeing(*k).of(self.scheduler.pool(*k));
                Some(if parks { measured.min(freed) } else { measured })
            })
            .sum();
        let available = spare + freed;
        if peak <= available {
            return Ok(());
        }
        let mut measured = self.measured_need(ask.closure, None, now);
        if let Some(m) = &mut measured {
            m.spare = Some(available);
        }
        let measured = measured.map(Box::new);
        Err(Refusal::TooLarge { need: peak, available, pool: None, holders: Vec::new(), measured })
    }

    /// A component whose load exceeds the budget, now or next, for another transaction: nothing is admitted
    /// beside it. A load under way that no demand waits for any more is in the way of preloads alone.
    pub(super) fn beyond_under_way(&self, ask: Ask<'_>) -> Option<ComponentKey> {
        let next = |id: &TxnId| Some(*id) != ask.id;
        let clearing = self
            .scheduler
            .transactions()
            .filter(|t| t.phase == Phase::Clearing && next(&t.id))
            .find_map(|t| t.overloads.first().map(|o| o.0));
        clearing.or_else(|| {
            let loads = |k: ComponentKey, e: &majordomo_lifecycle::Entry| {
                let gives_way = e.is_unrequested() && !e.is_fixed() && !ask.origin.is_speculative();
                let is_beyond = self.scheduler.budget().overload_of(k).0 > 0;
                e.overload().0 > 0 || (e.state().is_loading() && is_beyond && !gives_way)
            };
            self.scheduler.entries().find(|(k, e)| loads(*k, e)).map(|(k, _)| k)
        })
    }
}
