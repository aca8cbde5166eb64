//! Commands: from a text to leases on the components that it needs, and the plan of that.

use majordomo_core::{HintSource, HintTier, Refusal};
use majordomo_runtime::{AcquireOptions, Acquired, Ask};

use super::Manager;
use crate::intents::{Spoken, cut};
use crate::outcome::{LeftOut, Outcome};
use crate::plan::Plan;

impl Manager {
    /// Decides which components a command needs and leases them, loading those that are not ready. A component that
    /// does not fit beside the more confident ones is left out ([`Outcome::left_out`]). A refusal is part of the
    /// outcome; so are components whose confidence is below their threshold.
    pub async fn command(&self, text: &str) -> Outcome {
        self.command_with(text, AcquireOptions::default()).await
    }

    /// [`Self::command`] with a priority, a deadline, or a caller that may hold leases already.
    pub async fn command_with(&self, text: &str, options: AcquireOptions) -> Outcome {
        let host = self.host();
        let intents = &self.inner.intents;
        let needs = intents.needs(text);
        let needed = &needs.answer.needed;
        let keys: Vec<_> = needed.iter().map(|n| n.key).collect();
        let since = host.clock().now();
        let command = host.begun(keys.clone());
        let client = options.party.as_ref().and_then(|party| party.tag.clone());
        // The keys are in the order of confidence: a component that does not fit beside those before it is left out.
        let ask = Ask { options, partial: true, old: None };
        let (acquired, refusal) = match host.acquire(&keys, ask).await {
            Ok(acquired) => (acquired, None),
            Err(refusal) => (Acquired::default(), Some(refusal)),
        };
        let Acquired { leases, left_out, ready } = acquired;
        let ready_at_once =
            needed.iter().filter(|n| ready.contains(&n.key)).map(|n| n.id.clone()).collect();
        let mut follows = needs.follows;
        follows.retain(|(key, _)| !keys.contains(key));
        for (key, confidence) in &follows {
            // A full lane is counted in the status.
            let _ = host.hint(HintTier::Delayed, *key, *confidence, HintSource::Trigger);
        }
        let waited = host.clock().now().since(since);
        tracing::debug!(
            needed = keys.len(),
            waited_us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX),
            refused = refusal.is_some(),
            "command"
        );
        Outcome {
            host: host.guest(),
            teacher: intents.teacher(client).map(|teacher| (teacher, Spoken(cut(text).into()))),
            answer: needs.answer,
            ready_at_once,
            leases,
            left_out: left_out.into_iter().map(|(id, refusal)| LeftOut { id, refusal }).collect(),
            waited,
            refusal,
            follows,
            command,
            reported: false,
            assumed: false.into(),
        }
    }

    /// The loads and evictions that a command would cause now; changes nothing.
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`].
    pub async fn plan(&self, text: &str) -> Result<Plan, Refusal> {
        let answer = self.inner.intents.needs(text).answer;
        let keys: Vec<_> = answer.needed.iter().map(|n| n.key).collect();
        let plan = self.host().plan_partial(&keys).await?;
        Ok(Plan {
            decision: answer.decision,
            model_version: answer.version,
            needed: answer.needed,
            candidates: answer.candidates,
            ..Plan::new(plan, &self.host().catalog())
        })
    }

    /// The loads and evictions that a demand for components would cause now; changes nothing.
    ///
    /// # Errors
    /// [`Refusal::UnknownComponent`] or [`Refusal::ShuttingDown`].
    pub async fn plan_for(&self, names: &[&str]) -> Result<Plan, Refusal> {
        let keys = self.keys(names)?;
        let plan = self.host().plan(&keys).await?;
        Ok(Plan::new(plan, &self.host().catalog()))
    }
}
