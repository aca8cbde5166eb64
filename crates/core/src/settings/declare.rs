//! The macros that expand declarations.
//!
//! [`settings!`] makes a section of its entries, [`sections!`] a struct of sections. The other macros are parts of these.

/// Declares a section: see the [parent module](super).
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        pub struct $Section:ident: $section:ident in [$table:ident] {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $Type:ty = $default:tt $($unit:ident)?
                    $(, range $min:tt $($min_unit:ident)? ..= $max:tt $($max_unit:ident)?)?
                    $(, at_most $bound:ident)?
                    $(, key $key:ident)?
                    $(, read_at $start:ident)?;
            )+
        }
    ) => {
        // The typed uses of an entry come before its uses as text: the compiler shows the entry at the first use of a token,
        // and this file at the others.
        impl Default for $Section {
            fn default() -> Self {
                Self { $($field: $crate::settings::written!($Type, $default $($unit)?),)+ }
            }
        }

        impl $Section {
            /// The declarations of the fields, in order.
            #[must_use]
            pub fn settings() -> &'static [$crate::Setting] {
                static SETTINGS: std::sync::LazyLock<Vec<$crate::Setting>> =
                    std::sync::LazyLock::new(|| vec![$(
                        $crate::Setting {
                            section: stringify!($section),
                            name: stringify!($field),
                            path: concat!(stringify!($section), ".", stringify!($field)),
                            table: stringify!($table),
                            key: $crate::settings::first!($(stringify!($key),)? stringify!($field)),
                            doc: &[$($doc),+],
                            domain: $crate::settings::allowed!($Type $(,
                                $crate::settings::written!(
                                    <$Type as $crate::settings::WithRange>::Bound,
                                    $min $($min_unit)?
                                ),
                                $crate::settings::written!(
                                    <$Type as $crate::settings::WithRange>::Bound,
                                    $max $($max_unit)?
                                )
                            )?),
                            is_optional: <$Type as $crate::SettingType>::OPTIONAL,
                            unit: $crate::settings::plain_unit!($($unit)?),
                            // The closure makes an unknown field an error.
                            at_most: $crate::settings::first!(
                                $({ let _ = |s: &$Section| { let _ = &s.$bound; }; Some(stringify!($bound)) },)?
                                None
                            ),
                            is_read_at_start: $crate::settings::first!(
                                $({ let _ = stringify!($start); true },)? false
                            ),
                        },
                    )+]);
                &SETTINGS
            }
        }

        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        pub struct $Section {
            $(
                $(#[doc = $doc])+
                #[doc = concat!(
                    "\n\nDefault: ", stringify!($default), $(" ", stringify!($unit),)? "."
                    $(, " Range: ", stringify!($min), $(" ", stringify!($min_unit),)? " to ",
                        stringify!($max) $(, " ", stringify!($max_unit))?, ".")?
                    $(, " At most [`", stringify!($bound), "`](Self::", stringify!($bound), ").")?
                    $(, " Read at ", stringify!($start), ".")?
                    , " Key: `",
                    $crate::settings::first!($(stringify!($key),)? stringify!($field)),
                    "` in `[", stringify!($table), "]`."
                )]
                pub $field: $Type,
            )+
        }

        impl $crate::Section for $Section {
            fn declarations(&self) -> &'static [$crate::Setting] {
                Self::settings()
            }

            fn get(&self, field: &str) -> Option<$crate::SettingValue> {
                match field {
                    $(stringify!($field) => Some($crate::SettingType::to_value(&self.$field)),)+
                    _ => None,
                }
            }

            fn set(&mut self, field: &str, value: &$crate::SettingValue) -> bool {
                match field {
                    $(stringify!($field) => match $crate::SettingType::from_value(value) {
                        Some(value) => self.$field = value,
                        None => return false,
                    },)+
                    _ => return false,
                }
                true
            }
        }
    };
}

/// Declares the struct of all sections: the fields are the sections, under the names that they declare.
macro_rules! sections {
    ($(#[doc = $about:literal])+ pub struct $Config:ident { $($section:ident: $Section:ident,)+ }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Default, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize))]
        pub struct $Config {
            $(
                #[doc = concat!("See [`", stringify!($Section), "`].")]
                pub $section: $Section,
            )+
        }

        impl $Config {
            /// The declarations of all settings, in order.
            pub fn settings() -> impl Iterator<Item = &'static $crate::Setting> {
                [$($Section::settings()),+].into_iter().flatten()
            }

            /// A section by its field.
            #[must_use]
            pub fn section(&self, name: &str) -> Option<&dyn $crate::Section> {
                match name {
                    $(stringify!($section) => Some(&self.$section),)+
                    _ => None,
                }
            }

            /// A section by its field.
            #[must_use]
            pub fn section_mut(&mut self, name: &str) -> Option<&mut dyn $crate::Section> {
                match name {
                    $(stringify!($section) => Some(&mut self.$section),)+
                    _ => None,
                }
            }

            /// Every value that is not allowed, in the order of the declarations.
            #[must_use]
            pub fn problems(&self) -> Vec<$crate::SettingProblem> {
                [$($crate::Section::problems(&self.$section)),+].concat()
            }
        }
    };
}

/// The value that a default or a bound is written as.
macro_rules! written {
    ($Type:ty, none) => {
        None
    };
    ($Type:ty, $n:literal ms) => {
        std::time::Duration::from_millis($n)
    };
    ($Type:ty, $n:literal s) => {
        std::time::Duration::from_secs($n)
    };
    ($Type:ty, $n:literal min) => {
        std::time::Duration::from_secs($n * 60)
    };
    ($Type:ty, $n:literal h) => {
        std::time::Duration::from_secs($n * 3600)
    };
    ($Type:ty, $n:literal days) => {
        std::time::Duration::from_secs($n * 86_400)
    };
    ($Type:ty, $n:literal KiB) => {
        $crate::ByteSize::kib($n)
    };
    ($Type:ty, $n:literal MiB) => {
        $crate::ByteSize::mib($n)
    };
    ($Type:ty, $n:literal GiB) => {
        $crate::ByteSize::gib($n)
    };
    ($Type:ty, $n:literal TiB) => {
        $crate::ByteSize::gib($n << 10)
    };
    ($Type:ty, $n:literal percent) => {
        $crate::BudgetSetting::Share(f64::from($n) / 100.0)
    };
    ($Type:ty, $n:literal $($unit:ident)?) => {
        <$Type as $crate::SettingType>::written($n)
    };
    ($Type:ty, $variant:ident) => {
        <$Type>::$variant
    };
    ($Type:ty, [$constant:ident]) => {
        $constant
    };
}

/// The allowed values: within a range, or whatever the type allows.
macro_rules! allowed {
    ($Type:ty) => {
        <$Type as $crate::settings::WithoutRange>::domain()
    };
    ($Type:ty, $min:expr, $max:expr) => {
        <$Type as $crate::settings::WithRange>::within($min, $max)
    };
}

/// The unit of a plain number; empty where the type says it.
macro_rules! plain_unit {
    () => {
        ""
    };
    (ms) => {
        ""
    };
    (s) => {
        ""
    };
    (min) => {
        ""
    };
    (h) => {
        ""
    };
    (days) => {
        ""
    };
    (KiB) => {
        ""
    };
    (MiB) => {
        ""
    };
    (GiB) => {
        ""
    };
    (TiB) => {
        ""
    };
    (percent) => {
        ""
    };
    ($unit:ident) => {
        stringify!($unit)
    };
}

/// The first of one or two expressions: what was stated, else the other.
macro_rules! first {
    ($stated:expr, $otherwise:expr) => {
        $stated
    };
    ($otherwise:expr) => {
        $otherwise
    };
}

pub(crate) use {allowed, first, plain_unit, sections, settings, written};
