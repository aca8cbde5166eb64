//! The machine: its processors, whether they have time to spare, and whether it runs on battery.
//!
//! Linux has both in small files that are read without waiting; elsewhere the processor counts as calm and the battery as
//! absent. Decides nothing.

use std::path::Path;

use majordomo_core::Config;

/// The processor is calm while at most this share of its time is used.
const CALM_SHARE: f64 = 0.7;

/// Settings in which the values that depend on the machine are those of this one.
pub(crate) fn fitted(mut config: Config) -> Config {
    config.loads.fit_to(std::thread::available_parallelism().map_or(1, usize::from));
    config
}

/// Compares the processor's time between two looks.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    last: Option<Ticks>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    idle: u64,
    all: u64,
}

impl Machine {
    /// Whether the processor had time to spare since the last look; true at the first.
    pub(crate) fn is_calm(&mut self) -> bool {
        let Some(now) = std::fs::read_to_string("/proc/stat").ok().as_deref().and_then(ticks)
        else {
            return true;
        };
        let Some(last) = self.last.replace(now) else { return true };
        let all = now.all.saturating_sub(last.all);
        let idle = now.idle.saturating_sub(last.idle);
        all == 0 || (all - idle.min(all)) as f64 <= CALM_SHARE * all as f64
    }
}

/// Idle and all time of the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn ticks(stat: &str) -> Option<Ticks> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let times: Vec<u64> = line.split_whitespace().take(8).map_while(|t| t.parse().ok()).collect();
    let idle = times.get(3)? + times.get(4).copied().unwrap_or(0);
    Some(Ticks { idle, all: times.iter().sum() })
}

/// Whether a battery is discharging.
pub(crate) fn is_on_battery() -> bool {
    discharges(Path::new("/sys/class/power_supply"))
}

fn discharges(supplies: &Path) -> bool {
    let Ok(supplies) = std::fs::read_dir(supplies) else { return false };
    supplies.flatten().any(|s| {
        let says = |what: &str, word: &str| {
            std::fs::read_to_string(s.path().join(what)).is_ok_and(|text| text.trim() == word)
        };
        // A battery of a mouse or headset powers nothing else.
        says("type", "Battery") && says("status", "Discharging") && !says("scope", "Device")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read() {
        let stat = "cpu  10 0 5 80 5 0 0 0 7 7\ncpu0 1 2 3 4\n";
        assert_eq!(ticks(stat), Some(Ticks { idle: 85, all: 100 }));
        for bad in ["", "cpu0 1 2 3 4", "cpu  1 2", "cpu  a b c d"] {
            assert_eq!(ticks(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_battery_that_discharges_counts_and_a_mouse_does_not() {
        let dir = std::env::temp_dir().join(format!("majordomo-power-{}", std::process::id()));
        let supply = |name: &str, files: &[(&str, &str)]| {
            let path = dir.join(name);
            std::fs::create_dir_all(&path).unwrap();
            for (file, text) in files {
                std::fs::write(path.join(file), format!("{text}\n")).unwrap();
            }
        };
        supply("AC", &[("type", "Mains"), ("online", "0")]);
        supply("mouse", &[("type", "Battery"), ("status", "Discharging"), ("scope", "Device")]);
        supply("BAT0", &[("type", "Battery"), ("status", "Charging")]);
        assert!(!discharges(&dir));
        supply("BAT0", &[("status", "Discharging")]);
        assert!(discharges(&dir));
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(!discharges(&dir));
    }
}
