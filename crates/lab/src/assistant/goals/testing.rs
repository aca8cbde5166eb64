//! Runs and summaries for tests of goals and reports.

use super::super::columns::MIB;
use super::super::figures::Figures;
use super::super::ram::Ram;
use super::super::record::{Day, Measured, Tally};
use super::super::used::Used;
use super::*;
use crate::short::{Condition, SwapKind};

/// A run whose commands all wait as given.
pub(in crate::assistant) fn run(policy: Policy, seed: u64, waits: &[f64]) -> Run {
    let commands: Vec<Played> = waits
        .iter()
        .enumerate()
        .map(|(index, wait_ms)| Played {
            index,
            component: "chat".to_owned(),
            chosen: vec!["chat".to_owned()],
            wait_ms: *wait_ms,
            is_served: true,
            is_real: true,
            ..Played::default()
        })
        .collect();
    let day = Day {
        seed,
        source: "generated with seed 1".to_owned(),
        is_generated: true,
        n_history: 3,
        n_warm_up: 2,
        items: Default::default(),
        n_left_out: 0,
        n_long_pauses: 1,
    };
    Run {
        day,
        policy,
        budget: policy.is_bound().then_some(400 << 20),
        position: 0,
        load_average: [0.1, 0.2],
        busy_before: Some(0.1),
        seconds: 9.0,
        mean: 300e6,
        peak: 400 << 20,
        manager_mean: 9e6,
        manager_peak: 10 << 20,
        guard_mean: 1e6,
        used: Used::default(),
        tally: Tally::default(),
        rungs: Default::default(),
        ram: None,
        harm: None,
        n_warm_up_refused: 0,
        n_unloads_refused: 0,
        orphans: Vec::new(),
        n_samples: 36,
        sampling_s: 0.1,
        tried: Vec::new(),
        aside: Vec::new(),
        figures: Figures::new(&commands),
        commands,
    }
}

pub(in crate::assistant) fn summary(runs: Vec<Run>) -> Summary {
    let chat = Measured { pss: 1_000 << 20, load_ms: Some(900.0), first_answer_ms: None };
    Summary {
        date: "2026-11-30".to_owned(),
        machine: "2 processors".to_owned(),
        command: ["assistant", "day"].map(str::to_owned).into(),
        folder: "target/assistant".to_owned(),
        components: [("chat".to_owned(), chat)].into(),
        unused: Vec::new(),
        labels: Default::default(),
        commands_per_day: 4,
        n_taught: 7,
        n_rows_left_out: 0,
        compress: 60.0,
        longest_pause_s: 2.0,
        idle_timeout_s: 300.0,
        mean_pause_s: 0.7,
        sample_ms: 250.0,
        was_interrupted: false,
        condition: None,
        warm: None,
        took_s: 1_310.0,
        runs,
    }
}

pub(in crate::assistant) fn condition(swap: SwapKind) -> Condition {
    Condition {
        budget: 400 << 20,
        margin: 200 << 20,
        hog: None,
        gave: 0,
        swap,
        swap_areas: "some swap".to_owned(),
        all_loaded: 1_000 << 20,
        settle_s: 0.0,
        is_pressed: false,
    }
}

pub(in crate::assistant) fn counted(mut run: Run, mean: f64, peak: u64) -> Run {
    let ram = Ram {
        mean: mean * MIB,
        peak: peak << 20,
        zram_mean: 0.0,
        cache_mean: 9.0 * MIB,
        swapped_mean: 0.0,
        written: 1 << 30,
        n_killed: 0,
    };
    run.ram = Some(ram);
    run
}
