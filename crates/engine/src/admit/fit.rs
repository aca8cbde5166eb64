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
use majordomo_memory::{Need, Shortage};

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
            holders.retain(|h| {
                self.catalog()
                    .key(h.component.as_str())
                    .is_some_and(|k| self.scheduler.pool(k) == pool)
            });
        }
        let pool = pool.map(|p| Arc::clone(&self.catalog().pools()[p].name));
        let measured = measured.map(Box::new);
        Err(Refusal::TooLarge { need, available, pool, holders, measured })
    }

    fn member(&self, key: ComponentKey, now: Moment) -> Member {
        let pool = self.scheduler.pool(key);
        let booked = self.scheduler.budget().booked_for(key);
        if booked.0 > 0 && self.state(key) != ComponentState::Unloading {
            return Member { pool, peak: booked, held: booked, unmeasured: booked };
        }
        let held = self.held(key, now);
        Member { pool, peak: self.needs(key).load, held, unmeasured: held.min(self.estimate(key)) }
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
                ComponentState::Unloading | ComponentState::Draining => continue,
                _ => match self.fixed_by(key) {
                    Some(kind) => kind,
                    None => continue,
                },
            };
            let pool = self.scheduler.pool(key);
            let booked = self.scheduler.budget().booked_for(key);
            room.fixed.add(pool, booked);
            if !self.scheduler.budget().limit_of(pool).declared {
                room.total = room.total - booked;
            }
            room.holders.push(self.holder(key, kind));
        }
        room
    }

    /// Where members need more than there is, how much that is, and what there is: the total first, then the pools.
    fn first_lack(
        &self,
        members: &[Member],
        room: &Room,
        bytes: impl Fn(&Member) -> ByteSize,
    ) -> Option<(Option<usize>, ByteSize, ByteSize)> {
        let mut need = Need::new();
        let mut total = ByteSize::ZERO;
        for m in members {
            need.add(m.pool, bytes(m));
            if !self.scheduler.budget().limit_of(m.pool).declared {
                total += bytes(m);
            }
        }
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
            taken.add(m.pool, m.held);
            if !self.scheduler.budget().limit_of(m.pool).declared {
                left = left - m.held;
            }
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
        let held = |key: ComponentKey| self.held(key, now).min(self.needs(key).load);
        let mut by_load: Vec<_> = draft.reserve.iter_mut().collect();
        by_load.sort_by_key(|r| self.starting(r.0, now) - held(r.0));
        for (key, pool, bytes) in &mut by_load {
            let least = held(*key);
            *bytes = least + give(*pool, self.starting(*key, now) - least);
        }
        for (key, pool, bytes) in &mut by_load {
            let rest = self.needs(*key).load - *bytes;
            *bytes += give(*pool, rest);
        }
        self.set_overloads(draft, now);
    }

    /// Reserves less instead of waiting for components that cannot be evicted now, down to what the members hold.
    pub(super) fn reserve_less(&self, draft: &mut Draft, short: &mut Shortage, now: Moment) {
        for (key, pool, bytes) in &mut draft.reserve {
            let declared = self.scheduler.budget().limit_of(*pool).declared;
            let in_pool = short.pools.iter().find(|s| s.0 == *pool).map_or(ByteSize::ZERO, |s| s.1);
            let missing = if declared { in_pool } else { in_pool.max(short.total) };
            let less = missing.min(*bytes - self.held(*key, now));
            *bytes = *bytes - less;
            short.relieve(*pool, declared, less);
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
        let beyond = |r: &(ComponentKey, usize, ByteSize)| (r.0, self.starting(r.0, now) - r.2);
        draft.overloads =
            draft.reserve.iter().map(beyond).filter(|o| o.1 > ByteSize::ZERO).collect();
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
        let mut gone: Vec<_> = draft.victims.iter().chain(&draft.awaits).copied().collect();
        gone.sort_unstable();
        gone.dedup();
        let freed: ByteSize = gone
            .iter()
            .filter(|k| !self.scheduler.budget().limit_of(self.scheduler.pool(**k)).declared)
            .filter_map(|k| self.scheduler.budget().measured_for(*k))
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
    /// beside it.
    pub(super) fn beyond_under_way(&self, ask: Ask<'_>) -> Option<ComponentKey> {
        let next = |id: &TxnId| Some(*id) != ask.id;
        let clearing = self
            .scheduler
            .transactions()
            .filter(|t| t.phase == Phase::Clearing && next(&t.id))
            .find_map(|t| t.overloads.first().map(|o| o.0));
        clearing.or_else(|| {
            let loads = |k: ComponentKey, e: &majordomo_lifecycle::Entry| {
                e.overload().0 > 0
                    || (e.state() == ComponentState::Loading
                        && self.scheduler.budget().overload_of(k).0 > 0)
            };
            self.scheduler.entries().find(|(k, e)| loads(*k, e)).map(|(k, _)| k)
        })
    }
}
