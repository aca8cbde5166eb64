//! Commands, plans, and what an operator asks for.
#![expect(missing_docs, reason = "members that say all by their names have no comment")]

use std::time::Duration;

use majordomo::{ByteSize, ComponentId, ComponentState, Confidence, Priority, Rung};
use serde::{Deserialize, Serialize};

use super::json::{object, whole};
use super::{Lease, LeaseTerms, Leased, State, ms};
use crate::problem::Problem;

/// `POST /v1/commands`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Command {
    /// The user's words.
    pub text: String,
    /// Keeps what the command needs leased; none = it is counted as used and given back at once.
    #[serde(deserialize_with = "object", skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseTerms>,
    /// How long to wait for what is not ready; none = the configured deadline.
    #[serde(deserialize_with = "whole", skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The priority in the queue; none = the highest of the components.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
}

/// A keyword that is evidence for a component, or against it where its clause is negated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The keyword or phrase as it stands in the text.
    pub keyword: String,
    /// How many components have it.
    pub shared_by: u32,
    /// How well the text's words fit it: `exact` where absent, `spelling`, `affix` or `compound`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit: Option<String>,
    /// Whether its clause is negated; then it is evidence against the component.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub negated: bool,
}

impl From<&majordomo::Evidence> for Evidence {
    fn from(evidence: &majordomo::Evidence) -> Self {
        let fit = match evidence.fit {
            majordomo::Fit::Spelling => Some("spelling"),
            majordomo::Fit::Affix => Some("affix"),
            majordomo::Fit::Compound => Some("compound"),
            _ => None,
        };
        Self {
            keyword: evidence.keyword.clone(),
            shared_by: evidence.shared_by,
            fit: fit.map(str::to_owned),
            negated: evidence.negated,
        }
    }
}

/// A component that a text needs, or may need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Need {
    pub component: ComponentId,
    /// How sure that is, in `0..=1`.
    pub confidence: Confidence,
    /// The confidence from which on the component is loaded.
    pub threshold: Confidence,
    /// The keywords that speak for it.
    pub evidence: Vec<Evidence>,
    /// Learned parts of the text that are evidence for it, strongest first.
    pub n_grams: Vec<NGram>,
    /// How likely the text needs it by the earlier outcomes of this very text, in `0..=1`; none while they have not
    /// confirmed each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<Confidence>,
}

/// A part of a text that is evidence for a component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NGram {
    /// The part: a word, two words, or letters inside a word, with `<` and `>` for the ends of words.
    pub text: String,
    /// Its part of the component's score.
    pub weight: f32,
}

impl From<&majordomo::Need> for Need {
    fn from(need: &majordomo::Need) -> Self {
        let evidence = need.evidence.iter().map(Evidence::from).collect();
        let n_gram = |g: &majordomo::NGram| NGram { text: g.text.clone(), weight: g.weight };
        Self {
            component: need.id.clone(),
            confidence: need.confidence,
            threshold: need.threshold,
            evidence,
            n_grams: need.n_grams.iter().map(n_gram).collect(),
            confirmed: need.confirmed,
        }
    }
}

/// A component that a command needs and does not have, so that the others could be had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    pub component: ComponentId,
    /// Why.
    pub refusal: Problem,
}

impl From<&majordomo::LeftOut> for LeftOut {
    fn from(left: &majordomo::LeftOut) -> Self {
        Self { component: left.id.clone(), refusal: Problem::from(&left.refusal) }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandOutcome {
    /// The components that the command needs, most confident first.
    pub needed: Vec<Need>,
    /// Components that the command may need: below the threshold, and not loaded.
    pub candidates: Vec<Need>,
    /// Whether everything was ready when it came.
    pub hit: bool,
    /// The components that were ready.
    pub ready_at_once: Vec<ComponentId>,
    /// How long it took to have everything.
    pub waited_ms: f64,
    /// Why it was refused; then there are no endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Problem>,
    /// The components that it was granted, with their endpoints. Without `lease` this is for information: they may be
    /// unloaded.
    pub components: Vec<Leased>,
    /// Needed components that were left out so that the others could be granted: the less confident ones of those that do
    /// not fit together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// The lease that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
}

/// The decision about a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It needs the components named.
    Confident,
    /// It may need the candidates, but the evidence for each is too weak: nothing is loaded.
    Unsure,
    /// It needs no component.
    #[default]
    None,
}

impl From<majordomo::Decision> for Decision {
    fn from(decision: majordomo::Decision) -> Self {
        match decision {
            majordomo::Decision::Confident => Self::Confident,
            majordomo::Decision::Unsure => Self::Unsure,
            majordomo::Decision::None => Self::None,
        }
    }
}

/// `POST /v1/intents`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IntentsRequest {
    /// The user's words.
    pub text: String,
}

/// The intents of a text, with evidence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Intents {
    /// Whether a command with this text would load something.
    pub decision: Decision,
    /// The components that the text needs, likeliest first.
    pub needed: Vec<Need>,
    /// Further likely components, below the threshold.
    pub candidates: Vec<Need>,
    /// Version of the model that answered.
    pub model_version: u64,
}

impl From<&majordomo::IntentsAnswer> for Intents {
    fn from(answer: &majordomo::IntentsAnswer) -> Self {
        Self {
            decision: answer.decision.into(),
            needed: answer.needed.iter().map(Need::from).collect(),
            candidates: answer.candidates.iter().map(Need::from).collect(),
            model_version: answer.version,
        }
    }
}

/// `POST /v1/plan`: either a text or components.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanRequest {
    /// The user's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
}

/// A component that would be loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanLoad {
    pub component: ComponentId,
    /// The bytes that would be reserved.
    pub bytes: ByteSize,
    /// The bytes that would be booked once it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<ByteSize>,
    /// Declared bytes that would be booked in other pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<PoolBytes>,
    /// How much of `bytes` is more than the budget has: then its load runs alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beyond: Option<ByteSize>,
    /// Where it starts from, if it is woken instead of loaded: `paged` or `asleep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<State>,
    /// How long that takes from there, learned or declared.
    pub load_time_ms: f64,
    /// The wave in which it loads, from 0.
    pub wave: usize,
    /// It is being loaded already.
    pub under_way: bool,
}

/// Bytes of one pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolBytes {
    /// The name of the pool.
    pub pool: String,
    pub bytes: ByteSize,
}

impl From<&majordomo::PoolMemory> for PoolBytes {
    fn from(memory: &majordomo::PoolMemory) -> Self {
        Self { pool: memory.pool.to_string(), bytes: memory.bytes }
    }
}

/// A component that would go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanEviction {
    pub component: ComponentId,
    /// Where it would be left, if it is parked instead of unloaded: `paged` or `asleep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<State>,
    /// The bytes that it would free in its pool.
    pub bytes: ByteSize,
    /// Declared bytes that it would free in other pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<PoolBytes>,
    /// It is evicted because it conflicts.
    pub conflict: bool,
}

/// The state of a component that is parked at a rung; none where it is gone.
fn rest(rung: Rung) -> Option<State> {
    rung.is_parked().then(|| ComponentState::Down(rung).into())
}

/// The plan for a demand, as it would be made now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The decision about the text; none for plans by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// The components that the text needs.
    pub needed: Vec<Need>,
    /// Components that the text may need.
    pub candidates: Vec<Need>,
    /// The components that are ready.
    pub ready: Vec<ComponentId>,
    /// Loads, in their order.
    pub loads: Vec<PlanLoad>,
    /// Evictions, in their order.
    pub evictions: Vec<PlanEviction>,
    /// The holders that block the demand, in words; it would wait for them.
    pub in_the_way: Vec<String>,
    /// Why it would be refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Problem>,
    /// Components that would be left out of a command, so that the others can be granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// How long the parks and the loads would take.
    pub wait_ms: f64,
    /// How much of `wait_ms` are parks that free the memory for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parking_ms: Option<f64>,
}

impl From<&majordomo::Plan> for Plan {
    fn from(plan: &majordomo::Plan) -> Self {
        Self {
            decision: None,
            needed: plan.needed.iter().map(Need::from).collect(),
            candidates: plan.candidates.iter().map(Need::from).collect(),
            ready: plan.ready.clone(),
            loads: plan
                .loads
                .iter()
                .map(|l| PlanLoad {
                    component: l.component.clone(),
                    bytes: l.bytes,
                    settled: Some(l.settled),
                    apart: l.apart.iter().map(PoolBytes::from).collect(),
                    beyond: (l.beyond > ByteSize::ZERO).then_some(l.beyond),
                    from: rest(l.from),
                    load_time_ms: ms(l.load_time),
                    wave: l.wave,
                    under_way: l.under_way,
                })
                .collect(),
            evictions: plan
                .evictions
                .iter()
                .map(|e| PlanEviction {
                    component: e.component.clone(),
                    to: rest(e.to),
                    bytes: e.bytes,
                    apart: e.apart.iter().map(PoolBytes::from).collect(),
                    conflict: e.conflict,
                })
                .collect(),
            in_the_way: plan.holders.iter().map(ToString::to_string).collect(),
            refusal: plan.refusal.as_ref().map(Problem::from),
            left_out: plan.left_out.iter().map(LeftOut::from).collect(),
            wait_ms: ms(plan.wait),
            parking_ms: (plan.parking > Duration::ZERO).then(|| ms(plan.parking)),
        }
    }
}

/// `POST /v1/components/{name}/unload`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Unload {
    /// Also when it is CORE, pinned or leased.
    pub force: bool,
}

/// `POST /v1/components/{name}/pin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pin {
    /// False takes the pin away.
    pub pinned: bool,
}

impl Default for Pin {
    fn default() -> Self {
        Self { pinned: true }
    }
}

/// How soon a hinted component is likely to be needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// At once.
    Immediate,
    /// Soon.
    #[default]
    Delayed,
    /// When there is nothing else to do.
    Background,
}

/// `POST /v1/hints`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hint {
    /// The component that is likely to be needed.
    pub component: String,
    /// How likely, in `0..=1`; none = 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    /// How soon.
    pub tier: Tier,
}

/// Whether something was taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// False when its queue is full.
    pub accepted: bool,
}

/// `POST /v1/feedback`: what a command really used. Either `lease`, of a command that still holds it, and it ends; or
/// `text`, what was said some time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Feedback {
    /// The lease that the command gave.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lease: String,
    /// The user's words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The components used; empty = none was needed.
    pub used: Vec<String>,
}

/// One thing that is wrong or doubtful in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// `error` or `warning`.
    pub severity: String,
    /// A fixed word for its kind.
    pub code: String,
    /// The path of the configuration file.
    pub file: String,
    /// The line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The column, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The mistake, in words.
    pub message: String,
    /// The way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl From<&majordomo::Problem> for Warning {
    fn from(p: &majordomo::Problem) -> Self {
        Self {
            severity: p.severity.to_string(),
            code: p.code.to_owned(),
            file: p.file.to_string(),
            line: p.at.map(|at| at.line),
            column: p.at.map(|at| at.column),
            message: p.message.clone(),
            suggestion: p.suggestion.clone(),
        }
    }
}
