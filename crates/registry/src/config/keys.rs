//! The tables of keys that are not settings: pools, components, and the predecessor's format.
//!
//! A row has a key's name, its kind (type, range and access to the value), its default in TOML and its documentation.
//! Reader, schema, reference and the check of specifications made in code are driven by these rows alone. The settings of
//! the manager are declared in `majordomo-core` and have no rows here.

pub(crate) mod component;
pub(crate) mod gateway;
pub(crate) mod legacy;
pub(crate) mod pool;
pub(crate) mod protocol;
pub(crate) mod requests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, Domain, SettingValue};

use crate::{ListenAddress, ReadySpec, SelectorSpec, TokenSpec};

/// A millisecond: the shortest deadline that means something.
pub(crate) const MS: Duration = Duration::from_millis(1);
/// The longest duration that is not taken for a slip: 30 days.
pub(crate) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// A draft that a table is read into.
pub(crate) trait Target {
    /// The part of a specification that becomes of the draft.
    type Spec;
}

/// A row; the reader, the schema and the reference are loops over rows.
pub(crate) struct Key<T: Target + 'static> {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind<T>,
    /// As it would be written; empty when there is none.
    pub(crate) default: &'static str,
    pub(crate) doc: &'static str,
}

/// A key's type and range, the way into a draft, and for bounded values the way out of a specification.
pub(crate) enum Kind<T: Target + 'static> {
    Bool(fn(&mut T, bool)),
    /// One of the words, by position.
    Word(&'static [&'static str], fn(&mut T, usize)),
    /// Some of the words, by position.
    Words(&'static [&'static str], fn(&mut T, Vec<usize>)),
    Text(fn(&mut T, String)),
    /// A text that is not blank.
    Name(fn(&mut T, String)),
    /// Within [`ByteSize::SETTING`].
    Size(fn(&T::Spec) -> Option<ByteSize>, fn(&mut T, ByteSize)),
    /// A size, or sizes by pool; each within [`ByteSize::SETTING`].
    Memory(fn(&T::Spec) -> Option<ByteSize>, fn(&mut T, MemoryDraft)),
    /// Within these bounds.
    Duration(Duration, Duration, fn(&T::Spec) -> Option<Duration>, fn(&mut T, Duration)),
    /// An integer within these bounds.
    Count(u64, u64, fn(&T::Spec) -> Option<u64>, fn(&mut T, u64)),
    /// A list of integers within these bounds.
    Counts(u64, u64, fn(&mut T, Vec<u64>)),
    /// A number within these bounds.
    Number(f64, f64, fn(&mut T, f64)),
    /// Each valid as a component name.
    Names(fn(&mut T, Vec<ComponentId>)),
    /// Words and phrases, none of them blank.
    Phrases(fn(&mut T, Vec<String>)),
    /// Texts of any content.
    Texts(fn(&mut T, Vec<String>)),
    /// A table of texts.
    TextMap(fn(&mut T, BTreeMap<String, String>)),
    /// A table of values of any type, by path; each as JSON text.
    Params(fn(&mut T, BTreeMap<String, String>)),
    /// Addresses of this machine: `IP:PORT`, or paths of Unix sockets.
    Listen(fn(&mut T, Vec<ListenAddress>)),
    /// IPv4 or IPv6 addresses, without ports.
    Addresses(fn(&mut T, Vec<IpAddr>)),
    /// Tables by name, with the keys of [`gateway::TOKEN`].
    Tokens(fn(&mut T, Vec<TokenSpec>)),
    /// Tables by name, with the keys of [`gateway::SELECTOR`].
    Selectors(fn(&mut T, Vec<SelectorSpec>)),
    /// `"started"`, `"connect"`, `{ stdout = ".." }` or `{ http = "/.." }`.
    Ready(fn(&mut T, ReadySpec)),
    /// A table with the keys of [`requests::PROBE`].
    Probe(fn(&mut T, requests::ProbeDraft)),
    /// A table with the keys of [`requests::TRIM`].
    Trim(fn(&mut T, requests::TrimDraft)),
    /// A table with the keys of [`requests::STEP`].
    Step(fn(&mut T, requests::StepDraft)),
    /// A table with the keys of [`requests::WARM_UP`].
    WarmUp(fn(&mut T, requests::WarmUpDraft)),
    /// A table with the keys of [`requests::STOP`].
    Stop(fn(&mut T, requests::StopDraft)),
    /// A table with the keys of [`requests::EXTERNAL`].
    External(fn(&mut T, requests::ExternalDraft)),
}

/// The content of `memory`.
#[derive(Debug, Default)]
pub(crate) struct MemoryDraft {
    /// Bytes of main memory, or of the component's own pool.
    pub(crate) ram: Option<ByteSize>,
    /// Bytes of other pools by name.
    pub(crate) pools: Vec<(String, ByteSize)>,
}

/// The key of main memory in `memory`.
pub(crate) const RAM: &str = "ram";

/// A value of a specification that its key does not allow.
pub(crate) struct OutOfRange {
    pub(crate) key: &'static str,
    pub(crate) value: SettingValue,
    pub(crate) domain: Domain,
}

/// The values of a specification outside the ranges of its keys.
pub(crate) fn out_of_range<T: Target>(
    keys: &[Key<T>],
    spec: &T::Spec,
) -> impl Iterator<Item = OutOfRange> {
    keys.iter().filter_map(move |key| {
        let (value, domain) = match &key.kind {
            Kind::Size(get, _) | Kind::Memory(get, _) => {
                let (min, max) = ByteSize::SETTING.into_inner();
                (SettingValue::Size(get(spec)?), Domain::Size { min, max })
            }
            Kind::Duration(min, max, get, _) => {
                (SettingValue::Duration(get(spec)?), Domain::Duration { min: *min, max: *max })
            }
            Kind::Count(min, max, get, _) => {
                (SettingValue::Count(get(spec)?), Domain::Count { min: *min, max: *max })
            }
            _ => return None,
        };
        let is_allowed = domain.contains(&value);
        (!is_allowed).then_some(OutOfRange { key: key.name, value, domain })
    })
}

macro_rules! key {
    ($name:literal, $default:literal, $doc:literal, $kind:expr $(,)?) => {
        $crate::config::keys::Key { name: $name, kind: $kind, default: $default, doc: $doc }
    };
}
pub(crate) use key;
