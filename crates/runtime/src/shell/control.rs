//! One message of the control lane at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use majordomo_core::{ByteSize, Config};
use majordomo_engine::Input;
use majordomo_registry::{Catalog, CatalogError, ComponentSpec, PoolSpec};

use super::hooks::end_wait;
use super::{Shell, slots};
use crate::loader::Factory;
use crate::machine;
use crate::message::{Control, Waiting};

impl Shell {
    pub(super) fn control(&mut self, control: Control) {
        match control {
            Control::Loaded { id, result } => self.loaded(id, result),
            Control::Down { id } => {
                self.running.remove(&id.op);
                self.leaving.remove(&id.op);
                self.component_down(id);
                self.feed(Input::UnloadFinished { id });
            }
            Control::Engine(input) => {
                if let Input::Pressure(level) = *input {
                    self.pressed(level);
                }
                self.step_reported(&input);
                self.feed(*input);
            }
            Control::Shutdown(deadline) => {
                let in_force = self.engine.config().deadlines.shutdown;
                self.feed(Input::Shutdown { deadline: deadline.unwrap_or(in_force) });
            }
            Control::Grow { id, bytes, reply } => {
                self.feed(Input::Grow { id, bytes });
                // The component may not wait for the answer any more.
                let _ = reply.send(self.heap.limit(id.op));
            }
            Control::Hibernated { key, snapshot } => {
                if self.pressed < self.engine.config().memory.refuse_loads_at {
                    self.heap.keep(key, snapshot);
                }
            }
            Control::Trimmed(trimmed) => self.trimmed(&trimmed),
            Control::Operator { waiter, key, action, reply } => {
                self.waiters.insert(waiter, Waiting::new(reply));
                self.feed(Input::Operator { waiter, key, action });
            }
            Control::Abandon(waiter) => {
                if let Some(waiting) = self.waiters.remove(&waiter) {
                    drop(end_wait(waiting));
                    self.feed(Input::Abandon { waiter });
                }
            }
            Control::Status(reply) => {
                let _ = reply.send(self.current_status());
            }
            Control::UsageSummary(reply) => drop(reply.send(self.usage_summary())),
            Control::UsageExport(reply) => drop(reply.send(self.learned.usage.export())),
            Control::UsageForget(reply) => {
                self.forget_use();
                let _ = reply.send(());
            }
            Control::Plan { keys, partial, reply } => {
                let (peek, now) = (slots::Peek(&self.slots), self.clock.now());
                let mut plan = match partial {
                    true => self.engine.plan_partial(&keys, now, &peek),
                    false => self.engine.plan(&keys, now, &peek),
                };
                self.lanes.tags.fill_in(&mut plan.holders);
                self.lanes.tags.fill_in_left_out(&mut plan.left_out);
                if let Some(refusal) = &mut plan.refusal {
                    self.lanes.tags.fill_in_refusal(refusal);
                }
                let _ = reply.send(plan);
            }
            Control::Forget { keys, reply } => self.forget(&keys, reply),
            Control::Configure { specs, pools, config, budget, factories, reply } => {
                let configured = self.configure(specs, pools, config, budget, factories);
                let _ = reply.send(configured);
            }
            Control::Files { id, files } => self.learned_files(id, files),
            Control::MeasuredBuiltins { own } => {
                self.measuring.builtins = false;
                self.footprints(own.into_iter().map(|(id, bytes)| (id, bytes.into())).collect());
            }
            Control::MeasuredProcesses(measured) => self.measured_processes(measured),
            Control::RungsTried => self.offer_rungs(),
        }
    }

    fn configure(
        &mut self,
        specs: Vec<ComponentSpec>,
        pools: Vec<PoolSpec>,
        config: Box<Config>,
        budget: ByteSize,
        factories: Option<BTreeMap<String, Factory>>,
    ) -> Result<(), CatalogError> {
        let catalog = Arc::new(Catalog::build(specs, pools, Some(self.engine.catalog()))?);
        if let Some(factories) = factories {
            self.factories = Arc::new(factories);
        }
        self.grow_slots(catalog.len());
        if let Some(felt) = &self.felt {
            felt.configure(&config.memory);
        }
        self.heap.configure(config.memory.cold_store);
        let config = Box::new(machine::fitted(*config));
        self.feed(Input::Configure { catalog, config, budget });
        self.offer_rungs_again();
        Ok(())
    }
}
