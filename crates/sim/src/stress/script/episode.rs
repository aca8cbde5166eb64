//! Episodes: some minutes of one mood, each with a calm at its end.
//!
//! Knows no rung. Invariant: the draws of a seed do not depend on rungs.

use std::time::Duration;

use majordomo_core::{HintSource, HintTier, Moment, PressureLevel, Priority};

use super::{Action, LoadFault, Script, StopFault, Verb};
use crate::rng::Rng;
use crate::stress::blueprint::N_SPARE;

/// The rates of actions and faults in one episode.
struct Mood {
    rate: f64,
    faults: f64,
    operators: f64,
    pressure: f64,
    configure: f64,
    growth: f64,
    hints: f64,
    /// Share of commands that are the usual successor of the command before.
    habit: f64,
    width: usize,
}

impl Mood {
    fn seeded(rng: &mut Rng) -> Self {
        let mut some = |p: f64, most: f64| if rng.chance(p) { rng.unit() * most } else { 0.0 };
        Self {
            faults: some(0.6, 0.15),
            operators: some(0.4, 0.08),
            pressure: some(0.3, 0.06),
            configure: some(0.3, 0.04),
            growth: some(0.3, 0.08),
            hints: some(0.6, 0.3),
            habit: some(0.6, 1.0),
            rate: 0.5 + some(0.7, 5.0),
            width: 1 + (some(0.5, 3.0) as usize),
        }
    }
}

impl Script {
    /// Draws the script of a day.
    #[must_use]
    pub fn seeded(seed: u64, n_components: usize, simulated: Duration) -> Self {
        let mut rng = Rng::new(&[seed, 1]);
        let end = Moment::ZERO + simulated;
        let mut actions = Vec::new();
        let mut now = Moment::ZERO + Duration::from_secs(1);
        while now < end {
            now = episode(&mut rng, n_components, now, &mut actions);
        }
        actions.retain(|(at, _)| *at < end);
        // The report that follows a demand may come after the next demand.
        actions.sort_by_key(|(at, _)| *at);
        Self { seed, n_components, actions, end, preloading: None, rungs: false }
    }
}

/// From the first action to the end of the quiet time after it.
fn episode(rng: &mut Rng, n: usize, begin: Moment, actions: &mut Vec<(Moment, Action)>) -> Moment {
    let mood = Mood::seeded(rng);
    let end = begin + Duration::from_secs(rng.between(10, 90));
    // A few components are popular in this episode, so that demands compete.
    let favourites: Vec<usize> = (0..rng.between(3, 8)).map(|_| rng.below(n)).collect();
    if rng.chance(0.4) {
        actions.push((begin, Action::Races(rng.between(1, 60) as u16)));
    }
    let mut now = begin;
    let mut n_habitual = 0;
    while now < end {
        let gap = -(1.0 - rng.unit()).ln() / mood.rate;
        now += Duration::from_micros((gap * 1e6) as u64 + 1);
        if rng.chance(mood.habit) {
            // The same commands in the same order, reported as `Manager::command` does.
            let component = favourites[n_habitual % favourites.len()];
            n_habitual += 1;
            actions.push((now, demand(rng, n, &mood, &[component])));
            let used = vec![component];
            actions.push((
                now + rng.millis(1, 900),
                Action::Observed { components: used, next: None },
            ));
            continue;
        }
        let action = draw(rng, n, &mood, &favourites);
        actions.push((now, action));
        if rng.chance(0.15) {
            // Several actions at the same moment.
            for _ in 0..rng.between(1, 6) {
                actions.push((now, draw(rng, n, &mood, &favourites)));
            }
        }
    }
    if mood.faults > 0.0 && rng.chance(0.2) {
        now = breakdown(rng, favourites[0], now, actions);
    }
    if rng.chance(0.12) {
        let deadline = if rng.chance(0.3) { rng.millis(5, 100) } else { rng.millis(200, 12_000) };
        let again = rng.chance(0.3).then(|| rng.millis(1, 3_000));
        if rng.chance(0.3) {
            // In the middle of loads, while the process gets no time.
            let c = *rng.pick(&favourites);
            let fault = *rng.pick(&[LoadFault::Fails, LoadFault::DiesAtOnce, LoadFault::Slow]);
            actions.push((now, Action::LoadFault(c, fault)));
            actions.push((now, demand(rng, n, &mood, &[c])));
            let deadline = rng.millis(300, 6_000);
            actions.push((now, Action::Shutdown { deadline, again }));
            now += rng.millis(1, 50);
            actions.push((now, Action::Stall(deadline + rng.millis(1, 1_000))));
        } else {
            actions.push((now, Action::Shutdown { deadline, again }));
        }
        // Clients do not know of the shutdown yet.
        for _ in 0..rng.below(4) {
            now += rng.millis(1, 2_000);
            actions.push((now, draw(rng, n, &mood, &favourites)));
        }
        if rng.chance(0.5) {
            now += Duration::from_secs(20);
        }
    }
    actions.push((now, Action::Calm));
    now += Duration::from_secs(130);
    actions.push((now, Action::Quiet));
    for _ in 0..rng.below(4) {
        actions.push((now, calm_demand(rng, n)));
        now += Duration::from_secs(rng.between(1, 20));
    }
    now += Duration::from_secs(50);
    actions.push((now, Action::Quiet));
    now + rng.millis(1_000, 200_000)
}

/// A component that crashes again and again, as soon as its back-off lets it be loaded, until it is quarantined. The
/// machine sleeps now and then, after which every component is probed.
fn breakdown(
    rng: &mut Rng,
    component: usize,
    begin: Moment,
    actions: &mut Vec<(Moment, Action)>,
) -> Moment {
    let mut now = begin;
    for i in 0..7 {
        let demand = Action::Demand {
            components: vec![component],
            priority: None,
            deadline: None,
            hold: rng.millis(1, 2_000),
            patience: None,
            stubborn: false,
            direct: true,
            calm: false,
        };
        actions.push((now, demand));
        now += rng.millis(2_000, 6_000);
        if rng.chance(0.6) {
            actions.push((now, Action::Suspend(Duration::from_secs(rng.between(6, 60)))));
            now += rng.millis(5, 2_000);
        }
        actions.push((now, Action::Crash(component)));
        now += Duration::from_secs(1 << i.min(5)) + rng.millis(1, 500);
    }
    now
}

fn component(rng: &mut Rng, n: usize, favourites: &[usize]) -> usize {
    match rng.below(20) {
        0 => rng.below(n + N_SPARE),
        1..=5 => rng.below(n),
        _ => *rng.pick(favourites),
    }
}

fn calm_demand(rng: &mut Rng, n: usize) -> Action {
    Action::Demand {
        components: vec![rng.below(n)],
        priority: None,
        deadline: None,
        hold: Duration::ZERO,
        patience: None,
        stubborn: false,
        direct: false,
        calm: true,
    }
}

fn demand(rng: &mut Rng, n: usize, mood: &Mood, favourites: &[usize]) -> Action {
    let width = rng.between(1, mood.width as u64);
    let mut components: Vec<_> = (0..width).map(|_| component(rng, n, favourites)).collect();
    if rng.chance(0.02) {
        components.clear();
    }
    Action::Demand {
        components,
        priority: rng.chance(0.2).then(|| *rng.pick(Priority::ALL)),
        deadline: rng.chance(0.4).then(|| rng.millis(5, 20_000)),
        hold: if rng.chance(0.02) { Duration::from_secs(3_600) } else { rng.millis(1, 8_000) },
        patience: rng.chance(0.2).then(|| rng.millis(1, 5_000)),
        stubborn: rng.chance(0.1),
        direct: rng.chance(0.3),
        calm: false,
    }
}

fn draw(rng: &mut Rng, n: usize, mood: &Mood, favourites: &[usize]) -> Action {
    let mut left = rng.unit();
    let mut hits = |p: f64| {
        left -= p;
        left < 0.0
    };
    if hits(mood.faults) {
        return fault(rng, n, favourites);
    }
    if hits(mood.operators) {
        let verb = *rng.pick(&[
            Verb::Load,
            Verb::Load,
            Verb::Unload,
            Verb::Unload,
            Verb::UnloadForce,
            Verb::Pin,
            Verb::Unpin,
            Verb::Unpin,
            Verb::Trim,
        ]);
        let patience = rng.chance(0.2).then(|| rng.millis(1, 5_000));
        return Action::Operator { component: component(rng, n, favourites), verb, patience };
    }
    if hits(mood.pressure) {
        return Action::Pressure(*rng.pick(PressureLevel::ALL));
    }
    if hits(mood.configure) {
        return Action::Configure(rng.bits());
    }
    if hits(mood.growth) {
        let percent = rng.between(30, 300) as u32;
        return Action::Grow { component: component(rng, n, favourites), percent };
    }
    if hits(0.02 + mood.growth / 4.0) {
        let percent = rng.between(1, 80) as u32;
        return Action::More { component: component(rng, n, favourites), percent };
    }
    if hits(0.03 + mood.growth) {
        let mut share = |p: f64| if rng.chance(p) { rng.below(60) as u8 } else { 0 };
        return Action::Measure { external: share(0.2), unreturned: share(0.1) };
    }
    if hits(mood.hints) {
        let percent = rng.below(101) as u8;
        let tier = *rng.pick(&HintTier::ALL);
        let source = *rng.pick(&[HintSource::Application, HintSource::Trigger]);
        return Action::Hint { component: component(rng, n, favourites), percent, tier, source };
    }
    if hits(0.02) {
        let next = rng.chance(0.5).then(|| (component(rng, n, favourites), rng.below(101) as u8));
        return Action::Observed { components: vec![component(rng, n, favourites)], next };
    }
    if hits(0.01) {
        return match rng.below(6) {
            0 => Action::WallClock(rng.below(2_000_000_000) as i64),
            1 => Action::Forget,
            2 | 3 => Action::Busy(rng.chance(0.5)),
            _ => Action::Battery(rng.chance(0.5)),
        };
    }
    if hits(0.02) {
        return Action::Overlap {
            component: component(rng, n, favourites),
            every: rng.millis(20, 1_500),
            n_clients: rng.between(5, 40) as u32,
        };
    }
    demand(rng, n, mood, favourites)
}

fn fault(rng: &mut Rng, n: usize, favourites: &[usize]) -> Action {
    // Faults cluster: a component that failed once fails again.
    let c = if rng.chance(0.4) { favourites[0] } else { component(rng, n, favourites) };
    match rng.below(14) {
        0 | 1 => Action::LoadFault(c, LoadFault::Slow),
        2 => Action::LoadFault(c, LoadFault::Fails),
        3 => Action::LoadFault(c, LoadFault::Panics),
        4 => Action::LoadFault(c, LoadFault::Hangs),
        5 => Action::LoadFault(c, LoadFault::DiesAtOnce),
        6 => Action::StopFault(c, StopFault::Refuses),
        7 => Action::StopFault(c, StopFault::Stuck),
        8..=10 => Action::Crash(c),
        11 => Action::Sick { component: c, n_probes: rng.between(1, 5) as u8 },
        12 => Action::Suspend(Duration::from_secs(rng.between(6, 7_200))),
        _ => Action::Stall(rng.millis(10, 90_000)),
    }
}
