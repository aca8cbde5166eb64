//! Components with memory in several pools: every account has to fit, and only what is short is freed.

use std::sync::Arc;

use majordomo_core::{ByteSize, ComponentState, Confidence, PolicyKind, Refusal};
use majordomo_engine::{Effect, Input, needs_reload};
use majordomo_registry::{Catalog, ComponentSpec, PoolSpec};
use proptest::prelude::*;

use crate::rig::{Rig, config, seconds, spec, with};

fn gpu(budget_mib: u64) -> Vec<PoolSpec> {
    let budget = Some(ByteSize::mib(budget_mib));
    vec![PoolSpec { name: Arc::from("gpu"), budget, declared: true }]
}

/// A component with so much RAM and memory of the card, in MiB.
fn both(name: &str, ram: u64, card: u64) -> ComponentSpec {
    with(spec(name), |s| {
        s.memory = ByteSize::mib(ram);
        if card > 0 {
            s.memory_in.insert(Arc::from("gpu"), ByteSize::mib(card));
        }
    })
}

/// Least recently used components are evicted first.
fn rig(specs: Vec<ComponentSpec>, ram: u64, card: u64) -> Rig {
    let mut config = config();
    config.memory.policy = PolicyKind::Lru;
    Rig::with_pools(specs, gpu(card), ram, config)
}

fn booked_on_card(rig: &Rig) -> u64 {
    let position = rig.engine.catalog().pools().iter().position(|p| &*p.name == "gpu");
    rig.engine.budget().booked_in(position.expect("the pool is declared")).0 >> 20
}

fn refusal(rig: &Rig) -> Option<&Refusal> {
    rig.effects.iter().find_map(|effect| match effect {
        Effect::Refuse { refusal, .. } => Some(refusal),
        _ => None,
    })
}

#[test]
fn component_is_loaded_when_it_fits_in_every_account() {
    let mut rig = rig(vec![both("a", 50, 60), both("b", 10, 60)], 200, 100);
    rig.make_ready("a");
    assert_eq!((booked_on_card(&rig), rig.engine.budget().booked()), (60, ByteSize::mib(50)));
    assert!(rig.take("a"));
    let w = rig.demand(&["b"]);
    assert_eq!((rig.answered(w), rig.state("b")), ("waits", "unloaded"), "60 + 60 of 100");
    rig.give_back("a");
    rig.settle();
    assert_eq!((rig.answered(w), rig.state("a")), ("granted", "unloaded"));
    assert_eq!((booked_on_card(&rig), rig.engine.budget().booked()), (60, ByteSize::mib(10)));
}

#[test]
fn only_components_that_hold_what_is_short_are_evicted() {
    // The oldest first: of those that have memory of the card, and of those that have RAM.
    let specs = || {
        let idle = [both("ram", 80, 0), both("card", 10, 50), both("newer-card", 10, 50)];
        idle.into_iter().chain([both("needs-card", 10, 40), both("needs-ram", 90, 0)]).collect()
    };
    let ready = || {
        let mut rig = rig(specs(), 110, 100);
        for name in ["ram", "card", "newer-card"] {
            rig.make_ready(name);
            rig.wait(seconds(5.0));
        }
        rig
    };
    let mut rig = ready();
    let w = rig.demand(&["needs-card"]);
    rig.settle();
    assert_eq!(rig.answered(w), "granted");
    assert_eq!(rig.states(&["ram", "card", "newer-card"]), ["ready", "unloaded", "ready"]);
    let mut rig = ready();
    let w = rig.demand(&["needs-ram"]);
    rig.settle();
    assert_eq!(rig.answered(w), "granted");
    assert_eq!(rig.states(&["ram", "card", "newer-card"]), ["unloaded", "ready", "ready"]);
}

#[test]
fn provider_stays_when_only_its_dependent_holds_what_is_short() {
    let specs = vec![
        both("provider", 10, 0),
        with(both("dependent", 10, 80), |s| s.dependencies = vec![crate::rig::id("provider")]),
        both("new", 10, 50),
    ];
    let mut rig = rig(specs, 200, 100);
    rig.make_ready("dependent");
    rig.wait(seconds(5.0));
    let w = rig.demand(&["new"]);
    rig.settle();
    assert_eq!(rig.answered(w), "granted");
    assert_eq!(rig.states(&["provider", "dependent"]), ["ready", "unloaded"]);
}

#[test]
fn waiting_demand_names_the_holders_of_what_is_short() {
    let mut rig =
        rig(vec![both("ram", 50, 0), both("card", 10, 70), both("new", 10, 50)], 200, 100);
    for name in ["ram", "card"] {
        rig.make_ready(name);
        assert!(rig.take(name));
    }
    let plan = rig.engine.plan(&[rig.key("new")], rig.now, &rig.cells);
    let holders: Vec<_> =
        plan.holders.iter().map(|h| (h.component.as_str(), h.booked.0 >> 20)).collect();
    assert_eq!(holders, [("card", 70)]);
}

#[test]
fn need_beyond_a_pool_is_refused_with_the_pool_and_its_holders() {
    let specs = vec![
        with(both("core", 10, 30), |s| s.pinned = true),
        with(both("other", 40, 0), |s| s.pinned = true),
        both("big", 10, 80),
    ];
    let mut rig = rig(specs, 200, 100);
    rig.make_ready("core");
    rig.make_ready("other");
    rig.demand(&["big"]);
    let Some(Refusal::TooLarge { need, available, pool, holders, measured }) = refusal(&rig) else {
        panic!("{:?}", rig.effects)
    };
    assert_eq!((need.0 >> 20, available.0 >> 20, pool.as_deref()), (80, 70, Some("gpu")));
    let holders: Vec<_> =
        holders.iter().map(|h| (h.component.as_str(), h.booked.0 >> 20)).collect();
    assert_eq!((holders, measured), (vec![("core", 30)], &None));
}

#[test]
fn declared_bytes_follow_no_measurement_and_no_margin() {
    let mut config = config();
    config.memory.estimate_margin = 2.0;
    let mut rig = Rig::with_pools(vec![both("a", 20, 60)], gpu(100), 200, config);
    rig.demand(&["a"]);
    assert_eq!((booked_on_card(&rig), rig.engine.budget().booked()), (60, ByteSize::mib(40)));
    rig.loaded("a");
    for mib in [5, 90] {
        rig.measure(&[("a", mib)]);
        assert_eq!(booked_on_card(&rig), 60);
    }
    assert_eq!(rig.engine.budget().booked(), ByteSize::mib(90));
    let status = rig.engine.status(rig.now);
    let apart = &status.components[0].apart[0];
    let figures = (&*apart.pool, apart.declared, apart.booked);
    assert_eq!(figures, ("gpu", ByteSize::mib(60), ByteSize::mib(60)));
}

#[test]
fn plan_states_the_bytes_of_every_account() {
    let mut rig = rig(vec![both("a", 20, 60), both("b", 30, 70)], 200, 100);
    rig.make_ready("a");
    let plan = rig.engine.plan(&[rig.key("b")], rig.now, &rig.cells);
    let card = |need: &majordomo_memory::Need| need.sum().0 >> 20;
    assert_eq!((plan.loads[0].bytes, card(&plan.loads[0].apart)), (ByteSize::mib(30), 70));
    assert_eq!((plan.evictions[0].bytes, card(&plan.evictions[0].apart)), (ByteSize::mib(20), 60));
}

#[test]
fn changed_declaration_is_booked_at_once_and_relieved_where_it_is_short() {
    let mut rig = rig(vec![both("a", 20, 60), both("b", 20, 30), both("c", 20, 0)], 200, 100);
    for name in ["a", "b", "c"] {
        rig.make_ready(name);
        rig.wait(seconds(5.0));
    }
    let specs = vec![both("a", 20, 80), both("b", 20, 30), both("c", 20, 0)];
    let catalog = Catalog::build(specs, gpu(100), Some(rig.engine.catalog())).unwrap();
    let (config, budget) = (Box::new(rig.engine.config().clone()), ByteSize::mib(200));
    rig.input(Input::Configure { catalog: Arc::new(catalog), config, budget });
    rig.wait(seconds(5.0));
    rig.settle();
    assert_eq!(rig.states(&["a", "b", "c"]), ["unloaded", "ready", "ready"]);
    assert_eq!(booked_on_card(&rig), 30);
    // Other amounts keep a component loaded, other pools do not.
    assert!(!needs_reload(&both("a", 20, 60), &both("a", 30, 90)));
    assert!(needs_reload(&both("a", 20, 60), &both("a", 20, 0)));
}

/// A reload with another size of the card.
fn resize_card(rig: &mut Rig, specs: Vec<ComponentSpec>, card: u64) {
    let catalog =
        Catalog::build(specs, gpu(card), Some(rig.engine.catalog())).expect("a valid catalog");
    let (config, budget) = (Box::new(rig.engine.config().clone()), rig.engine.budget().total());
    rig.input(Input::Configure { catalog: Arc::new(catalog), config, budget });
}

fn n_trims(rig: &Rig) -> usize {
    rig.effects.iter().filter(|e| matches!(e, Effect::Trim { .. })).count()
}

#[test]
fn overdrawn_card_is_no_reason_to_trim_or_to_unload_preloads_in_ram() {
    let specs = || vec![both("card", 20, 60), both("ram", 20, 0), both("on-card", 20, 40)];
    let mut rig = rig(specs(), 200, 100);
    rig.make_ready("card");
    for name in ["ram", "on-card"] {
        rig.hint(rig.key(name));
        rig.settle();
    }
    assert_eq!(rig.states(&["card", "ram", "on-card"]), ["ready"; 3]);
    resize_card(&mut rig, specs(), 80);
    assert_eq!(n_trims(&rig), 0);
    rig.settle();
    assert_eq!(rig.states(&["card", "ram", "on-card"]), ["ready", "ready", "unloaded"]);
    resize_card(&mut rig, specs(), 50);
    assert_eq!(n_trims(&rig), 0);
    rig.wait(seconds(30.0));
    rig.settle();
    assert_eq!(rig.states(&["card", "ram"]), ["unloaded", "ready"]);
}

#[test]
fn overdrawn_card_is_relieved_in_the_order_of_what_evictions_free_there() {
    let specs = || vec![both("small-there", 90, 10), both("large-there", 10, 80)];
    let mut config = config();
    config.memory.policy = PolicyKind::VrankWait;
    let mut rig = Rig::with_pools(specs(), gpu(100), 200, config);
    for name in ["small-there", "large-there"] {
        rig.demand(&[name]);
        rig.wait(seconds(1.0));
        rig.loaded(name);
        rig.give_back(name);
    }
    rig.wait(seconds(100.0));
    let score = |name| (rig.key(name), Confidence::saturating(0.5));
    let text_scores = ["small-there", "large-there"].map(score).to_vec();
    rig.input(Input::Observed { command: None, used: Vec::new(), text_scores });
    resize_card(&mut rig, specs(), 60);
    rig.settle();
    rig.wait(seconds(30.0));
    assert_eq!(rig.states(&["small-there", "large-there"]), ["ready", "unloaded"]);
}

#[test]
fn preload_leaves_the_card_to_demands_that_queued_for_it() {
    let specs =
        vec![both("leased", 10, 80), both("b", 10, 30), both("c", 10, 10), both("ram", 10, 0)];
    let mut rig = rig(specs, 200, 100);
    rig.demand(&["leased"]);
    rig.loaded("leased");
    let w = rig.demand_with(&["b"], None, Some(seconds(1.0)));
    rig.wait(seconds(1.0));
    assert_eq!(rig.answered(w), "deadline_exceeded");
    for name in ["c", "ram"] {
        rig.hint(rig.key(name));
        rig.settle();
    }
    assert_eq!(rig.states(&["c", "ram"]), ["unloaded", "ready"]);
}

#[test]
fn holders_of_the_card_are_named_with_their_memory_of_it() {
    let mut rig = rig(vec![both("a", 10, 80), both("b", 10, 50)], 200, 100);
    rig.demand(&["a"]);
    rig.loaded("a");
    // Demands wait so long for a lease that its component is drained.
    rig.demand_with(&["b"], None, Some(seconds(60.0)));
    rig.wait(seconds(60.0));
    let Some(Refusal::DeadlineExceeded { holders, .. }) = refusal(&rig) else {
        panic!("{:?}", rig.effects)
    };
    let holders: Vec<_> =
        holders.iter().map(|h| (h.component.as_str(), h.booked.0 >> 20)).collect();
    assert_eq!(holders, [("a", 80)]);
}

#[derive(Clone, Debug)]
enum Op {
    Demand(usize),
    Finish(usize),
    Unloaded,
    GiveBack(usize),
    Measure(usize, u64),
    Wait(u64),
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let i = 0..NAMES.len();
    let op = prop_oneof![
        4 => i.clone().prop_map(Op::Demand),
        4 => i.clone().prop_map(Op::Finish),
        3 => Just(Op::Unloaded),
        3 => i.clone().prop_map(Op::GiveBack),
        1 => (i, 1..60u64).prop_map(|(i, mib)| Op::Measure(i, mib)),
        2 => (1u64..5_000).prop_map(Op::Wait),
    ];
    prop::collection::vec(op, 1..80)
}

/// The bytes of both accounts, added up from the specifications alone.
struct Naive {
    card_budget: u64,
    sizes: Vec<(u64, u64)>,
}

impl Naive {
    /// MiB on the card of everything that is loaded, loading or on its way out.
    fn on_card(&self, rig: &Rig) -> u64 {
        let books = |name: &str| {
            let state = rig.engine.state(rig.key(name));
            // Between its admission and its load a component is queued, and may not be reserved yet.
            state.is_alive()
        };
        let booking = NAMES.iter().zip(&self.sizes).filter(|(name, _)| books(name));
        booking.map(|(_, (_, card))| card).sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// The card is never overbooked, since its bytes are not measured; and a component is evicted for a demand only
    /// when one of its accounts is short.
    #[test]
    fn accounts_fit_and_victims_hold_what_is_short(
        sizes in prop::collection::vec((1u64..80, 0u64..80), NAMES.len()),
        (ram, card_budget) in (80u64..200, 80u64..160),
        ops in ops(),
    ) {
        let specs = NAMES.iter().zip(&sizes).map(|(n, (ram, card))| both(n, *ram, *card)).collect();
        let mut rig = rig(specs, ram, card_budget);
        let naive = Naive { card_budget, sizes };
        let mut leases = [0u32; NAMES.len()];
        let mut measured = false;
        let mut demands = vec![];
        for op in ops {
            let before = rig.states(&NAMES);
            let plain = |state: &&str| matches!(*state, "ready" | "unloaded");
            let waits = demands.iter().any(|w| rig.answered(*w) == "waits");
            let quiet = before.iter().all(plain) && !waits;
            let free_ram = rig.engine.budget().free().0 >> 20;
            let free_card = naive.card_budget - naive.on_card(&rig).min(naive.card_budget);
            match op {
                Op::Demand(i) => {
                    let w = rig.demand(&[NAMES[i]]);
                    demands.push(w);
                    leases[i] += u32::from(rig.answered(w) == "granted");
                    let evicted: Vec<usize> = (0..NAMES.len())
                        .filter(|v| before[*v] == "ready" && rig.state(NAMES[*v]) != "ready")
                        .collect();
                    let (need_ram, need_card) = naive.sizes[i];
                    let short = (need_ram > free_ram, need_card > free_card);
                    for v in evicted.into_iter().filter(|_| quiet && !measured) {
                        let (_, card) = naive.sizes[v];
                        prop_assert!(short.0 || (short.1 && card > 0), "{} for {}", NAMES[v], NAMES[i]);
                    }
                }
                Op::Finish(i) if rig.is_loading(NAMES[i]) => {
                    rig.loaded(NAMES[i]);
                    let cell = rig.cells.0.get(&rig.key(NAMES[i]));
                    leases[i] = cell.map_or(0, |cell| cell.leases);
                }
                Op::Finish(_) => {}
                Op::Unloaded => rig.settle_unloads(),
                Op::GiveBack(i) => {
                    let held = rig.cells.0.get(&rig.key(NAMES[i])).map_or(0, |cell| cell.leases);
                    if held > 0 {
                        rig.give_back(NAMES[i]);
                    }
                }
                Op::Measure(i, mib) => {
                    if rig.engine.state(rig.key(NAMES[i])) == ComponentState::Ready {
                        rig.measure(&[(NAMES[i], mib)]);
                        measured = true;
                    }
                }
                Op::Wait(ms) => rig.wait(std::time::Duration::from_millis(ms)),
            }
            let on_card = naive.on_card(&rig);
            prop_assert!(on_card <= naive.card_budget, "{on_card} of {}", naive.card_budget);
            prop_assert!(booked_on_card(&rig) <= naive.card_budget);
            prop_assert!(booked_on_card(&rig) >= on_card);
        }
    }
}
