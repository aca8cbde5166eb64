//! CPU time, and bytes read and written, by a server and its components: sums that the system keeps for
//! processes and threads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Bytes that a process and the children that it reaped moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Io {
    /// Returned by read calls, from the page cache or a disk; mapped files are not among them.
    pub(crate) read: u64,
    /// Read from a disk.
    pub(crate) disk_read: u64,
    /// Written to a disk, or to be written.
    pub(crate) disk_written: u64,
}

/// Reads the text of `/proc/PID/io`.
pub(crate) fn io(text: &str) -> Io {
    let field = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
        line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
    };
    Io { read: field("rchar"), disk_read: field("read_bytes"), disk_written: field("write_bytes") }
}

impl Io {
    pub(crate) fn add(&mut self, other: Self) {
        self.read += other.read;
        self.disk_read += other.disk_read;
        self.disk_written += other.disk_written;
    }

    /// The part since an earlier reading.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            read: self.read.saturating_sub(earlier.read),
            disk_read: self.disk_read.saturating_sub(earlier.disk_read),
            disk_written: self.disk_written.saturating_sub(earlier.disk_written),
        }
    }
}

/// The bytes that the threads of one process moved, without those of the children that it reaped,
/// which the system adds to the process alone. A thread that begins and ends between two looks is
/// missed.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    living: BTreeMap<i32, Io>,
    ended: Io,
}

impl Threads {
    /// Takes in the threads that live now.
    pub(crate) fn take(&mut self, living: BTreeMap<i32, Io>) {
        for (id, io) in std::mem::replace(&mut self.living, living) {
            if !self.living.contains_key(&id) {
                self.ended.add(io);
            }
        }
    }

    pub(crate) fn sum(&self) -> Io {
        let mut sum = self.ended;
        self.living.values().for_each(|io| sum.add(*io));
        sum
    }
}

/// Sums since the start of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Used {
    /// CPU seconds of components, also of ended ones.
    pub(crate) components_cpu_s: f64,
    /// CPU seconds of the manager and its guard.
    pub(crate) manager_cpu_s: f64,
    /// Of components, also of ended ones, and the guard.
    pub(crate) components_io: Io,
    pub(crate) manager_io: Io,
}

impl Used {
    /// The part since an earlier reading.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            components_cpu_s: (self.components_cpu_s - earlier.components_cpu_s).max(0.0),
            manager_cpu_s: (self.manager_cpu_s - earlier.manager_cpu_s).max(0.0),
            components_io: self.components_io.since(earlier.components_io),
            manager_io: self.manager_io.since(earlier.manager_io),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_threads_moved_still_counts() {
        let io = |disk_written| Io { disk_written, ..Io::default() };
        let mut threads = Threads::default();
        threads.take([(1, io(10)), (2, io(5))].into());
        threads.take([(1, io(30)), (3, io(1))].into());
        assert_eq!(threads.sum(), io(36));
        threads.take([(1, io(30))].into());
        assert_eq!(threads.sum(), io(36));
    }

    #[test]
    fn bytes_of_a_process_are_read_by_their_names() {
        let text =
            "rchar: 10\nwchar: 1\nread_bytes: 20\nwrite_bytes: 30\ncancelled_write_bytes: 4\n";
        assert_eq!(io(text), Io { read: 10, disk_read: 20, disk_written: 30 });
    }
}
