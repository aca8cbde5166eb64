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
        1 => i.prop_map(Op::Hint),
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
        for op in ops {
            if let Op::Abandon(n) = op {
                abandoned.push(n);
            }
            apply(&mut rig, op);
            let in_swap = rig.engine.budget().booked_in(Need::SWAP);
            prop_assert!(in_swap.0 >> 20 <= 200, "{} are in swap", in_swap);
        }
        // All steps and loads end, and leases are given back, until nothing moves.
        for _ in 0..40 {
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
        rig.wait(seconds(120.0));
        for n in 1..=rig.n_waiters() {
            let waits = rig.answered(WaiterId(n)) == "waits" && !abandoned.contains(&n);
            prop_assert!(!waits, "{} waits", n);
        }
        prop_assert_eq!(rig.engine.budget().audit(), Ok(()));
    }
}
