//! Calls of programs that answer lines of JSON, by name and through leases.

use majordomo::{
    AcquireOptions, CallError, CallRequest, CallsEnded, ComponentState, Endpoint, Exit, Manager,
    Refusal,
};

use crate::eventually::until;
use crate::processes::MARK;
use crate::support::{World, lease, ms, run, status};

/// Answers with the request; an order ends it.
const ANSWERER: &str = r#"echo '{"ready":true}'
while read -r line; do
    id=${line#*:} id=${id%%,*}
    case $line in *end*) exit 0 ;; *hold*) : > held; while [ ! -e go ]; do sleep 0.01; done ;; esac
    echo "{\"id\":$id,\"answer\":\"answer $id\"}"
done"#;

/// A manager of the component `lines`, which the file `lines.sh` beside the configuration is the program of.
async fn manager(world: &World, more: &str) -> Manager {
    world.write("lines.sh", ANSWERER);
    let mark = world.mark();
    let text = format!(
        "[components.lines]\nmemory = \"10MiB\"\ncommand = [\"/bin/sh\", \"lines.sh\"]\ncwd = \".\"\n\
         env = {{ {MARK} = {mark:?} }}\nprotocol = \"stdio\"\n{more}\n"
    );
    world.write("c.toml", &text);
    world.manager_of_file("c.toml").await
}

async fn call(manager: &Manager, text: &str) -> Result<String, CallError> {
    let answer = manager.call("lines", &CallRequest::text(text), AcquireOptions::default()).await?;
    Ok(answer.text().unwrap())
}

#[test]
fn call_by_name_loads_the_component_and_gives_the_lease_back() {
    run(async {
        let world = World::new();
        let manager = manager(&world, "").await;
        assert_eq!(call(&manager, "x").await.unwrap(), "answer 1");
        assert_eq!(call(&manager, "x").await.unwrap(), "answer 2");
        let lines = status(&manager, "lines").await;
        assert_eq!((lines.state, lines.leases), (ComponentState::Ready, 0));
        let unknown =
            manager.call("none", &CallRequest::text("x"), AcquireOptions::default()).await;
        assert!(matches!(unknown, Err(CallError::Refused(Refusal::UnknownComponent { .. }))));
    });
}

#[test]
fn call_through_a_lease_counts_as_a_use() {
    run(async {
        let world = World::new();
        let manager = manager(&world, "").await;
        let lease = lease(&manager, "lines").await.unwrap();
        assert!(!lease.was_used());
        lease.call(&CallRequest::text("x"), None).await.unwrap();
        assert!(lease.was_used());
        let lease = lease.typed::<Endpoint>().unwrap();
        let answer = lease.call(&CallRequest::object("{\"a\": 1}").unwrap(), None).await.unwrap();
        assert_eq!(answer.json(), "\"answer 2\"");
    });
}

#[test]
fn program_that_ends_in_the_middle_of_a_call_is_loaded_again_by_the_next() {
    run(async {
        let world = World::new();
        let manager = manager(&world, "").await;
        for _ in 0..3 {
            assert_eq!(call(&manager, "x").await.unwrap(), "answer 1");
            match call(&manager, "end").await {
                Err(CallError::Ended { source, .. }) => {
                    assert_eq!(source, CallsEnded::Exited(Exit::Code(0)));
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn forced_unload_ends_open_calls_with_an_error() {
    run(async {
        let world = World::new();
        let manager = manager(&world, "stop_deadline = \"200ms\"").await;
        let hold = CallRequest::text("hold");
        let lease = lease(&manager, "lines").await.unwrap();
        let held = world.path("held");
        let (outcome, ()) = tokio::join!(lease.call(&hold, None), async {
            until(|| held.exists()).await;
            manager.operator().unload("lines", true).await.unwrap();
        });
        match outcome {
            Err(CallError::Ended { source, .. }) => {
                assert_eq!(source, CallsEnded::Exited(Exit::Signal(15)));
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn deadline_of_a_call_by_name_is_reported_as_its_caller_stated_it() {
    run(async {
        let world = World::new();
        let manager = manager(&world, "").await;
        let options = AcquireOptions::within(ms(3000));
        match manager.call("lines", &CallRequest::text("hold"), options).await {
            Err(CallError::Deadline { waited, began: true, .. }) => assert_eq!(waited, ms(3000)),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn deadline_of_a_call_by_name_includes_the_load() {
    run(async {
        let world = World::new();
        let manager = manager(&world, "load_deadline = \"10s\"").await;
        let options = AcquireOptions::within(ms(1));
        let error = manager.call("lines", &CallRequest::text("x"), options).await.unwrap_err();
        let code = error.code();
        assert!(matches!(code, "deadline_exceeded" | "call_deadline_exceeded"), "{error}");
    });
}
