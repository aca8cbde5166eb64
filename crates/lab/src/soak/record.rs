//! A run's memory: rows of samples, marks, totals; written during the run, and read again by `--resume`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use super::plan::Profile;
use super::sample::{Levels, Sample};

/// The pools whose bytes have a column.
pub(crate) const POOLS: [&str; 5] = ["vision", "audio", "ml", "general", "gpu"];
/// Violations kept in words; all are counted.
const MAX_LISTED: usize = 200;

/// The columns of `samples.csv`.
pub(crate) const COLUMNS: [&str; 33] = [
    "epoch",
    "at_s",
    "age_s",
    "resting",
    "pressure",
    "rss",
    "pss",
    "heap_used",
    "heap_retained",
    "descriptors",
    "threads",
    "tasks",
    "children",
    "booked",
    "claimed",
    "overdraft",
    "pool_vision",
    "pool_audio",
    "pool_ml",
    "pool_general",
    "pool_gpu",
    "waiting",
    "hints_waiting",
    "loads_running",
    "ready_n",
    "ready_p50_us",
    "ready_p99_us",
    "ready_p999_us",
    "wait_n",
    "wait_p50_ms",
    "wait_p99_ms",
    "wait_p999_ms",
    "loads",
];

/// One line of `samples.csv`; latencies of which there were none are NaN.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row(pub(crate) [f64; COLUMNS.len()]);

impl Row {
    pub(crate) fn new(s: &Sample) -> Self {
        let l = &s.levels;
        let quantile = |h: &Histogram, q: f64, unit: f64| {
            h.quantile(q).map_or(f64::NAN, |d| d.as_secs_f64() * unit)
        };
        let loads = ["loads of programs", "loads of builtins"].map(|k| s.counters.get(k).copied());
        let mut row = vec![f64::from(s.epoch), s.at_s, s.age_s, f64::from(u8::from(s.resting))];
        row.push(f64::from(s.pressure));
        let whole = [
            l.rss,
            l.pss,
            l.heap_used,
            l.heap_retained,
            l.descriptors,
            l.threads,
            l.tasks,
            l.children,
            s.booked,
            s.claimed,
            s.overdraft,
        ];
        row.extend(whole.map(|n| n as f64));
        row.extend(POOLS.map(|p| s.pools.get(p).copied().unwrap_or(0) as f64));
        row.extend([s.waiting, s.hints_waiting, s.loads_running].map(|n| n as f64));
        row.push(s.ready.count() as f64);
        row.extend([0.5, 0.99, 0.999].map(|q| quantile(&s.ready, q, 1e6)));
        row.push(s.wait.count() as f64);
        row.extend([0.5, 0.99, 0.999].map(|q| quantile(&s.wait, q, 1e3)));
        row.push(loads.into_iter().flatten().sum::<u64>() as f64);
        let mut all = [f64::NAN; COLUMNS.len()];
        all.iter_mut().zip(row).for_each(|(to, from)| *to = from);
        Self(all)
    }

    /// The value of a column.
    pub(crate) fn get(&self, column: &str) -> f64 {
        COLUMNS.iter().position(|c| *c == column).map_or(f64::NAN, |i| self.0[i])
    }

    pub(crate) fn is_resting(&self) -> bool {
        self.get("resting") == 1.0
    }

    fn line(&self) -> String {
        let words = self.0.iter().map(|v| match v {
            v if v.is_nan() => String::new(),
            v if v.fract() == 0.0 => format!("{v:.0}"),
            v => format!("{v:.3}"),
        });
        words.collect::<Vec<_>>().join(",")
    }

    fn parse(line: &str) -> Option<Self> {
        let mut row = [f64::NAN; COLUMNS.len()];
        let words: Vec<_> = line.split(',').collect();
        if words.len() != row.len() {
            return None;
        }
        for (to, word) in row.iter_mut().zip(words) {
            *to = if word.is_empty() { f64::NAN } else { word.parse().ok()? };
        }
        Some(Self(row))
    }
}

/// How one process of the manager ended after a request to stop.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ending {
    /// After warming up; none when it was ended before.
    pub(crate) start: Option<Levels>,
    pub(crate) end: Levels,
    pub(crate) booked: u64,
    pub(crate) not_unloaded: Vec<String>,
    pub(crate) stuck: Vec<String>,
    pub(crate) in_order: bool,
    /// Marked processes two seconds after it.
    pub(crate) orphans: usize,
}

/// A run and its results so far: `checkpoint.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) profile: Profile,
    pub(crate) seed: u64,
    pub(crate) total_s: f64,
    pub(crate) elapsed_s: f64,
    pub(crate) epoch: u32,
    pub(crate) marks: Vec<(f64, String)>,
    pub(crate) violations: Vec<(f64, String)>,
    pub(crate) n_violations: u64,
    pub(crate) n_hung: u64,
    /// Of epochs that are over.
    pub(crate) counters: BTreeMap<String, u64>,
    /// Of the epoch at hand.
    pub(crate) current: BTreeMap<String, u64>,
    pub(crate) ready_calm: Histogram,
    pub(crate) ready_pressed: Histogram,
    pub(crate) wait_calm: Histogram,
    pub(crate) wait_pressed: Histogram,
    #[serde(default)]
    pub(crate) socket: Histogram,
    pub(crate) endings: Vec<Ending>,
    /// How pressure was made, in words.
    pub(crate) pressure: String,
    /// Components may be parked.
    #[serde(default)]
    pub(crate) rungs: bool,
    /// How programs were parked in swap, or why not.
    #[serde(default)]
    pub(crate) swap: Option<Result<String, String>>,
}

impl Record {
    pub(crate) fn new(profile: Profile, seed: u64, total: Duration) -> Self {
        Self {
            profile,
            seed,
            total_s: total.as_secs_f64(),
            elapsed_s: 0.0,
            epoch: 0,
            marks: Vec::new(),
            violations: Vec::new(),
            n_violations: 0,
            n_hung: 0,
            counters: BTreeMap::new(),
            current: BTreeMap::new(),
            ready_calm: Histogram::default(),
            ready_pressed: Histogram::default(),
            wait_calm: Histogram::default(),
            wait_pressed: Histogram::default(),
            socket: Histogram::default(),
            endings: Vec::new(),
            pressure: String::new(),
            rungs: false,
            swap: None,
        }
    }

    pub(crate) fn mark(&mut self, at_s: f64, what: impl Into<String>) {
        self.marks.push((at_s, what.into()));
    }

    pub(crate) fn violation(&mut self, at_s: f64, what: impl Into<String>) {
        let what = what.into();
        self.n_violations += 1;
        self.n_hung += u64::from(what.contains("has no answer"));
        if self.violations.len() < MAX_LISTED {
            self.violations.push((at_s, what));
        }
    }

    /// Adds a sample's latencies and counts; gives what was counted since the one before.
    pub(crate) fn add(&mut self, sample: &Sample) -> Vec<(String, u64)> {
        let (ready, wait) = if sample.pressure == 0 {
            (&mut self.ready_calm, &mut self.wait_calm)
        } else {
            (&mut self.ready_pressed, &mut self.wait_pressed)
        };
        ready.merge(&sample.ready);
        wait.merge(&sample.wait);
        self.socket.merge(&sample.socket);
        let before = std::mem::replace(&mut self.current, sample.counters.clone());
        let since = |name: &String, n: &u64| n - before.get(name).copied().unwrap_or(0).min(*n);
        let counts = sample.counters.iter().map(|(name, n)| (name.clone(), since(name, n)));
        counts.filter(|(_, n)| *n > 0).collect()
    }

    /// A new process begins.
    pub(crate) fn next_epoch(&mut self) {
        for (name, n) in std::mem::take(&mut self.current) {
            *self.counters.entry(name).or_default() += n;
        }
        self.epoch += 1;
    }

    /// The count of the whole run.
    pub(crate) fn count(&self, name: &str) -> u64 {
        let of = |m: &BTreeMap<String, u64>| m.get(name).copied().unwrap_or(0);
        of(&self.counters) + of(&self.current)
    }

    /// All counts of the whole run.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        let names = self.counters.keys().chain(self.current.keys());
        names.map(|n| (n.clone(), self.count(n))).collect()
    }
}

/// The folder of a run.
#[derive(Clone, Debug)]
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Adds a line to `samples.csv`.
    pub(crate) fn append(&self, row: &Row) -> anyhow::Result<()> {
        self.append_to("samples.csv", &COLUMNS.join(","), &format!("{}\n", row.line()))
    }

    /// Adds what was counted since the sample before to `counts.csv`: loads, answers and errors by kind, faults.
    pub(crate) fn append_counts(
        &self,
        sample: &Sample,
        counts: &[(String, u64)],
    ) -> anyhow::Result<()> {
        let (epoch, at) = (sample.epoch, sample.at_s);
        let lines = counts.iter().map(|(what, n)| format!("{epoch},{at:.3},{what},{n}\n"));
        self.append_to("counts.csv", "epoch,at_s,what,n", &lines.collect::<String>())
    }

    fn append_to(&self, name: &str, head: &str, lines: &str) -> anyhow::Result<()> {
        let path = self.path(name);
        let is_new = !path.exists();
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        let mut file = file.with_context(|| format!("{} cannot be opened", path.display()))?;
        let head = if is_new { format!("{head}\n") } else { String::new() };
        file.write_all(format!("{head}{lines}").as_bytes())
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// The rows so far; a last line that was cut off is left out.
    pub(crate) fn rows(&self) -> anyhow::Result<Vec<Row>> {
        let path = self.path("samples.csv");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        let mut lines = text.lines();
        ensure!(
            lines.next() == Some(COLUMNS.join(",").as_str()),
            "{} has other columns than this program writes; begin a new run",
            path.display()
        );
        Ok(lines.filter_map(Row::parse).collect())
    }

    /// Writes `checkpoint.json` whole or not at all.
    pub(crate) fn save(&self, record: &Record) -> anyhow::Result<()> {
        let text = serde_json::to_vec(record)?;
        let (path, new) = (self.path("checkpoint.json"), self.path("checkpoint.new"));
        std::fs::write(&new, text)
            .and_then(|()| std::fs::rename(&new, &path))
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    pub(crate) fn load(&self) -> anyhow::Result<Record> {
        let path = self.path("checkpoint.json");
        let text = std::fs::read(&path).with_context(|| {
            format!(
                "{} cannot be read; --resume wants the folder of an earlier run",
                path.display()
            )
        })?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is no checkpoint of this program", path.display()))
    }
}

/// The folder of a new run: the one named, which must be empty, or the first free one below `target/stress`.
pub(crate) fn new_folder(named: Option<&Path>, word: &str) -> anyhow::Result<Folder> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => (1..)
            .map(|n| Path::new("target/stress").join(format!("{word}-{n}")))
            .find(|p| !p.exists())
            .context("no free folder")?,
    };
    std::fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
    let path = std::path::absolute(&path)?;
    ensure!(
        !path.join("checkpoint.json").exists(),
        "{} holds an earlier run; go on with --resume, or name another folder",
        path.display()
    );
    Ok(Folder(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> Folder {
        let path =
            std::env::temp_dir().join(format!("majordomo-record-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        new_folder(Some(&path), "x").unwrap()
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let folder = folder("rows");
        let mut sample = Sample { epoch: 1, at_s: 12.25, resting: true, ..Sample::default() };
        sample.wait.record(Duration::from_millis(31));
        sample.counters.insert("loads of programs".to_owned(), 4);
        sample.pools.insert("gpu".to_owned(), 9);
        let row = Row::new(&sample);
        assert_eq!((row.get("pool_gpu"), row.get("loads"), row.get("at_s")), (9.0, 4.0, 12.25));
        assert!(
            row.is_resting() && row.get("ready_p99_us").is_nan() && row.get("wait_p50_ms") >= 31.0
        );
        folder.append(&row).unwrap();
        folder.append(&row).unwrap();
        let mut text = std::fs::read_to_string(folder.path("samples.csv")).unwrap();
        text.push_str("1,13.2,");
        std::fs::write(folder.path("samples.csv"), text).unwrap();
        let rows = folder.rows().unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].line(), row.line());
        std::fs::remove_dir_all(folder.0).unwrap();
    }

    #[test]
    fn a_checkpoint_adds_up_over_epochs() {
        let folder = folder("adds");
        let mut record = Record::new(Profile::Mixed, 1, Duration::from_secs(60));
        let sample = |n, pressure| {
            let mut s = Sample { pressure, ..Sample::default() };
            s.counters.insert("granted".to_owned(), n);
            s.ready.record(Duration::from_micros(1));
            s
        };
        assert_eq!(record.add(&sample(5, 0)), [("granted".to_owned(), 5)]);
        let counts = record.add(&sample(7, 2));
        folder.append_counts(&sample(7, 2), &counts).unwrap();
        let text = std::fs::read_to_string(folder.path("counts.csv")).unwrap();
        assert_eq!(text, "epoch,at_s,what,n\n0,0.000,granted,2\n");
        record.next_epoch();
        record.add(&sample(3, 0));
        record.violation(1.0, "invariant 6: a demand has no answer");
        folder.save(&record).unwrap();
        let read = folder.load().unwrap();
        assert_eq!((read.count("granted"), read.epoch, read.n_hung), (10, 1, 1));
        assert_eq!((read.ready_calm.count(), read.ready_pressed.count()), (2, 1));
        assert!(new_folder(Some(&folder.0), "x").is_err());
        std::fs::remove_dir_all(folder.0).unwrap();
    }
}
