//! A fixed fingerprint of what a measured footprint depends on: loader and version.
//!
//! FNV-1a, 64 bit, over an encoding of our own: derived `Hash` promises nothing across compilers,
//! platforms and releases, and measured footprints outlive all three. Every text is preceded by its
//! length, every list by its count and every choice by a tag, so that no two loaders share an encoding.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::time::Duration;

use fnv::FnvHasher;

use crate::{
    ComponentSpec, LoaderSpec, ProbeRule, ProcessSpec, ReadySpec, StdinMode, StdioSpec,
    StepRequest, StopSpec, TrimSpec, WarmUpRequest, WhileLeased,
};

/// The fingerprint of one specification.
pub(super) fn of(spec: &ComponentSpec) -> u64 {
    let mut out = Encoder(FnvHasher::default());
    out.text(&spec.version);
    out.text(spec.loader.kind());
    match &spec.loader {
        LoaderSpec::Builtin { factory } => out.text(factory),
        LoaderSpec::Process(process) => out.process(process),
        LoaderSpec::External(service) => out.text(&service.url.to_string()),
        LoaderSpec::CoreMl(model) => {
            out.text(&model.model.to_string_lossy());
            out.text(model.compute_units.as_str());
        }
        LoaderSpec::Python { module, function } => {
            out.text(module);
            out.text(function);
        }
    }
    out.0.finish()
}

struct Encoder(FnvHasher);

impl Encoder {
    fn number(&mut self, n: u64) {
        self.0.write(&n.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.write(text.as_bytes());
    }

    fn texts(&mut self, list: &[String]) {
        self.number(list.len() as u64);
        list.iter().for_each(|t| self.text(t));
    }

    fn map(&mut self, map: &BTreeMap<String, String>) {
        self.number(map.len() as u64);
        for (name, value) in map {
            self.text(name);
            self.text(value);
        }
    }

    fn duration(&mut self, d: Duration) {
        self.number(d.as_secs());
        self.number(u64::from(d.subsec_nanos()));
    }

    fn ready(&mut self, ready: &ReadySpec) {
        match ready {
            ReadySpec::Started => self.text("started"),
            ReadySpec::Connect => self.text("connect"),
            ReadySpec::Line => self.text("line"),
            ReadySpec::Stdout(line) => {
                self.text("stdout");
                self.text(line);
            }
            ReadySpec::Http(path) => {
                self.text("http");
                self.text(path);
            }
        }
    }

    fn probe_rule(&mut self, rule: ProbeRule) {
        // Defaults add nothing, so that fingerprints from before this setting stay valid.
        if rule != ProbeRule::default() {
            self.number(rule.failures.into());
            self.number(match rule.while_leased {
                WhileLeased::Report => 0,
                WhileLeased::Restart => 1,
            });
        }
    }

    fn process(&mut self, p: &ProcessSpec) {
        self.texts(&p.command);
        self.texts(&p.env_allow);
        self.map(&p.env);
        match &p.cwd {
            None => self.number(0),
            Some(path) => {
                self.number(1);
                self.text(&path.to_string_lossy());
            }
        }
        self.number(match p.stdin {
            StdinMode::Empty => 0,
            StdinMode::Hold => 1,
        });
        self.ready(&p.ready);
        match &p.probe {
            None => self.number(0),
            Some(probe) => {
                self.number(1);
                self.ready(&probe.how);
                self.duration(probe.every);
                self.duration(probe.timeout);
                self.probe_rule(probe.rule);
            }
        }
        if let Some(port) = p.port {
            self.text("fixed port");
            self.number(port.into());
        }
        if let Some(socket) = &p.socket {
            self.text("fixed socket");
            self.text(&socket.to_string_lossy());
        }
        // Left out when absent, so that figures from before these keys stay valid.
        if let Some(StdioSpec { concurrent, max_line, call_deadline: _ }) = p.stdio() {
            self.text("lines of stdio");
            self.number((*concurrent).into());
            self.number(max_line.bytes());
        }
        match &p.trim {
            None => {}
            Some(TrimSpec::Http(path)) => {
                self.text("trim by http");
                self.text(path);
            }
            Some(TrimSpec::Signal(signal)) => {
                self.text("trim by signal");
                self.text(signal.name());
            }
        }
        if let Some(warm_up) = &p.warm_up {
            self.text("warm-up");
            match &warm_up.how {
                WarmUpRequest::Http { path, body } => {
                    self.text(path);
                    self.texts(body.as_slice());
                }
                WarmUpRequest::Call(text) => {
                    self.text("call");
                    self.text(text);
                }
            }
        }
        for (word, step) in [("sleep", &p.sleep), ("wake", &p.wake)] {
            let Some(step) = step else { continue };
            self.text(word);
            match &step.how {
                StepRequest::Command(command) => self.texts(command),
                StepRequest::Http(request) => self.text(&request.to_string()),
                StepRequest::Signal(signal) => self.text(signal.name()),
            }
        }
        match &p.stop {
            None => {}
            Some(StopSpec::Command(command)) => {
                self.text("stop by command");
                self.texts(command);
            }
            Some(StopSpec::Http(path)) => {
                self.text("stop by http");
                self.text(path);
            }
            Some(StopSpec::Signal(signal)) => {
                self.text("stop by signal");
                self.text(signal.name());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use majordomo_core::ComponentId;

    fn spec(loader: LoaderSpec) -> ComponentSpec {
        ComponentSpec::new(ComponentId::new("a").unwrap(), loader)
    }

    #[test]
    fn fixed_across_builds() {
        // Figures computed outside; a change here throws every learned footprint away.
        let builtin = spec(LoaderSpec::Builtin { factory: "ocr".into() });
        assert_eq!(of(&builtin), 0xe305bbd0bfc219ae);
        let process = spec(LoaderSpec::Process(ProcessSpec {
            command: vec!["sqlite3".into(), ":memory:".into()],
            ..ProcessSpec::default()
        }));
        assert_eq!(of(&process), 0x5dfa1bd89b0e35f6);
    }

    #[test]
    fn only_loader_and_version_count() {
        let base = spec(LoaderSpec::Builtin { factory: "ocr".into() });
        let mut other = base.clone();
        other.keywords.push("read".into());
        other.memory = majordomo_core::ByteSize::gib(1);
        assert_eq!(of(&base), of(&other));
        other.version = "2".into();
        assert_ne!(of(&base), of(&other));
        let moved = |words: &[&str]| {
            of(&spec(LoaderSpec::Process(ProcessSpec {
                command: words.iter().map(ToString::to_string).collect(),
                ..ProcessSpec::default()
            })))
        };
        assert_ne!(moved(&["ab", "c"]), moved(&["a", "bc"]));
    }
}
