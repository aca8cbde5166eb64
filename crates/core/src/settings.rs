//! Declarations of settings: one entry a setting, from which everything else follows.
//!
//! An entry of [`settings!`] states a setting's documentation, name, type, default, unit and range once. The field and its
//! rustdoc, the `Default`, the key of a configuration file, the JSON schema, the row of the reference and the check of a
//! value all come from that entry. This module knows no particular setting.
//!
//! An entry reads
//!
//! ```text
//! /// Documentation, for rustdoc, for the schema and for the reference.
//! field: Type = default unit, range min unit..=max unit, at_most other_field, key name_in_the_file, read_at start;
//! ```
//!
//! - `unit` turns a number into a duration (`ms`, `s`, `min`, `h`, `days`), a size (`KiB`, `MiB`, `GiB`, `TiB`) or a
//!   share (`percent`). Any other word is the unit of a plain number, for people: `64 predictions`.
//! - A default without a number is `true`, `false`, `none` or a variant of the enumeration.
//! - A bound may be a constant, in brackets: rustdoc makes it a link.
//! - `range` is required for numbers, durations, sizes and budgets, and refused for all other types: the compiler says so.
//! - `at_most` names a field of the same section that the value must not exceed.
//! - `key` is the name in the configuration file where it is not the field's.
//! - `read_at start` says that a change takes effect only when the program is started again.

mod declare;
mod domain;
mod types;
mod value;

use std::fmt;

pub(crate) use self::declare::{allowed, first, plain_unit, sections, settings, written};
pub use self::domain::Domain;
pub use self::types::{SettingType, WithRange, WithoutRange};
pub use self::value::SettingValue;

/// The declaration of one setting.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Setting {
    /// The field of [`Config`](crate::Config) that holds the section.
    pub section: &'static str,
    /// The field of the section.
    pub name: &'static str,
    /// Section and field, such as `queue.capacity`.
    pub path: &'static str,
    /// The table of the configuration file, such as `manager`.
    pub table: &'static str,
    /// The key in that table.
    pub key: &'static str,
    /// The lines of the documentation.
    pub doc: &'static [&'static str],
    /// The allowed values.
    pub domain: Domain,
    /// Whether the setting may be left without a value.
    pub is_optional: bool,
    /// The unit of a plain number; empty when the type says it.
    pub unit: &'static str,
    /// The field of the same section that the value must not exceed.
    pub at_most: Option<&'static str>,
    /// A change takes effect only when the program is started again.
    pub is_read_at_start: bool,
}

impl Setting {
    /// The documentation as one line.
    #[must_use]
    pub fn documentation(&self) -> String {
        self.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }
}

/// A group of settings that one struct holds.
pub trait Section {
    /// In the order of the fields.
    fn declarations(&self) -> &'static [Setting];

    /// The value of a field; none when there is no such field.
    fn get(&self, field: &str) -> Option<SettingValue>;

    /// Gives a field a value. False when there is no such field, or its type cannot hold the value; ranges are not
    /// checked.
    fn set(&mut self, field: &str, value: &SettingValue) -> bool;

    /// Clamps every value to its range, and to the field that bounds it: for code that must work with any value.
    fn clamp(&mut self) {
        for setting in self.declarations() {
            let Some(value) = self.get(setting.name) else { continue };
            let clamped = setting.domain.clamp(value.clone());
            if clamped != value {
                self.set(setting.name, &clamped);
            }
        }
        for setting in self.declarations() {
            let (value, bound) = (self.get(setting.name), setting.at_most);
            if let (Some(value), Some(limit)) = (value, bound.and_then(|bound| self.get(bound)))
                && value.exceeds(&limit)
            {
                self.set(setting.name, &limit);
            }
        }
    }

    /// Every value outside its range or above the field that bounds it.
    fn problems(&self) -> Vec<SettingProblem> {
        let declarations = self.declarations();
        let problem = |setting: &'static Setting| {
            let value = self.get(setting.name)?;
            if !(setting.domain.contains(&value)
                || setting.is_optional && value == SettingValue::Unset)
            {
                return Some(SettingProblem { setting, value, exceeded: None });
            }
            let bound = setting.at_most?;
            let bound = declarations.iter().find(|other| other.name == bound)?;
            let limit = self.get(bound.name)?;
            let exceeded = Some((bound, limit.clone()));
            value.exceeds(&limit).then_some(SettingProblem { setting, value, exceeded })
        };
        declarations.iter().filter_map(problem).collect()
    }
}

/// A setting whose value is not allowed.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "a setting and its value")]
#[non_exhaustive]
pub struct SettingProblem {
    pub setting: &'static Setting,
    pub value: SettingValue,
    /// The setting that it exceeds, with that one's value; none when it lies outside its own range.
    pub exceeded: Option<(&'static Setting, SettingValue)>,
}

impl SettingProblem {
    /// The problem in words, with settings called by the given name of each.
    #[must_use]
    pub fn named(&self, name: impl Fn(&Setting) -> &'static str) -> String {
        let (setting, value) = (name(self.setting), &self.value);
        match &self.exceeded {
            Some((bound, limit)) => {
                format!("{setting} is {value}, more than {}, which is {limit}", name(bound))
            }
            None => format!("{setting} is {value}; it must {}", self.setting.domain.rule()),
        }
    }
}

/// `loads.max_concurrent is 0; it must lie within 1 and 64`.
impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.named(|setting| setting.path))
    }
}

impl std::error::Error for SettingProblem {}
