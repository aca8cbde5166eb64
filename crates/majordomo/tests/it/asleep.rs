//! Components that sleep: parked under memory need, woken by demands, and ended at the rung.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use majordomo::{ByteSize, Component, ComponentSpec, Factory};

use crate::support::{World, lease, mib, run, state};

/// The calls of a builtin of a test.
#[derive(Debug, Default)]
struct Counts {
    loads: AtomicUsize,
    sleeps: AtomicUsize,
    wakes: AtomicUsize,
}

impl Counts {
    fn all(&self) -> [usize; 3] {
        [&self.loads, &self.sleeps, &self.wakes].map(|n| n.load(Ordering::Relaxed))
    }
}

/// Holds 80 MiB, and 10 MiB asleep.
struct Sleeper {
    counts: Arc<Counts>,
    sleeps: AtomicBool,
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
        self.sleeps.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn wake(&self) -> Result<(), String> {
        self.counts.wakes.fetch_add(1, Ordering::Relaxed);
        self.sleeps.store(false, Ordering::Relaxed);
        Ok(())
    }
}

fn builtin(name: &str) -> ComponentSpec {
    let mut spec = ComponentSpec::builtin(name).unwrap();
    spec.memory = mib(80);
    spec
}

fn sleeper(counts: &Arc<Counts>) -> Factory<Sleeper> {
    let counts = Arc::clone(counts);
    Factory::component(move |_| {
        counts.loads.fetch_add(1, Ordering::Relaxed);
        Ok(Sleeper { counts: Arc::clone(&counts), sleeps: AtomicBool::new(false) })
    })
}

#[test]
fn builtin_sleeps_for_another_demand_and_its_own_demand_wakes_the_same_instance() {
    run(async {
        let world = World::new();
        let counts = [(); 2].map(|()| Arc::new(Counts::default()));
        let manager = world
            .builder(vec![builtin("a"), builtin("b")])
            .budget(mib(150))
            .factory("a", sleeper(&counts[0]))
            .factory("b", sleeper(&counts[1]))
            .start()
            .await
            .unwrap();
        drop(lease(&manager, "a").await.unwrap());
        let b = lease(&manager, "b").await.unwrap();
        assert_eq!((state(&manager, "a"), counts[0].all()), ("asleep", [1, 1, 0]));
        drop(b);
        let a = manager.acquire::<Sleeper>("a").await.unwrap();
        assert!(!a.sleeps.load(Ordering::Relaxed));
        assert_eq!((state(&manager, "b"), counts[0].all()), ("asleep", [1, 1, 1]));
        drop(a);
        assert!(manager.shutdown(None).await.is_empty());
    });
}
