//! The bookings of each component. Besides, only load transactions change the budget.

use majordomo_core::{ByteSize, ComponentKey};
use majordomo_memory::{Need, Needs};

use super::Scheduler;

impl Scheduler {
    /// The pool that a component's bytes are, or would be, booked in: that of its account while it has one, by
    /// whichever configuration, else the configured one.
    #[must_use]
    pub fn pool(&self, key: ComponentKey) -> usize {
        self.budget.pool_of(key).unwrap_or_else(|| self.catalog.pool(key))
    }

    /// The declared bytes of a component in pools besides its own, by its configuration.
    #[must_use]
    pub fn declared_apart(&self, key: ComponentKey) -> Need {
        self.catalog.apart(key).iter().copied().collect()
    }

    /// Books the declared bytes of other pools by the present configuration, for a component that has an account.
    pub fn book_declared(&mut self, key: ComponentKey) {
        self.budget.declare_apart(key, self.declared_apart(key));
    }

    /// Needs of a component by its configuration and by its learned figures.
    #[must_use]
    pub fn needs(&self, key: ComponentKey) -> Needs {
        let declared = self.catalog.spec(key).map_or(ByteSize::ZERO, |s| s.memory);
        self.entry(key).figures().needs(declared, self.config.memory.estimate_margin)
    }

    /// Bytes of the budget that other programs use, and that this process holds for no component.
    pub fn set_taken(&mut self, external: ByteSize, unreturned: ByteSize) {
        self.budget.set_taken(external, unreturned);
        self.touch();
    }

    /// Books what a component was measured to use.
    pub fn book_measured(&mut self, key: ComponentKey, bytes: ByteSize) {
        self.budget.measure(key, bytes);
    }

    /// Books what a component was measured to have in swap. The reservation of a park stays until its report.
    pub fn book_measured_swap(&mut self, key: ComponentKey, bytes: ByteSize) {
        let e = self.entry(key);
        let is_reserved = e.removal().is_some_and(|r| r.then().rung().is_parked());
        if !is_reserved && !e.state().is_parking() {
            self.budget.measure_swap(key, bytes);
        }
    }

    /// Reserves for a component that is ready what its use needs: for one that was woken, what uses since then needed, and
    /// until there is one, what the wake reserved.
    pub fn reserve_settled(&mut self, key: ComponentKey) {
        let parking = self.entry(key).parking();
        let needs = match parking.needs_since_wake() {
            Some(bytes) => bytes,
            None if parking.is_woken() => return,
            None => self.needs(key).settled,
        };
        self.budget.keep(key, needs);
    }

    /// Takes back the part of a reservation that is not in use and cannot cover the working peak anyway.
    pub fn shrink_partial_reservation(&mut self, key: ComponentKey) {
        self.budget.shrink_partial(key, self.needs(key).settled);
    }

    /// Adds bytes to a reservation if they fit at once; returns whether they do.
    pub fn grow_reservation(&mut self, key: ComponentKey, bytes: ByteSize) -> bool {
        self.budget.extend(key, bytes).is_ok()
    }
}
