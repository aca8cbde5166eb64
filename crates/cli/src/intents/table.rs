//! Tables of texts and their labels: `labels TAB text`, or `split TAB labels TAB text`.
//!
//! Reads a whole file and reports every problem with its line; learns nothing.

use std::fmt;
use std::io::BufRead;

use majordomo::{ComponentId, MAX_TEXT, count, decode_line, quoted};

/// The label of a text that needs no component, unless a component of the configuration is called so.
const NONE: &str = "none";

/// Bytes of a line: a text and its labels.
const MAX_LINE: usize = MAX_TEXT + 8192;

/// A text and what it needs, sorted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub text: String,
    pub labels: Vec<ComponentId>,
}

/// The problem of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.what)
    }
}

/// The rows of a file by split; without splits all are to be learned.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub train: Vec<Row>,
    pub valid: Vec<Row>,
    pub test: Vec<Row>,
    /// Rows with an unknown label that were skipped as asked.
    pub skipped: usize,
    pub problems: Vec<Problem>,
}

impl Rows {
    /// Reads lines; labels must be among `known`, if that is given.
    pub(super) fn read(
        mut from: impl BufRead,
        known: Option<&[ComponentId]>,
        skip_unknown: bool,
    ) -> std::io::Result<Self> {
        let mut out = Self::default();
        let mut n_columns = None;
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if from.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let text = match decode_line(&line, number) {
                Ok("") => continue,
                Ok(text) => text,
                Err(error) => {
                    let what = format!("{}; {}", error.what(), error.way_out());
                    out.problems.push(Problem { line: number, what });
                    if error.is_whole_text() {
                        break;
                    }
                    continue;
                }
            };
            if let Err(what) = out.line(text, &mut n_columns, known, skip_unknown) {
                out.problems.push(Problem { line: number, what });
            }
        }
        Ok(out)
    }

    /// Whether nothing was read before.
    fn is_first(&self) -> bool {
        self.train.is_empty()
            && self.valid.is_empty()
            && self.test.is_empty()
            && self.problems.is_empty()
    }

    fn line(
        &mut self,
        text: &str,
        n_columns: &mut Option<usize>,
        known: Option<&[ComponentId]>,
        skip_unknown: bool,
    ) -> Result<(), String> {
        if text.len() > MAX_LINE {
            return Err(format!("the line has {} bytes, more than {MAX_LINE}", text.len()));
        }
        let columns: Vec<&str> = text.split('\t').collect();
        let n = columns.len();
        let expected = *n_columns.get_or_insert(n);
        let (split, labels, text) = match columns.as_slice() {
            _ if n != expected => {
                return Err(format!("{}, the first line has {expected}", count(n, "column")));
            }
            [labels, text] => ("train", *labels, *text),
            [split, labels, text] => (*split, *labels, *text),
            _ => {
                return Err(format!(
                    "{}; write labels TAB text, or split TAB labels TAB text",
                    count(n, "column")
                ));
            }
        };
        let is_first = self.is_first();
        let rows = match split {
            "train" => &mut self.train,
            "valid" => &mut self.valid,
            "test" => &mut self.test,
            other => {
                return Err(format!("the split {} is not train, valid or test", quoted(other)));
            }
        };
        if is_first && is_heading(labels, text) {
            return Err("this line looks like a heading; a table has none".to_owned());
        }
        let mut ids = Vec::new();
        let labels: Vec<_> = labels.split(',').map(str::trim).filter(|l| !l.is_empty()).collect();
        for &label in &labels {
            let is_none = label.eq_ignore_ascii_case(NONE);
            if is_none && !known.is_some_and(|known| known.iter().any(|id| id.as_str() == NONE)) {
                if labels.len() > 1 {
                    return Err(format!(
                        "{NONE} means that no component is needed, but others are named too"
                    ));
                }
                break;
            }
            let id = ComponentId::new(label).map_err(|e| {
                format!("{} is not a component name: {e}; write the labels before the text, separated by commas", quoted(label))
            })?;
            if known.is_some_and(|known| !known.contains(&id)) {
                if skip_unknown {
                    self.skipped += 1;
                    return Ok(());
                }
                return Err(format!(
                    "{} is not a component of the configuration; correct it ({NONE}, or nothing, where no component is needed), or use --skip-unknown",
                    quoted(label)
                ));
            }
            ids.push(id);
        }
        if text.trim().is_empty() {
            return Err("the text is blank".to_owned());
        }
        ids.sort();
        ids.dedup();
        rows.push(Row { text: text.to_owned(), labels: ids });
        Ok(())
    }
}

/// Whether the columns of a line are names of columns.
fn is_heading(labels: &str, text: &str) -> bool {
    let is_one = |word: &str, of: &[&str]| of.iter().any(|o| word.trim().eq_ignore_ascii_case(o));
    let of_labels = ["label", "labels", "component", "components", "intent", "intents"];
    let of_texts = ["text", "texts", "command", "commands", "utterance", "sentence", "phrase"];
    (is_one(labels, &of_labels) && is_one(text, &of_texts))
        || (is_one(labels, &of_texts) && is_one(text, &of_labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], known: Option<&[&str]>, want: &[&str]) -> Rows {
        let known: Option<Vec<_>> =
            known.map(|k| k.iter().map(|n| ComponentId::new(n).unwrap()).collect());
        let rows = Rows::read(text, known.as_deref(), false).unwrap();
        let got: Vec<_> = rows.problems.iter().map(ToString::to_string).collect();
        assert_eq!(got, want);
        rows
    }

    #[test]
    fn lines_become_rows_and_problems_name_their_lines() {
        let rows = check(b"music\tplay\r\n\n\thello\nb,a,b\tboth\n", None, &[]);
        let labels: Vec<Vec<_>> =
            rows.train.iter().map(|r| r.labels.iter().map(ComponentId::as_str).collect()).collect();
        assert_eq!(labels, [vec!["music"], vec![], vec!["a", "b"]]);
        assert_eq!(rows.train[0].text, "play");
        let rows = check(b"train\ta\tone\nvalid\t\ttwo\ntest\ta\tthree", None, &[]);
        assert_eq!((rows.train.len(), rows.valid.len(), rows.test.len()), (1, 1, 1));
        check(
            b"a\tone\nb two\nx\ty\tz\na\t \n\xff\tx\nA B\tx\nc\tx\n",
            Some(&["a"]),
            &[
                "2: 1 column, the first line has 2",
                "3: 3 columns, the first line has 2",
                "4: the text is blank",
                "5: byte 1 of the line, 0xFF, is not UTF-8 (in Windows-1252 it is \"ÿ\"); save it as UTF-8, or convert it: iconv -f WINDOWS-1252 -t UTF-8",
                &format!(
                    "6: \"A B\" is not a component name: {}; write the labels before the text, separated by commas",
                    ComponentId::new("A B").unwrap_err()
                ),
                "7: \"c\" is not a component of the configuration; correct it (none, or nothing, where no component is needed), or use --skip-unknown",
            ],
        );
        check(b"dev\ta\tx", None, &["1: the split \"dev\" is not train, valid or test"]);
        check(
            b"alone",
            None,
            &["1: 1 column; write labels TAB text, or split TAB labels TAB text"],
        );
        let long = [b"a\t".as_slice(), &b"x".repeat(MAX_LINE)].concat();
        assert_eq!(Rows::read(long.as_slice(), None, false).unwrap().problems.len(), 1);
    }

    #[test]
    fn byte_order_mark_is_no_part_of_a_table_and_other_encodings_are_refused_once() {
        let rows = check(b"\xef\xbb\xbfa\tone\r\nb\ttwo\r\n", Some(&["a", "b"]), &[]);
        assert_eq!(rows.train.len(), 2);
        check(
            b"\xff\xfea\0\t\0x\0\n\0b\0\t\0y\0",
            None,
            &[
                "1: the text is UTF-16 (little-endian), not UTF-8; save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8",
            ],
        );
    }

    #[test]
    fn label_none_is_no_component_unless_one_is_called_so() {
        let rows = check(b"none\thello\nNone\thi\n\tho\na\tx\n", Some(&["a"]), &[]);
        assert_eq!(rows.train.iter().map(|r| r.labels.len()).collect::<Vec<_>>(), [0, 0, 0, 1]);
        assert_eq!(check(b"none\thello\n", None, &[]).train[0].labels, []);
        let rows = check(b"none\thello\n", Some(&["none"]), &[]);
        assert_eq!(rows.train[0].labels.len(), 1);
        check(
            b"a,none\tx\n",
            None,
            &["1: none means that no component is needed, but others are named too"],
        );
    }

    #[test]
    fn heading_is_reported_as_a_heading() {
        let problem = "1: this line looks like a heading; a table has none";
        check(b"labels\ttext\na\tx\n", None, &[problem]);
        check(b"Text\tIntent\na\tx\n", None, &[problem]);
        check(b"a\tx\ncomponent\ttext\n", None, &[]);
    }

    #[test]
    fn unknown_labels_can_be_skipped() {
        let known = [ComponentId::new("a").unwrap()];
        let rows = Rows::read(&b"a\tx\nb\ty\na,b\tz\n"[..], Some(&known), true).unwrap();
        assert_eq!((rows.train.len(), rows.skipped, rows.problems.len()), (1, 2, 0));
    }
}
