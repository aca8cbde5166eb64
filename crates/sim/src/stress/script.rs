//! The actions of the outside world on a simulated manager, drawn from a seed before the run starts.
//!
//! A script does not depend on the engine's answers, so any part of it can be left out and the rest run
//! again, which makes a failing seed reducible. Components are named by number, since keys change
//! when a process restarts.

use std::time::Duration;

use majordomo_core::{HintSource, HintTier, Moment, PressureLevel, Priority};

use super::blueprint::N_SPARE;
use crate::rng::Rng;

/// A fault in the next load of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name of the other variant says it")]
pub enum LoadFault {
    /// Takes ten times as long.
    Slow,
    /// The loader returns an error.
    Fails,
    Panics,
    /// The load never ends by itself.
    Hangs,
    /// The component becomes ready and exits at once.
    DiesAtOnce,
}

/// A fault in the next unload of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopFault {
    /// Ignores the request to stop; ends when killed.
    Refuses,
    /// Ends neither on request nor when killed, until much later.
    Stuck,
}

/// A fault in the next park of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name of the other variants says it")]
pub enum ParkFault {
    Fails,
    /// The park never ends by itself.
    Hangs,
    /// Half of the memory stays.
    FreesLittle,
    /// The component ends while it is parked, or on its way there.
    Dies,
}

/// A fault in the next wake of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the name of the other variants says it")]
pub enum WakeFault {
    Fails,
    /// The wake never ends by itself.
    Hangs,
    /// Takes ten times as long.
    Slow,
    /// The component ends while it is woken.
    Dies,
}

/// A command of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Verb {
    Load,
    Unload,
    UnloadForce,
    Pin,
    Unpin,
    Trim,
    Park,
}

/// One action from outside.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names of the other fields say it")]
pub enum Action {
    /// A client requests components.
    Demand {
        components: Vec<usize>,
        priority: Option<Priority>,
        deadline: Option<Duration>,
        /// The client releases its leases after this long.
        hold: Duration,
        /// The client abandons an unanswered demand after this long.
        patience: Option<Duration>,
        /// The client keeps its leases although they are revoked.
        stubborn: bool,
        /// The client asks the engine even where a lease could be acquired without it.
        direct: bool,
        /// Nothing blocks the demand: it must be granted or refused with a reason, not reach its deadline.
        calm: bool,
    },
    /// Clients that hold leases on a component in turn, each acquiring its own before the previous one is released.
    Overlap {
        component: usize,
        /// Interval between two clients.
        every: Duration,
        n_clients: u32,
    },
    Hint {
        component: usize,
        /// Probability of its use, in percent.
        percent: u8,
        tier: HintTier,
        source: HintSource,
    },
    /// The use of a command is reported.
    Observed {
        /// The components used.
        components: Vec<usize>,
        /// The component that the text predicts next, and its probability in percent.
        next: Option<(usize, u8)>,
    },
    /// The wall clock is set to this many seconds.
    WallClock(i64),
    /// Whether the processor is busy from now on.
    Busy(bool),
    /// Whether the machine runs on battery from now on.
    Battery(bool),
    /// The learned sequence of uses is forgotten.
    Forget,
    /// The pressure level changes.
    Pressure(PressureLevel),
    /// A component uses this many percent of its usual memory from now on.
    Grow { component: usize, percent: u32 },
    /// A component requests a reservation that is larger by this many percent of its usual memory.
    More { component: usize, percent: u32 },
    /// Memory is measured, in percent of the budget.
    Measure {
        /// Memory of other programs.
        external: u8,
        /// Memory freed and not returned to the system.
        unreturned: u8,
    },
    /// An operator's command.
    Operator {
        component: usize,
        verb: Verb,
        /// The operator abandons an unanswered command after this long.
        patience: Option<Duration>,
    },
    /// A component's next load has a fault.
    LoadFault(usize, LoadFault),
    /// A component's next unload has a fault.
    StopFault(usize, StopFault),
    /// A component's next park has a fault.
    ParkFault(usize, ParkFault),
    /// A component's next wake has a fault.
    WakeFault(usize, WakeFault),
    /// Parked components may have this many percent of the budget in swap.
    SwapRoom(u8),
    /// Parks may write this many percent of the budget to swap from now on, or as much as fits.
    Writes(Option<u8>),
    /// A component exits by itself, if it is up or parked.
    Crash(usize),
    /// A component's next probes fail.
    Sick { component: usize, n_probes: u8 },
    /// The configuration changes, as drawn from this number.
    Configure(u64),
    /// The machine sleeps.
    Suspend(Duration),
    /// The process gets no processor time: everything due is late.
    Stall(Duration),
    /// So many in a thousand of the engine's calls to cells race with clients.
    Races(u16),
    /// The manager shuts down; then a new process starts.
    Shutdown {
        deadline: Duration,
        /// A second shutdown is requested after this long.
        again: Option<Duration>,
    },
    /// Faults end: pressure falls, other programs return memory, clients release their leases, nothing hangs.
    Calm,
    /// Enough time has passed since [`Action::Calm`]: no demand may be waiting.
    Quiet,
}

/// The script of a seed's day.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the name of the other field says it")]
pub struct Script {
    /// The seed, which also draws the world's reactions to the engine, such as the duration of a load.
    pub seed: u64,
    /// Number of components of the catalog.
    pub n_components: usize,
    /// In order of time.
    pub actions: Vec<(Moment, Action)>,
    pub end: Moment,
    /// Preloading is on or off all day, whatever the configurations say.
    pub preloading: Option<bool>,
    /// Rungs are offered: components may be parked.
    pub rungs: bool,
}

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

    /// The same day with rungs on offer, and with faults of parks and wakes among its actions.
    #[must_use]
    pub fn with_rungs(mut self) -> Self {
        let mut rng = Rng::new(&[self.seed, 6]);
        let mut actions = Vec::new();
        for (at, action) in self.actions {
            let component = match &action {
                Action::Demand { components, calm: false, .. } => components.first().copied(),
                _ => None,
            };
            actions.push((at, action));
            let Some(c) = component else { continue };
            if rng.chance(0.3) {
                actions.push((at, rung_fault(&mut rng, c)));
            } else if rng.chance(0.004) {
                actions.push((at, Action::SwapRoom(rng.below(120) as u8)));
            } else if rng.chance(0.004) {
                let percent = rng.chance(0.5).then(|| rng.below(150) as u8);
                actions.push((at, Action::Writes(percent)));
            } else if rng.chance(0.03) {
                let at = at + rng.millis(1, 5_000);
                let patience = rng.chance(0.2).then(|| rng.millis(1, 5_000));
                actions.push((at, Action::Operator { component: c, verb: Verb::Park, patience }));
            }
        }
        actions.sort_by_key(|(at, _)| *at);
        actions.retain(|(at, _)| *at < self.end);
        (self.actions, self.rungs) = (actions, true);
        self
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
        let Self { seed, n_components, end, preloading, rungs, .. } = *self;
        Self { seed, n_components, actions, end, preloading, rungs }
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

fn rung_fault(rng: &mut Rng, c: usize) -> Action {
    match rng.below(9) {
        0 => Action::ParkFault(c, ParkFault::Fails),
        1 => Action::ParkFault(c, ParkFault::Hangs),
        2 => Action::ParkFault(c, ParkFault::FreesLittle),
        3 | 4 => Action::ParkFault(c, ParkFault::Dies),
        5 => Action::WakeFault(c, WakeFault::Fails),
        6 => Action::WakeFault(c, WakeFault::Hangs),
        7 => Action::WakeFault(c, WakeFault::Slow),
        _ => Action::WakeFault(c, WakeFault::Dies),
    }
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
