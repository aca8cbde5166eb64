//! The output of a program that is loading, as far as its readiness depends on it.

use majordomo_registry::ReadySpec;
use tokio::sync::oneshot;

use super::Exit;
use super::error::Advice;
use crate::logs::Watch;

/// Where the text of readiness by standard output was seen.
pub(super) struct Heard {
    pub(super) stdout: oneshot::Receiver<()>,
    stderr: oneshot::Receiver<()>,
    /// The line of the protocol that reports readiness.
    pub(super) line: Option<oneshot::Receiver<()>>,
}

impl Heard {
    /// The watches of standard output and standard error; none for other readiness.
    pub(super) fn watch(
        how: &ReadySpec,
        line: Option<oneshot::Receiver<()>>,
    ) -> ([Option<Watch>; 2], Self) {
        let needle = match how {
            ReadySpec::Stdout(needle) => Some(needle.as_str()),
            _ => None,
        };
        let ((out, stdout), (err, stderr)) =
            (Watch::new(needle.unwrap_or_default()), Watch::new(needle.unwrap_or_default()));
        let watches = [out, err].map(|w| needle.is_some().then_some(w));
        (watches, Self { stdout, stderr, line })
    }

    /// Whether the text that means readiness was on standard output and is not reported yet.
    pub(super) fn saw_ready_text(&mut self, how: &ReadySpec) -> bool {
        match how {
            ReadySpec::Stdout(_) => self.stdout.try_recv() == Ok(()),
            ReadySpec::Line => self.line.as_mut().is_some_and(|line| line.try_recv() == Ok(())),
            _ => false,
        }
    }

    /// Advice for the owner of the configuration about a program that did not get ready.
    pub(super) fn advice(&mut self, how: &ReadySpec, exit: Option<Exit>) -> Box<Advice> {
        let on_stderr = match how {
            ReadySpec::Stdout(text) if self.stderr.try_recv() == Ok(()) => Some(text.clone()),
            _ => None,
        };
        Box::new(Advice { on_stderr, ended_at_once: exit == Some(Exit::Code(0)) })
    }
}
