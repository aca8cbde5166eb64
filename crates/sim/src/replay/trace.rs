//! Usage traces: reading `user TAB unix_seconds TAB item [TAB command text]`, plain or gzip.
//!
//! There is no header line, and no fifth column: a tab in the command text would look like one, so
//! it is refused. A UTF-8 byte order mark at the start, as some editors write it, is skipped.
//!
//! Invariant: a trace that was read has contiguous users, times that never decrease within a user, no
//! two equal items in a row, and at least [`MIN_EVENTS`] events a user. Any other input is an error that
//! names the line, or is counted in [`Trace::dropped_users`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use majordomo_core::{ComponentKey, count, decode_line};

use super::item::ItemCost;

/// Users with fewer events, repeats merged, are left out.
pub const MIN_EVENTS: usize = 30;

/// A longer line is refused, in bytes.
const MAX_LINE: u64 = 1 << 16;

/// The format of a line, for errors.
const COLUMNS: &str = "user, unix seconds, item and optionally the command, separated by tabs";

/// Characters and columns of a bad line that are shown.
const SHOWN: usize = 40;
const SHOWN_COLUMNS: usize = 3;

/// One use of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceEvent {
    /// Unix time in microseconds.
    pub at_us: u64,
    /// The time of its last repetition before another item was used; `at_us` where there was none.
    pub until_us: u64,
    /// The item's number for this user, in the order of first use.
    pub item: ComponentKey,
}

/// One user's history.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the name of the other field says it")]
pub struct UserTrace {
    pub name: String,
    /// Names of the items by key.
    pub items: Vec<String>,
    /// Size and load time of the items by key.
    pub costs: Vec<ItemCost>,
    /// The events in order of time.
    pub events: Vec<TraceEvent>,
}

/// The histories of some users.
#[derive(Clone, Debug)]
pub struct Trace {
    /// The file's name without `.tsv` and `.gz`.
    pub name: String,
    /// The users, in the order of the file.
    pub users: Vec<UserTrace>,
    /// Users left out because fewer than [`MIN_EVENTS`] events remained.
    pub dropped_users: usize,
}

/// Why a trace could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names and messages of the other variants and fields say it")]
pub enum TraceError {
    #[error("trace {path:?} cannot be read")]
    Io { path: PathBuf, source: io::Error },
    /// A line that is not an event.
    #[error("trace {path:?}, line {line}: {what}")]
    Line {
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The problem with the line, and the way out.
        what: String,
    },
    /// No user has enough events.
    #[error(
        "trace {path:?} has no user with at least {MIN_EVENTS} events ({} read, repeated items merged); \
         a longer history is needed", count(*users, "user")
    )]
    NoUsers {
        path: PathBuf,
        /// Users read and left out.
        users: usize,
    },
}

/// Microseconds of `1234` or `1234.5`.
fn parse_seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let mut micros = 0;
    for i in 0..6 {
        micros = micros * 10 + u64::from(fraction.as_bytes().get(i).map_or(0, |b| b - b'0'));
    }
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)
}

/// A text in quotes, shortened when it is long.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// The error for a line with more columns than the format has; `more` are the columns after the fourth.
fn too_many(more: &[&str]) -> String {
    let shown: Vec<_> = more.iter().take(SHOWN_COLUMNS).map(|c| shortened(c)).collect();
    format!(
        "{} columns where there are 3 or 4: {COLUMNS}; take {}{} out (a tab inside a command becomes a space)",
        more.len() + 4,
        shown.join(", "),
        if more.len() > SHOWN_COLUMNS { ", ..." } else { "" }
    )
}

/// The columns of a line.
struct Line<'a> {
    user: &'a str,
    seconds: &'a str,
    at_us: u64,
    item: &'a str,
}

impl<'a> Line<'a> {
    /// Reads a line; the error says what is wrong with it.
    fn parse(bytes: &'a [u8], line: usize) -> Result<Self, String> {
        let text = decode_line(bytes, line)
            .map_err(|error| format!("{}; {}", error.what(), error.way_out()))?;
        let columns: Vec<&str> = text.split('\t').collect();
        let (user, seconds, item) = match *columns.as_slice() {
            [user, seconds, item] | [user, seconds, item, _] => (user, seconds, item),
            [_, _, _, _, ref more @ ..] => return Err(too_many(more)),
            _ => {
                let n = if text.is_empty() { 0 } else { columns.len() };
                return Err(format!("{} instead of {COLUMNS}", count(n, "column")));
            }
        };
        // An empty item is allowed: shells record commands without a program.
        if user.is_empty() {
            return Err("the user is empty".into());
        }
        if text.bytes().any(|b| b == 0) {
            return Err("contains a zero byte; a trace is text".into());
        }
        let at_us = parse_seconds(seconds).ok_or_else(|| {
            let header = if line == 1 { ", and no header line" } else { "" };
            let seconds = shortened(seconds);
            format!("{seconds} is not a time; write unix seconds, such as 1564000000{header}")
        })?;
        Ok(Self { user, seconds, at_us, item })
    }
}

/// The history of one user while it is read.
struct Builder {
    user: UserTrace,
    keys: BTreeMap<String, ComponentKey>,
}

impl Builder {
    fn new(name: &str) -> Self {
        Self {
            user: UserTrace {
                name: name.to_owned(),
                items: Vec::new(),
                costs: Vec::new(),
                events: Vec::new(),
            },
            keys: BTreeMap::new(),
        }
    }

    fn push(&mut self, at_us: u64, item: &str) {
        let user = &mut self.user;
        let key = match self.keys.get(item) {
            Some(key) => *key,
            None => {
                let key = ComponentKey::from_index(user.items.len());
                user.items.push(item.to_owned());
                user.costs.push(ItemCost::of(item));
                self.keys.insert(item.to_owned(), key);
                key
            }
        };
        match user.events.last_mut() {
            Some(last) if last.item == key => last.until_us = at_us,
            _ => user.events.push(TraceEvent { at_us, until_us: at_us, item: key }),
        }
    }
}

impl Trace {
    /// Reads a trace from a file, plain or gzip (recognised by its first bytes).
    ///
    /// # Errors
    /// When the file cannot be read or unpacked, a line is not an event (with its number), a user's times
    /// decrease, a user's lines are not contiguous, or no user has enough events.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let io_error = |source| TraceError::Io { path: path.to_owned(), source };
        let mut reader = BufReader::new(File::open(path).map_err(io_error)?);
        let gzip = reader.fill_buf().map_err(io_error)?.starts_with(&[0x1f, 0x8b]);
        if gzip {
            Self::read(path, BufReader::new(flate2::bufread::MultiGzDecoder::new(reader)))
        } else {
            Self::read(path, reader)
        }
    }

    /// Reads a trace; `path` names it, also in errors.
    ///
    /// # Errors
    /// As [`Trace::open`].
    pub fn read(path: &Path, mut reader: impl BufRead) -> Result<Self, TraceError> {
        let mut users: Vec<UserTrace> = Vec::new();
        let mut names = BTreeSet::new();
        let mut dropped_users = 0;
        let mut current: Option<(Builder, u64)> = None;
        let mut buffer = Vec::new();
        let mut line = 0;
        let mut finish = |b: Option<(Builder, u64)>| {
            if let Some((b, _)) = b {
                if b.user.events.len() < MIN_EVENTS {
                    dropped_users += 1;
                } else {
                    users.push(b.user);
                }
            }
        };
        loop {
            buffer.clear();
            line += 1;
            let bad = |what: String| TraceError::Line { path: path.to_owned(), line, what };
            let n = reader
                .by_ref()
                .take(MAX_LINE + 1)
                .read_until(b'\n', &mut buffer)
                .map_err(|e| bad(format!("cannot be read or unpacked: {e}")))?;
            if n == 0 {
                break;
            }
            if n as u64 > MAX_LINE {
                return Err(bad(format!(
                    "longer than {MAX_LINE} bytes; a trace is tab-separated text"
                )));
            }
            let Line { user, seconds, at_us, item } = Line::parse(&buffer, line).map_err(bad)?;
            match &mut current {
                Some((b, last)) if b.user.name == user => {
                    if at_us < *last {
                        return Err(bad(format!(
                            "the time of user {user:?} decreases to {seconds} from {}; sort by user and time",
                            *last / 1_000_000
                        )));
                    }
                    *last = at_us;
                    b.push(at_us, item);
                }
                _ => {
                    finish(current.take());
                    if !names.insert(user.to_owned()) {
                        return Err(bad(format!(
                            "the lines of user {user:?} are not contiguous; sort by user and time"
                        )));
                    }
                    let mut b = Builder::new(user);
                    b.push(at_us, item);
                    current = Some((b, at_us));
                }
            }
        }
        finish(current);
        if users.is_empty() {
            return Err(TraceError::NoUsers { path: path.to_owned(), users: dropped_users });
        }
        Ok(Self { name: trace_name(path), users, dropped_users })
    }

    /// Keeps every `stride`-th user, starting with the first. 0 and 1 keep all.
    pub fn keep_every(&mut self, stride: usize) {
        if stride > 1 {
            let mut position = 0;
            self.users.retain(|_| {
                position += 1;
                (position - 1) % stride == 0
            });
        }
    }

    /// Number of events of all users.
    #[must_use]
    pub fn n_events(&self) -> usize {
        self.users.iter().map(|u| u.events.len()).sum()
    }
}

/// `shell-kypo` of `…/shell-kypo.tsv.gz`.
fn trace_name(path: &Path) -> String {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    name.strip_suffix(".tsv").unwrap_or(name).to_owned()
}
