//! The worth of predictions: accuracy, F1, coverage and precision of confident answers, AUROC.

use serde_json::Value;

/// Named figures in the order of the report.
pub(crate) type Report = Vec<(String, Value)>;

/// The prediction for one row.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    /// Sorted labels that were meant.
    pub(crate) meant: Vec<u32>,
    /// Sorted labels that were said.
    pub(crate) said: Vec<u32>,
    /// The likeliest label and its probability.
    pub(crate) best: (u32, f32),
}

fn f1(tp: usize, fp: usize, fneg: usize) -> f64 {
    if tp == 0 { 0.0 } else { 2.0 * tp as f64 / (2 * tp + fp + fneg) as f64 }
}

/// (micro-F1, macro-F1 over labels that occur, share of rows said exactly)
pub(crate) fn multi(rows: &[Judged], n_labels: usize) -> (f64, f64, f64) {
    let mut counts = vec![(0, 0, 0); n_labels];
    let mut n_exact = 0;
    for row in rows {
        n_exact += usize::from(row.meant == row.said);
        for &l in &row.said {
            if row.meant.contains(&l) {
                counts[l as usize].0 += 1;
            } else {
                counts[l as usize].1 += 1;
            }
        }
        for &l in row.meant.iter().filter(|l| !row.said.contains(l)) {
            counts[l as usize].2 += 1;
        }
    }
    let sum = counts.iter().fold((0, 0, 0), |a, c| (a.0 + c.0, a.1 + c.1, a.2 + c.2));
    let occurring: Vec<f64> =
        counts.iter().filter(|c| c.0 + c.1 + c.2 > 0).map(|c| f1(c.0, c.1, c.2)).collect();
    let mean = occurring.iter().sum::<f64>() / occurring.len().max(1) as f64;
    (f1(sum.0, sum.1, sum.2), mean, n_exact as f64 / rows.len().max(1) as f64)
}

/// (share answered, share of those right) where an answer needs a confidence of `floor`.
pub(crate) fn coverage(rows: &[Judged], floor: f32) -> (f64, f64) {
    let answered: Vec<&Judged> = rows.iter().filter(|r| r.best.1 >= floor).collect();
    let n_right = answered.iter().filter(|r| r.meant.contains(&r.best.0)).count();
    (
        answered.len() as f64 / rows.len().max(1) as f64,
        if answered.is_empty() { 1.0 } else { n_right as f64 / answered.len() as f64 },
    )
}

/// Probability that a row of `high` scores above one of `low` (ties count half).
pub(crate) fn auroc(high: &[f32], low: &[f32]) -> f64 {
    let mut all: Vec<(f32, bool)> =
        high.iter().map(|&x| (x, true)).chain(low.iter().map(|&x| (x, false))).collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut sum) = (0usize, 0.0);
    for ties in all.chunk_by(|a, b| a.0 == b.0) {
        let n_low = ties.iter().filter(|t| !t.1).count();
        sum += (ties.len() - n_low) as f64 * (below as f64 + 0.5 * n_low as f64);
        below += n_low;
    }
    sum / (high.len() * low.len()).max(1) as f64
}

/// The value that a share of the sorted `values` does not exceed.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or(0.0)
}

/// A number to four places.
pub(crate) fn number(x: f64) -> Value {
    serde_json::json!((x * 10_000.0).round() / 10_000.0)
}

/// The mean of every number over several draws.
pub(crate) fn mean(draws: &[Report]) -> MeanReport {
    let mut out = Vec::new();
    for (at, (name, first)) in draws.first().into_iter().flatten().enumerate() {
        let values: Vec<f64> =
            draws.iter().filter_map(|d| d.get(at).and_then(|(_, v)| v.as_f64())).collect();
        let value = match first {
            Value::Number(n) if n.is_f64() => {
                number(values.iter().sum::<f64>() / values.len() as f64)
            }
            other => other.clone(),
        };
        out.push((name.clone(), value));
    }
    MeanReport(out)
}

/// A report that serialises as an object in its own order.
pub(crate) struct MeanReport(Report);

impl MeanReport {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(String, Value)> {
        self.0.iter()
    }
}

impl serde::Serialize for MeanReport {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.0.iter().map(|(k, v)| (k, v)))
    }
}
