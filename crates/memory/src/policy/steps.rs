//! Which ways to free the memory of one component are worth considering.
//!
//! A point is a way to free bytes at a loss. Below the lower convex hull through staying, which frees nothing and loses
//! nothing, lies no point; a point above it is beaten by a mixture of two others. Along the hull each further byte costs
//! at least as much as those before, so that a greedy choice by loss per byte takes the points of a component in order.

use majordomo_core::ByteSize;

/// Bytes that are freed, and the worth that is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the type says it")]
pub struct Point {
    pub freed: ByteSize,
    pub loss: f64,
}

impl Point {
    /// Twice the signed area of the triangle with two further points: negative when `b` lies above the line to `c`.
    fn turn(self, b: Self, c: Self) -> f64 {
        let across = |p: Self| p.freed.0 as f64 - self.freed.0 as f64;
        let up = |p: Self| p.loss - self.loss;
        across(b) * up(c) - up(b) * across(c)
    }
}

/// Positions of the points on the lower convex hull through the origin, ascending by bytes. Points that free nothing are
/// left out, and of equal ones, or several on one line, those with a later position or fewer bytes.
#[must_use]
pub fn lower_hull(points: &[Point]) -> Vec<usize> {
    let mut order: Vec<_> = (0..points.len()).filter(|i| points[*i].freed.0 > 0).collect();
    order.sort_by(|a, b| {
        let (p, q) = (points[*a], points[*b]);
        p.freed.cmp(&q.freed).then(p.loss.total_cmp(&q.loss)).then(a.cmp(b))
    });
    let mut hull: Vec<usize> = Vec::new();
    for i in order {
        if hull.last().is_some_and(|last| points[*last].freed == points[i].freed) {
            continue;
        }
        while let Some(&last) = hull.last() {
            let before = hull.len().checked_sub(2).map_or(Point::default(), |at| points[hull[at]]);
            if before.turn(points[last], points[i]) > 0.0 {
                break;
            }
            hull.pop();
        }
        hull.push(i);
    }
    hull
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(points: &[(u64, f64)], want: &[usize]) {
        let points: Vec<_> =
            points.iter().map(|&(mib, loss)| Point { freed: ByteSize::mib(mib), loss }).collect();
        assert_eq!(lower_hull(&points), want, "{points:?}");
    }

    #[test]
    fn cheap_park_is_a_step_before_the_unload() {
        check(&[(90, 0.1), (100, 1.0)], &[0, 1]);
        check(&[(100, 1.0), (90, 0.1), (50, 0.02)], &[2, 1, 0]);
    }

    #[test]
    fn park_that_loses_more_per_byte_than_the_unload_is_no_step() {
        check(&[(90, 0.95), (100, 1.0)], &[1]);
        check(&[(90, 0.9), (100, 1.0)], &[1]);
        check(&[(90, 0.0), (100, 0.0)], &[1]);
        check(&[(90, 2.0), (100, 1.0)], &[1]);
    }

    #[test]
    fn point_that_frees_nothing_is_no_step() {
        check(&[(0, 0.0), (100, 1.0)], &[1]);
        check(&[(0, 0.0)], &[]);
        check(&[(100, 1.0), (100, 0.5)], &[1]);
    }
}
