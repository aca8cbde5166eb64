//! The choice among measured back ends.
//!
//! Owns the rule: by bucket the fastest, hot and after a pause, and only one that is a fifth faster than the kernels in
//! both. Invariant: without the kernels' own times, or without a better back end, the kernels are chosen.

use std::time::Duration;

use super::{BUCKETS, Candidate, Timing};

/// A back end must take at most this share of the kernels' time: they need no start, no memory and no second process.
const SHARE_OF_SIMD: f64 = 0.8;

/// By bucket, the position in `others` of the back end that serves it; none = the kernels.
pub(crate) fn choose(simd: &Candidate, others: &[Candidate]) -> [Option<usize>; BUCKETS.len()] {
    BUCKETS.map(|rows| {
        let simd = timing(simd, rows)?;
        let eligible = others.iter().enumerate().filter_map(|(at, candidate)| {
            let own = timing(candidate, rows)?;
            let beats = |own: Duration, simd: Duration| {
                own.as_secs_f64() <= SHARE_OF_SIMD * simd.as_secs_f64()
            };
            (beats(own.hot, simd.hot) && beats(own.idle, simd.idle)).then_some((own, at))
        });
        // Of equally fast ones the first.
        eligible.min_by_key(|(own, at)| (own.hot + own.idle, *at)).map(|(_, at)| at)
    })
}

fn timing(candidate: &Candidate, rows: usize) -> Option<&Timing> {
    let measured = candidate.result.as_ref().ok()?;
    measured.timings.iter().find(|timing| timing.rows as usize == rows)
}

#[cfg(test)]
mod tests {
    use super::super::{Measured, Rejection};
    use super::*;

    fn candidate(name: &str, hot: [u64; 5], idle: [u64; 5]) -> Candidate {
        let timings = (0..5).map(|i| Timing {
            rows: BUCKETS[i] as u32,
            hot: Duration::from_micros(hot[i]),
            hot_p99: Duration::from_micros(2 * hot[i]),
            idle: Duration::from_micros(idle[i]),
        });
        let measured = Measured {
            name: name.to_owned(),
            difference: None,
            timings: timings.collect(),
            placement: Vec::new(),
        };
        Candidate { name: name.to_owned(), result: Ok(measured) }
    }

    #[test]
    fn fastest_by_bucket_hot_and_after_a_pause() {
        let simd = candidate("simd", [5, 40, 160, 640, 2560], [10, 50, 170, 650, 2600]);
        let awake = candidate("awake", [300, 300, 120, 125, 130], [300, 300, 120, 125, 130]);
        let sleepy = candidate("sleepy", [1, 1, 1, 1, 1], [900, 900, 900, 600, 900]);
        let slower = candidate("slower", [400, 400, 400, 400, 400], [400, 400, 400, 400, 400]);
        let chosen = |others: &[Candidate]| choose(&simd, others);
        // 128 rows: 600 of 650 µs after a pause is not a fifth less. 512 rows: both are eligible.
        assert_eq!(chosen(std::slice::from_ref(&sleepy)), [None, None, None, None, Some(0)]);
        let all = [slower, sleepy, awake];
        assert_eq!(chosen(&all), [None, None, Some(2), Some(2), Some(2)]);
        // Exactly a fifth less is enough, a little more is not.
        let exact = candidate("exact", [4, 33, 128, 512, 2048], [8, 40, 136, 520, 2080]);
        assert_eq!(chosen(&[exact]), [Some(0), None, Some(0), Some(0), Some(0)]);
    }

    #[test]
    fn no_measurement_means_the_kernels() {
        let simd = candidate("simd", [5; 5], [5; 5]);
        let fast = candidate("fast", [1; 5], [1; 5]);
        let rejected = |name: &str| Candidate {
            name: name.to_owned(),
            result: Err(Rejection::Failed("planted".to_owned())),
        };
        assert_eq!(choose(&rejected("simd"), &[fast]), [None; 5]);
        assert_eq!(choose(&simd, &[rejected("broken")]), [None; 5]);
        assert_eq!(choose(&simd, &[]), [None; 5]);
        let mut small = candidate("small", [1; 5], [1; 5]);
        if let Ok(measured) = &mut small.result {
            measured.timings.truncate(2);
        }
        assert_eq!(choose(&simd, &[small]), [Some(0), Some(0), None, None, None]);
    }
}
