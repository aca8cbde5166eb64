//! Loads: what a loader is given, and what becomes of its result.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, ComponentKey, IncarnationId, LoadStage, OpId, quoted};
use majordomo_engine::{Input, LoadFailure, LoadReport, OutOfMemory};
use majordomo_memory::PoolGrant;
use majordomo_registry::LoaderSpec;
use tokio::sync::watch;

use super::hooks::{asleep_of, footprint_of};
use super::{Running, Shell};
use crate::component::Instance;
use crate::component_thread;
use crate::external::{Course, Service};
use crate::failed_load::FailedLoad;
use crate::lease::Incarnation;
use crate::load_clock::LoadClock;
use crate::loader::{self, Factory, LoadContext, LoadError};
use crate::memory::ComponentMemory;
use crate::message::Control;
use crate::process::{Endpoint, StartContext};

impl Shell {
    pub(super) fn start_load(&mut self, id: IncarnationId, deadline: Duration) {
        let Some(spec) = self.engine.catalog().spec(id.key).cloned() else { return };
        let cancelled = Arc::new(AtomicBool::new(false));
        let clock = Arc::new(LoadClock::start());
        let mut running = Running {
            clock: Arc::clone(&clock),
            cancelled: Arc::clone(&cancelled),
            cancel: None,
            abort: None,
            was_cancelled: false,
        };
        let control = self.lanes.control();
        let finished = move |result| control.send(Control::Loaded { id, result });
        match &spec.loader {
            LoaderSpec::Builtin { .. } | LoaderSpec::CoreMl(_) => {
                let factory = match self.factory(&spec.loader) {
                    Ok(factory) => factory,
                    Err(why) => {
                        finished(Err(FailedLoad::from(why)));
                        self.running.insert(id.op, running);
                        return;
                    }
                };
                let dependencies = Arc::new(self.dependencies(id.key));
                let grant = self.heap.grant(id.op, self.grant_for(id.key));
                let control = self.lanes.control();
                let request = Arc::new(move |bytes, reply| {
                    control.send(Control::Grow { id, bytes, reply });
                });
                let memory = ComponentMemory { grant: grant.clone(), request };
                let snapshot = self.heap.thaw(id.key, self.engine.catalog().config_hash(id.key));
                let ctx = LoadContext {
                    spec,
                    op: id.op,
                    deadline,
                    dependencies,
                    cancelled,
                    memory,
                    snapshot,
                };
                match factory {
                    Factory::Blocking(f) => {
                        component_thread::run(move || {
                            let made = loader::run_blocking(&*f, ctx);
                            finished(made.map(|i| with_footprint(i, grant)).map_err(Into::into));
                        });
                    }
                    Factory::Async(f) => {
                        let report = ReportOnce(Some(finished));
                        let task = tokio::spawn(async move {
                            let made = loader::run_async(&*f, ctx).await;
                            let made = made.map(|mut instance| {
                                instance.never_blocks = true;
                                with_footprint(instance, grant)
                            });
                            report.report(made.map_err(Into::into));
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
                    op: id.op,
                    spec: Arc::new(process.clone()),
                    memory_limit: spec.memory_limit,
                    may_park: spec.may_park(self.engine.config().parking.park),
                    base_dir: self.base_dir.clone(),
                    dependencies: self.dependency_endpoints(id.key),
                    // Before the engine's own deadline, so that the loader can say what the program lacked.
                    deadline: within(deadline),
                    logs: Arc::clone(&self.logs[id.key.index()]),
                    usual: self.usual_load_time(id.key),
                    clock,
                };
                self.start_process(ctx, cancelled, finished);
            }
            LoaderSpec::External(service) => {
                let (cancel, cancelled) = watch::channel(None);
                running.cancel = Some(cancel);
                let (component, service) = (spec.id.clone(), service.clone());
                let logs = Arc::clone(&self.logs[id.key.index()]);
                let deadline = within(deadline);
                let course = Course { usual: self.usual_load_time(id.key), clock };
                tokio::spawn(async move {
                    let loaded =
                        Service::load(&component, service, deadline, logs, course, cancelled).await;
                    let report = LoadReport { measured: None, peak: None };
                    let made = loaded.map(|service| (Instance::external(service), report));
                    finished(made.map_err(|error| FailedLoad::from(LoadError::from(error))));
                });
            }
            _ => finished(Err(FailedLoad::from(format!(
                "{} loader not in this build",
                spec.loader.kind()
            )))),
        }
        self.running.insert(id.op, running);
    }

    /// The factory of a component inside this process, or why there is none.
    fn factory(&self, loader: &LoaderSpec) -> Result<Factory, String> {
        let LoaderSpec::Builtin { factory } = loader else {
            let found = self.factories.get(loader::CORE_ML_FACTORY).cloned();
            return found.ok_or_else(|| loader::NO_CORE_ML.to_owned());
        };
        self.factories.get(factory).cloned().ok_or_else(|| {
            let known: Vec<_> = self.factories.keys().map(String::as_str).collect();
            format!(
                "no builtin factory is registered as {} (registered: {}); register it with the builder",
                quoted(factory),
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            )
        })
    }

    fn start_process(
        &self,
        ctx: StartContext,
        cancelled: watch::Receiver<Option<Duration>>,
        finished: impl FnOnce(Result<(Instance, LoadReport), FailedLoad>) + Send + 'static,
    ) {
        let Some(loader) = self.processes.clone() else {
            finished(Err("this manager was built without the process loader".to_owned().into()));
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
                    // Readers get the component's name besides.
                    let words = words.strip_prefix(&name).map(str::to_owned).unwrap_or(words);
                    let out_of_memory = error.out_of_memory();
                    let failure = LoadFailure { error: words, out_of_memory };
                    Err(FailedLoad { failure, error: Some(Arc::new(error)) })
                }
            });
        });
    }

    fn dependencies(&self, key: ComponentKey) -> BTreeMap<ComponentId, Arc<Incarnation>> {
        let catalog = self.engine.catalog();
        catalog
            .dependencies(key)
            .iter()
            .filter_map(|d| Some((catalog.id(*d).clone(), self.slots.get(d.index())?.current()?)))
            .collect()
    }

    /// Where the dependencies of a component, direct or not, are reached that are programs.
    fn dependency_endpoints(&self, key: ComponentKey) -> BTreeMap<ComponentId, Endpoint> {
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
        id: IncarnationId,
        result: Result<(Instance, LoadReport), FailedLoad>,
    ) {
        self.learned.files.load_ended(id.key);
        let running = self.running.remove(&id.op);
        let cancelled = running.as_ref().is_some_and(|r| r.was_cancelled);
        match result {
            Ok((instance, _)) if cancelled => self.take_down(id, instance),
            Ok((instance, report)) => {
                let process = instance.running().cloned();
                self.learn_files(id, process.as_ref());
                let hash = self.engine.catalog().config_hash(id.key);
                self.rungs.asleep.record(id.key, hash, instance.asleep);
                self.load_errors.ended(self.engine.catalog().id(id.key), None);
                self.heap.forget(id.key);
                if let Some(running) = running {
                    // For loaders that have no other stage.
                    running.clock.reached(LoadStage::Ready);
                    self.learn_stages(id, &running.clock);
                }
                if let Some(process) = &process {
                    self.rungs.paged.learn_movable(id.key, process);
                    // It may be parked as soon as its load has ended.
                    self.offer_rungs();
                }
                self.feed_with(Input::LoadFinished { id, result: Ok(report) }, Some(instance));
                self.offer_rungs();
                if let Some(process) = process {
                    let control = self.lanes.control();
                    tokio::spawn(async move {
                        let exit = process.wait_exit().await;
                        let evidence = process.out_of_memory().copied();
                        drop(process);
                        let out_of_memory = evidence.map(|e| OutOfMemory { peak: e.peak() });
                        let how = evidence.map_or_else(|| exit.to_string(), |e| e.to_string());
                        let code = exit.code();
                        let input = Input::Exited { id, how, code, out_of_memory };
                        control.send(Control::Engine(Box::new(input)));
                    });
                }
            }
            Err(_) if cancelled => self.lanes.control().send(Control::Down { id }),
            Err(FailedLoad { failure, error }) => {
                let component = self.engine.catalog().id(id.key);
                self.load_errors.ended(component, error);
                tracing::warn!(%component, error = %failure.error, "load failed");
                self.component_down(id);
                self.feed(Input::LoadFinished { id, result: Err(failure) });
            }
        }
    }

    /// Learns the stages of a load, unless it was of a configuration that another has replaced since.
    fn learn_stages(&mut self, id: IncarnationId, clock: &LoadClock) {
        if self.engine.scheduler().entry(id.key).restart().is_outdated() {
            return;
        }
        self.learned.learn_stages(id.key, clock.stages(), self.engine.catalog());
    }

    fn usual_load_time(&self, key: ComponentKey) -> Option<Duration> {
        self.engine.scheduler().entry(key).figures().load_time()
    }

    pub(super) fn cancel_load(&mut self, op: OpId, grace: Duration) {
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

    /// The bytes that a builtin may map at first: its reservation, unless that is in memory that is not RAM.
    fn grant_for(&self, key: ComponentKey) -> ByteSize {
        let budget = self.engine.budget();
        let declared = budget.pool_of(key).is_some_and(|pool| budget.limit_of(pool).declared);
        if declared { ByteSize::ZERO } else { budget.reserved_for(key) }
    }
}

/// The deadline of a loader, before that of the engine.
pub(super) fn within(deadline: Duration) -> Duration {
    deadline - (deadline / 10).min(Duration::from_millis(200))
}

/// Reports the end of a load once: at the latest when its task is dropped because it was cancelled.
struct ReportOnce<F: FnOnce(Result<(Instance, LoadReport), FailedLoad>)>(Option<F>);

impl<F: FnOnce(Result<(Instance, LoadReport), FailedLoad>)> ReportOnce<F> {
    fn report(mut self, result: Result<(Instance, LoadReport), FailedLoad>) {
        if let Some(report) = self.0.take() {
            report(result);
        }
    }
}

impl<F: FnOnce(Result<(Instance, LoadReport), FailedLoad>)> Drop for ReportOnce<F> {
    fn drop(&mut self) {
        if let Some(report) = self.0.take() {
            report(Err("its load was cancelled".to_owned().into()));
        }
    }
}

fn with_footprint(mut instance: Instance, grant: PoolGrant) -> (Instance, LoadReport) {
    let peak = grant.peak();
    instance.grant = Some(grant);
    instance.asleep = asleep_of(&instance);
    let measured = footprint_of(&instance);
    // Bytes mapped only during the load count for the next load.
    let peak = measured.map(|m| m - instance.mapped(PoolGrant::used) + peak);
    (instance, LoadReport { measured, peak })
}
