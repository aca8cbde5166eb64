//! Demands of lease holders: exchanges, demands that their own leases block, and the holders that a
//! refusal names.

use majordomo_core::{HolderKind, Refusal};
use majordomo_engine::Effect;

use crate::rig::{Rig, seconds, spec};

/// `a` leased once, and no room for `b` beside it.
fn leased() -> Rig {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 150);
    rig.demand(&["a"]);
    rig.loaded("a");
    rig.wait(seconds(3.0));
    rig
}

fn leases(rig: &Rig, name: &str) -> u32 {
    rig.cells.0.get(&rig.key(name)).map_or(0, |c| c.leases)
}

#[test]
fn demand_blocked_only_by_leases_of_its_caller_is_refused_at_once() {
    let mut rig = leased();
    rig.next_holds("a", false);
    let w = rig.demand(&["b"]);
    assert_eq!(rig.answered(w), "own_leases");
    assert_eq!((rig.state("a"), leases(&rig, "a")), ("ready", 1));
}

#[test]
fn demand_waits_for_leases_of_others_and_is_refused_when_only_its_own_remain() {
    let mut rig = leased();
    assert!(rig.take("a"));
    rig.next_holds("a", false);
    let w = rig.demand(&["b"]);
    assert_eq!(rig.answered(w), "waits");
    rig.give_back("a");
    assert_eq!(rig.answered(w), "own_leases");
}

#[test]
fn demand_blocked_by_its_own_lease_at_the_lease_limit_is_refused_at_once() {
    let limited = crate::rig::with(spec("a"), |s| s.max_leases = Some(1));
    let mut rig = Rig::new(vec![limited], 150);
    rig.demand(&["a"]);
    rig.loaded("a");
    rig.next_holds("a", false);
    let w = rig.demand(&["a"]);
    assert_eq!(rig.answered(w), "own_leases");
}

#[test]
fn exchange_releases_its_leases_on_admission() {
    let mut rig = leased();
    rig.next_holds("a", true);
    let w = rig.demand(&["b"]);
    assert_eq!((rig.state("a"), leases(&rig, "a")), ("unloading", 0));
    rig.settle();
    assert_eq!((rig.answered(w), leases(&rig, "b")), ("granted", 1));
}

#[test]
fn refused_exchange_keeps_its_leases() {
    let large = crate::rig::with(spec("b"), |s| s.memory = majordomo_core::ByteSize::mib(200));
    let mut rig = Rig::new(vec![spec("a"), large], 150);
    rig.demand(&["a"]);
    rig.loaded("a");
    rig.next_holds("a", true);
    let w = rig.demand(&["b"]);
    assert_eq!(rig.answered(w), "too_large");
    assert_eq!((rig.state("a"), leases(&rig, "a")), ("ready", 1));
}

#[test]
fn exchange_that_fits_beside_its_leases_keeps_them_until_it_is_granted() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 1000);
    rig.demand(&["a"]);
    rig.loaded("a");
    rig.next_holds("a", true);
    let w = rig.demand(&["b"]);
    rig.load_ends("b", Err("no such file"));
    assert_eq!((rig.answered(w), leases(&rig, "a")), ("load_failed", 1));
}

#[test]
fn exchange_keeps_its_leases_while_it_waits_for_leases_of_others() {
    let mut rig = leased();
    assert!(rig.take("a"));
    rig.next_holds("a", true);
    let w = rig.demand(&["b"]);
    rig.wait(seconds(1.0));
    assert_eq!((rig.answered(w), leases(&rig, "a")), ("waits", 2));
    // After two seconds `a` drains; the own lease of the exchange does not prevent that.
    rig.wait(seconds(2.0));
    assert_eq!((rig.state("a"), leases(&rig, "a")), ("draining", 2));
    rig.give_back("a");
    assert_eq!(leases(&rig, "a"), 0);
    rig.settle();
    assert_eq!(rig.answered(w), "granted");
}

#[test]
fn exchange_at_the_lease_limit_replaces_its_own_lease() {
    let limited = crate::rig::with(spec("a"), |s| s.max_leases = Some(1));
    let mut rig = Rig::new(vec![limited, spec("b")], 1000);
    rig.demand(&["a"]);
    rig.loaded("a");
    rig.next_holds("a", true);
    let w = rig.demand(&["a", "b"]);
    rig.settle();
    assert_eq!((rig.answered(w), leases(&rig, "a")), ("granted", 1));
}

#[test]
fn refusal_names_a_leased_component_that_drains() {
    let mut rig = leased();
    let w = rig.demand_with(&["b"], None, Some(seconds(5.0)));
    rig.wait(seconds(5.0));
    assert_eq!(rig.answered(w), "deadline_exceeded");
    let kinds = rig.effects.iter().find_map(|e| match e {
        Effect::Refuse { refusal: Refusal::DeadlineExceeded { holders, .. }, .. } => {
            Some(holders.iter().map(|h| (h.component.to_string(), h.kind)).collect::<Vec<_>>())
        }
        _ => None,
    });
    assert_eq!(kinds, Some(vec![("a".to_owned(), HolderKind::Draining)]));
}

#[test]
fn own_lease_is_the_reason_of_a_refusal_during_minimum_residency() {
    let mut rig = Rig::new(vec![spec("a"), spec("b")], 150);
    rig.demand(&["a"]);
    rig.loaded("a");
    rig.next_holds("a", false);
    let own = rig.demand(&["b"]);
    assert_eq!(rig.answered(own), "own_leases");
    rig.next_holds("a", true);
    let exchange = rig.demand(&["b"]);
    rig.settle();
    assert_eq!(rig.answered(exchange), "granted");
}
