//! Configurations that are wrong: an error that names file, value and way out, and nothing runs.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use majordomo::{BuildError, ComponentSpec, Manager, Priority};

use crate::support::{World, mib, run, says};

/// Starting a manager from this file fails with all of this said.
async fn refused(world: &World, file: &str, parts: &[&str]) {
    let started = Manager::builder().config_file(world.path(file)).start().await;
    let error = started.expect_err(file);
    assert!(matches!(error, BuildError::Config(_)), "{error:?}");
    says(&error.to_string(), &[file]);
    says(&error.to_string(), parts);
}

#[test]
fn files_that_cannot_be_read() {
    run(async {
        let world = World::new();
        refused(&world, "absent.toml", &["cannot read the file", "check the path"]).await;
        std::fs::create_dir(world.path("folder.toml")).unwrap();
        refused(&world, "folder.toml", &["this is a directory", "name the configuration file"])
            .await;
        let _socket = UnixListener::bind(world.path("s.toml")).unwrap();
        refused(&world, "s.toml", &["this is a socket, not a file", "write the configuration"])
            .await;
        let locked = world.write("locked.toml", "");
        std::fs::set_permissions(&locked, PermissionsExt::from_mode(0o000)).unwrap();
        if std::fs::read(&locked).is_err() {
            refused(&world, "locked.toml", &["make it readable for this user"]).await;
        }
        let open = world.write("open.toml", "");
        std::fs::set_permissions(&open, PermissionsExt::from_mode(0o666)).unwrap();
        refused(&world, "open.toml", &["every user", "chmod go-w"]).await;
        std::fs::write(world.path("binary.toml"), b"\x00\xff\xfe").unwrap();
        refused(&world, "binary.toml", &["UTF-8"]).await;
    });
}

#[test]
fn catalog_errors_of_every_component_are_listed() {
    run(async {
        let spec = |name: &str, dependency: &str| {
            let mut spec = ComponentSpec::builtin(name).unwrap();
            spec.dependencies = vec![dependency.parse().unwrap()];
            spec
        };
        let builder = Manager::builder().budget(mib(10)).pressure(None);
        let started = builder.component(spec("a", "nosuch")).component(spec("b", "absent"));
        let error = started.start().await.unwrap_err();
        assert!(matches!(error, BuildError::Config(_)), "{error:?}");
        says(&error.to_string(), &["nosuch", "absent"]);
    });
}

#[test]
fn no_runtime_is_an_error() {
    let mut start = std::pin::pin!(Manager::builder().budget(mib(10)).start());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match start.as_mut().poll(&mut context) {
        std::task::Poll::Ready(Err(error @ BuildError::Start(_))) => {
            says(&error.to_string(), &["runtime"]);
        }
        other => panic!("{other:?}"),
    }
}

/// A program that is its own guard process and does not call `hidden_main`.
#[test]
fn guard_process_starts_no_manager() {
    const MARK: &str = "MAJORDOMO_IS_GUARD";
    if std::env::var_os(MARK).is_none() {
        let out = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "configuration::guard_process_starts_no_manager"])
            .env(MARK, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    run(async {
        let world = World::new();
        let specs = vec![world.program("a", "exec sleep 1000")];
        let error = world.builder(specs).start().await.unwrap_err();
        says(&error.to_string(), &["started as the guard process", "hidden_main first"]);
    });
}

#[test]
fn files_that_say_nothing_sensible() {
    run(async {
        let world = World::new();
        let cases = [
            ("empty.toml", "", &["the file is empty", "declare a component"] as &[&str]),
            ("syntax.toml", "[components.a\n", &["1:", "error"]),
            (
                "key.toml",
                "[components.a]\ncomand = [\"x\"]\n",
                &["comand", "did you mean", "command"],
            ),
            (
                "dependency.toml",
                "[components.vision]\ncommand = [\"x\"]\n[components.b]\ncommand = [\"x\"]\n\
                 dependencies = [\"visoin\"]\n",
                &["5:", "visoin", "did you mean \"vision\"?"],
            ),
            (
                "cycle.toml",
                "[components.a]\ncommand = [\"x\"]\ndependencies = [\"b\"]\n\
                 [components.b]\ncommand = [\"x\"]\ndependencies = [\"a\"]\n",
                &["a -> b -> a", "remove one of these dependencies"],
            ),
            (
                "conflict.toml",
                "[components.a]\ncommand = [\"x\"]\nconflicts = [\"a\"]\n",
                &["3:", "\"a\" conflicts with itself"],
            ),
            (
                "budget.toml",
                "[manager]\nbudget = \"1GiB\"\n[components.a]\ncommand = [\"x\"]\npinned = true\n\
                 memory = \"2GiB\"\n",
                &["6:", "\"a\" needs 2 GiB", "1 GiB", "raise the budget"],
            ),
            ("syntax.json", "{\"a\": {\"priority\": \"LOW\",}", &["1:", "error"]),
        ];
        for (file, text, parts) in cases {
            world.write(file, text);
            refused(&world, file, parts).await;
        }
        assert!(world.processes().is_empty());
    });
}

#[test]
fn file_without_components_starts_a_manager() {
    run(async {
        let world = World::new();
        world.write("empty.toml", "[manager]\nbudget = \"1GiB\"\n");
        let manager = world.manager_of_file("empty.toml").await;
        let outcome = manager.command("hello there").await;
        assert!(outcome.needed().is_empty() && outcome.refusal().is_none() && outcome.was_hit());
        let refusal = manager.acquire_all(&["x"], Default::default()).await.unwrap_err();
        assert_eq!(refusal.to_string(), "no component is called \"x\"");
    });
}

#[test]
fn unknown_component_is_refused_with_the_nearest_name() {
    run(async {
        let world = World::new();
        let specs = ["vision", "voice"].map(|n| world.program(n, "exit 0"));
        let manager = world.manager(specs.into()).await;
        let want = "no component is called \"visoin\"; did you mean \"vision\"?";
        let refused = manager.acquire::<u8>("visoin").await.unwrap_err();
        assert_eq!(refused.to_string(), want);
        assert_eq!(manager.operator().why("visoin").unwrap_err().to_string(), want);
        assert_eq!(manager.plan_for(&["voice", "visoin"]).await.unwrap_err().to_string(), want);
        assert_eq!(manager.operator().load("visoin").await.unwrap_err().to_string(), want);
        assert_eq!(manager.handle_of::<u8>("visoin").unwrap_err().to_string(), want);
        assert_eq!(manager.operator().logs("visoin", 0, 1).unwrap_err().to_string(), want);
    });
}

#[test]
fn components_that_do_not_fit_together_are_refused_in_code_as_well() {
    run(async {
        let spec = |name: &str, needs: &[&str]| {
            let mut spec = ComponentSpec::builtin(name).unwrap();
            spec.memory = mib(10);
            spec.dependencies = needs.iter().map(|n| n.parse().unwrap()).collect();
            spec
        };
        let refused = async |specs: Vec<ComponentSpec>, parts: &[&str]| {
            let world = World::new();
            let builder = world.builder(vec![]).budget(mib(15));
            let builder = specs.into_iter().fold(builder, |b, spec| b.builtin(spec, |_| Ok(1u8)));
            says(&builder.start().await.unwrap_err().to_string(), parts);
        };
        refused(vec![spec("a", &["b"]), spec("b", &["a"])], &["a", "b", "cycle"]).await;
        refused(vec![spec("a", &["bee"]), spec("be", &[])], &["bee", "\"be\""]).await;
        refused(vec![spec("a", &[]), spec("a", &[])], &["a"]).await;
        let core = |name| spec(name, &[]).priority(Priority::Core);
        refused(vec![core("a"), core("b")], &["20 MiB", "15 MiB", "raise the budget"]).await;
        let mute = spec("mute", &[]).keywords(["?!"]);
        refused(vec![mute], &["keyword", "?!"]).await;
    });
}

#[test]
fn unusable_state_directory_is_an_error_that_names_it() {
    run(async {
        let world = World::new();
        let refused = async |name: &str, parts: &[&str]| {
            let started = world.builder(vec![]).state_dir(world.path(name)).start().await;
            let text = started.unwrap_err().to_string();
            says(&text, &["the state directory", name]);
            says(&text, parts);
        };
        world.write("file", "");
        refused("file", &[]).await;
        let first = world.builder(vec![]).state_dir(world.path("dir")).start().await.unwrap();
        refused("dir", &["another"]).await;
        first.shutdown(None).await;
    });
}
