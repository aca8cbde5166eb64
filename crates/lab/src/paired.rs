//! `majordomo-lab stress --simulated TIME --paired`: the same days with preloading and without it.
//!
//! Compared are the waits of the same demands: of those that have one in both days. A demand that one day refuses at
//! once and the other takes in would count on one side only, and a day that refuses more would look faster.
//!
//! Knows the bounds of the cost of preloading, and the output; the days live in `majordomo-sim`.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{anyhow, bail};
use majordomo_sim::stress::{self, Outcome, Script, Waits};

/// The mean over the seeds of p99 with preloading over p99 without.
const MOST_MEAN: f64 = 1.0;
/// The same ratio for any one seed.
const MOST_WORST: f64 = 1.1;

/// The days to compare.
pub(crate) struct Options {
    /// The length of a day.
    pub(crate) day: Duration,
    pub(crate) first_seed: u64,
    pub(crate) n_seeds: u64,
    /// Components of the catalog.
    pub(crate) n_components: usize,
}

/// One day with preloading on or off.
struct Day {
    /// Of all demands with a wait, whether they have one in the other day or not.
    p99_of_all_ms: f64,
    /// Demands that have a wait here and not in the other day.
    n_only_here: usize,
    /// Demands that were refused for another reason than their deadline.
    n_refused: u64,
    mean_ms: f64,
    p99_ms: f64,
}

impl Day {
    fn new(outcome: Outcome, other: &Waits) -> (Self, Waits) {
        let ms = |t: Duration| t.as_secs_f64() * 1e3;
        let p99_ms = |waits: &Waits| ms(waits.quantile(0.99).unwrap_or_default());
        let Outcome { mut waits, counts, .. } = outcome;
        let (n_all, p99_of_all_ms) = (waits.demands.len(), p99_ms(&waits));
        waits.retain_common(other);
        let day = Self {
            p99_of_all_ms,
            n_only_here: n_all - waits.demands.len(),
            n_refused: counts.n_refused_early(),
            mean_ms: ms(waits.mean()),
            p99_ms: p99_ms(&waits),
        };
        (day, waits)
    }
}

/// A seed's two days.
struct Pair {
    seed: u64,
    n_demands: usize,
    on: Day,
    off: Day,
    /// Of the day with preloading, without its demands.
    for_speculation: Waits,
}

impl Pair {
    fn new(seed: u64, on: Outcome, off: Outcome) -> Self {
        let waits_on = on.waits.clone();
        let (on, common) = Day::new(on, &off.waits);
        let (off, _) = Day::new(off, &waits_on);
        let n_demands = common.demands.len();
        let for_speculation = Waits { demands: Default::default(), ..common };
        Self { seed, n_demands, on, off, for_speculation }
    }

    /// p99 with preloading over p99 without; 1 if no demand waits in either.
    fn ratio(&self) -> f64 {
        ratio(self.on.p99_ms, self.off.p99_ms)
    }
}

fn ratio(on: f64, off: f64) -> f64 {
    match off {
        0.0 if on > 0.0 => f64::INFINITY,
        0.0 => 1.0,
        _ => on / off,
    }
}

/// Runs the comparison, as many seeds at once as there are processors.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.n_seeds == 0 {
        bail!("--seeds 0 runs nothing; give at least 1");
    }
    let shown = std::io::stderr().is_terminal();
    let n_seeds = options.n_seeds.min(u64::MAX - options.first_seed);
    let next = AtomicU64::new(0);
    let done = Mutex::new(Ok(Vec::new()));
    let work = || {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= n_seeds {
                return;
            }
            let pair = pair(options, options.first_seed + i);
            let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            match (pair, &mut *done) {
                (Ok(pair), Ok(pairs)) => pairs.push(pair),
                (Err(error), Ok(_)) => {
                    *done = Err(error);
                    return;
                }
                (_, Err(_)) => return,
            }
            if let Ok(pairs) = &*done
                && shown
            {
                eprint!("\r\x1b[K{} of {n_seeds} seeds", pairs.len());
            }
        }
    };
    let n_workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|s| (0..n_workers).for_each(|_| drop(s.spawn(work))));
    if shown {
        eprint!("\r\x1b[K");
    }
    let mut pairs = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)?;
    pairs.sort_by_key(|p| p.seed);
    if pairs.iter().all(|p| p.n_demands == 0) {
        bail!("no demand is answered in days of {} s; give longer ones", options.day.as_secs_f64());
    }
    report(options, &mut pairs)
}

fn pair(options: &Options, seed: u64) -> anyhow::Result<Pair> {
    let script = Script::seeded(seed, options.n_components, options.day);
    let day = |preloading: bool| {
        let script = Script { preloading: Some(preloading), ..script.clone() };
        let outcome = stress::run(&script, false);
        match &outcome.failure {
            None => Ok(outcome),
            Some(f) => Err(anyhow!(
                "seed {seed} with preloading {} breaks an invariant: {} at {} in {}",
                if preloading { "on" } else { "off" },
                f.broken,
                f.at,
                f.input
            )),
        }
    };
    Ok(Pair::new(seed, day(true)?, day(false)?))
}

fn report(options: &Options, pairs: &mut [Pair]) -> anyhow::Result<()> {
    let n = pairs.len() as f64;
    let mean_of = |of: &dyn Fn(&Pair) -> f64| pairs.iter().map(of).sum::<f64>() / n;
    let mean_ratio = mean_of(&Pair::ratio);
    let count = |of: &dyn Fn(&Pair) -> usize| pairs.iter().map(of).sum::<usize>();
    println!(
        "{} paired seeds of {} s with {} components and faults: {} demands have a wait in both days; {} only with \
         preloading on, {} only with it off",
        pairs.len(),
        options.day.as_secs(),
        options.n_components,
        count(&|p| p.n_demands),
        count(&|p| p.on.n_only_here),
        count(&|p| p.off.n_only_here),
    );
    let refused = |of: &dyn Fn(&Pair) -> u64| pairs.iter().map(of).sum::<u64>();
    println!(
        "refused for another reason than their deadline: {} with preloading on, {} with it off",
        refused(&|p| p.on.n_refused),
        refused(&|p| p.off.n_refused),
    );
    println!("{:<34} {:>12} {:>12} {:>7}", "wait of a demand, ms", "preloading", "off", "ratio");
    let row = |name: &str, on: f64, off: f64| {
        println!("{name:<34} {on:>12.1} {off:>12.1} {:>7.3}", on / off.max(1e-9));
    };
    row("mean, mean of seeds", mean_of(&|p| p.on.mean_ms), mean_of(&|p| p.off.mean_ms));
    row("p99, mean of seeds", mean_of(&|p| p.on.p99_ms), mean_of(&|p| p.off.p99_ms));
    let variance = mean_of(&|p| (p.ratio() - mean_ratio).powi(2));
    println!(
        "mean of the seeds' p99 ratios: {mean_ratio:.4} (at most {MOST_MEAN}), standard error {:.4}; of all demands' p99: {:.4}",
        (variance / n).sqrt(),
        mean_of(&|p| ratio(p.on.p99_of_all_ms, p.off.p99_of_all_ms)),
    );
    pairs.sort_by(|a, b| b.ratio().total_cmp(&a.ratio()));
    println!("worst: {} (at most {MOST_WORST})", first_five(pairs.iter()));
    // As many as far on the other side: then it is the chance of single days.
    println!("best: {}", first_five(pairs.iter().rev()));
    let n_above = pairs.iter().filter(|p| p.ratio() > MOST_WORST).count();
    let n_below = pairs.iter().filter(|p| p.ratio() < 1.0 / MOST_WORST).count();
    println!("{n_above} seeds above {MOST_WORST}, {n_below} below 1/{MOST_WORST}");
    let ms = |t: Duration| t.as_secs_f64() * 1e3;
    let most = |of: &dyn Fn(&Waits) -> Duration| pairs.iter().map(|p| of(&p.for_speculation)).max();
    let sum =
        |of: &dyn Fn(&Waits) -> u64| pairs.iter().map(|p| of(&p.for_speculation)).sum::<u64>();
    let n_beyond = sum(&|w| w.n_beyond_one_cancel);
    println!(
        "waited for a preload to stop: {} demands, the longest {:.0} ms (longest cancel {:.0} ms); {n_beyond} \
         waited longer than one cancel",
        sum(&|w| w.n_for_speculation),
        ms(most(&|w| w.longest_for_speculation).unwrap_or_default()),
        ms(most(&|w| w.longest_cancel).unwrap_or_default()),
    );
    if n_beyond > 0 {
        let seeds: Vec<_> = pairs
            .iter()
            .filter(|p| p.for_speculation.n_beyond_one_cancel > 0)
            .map(|p| p.seed)
            .collect();
        println!("longer than one cancel in seeds {seeds:?}");
    }
    if mean_ratio > MOST_MEAN || n_above > 0 || n_beyond > 0 {
        bail!(
            "preloading costs more than it may: mean ratio {mean_ratio:.4}, {n_above} seeds above {MOST_WORST}, {n_beyond} \
             demands beyond one cancel"
        );
    }
    Ok(())
}

fn first_five<'a>(pairs: impl Iterator<Item = &'a Pair>) -> String {
    let five = pairs.take(5).map(|p| format!("seed {} {:.3}", p.seed, p.ratio()));
    five.collect::<Vec<_>>().join(", ")
}
