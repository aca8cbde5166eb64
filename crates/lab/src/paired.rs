//! `majordomo-lab stress --simulated TIME --paired`: the same days with loading ahead and without it.
//!
//! Knows the bounds of what loading ahead may cost and the output; the days live in `majordomo-sim`.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::bail;
use majordomo_sim::stress::{self, Script, Waits};

/// The mean over the seeds of p99 with loading ahead over p99 without.
const MOST_MEAN: f64 = 1.0;
/// The same ratio for any one seed.
const MOST_WORST: f64 = 1.1;

/// What is compared.
pub(crate) struct Options {
    /// The length of a day.
    pub(crate) day: Duration,
    /// The first seed.
    pub(crate) first_seed: u64,
    /// How many.
    pub(crate) n_seeds: u64,
    /// Components of the catalog.
    pub(crate) n_components: usize,
}

struct Pair {
    seed: u64,
    on: Waits,
    off: Waits,
}

impl Pair {
    fn p99(&self) -> (f64, f64) {
        let ms = |w: &Waits| w.quantile(0.99).unwrap_or_default().as_secs_f64() * 1e3;
        (ms(&self.on), ms(&self.off))
    }

    /// p99 with loading ahead over p99 without; nobody waiting in either is 1.
    fn ratio(&self) -> f64 {
        match self.p99() {
            (on, off) if off > 0.0 => on / off,
            (on, _) if on > 0.0 => f64::INFINITY,
            _ => 1.0,
        }
    }
}

/// Runs the comparison.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    if options.n_seeds == 0 {
        bail!("--seeds 0 runs nothing; give at least 1");
    }
    let shown = std::io::stderr().is_terminal();
    let mut pairs = Vec::new();
    for seed in options.first_seed..options.first_seed.saturating_add(options.n_seeds) {
        if shown {
            eprint!("\r\x1b[Kseed {seed}");
        }
        let script = Script::seeded(seed, options.n_components, options.day);
        let waits = |preloading: bool| {
            let script = Script { preloading: Some(preloading), ..script.clone() };
            let outcome = stress::run(&script, false);
            match outcome.failure {
                None => Ok(outcome.waits),
                Some(f) => bail!(
                    "seed {seed} with loading ahead {} breaks an invariant: {} at {} in {}",
                    if preloading { "on" } else { "off" },
                    f.broken,
                    f.at,
                    f.input
                ),
            }
        };
        pairs.push(Pair { seed, on: waits(true)?, off: waits(false)? });
    }
    if shown {
        eprint!("\r\x1b[K");
    }
    report(options, &mut pairs)
}

fn report(options: &Options, pairs: &mut [Pair]) -> anyhow::Result<()> {
    let n = pairs.len() as f64;
    let mean_of = |of: &dyn Fn(&Pair) -> f64| pairs.iter().map(of).sum::<f64>() / n;
    let ratio = mean_of(&Pair::ratio);
    let (p99_on, p99_off) = (mean_of(&|p| p.p99().0), mean_of(&|p| p.p99().1));
    let ms = |t: Duration| t.as_secs_f64() * 1e3;
    let (mean_on, mean_off) = (mean_of(&|p| ms(p.on.mean())), mean_of(&|p| ms(p.off.mean())));
    let n_on: usize = pairs.iter().map(|p| p.on.demands.len()).sum();
    let n_off: usize = pairs.iter().map(|p| p.off.demands.len()).sum();
    println!(
        "{} paired seeds of {} s with {} components and faults: {n_on} demands answered with loading ahead on, {n_off} with it off",
        pairs.len(),
        options.day.as_secs(),
        options.n_components,
    );
    println!("{:<34} {:>12} {:>12} {:>7}", "wait of a demand, ms", "ahead: on", "off", "ratio");
    let row = |name: &str, on: f64, off: f64| {
        println!("{name:<34} {on:>12.1} {off:>12.1} {:>7.3}", on / off.max(1e-9));
    };
    row("mean, mean of seeds", mean_on, mean_off);
    row("p99, mean of seeds", p99_on, p99_off);
    println!("mean of the seeds' p99 ratios: {ratio:.3} (at most {MOST_MEAN})");
    pairs.sort_by(|a, b| b.ratio().total_cmp(&a.ratio()));
    println!("worst: {} (at most {MOST_WORST})", first_five(pairs.iter()));
    // As many as far on the other side: then it is the chance of single days.
    println!("best: {}", first_five(pairs.iter().rev()));
    let n_above = pairs.iter().filter(|p| p.ratio() > MOST_WORST).count();
    let n_below = pairs.iter().filter(|p| p.ratio() < 1.0 / MOST_WORST).count();
    println!("{n_above} seeds above {MOST_WORST}, {n_below} below 1/{MOST_WORST}");
    let most = |of: &dyn Fn(&Waits) -> Duration| pairs.iter().map(|p| of(&p.on)).max();
    let sum = |of: &dyn Fn(&Waits) -> u64| pairs.iter().map(|p| of(&p.on)).sum::<u64>();
    let n_beyond = sum(&|w| w.n_beyond_one_cancel);
    println!(
        "waited for a load ahead to stop: {} demands, the longest {:.0} ms (longest cancel {:.0} ms); {n_beyond} \
         waited longer than one cancel",
        sum(&|w| w.n_for_speculation),
        ms(most(&|w| w.longest_for_speculation).unwrap_or_default()),
        ms(most(&|w| w.longest_cancel).unwrap_or_default()),
    );
    if n_beyond > 0 {
        let seeds: Vec<_> =
            pairs.iter().filter(|p| p.on.n_beyond_one_cancel > 0).map(|p| p.seed).collect();
        println!("longer than one cancel in seeds {seeds:?}");
    }
    if ratio > MOST_MEAN || n_above > 0 || n_beyond > 0 {
        bail!(
            "loading ahead costs more than it may: mean ratio {ratio:.3}, {n_above} seeds above {MOST_WORST}, {n_beyond} \
             demands beyond one cancel"
        );
    }
    Ok(())
}

fn first_five<'a>(pairs: impl Iterator<Item = &'a Pair>) -> String {
    let five = pairs.take(5).map(|p| format!("seed {} {:.3}", p.seed, p.ratio()));
    five.collect::<Vec<_>>().join(", ")
}
