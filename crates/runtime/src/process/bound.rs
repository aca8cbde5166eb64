//! The bound on a program's memory, the cgroup of one that may be parked, and the watch for the OOM killer: made before the
//! program begins.
//!
//! Invariant: a program that has a limit has it before it runs its first instruction.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use majordomo_memory::{LimitChoice, LimitError, OomWatch, ProcessLimit, choose_limits, has_swap};

use super::StartContext;

/// The mechanism that bounds processes here, found when it is first needed: the search may make a cgroup.
#[derive(Clone, Debug, Default)]
pub(super) struct Limits(Arc<OnceLock<LimitChoice>>);

/// One program's bound. Dropping it removes its cgroup.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) limit: Option<ProcessLimit>,
    pub(super) oom: OomWatch,
}

impl Limits {
    /// The mechanism. Blocks when asked first.
    pub(super) fn choice(&self) -> &LimitChoice {
        self.0.get_or_init(|| {
            let choice = choose_limits(Path::new("/"));
            tracing::debug!(%choice, "limits of processes");
            choice.sweep();
            choice
        })
    }

    /// The mechanism, in words.
    pub(super) fn describe(&self) -> String {
        let unknown =
            "not looked for: no component with a memory_limit, or that may be parked, was started"
                .to_owned();
        self.0.get().map_or(unknown, ToString::to_string)
    }

    /// Bounds a program that waits for the word to begin. Blocks.
    pub(super) fn bound(&self, ctx: &StartContext, pid: u32) -> Result<Bound, LimitError> {
        let root = Path::new("/");
        // Other managers may make cgroups below the same one.
        let name = format!("{}-{}-{}", ctx.component, std::process::id(), ctx.op);
        let limit = match (ctx.memory_limit, ctx.may_park && has_swap(root)) {
            (None, false) => None,
            (Some(limit), false) => Some(self.choice().limit(&name, limit)?),
            (Some(limit), true) => self.choice().group(&name, Some(limit))?,
            (None, true) => self.group(&name, pid),
        };
        let oom = match &limit {
            Some(limit) => limit.watch_oom(root),
            None => OomWatch::new(root, None, None),
        };
        if let Some(limit) = limit.as_ref().filter(|limit| limit.limit().is_some()) {
            limit.enter(pid)?;
        }
        Ok(Bound { limit, oom })
    }

    /// A cgroup without a bound, which the program runs without where the system refuses it.
    fn group(&self, name: &str, pid: u32) -> Option<ProcessLimit> {
        let made = self.choice().group(name, None).and_then(|group| {
            group.as_ref().map_or(Ok(()), |group| group.enter(pid))?;
            Ok(group)
        });
        made.unwrap_or_else(|error| {
            tracing::warn!(%error, "no cgroup for a component that may be parked");
            None
        })
    }
}
