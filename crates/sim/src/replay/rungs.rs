//! The rungs of a replay: a table of rates that gives each item a share that stays, a time to enter and a time to wake.
//!
//! Knows no policy. Invariant: times grow with the size of the item.

use std::path::{Path, PathBuf};
use std::time::Duration;

use majordomo_core::{ComponentKey, Rung, quoted_start};
use majordomo_engine::{RungFigures, RungOffer};

use super::item::ItemCost;

/// The table that the repository publishes.
const PUBLISHED: &str = include_str!("rungs/paged-on-disk.rungs");
/// A longer file is no table.
const MAX_BYTES: u64 = 64 << 10;

/// A time that grows with the bytes moved.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rate {
    fixed_ms: f64,
    mb_per_s: f64,
}

impl Rate {
    fn time(self, size_mb: f64) -> Duration {
        Duration::from_secs_f64(self.fixed_ms / 1e3 + size_mb / self.mb_per_s)
    }
}

/// One parked rung for all items of a replay.
#[derive(Clone, Debug, PartialEq)]
pub struct RungTable {
    stays: f64,
    touched: f64,
    enter: Rate,
    wake: Rate,
    swap_mb: f64,
    wake_lanes: usize,
}

/// A text that is no table of rungs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RungTableError {
    /// The file cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why, in words.
        error: String,
    },
    /// A line is wrong.
    #[error("line {line}: {what}")]
    Line {
        /// From 1.
        line: usize,
        /// The mistake, and the way out.
        what: String,
    },
    /// Keys are missing.
    #[error("{} is missing; a table has {}", .0, KEYS.map(|k| k.name).join(", "))]
    Missing(&'static str),
}

/// A key of the table, and the range of its number.
#[derive(Clone, Copy, Debug)]
struct Key {
    name: &'static str,
    least: f64,
    most: f64,
}

const KEYS: [Key; 8] = [
    Key { name: "stays", least: 0.0, most: 1.0 },
    Key { name: "touched", least: 0.0, most: 1.0 },
    Key { name: "enter_ms", least: 0.0, most: 600_000.0 },
    Key { name: "enter_mb_per_s", least: 0.001, most: 1e9 },
    Key { name: "wake_ms", least: 0.0, most: 600_000.0 },
    Key { name: "wake_mb_per_s", least: 0.001, most: 1e9 },
    Key { name: "swap_mb", least: 0.0, most: 1e12 },
    Key { name: "wake_lanes", least: 1.0, most: 64.0 },
];

impl RungTable {
    /// The table that the repository publishes: a swap file on a disk.
    #[must_use]
    pub fn published() -> Self {
        Self::parse(PUBLISHED).expect("the published table is valid, as a test proves")
    }

    /// Reads a table from a file.
    ///
    /// # Errors
    /// When the file cannot be read, or is no table.
    pub fn open(path: &Path) -> Result<Self, RungTableError> {
        let unreadable =
            |error: String| RungTableError::Unreadable { path: path.to_owned(), error };
        let size = std::fs::metadata(path).map_err(|e| unreadable(e.to_string()))?.len();
        if size > MAX_BYTES {
            return Err(unreadable(format!("it has {size} bytes, a table at most {MAX_BYTES}")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))?;
        Self::parse(&text)
    }

    /// Reads lines of `key = number`; `#` begins a comment.
    ///
    /// # Errors
    /// When a line is no such line, a key is unknown, repeated or missing, or a number is out of range.
    pub fn parse(text: &str) -> Result<Self, RungTableError> {
        let mut found: [Option<f64>; KEYS.len()] = [None; KEYS.len()];
        for (i, line) in text.lines().enumerate() {
            let bad = |what: String| RungTableError::Line { line: i + 1, what };
            let content = line.split('#').next().unwrap_or_default().trim();
            if content.is_empty() {
                continue;
            }
            let Some((name, number)) = content.split_once('=') else {
                return Err(bad(format!("{} is not `key = number`", quoted_start(content))));
            };
            let name = name.trim();
            let Some(at) = KEYS.iter().position(|k| k.name == name) else {
                let known = KEYS.map(|k| k.name).join(", ");
                return Err(bad(format!("{} is no key; choose from {known}", quoted_start(name))));
            };
            let Key { name, least, most } = KEYS[at];
            let number = number.trim();
            let value: f64 = number
                .parse()
                .map_err(|_| bad(format!("{} of {name} is not a number", quoted_start(number))))?;
            if !(least..=most).contains(&value) {
                return Err(bad(format!(
                    "{name} is {value}; it must lie within {least} and {most}"
                )));
            }
            if found[at].replace(value).is_some() {
                return Err(bad(format!("{name} is given twice; remove one of the lines")));
            }
        }
        let mut values = [0.0; KEYS.len()];
        for (value, (found, key)) in values.iter_mut().zip(found.iter().zip(KEYS)) {
            *value = found.ok_or(RungTableError::Missing(key.name))?;
        }
        let [stays, touched, enter_ms, enter_rate, wake_ms, wake_rate, swap_mb, wake_lanes] =
            values;
        Ok(Self {
            stays,
            touched,
            enter: Rate { fixed_ms: enter_ms, mb_per_s: enter_rate },
            wake: Rate { fixed_ms: wake_ms, mb_per_s: wake_rate },
            swap_mb,
            wake_lanes: wake_lanes as usize,
        })
    }

    /// The one rung of the table, with figures for an item of this cost.
    pub(super) fn offer(&self, key: ComponentKey, item: &ItemCost) -> RungOffer {
        let figures = RungFigures {
            stays: self.stays,
            swapped: 1.0 - self.stays,
            enter: self.enter(item),
            wake: self.wake(item),
            ..RungFigures::default()
        };
        RungOffer { key, rung: Rung::Paged, figures }
    }

    /// Share of a parked item's memory that stays.
    pub(super) fn stays(&self) -> f64 {
        self.stays
    }

    /// Share of a woken item's memory that is in memory again.
    pub(super) fn has_when_woken(&self) -> f64 {
        self.stays + (1.0 - self.stays) * self.touched
    }

    /// How long an item takes until it is parked.
    pub(super) fn enter(&self, item: &ItemCost) -> Duration {
        self.enter.time(item.size_mb)
    }

    /// How long a parked item takes until it is ready.
    pub(super) fn wake(&self, item: &ItemCost) -> Duration {
        self.wake.time(item.size_mb)
    }

    /// Whether an item is ever parked: a wake that is not shorter than its load saves nothing.
    pub(super) fn saves(&self, item: &ItemCost) -> bool {
        self.wake(item) < item.load_time
    }

    /// Megabytes that parked items may have in swap.
    pub(super) fn swap_mb(&self) -> f64 {
        self.swap_mb
    }

    /// Wakes that may run at a time.
    pub(super) fn wake_lanes(&self) -> usize {
        self.wake_lanes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_table_is_valid_and_its_text_states_what_it_gives() {
        let table = RungTable::published();
        let item = ItemCost { size_mb: 136.0, load_time: Duration::from_millis(200) };
        let near = |time: Duration, want: f64| (time.as_secs_f64() - want).abs() < 0.005;
        assert!(near(table.enter(&item), 0.2) && near(table.wake(&item), 0.136), "{table:?}");
        assert!(table.saves(&item));
        assert!(
            (table.has_when_woken() - 0.466).abs() < 1e-9,
            "two fifths of what is in swap come back"
        );
        assert!(!table.saves(&ItemCost { load_time: Duration::from_millis(100), ..item }));
    }

    #[test]
    fn bad_table_is_an_error_that_names_the_line_and_the_way_out() {
        let check = |change: fn(String) -> String, want: &[&str]| {
            let error = RungTable::parse(&change(PUBLISHED.to_owned())).unwrap_err().to_string();
            for part in want {
                assert!(error.contains(part), "{error:?} does not contain {part:?}");
            }
        };
        check(|t| t.replace("stays = 0.11", "stays 0.11"), &["line 12", "key = number"]);
        check(|t| t.replace("stays = 0.11", "stays = 1.5"), &["line 12", "1.5", "within 0 and 1"]);
        check(|t| t.replace("wake_ms = 60", "wake_ms = x"), &["wake_ms", "\"x\"", "number"]);
        check(|t| t.replace("wake_ms = 60", "wake_ms = NaN"), &["wake_ms is NaN"]);
        check(|t| t.replace("wake_ms", "wakes"), &["\"wakes\"", "choose from", "enter_ms"]);
        check(|t| t.replace("wake_ms = 60", ""), &["wake_ms is missing"]);
        check(|t| format!("{t}stays = 0.2\n"), &["stays is given twice"]);
    }
}
