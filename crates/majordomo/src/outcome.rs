//! The outcome of one command.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use majordomo_core::{CommandId, ComponentId, ComponentKey, Confidence, Refusal};
use majordomo_runtime::{AcquireOptions, AnyLease, Host};

use crate::exchange::exchange;
use crate::intents::{Decision, IntentsAnswer, Need, Spoken, Teacher};

/// A component that a command needs and was left out so that the others fit.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "a name and a reason")]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LeftOut {
    pub id: ComponentId,
    pub refusal: Refusal,
}

/// The outcome of one command: the components that it needs, the leases on them, or the refusal.
///
/// Dropping it returns the leases and reports which components were really used, unless [`Self::feedback`] reported
/// that before. The components used are learned; components that were leased and not used teach nothing.
#[derive(Debug)]
pub struct Outcome {
    pub(crate) host: Host,
    /// The learner, if the outcome is to be learned.
    pub(crate) teacher: Option<(Teacher, Spoken)>,
    pub(crate) answer: IntentsAnswer,
    pub(crate) ready_at_once: Vec<ComponentId>,
    pub(crate) leases: Vec<AnyLease>,
    pub(crate) left_out: Vec<LeftOut>,
    pub(crate) waited: Duration,
    pub(crate) refusal: Option<Refusal>,
    /// Components that its text makes likely for the next command.
    pub(crate) follows: Vec<(ComponentKey, Confidence)>,
    pub(crate) command: CommandId,
    pub(crate) reported: bool,
    /// All leases were marked as used, and no holder confirmed it.
    pub(crate) assumed: AtomicBool,
}

impl Outcome {
    /// Whether the text needs components.
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.answer.decision
    }

    /// Version of the model that decided.
    #[must_use]
    pub fn model_version(&self) -> u64 {
        self.answer.version
    }

    /// The components needed, most confident first.
    #[must_use]
    pub fn needed(&self) -> &[Need] {
        &self.answer.needed
    }

    /// Other components that are not unlikely, most confident first: below the threshold, so not loaded.
    #[must_use]
    pub fn candidates(&self) -> &[Need] {
        &self.answer.candidates
    }

    /// Whether every component was ready when the command came. True as well when none is needed.
    #[must_use]
    pub fn was_hit(&self) -> bool {
        self.refusal.is_none() && self.ready_at_once.len() == self.answer.needed.len()
    }

    /// The needed components that were ready when the command came. Empty when it was refused.
    #[must_use]
    pub fn ready_at_once(&self) -> &[ComponentId] {
        &self.ready_at_once
    }

    /// The time until all leases were granted.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The reason for which there are no leases.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// The leases, in the order of [`Self::needed`].
    #[must_use]
    pub fn leases(&self) -> &[AnyLease] {
        &self.leases
    }

    /// The needed components that were left out so that the others fit; nothing is learned from their not being used.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Exchanges the leases for leases on other components, as [`Manager::exchange`](crate::Manager::exchange) does:
    /// for a command that turns out to need something else.
    ///
    /// # Errors
    /// The [`Refusal`] that says why not.
    pub async fn exchange(
        &mut self,
        names: &[&str],
        options: AcquireOptions,
    ) -> Result<(), Refusal> {
        let keys: Result<Vec<_>, _> = names.iter().map(|n| self.host.key(n)).collect();
        exchange(&self.host, &mut self.leases, &keys?, options).await
    }

    /// Reports which components the command really used, instead of what its leases say; none is an answer too. The
    /// report is learned soon after; the outcome keeps its leases. After a second report the text is learned again,
    /// while its use counts as first reported.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`] for a name that does not exist; nothing is reported then.
    pub fn feedback(&mut self, used: &[&str]) -> Result<(), Refusal> {
        let keys: Result<Vec<_>, _> = used.iter().map(|n| self.host.key(n)).collect();
        self.report(keys?);
        Ok(())
    }

    /// Replaces the leases, and returns the former ones.
    pub fn replace_leases(&mut self, leases: Vec<AnyLease>) -> Vec<AnyLease> {
        std::mem::replace(&mut self.leases, leases)
    }

    /// Whether every needed component is in `used` or could have been: one that was left out could not.
    fn covers_all(&self, used: &[ComponentKey]) -> bool {
        let could =
            |l: &LeftOut| self.answer.needed.iter().any(|n| n.id == l.id && used.contains(&n.key));
        self.left_out.iter().all(could)
    }

    /// Reports the used components, which are learned.
    pub(crate) fn report(&mut self, used: Vec<ComponentKey>) {
        if let Some((teacher, text)) = self.teacher.as_ref().filter(|_| self.covers_all(&used)) {
            // A full queue is counted in the status.
            teacher.report(Spoken(text.0.clone()), used.clone());
        }
        if !std::mem::replace(&mut self.reported, true) {
            self.host.observed(Some(self.command), used, std::mem::take(&mut self.follows));
        }
    }

    /// The lease on a component.
    #[must_use]
    pub fn lease(&self, name: &str) -> Option<&AnyLease> {
        self.leases.iter().find(|l| l.id().as_str() == name)
    }

    /// A leased component as a `T`, if it is one; counts as a use.
    #[must_use]
    pub fn component<T: 'static>(&self, name: &str) -> Option<&T> {
        self.lease(name)?.get()
    }

    /// Counts every leased component as used. That repeats the decision, so it teaches nothing about texts.
    pub fn mark_used(&self) {
        self.assumed.store(true, Ordering::Relaxed);
        self.leases.iter().for_each(AnyLease::mark_used);
    }

    /// Counts every leased component as really used by a holder outside of this process, as a dereference does
    /// inside: unlike [`Self::mark_used`], that teaches the text. Call it for an act of the holder on its leases,
    /// never for the decision itself.
    pub fn confirm_used(&self) {
        self.assumed.store(false, Ordering::Relaxed);
        self.leases.iter().for_each(AnyLease::mark_used);
    }

    /// Takes the leases out, to keep them longer than this value. Their later use is not learned.
    #[must_use]
    pub fn into_leases(mut self) -> Vec<AnyLease> {
        std::mem::take(&mut self.leases)
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if self.reported {
            return;
        }
        let used: Vec<_> = self.leases.iter().filter(|l| l.was_used()).map(AnyLease::key).collect();
        if used.is_empty() || self.refusal.is_some() {
            self.host.ended(self.command);
            return;
        }
        if *self.assumed.get_mut() {
            self.teacher = None;
        }
        self.report(used);
    }
}
