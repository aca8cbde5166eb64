//! The shadow LRU: how long callers would wait for plain LRU on demand with the same uses, the same memory and the same rungs.
//!
//! Holds keys, sizes and rungs only. Like LRU it parks everything that it may, the least recently used first, before it
//! unloads anything, and the use that needs the memory waits for those parks. Invariants: the shadow's bytes never exceed its
//! capacity, nor do those in swap the room there.

use std::collections::VecDeque;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, StatusValue};

use crate::policy::{PolicyEvent, RungOfUse};

#[derive(Clone, Copy, Debug, Default)]
struct Real {
    loaded: Option<ByteSize>,
    /// It was loaded for a waiter: its next use is not a whole hit.
    awaited: Option<Awaited>,
}

/// How the wait for a component that is ready now differed from a load.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    /// It waited for less than a load by so much.
    saved: Duration,
    /// It waited for parks.
    parks: Duration,
}

/// A component in the shadow's memory.
#[derive(Clone, Copy, Debug)]
struct Held {
    key: ComponentKey,
    size: ByteSize,
    /// Where it may be parked.
    rung: Option<RungOfUse>,
    is_parked: bool,
}

impl Held {
    fn bytes(&self) -> ByteSize {
        self.rung.filter(|_| self.is_parked).map_or(self.size, |rung| rung.stays)
    }

    fn swapped(&self) -> ByteSize {
        self.rung.filter(|_| self.is_parked).map_or(ByteSize::ZERO, |rung| rung.swapped)
    }
}

/// The waits of one use, in microseconds, or in misses where hits count: of the shadow, of the real component, and the longest
/// that counts as one.
type Outcome = [u64; 3];

#[derive(Debug)]
pub(super) struct ShadowLru {
    window: usize,
    margin: f64,
    capacity: ByteSize,
    /// The capacity follows the most that was ever loaded.
    follows: bool,
    swap_room: ByteSize,
    /// Latest first.
    held: VecDeque<Held>,
    bytes: ByteSize,
    swapped: ByteSize,
    real: Vec<Real>,
    real_bytes: ByteSize,
    /// Otherwise each miss counts the same.
    by_time: bool,
    outcomes: VecDeque<Outcome>,
    /// Summed over the outcomes, which a window keeps.
    sums: Outcome,
    /// Uses until the fallback ends.
    fallback: usize,
    fallbacks: u64,
}

impl ShadowLru {
    pub(super) fn new(
        window: usize,
        margin: f64,
        capacity: Option<ByteSize>,
        by_time: bool,
    ) -> Self {
        Self {
            window,
            margin,
            capacity: capacity.unwrap_or_default(),
            follows: capacity.is_none(),
            swap_room: ByteSize::ZERO,
            held: VecDeque::new(),
            bytes: ByteSize::ZERO,
            swapped: ByteSize::ZERO,
            real: Vec::new(),
            real_bytes: ByteSize::ZERO,
            by_time,
            outcomes: VecDeque::new(),
            sums: [0; 3],
            fallback: 0,
            fallbacks: 0,
        }
    }

    /// Counts uses by the time that is waited for them from now on, or every miss the same.
    pub(super) fn count_time(&mut self, by_time: bool) {
        if std::mem::replace(&mut self.by_time, by_time) != by_time {
            self.outcomes.clear();
            self.sums = [0; 3];
            self.fallback = 0;
        }
    }

    pub(super) fn leads(&self) -> bool {
        self.fallback > 0
    }

    pub(super) fn set_capacity(&mut self, capacity: ByteSize) {
        (self.capacity, self.follows) = (capacity, false);
        self.shrink();
    }

    pub(super) fn set_swap_room(&mut self, room: ByteSize) {
        self.swap_room = room;
        while self.swapped > self.swap_room
            && let Some(oldest) = self.held.iter().rposition(|held| held.swapped().0 > 0)
        {
            self.remove(oldest);
        }
    }

    fn remove(&mut self, at: usize) -> Option<Held> {
        let held = self.held.remove(at)?;
        self.bytes = self.bytes - held.bytes();
        self.swapped = self.swapped - held.swapped();
        Some(held)
    }

    /// Parks, then unloads components until the rest fits; returns how long the parks take, side by side.
    fn shrink(&mut self) -> Duration {
        let mut entered = Duration::ZERO;
        while self.bytes > self.capacity {
            match self.next_park() {
                Some((at, rung)) => {
                    let held = &mut self.held[at];
                    self.bytes = self.bytes - held.size + rung.stays;
                    self.swapped += rung.swapped;
                    held.is_parked = true;
                    entered = entered.max(rung.enter);
                }
                None if self.held.is_empty() => break,
                None => drop(self.remove(self.held.len() - 1)),
            }
        }
        entered
    }

    /// The component that is parked next; never the one in use.
    fn next_park(&self) -> Option<(usize, RungOfUse)> {
        let free = self.swap_room.saturating_sub(self.swapped);
        let parks = |(at, held): (usize, &Held)| {
            let rung = held.rung.filter(|_| !held.is_parked)?;
            (rung.stays < held.size && rung.swapped <= free).then_some((at, rung))
        };
        self.held.iter().enumerate().skip(1).rev().find_map(parks)
    }

    fn real(&mut self, key: ComponentKey) -> &mut Real {
        if self.real.len() <= key.index() {
            self.real.resize(key.index() + 1, Real::default());
        }
        &mut self.real[key.index()]
    }

    pub(super) fn on_event(&mut self, event: &PolicyEvent) {
        match *event {
            PolicyEvent::Loaded { key, size, speculative, saved, parks, .. } => {
                let awaited = (!speculative).then_some(Awaited { saved, parks });
                let real = Real { loaded: Some(size), awaited };
                let before = std::mem::replace(self.real(key), real).loaded;
                self.real_bytes = self.real_bytes - before.unwrap_or_default() + size;
                if self.follows {
                    self.capacity = self.capacity.max(self.real_bytes);
                }
            }
            PolicyEvent::Unloaded { key, .. } => {
                let before = std::mem::take(self.real(key)).loaded;
                self.real_bytes = self.real_bytes - before.unwrap_or_default();
            }
            PolicyEvent::Used { key, size, load_time, rung, .. } => {
                let held = Held { key, size, rung, is_parked: false };
                self.used(held, load_time);
            }
        }
    }

    fn used(&mut self, held: Held, load_time: Duration) {
        let real = self.real(held.key);
        let awaited = real.awaited.take();
        let is_loaded = real.loaded.is_some();
        let place = self.held.iter().position(|other| other.key == held.key);
        let before = place.and_then(|place| self.remove(place));
        self.bytes += held.size;
        self.held.push_front(held);
        let entered = self.shrink();
        if !self.by_time {
            let is_missed = |missed: bool| u64::from(missed);
            let real = is_missed(!is_loaded || awaited.is_some());
            // A component that is parked is none that is ready.
            let shadow = is_missed(before.is_none_or(|held| held.is_parked));
            return self.judge([shadow, real, 1]);
        }
        let micros = |time: Duration| time.as_micros() as u64;
        let load = micros(load_time);
        let shadow = match before {
            None => load + micros(entered),
            Some(Held { is_parked: true, rung: Some(rung), .. }) => {
                micros(rung.wake) + micros(entered)
            }
            Some(_) => 0,
        };
        let real = match awaited {
            _ if !is_loaded => load,
            None => 0,
            Some(Awaited { saved, parks }) => load - micros(saved).min(load) + micros(parks),
        };
        self.judge([shadow, real, load]);
    }

    /// Counts one use; at the end of a full window in which the shadow led, begins a fallback.
    fn judge(&mut self, outcome: Outcome) {
        self.outcomes.push_back(outcome);
        for (sum, wait) in self.sums.iter_mut().zip(outcome) {
            *sum += wait;
        }
        if self.outcomes.len() > self.window
            && let Some(oldest) = self.outcomes.pop_front()
        {
            for (sum, wait) in self.sums.iter_mut().zip(oldest) {
                *sum -= wait;
            }
        }
        if self.fallback > 0 {
            self.fallback -= 1;
            if self.fallback == 0 {
                // V-rank gets a whole window to show what it can do.
                self.outcomes.clear();
                self.sums = [0; 3];
            }
        } else if self.outcomes.len() == self.window {
            let [shadow, real, all] = self.sums.map(|sum| sum as f64);
            if real - shadow > self.margin * all {
                self.fallback = self.window;
                self.fallbacks += 1;
            }
        }
    }

    pub(super) fn section(&self) -> Vec<(String, StatusValue)> {
        let [shadow, real, all] = self.sums;
        let share = |wait: u64| {
            let hits = all.saturating_sub(wait) as f64;
            StatusValue::Number(if all > 0 { hits / all as f64 } else { 0.0 })
        };
        vec![
            ("uses compared".to_owned(), StatusValue::Count(self.outcomes.len() as u64)),
            ("hit share".to_owned(), share(real)),
            ("hit share of a shadow LRU".to_owned(), share(shadow)),
            ("fallen back to LRU".to_owned(), StatusValue::Bool(self.fallback > 0)),
            ("fallbacks".to_owned(), StatusValue::Count(self.fallbacks)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use majordomo_core::Moment;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn shadow(capacity_mib: u64, swap_mib: u64) -> ShadowLru {
        let mut shadow = ShadowLru::new(50, 0.02, Some(ByteSize::mib(capacity_mib)), true);
        shadow.set_swap_room(ByteSize::mib(swap_mib));
        shadow
    }

    /// 100 MiB, of which a tenth stays; a load takes 1 s, a park 0.1 s and a wake 0.2 s.
    fn rung() -> RungOfUse {
        let (stays, swapped) = (ByteSize::mib(10), ByteSize::mib(90));
        RungOfUse { stays, swapped, enter: MS(100), wake: MS(200) }
    }

    /// The waits for a use, of the shadow and of the real component, in milliseconds.
    fn uses(shadow: &mut ShadowLru, key: u32, rung: Option<RungOfUse>) -> (u64, u64) {
        shadow.on_event(&PolicyEvent::Used {
            key: ComponentKey(key),
            at: Moment::ZERO,
            uses: 1,
            size: ByteSize::mib(100),
            load_time: MS(1000),
            rung,
        });
        let [shadow, real, _] = shadow.outcomes.back().expect("it was just counted");
        (shadow / 1000, real / 1000)
    }

    fn loads(shadow: &mut ShadowLru, key: u32, saved: u64, parks: u64, speculative: bool) {
        shadow.on_event(&PolicyEvent::Loaded {
            key: ComponentKey(key),
            at: Moment::ZERO,
            size: ByteSize::mib(100),
            load_time: MS(1000),
            saved: MS(saved),
            parks: MS(parks),
            speculative,
        });
    }

    #[test]
    fn shadow_parks_where_it_may_and_waits_for_parks_and_wakes() {
        let mut lru = shadow(150, 500);
        assert_eq!(uses(&mut lru, 0, Some(rung())).0, 1000);
        assert_eq!(uses(&mut lru, 1, Some(rung())).0, 1100, "the park of the other, and a load");
        assert_eq!(uses(&mut lru, 0, Some(rung())).0, 300, "the park of the other, and a wake");
        assert_eq!(uses(&mut lru, 0, Some(rung())).0, 0);
    }

    #[test]
    fn shadow_without_rungs_unloads() {
        let mut lru = shadow(150, 500);
        for key in [0, 1, 0] {
            assert_eq!(uses(&mut lru, key, None).0, 1000);
        }
    }

    #[test]
    fn shadow_unloads_where_swap_has_no_room_and_when_all_that_may_is_parked() {
        let mut lru = shadow(150, 100);
        for key in [0, 1, 2] {
            uses(&mut lru, key, Some(rung()));
        }
        // There was no room in swap for 1 before 0 was unloaded.
        assert_eq!(uses(&mut lru, 0, Some(rung())).0, 1100);
        assert!(lru.bytes <= ByteSize::mib(150) && lru.swapped <= ByteSize::mib(100));
        let mut small = shadow(115, 500);
        for key in [0, 1, 2] {
            uses(&mut small, key, Some(rung()));
        }
        assert_eq!(uses(&mut small, 1, Some(rung())).0, 300);
        assert_eq!(uses(&mut small, 0, Some(rung())).0, 1100, "it was unloaded first");
    }

    #[test]
    fn swap_that_shrinks_takes_parked_components_from_the_shadow() {
        let mut lru = shadow(150, 500);
        uses(&mut lru, 0, Some(rung()));
        uses(&mut lru, 1, Some(rung()));
        lru.set_swap_room(ByteSize::mib(50));
        assert_eq!(lru.swapped, ByteSize::ZERO);
        assert_eq!(uses(&mut lru, 0, Some(rung())).0, 1000);
    }

    #[test]
    fn real_use_waits_for_the_wake_and_the_parks_that_made_room_for_it() {
        let mut lru = shadow(1000, 500);
        assert_eq!(uses(&mut lru, 0, None).1, 1000, "it is not loaded");
        loads(&mut lru, 0, 800, 100, false);
        assert_eq!(uses(&mut lru, 0, None).1, 300);
        assert_eq!(uses(&mut lru, 0, None).1, 0);
        loads(&mut lru, 0, 0, 0, true);
        assert_eq!(uses(&mut lru, 0, None).1, 0, "no caller waited for the preload");
    }

    #[test]
    fn outcomes_of_hits_and_of_waits_are_not_compared() {
        let mut lru = shadow(150, 500);
        uses(&mut lru, 0, None);
        lru.count_time(true);
        assert_eq!(lru.outcomes.len(), 1);
        lru.count_time(false);
        assert_eq!((lru.outcomes.len(), lru.sums), (0, [0; 3]));
        uses(&mut lru, 0, None);
        assert_eq!(lru.outcomes.back(), Some(&[0, 1, 1]));
    }
}
