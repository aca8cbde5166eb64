//! Carrying out effects: loads, unloads, answers.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentKey, EventKind, OpId, quoted};
use majordomo_engine::{Effect, Input, LoadFailure, LoadReport, OutOfMemory};
use majordomo_memory::{PoolGrant, Snapshot, TrimConfig};
use majordomo_registry::LoaderSpec;
use tokio::sync::watch;

use super::lanes::{Control, Granted};
use super::{Running, Shell, Waiting};
use crate::component::Instance;
use crate::lease::{Incarnation, RawLease};
use crate::loader::{self, Factory, LoadContext};
use crate::memory::ComponentMemory;
use crate::process::{Endpoint, RunningProcess, StartContext};

/// Groups that outlived SIGKILL are looked at this often.
const SURVIVOR_PERIOD: Duration = Duration::from_secs(1);

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
                Effect::Persist(learned) => self.memory.learn(&learned, self.engine.catalog()),
                Effect::PersistUse { used } => self.note_use(&used),
                Effect::PersistSequence => self.memory.learned_of_use(),
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

    fn start_load(&mut self, key: ComponentKey, op: OpId, deadline: Duration) {
        let Some(spec) = self.engine.catalog().spec(key).cloned() else { return };
        let cancelled = Arc::new(AtomicBool::new(false));
        let mut running = Running {
            cancelled: Arc::clone(&cancelled),
            cancel: None,
            abort: None,
            was_cancelled: false,
        };
        let control = self.lanes.control();
        let finished = move |result| control.send(Control::Loaded { key, op, result });
        match &spec.loader {
            LoaderSpec::Builtin { factory } => {
                let Some(factory) = self.factories.get(factory).cloned() else {
                    let known: Vec<_> = self.factories.keys().map(String::as_str).collect();
                    finished(Err(LoadFailure::from(format!(
                        "no builtin factory is registered as {} (registered: {}); register it with the builder",
                        quoted(factory),
                        if known.is_empty() { "none".to_owned() } else { known.join(", ") }
                    ))));
                    self.running.insert(op, running);
                    return;
                };
                let dependencies = Arc::new(self.dependencies(key));
                let grant = self.heap.grant(op, self.grant_for(key));
                let memory = ComponentMemory {
                    key,
                    op,
                    grant: grant.clone(),
                    control: self.lanes.control(),
                };
                let snapshot = self.heap.thaw(key, self.engine.catalog().config_hash(key));
                let ctx =
                    LoadContext { spec, op, deadline, dependencies, cancelled, memory, snapshot };
                match factory {
                    Factory::Blocking(f) => {
                        tokio::task::spawn_blocking(move || {
                            let made = loader::run_blocking(&*f, ctx);
                            finished(made.map(|i| with_footprint(i, grant)).map_err(Into::into));
                        });
                    }
                    Factory::Async(f) => {
                        let told = Told(Some(finished));
                        let task = tokio::spawn(async move {
                            let made = loader::run_async(&*f, ctx).await;
                            let made = made.map(|mut instance| {
                                instance.never_blocks = true;
                                with_footprint(instance, grant)
                            });
                            told.tell(made.map_err(Into::into));
                        });
                        running.abort = Some(task.abort_handle());
                    }
                }
            }
            LoaderSpec::Process(process) => {
                let (cancel, cancelled) = watch::channel(None);
                running.cancel = Some(cancel);
                let ctx = StartContext {
                    component: spec.id.clone(),
                    op,
                    spec: Arc::new(process.clone()),
                    memory_limit: spec.memory_limit,
                    base_dir: self.base_dir.clone(),
                    dependencies: self.dependency_endpoints(key),
                    // Before the engine's own deadline, so that the loader can say what the program lacked.
                    deadline: deadline - (deadline / 10).min(Duration::from_millis(200)),
                    logs: Arc::clone(&self.logs[key.index()]),
                };
                self.start_process(ctx, cancelled, finished);
            }
            _ => finished(Err(LoadFailure::from(format!(
                "{} loader not in this build",
                spec.loader.kind()
            )))),
        }
        self.running.insert(op, running);
    }

    fn start_process(
        &self,
        ctx: StartContext,
        cancelled: watch::Receiver<Option<Duration>>,
        finished: impl FnOnce(Result<(Instance, LoadReport), LoadFailure>) + Send + 'static,
    ) {
        let Some(loader) = self.processes.clone() else {
            finished(Err("this manager was built without the process loader".into()));
            return;
        };
        let name = format!("{}: ", ctx.component);
        tokio::spawn(async move {
            let result = loader.start_unless(ctx, cancelled).await;
            finished(match result {
                Ok(process) => {
                    let load = process.measure_load().await;
                    let report =
                        LoadReport { measured: load.map(|l| l.exact), peak: load.map(|l| l.peak) };
                    Ok((Instance::process(Arc::new(process)), report))
                }
                Err(error) => {
                    let words = loader::in_words(&error);
                    // Who reads it is told the component's name besides.
                    let words = words.strip_prefix(&name).map(str::to_owned).unwrap_or(words);
                    let out_of_memory = error.out_of_memory();
                    Err(LoadFailure { error: words, out_of_memory })
                }
            });
        });
    }

    fn dependencies(
        &self,
        key: ComponentKey,
    ) -> BTreeMap<majordomo_core::ComponentId, Arc<Incarnation>> {
        let catalog = self.engine.catalog();
        catalog
            .dependencies(key)
            .iter()
            .filter_map(|d| Some((catalog.id(*d).clone(), self.slots.get(d.index())?.current()?)))
            .collect()
    }

    /// Where the dependencies of a component, direct or not, are reached that are programs.
    fn dependency_endpoints(
        &self,
        key: ComponentKey,
    ) -> BTreeMap<majordomo_core::ComponentId, Endpoint> {
        let catalog = self.engine.catalog();
        let others = catalog.closure(&[key]).into_iter().filter(|k| *k != key);
        others
            .filter_map(|k| {
                let incarnation = self.slots.get(k.index())?.current()?;
                Some((catalog.id(k).clone(), incarnation.instance().endpoint()?.clone()))
            })
            .collect()
    }

    pub(super) fn loaded(
        &mut self,
        key: ComponentKey,
        op: OpId,
        result: Result<(Instance, LoadReport), LoadFailure>,
    ) {
        let cancelled = self.running.remove(&op).is_some_and(|r| r.was_cancelled);
        match result {
            Ok((instance, _)) if cancelled => self.take_down(key, op, instance),
            Ok((instance, report)) => {
                let process = instance.running().cloned();
                self.heap.forget(key);
                self.feed_with(Input::LoadFinished { key, op, result: Ok(report) }, Some(instance));
                if let Some(process) = process {
                    let control = self.lanes.control();
                    tokio::spawn(async move {
                        let exit = process.wait_exit().await;
                        let evidence = process.out_of_memory().copied();
                        drop(process);
                        let out_of_memory = evidence.map(|e| OutOfMemory { peak: e.peak() });
                        let how = evidence.map_or_else(|| exit.to_string(), |e| e.to_string());
                        let code = exit.code();
                        let input = Input::Exited { key, op, how, code, out_of_memory };
                        control.send(Control::Engine(Box::new(input)));
                    });
                }
            }
            Err(_) if cancelled => self.lanes.control().send(Control::Down { key, op }),
            Err(failure) => {
                let component = self.engine.catalog().id(key);
                tracing::warn!(%component, error = %failure.error, "load failed");
                self.note_down(key, op);
                self.feed(Input::LoadFinished { key, op, result: Err(failure) });
            }
        }
    }

    fn cancel_load(&mut self, op: OpId, grace: Duration) {
        let Some(r) = self.running.get_mut(&op) else { return };
        r.was_cancelled = true;
        // Relaxed: a hint to the loader.
        r.cancelled.store(true, Ordering::Relaxed);
        if let Some(cancel) = &r.cancel {
            cancel.send_replace(Some(grace));
        }
        if let Some(abort) = &r.abort {
            abort.abort();
        }
    }

    fn start_unload(&mut self, key: ComponentKey, op: OpId, grace: Duration, hibernate: bool) {
        let Some(incarnation) = self.incarnation(key, op) else { return };
        self.slots[key.index()].clear();
        self.seen.remove(&key);
        self.leaving.insert(op, Arc::downgrade(&incarnation));
        match incarnation.instance().running().cloned() {
            Some(process) => {
                let control = self.lanes.control();
                tokio::spawn(async move {
                    until_down(&process, grace).await;
                    // Those who still hold a lease are told.
                    incarnation.instance().ended();
                    control.send(Control::Down { key, op });
                });
            }
            // Its `Gone` tells when the last holder has dropped it.
            None if hibernate && incarnation.cell().leases() == 0 => {
                let tag = self.engine.catalog().config_hash(key);
                let control = self.lanes.control();
                tokio::task::spawn_blocking(move || {
                    guarded(|| {
                        if let Some(state) = incarnation.instance().hibernate() {
                            let snapshot = Snapshot::pack(tag, &state);
                            control.send(Control::Hibernated { key, snapshot });
                        }
                    });
                    guarded(move || drop(incarnation));
                });
            }
            None if incarnation.instance().never_blocks => {
                tokio::spawn(async move { guarded(move || drop(incarnation)) });
            }
            None => drop_elsewhere(incarnation),
        }
    }

    /// What a builtin may map at first: its reservation, unless that is in memory that is not RAM.
    fn grant_for(&self, key: ComponentKey) -> ByteSize {
        let budget = self.engine.budget();
        let declared = budget.pool_of(key).is_some_and(|pool| budget.limit_of(pool).declared);
        if declared { ByteSize::ZERO } else { budget.reserved_for(key) }
    }

    /// Takes down what a cancelled load made all the same.
    fn take_down(&mut self, key: ComponentKey, op: OpId, mut instance: Instance) {
        let control = self.lanes.control();
        if let Some(process) = instance.running().cloned() {
            tokio::spawn(async move {
                until_down(&process, Duration::ZERO).await;
                control.send(Control::Down { key, op });
            });
        } else {
            instance.gone.0 = Some(Box::new(move || control.send(Control::Down { key, op })));
            tokio::task::spawn_blocking(move || guarded(move || drop(instance)));
        }
    }

    fn kill(&mut self, op: OpId) {
        if let Some(cancel) = self.running.get(&op).and_then(|r| r.cancel.as_ref()) {
            cancel.send_replace(Some(Duration::ZERO));
        }
        if let Some(leaving) = self.leaving.get(&op).and_then(std::sync::Weak::upgrade) {
            if let Some(process) = leaving.instance().running() {
                process.kill();
            }
            // It may be the last holder by now.
            drop_elsewhere(leaving);
        }
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

/// Stops a process and waits until no member of it is left, however long that takes: the engine calls it
/// stuck meanwhile, with its bytes booked, and takes it back when it has ended after all.
async fn until_down(process: &RunningProcess, grace: Duration) {
    let Err(error) = process.stop(grace).await else { return };
    tracing::error!(%error, "a component did not end");
    while !process.is_gone().await {
        tokio::time::sleep(SURVIVOR_PERIOD).await;
    }
}

/// Tells once how a load ended: at the latest when its task is dropped because it was cancelled.
struct Told<F: FnOnce(Result<(Instance, LoadReport), LoadFailure>)>(Option<F>);

impl<F: FnOnce(Result<(Instance, LoadReport), LoadFailure>)> Told<F> {
    fn tell(mut self, result: Result<(Instance, LoadReport), LoadFailure>) {
        if let Some(tell) = self.0.take() {
            tell(result);
        }
    }
}

impl<F: FnOnce(Result<(Instance, LoadReport), LoadFailure>)> Drop for Told<F> {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            tell(Err("its load was cancelled".into()));
        }
    }
}

fn with_footprint(mut instance: Instance, grant: PoolGrant) -> (Instance, LoadReport) {
    let peak = grant.peak();
    instance.grant = Some(grant);
    let measured = footprint_of(&instance);
    // What it mapped for the load alone counts for the next one.
    let peak = measured.map(|m| m - instance.mapped(PoolGrant::used) + peak);
    (instance, LoadReport { measured, peak })
}

/// A component's own account of its memory; none when that panics.
pub(super) fn footprint_of(instance: &Instance) -> Option<ByteSize> {
    std::panic::catch_unwind(AssertUnwindSafe(|| instance.footprint())).ok().flatten()
}

/// Runs a component's code; its panic is logged and goes no further.
fn guarded(f: impl FnOnce()) {
    if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(f)) {
        tracing::error!(panic = loader::panic_in_words(&*panic), "a component's hook failed");
    }
}

/// Drops an instance off the shell's task, since its `Drop` may take long.
fn drop_elsewhere(incarnation: Arc<Incarnation>) {
    tokio::task::spawn_blocking(move || guarded(move || drop(incarnation)));
}
