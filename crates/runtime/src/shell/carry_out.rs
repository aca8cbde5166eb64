//! Carrying out effects: answers, records, trims and probes; loads and unloads have files of their own.

use std::sync::Arc;

use majordomo_core::{EventKind, IncarnationId, WaiterId};
use majordomo_engine::{Effect, Input};
use majordomo_memory::TrimConfig;

use super::Shell;
use super::hooks::end_wait;
use super::slots::CountedLeases;
use crate::component_thread::{self, guarded};
use crate::lease::Incarnation;
use crate::message::{Control, Granted, Reply};
use crate::rungs::Body;

impl Shell {
    pub(super) fn carry_out(&mut self, mut effects: Vec<Effect>, mut granted: CountedLeases) {
        for effect in &mut effects {
            match effect {
                Effect::Refuse { refusal, .. } => {
                    self.lanes.tags.fill_in_refusal(refusal);
                    self.load_errors.attach(refusal);
                }
                Effect::Grant { left_out, .. } => {
                    self.lanes.tags.fill_in_left_out(left_out);
                    left_out.iter_mut().for_each(|l| self.load_errors.attach(&mut l.refusal));
                }
                Effect::Record(record) => self.lanes.tags.fill_in_record(record),
                _ => {}
            }
        }
        // A caller that gets an answer must find the decision in the event log, and the names in it.
        if effects.iter().any(|e| matches!(e, Effect::Publish)) {
            self.publish();
        }
        let records: Vec<_> = effects
            .iter()
            .filter_map(|e| match e {
                Effect::Record(record) => Some(record.clone()),
                _ => None,
            })
            .collect();
        if !records.is_empty() {
            tracing::trace!(?records, "events");
            records.iter().for_each(|record| self.steps_done.count(&record.kind));
            self.events.push(records);
        }
        for effect in effects {
            match effect {
                Effect::StartLoad { id, deadline } => self.start_load(id, deadline),
                Effect::CancelLoad { id, grace } => {
                    self.learned.files.load_ended(id.key);
                    self.cancel_load(id.op, grace);
                }
                Effect::StartUnload { id, grace, hibernate } => {
                    self.start_unload(id, grace, hibernate);
                }
                Effect::StartPark { id, step, to, deadline } => {
                    self.start_park(id, step, to, deadline);
                }
                Effect::StartWake { id, step, from, deadline } => {
                    self.start_wake(id, step, from, deadline);
                }
                Effect::Kill { id } => self.kill(id.op),
                Effect::Trim { id } => {
                    if let Some(i) = self.incarnation(id) {
                        self.trim_component(id, i);
                    }
                }
                Effect::ReadAhead { key, speculative } => self.read_ahead(key, speculative),
                Effect::StopReadAhead => self.stop_read_ahead(),
                Effect::SetGrant { id, bytes } => self.heap.set_grant(id.op, bytes),
                Effect::Probe { id } => self.probe(id),
                Effect::Grant { waiter, keys, left_out } => {
                    let leases = keys.iter().filter_map(|k| granted.get_mut(k)?.pop()).collect();
                    // Where the waiter has left, its leases are dropped right here.
                    self.answer(waiter, Ok(Granted { leases, left_out }));
                }
                Effect::Done { waiter } => self.answer(waiter, Ok(Granted::default())),
                Effect::Refuse { waiter, refusal } => {
                    tracing::debug!(%refusal, "refused");
                    self.answer(waiter, Err(refusal));
                }
                Effect::Persist(learned) => self.learned.learn(&learned, self.engine.catalog()),
                Effect::PersistRung(row) => self.learned.learn_rung(row, self.engine.catalog()),
                Effect::PersistUse { used } => self.record_use(&used),
                Effect::PersistSequence => self.learned.learned_of_use(),
                Effect::Record(record) => match &record.kind {
                    EventKind::ShutdownKills { components } => {
                        let catalog = self.engine.catalog();
                        let names: Vec<_> =
                            components.iter().map(|k| catalog.id(*k).as_str()).collect();
                        tracing::warn!(
                            components = names.join(", "),
                            "killed, since shutdown_deadline is over before they stopped"
                        );
                    }
                    EventKind::LoadBeyondBudget { component, peak, beyond } => {
                        let component = self.engine.catalog().id(*component);
                        tracing::warn!(
                            %component, %peak, %beyond,
                            "loads alone: the peak of its load is more than the budget has; raise the budget, or make its start-up take less"
                        );
                    }
                    _ => {}
                },
                Effect::ShutdownDone { stuck } => {
                    let names: Vec<_> =
                        stuck.iter().map(|k| self.engine.catalog().id(*k).clone()).collect();
                    if !names.is_empty() {
                        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
                        tracing::warn!(names = names.join(", "), "components did not stop");
                    }
                    self.stuck = names;
                    self.down = true;
                }
                _ => {}
            }
        }
    }

    fn answer(&mut self, waiter: WaiterId, answer: Reply) {
        if let Some(waiting) = self.waiters.remove(&waiter) {
            let _ = end_wait(waiting).send(answer);
        }
    }

    fn trim_component(&mut self, id: IncarnationId, incarnation: Arc<Incarnation>) {
        let Some(process) = incarnation.instance().running().cloned() else {
            component_thread::run(move || guarded(|| incarnation.instance().trim()));
            // Memory that it frees is returned to the system only by a trim of the allocator.
            return self.freed_in_process(TrimConfig::default().least);
        };
        drop(incarnation);
        let control = self.lanes.control();
        tokio::spawn(async move {
            let result = process.trim().await.map_err(|error| {
                tracing::warn!(%error, "a component could not be asked to trim");
                error.to_string()
            });
            control.send(Control::Engine(Box::new(Input::Trimmed { id, result })));
        });
    }

    pub(super) fn incarnation(&self, id: IncarnationId) -> Option<Arc<Incarnation>> {
        self.slots.get(id.key.index())?.current().filter(|i| i.id() == id)
    }

    fn probe(&mut self, id: IncarnationId) {
        let Some(incarnation) = self.incarnation(id) else { return };
        let control = self.lanes.control();
        let body = Body::of(incarnation);
        tokio::spawn(async move {
            let result = body.probe().await;
            control.send(Control::Engine(Box::new(Input::Health { id, result })));
        });
    }
}
