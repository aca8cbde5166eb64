//! What the outside world does to a simulated manager: drawn from a seed before the run starts.
//!
//! A script does not depend on what the engine answers, so any part of it can be left out and the rest run
//! again: that is what makes a failing seed reducible. Components are named by number, since keys change
//! when a process starts anew.

use std::time::Duration;

use majordomo_core::{HintSource, HintTier, Moment, PressureLevel, Priority};

use super::blueprint::N_SPARE;
use crate::rng::Rng;

/// How the next load of a component goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadFault {
    /// Takes ten times as long.
    Slow,
    /// The loader answers with an error.
    Fails,
    /// The loader panics.
    Panics,
    /// It never ends by itself.
    Hangs,
    /// It comes up and dies at once.
    DiesAtOnce,
}

/// How the next stop of a component goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopFault {
    /// Ignores requests; ends when killed.
    Refuses,
    /// Ends neither when asked nor when killed, until much later.
    Stuck,
}

/// What an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Load.
    Load,
    /// Unload.
    Unload,
    /// Unload with force.
    UnloadForce,
    /// Pin.
    Pin,
    /// Unpin.
    Unpin,
    /// Trim.
    Trim,
}

/// One thing that happens from outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A client wants components.
    Demand {
        /// Which.
        components: Vec<usize>,
        /// With this priority.
        priority: Option<Priority>,
        /// Within this time.
        deadline: Option<Duration>,
        /// And holds the leases for this long.
        hold: Duration,
        /// It leaves after this long if it has no answer.
        patience: Option<Duration>,
        /// It keeps its leases although they are revoked.
        stubborn: bool,
        /// It asks the engine even if a lease could be had without.
        direct: bool,
        /// Nothing is in its way: it must be granted or refused with a reason, not time out.
        calm: bool,
    },
    /// Clients who hold leases on a component in turn, each taking its own before the last gives his back.
    Overlap {
        /// The component.
        component: usize,
        /// A new one comes so often.
        every: Duration,
        /// How many come.
        n_clients: u32,
    },
    /// A hint.
    Hint {
        /// The component.
        component: usize,
        /// How likely its use is, in percent.
        percent: u8,
        /// How urgent it is.
        tier: HintTier,
        /// Who gives it.
        source: HintSource,
    },
    /// A command's use is reported.
    Observed {
        /// What it used.
        components: Vec<usize>,
        /// What its text says is next, and how surely, in percent.
        next: Option<(usize, u8)>,
    },
    /// The wall clock is set to this many seconds.
    WallClock(i64),
    /// The processor is busy, or no longer.
    Busy(bool),
    /// The machine runs on battery, or no longer.
    Battery(bool),
    /// What was learned of use is forgotten.
    Forget,
    /// The pressure level changes.
    Pressure(PressureLevel),
    /// A component uses this many percent of its usual memory from now on.
    Grow {
        /// The component.
        component: usize,
        /// Percent.
        percent: u32,
    },
    /// A component asks for a reservation that is larger by this many percent of its usual memory.
    More {
        /// The component.
        component: usize,
        /// Percent.
        percent: u32,
    },
    /// Memory is measured; other programs take this share of the budget, in percent.
    Measure {
        /// Of other programs.
        external: u8,
        /// Freed and not given back.
        unreturned: u8,
    },
    /// An operator's wish.
    Operator {
        /// The component.
        component: usize,
        /// The wish.
        verb: Verb,
        /// He leaves after this long if he has no answer.
        patience: Option<Duration>,
    },
    /// A component's next load goes wrong.
    LoadFault(usize, LoadFault),
    /// A component's next stop goes wrong.
    StopFault(usize, StopFault),
    /// A component ends by itself, if it is up.
    Crash(usize),
    /// A component's next probes fail.
    Sick {
        /// The component.
        component: usize,
        /// How many.
        n_probes: u8,
    },
    /// The configuration changes, as drawn from this number.
    Configure(u64),
    /// The machine sleeps.
    Suspend(Duration),
    /// The process gets no time: everything due is late.
    Stall(Duration),
    /// Clients race with the engine's questions to the cells, so many times in a thousand.
    Races(u16),
    /// Shutdown, perhaps asked for twice; then a new process starts.
    Shutdown {
        /// Within this time.
        deadline: Duration,
        /// Asked for again after this.
        again: Option<Duration>,
    },
    /// Faults end: pressure falls, others give memory back, leases are given back, nothing hangs any more.
    Calm,
    /// Enough time has passed since [`Action::Calm`]: nothing may be waiting.
    Quiet,
}

/// A seed's whole day.
#[derive(Clone, Debug)]
pub struct Script {
    /// The seed, which also draws what happens in reaction to the engine (how long loads take).
    pub seed: u64,
    /// Components of the catalog.
    pub n_components: usize,
    /// What happens when, in order of time.
    pub actions: Vec<(Moment, Action)>,
    /// When the day ends.
    pub end: Moment,
    /// Loading ahead is on or off all day, whatever the configurations say.
    pub preloading: Option<bool>,
}

/// How one episode is: how often what happens in it.
struct Mood {
    rate: f64,
    faults: f64,
    operators: f64,
    pressure: f64,
    configure: f64,
    growth: f64,
    hints: f64,
    /// How often the next command is the one that usually follows.
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
    /// Draws a day.
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
        // What follows a demand may come after the next one.
        actions.sort_by_key(|(at, _)| *at);
        Self { seed, n_components, actions, end, preloading: None }
    }

    /// The same script with only the first actions, up to a moment.
    #[must_use]
    pub fn until(&self, end: Moment) -> Self {
        let actions = self.actions.iter().filter(|a| a.0 <= end).cloned().collect();
        Self { actions, end, ..self.clone() }
    }

    /// The same script with other actions.
    #[must_use]
    pub fn with(&self, actions: Vec<(Moment, Action)>) -> Self {
        let Self { seed, n_components, end, preloading, .. } = *self;
        Self { seed, n_components, actions, end, preloading }
    }
}

/// From the first action to the end of the quiet time after it.
fn episode(rng: &mut Rng, n: usize, begin: Moment, actions: &mut Vec<(Moment, Action)>) -> Moment {
    let mood = Mood::seeded(rng);
    let end = begin + Duration::from_secs(rng.between(10, 90));
    // A few components are popular for the time being, so that demands meet.
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
            // The same commands in the same order, told of as `handle` does.
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
            // Several at one moment.
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
            // In the middle of loads, and with no time for the process just then.
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
        // Clients do not know yet.
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

/// A component that dies again and again, as soon as its back-off lets it be loaded, until it is quarantined. The
/// machine sleeps now and then, after which everything is probed.
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
    let mut falls = |p: f64| {
        left -= p;
        left < 0.0
    };
    if falls(mood.faults) {
        return fault(rng, n, favourites);
    }
    if falls(mood.operators) {
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
    if falls(mood.pressure) {
        return Action::Pressure(*rng.pick(PressureLevel::ALL));
    }
    if falls(mood.configure) {
        return Action::Configure(rng.bits());
    }
    if falls(mood.growth) {
        let percent = rng.between(30, 300) as u32;
        return Action::Grow { component: component(rng, n, favourites), percent };
    }
    if falls(0.02 + mood.growth / 4.0) {
        let percent = rng.between(1, 80) as u32;
        return Action::More { component: component(rng, n, favourites), percent };
    }
    if falls(0.03 + mood.growth) {
        let mut share = |p: f64| if rng.chance(p) { rng.below(60) as u8 } else { 0 };
        return Action::Measure { external: share(0.2), unreturned: share(0.1) };
    }
    if falls(mood.hints) {
        let percent = rng.below(101) as u8;
        let tier = *rng.pick(&HintTier::ALL);
        let source = *rng.pick(&[HintSource::Application, HintSource::Trigger]);
        return Action::Hint { component: component(rng, n, favourites), percent, tier, source };
    }
    if falls(0.02) {
        let next = rng.chance(0.5).then(|| (component(rng, n, favourites), rng.below(101) as u8));
        return Action::Observed { components: vec![component(rng, n, favourites)], next };
    }
    if falls(0.01) {
        return match rng.below(6) {
            0 => Action::WallClock(rng.below(2_000_000_000) as i64),
            1 => Action::Forget,
            2 | 3 => Action::Busy(rng.chance(0.5)),
            _ => Action::Battery(rng.chance(0.5)),
        };
    }
    if falls(0.02) {
        return Action::Overlap {
            component: component(rng, n, favourites),
            every: rng.millis(20, 1_500),
            n_clients: rng.between(5, 40) as u32,
        };
    }
    demand(rng, n, mood, favourites)
}

fn fault(rng: &mut Rng, n: usize, favourites: &[usize]) -> Action {
    // Faults like company: what failed once fails again.
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
