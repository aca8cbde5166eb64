//! Programs whose memory is moved to swap, where the machine offers that: parked for demands, woken by them, and ended there.

use majordomo::{AcquireOptions, CallRequest, ComponentState, Manager, PolicyKind, Refusal, Rung};

use crate::processes::MARK;
use crate::support::{World, lease, mib, path, run, status};

/// Fills 24 MiB, of which the shell may have three copies, and answers each request with the bytes that are still right.
const HOLDER: &str = r#"x=$(head -c 25165824 /dev/zero | tr '\0' x)
echo '{"ready":true}'
while read -r line; do
    id=${line#*:} id=${id%%,*}
    case $x in *[!x]*) n=wrong ;; *) n=${#x} ;; esac
    echo "{\"id\":$id,\"answer\":\"$n\"}"
done"#;
const ANSWER: &str = "25165824";

/// A manager of `a`, with further keys, and `b`: the first load of one needs 120 MiB, which the budget has only while the other
/// is not in memory; none where this machine parks no program.
async fn manager(world: &World, more: &str) -> Option<Manager> {
    world.write("holder.sh", HOLDER);
    let mark = world.mark();
    let component = |name: &str, more: &str| {
        format!(
            "[components.{name}]\nmemory = \"100MiB\"\ncommand = [\"/bin/sh\", \"holder.sh\"]\ncwd = \".\"\n\
             env = {{ {MARK} = {mark:?} }}\nprotocol = \"stdio\"\n{more}\n"
        )
    };
    let text = format!(
        "[manager]\nbudget = \"130MiB\"\npolicy = \"lru\"\nspeculation = false\n{}{}",
        component("a", more),
        component("b", "")
    );
    world.write("c.toml", &text);
    let manager = world.manager_of_file("c.toml").await;
    assert_eq!(manager.config().memory.policy, PolicyKind::Lru);
    let mut parking = manager.status().await.unwrap().memory.parking.clone();
    while parking.means.is_none() && parking.why_not.is_none() {
        tokio::task::yield_now().await;
        parking = manager.status().await.unwrap().memory.parking.clone();
    }
    if let Some(why) = parking.why_not {
        eprintln!("skipped: this machine parks no program: {why}");
        let required = std::env::var_os("MAJORDOMO_REQUIRE_PAGING").is_some_and(|v| v == "1");
        assert!(!required, "MAJORDOMO_REQUIRE_PAGING=1, but {why}");
        assert!(manager.shutdown(None).await.is_empty());
        return None;
    }
    Some(manager)
}

async fn call(manager: &Manager, name: &str) -> String {
    let answer = manager.call(name, &CallRequest::text("?"), AcquireOptions::default()).await;
    answer.unwrap().text().unwrap()
}

#[test]
fn program_is_paged_out_for_a_demand_and_answers_again_after_its_own() {
    run(async {
        let world = World::new();
        let Some(manager) = manager(&world, "").await else { return };
        assert_eq!(call(&manager, "a").await, ANSWER);
        let before = status(&manager, "a").await;
        assert_eq!(call(&manager, "b").await, ANSWER);
        let parked = status(&manager, "a").await;
        assert_eq!(parked.state, ComponentState::Down(Rung::Paged), "{:?}", path(&manager, "a"));
        assert!(parked.booked < mib(12), "{} then {}", before.booked, parked.booked);
        assert_eq!(call(&manager, "a").await, ANSWER);
        let woken = status(&manager, "a").await;
        assert_eq!((woken.pid, woken.loads), (before.pid, 1), "the same process");
        assert_eq!((woken.parking.parks, woken.parking.wakes), (1, 1));
        assert!(manager.shutdown(None).await.is_empty());
    });
}

#[test]
fn component_that_is_never_parked_is_unloaded() {
    run(async {
        let world = World::new();
        let Some(manager) = manager(&world, "park = \"never\"").await else { return };
        assert_eq!(call(&manager, "a").await, ANSWER);
        assert_eq!(call(&manager, "b").await, ANSWER);
        let a = status(&manager, "a").await;
        assert_eq!(a.state, ComponentState::Down(Rung::Gone));
        assert_eq!(a.parking.why_not.as_deref(), Some("park = \"never\""));
        assert!(manager.shutdown(None).await.is_empty());
    });
}

#[test]
fn unload_during_a_park_ends_the_program_and_the_next_demand_loads_it() {
    run(async {
        let world = World::new();
        let Some(manager) = manager(&world, "").await else { return };
        assert_eq!(call(&manager, "a").await, ANSWER);
        let park = manager.operator().park("a");
        let unload = manager.operator().unload("a", false);
        let (_, unloaded) = tokio::join!(park, unload);
        unloaded.unwrap();
        let a = status(&manager, "a").await;
        assert_eq!((a.state, a.booked), (ComponentState::Down(Rung::Gone), mib(0)));
        assert_eq!(call(&manager, "a").await, ANSWER);
        assert_eq!(status(&manager, "a").await.loads, 2);
        assert!(manager.shutdown(None).await.is_empty());
    });
}

#[test]
fn operator_parks_a_program_and_a_leased_one_is_refused() {
    run(async {
        let world = World::new();
        let Some(manager) = manager(&world, "").await else { return };
        assert_eq!(call(&manager, "a").await, ANSWER);
        let leased = lease(&manager, "a").await.unwrap();
        let refused = manager.operator().park("a").await;
        assert!(matches!(refused, Err(Refusal::InUse { .. })), "{refused:?}");
        drop(leased);
        manager.operator().park("a").await.unwrap();
        let parked = status(&manager, "a").await;
        assert_eq!(parked.state, ComponentState::Down(Rung::Paged), "{:?}", path(&manager, "a"));
        assert_eq!(call(&manager, "a").await, ANSWER);
        assert_eq!(status(&manager, "a").await.loads, 1, "it was woken");
        let refused = manager.operator().park("b").await;
        assert!(matches!(refused, Err(Refusal::CannotPark { .. })), "{refused:?}");
        assert!(manager.shutdown(None).await.is_empty());
    });
}
