//! Reads labelled texts: TSV of split, labels and text. A row that is not so is an error with its line.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, bail};

/// The label of texts that belong to no label.
const OUT_OF_SCOPE: &str = "oos";

/// A text and its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) text: String,
    /// Sorted numbers of labels.
    pub(crate) labels: Vec<u32>,
}

/// A data set with its splits.
#[derive(Clone, Debug, Default)]
pub(crate) struct DataSet {
    pub(crate) name: String,
    /// Names by number, sorted.
    pub(crate) labels: Vec<String>,
    pub(crate) train: Vec<Row>,
    pub(crate) valid: Vec<Row>,
    pub(crate) test: Vec<Row>,
    /// Whether some rows were out of scope.
    pub(crate) has_out_of_scope: bool,
}

impl DataSet {
    /// Reads a file with rows to learn from and rows to check with, gzipped where its name ends so.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let set = Self::read_rows(path)?;
        set.check().with_context(|| path.display().to_string())?;
        Ok(set)
    }

    /// Reads a file that may lack some of the splits, gzipped where its name ends so.
    pub(crate) fn read_rows(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
        let bytes = if path.extension().is_some_and(|e| e == "gz") {
            let mut out = Vec::new();
            flate2::read::GzDecoder::new(bytes.as_slice())
                .read_to_end(&mut out)
                .with_context(|| format!("{shown} is no sound gzip file"))?;
            out
        } else {
            bytes
        };
        let text = majordomo_core::decode_text(bytes)
            .with_context(|| format!("{shown} cannot be read"))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.split('.').next().unwrap_or_default();
        Self::parse_rows(name, &text).with_context(|| shown.to_string())
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.train.is_empty() {
            bail!("no row of split train");
        }
        if self.valid.is_empty() {
            bail!("no row of split valid");
        }
        Ok(())
    }

    /// Parses the text of a file that may lack some of the splits.
    pub(crate) fn parse_rows(name: &str, text: &str) -> anyhow::Result<Self> {
        let mut out = Self { name: name.to_owned(), ..Self::default() };
        let mut raw: Vec<(&str, Vec<&str>, &str)> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let columns: Vec<&str> = line.split('\t').collect();
            let &[split, labels, text] = columns.as_slice() else {
                bail!(
                    "line {}: {} columns, 3 are needed: split, labels, text",
                    at + 1,
                    columns.len()
                );
            };
            if !["train", "valid", "test"].contains(&split) {
                bail!("line {}: split {split:?}, it must be train, valid or test", at + 1);
            }
            let all: Vec<&str> = labels.split(',').filter(|l| !l.is_empty()).collect();
            let known: Vec<&str> = all.iter().copied().filter(|l| *l != OUT_OF_SCOPE).collect();
            out.has_out_of_scope |= known.len() < all.len();
            raw.push((split, known, text));
        }
        let mut index: BTreeMap<&str, u32> =
            raw.iter().flat_map(|r| r.1.iter().copied()).map(|l| (l, 0)).collect();
        for (at, number) in index.values_mut().enumerate() {
            *number = u32::try_from(at)?;
        }
        for (split, labels, text) in raw {
            let mut labels: Vec<u32> = labels.iter().map(|l| index[l]).collect();
            labels.sort_unstable();
            labels.dedup();
            let row = Row { text: text.to_owned(), labels };
            match split {
                "train" => out.train.push(row),
                "valid" => out.valid.push(row),
                _ => out.test.push(row),
            }
        }
        out.labels = index.into_keys().map(str::to_owned).collect();
        Ok(out)
    }

    /// The rows to score: test, else valid.
    pub(crate) fn scored(&self) -> &[Row] {
        if self.test.is_empty() { &self.valid } else { &self.test }
    }

    /// Adds another set with labels of its own.
    pub(crate) fn append(&mut self, other: Self) {
        let offset = self.labels.len() as u32;
        let shift = |mut row: Row| {
            row.labels.iter_mut().for_each(|l| *l += offset);
            row
        };
        self.labels.extend(other.labels);
        self.train.extend(other.train.into_iter().map(shift));
        self.valid.extend(other.valid.into_iter().map(shift));
        self.test.extend(other.test.into_iter().map(shift));
    }

    /// Keeps the rows that satisfy `keep`.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Row) -> bool) {
        for rows in [&mut self.train, &mut self.valid, &mut self.test] {
            rows.retain(&keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of a complete table.
    fn parse(name: &str, text: &str) -> anyhow::Result<DataSet> {
        let set = DataSet::parse_rows(name, text)?;
        set.check()?;
        Ok(set)
    }

    #[test]
    fn rows_are_read_and_faults_named_with_their_line() {
        let set = parse("x", "train\tb,a\thi\nvalid\toos\tno\ntrain\t\tnone\n").expect("sound");
        assert_eq!(set.labels, ["a", "b"]);
        assert_eq!(set.train[0].labels, [0, 1]);
        assert!(set.has_out_of_scope && set.valid[0].labels.is_empty());
        let check = |text: &str, want: &str| {
            let error = parse("x", text).expect_err(text).to_string();
            assert!(error.contains(want), "{error}");
        };
        check("train\ta\n", "line 1: 2 columns");
        check("train\ta\tb\tc\n", "line 1: 4 columns");
        check("train\ta\tb\ntrial\ta\tb\n", "line 2: split \"trial\"");
        check("", "no row of split train");
        check("train\ta\tb\n", "no row of split valid");
    }
}
