//! The days of a measurement, each with its steps, texts and questions, before the first server
//! starts.
//!
//! Traces take turns, then the users of each: as many seeds as traces play one day of each trace.

use std::time::Duration;

use anyhow::bail;
use majordomo_sim::Rng;
use majordomo_sim::replay::{Trace, UserTrace};

use super::args::DayArgs;
use super::folder::Folder;
use super::learn::SERVICE;
use super::pause::Pauses;
use super::player::{self, Script};
use super::record::Day;
use super::steps::{self, Size, Steps, Turn, UseStep};

/// A user with the name of the trace.
type NamedUser = (String, UserTrace);

/// A day with everything that its runs need.
pub(super) struct Prepared {
    pub(super) day: Day,
    /// The component of each place of the steps, by its number in the folder.
    pub(super) places: Vec<usize>,
    steps: Steps,
    pub(super) script: Script,
}

impl Prepared {
    /// The uses before the day that are learned from, and those that are played.
    pub(super) fn before(&self) -> (&[UseStep], &[UseStep]) {
        self.steps.before(self.day.n_warm_up)
    }

    /// The time that a run takes by plan.
    pub(super) fn planned(&self) -> Duration {
        let commands = self.script.lines.iter().map(|line| line.pause);
        let before = self.before().1.iter().map(|step| step.pause);
        commands.chain(before).map(|pause| pause.played + SERVICE).sum()
    }
}

/// The users whose days are played, in turn. A trace's users without uses enough for a day are left
/// out where it has others, unless they are named.
fn users(args: &DayArgs, components: &[String]) -> anyhow::Result<Vec<NamedUser>> {
    let mut traces = Vec::new();
    let mut known = Vec::new();
    for path in &args.traces {
        let trace = Trace::open(path)?;
        known.extend(trace.users.iter().map(|user| user.name.clone()));
        let name = trace.name;
        let mut users = trace.users;
        if !args.users.is_empty() {
            users.retain(|user| args.users.contains(&user.name));
        }
        let users = match args.users.is_empty() {
            true => with_enough(users, args.n_commands() + args.n_warm_up(), components),
            false => users,
        };
        traces.push(users.into_iter().map(|user| (name.clone(), user)).collect());
    }
    if let Some(unknown) = args.users.iter().find(|name| !known.contains(name)) {
        bail!("no trace has a user {unknown:?}; there are {}", known.join(", "));
    }
    Ok(in_turn(traces))
}

/// The users with at least `n` uses of components; where there is none, the one with the most.
fn with_enough(users: Vec<UserTrace>, n: usize, components: &[String]) -> Vec<UserTrace> {
    let n_uses: Vec<usize> = users.iter().map(|user| steps::n_uses(user, components)).collect();
    let most = n_uses.iter().copied().max().unwrap_or(0);
    let all = users.into_iter().zip(n_uses);
    let mut enough: Vec<(UserTrace, usize)> = all.filter(|(_, own)| *own >= n.min(most)).collect();
    if most < n {
        enough.truncate(1);
    }
    enough.into_iter().map(|(user, _)| user).collect()
}

/// The first of each list, then the second of each, and so on.
fn in_turn<T>(lists: Vec<Vec<T>>) -> Vec<T> {
    let mut lists: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
    let mut out = Vec::new();
    loop {
        let round: Vec<T> = lists.iter_mut().filter_map(Iterator::next).collect();
        if round.is_empty() {
            return out;
        }
        out.extend(round);
    }
}

/// The components in an order of the seed's own, CORE ones last: the k-th most used item of a trace stands for the k-th
/// of them, so that no measurement rests on one order.
fn in_order(folder: &Folder, usable: &[usize], seed: u64) -> Vec<usize> {
    let is_core = |place: &usize| folder.is_core(&folder.components[*place]);
    let (core, mut order): (Vec<usize>, Vec<usize>) = usable.iter().partition(|p| is_core(p));
    shuffle(&mut order, seed);
    order.extend(core);
    order
}

fn shuffle(order: &mut [usize], seed: u64) {
    let mut rng = Rng::new(&[seed, 0x0de7]);
    for i in (1..order.len()).rev() {
        order.swap(i, rng.below(i + 1));
    }
}

/// The days of all seeds.
pub(super) fn days(
    args: &DayArgs,
    folder: &Folder,
    usable: &[usize],
) -> anyhow::Result<Vec<Prepared>> {
    let names = |places: &[usize]| -> Vec<String> {
        places.iter().map(|p| folder.components[*p].clone()).collect()
    };
    let size = Size { n_commands: args.n_commands(), n_history: args.history as usize };
    let pauses = Pauses { compress: args.compress, longest: args.longest_pause() };
    let users = users(args, &names(usable))?;
    let n_users = users.len().max(1);
    let n_days = usize::try_from(args.seeds)?;
    let seeds = args.seed..args.seed.saturating_add(args.seeds);
    seeds
        .enumerate()
        .map(|(i, seed)| {
            let places = in_order(folder, usable, seed);
            let names = names(&places);
            let steps = match users.get(i % n_users) {
                Some((trace, user)) => {
                    let of = (n_days - i % n_users).div_ceil(n_users);
                    let turn = Turn { nth: i / n_users, of };
                    steps::of_user(trace, user, &names, size, pauses, seed, turn)?
                }
                None => steps::generated(names.len(), size, pauses, seed)?,
            };
            let day = Day {
                seed,
                source: steps.source.clone(),
                is_generated: steps.is_generated,
                n_history: steps.history.len(),
                n_warm_up: steps.before(args.n_warm_up()).1.len(),
                items: steps.items.clone(),
                n_left_out: steps.n_left_out,
                n_long_pauses: steps.n_long_pauses,
            };
            let hold = Duration::from_millis(args.hold);
            let script = player::script(folder, &steps.day, &places, seed, hold);
            Ok(Prepared { day, places, steps, script })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::path::Path;

    #[test]
    fn traces_take_turns_before_their_users() {
        assert_eq!(in_turn(vec![vec![1, 2, 3], vec![4], vec![5, 6]]), [1, 4, 5, 2, 6, 3]);
        assert!(in_turn::<u8>(Vec::new()).is_empty());
    }

    #[test]
    fn each_seed_has_an_order_of_components() {
        let of = |seed| {
            let mut order: Vec<usize> = (0..11).collect();
            shuffle(&mut order, seed);
            order
        };
        assert_eq!(of(1), of(1));
        assert!((2..8).all(|seed| of(seed) != of(1)));
        let mut sorted = of(1);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..11).collect::<Vec<_>>());
    }

    #[test]
    fn users_with_too_few_uses_are_left_out_where_others_have_enough() {
        let mut text = Vec::new();
        for (user, n) in [("a", 40), ("b", 90), ("c", 60), ("d", 70)] {
            for i in 0..n {
                writeln!(text, "{user}\t{}\t{}", 1_000 + i, ["x", "y"][i % 2]).unwrap();
            }
        }
        let of = |n| {
            let trace = Trace::read(Path::new("t"), &text[..]).unwrap();
            let users = with_enough(trace.users, n, &["x", "y"].map(str::to_owned));
            users.into_iter().map(|user| user.name).collect::<String>()
        };
        assert_eq!((of(40), of(65), of(91)), ("abcd".into(), "bd".into(), "b".into()));
    }
}
