//! Whether a run passes: each rule with its bound, what was measured, and the answer.

use serde::Serialize;

use super::record::{Record, Row};
use super::stats::{Drawn, Point, Slope, slope};

/// A resource that may not grow. For memory the heap in use counts: resident memory holds besides what the
/// allocator keeps for later, which fills up over some ten minutes and then stays.
struct Resource {
    column: &'static str,
    name: &'static str,
    /// Growth an hour that is tolerated …
    per_hour: f64,
    /// … and growth over the measured time that is within the noise: a short run has a wider bound an hour.
    in_all: f64,
}

const KIB: f64 = 1024.0;

const RESOURCES: [Resource; 7] = [
    Resource {
        column: "heap_used",
        name: "heap in use",
        per_hour: 256.0 * KIB,
        in_all: 512.0 * KIB,
    },
    Resource {
        column: "rss",
        name: "resident memory",
        per_hour: 4096.0 * KIB,
        in_all: 65_536.0 * KIB,
    },
    Resource { column: "descriptors", name: "descriptors", per_hour: 0.5, in_all: 0.8 },
    Resource { column: "threads", name: "threads", per_hour: 0.5, in_all: 0.8 },
    Resource { column: "tasks", name: "tasks", per_hour: 0.5, in_all: 0.8 },
    Resource { column: "children", name: "children", per_hour: 0.5, in_all: 0.8 },
    Resource { column: "booked", name: "booked bytes", per_hour: 256.0 * KIB, in_all: 512.0 * KIB },
];

/// The rule that a run which was ended early may break.
pub(crate) const ENOUGH: &str = "enough was seen";

/// One rule.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) ok: bool,
    pub(crate) detail: String,
}

/// How a resource grew.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Growth {
    pub(crate) name: &'static str,
    pub(crate) column: &'static str,
    pub(crate) slope: Option<Slope>,
    pub(crate) bound_per_hour: f64,
    pub(crate) leaks: bool,
    /// In bytes; otherwise in pieces.
    pub(crate) bytes: bool,
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) passed: bool,
    pub(crate) measured_hours: f64,
    pub(crate) growth: Vec<Growth>,
    pub(crate) checks: Vec<Check>,
}

/// The detail of a check that only a process that has warmed up can pass.
const NOT_WARM: &str = "not judged: it was ended before it had warmed up";

/// The rows that are judged: nights of processes that have warmed up.
pub(crate) fn judged(rows: &[Row], warm_up_s: f64) -> Vec<&Row> {
    rows.iter().filter(|r| r.is_resting() && r.get("age_s") >= warm_up_s).collect()
}

/// Judges a run.
pub(crate) fn verdict(record: &Record, rows: &[Row], warm_up_s: f64) -> Verdict {
    let nights = judged(rows, warm_up_s);
    let measured_hours = hours(&nights);
    let growth: Vec<_> =
        RESOURCES.iter().map(|r| grown(r, &nights, measured_hours, record.seed)).collect();
    let mut checks = Vec::new();
    let mut check = |name: &str, ok: bool, detail: String| {
        checks.push(Check { name: name.to_owned(), ok, detail });
    };
    check(
        ENOUGH,
        nights.len() >= 3 && record.count("loads of programs") > 0,
        format!(
            "{} nights, {} loads of programs, {} of builtins",
            nights.len(),
            record.count("loads of programs"),
            record.count("loads of builtins")
        ),
    );
    for g in &growth {
        let detail = match &g.slope {
            Some(s) => {
                let (unit, name) = if g.bytes { (KIB, " KiB") } else { (1.0, "") };
                let of = |v: f64| format!("{:+.1}", v / unit).replace("-0.0", "+0.0");
                let (at, low, high) = (of(s.per_hour), of(s.low), of(s.high));
                let bound = g.bound_per_hour / unit;
                format!("{at}{name} an hour, 95 % interval {low} to {high}, bound {bound:.1}")
            }
            None => "too few nights".to_owned(),
        };
        check(&format!("{} does not grow", g.name), !g.leaks, detail);
    }
    check("invariants", record.n_violations == 0, format!("{} violations", record.n_violations));
    check("every waiter is answered", record.n_hung == 0, format!("{} hung", record.n_hung));
    if record.rungs {
        let (ok, detail) = parked_and_woken(record);
        check("components are parked and woken", ok, detail);
    }
    match record.endings.last() {
        None => check("it ends in order", false, "it was never asked to stop".to_owned()),
        Some(e) => {
            let ok = e.in_order && e.stuck.is_empty() && e.orphans == 0;
            let detail = format!("{} stuck, {} left behind", e.stuck.len(), e.orphans);
            check("it ends in order", ok, detail);
            let detail = format!("{} bytes booked, alive: {:?}", e.booked, e.not_unloaded);
            check(
                "everything unloaded, ledger 0",
                e.booked == 0 && e.not_unloaded.is_empty(),
                detail,
            );
            check("no children", e.end.children == 0, format!("{} at the end", e.end.children));
            for (name, start, end) in [
                ("descriptors are back", e.start.map(|l| l.descriptors), e.end.descriptors),
                ("tasks are back", e.start.map(|l| l.tasks), e.end.tasks),
            ] {
                let detail = start.map(|n| format!("{n} after warming up, {end} at the end"));
                let detail = detail.unwrap_or_else(|| NOT_WARM.to_owned());
                check(name, start.is_none_or(|n| end <= n), detail);
            }
        }
    }
    let passed = checks.iter().all(|c| c.ok);
    Verdict { passed, measured_hours, growth, checks }
}

/// Whether builtins slept, programs were parked where the machine has swap for that, and both were woken.
fn parked_and_woken(record: &Record) -> (bool, String) {
    let [asleep, paged, woken] =
        ["parks asleep", "parks in swap", "wakes"].map(|what| record.count(what));
    let (offers, swap) = match &record.swap {
        Some(Ok(means)) => (true, means.clone()),
        Some(Err(why_not)) => (false, format!("not offered, {why_not}")),
        None => (false, "never asked".to_owned()),
    };
    let ok = asleep > 0 && woken > 0 && (paged > 0 || !offers) && record.swap.is_some();
    (ok, format!("{asleep} asleep, {paged} in swap ({swap}), {woken} woken"))
}

/// The time that the rows span, each process by itself.
fn hours(nights: &[&Row]) -> f64 {
    nights
        .chunk_by(|a, b| a.get("epoch") == b.get("epoch"))
        .map(|chunk| chunk[chunk.len() - 1].get("at_s") - chunk[0].get("at_s"))
        .sum::<f64>()
        / 3_600.0
}

fn grown(resource: &Resource, nights: &[&Row], measured_hours: f64, seed: u64) -> Growth {
    let points: Vec<_> = nights
        .iter()
        .map(|r| Point {
            epoch: r.get("epoch") as u32,
            at: r.get("at_s") / 3_600.0,
            value: r.get(resource.column),
        })
        .collect();
    let bytes = resource.per_hour >= KIB;
    let drawn = if bytes { Drawn::Residuals } else { Drawn::Points };
    let slope = slope(&points, drawn, seed);
    let bound = resource.per_hour.max(resource.in_all / measured_hours.max(1e-6));
    let leaks = slope.is_some_and(|s| s.exceeds(bound));
    Growth {
        name: resource.name,
        column: resource.column,
        slope,
        bound_per_hour: bound,
        leaks,
        bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::plan::Profile;
    use crate::soak::record::Ending;
    use crate::soak::sample::{Levels, Sample};
    use majordomo_sim::Rng;
    use std::time::Duration;

    /// Nights as a run makes them: steady but for `leak`, which is called with the minute.
    fn rows(seed: u64, minutes: u32, leak: impl Fn(f64, &mut Levels)) -> Vec<Row> {
        let mut rng = Rng::new(&[seed]);
        (0..minutes * 6)
            .map(|i| {
                let at_s = f64::from(i) * 10.0;
                let mut levels = Levels {
                    rss: (30 << 20) + rng.between(0, 1 << 20),
                    heap_used: (6 << 20) + rng.between(0, 60_000),
                    descriptors: 21,
                    threads: 5 + rng.between(0, 1),
                    tasks: 14,
                    ..Levels::default()
                };
                leak(at_s / 60.0, &mut levels);
                let sample =
                    Sample { at_s, age_s: at_s, resting: true, levels, ..Sample::default() };
                Row::new(&sample)
            })
            .collect()
    }

    fn record() -> Record {
        let mut record = Record::new(Profile::Mixed, 1, Duration::from_secs(180));
        record.counters.insert("loads of programs".to_owned(), 9);
        let start = Some(Levels::default());
        record.endings.push(Ending { in_order: true, start, ..Ending::default() });
        record
    }

    #[test]
    fn a_steady_run_passes() {
        for seed in 0..4 {
            let v = verdict(&record(), &rows(seed, 3, |_, _| {}), 30.0);
            assert!(v.passed, "{seed}: {:#?}", v.checks);
        }
    }

    #[test]
    fn each_leak_is_found_and_called_by_its_name() {
        type Leak = fn(f64, &mut Levels);
        // Single units need more steps before most pairs show them; until then only the count at the end shows them.
        let leaks: [(&str, u32, Leak); 4] = [
            ("heap in use", 3, |min, l| l.heap_used += (min * 1024.0 * KIB) as u64),
            ("descriptors", 10, |min, l| l.descriptors += min as u64),
            ("tasks", 10, |min, l| l.tasks += min as u64),
            ("children", 10, |min, l| l.children += min as u64),
        ];
        for (name, minutes, leak) in leaks {
            for seed in 0..4 {
                let v = verdict(&record(), &rows(seed, minutes, leak), 30.0);
                let found: Vec<_> = v.growth.iter().filter(|g| g.leaks).map(|g| g.name).collect();
                assert_eq!(found, [name], "{seed}");
                assert!(!v.passed);
            }
        }
    }

    #[test]
    fn each_other_rule_can_fail() {
        let rows = rows(1, 3, |_, _| {});
        let failed = |change: fn(&mut Record)| {
            let mut record = record();
            change(&mut record);
            let v = verdict(&record, &rows, 30.0);
            let failed: Vec<_> = v.checks.into_iter().filter(|c| !c.ok).map(|c| c.name).collect();
            assert_eq!(v.passed, failed.is_empty());
            failed
        };
        assert_eq!(failed(|r| r.violation(1.0, "invariant 2: x")), ["invariants"]);
        assert_eq!(failed(|r| r.n_hung = 1), ["every waiter is answered"]);
        assert_eq!(failed(|r| r.endings.clear()), ["it ends in order"]);
        assert_eq!(failed(|r| r.endings[0].orphans = 1), ["it ends in order"]);
        assert_eq!(failed(|r| r.endings[0].booked = 1), ["everything unloaded, ledger 0"]);
        assert_eq!(failed(|r| r.endings[0].end.children = 1), ["no children"]);
        assert_eq!(failed(|r| r.endings[0].end.descriptors = 1), ["descriptors are back"]);
        assert_eq!(failed(|r| r.endings[0].end.tasks = 1), ["tasks are back"]);
        assert_eq!(failed(|r| r.counters.clear()), ["enough was seen"]);
        // Ended while it warmed up: there is nothing to compare the end with.
        let early = |r: &mut Record| {
            r.endings[0].start = None;
            r.endings[0].end.tasks = 1;
        };
        assert_eq!(failed(early), [] as [String; 0]);
        let v = verdict(&record(), &rows[..2], 0.0);
        assert!(!v.passed && v.checks[0].name == "enough was seen" && !v.checks[0].ok);
    }
}
