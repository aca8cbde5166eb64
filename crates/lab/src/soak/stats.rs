//! Is a resource growing? The Theil-Sen slope with a moving-block bootstrap interval.
//!
//! Theil (1950), Sen (1968): the median of the slopes between all pairs of points, which neither outliers nor a few
//! steps can carry away. Künsch (1989): blocks of neighbours are drawn together, so that a resource that wanders slowly
//! is not taken for one that is measured precisely. Of bytes the residuals of the line that was found are drawn and put
//! back at the times that were measured: with few points, drawn times would make most of the interval. Of pieces the
//! points themselves are drawn: they go in steps, and off a line through steps there is no noise to draw from. Points of
//! different processes (a manager that was killed and started again) are never paired.

use std::collections::BTreeMap;

use majordomo_sim::Rng;

/// Resamples for the interval.
const N_RESAMPLES: usize = 400;
/// More points are first reduced to medians of neighbours: the pairs grow with the square.
const MAX_POINTS: usize = 160;

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// Which process was measured.
    pub(crate) epoch: u32,
    /// When, in hours.
    pub(crate) at: f64,
    /// What.
    pub(crate) value: f64,
}

/// Growth an hour, with the interval that holds it in 95 of 100 cases.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(crate) struct Slope {
    pub(crate) per_hour: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) n_points: usize,
}

impl Slope {
    /// Whether the interval is above zero and the slope above what is tolerated.
    pub(crate) fn exceeds(&self, bound_per_hour: f64) -> bool {
        self.low > 0.0 && self.per_hour > bound_per_hour
    }
}

/// The resampled values of the interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drawn {
    /// Points with their times: of pieces.
    Points,
    /// Distances from the line, at the measured times: of bytes.
    Residuals,
}

/// The slope; none below three points of one epoch, or when all have the same time.
pub(crate) fn slope(points: &[Point], drawn: Drawn, seed: u64) -> Option<Slope> {
    let mut epochs: BTreeMap<u32, Vec<Point>> = BTreeMap::new();
    points.iter().for_each(|p| epochs.entry(p.epoch).or_default().push(*p));
    epochs.retain(|_, points| points.len() >= 3);
    let n_points: usize = epochs.values().map(Vec::len).sum();
    let group = n_points.div_ceil(MAX_POINTS);
    let epochs: Vec<Vec<Point>> =
        epochs.into_values().map(|points| reduced(points, group)).collect();
    let per_hour = theil_sen(&epochs)?;
    let still = |points: &Vec<Point>| points.iter().all(|p| p.value == points[0].value);
    if epochs.iter().all(still) {
        return Some(Slope { per_hour: 0.0, low: 0.0, high: 0.0, n_points });
    }

    let mut rng = Rng::new(&[seed, n_points as u64]);
    let mut resample = |points: &Vec<Point>| match drawn {
        Drawn::Points => blocks(points, &mut rng),
        Drawn::Residuals => {
            let off = blocks(&off_line(points, per_hour), &mut rng);
            let on_line = |(p, off): (&Point, f64)| Point { value: per_hour * p.at + off, ..*p };
            points.iter().zip(off).map(on_line).collect()
        }
    };
    let mut drawn: Vec<f64> = (0..N_RESAMPLES)
        .filter_map(|_| theil_sen(&epochs.iter().map(&mut resample).collect::<Vec<_>>()))
        .collect();
    drawn.sort_by(f64::total_cmp);
    let at = |share: f64| drawn.get((drawn.len() as f64 * share) as usize).copied();
    let (low, high) = (at(0.025).unwrap_or(per_hour), at(0.975).unwrap_or(per_hour));
    Some(Slope { per_hour, low: low.min(per_hour), high: high.max(per_hour), n_points })
}

fn median(values: &mut [f64]) -> Option<f64> {
    let (n, middle) = (values.len(), values.len() / 2);
    if n == 0 {
        return None;
    }
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    let lower = below.iter().copied().max_by(f64::total_cmp).filter(|_| n.is_multiple_of(2));
    Some(lower.map_or(upper, |lower| lower.midpoint(upper)))
}

/// Medians of `group` neighbours.
fn reduced(points: Vec<Point>, group: usize) -> Vec<Point> {
    if group <= 1 {
        return points;
    }
    let of = |chunk: &[Point], get: fn(&Point) -> f64| {
        median(&mut chunk.iter().map(get).collect::<Vec<_>>()).unwrap_or_default()
    };
    let chunks = points.chunks(group);
    chunks
        .map(|c| Point { epoch: c[0].epoch, at: of(c, |p| p.at), value: of(c, |p| p.value) })
        .collect()
}

fn theil_sen(epochs: &[Vec<Point>]) -> Option<f64> {
    let mut slopes = Vec::new();
    for points in epochs {
        for (i, a) in points.iter().enumerate() {
            for b in &points[i + 1..] {
                let apart = b.at - a.at;
                if apart != 0.0 {
                    slopes.push((b.value - a.value) / apart);
                }
            }
        }
    }
    median(&mut slopes)
}

/// By how much each point is off the line of this slope through their median.
fn off_line(points: &[Point], per_hour: f64) -> Vec<f64> {
    let mut at_zero: Vec<_> = points.iter().map(|p| p.value - per_hour * p.at).collect();
    let middle = median(&mut at_zero.clone()).unwrap_or_default();
    at_zero.iter_mut().for_each(|off| *off -= middle);
    at_zero
}

/// As many values as there are, drawn in runs of neighbours.
fn blocks<T: Copy>(values: &[T], rng: &mut Rng) -> Vec<T> {
    let length = (values.len() as f64).cbrt().round().max(1.0) as usize;
    let mut drawn = Vec::with_capacity(values.len() + length);
    while drawn.len() < values.len() {
        let start = rng.below(values.len() - length + 1);
        drawn.extend_from_slice(&values[start..start + length]);
    }
    drawn.truncate(values.len());
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(n: usize, hours: f64, value: impl FnMut(f64) -> f64) -> Vec<Point> {
        let mut value = value;
        (0..n)
            .map(|i| {
                let at = hours * i as f64 / n as f64;
                Point { epoch: 0, at, value: value(at) }
            })
            .collect()
    }

    fn noise(seed: u64, size: f64) -> impl FnMut() -> f64 {
        let mut rng = Rng::new(&[seed]);
        move || (rng.unit() + rng.unit() + rng.unit() - 1.5) * size
    }

    /// The definition, with nothing clever.
    fn naive(points: &[Point]) -> f64 {
        let mut slopes = Vec::new();
        for a in points {
            for b in points {
                if a.at < b.at && a.epoch == b.epoch {
                    slopes.push((b.value - a.value) / (b.at - a.at));
                }
            }
        }
        slopes.sort_by(f64::total_cmp);
        let n = slopes.len();
        (slopes[(n - 1) / 2] + slopes[n / 2]) / 2.0
    }

    #[test]
    fn the_slope_is_the_naive_one() {
        for seed in 0..40 {
            let mut rng = Rng::new(&[seed]);
            let n = rng.between(3, 60) as usize;
            let n_epochs = rng.between(1, 3) as u32;
            let mut points = series(n, 2.0, |_| rng.unit() * 1e6);
            points.iter_mut().enumerate().for_each(|(i, p)| p.epoch = i as u32 % n_epochs);
            let mut by_epoch: BTreeMap<u32, usize> = BTreeMap::new();
            points.iter().for_each(|p| *by_epoch.entry(p.epoch).or_default() += 1);
            points.retain(|p| by_epoch[&p.epoch] >= 3);
            match slope(&points, Drawn::Residuals, 1) {
                Some(s) => assert!(
                    (s.per_hour - naive(&points)).abs() <= 1e-9 * s.per_hour.abs().max(1.0),
                    "{seed}: {s:?} against {}",
                    naive(&points)
                ),
                None => assert!(points.is_empty(), "{seed}"),
            }
        }
    }

    #[test]
    fn the_median_of_few_is_exact() {
        for (values, expected) in [
            (vec![], None),
            (vec![5.0], Some(5.0)),
            (vec![4.0, 1.0], Some(2.5)),
            (vec![9.0, 1.0, 4.0], Some(4.0)),
            (vec![4.0, 3.0, 2.0, 1.0], Some(2.5)),
        ] {
            assert_eq!(median(&mut values.clone()), expected, "{values:?}");
        }
    }

    #[test]
    fn growth_is_found_under_noise_and_the_interval_holds_it() {
        let mut held = 0;
        for seed in 0..20 {
            let mut noise = noise(seed, 40.0);
            let s =
                slope(&series(60, 1.0, |t| 1_000.0 + 100.0 * t + noise()), Drawn::Residuals, seed)
                    .unwrap();
            assert!(s.exceeds(50.0), "{seed}: {s:?}");
            held += usize::from(s.low <= 100.0 && 100.0 <= s.high);
        }
        assert!(held >= 16, "95 % intervals held the truth in {held} of 20");
    }

    #[test]
    fn what_stays_is_no_growth() {
        for seed in 0..20 {
            let mut noise = noise(seed, 100.0);
            let s = slope(&series(60, 1.0, |_| 1_000.0 + noise()), Drawn::Residuals, seed).unwrap();
            // More than four standard errors.
            assert!(!s.exceeds(100.0), "{seed}: {s:?}");
        }
    }

    #[test]
    fn shapes_that_end_where_they_began_or_jump_once_are_no_growth() {
        let mut wiggle = noise(3, 1.0);
        let sawtooth =
            slope(&series(90, 1.0, |t| (t * 15.0).fract() * 500.0), Drawn::Residuals, 1).unwrap();
        let step = slope(
            &series(60, 1.0, |t| if t < 0.3 { 0.0 } else { 300.0 } + wiggle()),
            Drawn::Residuals,
            1,
        )
        .unwrap();
        let pressure = slope(
            &series(60, 1.0, |t| if (0.6..0.8).contains(&t) { -900.0 } else { 0.0 }),
            Drawn::Residuals,
            1,
        )
        .unwrap();
        let outliers =
            slope(&series(60, 1.0, |t| if t > 0.9 { 1e6 } else { 0.0 }), Drawn::Residuals, 1)
                .unwrap();
        let still = slope(&series(30, 1.0, |_| 7.0), Drawn::Residuals, 1).unwrap();
        for (name, s) in [
            ("sawtooth", sawtooth),
            ("step", step),
            ("pressure", pressure),
            ("outliers", outliers),
            ("still", still),
        ] {
            assert!(!s.exceeds(60.0), "{name}: {s:?}");
        }
        assert_eq!((still.per_hour, still.low, still.high), (0.0, 0.0, 0.0));
    }

    #[test]
    fn a_staircase_of_single_units_is_growth_once_there_are_enough_steps() {
        // One descriptor a minute, seen every ten seconds: in three minutes most pairs are level, and only the
        // count at the end shows the leak; in ten the slope does, too.
        let found = |minutes: f64| {
            let n = (minutes * 6.0) as usize;
            slope(&series(n, minutes / 60.0, |t| (t * 60.0).floor()), Drawn::Points, 1)
                .unwrap()
                .exceeds(20.0)
        };
        assert!(!found(2.0) && found(10.0) && found(60.0));
    }

    #[test]
    fn a_restart_is_no_growth() {
        let mut points = series(40, 1.0, |_| 10.0);
        points[20..].iter_mut().for_each(|p| (p.epoch, p.value) = (1, 900.0));
        assert!(!slope(&points, Drawn::Residuals, 1).unwrap().exceeds(0.1));
    }

    #[test]
    fn many_points_are_reduced_and_still_show_growth() {
        let mut noise = noise(9, 5.0);
        let s = slope(&series(5_000, 2.0, |t| t * 30.0 + noise()), Drawn::Residuals, 1).unwrap();
        assert!((s.per_hour - 30.0).abs() < 1.0 && s.n_points == 5_000, "{s:?}");
        assert!(slope(&series(2, 1.0, |t| t), Drawn::Residuals, 1).is_none());
    }

    /// The nights of a run of three minutes that leaked a MiB a minute, two of them while a full disk kept a write waiting.
    #[test]
    fn a_few_nights_with_outliers_show_a_steady_leak() {
        let nights = [
            (56.494, 25_274.0),
            (66.132, 25_916.0),
            (77.394, 25_854.0),
            (86.666, 25_710.0),
            (96.069, 27_837.0),
            (105.239, 26_016.0),
            (115.173, 26_124.0),
            (124.751, 26_255.0),
            (136.505, 28_536.0),
            (146.177, 27_197.0),
            (157.542, 27_094.0),
            (167.705, 26_880.0),
            (176.956, 27_134.0),
        ];
        let found = |leaks: f64, drawn, seed| {
            let point = |(at, kib): (f64, f64)| {
                let at = at / 3_600.0;
                Point { epoch: 1, at, value: kib - (1.0 - leaks) * 52_000.0 * at }
            };
            slope(&nights.map(point), drawn, seed).unwrap().exceeds(15_301.0)
        };
        assert!((1..=20).all(|seed| found(1.0, Drawn::Residuals, seed)));
        assert!((1..=20).any(|seed| !found(1.0, Drawn::Points, seed)), "drawn times hide it");
        assert!(!(1..=20).any(|seed| found(0.0, Drawn::Residuals, seed)), "there is none");
    }
}
