//! The components of a soak: fourteen, of every kind, with dependencies, conflicts and pools, in half the memory
//! that they would need together.

use std::fmt::Write as _;
use std::path::Path;

use majordomo::ByteSize;

pub(crate) const PROGRAMS: usize = 8;
/// Values in the process under test.
pub(crate) const BUILTINS: usize = 6;
/// The builtin that is CORE.
pub(crate) const CORE: &str = "core";
/// The component that the configuration adds and removes.
pub(crate) const EXTRA: &str = "extra";
/// The program whose version changes.
pub(crate) const VERSIONED: &str = "p7";

/// Programs must be up, and builtins made, within this.
pub(crate) const LOAD_DEADLINE_MS: u64 = 2_500;

/// Texts that are kept to learn from, few enough for a manager to have all of them soon after its start.
pub(crate) const MAX_OUTCOMES: usize = 200;
/// The text model is trained again after so many.
pub(crate) const RETRAIN_EVERY: usize = 100;

/// A builtin that is made on a thread that may block, and the one that is made without.
pub(crate) const ONE_OF_EACH_FACTORY: [&str; 2] = ["b0", "b5"];

/// A command that needs no component.
pub(crate) const NOTHING: &str = "hello";

/// The name of a component by popularity: the first is asked for most.
pub(crate) fn name(place: usize) -> String {
    let place = place % (PROGRAMS + BUILTINS);
    // Kinds alternate, so that both are popular.
    match (place % 2, place / 2) {
        (0, i) => format!("p{i}"),
        (_, i) if i < BUILTINS => format!("b{i}"),
        (_, i) => format!("p{}", i + 1),
    }
}

/// The memory that a builtin takes.
pub(crate) fn builtin_bytes(name: &str) -> ByteSize {
    let place = name.bytes().last().map_or(0, |b| u64::from(b % 8));
    ByteSize::mib(1 + place % 4)
}

/// The differences between one configuration file and the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    /// Whether `core` is CORE.
    pub(crate) core: bool,
    /// Whether `extra` is there.
    pub(crate) extra: bool,
    /// The version of `p7`.
    pub(crate) version: u32,
    /// Whether `b1` is unloaded when it is idle.
    pub(crate) idle: bool,
    /// After how long what is learned is written; none = after the default time.
    pub(crate) write_state_ms: Option<u64>,
    /// Components may be parked: they load long enough for that to pay, and some are parked when they are idle.
    pub(crate) rungs: bool,
}

impl Default for Variant {
    fn default() -> Self {
        Self {
            core: true,
            extra: false,
            version: 0,
            idle: false,
            write_state_ms: None,
            rungs: false,
        }
    }
}

/// The configuration file.
pub(crate) fn config(program: &Path, dir: &Path, mark: &str, variant: Variant) -> String {
    let write_state = variant
        .write_state_ms
        .map_or_else(String::new, |ms| format!("write_state_after = \"{ms}ms\"\n"));
    let park = if variant.rungs { "" } else { "park = \"never\"\n" };
    let mut text = format!(
        "[manager]\n{park}budget = \"40MiB\"\nmin_residency = \"100ms\"\nback_off = \"100ms\"\nback_off_max = \"1s\"\n\
         quarantine_window = \"5s\"\nquarantine_duration = \"3s\"\npressure_dwell = \"500ms\"\n\
         demand_deadline = \"5s\"\nshutdown_deadline = \"10s\"\nmax_concurrent_loads = 3\n{write_state}\n\
         [intents]\nretrain_every = {RETRAIN_EVERY}\nretrain_pause = \"0s\"\nmax_outcomes = {MAX_OUTCOMES}\n\n\
         [pools.ml]\nbudget = \"24MiB\"\n\n[pools.gpu]\nbudget = \"12MiB\"\naccounting = \"declared\"\n",
    );
    for i in 0..PROGRAMS {
        let fault = dir.join("faults").join(format!("p{i}"));
        let mib = 2 + i % 4;
        let command = [
            program.display().to_string(),
            "component".to_owned(),
            format!("--mib={mib}"),
            format!("--load-ms={}", if variant.rungs { 200 } else { 5 * (i % 3) }),
            format!("--fault={}", fault.display()),
        ];
        let _ = write!(
            text,
            "\n[components.p{i}]\nmemory = \"{}MiB\"\npool = \"{}\"\ncommand = {command:?}\n\
             env = {{ {} = {mark:?} }}\nready = {{ stdout = \"ready\" }}\nload_deadline = \"{LOAD_DEADLINE_MS}ms\"\n\
             stop_deadline = \"700ms\"\nkeywords = [\"use p{i}\"]\n",
            mib + 6,
            ["general", "ml", "vision"][i % 3],
            super::sample::MARK,
        );
        text.push_str(match i {
            1 => "dependencies = [\"b0\"]\n",
            2 => "dependencies = [\"p0\"]\n",
            3 => "conflicts = [\"p4\"]\n",
            5 => "restart = \"always\"\npriority = \"HIGH\"\n",
            6 => "priority = \"LOW\"\nmax_leases = 2\n",
            _ => "",
        });
        if variant.rungs && i % 4 == 0 {
            text.push_str("idle_park = \"400ms\"\n");
        }
        if i == 7 {
            let _ = writeln!(text, "version = \"{}\"", variant.version);
        }
    }
    for i in 0..BUILTINS {
        let name = format!("b{i}");
        let _ = write!(
            text,
            "\n[components.{name}]\nfactory = \"{}\"\nmemory = \"{}MiB\"\npool = \"{}\"\n\
             load_deadline = \"{LOAD_DEADLINE_MS}ms\"\nstop_deadline = \"700ms\"\nkeywords = [\"use {name}\"]\n",
            if i == 5 { "async" } else { "blocking" },
            builtin_bytes(&name).0 >> 20,
            ["general", "gpu", "ml"][i % 3],
        );
        if variant.rungs && i == 0 {
            text.push_str("idle_park = \"400ms\"\n");
        }
        match i {
            1 if variant.idle => text.push_str("idle_timeout = \"300ms\"\n"),
            2 => text.push_str("conflicts = [\"b3\"]\nconflict_policy = \"refuse\"\n"),
            4 => text.push_str("dependencies = [\"b1\"]\n"),
            _ => {}
        }
    }
    let priority = if variant.core { "CORE" } else { "MEDIUM" };
    let _ = write!(
        text,
        "\n[components.{CORE}]\nfactory = \"blocking\"\nmemory = \"1MiB\"\npriority = \"{priority}\"\n"
    );
    if variant.extra {
        let _ = write!(
            text,
            "\n[components.{EXTRA}]\nfactory = \"blocking\"\nmemory = \"2MiB\"\nkeywords = [\"use {EXTRA}\"]\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_component_has_one_place() {
        let names: BTreeSet<_> = (0..PROGRAMS + BUILTINS).map(name).collect();
        let all = (0..PROGRAMS).map(|i| format!("p{i}"));
        let expected: BTreeSet<_> = all.chain((0..BUILTINS).map(|i| format!("b{i}"))).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn every_variant_is_a_valid_configuration() {
        let dir =
            std::env::temp_dir().join(format!("majordomo-soak-config-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let file = dir.join("config.toml");
        let variants = [(true, false), (false, true)];
        for (core, extra) in variants {
            let write_state_ms = extra.then_some(1_000);
            let (version, idle, rungs) = (1, extra, extra);
            let variant = Variant { core, extra, version, idle, write_state_ms, rungs };
            std::fs::write(&file, config(Path::new("/bin/true"), &dir, "m", variant)).unwrap();
            let read = majordomo::read_config(&file, Some(ByteSize::gib(1))).unwrap();
            assert_eq!(read.specs.len(), PROGRAMS + BUILTINS + 1 + usize::from(extra));
            let declared: ByteSize = read.specs.iter().map(|s| s.memory).sum();
            assert!(declared > ByteSize::mib(70), "{declared}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
