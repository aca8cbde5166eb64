//! Returning freed heap memory to the system after unloads.

use majordomo_core::{ByteSize, IncarnationId, PressureLevel};
use majordomo_memory::{UnreturnedMeter, trim_allocator};

use super::Shell;
use crate::message::{Control, Trimmed};

/// Less than this is stacks of threads and the allocator's own books.
const NOISE: ByteSize = ByteSize::mib(1);

impl Shell {
    /// Schedules a trim of the allocator after a builtin was unloaded or trimmed; an early one when memory is short.
    pub(super) fn freed_in_process(&mut self, bytes: ByteSize) {
        self.heap.debounce.unloaded(bytes, self.clock.now());
        let short =
            self.engine.is_short_of_memory() || self.pressed >= self.engine.config().memory.trim_at;
        if short {
            self.heap.debounce.hurry();
        }
    }

    /// Records that a component is down: its memory in this process can be returned.
    pub(super) fn component_down(&mut self, id: IncarnationId) {
        self.heap.gone(id.op);
        if let Some(bytes) = self.engine.booked_in_process(id) {
            self.freed_in_process(bytes);
        }
    }

    /// Trims on a blocking thread when it is time.
    pub(super) fn trim_if_due(&mut self) {
        let now = self.clock.now();
        if self.heap.trimming || !self.heap.debounce.take(now) {
            return;
        }
        self.heap.trimming = true;
        let (meter, clock, control) = (self.heap.meter, self.clock, self.lanes.control());
        let (mapped, _) = self.heap.mapped();
        tokio::task::spawn_blocking(move || {
            let outcome = trim_allocator();
            let took = clock.now().since(now);
            let unreturned = meter.and_then(|m| m.measure(mapped));
            control.send(Control::Trimmed(Trimmed { outcome, took, unreturned }));
        });
    }

    pub(super) fn trimmed(&mut self, trimmed: &Trimmed) {
        tracing::debug!(outcome = %trimmed.outcome, took = ?trimmed.took, "heap trimmed");
        self.heap.trimming = false;
        self.heap.status.trims += 1;
        self.heap.status.last_took = Some(trimmed.took);
        self.set_unreturned(trimmed.unreturned);
        self.report_taken();
    }

    /// Less than the noise is none.
    pub(super) fn set_unreturned(&mut self, measured: Option<ByteSize>) {
        if let Some(bytes) = measured {
            self.heap.unreturned = if bytes < NOISE { ByteSize::ZERO } else { bytes };
        }
    }

    /// Measures what is unreturned without a trim: the rare look that sees it used again.
    pub(super) fn meter(&mut self) -> Option<(UnreturnedMeter, ByteSize)> {
        let (mapped, _) = self.heap.mapped();
        self.heap.meter.filter(|_| self.heap.unreturned > ByteSize::ZERO).map(|m| (m, mapped))
    }

    /// The level of pressure changed.
    pub(super) fn pressed(&mut self, level: PressureLevel) {
        self.pressed = level;
        if level >= self.engine.config().memory.refuse_loads_at {
            self.heap.empty_cold_store();
        }
    }
}
