//! Effects of the engine, carried out in the simulated world, and the results of its calls to cells.

use std::time::Duration;

use majordomo_core::{ComponentKey, EventKind, IncarnationId, Refusal, WaiterId};
use majordomo_engine::{Effect, Input, Persisted, PersistedRung};

use super::{Event, Running, Stage, World};
use crate::stress::check::{Broken, broken};

impl World<'_> {
    /// Turns everything that happened to cells into reactions: releases after revocation, ends of races, notices.
    pub(super) fn flush_cells(&mut self) {
        for at in std::mem::take(&mut self.cells.revoked) {
            let leases: Vec<u64> = self
                .cells
                .leases
                .iter()
                .filter(|(_, h)| h.incarnation == at && !h.stubborn)
                .map(|(id, _)| *id)
                .collect();
            for lease in leases {
                let wait = self.rng(5, lease).millis(1, 400);
                self.after(wait, Event::Release { lease });
            }
        }
        for lease in std::mem::take(&mut self.cells.raced) {
            let wait = self.rng(6, lease).millis(1, 100);
            self.after(wait, Event::Release { lease });
            self.used();
        }
        for id in std::mem::take(&mut self.cells.notices) {
            self.deliver_notice(id);
        }
    }

    /// Where rungs are offered, a notice may come so late that its component is parked by then, or woken.
    fn deliver_notice(&mut self, id: IncarnationId) {
        let mut rng = self.rng_of(21, id.key);
        if self.script.rungs && rng.chance(0.1) {
            let wait = rng.millis(3, 2_500);
            self.after(wait, Event::Deliver(Input::Released { id }));
        } else {
            self.deliver(Input::Released { id });
        }
    }

    pub(super) fn used(&mut self) {
        if !self.sweep_due {
            self.sweep_due = true;
            let second = 1_000_000;
            let wait = second - self.now.0 % second;
            self.after(Duration::from_micros(wait), Event::Sweep);
        }
    }

    pub(super) fn carry_out(&mut self, effect: Effect) -> Result<(), Broken> {
        match effect {
            Effect::StartLoad { id, .. } => self.start_load(id)?,
            Effect::CancelLoad { id, grace } => self.cancel_load(id, grace)?,
            Effect::StartUnload { id, grace, .. } => self.start_unload(id, grace)?,
            Effect::StartPark { id, step, to, .. } => self.start_park(id, step, to)?,
            Effect::StartWake { id, step, from, .. } => self.start_wake(id, step, from)?,
            Effect::Kill { id } => match &self.running[id.key.index()] {
                Some(Running { op: o, stage: Stage::Stopping { stuck }, .. }) if *o == id.op => {
                    if !stuck {
                        self.after(Duration::from_millis(20), Event::StopEnd { id });
                    }
                }
                // The report of its end has not reached the engine yet.
                None => {}
                _ => return broken(4, format!("{} is killed, but is not being stopped", id.key)),
            },
            Effect::Probe { id } => {
                let wait = self.rng_of(7, id.key).millis(1, 800);
                self.after(wait, Event::ProbeEnd { id });
            }
            Effect::Trim { id } => {
                let mut rng = self.rng_of(14, id.key);
                let result = if rng.chance(0.8) { Ok(()) } else { Err("timed out".to_owned()) };
                // An answer may arrive so late that the component has failed many times since.
                let longest = if rng.chance(0.2) { 1_800_000 } else { 10_000 };
                let wait = rng.millis(1, longest);
                self.after(wait, Event::Deliver(Input::Trimmed { id, result }));
            }
            Effect::Grant { waiter, keys, .. } => self.grant(waiter, keys)?,
            Effect::Refuse { waiter, refusal } => {
                *self.counts.answers.entry(refusal.code()).or_default() += 1;
                let gave_up = matches!(refusal, Refusal::DeadlineExceeded { .. });
                self.watch.answered(waiter, gave_up, self.now);
                self.clients.remove(&waiter);
            }
            Effect::Done { waiter } => {
                *self.counts.answers.entry("done").or_default() += 1;
                self.clients.remove(&waiter);
            }
            Effect::Persist(Persisted { key, learned, load_time }) => {
                self.fate(key).learned = Some((learned, load_time));
            }
            Effect::PersistRung(PersistedRung { key, rung, learned }) => {
                self.learned_rungs.insert((self.numbers[key.index()], rung), learned);
            }
            Effect::Record(r) => {
                let beyond = matches!(r.kind, EventKind::LoadBeyondBudget { .. });
                self.counts.n_beyond_budget += u64::from(beyond);
            }
            Effect::ShutdownDone { .. } => self.after(Duration::from_secs(1), Event::Boot),
            _ => {}
        }
        Ok(())
    }

    fn cancel_load(&mut self, id: IncarnationId, grace: Duration) -> Result<(), Broken> {
        let fits = self.running[id.key.index()].is_some_and(|r| {
            r.op == id.op
                && matches!(
                    r.stage,
                    Stage::Loading { .. }
                        | Stage::Up { reported: false }
                        | Stage::Failed
                        | Stage::Exited
                )
        });
        if !fits {
            return broken(4, format!("a load of {} is cancelled, but does not run", id.key));
        }
        self.stop(id, grace);
        Ok(())
    }

    fn start_unload(&mut self, id: IncarnationId, grace: Duration) -> Result<(), Broken> {
        let fits = self.running[id.key.index()].is_some_and(|r| {
            r.op == id.op
                && matches!(
                    r.stage,
                    Stage::Up { reported: true }
                        | Stage::Exited
                        | Stage::Parking { .. }
                        | Stage::Parked
                        | Stage::Waking { .. }
                )
        });
        if !fits {
            return broken(4, format!("{} is stopped, but is not up", id.key));
        }
        let Some(i) = self.cells.current(id.key) else {
            return broken(1, format!("{} is stopped, but was never published", id.key));
        };
        if !i.cell.is_closed() || (i.cell.leases() > 0 && !i.cell.is_revoked()) {
            return broken(1, format!("{} is stopped with its cell {:?}", id.key, i.cell));
        }
        self.stop(id, grace);
        Ok(())
    }

    fn grant(&mut self, waiter: WaiterId, keys: Vec<ComponentKey>) -> Result<(), Broken> {
        *self.counts.answers.entry("granted").or_default() += 1;
        self.watch.answered(waiter, true, self.now);
        let Some(client) = self.clients.remove(&waiter) else {
            return broken(6, format!("waiter {waiter} is not a client"));
        };
        for key in keys {
            let Some(lease) = self.cells.granted(key, client.stubborn) else {
                return broken(1, format!("{key} is granted, but was never published"));
            };
            if client.abandoned {
                self.cells.release(lease);
            } else {
                self.after(client.hold, Event::Release { lease });
            }
        }
        self.used();
        Ok(())
    }
}
