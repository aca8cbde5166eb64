//! Pressure stall information of the Linux kernel (Documentation/accounting/psi.rst): the averages and their
//! hints. Knows no thresholds of bytes.

use std::path::Path;

use majordomo_core::PressureLevel;

use crate::error::SourceError;

/// One line of a PSI file.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Stall {
    /// Share of the last 10 s in which tasks stalled, in percent.
    pub(crate) avg10: f64,
}

/// Memory stalls: of some task, and of all that were not idle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Stalls {
    pub(crate) some: Stall,
    pub(crate) full: Stall,
}

/// `some` at 10 % of the time: work is slowed. `full` at 10 %, or `some` at 40 %: reclaim is in the way of
/// everything. `full` at 40 %: thrashing (systemd-oomd's default to kill is 60 % over 30 s). Stalls alone never
/// mean EMERGENCY: that takes bytes.
const HINTS: [(PressureLevel, f64, f64); 3] = [
    (PressureLevel::Critical, f64::INFINITY, 40.0),
    (PressureLevel::High, 40.0, 10.0),
    (PressureLevel::Medium, 10.0, f64::INFINITY),
];

impl Stalls {
    /// Reads the text of a PSI file.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, SourceError> {
        let mut stalls = Self::default();
        let mut seen = false;
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let slot = match words.next() {
                Some("some") => &mut stalls.some,
                Some("full") => &mut stalls.full,
                _ => {
                    return Err(SourceError::malformed(
                        path,
                        "neither \"some\" nor \"full\"",
                        line,
                    ));
                }
            };
            let avg10 = words.find_map(|w| w.strip_prefix("avg10=")).and_then(|v| v.parse().ok());
            slot.avg10 = avg10.ok_or_else(|| SourceError::malformed(path, "no avg10", line))?;
            seen = true;
        }
        seen.then_some(stalls).ok_or_else(|| SourceError::malformed(path, "no line", text))
    }

    /// The level that the stalls hint at.
    pub(crate) fn hint(self) -> Option<PressureLevel> {
        HINTS
            .iter()
            .find(|(_, some, full)| self.some.avg10 >= *some || self.full.avg10 >= *full)
            .map(|h| h.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_hint() {
        let check = |text: &str, want: Option<PressureLevel>| {
            let got = Stalls::parse(Path::new("memory"), text).map(Stalls::hint);
            assert_eq!(got.unwrap(), want, "{text}");
        };
        check("some avg10=0.00 avg60=99.00 avg300=0.00 total=5\nfull avg10=0.00 total=0\n", None);
        check("some avg10=9.99 total=1\nfull avg10=0.00 total=0\n", None);
        check("some avg10=12.50 total=1\nfull avg10=3.00 total=0", Some(PressureLevel::Medium));
        check("some avg10=41.00 total=1\nfull avg10=3.00 total=0", Some(PressureLevel::High));
        check("some avg10=41.00 total=1\nfull avg10=40.10 total=0", Some(PressureLevel::Critical));
        check("some avg10=50.00 total=1\n", Some(PressureLevel::High));
    }

    #[test]
    fn garbage_is_refused() {
        for text in ["", "none avg10=1\n", "some total=3\n", "some avg10=x\n", "\0\u{1}"] {
            assert!(Stalls::parse(Path::new("memory"), text).is_err(), "{text:?}");
        }
    }
}
