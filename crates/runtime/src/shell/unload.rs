//! Unloads: stopping processes, dropping instances, keeping snapshots.

use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{IncarnationId, OpId, Rung};
use majordomo_memory::Snapshot;

use super::Shell;
use super::hooks::drop_elsewhere;
use crate::component::Instance;
use crate::component_thread::{self, guarded};
use crate::message::Control;
use crate::process::RunningProcess;

/// A service that got ready though its load was cancelled has so long to be put to sleep.
const CANCELLED_SLEEP: Duration = Duration::from_secs(1);
/// Components that outlived SIGKILL are looked at this often.
const SURVIVOR_PERIOD: Duration = Duration::from_secs(1);

impl Shell {
    pub(super) fn start_unload(&mut self, id: IncarnationId, grace: Duration, hibernate: bool) {
        let Some(incarnation) = self.incarnation(id) else { return };
        // A step under way ends with this.
        let parked = self.ladder.remove(&id.op).map(|left| (left.rung, left.is_there));
        self.slots[id.key.index()].clear();
        self.seen.remove(&id.key);
        self.leaving.insert(id.op, Arc::downgrade(&incarnation));
        if let Some(service) = incarnation.instance().service().cloned() {
            let control = self.lanes.control();
            tokio::spawn(async move {
                // One that sleeps was put to sleep. A failure is logged: there are no other means.
                if parked != Some((Rung::Asleep, true)) {
                    drop(service.sleep(grace).await);
                }
                incarnation.instance().ended();
                control.send(Control::Down { id });
            });
            return;
        }
        match incarnation.instance().running().cloned() {
            Some(process) => {
                let control = self.lanes.control();
                tokio::spawn(async move {
                    if let Some((rung, _)) = parked {
                        process.prepare_parked_stop(rung).await;
                    }
                    until_down(&process, grace).await;
                    // Holders of leases see that it has ended.
                    incarnation.instance().ended();
                    control.send(Control::Down { id });
                });
            }
            // Its `DropNotice` is sent when the last holder has dropped it.
            None if hibernate
                && incarnation.gate().leases() == 0
                && incarnation.instance().may_hibernate() =>
            {
                let tag = self.engine.catalog().config_hash(id.key);
                let control = self.lanes.control();
                component_thread::run(move || {
                    guarded(|| {
                        if let Some(state) = incarnation.instance().hibernate() {
                            let snapshot = Snapshot::pack(tag, &state);
                            control.send(Control::Hibernated { key: id.key, snapshot });
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

    /// Takes down what a cancelled load made all the same.
    pub(super) fn take_down(&mut self, id: IncarnationId, mut instance: Instance) {
        let control = self.lanes.control();
        if let Some(service) = instance.service().cloned() {
            tokio::spawn(async move {
                // A failure is logged.
                drop(service.sleep(CANCELLED_SLEEP).await);
                control.send(Control::Down { id });
            });
        } else if let Some(process) = instance.running().cloned() {
            tokio::spawn(async move {
                until_down(&process, Duration::ZERO).await;
                control.send(Control::Down { id });
            });
        } else {
            instance.gone.0 = Some(Box::new(move || control.send(Control::Down { id })));
            component_thread::run(move || guarded(move || drop(instance)));
        }
    }

    pub(super) fn kill(&mut self, op: OpId) {
        if let Some(cancel) = self.running.get(&op).and_then(|r| r.cancel.as_ref()) {
            cancel.send_replace(Some(Duration::ZERO));
        }
        if let Some(leaving) = self.leaving.get(&op).and_then(std::sync::Weak::upgrade) {
            if let Some(process) = leaving.instance().running() {
                process.kill();
            }
            if let Some(service) = leaving.instance().service() {
                service.hurry();
            }
            // It may be the last holder by now.
            drop_elsewhere(leaving);
        }
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
