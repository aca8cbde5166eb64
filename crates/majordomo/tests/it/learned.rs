//! Peaks of loads and of uses with a running manager: real processes, builtins that report their
//! memory, restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use majordomo::{ByteSize, Component, ComponentSpec, EventKind, Factory, Manager};

use crate::support::{World, lease, mib, run, status, status_when};

/// Takes some 80 MB for a moment while it starts, and 2 MB from then on.
const SPIKE: &str =
    "x=$(head -c 40000000 /dev/zero | tr '\\0' x); x=; echo up; while :; do sleep 1; done";

/// The bytes beyond the budget of each load that exceeded it.
fn beyond(manager: &Manager, name: &str) -> Vec<ByteSize> {
    let records = manager.operator().why(name).unwrap().into_iter();
    records
        .filter_map(|r| match r.kind {
            EventKind::LoadBeyondBudget { beyond, .. } => Some(beyond),
            _ => None,
        })
        .collect()
}

#[test]
fn program_whose_load_peak_exceeds_the_budget_is_loaded_again_and_after_a_restart() {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: no high-water mark of a process on this system");
        return;
    }
    run(async {
        let world = World::new();
        let start = || {
            let spec = world.program("spike", SPIKE);
            world.builder(vec![spec]).budget(mib(60)).state_dir(world.path("state")).start()
        };
        let manager = start().await.unwrap();
        for n_beyond in [0, 1] {
            drop(lease(&manager, "spike").await.unwrap());
            assert_eq!(beyond(&manager, "spike").len(), n_beyond);
            let up = status(&manager, "spike").await;
            assert!(up.load_peak.is_some_and(|p| p > mib(60)), "{up:?}");
            assert!(up.booked <= mib(10), "{up:?}");
            let memory = manager.status().await.unwrap().memory.clone();
            assert_eq!(memory.overdraft, ByteSize::ZERO, "the overdraft ends with the load");
            manager.operator().unload("spike", false).await.unwrap();
        }
        manager.shutdown(None).await;
        let manager = start().await.unwrap();
        let plan = manager.plan_for(&["spike"]).await.unwrap();
        let load = &plan.loads[0];
        assert!(load.bytes > mib(60) && load.settled <= mib(10), "{load:?}");
        assert_eq!(load.beyond, load.bytes - mib(60));
        drop(lease(&manager, "spike").await.unwrap());
        manager.shutdown(None).await;
    });
}

struct Reports(Arc<AtomicU64>);

impl Component for Reports {
    fn footprint(&self) -> Option<ByteSize> {
        Some(mib(self.0.load(Ordering::Relaxed)))
    }
}

#[test]
fn working_peak_is_reserved_at_the_next_load() {
    run(async {
        let world = World::new();
        let size = Arc::new(AtomicU64::new(10));
        let theirs = Arc::clone(&size);
        let mut spec = ComponentSpec::builtin("ocr").unwrap();
        spec.memory = mib(20);
        let manager = world
            .builder(vec![spec])
            .factory(
                "ocr",
                Factory::component(move |_| {
                    theirs.store(10, Ordering::Relaxed);
                    Ok(Reports(Arc::clone(&theirs)))
                }),
            )
            .start()
            .await
            .unwrap();
        let held = manager.acquire::<Reports>("ocr").await.unwrap();
        let up = status(&manager, "ocr").await;
        assert_eq!((up.booked, up.load_need), (mib(20), mib(20)), "the margin has ended");
        assert_eq!(held.footprint(), Some(mib(10)));
        size.store(50, Ordering::Relaxed);
        let used = status_when(&manager, "ocr", |s| s.working_peak == Some(mib(50))).await;
        assert_eq!((used.booked, used.load_peak), (mib(50), Some(mib(10))));
        drop(held);
        manager.operator().unload("ocr", false).await.unwrap();
        let plan = manager.plan_for(&["ocr"]).await.unwrap();
        assert_eq!((plan.loads[0].bytes, plan.loads[0].settled), (mib(50), mib(50)));
        drop(lease(&manager, "ocr").await.unwrap());
        assert_eq!(status(&manager, "ocr").await.booked, mib(50));
    });
}
