//! The checks of the short form: none of a time or a ratio.

use std::process::ExitCode;

use anyhow::ensure;
use majordomo::ByteSize;

use super::policy::Policy;
use super::record::Summary;

/// Fails where a run was wrong; `is_tight` if memory was short for all components of it.
pub(super) fn verdict(summary: &Summary, is_tight: bool) -> anyhow::Result<ExitCode> {
    for run in &summary.runs {
        let f = &run.figures;
        let wrong = run.commands.iter().find(|c| c.refusal.is_some() || !c.is_real);
        ensure!(
            f.n_refused == 0 && f.n_real == f.n_commands && f.n_commands > 0,
            "{}: {} of {} commands refused, {} answers real; first: {:?}",
            run.policy,
            f.n_refused,
            f.n_commands,
            f.n_real,
            wrong
        );
        ensure!(
            2 * f.n_exact >= f.n_new,
            "{}: the needed component alone was chosen for {} of {} new texts, fewer than half",
            run.policy,
            f.n_exact,
            f.n_new
        );
        ensure!(
            !is_tight || run.policy != Policy::Lru || run.tally.evictions > 0,
            "lru evicted nothing within {}, so that no refusal could occur",
            ByteSize(run.budget.unwrap_or(0))
        );
        ensure!(run.orphans.is_empty(), "{} left {} running", run.policy, run.orphans.join(", "));
    }
    ensure!(!summary.runs.is_empty(), "no policy was played");
    println!("no refusal, every answer real, no orphan");
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::super::figures::Figures;
    use super::super::goals::testing;
    use super::*;

    #[test]
    fn the_short_form_fails_where_nothing_is_chosen_or_evicted() {
        let good = testing::summary(vec![testing::run(Policy::Lru, 1, &[1.0; 9])]);
        let error = |summary: &Summary, is_tight| {
            verdict(summary, is_tight).map(|_| ()).map_err(|e| e.to_string()).unwrap_err()
        };
        assert!(verdict(&good, false).is_ok());
        assert!(error(&good, true).contains("evicted nothing"));
        let mut evicts = good.clone();
        evicts.runs[0].tally.evictions = 1;
        assert!(verdict(&evicts, true).is_ok());
        let run = &mut evicts.runs[0];
        run.commands.iter_mut().take(5).for_each(|c| c.chosen.clear());
        run.figures = Figures::new(&run.commands);
        assert!(error(&evicts, true).contains("4 of 9 new texts"), "{}", error(&evicts, true));
        assert!(error(&testing::summary(Vec::new()), false).contains("no policy"));
    }
}
