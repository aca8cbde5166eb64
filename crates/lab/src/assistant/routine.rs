//! A generated trace: a person's routines, with noise. The default where no recorded trace is
//! given.
//!
//! Invariant: the same seed gives the same uses. Routines are short sequences of components, one
//! tends to follow another, steps are left out, replaced or repeated, and single uses come in
//! between; so the next component can be predicted often and never always. Pauses are seconds
//! inside a routine and minutes between two, distributed about as those of people at a desktop:
//! half are of less than ten seconds, a tenth are of more than four minutes.

use std::time::Duration;

use majordomo_sim::Rng;

const ROUTINES: usize = 6;
/// How likely a routine is followed by the one that usually follows it.
const FOLLOWED: f64 = 0.55;
const LEFT_OUT: f64 = 0.08;
const REPLACED: f64 = 0.12;
const REPEATED: f64 = 0.1;
/// How likely a single use follows a routine.
const BETWEEN: f64 = 0.35;

/// One use: the place of a component, and the pause before it.
pub(super) type TimedUse = (usize, Duration);

/// A place in 0..n, the first ones most often.
fn popular(rng: &mut Rng, n: usize) -> usize {
    let weight = |k: usize| 1.0 / (k + 2) as f64;
    let mut left = rng.unit() * (0..n).map(weight).sum::<f64>();
    (0..n)
        .find(|k| {
            left -= weight(*k);
            left < 0.0
        })
        .unwrap_or(n.saturating_sub(1))
}

/// The first `n` uses of the person that a seed stands for.
pub(super) fn uses(n_components: usize, n: usize, seed: u64) -> Vec<TimedUse> {
    let mut rng = Rng::new(&[seed, 0xda11]);
    let routines: Vec<Vec<usize>> = (0..ROUTINES)
        .map(|_| (0..3 + rng.below(3)).map(|_| popular(&mut rng, n_components)).collect())
        .collect();
    let follower: Vec<usize> = (0..ROUTINES).map(|_| rng.below(ROUTINES)).collect();
    let mut out = Vec::with_capacity(n + 8);
    let mut routine = 0;
    while out.len() < n {
        routine = if rng.chance(FOLLOWED) { follower[routine] } else { rng.below(ROUTINES) };
        let mut pause = rng.millis(40_000, 2_400_000);
        for place in &routines[routine] {
            if rng.chance(LEFT_OUT) {
                continue;
            }
            let place = if rng.chance(REPLACED) { popular(&mut rng, n_components) } else { *place };
            for _ in 0..1 + usize::from(rng.chance(REPEATED)) {
                out.push((place, pause));
                pause = rng.millis(600, 25_000);
            }
        }
        if rng.chance(BETWEEN) {
            out.push((popular(&mut rng, n_components), rng.millis(10_000, 600_000)));
        }
    }
    out.truncate(n);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_uses_repeat_with_their_seed_and_name_every_popular_component() {
        let of = |seed| uses(5, 400, seed);
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert!(of(1).iter().all(|(place, pause)| *place < 5 && !pause.is_zero()));
        assert!(of(1).iter().any(|(place, _)| *place == 0));
    }

    #[test]
    fn generated_uses_are_not_periodic() {
        let places: Vec<usize> = uses(6, 300, 3).into_iter().map(|u| u.0).collect();
        for period in 1..60 {
            let same = places.iter().zip(&places[period..]).filter(|(a, b)| a == b).count();
            assert!(same * 10 < (300 - period) * 9, "period {period}: {same}");
        }
    }
}
