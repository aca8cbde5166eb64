//! Components that sleep: parked under memory need, woken by demands, and ended at the rung.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use majordomo::{ByteSize, Component, ComponentSpec, Factory, Manager};

use crate::support::{World, lease, mib, path, run, state, status};

/// The calls of a builtin of a test.
#[derive(Debug, Default)]
struct Counts {
    loads: AtomicUsize,
    sleeps: AtomicUsize,
    wakes: AtomicUsize,
    drops: AtomicUsize,
}

impl Counts {
    fn all(&self) -> [usize; 4] {
        [&self.loads, &self.sleeps, &self.wakes, &self.drops].map(|n| n.load(Ordering::Relaxed))
    }
}

/// How a builtin fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    SleepFails,
    SleepPanics,
    WakeFails,
    /// It says that it sleeps and frees nothing.
    FreesNothing,
}

/// Holds 80 MiB, and 10 MiB asleep.
struct Sleeper {
    counts: Arc<Counts>,
    sleeps: AtomicBool,
    fault: Fault,
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.counts.drops.fetch_add(1, Ordering::Relaxed);
    }
}

impl Component for Sleeper {
    fn footprint(&self) -> Option<ByteSize> {
        Some(mib(if self.sleeps.load(Ordering::Relaxed) { 10 } else { 80 }))
    }

    fn asleep(&self) -> Option<ByteSize> {
        Some(mib(10))
    }

    fn sleep(&self) -> Result<(), String> {
        self.counts.sleeps.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::SleepFails => return Err("it is in the middle of a sentence".to_owned()),
            Fault::SleepPanics => panic!("no sleep"),
            Fault::FreesNothing => {}
            Fault::None | Fault::WakeFails => self.sleeps.store(true, Ordering::Relaxed),
        }
        Ok(())
    }

    fn wake(&self) -> Result<(), String> {
        self.counts.wakes.fetch_add(1, Ordering::Relaxed);
        if self.fault == Fault::WakeFails {
            return Err("its device is gone".to_owned());
        }
        self.sleeps.store(false, Ordering::Relaxed);
        Ok(())
    }
}

fn builtin(name: &str) -> ComponentSpec {
    let mut spec = ComponentSpec::builtin(name).unwrap();
    spec.memory = mib(80);
    spec
}

fn sleeper(counts: &Arc<Counts>, fault: Fault) -> Factory<Sleeper> {
    let counts = Arc::clone(counts);
    Factory::component(move |_| {
        counts.loads.fetch_add(1, Ordering::Relaxed);
        Ok(Sleeper { counts: Arc::clone(&counts), sleeps: AtomicBool::new(false), fault })
    })
}

/// A manager with room for one of `a`, which has the fault, and `b`, and for one of them asleep beside the other.
async fn manager(world: &World, counts: &Arc<Counts>, fault: Fault) -> Manager {
    let builder = world.builder(vec![builtin("a"), builtin("b")]).budget(mib(150));
    let builder = builder.factory("a", sleeper(counts, fault));
    builder.factory("b", sleeper(&Arc::default(), Fault::None)).start().await.unwrap()
}

#[test]
fn builtin_sleeps_for_another_demand_and_its_own_demand_wakes_the_same_instance() {
    run(async {
        let (world, counts) = (World::new(), Arc::new(Counts::default()));
        let manager = manager(&world, &counts, Fault::None).await;
        drop(lease(&manager, "a").await.unwrap());
        let b = lease(&manager, "b").await.unwrap();
        assert_eq!((state(&manager, "a"), counts.all()), ("asleep", [1, 1, 0, 0]));
        let asleep = status(&manager, "a").await;
        assert_eq!((asleep.booked, asleep.measured), (mib(10), Some(mib(10))));
        drop(b);
        let a = manager.acquire::<Sleeper>("a").await.unwrap();
        assert!(!a.sleeps.load(Ordering::Relaxed));
        assert_eq!((state(&manager, "b"), counts.all()), ("asleep", [1, 1, 1, 0]));
        assert_eq!(status(&manager, "a").await.leases, 1);
        drop(a);
        let again = manager.acquire::<Sleeper>("a").await.unwrap();
        assert_eq!(counts.all(), [1, 1, 1, 0], "its cell is open again");
        drop(again);
        assert!(manager.shutdown(None).await.is_empty());
        assert_eq!(counts.all(), [1, 1, 1, 1]);
    });
}

#[test]
fn builtin_whose_sleep_fails_or_frees_nothing_is_unloaded_for_the_demand() {
    for fault in [Fault::SleepFails, Fault::SleepPanics, Fault::FreesNothing] {
        run(async {
            let (world, counts) = (World::new(), Arc::new(Counts::default()));
            let manager = manager(&world, &counts, fault).await;
            drop(lease(&manager, "a").await.unwrap());
            drop(lease(&manager, "b").await.unwrap());
            let states = path(&manager, "a");
            assert!(states.contains(&"parking"), "{fault:?}: {states:?}");
            assert_eq!((states.last(), counts.all()), (Some(&"unloaded"), [1, 1, 0, 1]));
        });
    }
}

#[test]
fn builtin_that_does_not_wake_is_loaded_again_for_the_waiting_demand() {
    run(async {
        let (world, counts) = (World::new(), Arc::new(Counts::default()));
        let manager = manager(&world, &counts, Fault::WakeFails).await;
        drop(lease(&manager, "a").await.unwrap());
        drop(lease(&manager, "b").await.unwrap());
        drop(lease(&manager, "a").await.unwrap());
        assert_eq!((state(&manager, "a"), counts.all()), ("ready", [2, 1, 1, 1]));
        assert_eq!(status(&manager, "a").await.failures, 0);
    });
}

#[test]
fn unload_of_a_sleeping_builtin_drops_it_without_a_wake() {
    run(async {
        let (world, counts) = (World::new(), Arc::new(Counts::default()));
        let manager = manager(&world, &counts, Fault::None).await;
        drop(lease(&manager, "a").await.unwrap());
        drop(lease(&manager, "b").await.unwrap());
        manager.operator().unload("a", false).await.unwrap();
        assert_eq!((state(&manager, "a"), counts.all()), ("unloaded", [1, 1, 0, 1]));
    });
}
