//! Leases of a running manager: one load for all waiters, and no access to an unloaded component.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};

use majordomo::{AcquireOptions, ByteSize, ComponentSpec, Factory, Manager, OldLeases, Refusal};
use tokio::sync::Semaphore;

use crate::eventually::until;
use crate::support::run;

/// A value with the number of its load.
struct Loaded(u32);

/// A manager with one async builtin `name` whose loads are counted and each wait for a permit of
/// `gate`.
async fn manager(name: &str, loads: &Arc<AtomicU32>, gate: &Arc<Semaphore>) -> Manager {
    let mut spec = ComponentSpec::builtin(name).expect("the name is good");
    spec.memory = ByteSize::mib(1);
    let (loads, gate) = (Arc::clone(loads), Arc::clone(gate));
    let make = move |_| {
        let (loads, gate) = (Arc::clone(&loads), Arc::clone(&gate));
        async move {
            gate.acquire().await?.forget();
            Ok(Loaded(loads.fetch_add(1, Ordering::Relaxed) + 1))
        }
    };
    Manager::builder()
        .budget(ByteSize::mib(8))
        .pressure(None)
        .builtin_with(spec, Factory::asynchronous(make))
        .start()
        .await
        .expect("the catalog is good")
}

fn open() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1_000))
}

#[tokio::test]
async fn thousand_demands_share_one_load() {
    let (loads, gate) = (Arc::default(), Arc::new(Semaphore::new(0)));
    let manager = manager("model", &loads, &gate).await;
    let n_demanded = Arc::new(AtomicU32::new(0));
    let callers: Vec<_> = (0..1_000)
        .map(|_| {
            let (manager, n_demanded) = (manager.clone(), Arc::clone(&n_demanded));
            tokio::spawn(async move {
                n_demanded.fetch_add(1, Ordering::Relaxed);
                manager.acquire::<Loaded>("model").await.map(|lease| lease.0)
            })
        })
        .collect();
    // On this single thread a task that has counted itself has also sent its demand.
    while n_demanded.load(Ordering::Relaxed) < 1_000 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1_000);
    for caller in callers {
        assert_eq!(caller.await.expect("no caller panics"), Ok(1));
    }
    assert_eq!(loads.load(Ordering::Relaxed), 1);
    manager.shutdown(None).await;
}

#[tokio::test]
async fn handles_and_names_lease_the_current_incarnation() {
    let loads = Arc::default();
    let manager = manager("model", &loads, &open()).await;
    let handle = manager.handle_of::<Loaded>("model").expect("it exists");
    assert!(handle.try_acquire().is_none() && manager.try_acquire::<Loaded>("model").is_none());
    for n in 1..=3 {
        assert_eq!(handle.acquire().await.expect("it loads").0, n);
        // The second access by each interface uses the cache.
        for _ in 0..2 {
            assert_eq!(handle.try_acquire().expect("it is ready").0, n);
            assert_eq!(manager.try_acquire::<Loaded>("model").expect("it is ready").0, n);
        }
        let lease = handle.try_acquire().expect("it is ready");
        assert!(matches!(
            manager.operator().unload("model", false).await,
            Err(Refusal::InUse { .. })
        ));
        drop(lease);
        manager.operator().unload("model", false).await.expect("no lease is left");
        assert!(handle.try_acquire().is_none(), "a handle reached an unloaded component");
        assert!(
            manager.try_acquire::<Loaded>("model").is_none(),
            "a name reached an unloaded component"
        );
    }
    manager.shutdown(None).await;
}

#[tokio::test]
async fn wrong_type_is_refused_by_every_interface() {
    let manager = manager("model", &Arc::default(), &open()).await;
    manager.operator().load("model").await.expect("it loads");
    assert!(manager.try_acquire::<String>("model").is_none());
    let refused = manager.acquire::<String>("model").await.err();
    assert!(matches!(refused, Some(Refusal::WrongType { .. })), "{refused:?}");
    let handle = manager.handle_of::<String>("model").expect("it exists");
    assert!(handle.try_acquire().is_none());
    let refused = handle.acquire().await.err();
    assert!(matches!(refused, Some(Refusal::WrongType { .. })), "{refused:?}");
    manager.shutdown(None).await;
}

/// The cache of a thread separates managers, though keys and names are the same.
#[tokio::test]
async fn cached_leases_of_two_managers_on_one_thread_are_separate() {
    let counts = [Arc::new(AtomicU32::new(10)), Arc::new(AtomicU32::new(20))];
    let first = manager("model", &counts[0], &open()).await;
    let second = manager("model", &counts[1], &open()).await;
    for m in [&first, &second] {
        m.operator().load("model").await.expect("it loads");
    }
    for _ in 0..3 {
        for (m, n) in [(&first, 11), (&second, 21)] {
            assert_eq!(m.try_acquire::<Loaded>("model").expect("it is ready").0, n);
        }
    }
    first.shutdown(None).await;
    assert!(first.try_acquire::<Loaded>("model").is_none());
    assert_eq!(second.try_acquire::<Loaded>("model").expect("it is ready").0, 21);
    second.shutdown(None).await;
}

/// A manager with builtins of 40 MiB each in a budget of 64 MiB, whose keywords are their names.
async fn two_that_do_not_fit_together() -> Manager {
    let mut config = majordomo::Config::default();
    config.memory.estimate_margin = 1.0;
    let mut builder = Manager::builder().config(config).budget(ByteSize::mib(64)).pressure(None);
    for name in ["ears", "eyes"] {
        let mut spec = ComponentSpec::builtin(name).expect("the name is good");
        spec.memory = ByteSize::mib(40);
        spec.keywords = vec![name.to_owned()];
        builder = builder.builtin(spec, |_| Ok(Loaded(1)));
    }
    builder.start().await.expect("the catalog is good")
}

#[tokio::test]
async fn exchange_reuses_the_memory_of_the_leases_that_it_releases() {
    let manager = two_that_do_not_fit_together().await;
    let options = majordomo::AcquireOptions::default();
    let mut leases = manager.acquire_all(&["ears"], options.clone()).await.unwrap();
    manager.exchange(&mut leases, &["eyes"], options.clone()).await.unwrap();
    let names = |leases: &[majordomo::AnyLease]| {
        leases.iter().map(|l| l.id().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&leases), ["eyes"]);
    // Both together are too large: the exchange is refused and keeps its leases.
    let refusal =
        manager.exchange(&mut leases, &["ears", "eyes"], options.clone()).await.unwrap_err();
    assert_eq!((refusal.code(), names(&leases)), ("too_large", vec!["eyes".to_owned()]));
    // An outcome exchanges its leases in the same way.
    drop(leases);
    let mut outcome = manager.command("ears").await;
    outcome.exchange(&["eyes"], options.clone()).await.unwrap();
    assert_eq!(names(outcome.leases()), ["eyes"]);
}

/// Holds the thread that drops it until the test sends, and reports that it was dropped.
struct SlowDrop(Mutex<Receiver<()>>, Arc<AtomicBool>);

impl Drop for SlowDrop {
    fn drop(&mut self) {
        let held = self.0.get_mut().expect("no other thread has it");
        held.recv().expect("the test ends it");
        self.1.store(true, Ordering::Relaxed);
    }
}

/// A manager with `slow`, whose instance is dropped slowly, and with `ears` and `eyes`, which do not fit together.
async fn slow_beside_two(slow: SlowDrop) -> Manager {
    let mut config = majordomo::Config::default();
    config.memory.estimate_margin = 1.0;
    let mut builder = Manager::builder().config(config).budget(ByteSize::mib(64)).pressure(None);
    for name in ["ears", "eyes"] {
        let mut spec = ComponentSpec::builtin(name).expect("the name is good");
        spec.memory = ByteSize::mib(40);
        builder = builder.builtin(spec, |_| Ok(Loaded(1)));
    }
    let mut spec = ComponentSpec::builtin("slow").expect("the name is good");
    spec.memory = ByteSize::mib(1);
    let slow = Mutex::new(Some(slow));
    let make = move |_| Ok(slow.lock().unwrap().take().ok_or("it is loaded once")?);
    builder.builtin(spec, make).start().await.expect("the catalog is good")
}

/// Leases on `slow`, whose removal is forced, and on `ears`.
async fn leases_with_a_forced_one(manager: &Manager) -> Vec<majordomo::AnyLease> {
    let leases = manager.acquire_all(&["slow", "ears"], AcquireOptions::default()).await.unwrap();
    let operator = manager.clone();
    tokio::spawn(async move { operator.operator().unload("slow", true).await });
    until(|| leases[0].revoked()).await;
    leases
}

#[test]
fn exchange_drops_no_instance_on_the_managers_task() {
    run(async {
        let (end, ended) = mpsc::channel();
        let is_dropped = Arc::new(AtomicBool::new(false));
        let manager = slow_beside_two(SlowDrop(Mutex::new(ended), Arc::clone(&is_dropped))).await;
        let mut leases = leases_with_a_forced_one(&manager).await;
        // Answered while the instance is still being dropped.
        manager.exchange(&mut leases, &["eyes"], AcquireOptions::default()).await.unwrap();
        assert_eq!(leases.len(), 1);
        assert!(!is_dropped.load(Ordering::Relaxed));
        end.send(()).unwrap();
        until(|| is_dropped.load(Ordering::Relaxed)).await;
    });
}

#[test]
fn caller_that_leaves_an_exchange_drops_no_instance_on_the_managers_task() {
    run(async {
        let (end, ended) = mpsc::channel();
        let is_dropped = Arc::new(AtomicBool::new(false));
        let manager = slow_beside_two(SlowDrop(Mutex::new(ended), Arc::clone(&is_dropped))).await;
        let mut leases = leases_with_a_forced_one(&manager).await;
        // Keeps the exchange waiting.
        let ears = leases.pop();
        let old = Arc::new(OldLeases::new(leases));
        let caller = manager.clone();
        let exchange = tokio::spawn(async move {
            caller.exchange_shared(old, &["eyes"], AcquireOptions::default()).await
        });
        while manager.status().await.unwrap().waiting == 0 {
            tokio::task::yield_now().await;
        }
        exchange.abort();
        assert!(exchange.await.is_err());
        // Answered while the instance is still being dropped.
        drop(ears);
        manager.acquire_all(&["eyes"], AcquireOptions::default()).await.unwrap();
        assert!(!is_dropped.load(Ordering::Relaxed));
        end.send(()).unwrap();
        until(|| is_dropped.load(Ordering::Relaxed)).await;
    });
}

#[tokio::test]
async fn component_left_out_of_a_command_is_not_learned_as_unused() {
    let manager = two_that_do_not_fit_together().await;
    let outcomes = async || manager.intents().learned().await.unwrap().outcomes;
    let mut outcome = manager.command("ears and eyes").await;
    assert!(outcome.refusal().is_none());
    let left = outcome.left_out()[0].id.to_string();
    assert_eq!((outcome.left_out().len(), outcome.leases().len()), (1, 1));
    let leased = outcome.leases()[0].id().to_string();
    outcome.feedback(&[&leased]).unwrap();
    assert_eq!(outcomes().await, 0, "{left} could not be used");
    let mut outcome = manager.command("ears and eyes").await;
    outcome.feedback(&[&leased, &left]).unwrap();
    assert_eq!(outcomes().await, 1);
}
