//! Samples the memory of a server's components while a day is played, on a thread of its own, and
//! measures its own cost.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock;
use super::processes::{Memory, Processes};
use super::ram::{GroupSample, Ram};
use super::used::Used;
use crate::short::{MemoryGroup, Zram, written};

/// One sample; sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sample {
    /// Seconds since the first sample.
    pub(super) at_s: f64,
    pub(super) components: u64,
    pub(super) manager: u64,
    pub(super) guard: u64,
    /// Proportional size of what components have in swap.
    #[serde(default)]
    pub(super) swapped: u64,
    /// Where a memory group counts.
    #[serde(default)]
    pub(super) group: Option<GroupSample>,
}

/// The samples of a day.
#[derive(Clone, Debug, Default)]
pub(super) struct Sampled {
    pub(super) samples: Vec<Sample>,
    /// CPU time and I/O from the first sample to the last.
    pub(super) used: Used,
    /// CPU seconds that sampling took.
    pub(super) cost_s: f64,
    /// Bytes that the machine wrote to swap.
    written: u64,
    /// Processes that the kernel killed in the group.
    n_killed: u64,
}

impl Sampled {
    /// Mean over time: each sample counts for the time until the next.
    pub(super) fn mean(&self, of: impl Fn(&Sample) -> u64) -> f64 {
        let weighted: f64 =
            self.samples.windows(2).map(|w| of(&w[0]) as f64 * (w[1].at_s - w[0].at_s)).sum();
        match (self.samples.first(), self.samples.last()) {
            (Some(first), Some(last)) if last.at_s > first.at_s => {
                weighted / (last.at_s - first.at_s)
            }
            (Some(first), _) => of(first) as f64,
            _ => 0.0,
        }
    }

    pub(super) fn peak(&self, of: impl Fn(&Sample) -> u64) -> u64 {
        self.samples.iter().map(of).max().unwrap_or(0)
    }

    /// The memory as the group counts it; none without a group.
    pub(super) fn ram(&self) -> Option<Ram> {
        self.samples.first()?.group?;
        let of = |figure: fn(&GroupSample) -> u64| {
            move |sample: &Sample| sample.group.as_ref().map_or(0, figure)
        };
        Some(Ram {
            mean: self.mean(of(|g| g.ram)),
            peak: self.peak(of(|g| g.ram)),
            zram_mean: self.mean(of(|g| g.zram)),
            cache_mean: self.mean(of(|g| g.droppable)),
            swapped_mean: self.mean(|s| s.swapped),
            written: self.written,
            n_killed: self.n_killed,
        })
    }
}

/// A thread that samples until it is ended.
pub(super) struct Sampler {
    end: Sender<()>,
    thread: JoinHandle<(Sampled, Processes)>,
}

impl Sampler {
    /// Starts with a sample at once. `group` counts the server with its components.
    pub(super) fn start(
        mut processes: Processes,
        group: Option<Arc<MemoryGroup>>,
        period: Duration,
    ) -> Self {
        let (end, ended) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut sampled = Sampled::default();
            let (began, used) = (clock::seconds(), processes.used());
            let counters =
                || (written().unwrap_or(0), group.as_ref().map_or(0, |group| group.n_killed()));
            let (written, n_killed) = counters();
            let mut counted = None;
            loop {
                let at_s = clock::seconds() - began;
                let memory: Memory = processes.memory();
                let usage = group.as_ref().and_then(|group| group.usage().ok());
                // A group that cannot be read once counts as at the sample before.
                counted = usage
                    .map(|usage| GroupSample::new(usage, &memory, Zram::of_this_machine()))
                    .or(counted);
                sampled.samples.push(Sample {
                    at_s,
                    components: memory.sum(),
                    manager: memory.manager,
                    guard: memory.guard,
                    swapped: memory.swapped,
                    group: counted,
                });
                let due = period.as_secs_f64() * sampled.samples.len() as f64;
                let rest = (due - (clock::seconds() - began)).max(0.0);
                if ended.recv_timeout(Duration::from_secs_f64(rest))
                    != Err(RecvTimeoutError::Timeout)
                {
                    break;
                }
            }
            sampled.used = processes.used().since(used);
            let (written_now, n_killed_now) = counters();
            sampled.written = written_now.saturating_sub(written);
            sampled.n_killed = n_killed_now.saturating_sub(n_killed);
            sampled.cost_s = clock::thread_cpu_seconds();
            (sampled, processes)
        });
        Self { end, thread }
    }

    /// The samples, and the processes that were seen.
    pub(super) fn end(self) -> anyhow::Result<(Sampled, Processes)> {
        drop(self.end);
        self.thread.join().map_err(|_| anyhow::anyhow!("the thread that samples memory panicked"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_is_over_time_and_not_over_samples() {
        let sample = |at_s, components| Sample {
            at_s,
            components,
            manager: 1,
            guard: 0,
            swapped: 0,
            group: None,
        };
        let samples = vec![sample(0.0, 100), sample(1.0, 10), sample(10.0, 50)];
        let sampled = Sampled { samples, ..Sampled::default() };
        assert_eq!(sampled.mean(|s| s.components), 19.0);
        assert_eq!(sampled.peak(|s| s.components), 100);
        assert_eq!(sampled.mean(|s| s.manager), 1.0);
        assert_eq!(
            (Sampled::default().mean(|s| s.components), Sampled::default().peak(|s| s.guard)),
            (0.0, 0)
        );
        assert_eq!(sampled.ram(), None);
    }

    #[test]
    fn memory_of_a_group_is_a_mean_over_time_too() {
        let sample = |at_s, ram| Sample {
            at_s,
            components: 0,
            manager: 0,
            guard: 0,
            swapped: 8,
            group: Some(GroupSample { ram, zram: 2, swap_cache: 9, droppable: 300 }),
        };
        let samples = vec![sample(0.0, 100), sample(1.0, 10), sample(10.0, 50)];
        let sampled = Sampled { samples, written: 7, n_killed: 1, ..Sampled::default() };
        let ram = sampled.ram().unwrap();
        assert_eq!((ram.mean, ram.peak, ram.zram_mean), (19.0, 100, 2.0));
        assert_eq!((ram.cache_mean, ram.swapped_mean), (300.0, 8.0));
        assert_eq!((ram.written, ram.n_killed), (7, 1));
    }
}
