//! Needs and loads that explain a refusal.

use std::fmt;
use std::time::Duration;

use crate::{ByteSize, ComponentId};

/// A measured need that is larger than the declared one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "the component's name")]
pub struct MeasuredNeed {
    pub component: ComponentId,
    /// The highest measurement that counts, of this process or an earlier one.
    pub peak: ByteSize,
    /// Expected memory at the peak of the component's load.
    pub load_peak: Option<ByteSize>,
    /// Expected memory at the peak of the component's use.
    pub working_peak: Option<ByteSize>,
    /// The configured memory.
    pub declared: ByteSize,
    /// Bytes that the machine can spare, where these do not suffice for the peak of the load.
    pub spare: Option<ByteSize>,
    /// The declared memory, which fits, counts again after this time; none when that does not fit either.
    pub retry_in: Option<Duration>,
}

impl fmt::Display for MeasuredNeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { component, peak, declared, .. } = self;
        write!(f, "{component} was measured at {peak} (declared: {declared}")?;
        if let Some(bytes) = self.load_peak {
            write!(f, ", peak of its load: {bytes}")?;
        }
        if let Some(bytes) = self.working_peak {
            write!(f, ", peak of its use: {bytes}")?;
        }
        f.write_str(")")?;
        match self.spare {
            Some(spare) => write!(
                f,
                ", and the machine has {spare} to spare for that: close other programs, or raise the budget"
            ),
            None => {
                write!(
                    f,
                    ": raise the budget, or have it measured again (`majordomo state forget {component}`)"
                )?;
                match self.retry_in {
                    Some(t) => {
                        write!(f, "; it may be tried again in {:.0} s", t.as_secs_f64().ceil())
                    }
                    None => Ok(()),
                }
            }
        }
    }
}

/// A load that continues after the demand that started it, or waited for it, has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[expect(missing_docs, reason = "the component's name")]
pub struct LoadUnderWay {
    pub component: ComponentId,
    /// Time until every requested component should be ready, by the known load times; none when the load has already
    /// taken longer than any before it.
    pub ready_in: Option<Duration>,
    /// Time until the load deadline.
    pub given_up_in: Duration,
}
