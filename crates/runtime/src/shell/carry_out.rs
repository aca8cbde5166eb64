//! Carrying out effects: answers, records, trims and probes; loads and unloads have files of their own.

use std::sync::Arc;

use majordomo_core::{ComponentKey, EventKind, OpId};
use majordomo_engine::{Effect, Input};
use majordomo_memory::TrimConfig;

use super::Shell;
use super::hooks::guarded;
use crate::lease::{Incarnation, RawLease};
use crate::message::{Control, Granted, Waiting};

impl Shell {
    pub(super) fn carry_out(&mut self, mut effects: Vec<Effect>) {
        for effect in &mut effects {
            match effect {
                Effect::Refuse { refusal, .. } => self.lanes.tags.tell_refusal(refusal),
                Effect::Grant { left_out, .. } => self.lanes.tags.tell_left_out(left_out),
                Effect::Record(record) => self.lanes.tags.tell_record(record),
                _ => {}
            }
        }
        // Whoever is answered must find in the record what was decided, and the names of it.
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
            self.events.push(records);
        }
        for effect in effects {
            match effect {
                Effect::StartLoad { key, op, deadline } => self.start_load(key, op, deadline),
                Effect::CancelLoad { op, grace, .. } => self.cancel_load(op, grace),
                Effect::StartUnload { key, op, grace, hibernate } => {
                    self.start_unload(key, op, grace, hibernate);
                }
                Effect::Kill { op, .. } => self.kill(op),
                Effect::Trim { key, op } => {
                    if let Some(i) = self.incarnation(key, op) {
                        self.trim_component(key, op, i);
                    }
                }
                Effect::SetGrant { op, bytes, .. } => self.heap.set_grant(op, bytes),
                Effect::Probe { key, op } => self.probe(key, op),
                Effect::Grant { waiter, keys, left_out } => {
                    let leases = keys
                        .iter()
                        .filter_map(|k| self.slots.get(k.index())?.current())
                        .map(RawLease::granted)
                        .collect();
                    // A waiter that has left drops its leases right here.
                    if let Some(Waiting { reply, .. }) = self.waiters.remove(&waiter) {
                        let _ = reply.send(Ok(Granted { leases, left_out }));
                    }
                }
                Effect::Done { waiter } => {
                    if let Some(Waiting { reply, .. }) = self.waiters.remove(&waiter) {
                        let _ = reply.send(Ok(Granted::default()));
                    }
                }
                Effect::Refuse { waiter, refusal } => {
                    tracing::debug!(%refusal, "refused");
                    if let Some(Waiting { reply, .. }) = self.waiters.remove(&waiter) {
                        let _ = reply.send(Err(refusal));
                    }
                }
                Effect::Persist(learned) => self.learned.learn(&learned, self.engine.catalog()),
                Effect::PersistUse { used } => self.note_use(&used),
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

    fn trim_component(&mut self, key: ComponentKey, op: OpId, incarnation: Arc<Incarnation>) {
        let Some(process) = incarnation.instance().running().cloned() else {
            tokio::task::spawn_blocking(move || guarded(|| incarnation.instance().trim()));
            // What it drops goes back to the system only by a trim of the allocator.
            return self.freed_in_process(TrimConfig::default().least);
        };
        drop(incarnation);
        let control = self.lanes.control();
        tokio::spawn(async move {
            let result = process.trim().await.map_err(|error| {
                tracing::warn!(%error, "a component could not be asked to trim");
                error.to_string()
            });
            control.send(Control::Engine(Box::new(Input::Trimmed { key, op, result })));
        });
    }

    pub(super) fn incarnation(&self, key: ComponentKey, op: OpId) -> Option<Arc<Incarnation>> {
        self.slots.get(key.index())?.current().filter(|i| i.op() == op)
    }

    fn probe(&mut self, key: ComponentKey, op: OpId) {
        let Some(incarnation) = self.incarnation(key, op) else { return };
        let control = self.lanes.control();
        tokio::spawn(async move {
            let result = match incarnation.instance().running().cloned() {
                Some(process) => {
                    drop(incarnation);
                    process.probe().await.map_err(|e| e.to_string())
                }
                None => {
                    let asked =
                        tokio::task::spawn_blocking(move || incarnation.instance().health());
                    asked.await.unwrap_or_else(|_| Err("its health check panicked".to_owned()))
                }
            };
            control.send(Control::Engine(Box::new(Input::Health { key, op, result })));
        });
    }
}
