//! The invariants of the engine, checked from scratch: for tests and the simulator, after every input.
//!
//! Rules that span several inputs (each waiter is answered once, no admission overdraws the budget) are
//! checked by the simulator from effects and records.

use std::fmt;

use majordomo_core::{ComponentKey, ComponentState, Moment, Rung};
use majordomo_lifecycle::{Origin, Phase};

use crate::Engine;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its number in `docs/architecture.md`.
    pub invariant: u8,
    /// In words.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}", self.invariant, self.what)
    }
}

impl std::error::Error for Violation {}

fn broken<T>(invariant: u8, what: String) -> Result<T, Violation> {
    Err(Violation { invariant, what })
}

impl Engine {
    /// Checks every invariant that one moment can show.
    ///
    /// # Errors
    /// The first that is broken.
    pub fn audit(&self, now: Moment) -> Result<(), Violation> {
        if self.unsettled {
            return broken(9, "the engine moves without end in one moment".to_owned());
        }
        self.audit_dependencies()?;
        self.audit_conflicts()?;
        self.audit_bytes()?;
        self.audit_loads()?;
        self.audit_transactions(now)
    }

    fn name(&self, key: ComponentKey) -> &str {
        self.catalog().id(key).as_str()
    }

    fn audit_dependencies(&self) -> Result<(), Violation> {
        for (key, e) in self.scheduler.entries() {
            if !e.state().is_alive() && !e.dependencies().is_empty() {
                return broken(
                    1,
                    format!("{} is {} and still holds dependencies", self.name(key), e.state()),
                );
            }
            for d in e.dependencies() {
                let p = self.scheduler.entry(*d);
                if e.state() == ComponentState::Ready && p.state() != ComponentState::Ready {
                    let what = format!(
                        "{} is ready and its dependency {} is {}",
                        self.name(key),
                        self.name(*d),
                        p.state()
                    );
                    return broken(1, what);
                }
                if !p.dependents().contains(&key) {
                    return broken(
                        1,
                        format!(
                            "{} is not recorded as a dependent of {}",
                            self.name(key),
                            self.name(*d)
                        ),
                    );
                }
            }
            for d in e.dependents() {
                if !self.scheduler.entry(*d).dependencies().contains(&key) {
                    return broken(
                        1,
                        format!("{} does not depend on {}", self.name(*d), self.name(key)),
                    );
                }
            }
        }
        Ok(())
    }

    fn audit_conflicts(&self) -> Result<(), Violation> {
        for (key, e) in self.scheduler.entries() {
            if !e.state().is_alive() || e.restart().is_outdated() {
                continue;
            }
            for c in self.catalog().conflicts(key) {
                let other = self.scheduler.entry(c.with);
                let same = |k: ComponentKey| {
                    let e = self.scheduler.entry(k);
                    // A component that runs by an older specification is judged by that one's conflicts.
                    e.spec()
                        .zip(self.catalog().spec(k))
                        .is_some_and(|(a, b)| a.conflicts == b.conflicts)
                };
                if other.state().is_alive()
                    && !other.restart().is_outdated()
                    && same(key)
                    && same(c.with)
                {
                    let what = format!(
                        "{} is {} beside {}, which is {}",
                        self.name(key),
                        e.state(),
                        self.name(c.with),
                        other.state()
                    );
                    return broken(2, what);
                }
            }
        }
        Ok(())
    }

    fn audit_bytes(&self) -> Result<(), Violation> {
        if let Err(what) = self.scheduler.budget().audit() {
            return broken(3, what);
        }
        for (key, e) in self.scheduler.entries() {
            let booked = self.scheduler.budget().booked_for(key);
            let reserved_by = |phase| {
                self.scheduler
                    .transactions()
                    .any(|t| t.phase == phase && t.reserve.iter().any(|r| r.key == key))
            };
            let pool = self.scheduler.budget().pool_of(key);
            let right = e
                .spec()
                .is_none_or(|s| pool.is_none_or(|p| self.catalog().pools()[p].name == s.pool));
            if !right {
                return broken(3, format!("{} is booked in pool {pool:?}", self.name(key)));
            }
            let apart = self.scheduler.budget().apart(key);
            let right = e.spec().is_none_or(|s| {
                let name = |pool: usize| &self.catalog().pools()[pool].name;
                let stated = |(p, bytes)| s.memory_in.get(name(p)).is_some_and(|b| *b == bytes);
                pool.is_none()
                    // Bytes on the ladder are measured, and booked until the component is down.
                    || e.state().is_on_the_ladder()
                    || e.removal().is_some()
                    || (apart.iter().count() == s.memory_in.len() && apart.iter().all(stated))
            });
            if !right {
                return broken(
                    3,
                    format!("{} has {apart:?} booked in other pools", self.name(key)),
                );
            }
            let may_book = e.state().is_alive() || e.state().is_queued();
            if !self.scheduler.budget().bookings(key).is_empty() && !may_book {
                return broken(
                    3,
                    format!("{} is {} and has {booked} booked", self.name(key), e.state()),
                );
            }
            let should_book = (self.scheduler.budget().reserved_for(key) + e.overload()).0 == 0
                && e.state() == ComponentState::Queued { from: Rung::Gone }
                && !reserved_by(Phase::Clearing)
                && self.scheduler.needs(key).load.0 > 0;
            if should_book {
                return broken(
                    3,
                    format!("{} is queued and nothing is booked for it", self.name(key)),
                );
            }
        }
        let kinds = self.scheduler.budget().overdraft_by_kind();
        let sum = kinds.growth + kinds.load + kinds.config + kinds.external + kinds.unreturned;
        if sum != self.scheduler.budget().overdraft() {
            return broken(
                3,
                format!(
                    "overdraft is {}, its kinds add up to {sum}",
                    self.scheduler.budget().overdraft()
                ),
            );
        }
        Ok(())
    }

    fn audit_loads(&self) -> Result<(), Violation> {
        let mut leaving = 0;
        for (key, e) in self.scheduler.entries() {
            let has_op = e.op().is_some();
            if has_op != e.state().is_alive() {
                return broken(
                    4,
                    format!("{} is {} with incarnation {:?}", self.name(key), e.state(), e.op()),
                );
            }
            if e.state().is_loading() != e.load_deadline().is_some() {
                return broken(
                    4,
                    format!(
                        "{} is {} with load deadline {:?}",
                        self.name(key),
                        e.state(),
                        e.load_deadline()
                    ),
                );
            }
            let steps = e.state().is_parking() || e.state().is_waking();
            if steps != e.parking().step().is_some() {
                return broken(
                    4,
                    format!("{} is {} in {:?}", self.name(key), e.state(), e.parking().step()),
                );
            }
            if e.state().is_unloading() && e.unload_deadline().is_none() {
                return broken(7, format!("{} unloads without a deadline", self.name(key)));
            }
            let must_leave = matches!(
                e.state(),
                ComponentState::Draining | ComponentState::Unloading { .. } | ComponentState::Stuck
            );
            if e.removal().is_some() != must_leave {
                return broken(
                    4,
                    format!("{} is {} with leave {:?}", self.name(key), e.state(), e.removal()),
                );
            }
            leaving += usize::from(e.removal().is_some());
        }
        if leaving != self.scheduler.n_removals() {
            return broken(
                4,
                format!("{leaving} components leave, {} are counted", self.scheduler.n_removals()),
            );
        }
        let loading = self.scheduler.keys_where(|e| e.state().is_cold_load()).len();
        if loading > self.config().loads.lanes() {
            // A smaller limit of a new configuration is reached as loads end.
            if !self.lanes_shrunk {
                return broken(4, format!("{loading} loads run at a time"));
            }
        }
        Ok(())
    }

    fn audit_transactions(&self, now: Moment) -> Result<(), Violation> {
        let mut pins = vec![0u32; self.scheduler.entries().count()];
        for t in self.scheduler.transactions() {
            if t.deadline <= now && t.origin != Origin::Adopted {
                return broken(
                    6,
                    format!("transaction {} is past its deadline {}", t.id.0, t.deadline),
                );
            }
            if t.is_active() && !t.origin.is_speculative() {
                for k in &t.closure {
                    pins[k.index()] += 1;
                }
            }
        }
        for (key, e) in self.scheduler.entries() {
            if e.n_required() != pins[key.index()] {
                let what = format!(
                    "{} has {} pins, {} transactions need it",
                    self.name(key),
                    e.n_required(),
                    pins[key.index()]
                );
                return broken(5, what);
            }
        }
        for (waiter, id) in &self.waiters {
            let owner = self.scheduler.transaction(*id).and_then(|t| t.origin.waiter());
            if owner != Some(*waiter) {
                return broken(6, format!("waiter {waiter} has no transaction"));
            }
        }
        Ok(())
    }
}
