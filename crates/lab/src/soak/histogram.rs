//! Latencies in fixed buckets: 32 to each power of two, so that a quantile is at most 3 % too high.
//!
//! Memory is bounded whatever is recorded: a soak must not leak by its own measuring.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Buckets to a power of two.
const SUB: u64 = 32;
const SUB_BITS: u32 = SUB.trailing_zeros();

/// Counts of nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u32, u64)>", into = "Vec<(u32, u64)>")]
pub(crate) struct Histogram {
    counts: Vec<u64>,
}

fn bucket(ns: u64) -> usize {
    let power = 63 - ns.max(1).leading_zeros();
    if power < SUB_BITS {
        return ns as usize;
    }
    let shift = power - SUB_BITS;
    (u64::from(shift + 1) * SUB + ((ns >> shift) - SUB)) as usize
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let (row, column) = (bucket as u64 / SUB, bucket as u64 % SUB);
    match row {
        0 => column,
        _ => {
            let shift = row - 1;
            let low = u128::from(SUB + column) << shift;
            u64::try_from(low + (1u128 << shift) - 1).unwrap_or(u64::MAX)
        }
    }
}

impl Histogram {
    /// Counts one latency.
    pub(crate) fn record(&mut self, time: Duration) {
        self.add_at(bucket(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)), 1);
    }

    fn add_at(&mut self, bucket: usize, n: u64) {
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += n;
    }

    /// Adds another's counts.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (bucket, n) in other.counts.iter().enumerate().filter(|(_, n)| **n > 0) {
            self.add_at(bucket, *n);
        }
    }

    /// How many were counted.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The value that a share `q` in 0..=1 of all does not exceed; none when nothing was counted.
    pub(crate) fn quantile(&self, q: f64) -> Option<Duration> {
        let n = self.count();
        let rank = ((n as f64 * q).ceil() as u64).clamp(1, n.max(1));
        let mut seen = 0;
        self.counts.iter().enumerate().find_map(|(bucket, count)| {
            seen += count;
            (seen >= rank).then(|| Duration::from_nanos(upper(bucket)))
        })
    }
}

impl From<Histogram> for Vec<(u32, u64)> {
    fn from(histogram: Histogram) -> Self {
        let filled = histogram.counts.into_iter().enumerate().filter(|(_, n)| *n > 0);
        filled.map(|(bucket, n)| (bucket as u32, n)).collect()
    }
}

impl From<Vec<(u32, u64)>> for Histogram {
    fn from(filled: Vec<(u32, u64)>) -> Self {
        let mut histogram = Self::default();
        for (bucket, n) in filled {
            // More buckets than 64 bits have are no histogram of ours.
            if u64::from(bucket) < SUB * 64 {
                histogram.add_at(bucket as usize, n);
            }
        }
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use majordomo_sim::Rng;

    #[test]
    fn every_value_is_in_a_bucket_that_is_no_more_than_a_32nd_above_it() {
        let mut rng = Rng::new(&[1]);
        let edges = (0..64).flat_map(|p| [(1u64 << p) - 1, 1 << p, (1 << p) + 1]);
        let values: Vec<u64> =
            edges.chain((0..10_000).map(|i| rng.bits() >> (i % 64))).chain([u64::MAX]).collect();
        for v in values {
            let up = upper(bucket(v));
            assert!(up >= v && up - v <= v / 32, "{v} is said to be {up}");
            if v > 0 {
                assert!(bucket(v) >= bucket(v - 1), "{v}");
            }
        }
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let mut rng = Rng::new(&[2]);
        let mut values: Vec<u64> = (0..5_000).map(|_| rng.between(1, 1 << 40)).collect();
        let mut histogram = Histogram::default();
        values.iter().for_each(|v| histogram.record(Duration::from_nanos(*v)));
        values.sort_unstable();
        for q in [0.0, 0.5, 0.99, 0.999, 1.0] {
            let exact = values[((5_000.0 * q) as usize).saturating_sub(1)];
            let shown = histogram.quantile(q).unwrap().as_nanos() as u64;
            assert!(shown >= exact && shown <= exact + exact / 32, "{q}: {shown}, exactly {exact}");
        }
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn it_survives_being_written_and_merged() {
        let mut a = Histogram::default();
        [3, 70, 1 << 50].into_iter().for_each(|ns| a.record(Duration::from_nanos(ns)));
        let read: Histogram = serde_json::from_str(&serde_json::to_string(&a).unwrap()).unwrap();
        assert_eq!(read, a);
        a.merge(&read);
        assert_eq!((a.count(), a.quantile(0.5)), (6, read.quantile(0.5)));
    }
}
