//! Stop deadlines against the time of a shutdown.

use std::time::Duration;

use majordomo_core::ComponentKey;

use super::sections::Draft;
use super::source::Report;
use crate::Catalog;
use crate::problem::Severity;

/// Stop deadlines that a shutdown has no time for. Dependents stop before what they depend on, so their times add
/// up; a chain counts only where one of its members states a deadline, since most programs stop at once.
pub(super) fn check(reports: &mut [Report<'_>], draft: &Draft<'_>, catalog: &Catalog) {
    let deadlines = &draft.config.deadlines;
    let show = humantime::format_duration;
    // By component: the longest way from something that nothing depends on, and the dependent on it.
    let mut spent: Vec<(Duration, bool, Option<ComponentKey>)> =
        vec![(Duration::ZERO, false, None); catalog.len()];
    let mut order: Vec<_> = catalog.keys().collect();
    order.sort_unstable_by_key(|k| std::cmp::Reverse(catalog.rank(*k)));
    let mut longest: Option<ComponentKey> = None;
    for key in order {
        let Some(spec) = catalog.spec(key) else { continue };
        let own = spec.stop_deadline.unwrap_or(deadlines.stop);
        let last = catalog.dependents(key).iter().copied().max_by_key(|d| (spent[d.index()].0, *d));
        let (before, stated) = last.map_or((Duration::ZERO, false), |d| {
            let (time, stated, _) = spent[d.index()];
            (time, stated)
        });
        let stated = stated || spec.stop_deadline.is_some();
        spent[key.index()] = (before + own, stated, last);
        let over = |k: ComponentKey| spent[k.index()].0;
        if stated
            && before + own > deadlines.shutdown
            && longest.is_none_or(|l| over(l) < before + own)
        {
            longest = Some(key);
        }
        if spec.stop_deadline.is_some() && own > deadlines.shutdown {
            let Some(declared) = draft.components.get(key.index()) else { continue };
            let span = declared.keys.get("stop_deadline");
            let span = span.map_or(declared.name_span, |m| &m.node.span);
            let message = format!(
                "component \"{}\" may take {} to stop, longer than shutdown_deadline, which is {}: a shutdown kills it before",
                spec.id,
                show(own),
                show(deadlines.shutdown)
            );
            let help = format!("raise shutdown_deadline to more than {}", show(own));
            let report = &mut reports[declared.file];
            report.add(Severity::Warning, "stop-deadline", span, message, Some(help));
        }
    }
    let Some(last) = longest else { return };
    let (total, _, _) = spent[last.index()];
    let mut chain = vec![last];
    while let Some(before) = chain.last().and_then(|k| spent[k.index()].2) {
        chain.push(before);
    }
    // A component whose own deadline is too long was reported.
    let alone = |key: &ComponentKey| {
        let stop = catalog.spec(*key).and_then(|s| s.stop_deadline);
        stop.is_some_and(|own| own > deadlines.shutdown)
    };
    let Some(declared) = draft.components.get(last.index()).filter(|_| !chain.iter().any(alone))
    else {
        return;
    };
    let names: Vec<_> = chain.iter().rev().map(|k| catalog.id(*k).as_str()).collect();
    let message = format!(
        "components that stop one after another ({}) may take {}, longer than shutdown_deadline, which is {}: a shutdown kills the last of them",
        names.join(", "),
        show(total),
        show(deadlines.shutdown)
    );
    let help = format!("raise shutdown_deadline to more than {}", show(total));
    let (file, span) = (declared.file, declared.name_span);
    reports[file].add(Severity::Warning, "stop-deadline", span, message, Some(help));
}
