//! The calibration before the first run: everything is loaded once and asked one question, so that memory, load times and the
//! files of components are known, and later servers start with the figures of loads.

use std::collections::BTreeMap;

use anyhow::Context;
use majordomo::ByteSize;

use super::ask::{self, Asked};
use super::clock;
use super::learn;
use super::player;
use super::policy::Policy;
use super::processes::Processes;
use super::progress::Progress;
use super::quiet;
use super::ram::GroupSample;
use super::record::Measured;
use super::run::Bench;
use super::server::Server;
use super::warm::WarmAnswers;
use crate::short::Zram;

/// The result of a calibration.
pub(super) struct Calibrated {
    pub(super) components: BTreeMap<String, Measured>,
    /// The memory of everything as the memory group counts it, in bytes; none without a group.
    pub(super) ram: Option<u64>,
    /// None where memory is not made short.
    pub(super) warm: Option<WarmAnswers>,
}

impl Bench {
    /// Teaches the texts, loads everything once and asks each component one question. Measures
    /// memory and load times, which later servers start with, and warms the page cache.
    pub(super) async fn calibrate(&mut self, progress: &Progress) -> anyhow::Result<Calibrated> {
        let base = self.base();
        let configuration = self.configuration(Policy::All, ByteSize::ZERO)?;
        let (texts, components) = (&self.folder.commands.train, &self.folder.components);
        progress.say(&format!("teaching {} texts", texts.len()));
        learn::teach(&base, &configuration.0, texts, components)?;
        drop(configuration);
        let server = self.start(Policy::All, ByteSize::ZERO, &base).await?;
        let loaded = tokio::select! {
            loaded = self.measure_all(&server, progress) => loaded,
            () = self.interrupt.raised() => Err(anyhow::anyhow!("interrupted")),
        };
        let loaded = loaded.map(|(calibrated, pids)| {
            if let Some(memory) = &mut self.memory {
                memory.record_files(&self.folder.path, pids);
            }
            calibrated
        });
        server.stop().await;
        learn::forget_uses(&base)?;
        loaded
    }

    /// Loads everything; then the memory, and the processes of components.
    async fn measure_all(
        &self,
        server: &Server,
        progress: &Progress,
    ) -> anyhow::Result<(Calibrated, Vec<i32>)> {
        let mut components = self.load_all(server, progress).await?;
        let mut processes = named(server).await?;
        let memory = processes.memory();
        let group = self.memory.as_ref().map(|memory| memory.group().usage()).transpose()?;
        let ram = group.map(|usage| GroupSample::new(usage, &memory, Zram::of_this_machine()).ram);
        for (name, pss) in memory.components {
            let unknown = Measured { pss: 0, load_ms: None, first_answer_ms: None };
            components.entry(name).or_insert(unknown).pss = pss;
        }
        let pids = processes.survivors().into_iter().map(|(pid, _)| pid).collect();
        // After memory, which is that of one answer.
        let warm = match &self.memory {
            Some(_) => {
                // Every full wait depends on them.
                quiet::wait(self.quiet_wait).await;
                Some(WarmAnswers::measure(server, &self.folder, progress).await?)
            }
            None => None,
        };
        Ok((Calibrated { components, ram, warm }, pids))
    }

    /// Loads everything and asks each component one question; the times of both.
    pub(super) async fn load_all(
        &self,
        server: &Server,
        progress: &Progress,
    ) -> anyhow::Result<BTreeMap<String, Measured>> {
        let mut all: Vec<&String> = self.folder.components.iter().collect();
        // A component comes after those that it needs, so that its load is not theirs too.
        all.sort_by_key(|name| self.folder.closure(name).len());
        let mut out = BTreeMap::new();
        for (i, name) in all.iter().copied().enumerate() {
            let asked_s = clock::seconds();
            let lease = player::acquire(&server.client, name)
                .await
                .with_context(|| format!("{name} cannot be loaded"))?;
            let loaded_s = clock::seconds();
            let question = &self.folder.questions[name][0];
            let asked = Asked::of(&server.client, &lease, name, &self.folder.path);
            ask::ask(question, asked)
                .await
                .with_context(|| format!("{name} does not answer its first question"))?;
            let answered_s = clock::seconds();
            server.client.release(&lease.id).await?;
            out.insert(
                name.clone(),
                Measured {
                    pss: 0,
                    load_ms: (!self.folder.is_core(name)).then_some((loaded_s - asked_s) * 1e3),
                    first_answer_ms: Some((answered_s - loaded_s) * 1e3),
                },
            );
            progress.show("loading everything", i + 1, all.len());
        }
        Ok(out)
    }
}

/// The processes of a server, with the names of those components that run now.
pub(super) async fn named(server: &Server) -> anyhow::Result<Processes> {
    let mut processes = Processes::new(server.pid);
    for component in server.client.components().await? {
        if let Some(pid) = component.pid {
            processes.name(pid, component.name.as_str());
        }
    }
    Ok(processes)
}
