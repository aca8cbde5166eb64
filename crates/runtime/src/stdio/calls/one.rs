//! One call from its caller's side: the wait for a slot, the answer, and what remains when the caller cancels.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

use super::{CallSlot, Calls, Reply};
use crate::stdio::{CallAnswer, CallError, CallRequest};

/// Calls that may wait for a slot.
pub(super) const MAX_WAITING: usize = 256;
/// The longest deadline of a call: 30 days.
pub(super) const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

impl Calls {
    pub(super) async fn call(
        self: &Arc<Self>,
        request: &CallRequest,
        deadline: Option<Duration>,
    ) -> Result<CallAnswer, CallError> {
        self.answer_and_slot(request, deadline, false).await.map(|(answer, _)| answer)
    }

    /// The answer to a call, and its slot when the caller keeps that beyond the answer.
    async fn answer_and_slot(
        self: &Arc<Self>,
        request: &CallRequest,
        deadline: Option<Duration>,
        keeps_slot: bool,
    ) -> Result<(CallAnswer, CallSlot), CallError> {
        let span = deadline.unwrap_or(self.bounds.call_deadline).min(LONGEST);
        let until = Instant::now() + span;
        let too_late =
            |began| CallError::Deadline { component: self.component.clone(), waited: span, began };
        if span.is_zero() {
            return Err(too_late(false));
        }
        let slot = {
            let _waiting = Waiting::enter(self)?;
            match timeout_at(until, Arc::clone(&self.slots).acquire_owned()).await {
                Ok(Ok(slot)) => slot,
                // Closed slots are those of a program that has ended.
                Ok(Err(_)) => return Err(self.ended(self.why_ended())),
                Err(_) => return Err(too_late(false)),
            }
        };
        // The call before it may have ended at the same deadline, and its slot with it.
        if Instant::now() >= until {
            return Err(too_late(false));
        }
        let (reply, answer) = oneshot::channel();
        let id = self.open(request, reply, slot, keeps_slot)?;
        let mut left = Left { calls: self, id, until, answer: Some(answer) };
        match left.outcome().await {
            Ok(Ok((outcome, permit))) => {
                outcome.map(|answer| (answer, CallSlot { _permit: permit, until }))
            }
            Ok(Err(_)) => Err(self.ended(self.why_ended())),
            Err(_) => {
                self.expire(id);
                Err(too_late(true))
            }
        }
    }
}

/// A call that waits for a slot.
struct Waiting<'c>(&'c Calls);

impl<'c> Waiting<'c> {
    fn enter(calls: &'c Calls) -> Result<Self, CallError> {
        // Relaxed: a bound, which nothing is published with.
        let waiting = calls.waiting.fetch_add(1, Ordering::Relaxed);
        let entered = Self(calls);
        if waiting >= MAX_WAITING {
            return Err(CallError::QueueFull { component: calls.component.clone(), waiting });
        }
        Ok(entered)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Takes a call back whose caller cancels it: at once while its line is not being written, else at its answer, or its deadline,
/// which is then the component's own at the latest.
struct Left<'c> {
    calls: &'c Arc<Calls>,
    id: u64,
    until: Instant,
    /// None once the call is over.
    answer: Option<oneshot::Receiver<Reply>>,
}

impl Left<'_> {
    /// The answer, or the end of the program without one. An error: the deadline.
    async fn outcome(&mut self) -> Result<Result<Reply, RecvError>, Elapsed> {
        let Some(answer) = &mut self.answer else { return std::future::pending().await };
        let outcome = timeout_at(self.until, answer).await;
        self.answer = None;
        outcome
    }
}

impl Drop for Left<'_> {
    fn drop(&mut self) {
        let Some(answer) = self.answer.take() else { return };
        if self.calls.withdraw(self.id) {
            return;
        }
        let (calls, id) = (Arc::clone(self.calls), self.id);
        let until = self.until.min(Instant::now() + calls.bounds.call_deadline);
        self.calls.runtime.spawn(async move {
            if timeout_at(until, answer).await.is_err() {
                calls.expire(id);
            }
        });
    }
}

/// The way to a running program that takes calls: the one seam between callers of all kinds and the protocol. It keeps
/// no lease; when the program ends, its calls fail.
#[derive(Clone, Debug)]
pub struct Caller(Arc<Calls>);

impl Caller {
    pub(crate) fn new(calls: &Arc<Calls>) -> Self {
        Self(Arc::clone(calls))
    }

    /// Passes a request to the program and waits for its answer, at most `deadline`; without one, `call_deadline` of the
    /// component. Cancel safe: dropping the future takes the call back.
    ///
    /// # Errors
    /// A [`CallError`] with the reason.
    pub async fn call(
        &self,
        request: &CallRequest,
        deadline: Option<Duration>,
    ) -> Result<CallAnswer, CallError> {
        self.0.call(request, deadline).await
    }

    /// As [`Self::call`], and the call keeps its slot until the caller drops it: for a caller that waits for room for the answer, so
    /// that the program makes no further one meanwhile. Without an answer the slot is free as after every call.
    ///
    /// # Errors
    /// A [`CallError`] with the reason.
    pub async fn call_with_slot(
        &self,
        request: &CallRequest,
        deadline: Option<Duration>,
    ) -> Result<(CallAnswer, CallSlot), CallError> {
        self.0.answer_and_slot(request, deadline, true).await
    }
}
