//! Calls of components by name.

use std::time::Duration;

use majordomo_core::Refusal;
use majordomo_runtime::AcquireOptions;
use majordomo_runtime::stdio::{CallAnswer, CallError, CallRequest, CallSlot, Caller};

use super::Manager;

impl Manager {
    /// Leases a component for the length of a call ([`AnyLease::call`](crate::AnyLease::call)); loads it if it is not ready.
    /// A deadline in the options is that of lease and call together. Cancel safe: dropping the future takes the call back.
    ///
    /// # Errors
    /// A [`CallError`] with the reason; [`CallError::Refused`] when there is no lease.
    pub async fn call(
        &self,
        name: &str,
        request: &CallRequest,
        options: AcquireOptions,
    ) -> Result<CallAnswer, CallError> {
        self.call_by(name, options, async |caller, left| caller.call(request, left).await).await
    }

    /// As [`Self::call`], and the call keeps its slot beyond its lease until the caller drops it ([`Caller::call_with_slot`]).
    ///
    /// # Errors
    /// A [`CallError`] with the reason; [`CallError::Refused`] when there is no lease.
    pub async fn call_with_slot(
        &self,
        name: &str,
        request: &CallRequest,
        options: AcquireOptions,
    ) -> Result<(CallAnswer, CallSlot), CallError> {
        let call = async |caller: Caller, left| caller.call_with_slot(request, left).await;
        self.call_by(name, options, call).await
    }

    /// Leases a component, and calls it in the time that is left.
    async fn call_by<T>(
        &self,
        name: &str,
        options: AcquireOptions,
        call: impl AsyncFnOnce(Caller, Option<Duration>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let key = self.host().key(name)?;
        // Before anything is loaded for nothing.
        if let Some(error) = self.host().catalog().spec(key).and_then(|s| CallError::of_spec(s)) {
            return Err(error);
        }
        let (deadline, since) = (options.deadline, self.now());
        let mut leases = self.host().acquire_all(&[key], options).await?;
        let lease = leases.pop().ok_or(Refusal::Abandoned)?;
        let left = deadline.map(|deadline| deadline.saturating_sub(self.now().since(since)));
        lease.mark_used();
        let outcome = call(lease.caller()?, left).await;
        outcome.map_err(|error| match (error, deadline) {
            // The caller's own, of which the call had the rest.
            (CallError::Deadline { component, began, .. }, Some(waited)) => {
                CallError::Deadline { component, waited, began }
            }
            (error, _) => error,
        })
    }
}
