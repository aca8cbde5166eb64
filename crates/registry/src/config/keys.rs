//! The table of keys: what the reader accepts, the schema says and the reference documents.
//!
//! Each row has a key's name, its kind (which holds the setter), its default as it would be written and a
//! sentence for people. Reader, schema and reference are driven by these rows alone, so they cannot differ.

pub(crate) mod component;
pub(crate) mod intents;
pub(crate) mod legacy;
pub(crate) mod manager;
pub(crate) mod pool;
pub(crate) mod server;

use std::collections::BTreeMap;
use std::time::Duration;

use majordomo_core::{BudgetSetting, ByteSize, ComponentId};

use crate::ReadySpec;

/// A millisecond: the shortest deadline that means something.
pub(crate) const MS: Duration = Duration::from_millis(1);
/// The longest duration that is not taken for a slip: 30 days.
pub(crate) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// The smallest size that is not taken for a slip: a page.
pub(crate) const SMALLEST: ByteSize = ByteSize::kib(4);
/// The largest size that is not taken for a slip: 16 TiB.
pub(crate) const LARGEST: ByteSize = ByteSize::gib(16 << 10);

/// One key of a table.
pub(crate) struct Key<T: 'static> {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind<T>,
    /// As it would be written; empty when there is none.
    pub(crate) default: &'static str,
    pub(crate) doc: &'static str,
}

/// What a key's value must be, and where it goes.
pub(crate) enum Kind<T: 'static> {
    Bool(fn(&mut T, bool)),
    /// One of the words, by position.
    Word(&'static [&'static str], fn(&mut T, usize)),
    Text(fn(&mut T, String)),
    /// Within 4 KiB ..= 16 TiB.
    Size(fn(&mut T, ByteSize)),
    /// A size, or a share such as `"60%"`.
    Budget(fn(&mut T, BudgetSetting)),
    /// Within these bounds.
    Duration(Duration, Duration, fn(&mut T, Duration)),
    /// An integer within these bounds.
    Count(u64, u64, fn(&mut T, u64)),
    /// A list of integers within these bounds.
    Counts(u64, u64, fn(&mut T, Vec<u64>)),
    /// A number within these bounds.
    Number(f64, f64, fn(&mut T, f64)),
    /// Names of components.
    Names(fn(&mut T, Vec<ComponentId>)),
    /// Words and phrases, none of them blank.
    Phrases(fn(&mut T, Vec<String>)),
    /// Texts of any content.
    Texts(fn(&mut T, Vec<String>)),
    /// A table of texts.
    TextMap(fn(&mut T, BTreeMap<String, String>)),
    /// `"started"`, `"connect"`, `{ stdout = ".." }` or `{ http = "/.." }`.
    Ready(fn(&mut T, ReadySpec)),
    /// A table with the keys of [`component::PROBE`].
    Probe(fn(&mut T, component::ProbeDraft)),
    /// A table with the keys of [`component::TRIM`].
    Trim(fn(&mut T, component::TrimDraft)),
}

macro_rules! key {
    ($name:literal, $default:literal, $doc:literal, $kind:expr $(,)?) => {
        $crate::config::keys::Key { name: $name, kind: $kind, default: $default, doc: $doc }
    };
}
pub(crate) use key;
