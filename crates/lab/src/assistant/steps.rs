//! The steps of a day: which component is needed, and after which pause; and the uses before that
//! day.
//!
//! From a recorded trace or a generated one. The k-th most used item of a user stands for the k-th
//! component, unless the item has a component's name; items beyond the number of components are
//! left out.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{bail, ensure};
use majordomo_sim::Rng;
use majordomo_sim::replay::UserTrace;

use super::pause::{Pause, Pauses};
use super::routine::{self, TimedUse};

/// One use: the place of a component, and the pause before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UseStep {
    pub(super) place: usize,
    pub(super) pause: Pause,
}

/// A day and the uses before it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Steps {
    /// Where they are from, in words.
    pub(super) source: String,
    /// Whether they are generated, not recorded.
    pub(super) is_generated: bool,
    pub(super) day: Vec<UseStep>,
    /// Uses of the same user before the day, pauses shortened alike.
    pub(super) history: Vec<UseStep>,
    /// The component of each item of the trace that has another name.
    pub(super) items: BTreeMap<String, String>,
    /// Uses that are of no component.
    pub(super) n_left_out: usize,
    /// Pauses of the day that are longer than the idle timeout in the trace.
    pub(super) n_long_pauses: usize,
}

impl Steps {
    /// The uses before the day: those that are only learned from, and at most `n` that are played,
    /// the last ones.
    pub(super) fn before(&self, n: usize) -> (&[UseStep], &[UseStep]) {
        self.history.split_at(self.history.len().saturating_sub(n))
    }
}

/// The size of a day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) n_commands: usize,
    /// At most so many uses before the day.
    pub(super) n_history: usize,
}

/// Which of several days of the same user: they do not overlap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// From 0.
    pub(super) nth: usize,
    pub(super) of: usize,
}

/// The place of the component of each item: items that have the name of a component, then by number
/// of uses.
pub(super) fn places(user: &UserTrace, components: &[String]) -> Vec<Option<usize>> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for event in &user.events {
        *counts.entry(event.item.index()).or_default() += 1;
    }
    let mut places: Vec<Option<usize>> =
        user.items.iter().map(|item| components.iter().position(|c| c == item)).collect();
    let mut unnamed: Vec<(usize, usize)> =
        counts.into_iter().filter(|(item, _)| places[*item].is_none()).collect();
    unnamed.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let named: Vec<usize> = places.iter().flatten().copied().collect();
    let free = (0..components.len()).filter(|place| !named.contains(place));
    for ((item, _), place) in unnamed.into_iter().zip(free) {
        places[item] = Some(place);
    }
    places
}

/// The component of each item that has another name.
fn stand_ins(user: &UserTrace, components: &[String]) -> BTreeMap<String, String> {
    let named = user.items.iter().zip(places(user, components));
    let named = named.filter_map(|(item, place)| Some((item, &components[place?])));
    named.filter(|(item, c)| *item != *c).map(|(i, c)| (i.clone(), c.clone())).collect()
}

/// The uses of a recorded user, and how many are of no component.
fn recorded(user: &UserTrace, components: &[String]) -> (Vec<TimedUse>, usize) {
    let places = places(user, components);
    let mut last = None;
    let mut out = Vec::new();
    for event in &user.events {
        if let Some(place) = places[event.item.index()] {
            let pause = event.at_us - last.unwrap_or(event.at_us);
            out.push((place, Duration::from_micros(pause)));
            // Repetitions are one use that lasts until the last of them.
            last = Some(event.until_us);
        }
    }
    let n_left_out = user.events.len() - out.len();
    (out, n_left_out)
}

/// How many uses of a recorded user are of a component.
pub(super) fn n_uses(user: &UserTrace, components: &[String]) -> usize {
    recorded(user, components).0.len()
}

/// A day of a recorded user: the seed chooses which, in the part of the trace that the turn has for
/// itself.
pub(super) fn of_user(
    trace: &str,
    user: &UserTrace,
    components: &[String],
    size: Size,
    pauses: Pauses,
    seed: u64,
    turn: Turn,
) -> anyhow::Result<Steps> {
    let (uses, n_left_out) = recorded(user, components);
    let n = size.n_commands;
    let n_days = turn.of.max(1);
    if uses.len() < n * n_days {
        bail!(
            "user {:?} of {trace} has {} uses of the {} components, too few for {}; give at most --commands-per-day {}, \
             other users, or fewer --seeds",
            user.name,
            uses.len(),
            components.len(),
            majordomo::count(n_days, "day"),
            uses.len() / n_days
        );
    }
    let earliest = size.n_history.min(uses.len() - n * n_days);
    let part = (uses.len() - earliest) / n_days;
    let begin = earliest + turn.nth.min(n_days - 1) * part;
    let mut rng = Rng::new(&[seed, 0x0da1]);
    let from = rng.between(begin as u64, (begin + part - n) as u64) as usize;
    let source = format!("{trace}, user {}, uses {from} to {}", user.name, from + n);
    let steps = cut(source, &uses, from, size, pauses, n_left_out);
    Ok(Steps { items: stand_ins(user, components), ..steps })
}

/// A generated day.
pub(super) fn generated(
    n_components: usize,
    size: Size,
    pauses: Pauses,
    seed: u64,
) -> anyhow::Result<Steps> {
    ensure!(n_components > 0, "there is no component to use");
    let uses = routine::uses(n_components, size.n_history + size.n_commands, seed);
    let source = format!("generated with seed {seed}");
    let steps = cut(source, &uses, size.n_history, size, pauses, 0);
    Ok(Steps { is_generated: true, ..steps })
}

fn cut(
    source: String,
    uses: &[TimedUse],
    from: usize,
    size: Size,
    pauses: Pauses,
    n_left_out: usize,
) -> Steps {
    let short = |uses: &[TimedUse]| -> Vec<UseStep> {
        let step = |(place, length): &TimedUse| {
            let pause = pauses.shorten(*length);
            UseStep { place: *place, pause }
        };
        uses.iter().map(step).collect()
    };
    let day = short(&uses[from..from + size.n_commands]);
    Steps {
        source,
        is_generated: false,
        items: BTreeMap::new(),
        n_long_pauses: day.iter().filter(|step| step.pause.is_long()).count(),
        day,
        history: short(&uses[from.saturating_sub(size.n_history)..from]),
        n_left_out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use majordomo_sim::replay::Trace;
    use std::io::Write as _;
    use std::path::Path;

    const ONLY: Turn = Turn { nth: 0, of: 1 };
    const PAUSES: Pauses = Pauses { compress: 10.0, longest: Duration::from_secs(2) };

    fn user(items: &[&str]) -> UserTrace {
        let mut text = Vec::new();
        for (i, item) in items.iter().enumerate() {
            writeln!(text, "me\t{}\t{item}", 1_000 + i * i / 2).unwrap();
        }
        Trace::read(Path::new("t"), &text[..]).unwrap().users.remove(0)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn items_are_components_by_name_and_else_by_frequency() {
        let cycle = ["often", "read", "often", "rare", "often", "read", "seldom", "often"];
        let items: Vec<&str> = cycle.iter().copied().cycle().take(60).collect();
        let user = user(&items);
        let places = places(&user, &names(&["chat", "read", "faces"]));
        let of = |item: &str| places[user.items.iter().position(|i| i == item).unwrap()];
        assert_eq!((of("read"), of("often")), (Some(1), Some(0)));
        let stand_ins = stand_ins(&user, &names(&["chat", "read", "faces"]));
        assert_eq!((stand_ins.len(), stand_ins["often"].as_str()), (2, "chat"));
        let (rare, seldom) = (of("rare"), of("seldom"));
        assert!([rare, seldom].contains(&Some(2)) && [rare, seldom].contains(&None));
    }

    #[test]
    fn every_pause_of_a_trace_is_shortened() {
        let items: Vec<&str> = ["a", "b"].into_iter().cycle().take(60).collect();
        let size = Size { n_commands: 10, n_history: 20 };
        let steps =
            of_user("t", &user(&items), &names(&["a", "b"]), size, PAUSES, 1, ONLY).unwrap();
        assert_eq!((steps.day.len(), steps.history.len()), (10, 20));
        let all = || steps.history.iter().chain(&steps.day);
        assert!(all().all(|step| step.pause == PAUSES.shorten(step.pause.length)));
        assert!(all().any(|step| step.pause.played == PAUSES.longest));
        assert!(all().any(|s| s.pause.played < PAUSES.longest && !s.pause.played.is_zero()));
    }

    #[test]
    fn generated_pauses_are_as_those_of_a_person_at_a_desktop() {
        let size = Size { n_commands: 2_000, n_history: 10 };
        let steps = generated(6, size, PAUSES, 1).unwrap();
        let mut lengths: Vec<f64> =
            steps.day.iter().map(|step| step.pause.length.as_secs_f64()).collect();
        lengths.sort_by(f64::total_cmp);
        let quantile = |share: f64| lengths[(share * lengths.len() as f64) as usize];
        // At least half and at most twice what was recorded.
        for (share, recorded) in [(0.1, 1.0), (0.5, 7.0), (0.75, 40.0), (0.9, 257.0)] {
            let ratio = quantile(share) / recorded;
            assert!((0.5..2.0).contains(&ratio), "{share}: {}", quantile(share));
        }
        assert!(steps.n_long_pauses > 100 && steps.n_long_pauses < 400, "{}", steps.n_long_pauses);
    }

    #[test]
    fn a_repeated_use_lasts_until_its_last_repetition() {
        let mut text = Vec::new();
        for i in 0..40 {
            let [a, b] = [1_000 + 1_000 * i, 1_200 + 1_000 * i];
            writeln!(text, "me\t{a}\tx\nme\t{b}\tx\nme\t{}\ty", b + 60).unwrap();
        }
        let user = Trace::read(Path::new("t"), &text[..]).unwrap().users.remove(0);
        let (uses, n_left_out) = recorded(&user, &names(&["x", "y"]));
        assert_eq!((uses.len(), n_left_out), (80, 0));
        let pauses: Vec<u64> = uses.iter().map(|(_, pause)| pause.as_secs()).collect();
        assert_eq!(pauses[..4], [0, 60, 740, 60]);
    }

    #[test]
    fn history_ends_where_the_day_begins() {
        let items: Vec<String> = (0..80).map(|i| format!("c{}", i % 7)).collect();
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        let components: Vec<String> = (0..7).map(|i| format!("c{i}")).collect();
        let size = Size { n_commands: 12, n_history: 30 };
        for seed in 0..6 {
            let steps = of_user("t", &user(&items), &components, size, PAUSES, seed, ONLY).unwrap();
            let all: Vec<usize> =
                steps.history.iter().chain(&steps.day).map(|step| step.place).collect();
            assert!(all.windows(2).all(|w| (w[0] + 1) % 7 == w[1]), "{all:?}");
            let (learned, played) = steps.before(5);
            assert_eq!((learned.len(), played), (25, &steps.history[25..]));
            assert_eq!(steps.before(99), (&[][..], &steps.history[..]));
        }
    }

    #[test]
    fn days_of_a_user_do_not_overlap() {
        let items: Vec<&str> = ["a", "b"].into_iter().cycle().take(100).collect();
        let user = user(&items);
        for n_history in [0, 30, 500] {
            let size = Size { n_commands: 20, n_history };
            let mut end = 0;
            for nth in 0..4 {
                let turn = Turn { nth, of: 4 };
                let day = of_user("t", &user, &names(&["a", "b"]), size, PAUSES, 7, turn).unwrap();
                let (from, to) =
                    day.source.rsplit_once("uses ").unwrap().1.split_once(" to ").unwrap();
                let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
                assert!(from >= end && to == from + 20 && to <= 100, "{}", day.source);
                end = to;
            }
        }
    }

    #[test]
    fn a_trace_that_is_too_short_names_the_longest_day() {
        let items: Vec<&str> = ["a", "b"].into_iter().cycle().take(40).collect();
        let size = Size { n_commands: 41, n_history: 0 };
        let error =
            of_user("t", &user(&items), &names(&["a", "b"]), size, PAUSES, 1, ONLY).unwrap_err();
        assert!(error.to_string().contains("--commands-per-day 40"), "{error}");
        let size = Size { n_commands: 21, n_history: 0 };
        let second = Turn { nth: 1, of: 2 };
        let error = of_user("t", &user(&items), &names(&["a", "b"]), size, PAUSES, 1, second);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("--commands-per-day 20") && error.contains("--seeds"), "{error}");
        let steps = generated(4, Size { n_commands: 9, n_history: 5 }, PAUSES, 1).unwrap();
        assert_eq!((steps.day.len(), steps.history.len()), (9, 5));
    }
}
