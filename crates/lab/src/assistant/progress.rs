//! Progress on the terminal, with an estimate of the time left.

use std::io::IsTerminal;
use std::time::Duration;

use super::clock;

/// Commands between two lines where the output is no terminal.
const EVERY: usize = 25;

/// The progress of a measurement.
#[derive(Debug)]
pub(super) struct Progress {
    is_terminal: bool,
    began_s: f64,
    /// Planned seconds of all that is done.
    done_s: f64,
    /// Planned seconds of everything.
    planned_s: f64,
}

impl Progress {
    /// `planned` is the sum of all that is to be done.
    pub(super) fn new(planned: Duration) -> Self {
        Self {
            is_terminal: std::io::stderr().is_terminal(),
            began_s: clock::seconds(),
            done_s: 0.0,
            planned_s: planned.as_secs_f64(),
        }
    }

    /// The pace is that from now on.
    pub(super) fn begin(&mut self) {
        self.began_s = clock::seconds();
    }

    /// More is to be done than was planned.
    pub(super) fn plan(&mut self, more: Duration) {
        self.planned_s += more.as_secs_f64();
    }

    /// Planned work is done.
    pub(super) fn done(&mut self, work: Duration) {
        self.done_s += work.as_secs_f64();
    }

    fn left(&self) -> String {
        left(clock::seconds() - self.began_s, self.done_s, self.planned_s)
    }

    /// A command was played.
    pub(super) fn show(&self, what: &str, n: usize, of: usize) {
        if self.is_terminal {
            eprint!("\r\x1b[K{what}: {n} of {of}{}", self.left());
        } else if n.is_multiple_of(EVERY) || n == of {
            eprintln!("{what}: {n} of {of}{}", self.left());
        }
    }

    /// A line that stays.
    pub(super) fn say(&self, line: &str) {
        let clear = if self.is_terminal { "\r\x1b[K" } else { "" };
        eprintln!("{clear}{line}");
    }
}

/// The time left, from the pace so far; nothing as long as none is known.
fn left(elapsed_s: f64, done_s: f64, planned_s: f64) -> String {
    if done_s < 1.0 {
        return String::new();
    }
    let rest_s = (elapsed_s / done_s * (planned_s - done_s)).max(0.0);
    format!(", about {:.0} min {:02.0} s left", (rest_s / 60.0).floor(), rest_s % 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_follows_the_pace() {
        assert_eq!(left(20.0, 10.0, 40.0), ", about 1 min 00 s left");
        assert_eq!(left(20.0, 50.0, 40.0), ", about 0 min 00 s left");
        assert_eq!(left(20.0, 0.0, 40.0), "");
    }
}
