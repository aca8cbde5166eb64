//! Components inside the process: panics, hangs, and demands from inside a load.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock};

use majordomo::{ByteSize, Component, ComponentSpec, Factory, Manager, Refusal};

use crate::eventually::until;
use crate::support::{World, lease, lease_within, mib, ms, path, run, says, state, status};

fn builtin(name: &str) -> ComponentSpec {
    let mut spec = ComponentSpec::builtin(name).unwrap();
    spec.memory = mib(10);
    spec
}

/// Waits until the sender is dropped, as it is when the test fails.
fn hang(until: &Mutex<Receiver<()>>) {
    let _ = until.lock().unwrap().recv();
}

#[test]
fn panic_in_a_load_is_a_failed_load() {
    run(async {
        let world = World::new();
        let manager = world
            .builder(vec![builtin("now"), builtin("later"), builtin("good")])
            .factory("now", Factory::<u8>::new(|_| panic!("boom {}", 1)))
            .factory(
                "later",
                Factory::asynchronous(|_| async {
                    tokio::task::yield_now().await;
                    if true {
                        panic!("bang");
                    }
                    Ok(1u8)
                }),
            )
            .factory("good", Factory::new(|_| Ok(2u8)))
            .start()
            .await
            .unwrap();
        for (name, words) in [("now", "boom 1"), ("later", "bang")] {
            let refusal = lease(&manager, name).await.unwrap_err();
            assert_eq!(refusal.code(), "load_failed");
            says(&refusal.to_string(), &[name, "it panicked", words]);
            assert_eq!(state(&manager, name), "failed");
        }
        assert_eq!(*manager.acquire::<u8>("good").await.unwrap(), 2);
    });
}

#[test]
fn load_error_is_the_source_of_the_refusal() {
    #[derive(Debug, thiserror::Error)]
    #[error("no weights for {name}")]
    struct NoWeights {
        name: String,
        source: std::io::Error,
    }
    run(async {
        let world = World::new();
        let manager = world
            .builder(vec![builtin("bad"), builtin("worse")])
            .factory(
                "bad",
                Factory::<u8>::new(|ctx| {
                    let (name, source) = (ctx.id().to_string(), std::io::Error::other("disk full"));
                    Err(Box::new(NoWeights { name, source }))
                }),
            )
            .factory("worse", Factory::<u8>::asynchronous(|_| async { panic!("boom") }))
            .start()
            .await
            .unwrap();
        let refusal = lease(&manager, "bad").await.unwrap_err();
        says(&refusal.to_string(), &["no weights for bad: disk full"]);
        let error = refusal.source().unwrap().downcast_ref::<NoWeights>().unwrap();
        assert_eq!((error.name.as_str(), error.source.to_string().as_str()), ("bad", "disk full"));
        // The next demand is refused because of the same error.
        let refusal = lease_within(&manager, "bad", Some(ms(1))).await.unwrap_err();
        assert_eq!(refusal.code(), "backing_off");
        assert!(refusal.source().unwrap().is::<NoWeights>());
        let panicked = lease(&manager, "worse").await.unwrap_err();
        says(&panicked.source().unwrap().to_string(), &["it panicked: boom"]);
    });
}

#[test]
fn panics_in_hooks_and_drop_are_contained() {
    struct Touchy(Arc<AtomicUsize>);
    impl Component for Touchy {
        fn footprint(&self) -> Option<ByteSize> {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("no footprint");
        }
        fn trim(&self) {
            panic!("no trim");
        }
    }
    impl Drop for Touchy {
        fn drop(&mut self) {
            panic!("no drop");
        }
    }
    struct Plain(Arc<AtomicUsize>);
    impl Component for Plain {
        fn footprint(&self) -> Option<ByteSize> {
            Some(mib(20 + self.0.fetch_add(1, Ordering::Relaxed) as u64))
        }
    }
    run(async {
        let world = World::new();
        let looks = Arc::new([const { AtomicUsize::new(0) }; 2].map(Arc::new));
        let (touchy, plain) = (Arc::clone(&looks[0]), Arc::clone(&looks[1]));
        let manager = world
            .builder(vec![builtin("touchy"), builtin("plain")])
            .factory("touchy", Factory::component(move |_| Ok(Touchy(Arc::clone(&touchy)))))
            .factory("plain", Factory::component(move |_| Ok(Plain(Arc::clone(&plain)))))
            .start()
            .await
            .unwrap();
        drop(lease(&manager, "touchy").await.unwrap());
        drop(lease(&manager, "plain").await.unwrap());
        manager.operator().trim("touchy").await.unwrap();
        // Both components are still measured.
        until(|| looks.iter().all(|n| n.load(Ordering::Relaxed) >= 3)).await;
        assert!(status(&manager, "plain").await.measured.unwrap() > mib(20));
        manager.operator().unload("touchy", false).await.unwrap();
        assert_eq!(path(&manager, "touchy").last(), Some(&"unloaded"));
    });
}

#[test]
fn hanging_load_is_stuck_and_its_bytes_stay_booked() {
    run(async {
        let world = World::new();
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        let seen_cancel = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&seen_cancel);
        let mut spec = builtin("a");
        spec.load_deadline = Some(ms(100));
        spec.stop_deadline = Some(ms(100));
        let manager = world
            .builder(vec![spec])
            .factory(
                "a",
                Factory::new(move |ctx| {
                    hang(&released);
                    seen.store(ctx.is_cancelled(), Ordering::Relaxed);
                    Ok(1u8)
                }),
            )
            .start()
            .await
            .unwrap();
        let refusal = lease(&manager, "a").await.unwrap_err();
        assert_eq!(refusal.code(), "load_failed");
        says(&refusal.to_string(), &["a could not be loaded", "deadline"]);
        until(|| state(&manager, "a") == "stuck").await;
        let status_now = manager.status().await.unwrap();
        assert_eq!(status_now.memory.booked, mib(12));
        let refusal = lease(&manager, "a").await.unwrap_err();
        assert!(matches!(refusal, Refusal::Stuck { .. }), "{refusal}");
        says(&refusal.to_string(), &["a is stuck", "restart the program"]);
        // When the load returns, its value is dropped and its bytes are free.
        drop(release);
        until(|| state(&manager, "a") != "stuck").await;
        assert!(seen_cancel.load(Ordering::Relaxed));
        assert_eq!(manager.status().await.unwrap().memory.booked.0, 0);
    });
}

#[test]
fn hanging_drop_is_stuck_and_shutdown_lists_it_at_its_deadline() {
    struct Slow(Mutex<Receiver<()>>);
    impl Drop for Slow {
        fn drop(&mut self) {
            hang(&self.0);
        }
    }
    run(async {
        let world = World::new();
        let (release, released) = channel::<()>();
        let once = Mutex::new(Some(released));
        let mut spec = builtin("a");
        spec.stop_deadline = Some(ms(100));
        let manager = world
            .builder(vec![spec, builtin("b")])
            .factory(
                "a",
                Factory::new(move |_| Ok(Slow(Mutex::new(once.lock().unwrap().take().unwrap())))),
            )
            .factory("b", Factory::new(|_| Ok(1u8)))
            .start()
            .await
            .unwrap();
        drop(lease(&manager, "a").await.unwrap());
        drop(lease(&manager, "b").await.unwrap());
        let refusal = manager.operator().unload("a", false).await.unwrap_err();
        assert_eq!(refusal.code(), "stuck");
        assert_eq!(status(&manager, "a").await.booked, mib(12));
        let stuck = manager.shutdown(Some(ms(300))).await;
        assert_eq!(stuck.iter().map(majordomo::ComponentId::as_str).collect::<Vec<_>>(), ["a"]);
        assert_eq!(state(&manager, "b"), "unloaded");
        drop(release);
    });
}

#[test]
fn demand_inside_a_load_is_refused_by_every_interface() {
    run(async {
        let world = World::new();
        let cell: Arc<OnceLock<Manager>> = Arc::default();
        let (one, two) = (Arc::clone(&cell), Arc::clone(&cell));
        let mut depends = builtin("depends");
        depends.dependencies = vec!["other".parse().unwrap()];
        let manager = world
            .builder(vec![builtin("blocking"), builtin("later"), builtin("other"), depends])
            .factory(
                "blocking",
                Factory::<u8>::new(move |_| {
                    let manager = one.get().unwrap();
                    let asked = tokio::runtime::Handle::current().block_on(lease(manager, "other"));
                    Err(Box::new(asked.unwrap_err()))
                }),
            )
            .factory(
                "later",
                Factory::asynchronous(move |_| {
                    let manager = two.get().unwrap().clone();
                    async move {
                        let loaded = manager.operator().load("other").await.unwrap_err();
                        assert_eq!(loaded.code(), "reentrant_acquire");
                        manager.acquire::<u8>("other").await?;
                        Ok(1u8)
                    }
                }),
            )
            .factory("other", Factory::new(|_| Ok(7u8)))
            .factory(
                "depends",
                Factory::new(|ctx| {
                    ctx.dependency::<u8>("other").map(|d| *d + 1).ok_or("no dependency".into())
                }),
            )
            .start()
            .await
            .unwrap();
        cell.set(manager.clone()).unwrap();
        for name in ["blocking", "later"] {
            let refusal = lease(&manager, name).await.unwrap_err();
            assert_eq!(refusal.code(), "load_failed");
            let way_out = "declare a dependency and use LoadContext::dependency";
            says(&refusal.to_string(), &[&format!("inside the load of {name}"), way_out]);
        }
        // A load gets its dependencies from its context instead.
        drop(lease(&manager, "other").await.unwrap());
        assert_eq!(*manager.acquire::<u8>("depends").await.unwrap(), 8);
        let refusal = manager.acquire::<String>("depends").await.unwrap_err();
        assert_eq!(refusal.code(), "wrong_type");
        // The factories hold the manager, so the test shuts it down.
        manager.shutdown(None).await;
    });
}

#[test]
fn builtin_that_reports_failing_health_is_unloaded() {
    struct Ill(Arc<AtomicBool>);
    impl Component for Ill {
        fn health(&self) -> Result<(), String> {
            if self.0.load(Ordering::Relaxed) {
                Err("the model is gone".to_owned())
            } else {
                Ok(())
            }
        }
    }
    run(async {
        let world = World::new();
        let ill = Arc::new(AtomicBool::new(false));
        let mut spec = builtin("a");
        spec.health_every = Some(ms(5));
        let reported = Arc::clone(&ill);
        let manager = world
            .builder(vec![spec])
            .factory("a", Factory::component(move |_| Ok(Ill(Arc::clone(&reported)))))
            .start()
            .await
            .unwrap();
        drop(lease(&manager, "a").await.unwrap());
        assert_eq!(state(&manager, "a"), "ready");
        ill.store(true, Ordering::Relaxed);
        until(|| state(&manager, "a") == "failed").await;
        let why = crate::support::changes(&manager, "a").pop().unwrap().1.to_string();
        says(&why, &["health probes failed", "the model is gone"]);
    });
}
