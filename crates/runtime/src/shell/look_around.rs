//! Reports changes of the surroundings to the engine.

use majordomo_core::ByteSize;
use majordomo_engine::Input;

use super::Shell;
use crate::machine;

/// The battery is looked at in one sweep of so many.
const BATTERY_EVERY: u64 = 30;
/// Spare memory of the machine is reported in steps of this part of the budget.
const SPARE_STEPS: u64 = 128;

impl Shell {
    /// Reports changes of the surroundings to the engine: the wall clock, the processor, the battery.
    pub(super) fn look_around(&mut self) {
        let (now, wall) = (self.clock.now(), self.wall_clock.now());
        let s = &mut self.surroundings;
        let expected = s.wall.map(|(at, w)| w.0 + now.since(at).as_secs() as i64);
        // Both clocks count whole seconds and may differ by one.
        let set = expected.is_none_or(|e| (wall.0 - e).abs() > 1);
        let busy = !s.machine.is_calm();
        let changed = std::mem::replace(&mut s.busy, busy) != busy;
        let battery = s.looks.is_multiple_of(BATTERY_EVERY) && {
            let on = machine::is_on_battery();
            std::mem::replace(&mut s.on_battery, on) != on
        };
        s.looks += 1;
        let on_battery = s.on_battery;
        let spare =
            self.felt.as_ref().and_then(|f| f.spare(self.engine.config().memory.refuse_loads_at));
        // In steps: programs come and go by a few pages all the time.
        let step = (self.engine.budget().total().0 / SPARE_STEPS).max(1);
        let spare = spare.map(|bytes| ByteSize(bytes.0 / step * step));
        let spare = spare.filter(|bytes| s.spare.replace(*bytes) != Some(*bytes));
        if set {
            s.wall = Some((now, wall));
            self.feed(Input::WallClock(wall));
        }
        if changed {
            self.feed(Input::Calm(!busy));
        }
        if battery {
            self.feed(Input::Battery(on_battery));
        }
        if let Some(bytes) = spare {
            self.feed(Input::Spare(bytes));
        }
    }
}
