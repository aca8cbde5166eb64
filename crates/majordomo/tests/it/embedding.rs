//! A manager as part of a program: typed references, components added in code, and who keeps it running.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use majordomo::{
    AcquireOptions, BuildError, Cause, ComponentSpec, Factory, GuardForm, LoaderSpec, Manager,
    Refusal, ReloadError,
};

use crate::eventually::until;
use crate::support::{DEADLINE, UP, World, config, lease, mib, ms, run, says, state};

#[derive(Debug, PartialEq)]
struct Model(u32);

fn builtin(name: &str) -> ComponentSpec {
    let mut spec = ComponentSpec::builtin(name).unwrap();
    spec.memory = mib(10);
    spec
}

fn codes(error: &BuildError) -> Vec<&'static str> {
    let BuildError::Config(problems) = error else { panic!("{error:?}") };
    problems.as_slice().iter().map(|p| p.code).collect()
}

#[test]
fn typed_references_lease_without_naming_a_type() {
    run(async {
        let world = World::new();
        let mut builder = world.builder(vec![]);
        let model = builder.add(builtin("model"), |_| Ok(Model(7)));
        let index =
            builder.add_with(builtin("index"), Factory::asynchronous(|_| async { Ok(8u8) }));
        let manager = builder.start().await.unwrap();
        assert!(manager.try_acquire(&model).is_none());
        assert_eq!(*manager.acquire(&model).await.unwrap(), Model(7));
        assert_eq!(manager.try_acquire(&model).unwrap().0, 7);
        let options = AcquireOptions::within(DEADLINE);
        assert_eq!(*manager.acquire_with(&index, options).await.unwrap(), 8);
        assert_eq!(*manager.handle_of(&index).unwrap().acquire().await.unwrap(), 8);
        assert_eq!(model.id().as_str(), "model");
    });
}

#[test]
fn typed_acquire_gives_up_at_its_deadline() {
    run(async {
        let world = World::new();
        let (release, released) = channel::<()>();
        let released = Mutex::new(released);
        let mut builder = world.builder(vec![]);
        let slow = builder.add(builtin("slow"), move |_| {
            let _ = released.lock().unwrap().recv();
            Ok(Model(1))
        });
        let manager = builder.start().await.unwrap();
        let refused =
            manager.acquire_with(&slow, AcquireOptions::within(ms(20))).await.unwrap_err();
        assert!(matches!(refused, Refusal::DeadlineExceeded { .. }), "{refused:?}");
        let handle = manager.handle_of(&slow).unwrap();
        let refused = handle.acquire_with(AcquireOptions::within(ms(20))).await.unwrap_err();
        assert!(matches!(refused, Refusal::DeadlineExceeded { .. }), "{refused:?}");
        drop(release);
    });
}

#[test]
fn handles_are_cloned_and_shared_between_threads() {
    run(async {
        let world = World::new();
        let mut builder = world.builder(vec![]);
        let model = builder.add(builtin("model"), |_| Ok(Model(7)));
        let manager = builder.start().await.unwrap();
        let handle = manager.handle_of(&model).unwrap();
        drop(handle.acquire().await.unwrap());
        let clone = handle.clone();
        std::thread::scope(|scope| {
            for handle in [&handle, &handle, &clone] {
                scope.spawn(|| assert_eq!(handle.try_acquire().unwrap().0, 7));
            }
        });
    });
}

#[test]
fn start_lists_every_factory_that_is_missing_unused_or_doubled() {
    run(async {
        let world = World::new();
        let mut orphan = builtin("orphan");
        orphan.dependencies = vec!["absent".parse().unwrap()];
        let builder = world
            .builder(vec![builtin("bare"), orphan])
            .builtin(builtin("good"), |_| Ok(1u8))
            .factory("good", Factory::new(|_| Ok(2u8)))
            .factory("stray", Factory::new(|_| Ok(3u8)))
            .builtin(world.program("program", "exit 0"), |_| Ok(4u8));
        let error = builder.start().await.unwrap_err();
        let mut found = codes(&error);
        found.sort_unstable();
        let expected = [
            "duplicate-factory",
            "no-builtin",
            "no-builtin",
            "no-factory",
            "no-factory",
            "unknown-component",
        ];
        assert_eq!(found, expected);
        let text = error.to_string();
        says(&text, &["\"bare\" is a builtin, and no factory is registered as \"bare\""]);
        says(&text, &["registered: good, stray", "\"stray\"", "\"program\", which is no builtin"]);
    });
}

#[test]
fn dormant_managers_need_no_factories() {
    run(async {
        let world = World::new();
        let manager = world.builder(vec![builtin("bare")]).dormant().start().await.unwrap();
        assert_eq!(manager.plan_for(&["bare"]).await.unwrap().loads.len(), 1);
    });
}

#[test]
fn config_str_declares_components_and_settings() {
    run(async {
        let text = "[manager]\nbudget = \"64MiB\"\n[components.model]\nloader = \"builtin\"\nmemory = \"10MiB\"\n";
        let builder = || Manager::builder().config_str(text).pressure(None);
        let manager =
            builder().factory("model", Factory::new(|_| Ok(Model(3)))).start().await.unwrap();
        assert_eq!(manager.acquire::<Model>("model").await.unwrap().0, 3);
        assert_eq!(manager.status().await.unwrap().memory.budget, mib(64));
        assert!(matches!(manager.operator().reload().await, Err(ReloadError::NoFile)));
        let error = builder().start().await.unwrap_err();
        assert_eq!(codes(&error), ["no-factory"]);
        let wrong = Manager::builder().config_str("[components.a]\ncomand = [\"x\"]\n");
        says(
            &wrong.start().await.unwrap_err().to_string(),
            &["the configuration text:2:", "comand"],
        );
    });
}

#[test]
fn components_are_added_and_removed_while_the_manager_runs() {
    run(async {
        let world = World::new();
        let manager = world.builder(vec![builtin("base")]);
        let manager =
            manager.factory("base", Factory::new(|_| Ok(Model(1)))).start().await.unwrap();
        let mut spec = builtin("model");
        spec.dependencies = vec!["base".parse().unwrap()];
        let model = manager
            .add(spec.clone(), |ctx| Ok(Model(ctx.dependency::<Model>("base").unwrap().0 + 1)))
            .await
            .unwrap();
        let held = manager.acquire(&model).await.unwrap();
        assert_eq!(held.0, 2);
        // A refused change changes nothing.
        let error = manager.add(spec, |_| Ok(Model(9))).await.unwrap_err();
        says(&error.to_string(), &["duplicate"]);
        let error = manager.remove("base").await.unwrap_err();
        says(&error.to_string(), &["\"model\" names \"base\""]);
        assert_eq!(manager.components().len(), 2);
        let removed = manager.remove("model").await.unwrap();
        assert_eq!(removed.removed.len(), 1);
        assert!(matches!(
            manager.acquire(&model).await,
            Err(Refusal::Removed { .. } | Refusal::UnknownComponent { .. })
        ));
        drop(held);
        manager.remove("base").await.unwrap();
        until(|| state(&manager, "base") == "unloaded").await;
        let error = manager.remove("base").await.unwrap_err();
        assert!(matches!(error, ReloadError::Refused(_)), "{error:?}");
        // The name is free again, for another type.
        let again = manager.add(builtin("model"), |_| Ok(String::from("other"))).await.unwrap();
        assert_eq!(manager.acquire(&again).await.unwrap().as_str(), "other");
        // It was started without programs, and therefore without a guard process.
        let error = manager.add_component(world.program("program", UP)).await.unwrap_err();
        says(&error.to_string(), &["no guard process", "Builder::guard"]);
    });
}

#[test]
fn programs_are_added_and_removed_where_the_guard_runs() {
    run(async {
        let world = World::new();
        let builder = world.builder(vec![]).guard(GuardForm::Shell);
        let manager = builder.start().await.unwrap();
        manager.add_component(world.program("program", UP)).await.unwrap();
        drop(lease(&manager, "program").await.unwrap());
        assert_eq!(world.processes().len(), 1);
        manager.remove("program").await.unwrap();
        until(|| world.processes().is_empty()).await;
    });
}

#[test]
fn settings_and_components_of_the_code_are_checked_as_those_of_a_file() {
    run(async {
        let world = World::new();
        let mut config = config();
        config.memory.estimate_margin = f64::NAN;
        config.deadlines.demand = Duration::ZERO;
        let mut wrong = builtin("wrong").max_leases(0);
        wrong.keywords = vec!["?!".to_owned()];
        let mut large = builtin("large").memory(mib(2000));
        large.conflicts = vec!["absent".parse().unwrap()];
        let builder = world.builder(vec![]).config(config);
        let builder = builder.builtin(wrong, |_| Ok(1u8)).builtin(large, |_| Ok(2u8));
        let error = builder.start().await.unwrap_err();
        let text = error.to_string();
        says(&text, &["memory.estimate_margin", "NaN", "deadlines.demand"]);
        says(&text, &["components.wrong.max_leases is 0", "components.wrong.keywords[0]"]);
        says(&text, &["\"absent\""]);
        let python = LoaderSpec::Python { module: "m".to_owned(), function: "f".to_owned() };
        let python = ComponentSpec::new("python".parse().unwrap(), python);
        let error = world.builder(vec![python]).start().await.unwrap_err();
        says(&error.to_string(), &["no-loader", "components.python"]);
        // The same for a component that is added later.
        let manager = world.builder(vec![]).start().await.unwrap();
        let error = manager.add(builtin("late").max_leases(0), |_| Ok(1u8)).await.unwrap_err();
        says(&error.to_string(), &["components.late.max_leases is 0"]);
        assert!(manager.components().is_empty());
    });
}

#[test]
fn components_of_the_file_are_removed_there() {
    run(async {
        let world = World::new();
        world.write("c.toml", &world.section("a", "echo up; exec sleep 1000", ""));
        let manager = world.manager_of_file("c.toml").await;
        let added = manager.add(builtin("b"), |_| Ok(Model(1))).await.unwrap();
        let error = manager.remove("a").await.unwrap_err();
        says(&error.to_string(), &["a is declared in the configuration", "reload"]);
        // A reload keeps what was added in code.
        manager.operator().reload().await.unwrap();
        assert_eq!(manager.acquire(&added).await.unwrap().0, 1);
    });
}

#[test]
fn outcomes_leases_and_handles_do_not_keep_the_manager_running() {
    run(async {
        let world = World::new();
        let mut spec = builtin("model");
        spec.keywords = vec!["model".to_owned()];
        let mut builder = world.builder(vec![]);
        let model = builder.add(spec, |_| Ok(Model(7)));
        let manager = builder.start().await.unwrap();
        let state_dir = manager.state_dir().to_owned();
        let outcome = manager.command("the model please").await;
        let handle = manager.handle_of(&model).unwrap();
        let lease = handle.acquire().await.unwrap();
        let events = manager.events(None);
        drop(manager);
        until(|| lease.revoked() && outcome.leases()[0].revoked()).await;
        until(|| handle.try_acquire().is_none()).await;
        drop((lease, outcome));
        let refused = handle.acquire().await.unwrap_err();
        assert!(matches!(refused, Refusal::ShuttingDown), "{refused:?}");
        until(|| !state_dir.exists()).await;
        drop((handle, events));
    });
}

#[test]
fn dropping_the_runtime_during_a_load_cancels_it_without_waiting() {
    let world = World::new();
    let (release, released) = channel::<()>();
    let (cancelled, saw) = channel();
    let loads = Arc::new(AtomicU32::new(0));
    let (released, count) = (Mutex::new(released), Arc::clone(&loads));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let manager = runtime.block_on(async {
        let mut builder = world.builder(vec![]);
        let hung = builder.add(builtin("hung"), move |ctx| {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = released.lock().unwrap().recv();
            cancelled.send(ctx.is_cancelled()).unwrap();
            Ok(Model(1))
        });
        let manager = builder.start().await.unwrap();
        let waits = manager.clone();
        tokio::spawn(async move { drop(waits.acquire(&hung).await) });
        until(|| loads.load(Ordering::Relaxed) == 1).await;
        manager
    });
    let (dropped, ended) = channel();
    let dropping = std::thread::spawn(move || {
        drop(runtime);
        dropped.send(()).unwrap();
    });
    ended.recv_timeout(DEADLINE * 10).expect("the drop of the runtime waits for the factory");
    drop(release);
    assert!(saw.recv_timeout(DEADLINE * 10).unwrap(), "the factory was not cancelled");
    dropping.join().unwrap();
    drop(manager);
}

#[test]
fn dropping_the_runtime_revokes_leases_and_refuses_requests() {
    let world = World::new();
    let builder = || Manager::builder().budget(mib(64)).pressure(None);
    for has_run in [true, false] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut builder = builder().state_dir(world.path(&format!("state-{has_run}")));
        let model = builder.add(builtin("model"), |_| Ok(Model(7)));
        let manager = runtime.block_on(builder.start()).unwrap();
        let handle = manager.handle_of(&model).unwrap();
        let lease = has_run.then(|| runtime.block_on(handle.acquire()).unwrap());
        drop(runtime);
        assert!(handle.try_acquire().is_none() && manager.try_acquire(&model).is_none());
        if let Some(lease) = lease {
            assert!(lease.revoked());
            assert_eq!(lease.revocation().unwrap().cause, Cause::Shutdown);
            assert_eq!(lease.0, 7, "the value stays valid");
        }
        run(async {
            let refused = handle.acquire().await.unwrap_err();
            assert!(matches!(refused, Refusal::ShuttingDown), "{refused:?}");
        });
    }
}

#[test]
fn start_on_a_runtime_without_timers_or_io_is_an_error() {
    let world = World::new();
    let started = |mut runtime: tokio::runtime::Builder, specs| {
        let started = runtime.build().unwrap().block_on(world.builder(specs).start());
        let error = started.unwrap_err();
        assert!(matches!(error, BuildError::Start(_)), "{error:?}");
        error.to_string()
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time();
    let error = started(runtime, vec![world.program("program", UP)]);
    says(&error, &["no I/O", "enable_all"]);
    let error = started(tokio::runtime::Builder::new_current_thread(), vec![]);
    says(&error, &["no timers", "enable_all"]);
}

#[test]
fn problems_of_code_are_listed_beside_those_of_the_text() {
    run(async {
        let text = "[manager]\nbudgett = 1\n[components.a]\ncommand = [\"true\"]\n";
        let spec = builtin("coded").max_leases(0).dependencies(["a"]).unwrap();
        let error = Manager::builder()
            .config_str(text)
            .pressure(None)
            .component(spec)
            .start()
            .await
            .unwrap_err();
        // Whether "a" exists cannot be known from a text that is wrong.
        assert_eq!(codes(&error), ["unknown-key", "out-of-range"]);
        says(&error.to_string(), &["budgett", "components.coded.max_leases is 0"]);
        assert!(std::error::Error::source(&error).is_none(), "the text would be printed twice");
    });
}
