//! Context experts: the components that followed the same context before.
//!
//! A context is a hash of some of the last commands, the pause or the time of day. Its followers are
//! counted, older visits counting less, and interpolated with a shorter context by absolute discounting
//! (Ney, Essen and Kneser 1994), which has the role of PPM's escape and leaves no component at 0.
//! Bounded: at most [`MAX_NODES`] contexts a table and [`MAX_FOLLOWERS`] followers a context.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Contexts a table keeps; the longest unvisited ones are dropped.
const MAX_NODES: usize = 4096;
/// Contexts compared to find one to drop.
const SAMPLE: usize = 8;
/// Followers a context keeps; the rarest ones are dropped.
const MAX_FOLLOWERS: usize = 48;
/// Subtracted from each follower's count.
const DISCOUNT: f32 = 0.5;
/// Weight of the shorter context beside the share that the discount frees.
const PRIOR: f32 = 0.3;
/// Followers whose count decayed below this are dropped.
const GONE: f32 = 0.02;

/// One step of FNV-1a over words, with a rotation so that high bits take part.
pub(super) fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(23) ^ word ^ 0xcbf2_9ce4_8422_2325).wrapping_mul(0x0000_0100_0000_01b3)
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Node {
    visited: u64,
    followers: Vec<(u32, f32)>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct ContextTable {
    nodes: BTreeMap<u64, Node>,
    cursor: u64,
}

/// Drops one context of a table over its bound: of [`SAMPLE`] neighbours in hash order, from a position that moves
/// through the table, the longest unvisited one (sampled LRU; constant time, unlike a sweep).
fn prune<V>(nodes: &mut BTreeMap<u64, V>, cursor: &mut u64, visited: impl Fn(&V) -> u64) {
    if nodes.len() <= MAX_NODES {
        return;
    }
    let sample = nodes.range(*cursor..).chain(nodes.iter()).take(SAMPLE);
    let mut oldest = None;
    for (key, node) in sample {
        *cursor = key.wrapping_add(1);
        oldest = oldest.into_iter().chain([(visited(node), *key)]).min();
    }
    if let Some((_, key)) = oldest {
        nodes.remove(&key);
    }
}

impl ContextTable {
    /// Counts the followers of a context; `stays` is the share of its earlier counts that remains.
    pub(super) fn learn(&mut self, key: u64, used: &[u32], stays: f32, step: u64) {
        let node = self.nodes.entry(key).or_default();
        node.visited = step;
        if stays < 1.0 {
            for follower in &mut node.followers {
                follower.1 *= stays;
            }
            node.followers.retain(|f| f.1 > GONE);
        }
        for local in used {
            match node.followers.iter_mut().find(|f| f.0 == *local) {
                Some(follower) => follower.1 += 1.0,
                None => node.followers.push((*local, 1.0)),
            }
        }
        while node.followers.len() > MAX_FOLLOWERS {
            let counts = node.followers.iter().enumerate();
            if let Some((rarest, _)) = counts.min_by(|a, b| a.1.1.total_cmp(&b.1.1)) {
                node.followers.remove(rarest);
            }
        }
        prune(&mut self.nodes, &mut self.cursor, |node| node.visited);
    }

    /// Writes P(component | context), interpolated with `back_off`.
    pub(super) fn predict(&self, key: u64, back_off: &[f32], p: &mut [f32]) {
        let Some(node) = self.nodes.get(&key) else {
            p.copy_from_slice(back_off);
            return;
        };
        let (mut total, mut freed) = (PRIOR, PRIOR);
        for (_, count) in &node.followers {
            total += count;
            freed += count.min(DISCOUNT);
        }
        let share = freed / total;
        for (p, back) in p.iter_mut().zip(back_off) {
            *p = back * share;
        }
        for (local, count) in &node.followers {
            p[*local as usize] += (count - DISCOUNT).max(0.0) / total;
        }
    }

    pub(super) fn is_sound(&self, n: usize) -> bool {
        let sound = |f: &(u32, f32)| (f.0 as usize) < n && f.1.is_finite() && f.1 >= 0.0;
        self.nodes.len() <= MAX_NODES
            && self.nodes.values().all(|node| node.followers.iter().all(sound))
    }
}

/// The last two followers of each command.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Followed {
    nodes: BTreeMap<u64, ([u64; 2], u64)>,
    cursor: u64,
}

impl Followed {
    pub(super) fn learn(&mut self, command: u64, follower: u64, step: u64) {
        let (last, visited) = self.nodes.entry(command).or_default();
        *last = [follower, last[0]];
        *visited = step;
        prune(&mut self.nodes, &mut self.cursor, |node| node.1);
    }

    pub(super) fn of(&self, command: u64) -> [u64; 2] {
        self.nodes.get(&command).map_or([0; 2], |node| node.0)
    }
}
