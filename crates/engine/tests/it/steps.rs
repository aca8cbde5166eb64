//! Random parks, wakes, faults and demands: every demand is answered, and no byte is lost.

use majordomo_core::WaiterId;
use majordomo_engine::{Input, Need};
use proptest::prelude::*;

use crate::rig::{Rig, id, seconds, spec, with};

/// `d` depends on `p`; `a` and `b` compete with them.
const NAMES: [&str; 4] = ["p", "d", "a", "b"];

#[derive(Clone, Copy, Debug)]
enum Op {
    Demand(usize),
    /// The step of a component under way ends, well or not.
    Step(usize, bool),
    Load(usize, bool),
    Unloaded(usize),
    Exit(usize),
    Abandon(u64),
    GiveBack(usize),
    Hint(usize),
    /// A command used it: values are known from then on.
    Observe(usize),
    /// It was measured, with so many MiB in memory and in swap.
    Measure(usize, u64, u64),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let i = 0..NAMES.len();
    prop_oneof![
        5 => i.clone().prop_map(Op::Demand),
        6 => (i.clone(), prop::bool::weighted(0.8)).prop_map(|(i, ok)| Op::Step(i, ok)),
        4 => (i.clone(), prop::bool::weighted(0.9)).prop_map(|(i, ok)| Op::Load(i, ok)),
        4 => i.clone().prop_map(Op::Unloaded),
        1 => i.clone().prop_map(Op::Exit),
        1 => (0u64..12).prop_map(Op::Abandon),
        5 => i.clone().prop_map(Op::GiveBack),
        1 => i.clone().prop_map(Op::Hint),
        2 => i.clone().prop_map(Op::Observe),
        2 => (i, 0u64..110, 0u64..110).prop_map(|(i, mib, swap)| Op::Measure(i, mib, swap)),
        2 => (1u64..2_000).prop_map(Op::Wait),
    ]
}

fn apply(rig: &mut Rig, op: Op) {
    match op {
        Op::Demand(i) => {
            rig.demand(&[NAMES[i]]);
        }
        Op::Step(i, ok) => {
            rig.end_step(NAMES[i], ok);
        }
        Op::Load(i, ok) if rig.is_loading(NAMES[i]) => rig.end_load(NAMES[i], ok),
        Op::Unloaded(i) if rig.is_stopping(NAMES[i]) => rig.unloaded(NAMES[i]),
        Op::Exit(i) if rig.may_exit(NAMES[i]) => rig.exits(NAMES[i]),
        Op::Abandon(n) => rig.input(Input::Abandon { waiter: WaiterId(n) }),
        Op::GiveBack(i) => {
            let leases = rig.cells.0.get(&rig.key(NAMES[i])).map_or(0, |cell| cell.leases);
            if leases > 0 {
                rig.give_back(NAMES[i]);
            }
        }
        Op::Hint(i) => rig.hint(rig.key(NAMES[i])),
        Op::Observe(i) => {
            let used = vec![rig.key(NAMES[i])];
            rig.input(Input::Observed { command: None, used, text_scores: Vec::new() });
        }
        Op::Measure(i, mib, swap) if rig.may_exit(NAMES[i]) => {
            rig.measure_with_swap(NAMES[i], mib, swap);
        }
        Op::Wait(ms) => rig.wait(std::time::Duration::from_millis(ms)),
        _ => {}
    }
}

proptest! {
    #[test]
    fn demands_are_answered_whatever_steps_do(ops in prop::collection::vec(op(), 1..80)) {
        let specs = NAMES.map(|name| {
            let spec = with(spec(name), |s| s.load_time = seconds(1.0));
            if name == "d" { with(spec, |s| s.dependencies = vec![id("p")]) } else { spec }
        });
        let mut rig = Rig::new(specs.into(), 260);
        rig.offer_paged(&NAMES, 200);
        let mut abandoned = Vec::new();
        let mut measured = false;
        for op in ops {
            if let Op::Abandon(n) = op {
                abandoned.push(n);
            }
            measured |= matches!(op, Op::Measure(..));
            apply(&mut rig, op);
            // Measured bytes may be more than the room.
            let in_swap = rig.engine.budget().booked_in(Need::SWAP);
            prop_assert!(measured || in_swap.0 >> 20 <= 200, "{} are in swap", in_swap);
        }
        let fresh: Vec<_> = NAMES.iter().map(|name| rig.demand(&[name])).collect();
        // All steps and loads end, and leases are given back, until nothing moves.
        for _ in 0..40 {
            // A component that thrashes is held for a moment.
            rig.wait(seconds(0.25));
            for (i, name) in NAMES.iter().enumerate() {
                let leases = |rig: &Rig| {
                    rig.cells.0.get(&rig.key(name)).map_or(0, |cell| cell.leases)
                };
                while leases(&rig) > 0 {
                    rig.give_back(name);
                }
                apply(&mut rig, Op::Step(i, true));
                apply(&mut rig, Op::Load(i, true));
                apply(&mut rig, Op::Unloaded(i));
            }
        }
        // Not by its deadline: by what the steps and loads led to.
        for n in 1..=rig.n_waiters() {
            let waits = rig.answered(WaiterId(n)) == "waits" && !abandoned.contains(&n);
            let states = rig.states(&NAMES);
            prop_assert!(!waits, "{} waits at {}: {:?}", n, rig.now, states);
        }
        for waiter in fresh {
            prop_assert_ne!(rig.answered(waiter), "deadline_exceeded");
        }
        rig.wait(seconds(120.0));
        prop_assert_eq!(rig.engine.budget().audit(), Ok(()));
    }
}
