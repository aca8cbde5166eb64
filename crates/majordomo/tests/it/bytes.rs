//! Returned and limited memory with a running manager: arenas, heap, snapshots, limits.
//!
//! Resident memory of a process is one figure for all its threads, so each measurement runs in a
//! separate process.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use majordomo::{
    Arena, ByteSize, Cause, Component, ComponentSpec, EventKind, Factory, MappedBuf, SharedSlice,
};

use crate::alone::alone;
use crate::eventually::until;
use crate::support::{UP, World, changes, lease, mib, ms, run, says, state, status, status_when};

fn builtin(name: &str, memory: u64) -> ComponentSpec {
    let mut spec = ComponentSpec::builtin(name).unwrap();
    spec.memory = mib(memory);
    spec
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// The returned share of the memory that the component took.
fn share_returned(before: u64, loaded: u64, after: u64) -> f64 {
    (loaded.saturating_sub(after)) as f64 / (loaded - before) as f64
}

const N_SMALL: usize = 1_000_000;

#[test]
fn million_small_allocations_are_returned_by_the_trim() {
    struct Small(#[expect(dead_code, reason = "only its memory matters")] Vec<Box<[u8]>>);
    if !cfg!(target_env = "gnu")
        || !alone("bytes::million_small_allocations_are_returned_by_the_trim")
    {
        return;
    }
    run(async {
        let world = World::new();
        let manager = world
            .builder(vec![builtin("small", 320)])
            .factory(
                "small",
                Factory::new(|_| {
                    Ok(Small((0..N_SMALL).map(|i| vec![i as u8; 256 + i % 97].into()).collect()))
                }),
            )
            .start()
            .await
            .unwrap();
        let before = resident();
        drop(lease(&manager, "small").await.unwrap());
        let loaded = resident();
        assert!(loaded - before > 290 << 20, "{} MiB", (loaded - before) >> 20);
        manager.operator().unload("small", false).await.unwrap();
        let trims = || async { manager.status().await.unwrap().memory.trims.trims };
        while trims().await == 0 {
            tokio::task::yield_now().await;
        }
        let after = resident();
        let back = share_returned(before, loaded, after);
        eprintln!(
            "heap: {} -> {} -> {} MiB, {:.1} % back",
            before >> 20,
            loaded >> 20,
            after >> 20,
            back * 100.0
        );
        assert!(back >= 0.95, "{back}");
        let held = manager.status().await.unwrap().memory.unreturned;
        assert!(held < mib(16), "{held}");
    });
}

/// Keeps all its memory in an arena and buffers.
struct Weights {
    arena: Mutex<Arena>,
    buffers: Vec<MappedBuf>,
}

#[test]
fn memory_of_an_arena_is_returned() {
    if !alone("bytes::memory_of_an_arena_is_returned") {
        return;
    }
    run(async {
        let world = World::new();
        let manager = world
            .builder(vec![builtin("weights", 320)])
            .factory(
                "weights",
                Factory::new(|ctx| {
                    let arena = ctx.arena();
                    let mut frames: Vec<_> =
                        (0..100).map(|_| arena.alloc(1 << 20)).collect::<Result<_, _>>()?;
                    frames.iter_mut().for_each(|f| f.fill(1));
                    drop(frames);
                    let memory = ctx.memory();
                    let mut buffers: Vec<_> =
                        (0..200).map(|_| memory.buffer(1 << 20)).collect::<Result<_, _>>()?;
                    buffers.iter_mut().for_each(|b| b.fill(2));
                    Ok(Weights { arena: Mutex::new(arena), buffers })
                }),
            )
            .start()
            .await
            .unwrap();
        let before = resident();
        let weights = manager.acquire::<Weights>("weights").await.unwrap();
        assert_eq!(weights.buffers.len(), 200);
        assert_eq!(weights.arena.lock().unwrap().alloc(1 << 20).unwrap()[7], 1);
        let loaded = resident();
        assert!(loaded - before > 295 << 20, "{} MiB", (loaded - before) >> 20);
        drop(weights);
        let measured = status_when(&manager, "weights", |s| s.measured.is_some()).await.measured;
        assert!(measured.is_some_and(|m| m >= mib(300) && m <= mib(320)), "{measured:?}");
        manager.operator().unload("weights", false).await.unwrap();
        let after = resident();
        let back = share_returned(before, loaded, after);
        eprintln!(
            "arena: {} -> {} -> {} MiB, {:.1} % back",
            before >> 20,
            loaded >> 20,
            after >> 20,
            back * 100.0
        );
        assert!(back >= 0.97, "{back}");
    });
}

#[test]
fn memory_of_a_process_is_returned_by_its_unload() {
    run(async {
        let world = World::new();
        // 300 MB in the shell's own memory.
        let script =
            "x=$(head -c 300000000 /dev/zero | tr '\\0' x); echo up; while :; do sleep 1; done";
        let mut spec = world.program("hungry", script);
        spec.memory = mib(10);
        let manager = world.builder(vec![spec]).budget(mib(2000)).start().await.unwrap();
        drop(lease(&manager, "hungry").await.unwrap());
        let up = status(&manager, "hungry").await;
        assert!(up.measured.is_some_and(|m| m >= mib(280)), "{:?}", up.measured);
        assert!(up.load_peak >= up.measured, "{:?}", up.load_peak);
        manager.operator().unload("hungry", false).await.unwrap();
        assert!(world.processes().is_empty(), "no process, no memory");
        assert_eq!(manager.status().await.unwrap().memory.booked, ByteSize::ZERO);
        // The next load reserves the measured peak.
        let plan = manager.plan_for(&["hungry"]).await.unwrap();
        assert_eq!(Some(plan.loads[0].bytes), up.load_peak.max(up.working_peak));
    });
}

#[test]
fn grant_is_a_limit_that_grows_and_is_booked_while_readers_remain() {
    struct Shares(SharedSlice);
    run(async {
        let world = World::new();
        let manager = world
            .builder(vec![builtin("shares", 10)])
            .budget(mib(40))
            .factory(
                "shares",
                Factory::new(|ctx| {
                    let memory = ctx.memory();
                    assert_eq!(memory.limit(), mib(12), "its reservation with the margin");
                    let error = memory.buffer(20 << 20).map(|_| ()).unwrap_err().to_string();
                    assert!(error.contains("of the granted 12 MiB"), "{error}");
                    assert_eq!(memory.grow_blocking(mib(100)), mib(12), "more than the budget has");
                    assert_eq!(memory.grow_blocking(mib(12)), mib(24));
                    let mut buffer = memory.buffer(20 << 20)?;
                    buffer.fill(3);
                    Ok(Shares(buffer.freeze()))
                }),
            )
            .start()
            .await
            .unwrap();
        let shares = manager.acquire::<Shares>("shares").await.unwrap();
        let slice = shares.0.clone();
        drop(shares);
        let s = status(&manager, "shares").await;
        assert_eq!((s.booked, s.measured), (mib(24), Some(mib(20))));
        manager.operator().unload("shares", false).await.unwrap();
        assert_eq!(slice.iter().map(|b| u64::from(*b)).sum::<u64>(), 3 * (20 << 20));
        // The bytes of the reader stay booked until it is dropped.
        let held = || async { manager.status().await.unwrap().memory.unreturned };
        while held().await < mib(20) {
            tokio::task::yield_now().await;
        }
        drop(slice);
        while held().await >= mib(20) {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn mapped_file_is_reported_as_shared_and_not_booked() {
    struct Model(#[expect(dead_code, reason = "only its memory matters")] SharedSlice);
    run(async {
        let world = World::new();
        let file = world.path("model.bin");
        std::fs::write(&file, vec![7u8; 4 << 20]).unwrap();
        let manager = world
            .builder(vec![builtin("model", 1)])
            .budget(mib(2))
            .factory("model", Factory::new(move |ctx| Ok(Model(ctx.memory().map_file(&file)?))))
            .start()
            .await
            .unwrap();
        drop(lease(&manager, "model").await.unwrap());
        let s = status(&manager, "model").await;
        assert_eq!((s.shared, s.measured), (mib(4), None));
    });
}

#[test]
fn snapshot_is_passed_to_the_next_load() {
    struct Learner {
        state: Vec<u8>,
    }
    impl Component for Learner {
        fn hibernate(&self) -> Option<Vec<u8>> {
            let mut state = self.state.clone();
            state.push(b'!');
            Some(state)
        }
    }
    run(async {
        let world = World::new();
        let make = |ctx: majordomo::LoadContext| {
            let state = ctx.snapshot().unwrap_or_else(|| b"fresh".to_vec());
            Ok(Learner { state })
        };
        let manager = world
            .builder(vec![builtin("learner", 10)])
            .factory("learner", Factory::component(make))
            .start()
            .await
            .unwrap();
        for want in ["fresh", "fresh!", "fresh!!"] {
            let learner = manager.acquire::<Learner>("learner").await.unwrap();
            assert_eq!(String::from_utf8_lossy(&learner.state), want);
            drop(learner);
            manager.operator().unload("learner", false).await.unwrap();
        }
        let cold = manager.status().await.unwrap().memory.cold;
        assert_eq!((cold.handed_back, cold.snapshots, cold.corrupt), (2, 1, 0));
        assert!(cold.used > ByteSize::ZERO && cold.budget == mib(64));
    });
}

#[test]
fn cold_store_keeps_to_its_budget() {
    struct Big(Vec<u8>);
    impl Component for Big {
        fn hibernate(&self) -> Option<Vec<u8>> {
            Some(self.0.clone())
        }
    }
    run(async {
        let world = World::new();
        let mut config = crate::support::config();
        config.memory.cold_store = mib(1);
        let mut builder = world.builder(vec![builtin("a", 10), builtin("b", 10)]).config(config);
        for name in ["a", "b"] {
            builder = builder.factory(
                name,
                Factory::component(|ctx| {
                    // Bytes that do not compress.
                    let mut x = ctx.op().0 + 1;
                    let mut next = || {
                        x ^= x << 13;
                        x ^= x >> 7;
                        x ^= x << 17;
                        x as u8
                    };
                    Ok(Big(ctx
                        .snapshot()
                        .unwrap_or_else(|| (0..700 << 10).map(|_| next()).collect())))
                }),
            );
        }
        let manager = builder.start().await.unwrap();
        for name in ["a", "b"] {
            drop(lease(&manager, name).await.unwrap());
            manager.operator().unload(name, false).await.unwrap();
        }
        let cold = manager.status().await.unwrap().memory.cold;
        assert_eq!((cold.snapshots, cold.dropped), (1, 1), "{cold:?}");
        assert!(cold.used <= mib(1));
    });
}

#[test]
fn builtin_above_its_memory_limit_trims_or_is_restarted() {
    struct Leaky {
        mib: AtomicUsize,
        trims: bool,
    }
    impl Component for Leaky {
        fn footprint(&self) -> Option<ByteSize> {
            Some(mib(self.mib.load(Ordering::Relaxed) as u64))
        }
        fn trim(&self) {
            if self.trims {
                self.mib.store(5, Ordering::Relaxed);
            }
        }
    }
    run(async {
        let world = World::new();
        let mut specs = vec![builtin("heeds", 10), builtin("leaks", 10)];
        specs.iter_mut().for_each(|s| s.memory_limit = Some(mib(15)));
        let mut config = crate::support::config();
        config.memory.over_limit_grace = ms(1);
        config.back_off.base = ms(10);
        let manager = world
            .builder(specs)
            .config(config)
            .factory("heeds", Factory::component(|_| Ok(Leaky { mib: 10.into(), trims: true })))
            .factory("leaks", Factory::component(|_| Ok(Leaky { mib: 10.into(), trims: false })))
            .start()
            .await
            .unwrap();
        for name in ["heeds", "leaks"] {
            manager.acquire::<Leaky>(name).await.unwrap().mib.store(20, Ordering::Relaxed);
        }
        until(|| changes(&manager, "leaks").iter().any(|c| matches!(c.1, Cause::OverLimit { .. })))
            .await;
        let cause =
            changes(&manager, "leaks").into_iter().find(|c| matches!(c.1, Cause::OverLimit { .. }));
        says(&cause.unwrap().1.to_string(), &["20 MiB", "limit of 15 MiB"]);
        // The component is restarted.
        let again = status_when(&manager, "leaks", |s| s.loads == 2).await;
        assert_eq!(again.limit, Some(mib(15)));
        assert_eq!(state(&manager, "heeds"), "ready");
        assert_eq!(status_when(&manager, "heeds", |s| s.measured == Some(mib(5))).await.loads, 1);
    });
}

#[test]
fn oom_kill_of_a_limited_process_is_reported_and_raises_the_estimate() {
    run(async {
        let world = World::new();
        let file = world.path("more");
        // The program exceeds its limit as soon as the file exists.
        let script = "echo up; while [ ! -e more ]; do sleep 0.01; done; x=$(head -c 90000000 /dev/zero | tr '\\0' x); echo $x; sleep 1000";
        let mut spec = world.program("hungry", script);
        spec.memory_limit = Some(mib(48));
        let manager = world.manager(vec![spec, world.program("free", UP)]).await;
        drop(lease(&manager, "hungry").await.unwrap());
        let limits = manager.status().await.unwrap().memory.process_limits.clone();
        if !limits.starts_with("cgroup") {
            eprintln!("skipped: no cgroup can be made here ({limits})");
            let required = std::env::var_os("MAJORDOMO_REQUIRE_PRESSURE").is_some_and(|v| v == "1");
            assert!(!required, "MAJORDOMO_REQUIRE_PRESSURE=1, but {limits}");
            return;
        }
        std::fs::write(file, "").unwrap();
        let oom = |c: &Cause| matches!(c, Cause::OutOfMemory { .. });
        until(|| changes(&manager, "hungry").iter().any(|c| oom(&c.1))).await;
        let cause = changes(&manager, "hungry").into_iter().find(|c| oom(&c.1)).unwrap().1;
        says(&cause.to_string(), &["out of memory", "in its cgroup"]);
        let raised = || {
            manager.operator().why("hungry").unwrap().into_iter().find_map(|r| match r.kind {
                EventKind::EstimateRaised { to, .. } => Some(to),
                _ => None,
            })
        };
        until(|| raised().is_some()).await;
        assert_eq!(raised(), Some(mib(48)), "up to its limit");
    });
}

/// The program exceeds its limit before it is ready.
#[test]
fn memory_limit_below_the_need_of_a_start_is_a_failed_load() {
    run(async {
        let world = World::new();
        let mut spec = world
            .program("tiny", "x=$(head -c 60000000 /dev/zero | tr '\\0' x); echo up; sleep 1000");
        spec.memory_limit = Some(mib(16));
        let manager = world.manager(vec![spec]).await;
        let refusal = lease(&manager, "tiny").await.unwrap_err();
        assert_eq!(refusal.code(), "load_failed", "{refusal}");
    });
}
