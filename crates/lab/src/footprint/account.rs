//! The kernel's account of a process's memory: `smaps_rollup` and `smaps` (proc(5)).

use std::collections::BTreeMap;

use anyhow::Context;
use majordomo_core::ByteSize;

/// Proportional set size: pages that several processes map count in parts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    pub(super) pss: ByteSize,
    /// Anonymous memory.
    pub(super) own: ByteSize,
    /// Mapped files: the program and its libraries.
    pub(super) files: ByteSize,
}

impl Account {
    pub(super) fn of(pid: u32) -> anyhow::Result<Self> {
        let text = read(pid, "smaps_rollup")?;
        let field = |name: &str| text.lines().find_map(|line| kib(line, name));
        Ok(Self {
            pss: field("Pss:").context("smaps_rollup has no Pss")?,
            own: field("Pss_Anon:").unwrap_or_default(),
            files: field("Pss_File:").unwrap_or_default(),
        })
    }
}

/// The largest mappings by name, with their PSS.
pub(super) fn mappings(pid: u32, n: usize) -> anyhow::Result<Vec<(String, ByteSize)>> {
    let text = read(pid, "smaps")?;
    let mut by_name: BTreeMap<String, ByteSize> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(pss) = kib(line, "Pss:") {
            *by_name.entry(name.clone()).or_default() += pss;
        } else if line.split(' ').next().is_some_and(|range| range.contains('-')) {
            let mut words = line.split_ascii_whitespace().skip(1);
            let access = words.next().unwrap_or_default().to_owned();
            name = match words.nth(3) {
                Some(path) => {
                    format!("{} {access}", path.rsplit('/').next().unwrap_or(path))
                }
                None => "anonymous".to_owned(),
            };
        }
    }
    let mut all: Vec<_> = by_name.into_iter().collect();
    all.sort_by_key(|(_, pss)| std::cmp::Reverse(*pss));
    all.truncate(n);
    Ok(all)
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))
}

/// The value of a line `NAME   123 kB`.
fn kib(line: &str, name: &str) -> Option<ByteSize> {
    let value = line.strip_prefix(name)?.trim().strip_suffix(" kB")?;
    value.parse().ok().map(ByteSize::kib)
}
