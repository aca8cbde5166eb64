//! Parks and wakes that were completed, for the status.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use majordomo_core::{ComponentKey, ComponentParking, EventKind};

/// Wakes of a component that its median is taken over.
const LAST: usize = 64;

/// Counts by component, since the start.
#[derive(Debug, Default)]
pub(crate) struct StepsDone(BTreeMap<ComponentKey, Steps>);

#[derive(Debug, Default)]
struct Steps {
    parks: u64,
    wakes: u64,
    last: VecDeque<u64>,
}

impl StepsDone {
    /// Counts an event of a park or a wake; others count nothing.
    pub(super) fn count(&mut self, event: &EventKind) {
        match *event {
            EventKind::Parked { component, .. } => self.0.entry(component).or_default().parks += 1,
            EventKind::Woken { component, took_us, .. } => {
                let steps = self.0.entry(component).or_default();
                steps.wakes += 1;
                if steps.last.len() == LAST {
                    steps.last.pop_front();
                }
                steps.last.push_back(took_us);
            }
            _ => {}
        }
    }

    /// Fills in the counts of a component.
    pub(super) fn fill_in(&self, key: ComponentKey, parking: &mut ComponentParking) {
        let Some(steps) = self.0.get(&key) else { return };
        (parking.parks, parking.wakes) = (steps.parks, steps.wakes);
        let mut times: Vec<_> = steps.last.iter().copied().collect();
        times.sort_unstable();
        parking.wake_median = times.get(times.len() / 2).copied().map(Duration::from_micros);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use majordomo_core::{ByteSize, Rung};

    #[test]
    fn median_is_of_the_last_wakes_of_one_component() {
        let mut done = StepsDone::default();
        let woken = |component, took_us| EventKind::Woken { component, rung: Rung::Paged, took_us };
        let [a, b] = [0, 1].map(ComponentKey);
        done.count(&EventKind::Parked {
            component: a,
            rung: Rung::Paged,
            freed: ByteSize::ZERO,
            expected: ByteSize::ZERO,
            freed_apart: ByteSize::ZERO,
            swapped: ByteSize::ZERO,
            took_us: 7,
        });
        for took in [900, 10, 30, 20] {
            done.count(&woken(a, took));
        }
        done.count(&woken(b, 5));
        let of = |done: &StepsDone, key| {
            let mut parking = ComponentParking::default();
            done.fill_in(key, &mut parking);
            (parking.parks, parking.wakes, parking.wake_median)
        };
        assert_eq!(of(&done, a), (1, 4, Some(Duration::from_micros(30))));
        assert_eq!(of(&done, b), (0, 1, Some(Duration::from_micros(5))));
        assert_eq!(of(&done, ComponentKey(2)), (0, 0, None));
        (0..LAST as u64).for_each(|_| done.count(&woken(a, 1000)));
        assert_eq!(
            of(&done, a),
            (1, 4 + LAST as u64, Some(Duration::from_millis(1))),
            "earlier ones count no more"
        );
    }
}
