//! The line that shows the progress of a run.

use std::io::{IsTerminal, Write as _};
use std::time::Duration;

use majordomo::ByteSize;
use tokio::time::Instant;

use super::record::{Record, Row};

/// Shows progress on standard error: in place on a terminal, else a line a minute.
pub(crate) struct Progress {
    terminal: bool,
    shown: Option<Instant>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), shown: None }
    }

    /// Shows the figures, unless they were shown just now.
    pub(crate) fn show(&mut self, record: &Record, last: Option<&Row>, left: Duration) {
        let pause =
            if self.terminal { Duration::from_millis(500) } else { Duration::from_secs(60) };
        if self.shown.is_some_and(|at| at.elapsed() < pause) {
            return;
        }
        self.shown = Some(Instant::now());
        let line = line(record, last, left);
        let mut err = std::io::stderr().lock();
        // It may have no reader.
        let _ = if self.terminal {
            write!(err, "\r\x1b[K{line}").and_then(|()| err.flush())
        } else {
            writeln!(err, "{line}")
        };
    }

    /// Says something that stays.
    pub(crate) fn say(&self, what: &str) {
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        // It may have no reader.
        let _ = writeln!(std::io::stderr(), "{clear}{what}");
    }

    /// Leaves the line.
    pub(crate) fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }
}

/// `1:02:03`, or `2:03` below an hour.
pub(crate) fn clock(time: Duration) -> String {
    let s = time.as_secs();
    match s / 3_600 {
        0 => format!("{}:{:02}", s / 60, s % 60),
        h => format!("{h}:{:02}:{:02}", s / 60 % 60, s % 60),
    }
}

fn line(record: &Record, last: Option<&Row>, left: Duration) -> String {
    let loads = record.count("loads of programs") + record.count("loads of builtins");
    let heap = last.map_or(0.0, |r| r.get("heap_used"));
    format!(
        "{} left of {}: {loads} loads, {} kills, {} marks, {} violations, heap {}, {} descriptors, {} tasks",
        clock(left),
        clock(Duration::from_secs_f64(record.total_s)),
        record.count("SIGKILL"),
        record.marks.len(),
        record.n_violations,
        ByteSize(heap as u64),
        last.map_or(0.0, |r| r.get("descriptors")),
        last.map_or(0.0, |r| r.get("tasks")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_like_a_clock() {
        let of = |s| clock(Duration::from_secs(s));
        assert_eq!((of(5), of(125), of(3_723)), ("0:05".into(), "2:05".into(), "1:02:03".into()));
    }
}
