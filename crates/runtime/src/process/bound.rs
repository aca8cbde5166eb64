//! The bound on a program's memory, and the watch for the OOM killer: made before the program begins.
//!
//! Invariant: a program that has a limit has it before it runs its first instruction.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use majordomo_memory::{LimitChoice, LimitError, OomWatch, ProcessLimit, choose_limits};

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
        let unknown = "not looked for: no component with a memory_limit was started".to_owned();
        self.0.get().map_or(unknown, ToString::to_string)
    }

    /// Bounds a program that waits for the word to begin. Blocks.
    pub(super) fn bound(&self, ctx: &StartContext, pid: u32) -> Result<Bound, LimitError> {
        let root = Path::new("/");
        let Some(limit) = ctx.memory_limit else {
            return Ok(Bound { limit: None, oom: OomWatch::new(root, None, None) });
        };
        // Other managers may make cgroups below the same one.
        let name = format!("{}-{}-{}", ctx.component, std::process::id(), ctx.op);
        let limit = self.choice().limit(&name, limit)?;
        let oom = limit.watch_oom(root);
        limit.enter(pid)?;
        Ok(Bound { limit: Some(limit), oom })
    }
}
