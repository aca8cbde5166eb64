//! Setters of specifications, for programs that describe components in code.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use majordomo_core::{ByteSize, ComponentId, NameError, ParkChoice, Priority};

use super::{
    AsleepSpec, ComponentSpec, ConflictPolicy, OnAbandon, OverLimit, ProbeRule, ProbeSpec,
    ProcessSpec, Protocol, ReadySpec, RestartPolicy, StdinMode, StdioSpec, StepSpec, StopSpec,
    TrimSpec, WarmUpSpec,
};

/// One setter for each field: its name, the type of its argument, and the field's value.
macro_rules! setters {
    ($($name:ident($arg:ident: $type:ty) = $value:expr;)*) => {$(
        #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
        #[must_use]
        pub fn $name(mut self, $arg: $type) -> Self {
            self.$name = $value;
            self
        }
    )*};
}

/// The same for lists of component names, which are checked.
macro_rules! name_setters {
    ($($name:ident)*) => {$(
        #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
        ///
        /// # Errors
        /// When a name is not valid.
        pub fn $name(
            mut self,
            names: impl IntoIterator<Item = impl AsRef<str>>,
        ) -> Result<Self, NameError> {
            self.$name =
                names.into_iter().map(|n| ComponentId::new(n.as_ref())).collect::<Result<_, _>>()?;
            Ok(self)
        }
    )*};
}

fn texts(list: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    list.into_iter().map(Into::into).collect()
}

impl ComponentSpec {
    setters! {
        description(text: impl Into<String>) = text.into();
        priority(priority: Priority) = priority;
        pool(name: impl Into<Arc<str>>) = name.into();
        memory(bytes: ByteSize) = bytes;
        asleep(held: impl Into<AsleepSpec>) = Some(held.into());
        memory_limit(bytes: impl Into<Option<ByteSize>>) = bytes.into();
        over_limit(what: OverLimit) = what;
        load_time(time: Duration) = time;
        files(patterns: impl IntoIterator<Item = impl Into<String>>) = texts(patterns);
        conflict_policy(policy: ConflictPolicy) = policy;
        keywords(words: impl IntoIterator<Item = impl Into<String>>) = texts(words);
        preload_triggers(words: impl IntoIterator<Item = impl Into<String>>) = texts(words);
        lazy_init(lazy: bool) = lazy;
        pinned(pinned: bool) = pinned;
        max_leases(leases: impl Into<Option<u32>>) = leases.into();
        idle_timeout(time: impl Into<Option<Duration>>) = time.into();
        idle_park(time: impl Into<Option<Duration>>) = time.into();
        park(choice: impl Into<Option<ParkChoice>>) = choice.into();
        load_deadline(time: impl Into<Option<Duration>>) = time.into();
        stop_deadline(time: impl Into<Option<Duration>>) = time.into();
        health_every(time: impl Into<Option<Duration>>) = time.into();
        health(rule: ProbeRule) = rule;
        restart(policy: RestartPolicy) = policy;
        exit_ok(codes: impl Into<Vec<u8>>) = codes.into();
        on_abandon(what: OnAbandon) = what;
        version(version: impl Into<String>) = version.into();
    }

    name_setters! { dependencies after conflicts }

    /// Adds to [`memory_in`](Self#structfield.memory_in).
    #[must_use]
    pub fn memory_in(mut self, pool: impl Into<Arc<str>>, bytes: ByteSize) -> Self {
        self.memory_in.insert(pool.into(), bytes);
        self
    }
}

impl ProcessSpec {
    /// A program with its arguments, and the documented defaults.
    #[must_use]
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { command: texts(command), ..Self::default() }
    }

    /// Adds an environment variable to [`env`](Self#structfield.env).
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Sets [`protocol`](Self#structfield.protocol) to lines of JSON, and readiness to the line `{"ready":true}`.
    #[must_use]
    pub fn answers_lines(self, bounds: StdioSpec) -> Self {
        self.protocol(Protocol::Stdio(bounds)).ready(ReadySpec::Line)
    }

    setters! {
        protocol(protocol: Protocol) = protocol;
        env_allow(names: impl IntoIterator<Item = impl Into<String>>) = texts(names);
        cwd(path: impl Into<PathBuf>) = Some(path.into());
        port(port: impl Into<Option<u16>>) = port.into();
        socket(path: impl Into<PathBuf>) = Some(path.into());
        stdin(mode: StdinMode) = mode;
        ready(when: ReadySpec) = when;
        warm_up(request: impl Into<Option<WarmUpSpec>>) = request.into().map(Box::new);
        probe(probe: impl Into<Option<ProbeSpec>>) = probe.into();
        trim(how: impl Into<Option<TrimSpec>>) = how.into();
        sleep(request: impl Into<Option<StepSpec>>) = request.into().map(Box::new);
        wake(request: impl Into<Option<StepSpec>>) = request.into().map(Box::new);
        stop(how: impl Into<Option<StopSpec>>) = how.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LoaderSpec;

    #[test]
    fn setters_set_their_fields() {
        let spec = ComponentSpec::builtin("voice").unwrap();
        let spec = spec.memory(ByteSize::mib(7)).keywords(["say", "speak"]).max_leases(2);
        let spec = spec.dependencies(["audio"]).unwrap();
        assert_eq!((spec.memory, spec.max_leases), (ByteSize::mib(7), Some(2)));
        assert_eq!(spec.keywords, ["say", "speak"]);
        assert_eq!(spec.dependencies, [ComponentId::new("audio").unwrap()]);
        let error = spec.conflicts(["No Name"]).unwrap_err();
        assert!(error.to_string().contains("'N'"), "{error}");
        let process =
            ProcessSpec::new(["server", "{port}"]).variable("A", "b").stdin(StdinMode::Hold);
        let spec = ComponentSpec::of_program("server", process).unwrap();
        let LoaderSpec::Process(process) = &spec.loader else { panic!("{spec:?}") };
        assert_eq!((process.env["A"].as_str(), process.stdin), ("b", StdinMode::Hold));
    }
}
