//! How much memory process groups use.
//!
//! Two ways: quick (resident pages; pages that members share count once for each) for the steady look,
//! and exact (Linux: proportional set size; macOS: physical footprint) for the rare one. Knows nothing of
//! components or budgets. Everything here reads files or runs a tool, so it belongs on a blocking
//! thread. Invariant: one pass over the process table serves all groups.

use std::collections::BTreeMap;

use majordomo_core::ByteSize;

use crate::proctable::Group;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod ps;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use ps as system;

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detail {
    /// Resident pages: cheap, counts shared pages for each member.
    Quick,
    /// Also the exact figure: the kernel walks all page tables, milliseconds for gibibytes.
    Exact,
    /// Also the highest use so far, for a component that has just come up.
    Transition,
}

/// What one process group uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Sum of the members' resident sizes.
    pub resident: ByteSize,
    /// Sum of the members' proportional set sizes (Linux) or physical footprints (macOS), when asked for
    /// and readable for all of them.
    pub exact: Option<ByteSize>,
    /// Sum of the members' highest resident sizes (Linux), when asked for and readable for all of them.
    pub peak: Option<ByteSize>,
    /// Living members.
    pub members: u32,
}

impl Footprint {
    /// The exact figure where there is one, else the resident size.
    #[must_use]
    pub fn best(&self) -> ByteSize {
        self.exact.unwrap_or(self.resident)
    }

    fn add(&mut self, member: Member) {
        let first = self.members == 0;
        let sum = |sum: Option<ByteSize>, one: Option<ByteSize>| {
            if first { one } else { Some(sum? + one?) }
        };
        self.exact = sum(self.exact, member.exact);
        self.peak = sum(self.peak, member.peak);
        self.resident += member.resident;
        self.members += 1;
    }
}

/// What one process uses.
#[derive(Clone, Copy, Debug)]
struct Member {
    resident: ByteSize,
    exact: Option<ByteSize>,
    peak: Option<ByteSize>,
}

/// Measures groups; none for one that has no living member, or whose number means another group now.
/// The answer has the order of `groups`. Blocks.
#[must_use]
pub fn sample(groups: &[Group], detail: Detail) -> Vec<Option<Footprint>> {
    if groups.is_empty() {
        return Vec::new();
    }
    let wanted: BTreeMap<i32, usize> =
        groups.iter().enumerate().map(|(i, g)| (g.pgid, i)).collect();
    let mut found = vec![Footprint::default(); groups.len()];
    system::each_member(
        detail,
        |pgid, member| {
            if let Some(&i) = wanted.get(&pgid) {
                found[i].add(member);
            }
        },
        |pgid| wanted.contains_key(&pgid),
    );
    let ours = |(footprint, group): (Footprint, &Group)| {
        (footprint.members > 0 && group.is_ours()).then_some(footprint)
    };
    found.into_iter().zip(groups).map(ours).collect()
}

/// The same on a blocking thread of the runtime.
pub async fn sample_async(groups: Vec<Group>, detail: Detail) -> Vec<Option<Footprint>> {
    let n = groups.len();
    // It fails only when the runtime shuts down.
    tokio::task::spawn_blocking(move || sample(&groups, detail))
        .await
        .unwrap_or_else(|_| vec![None; n])
}

/// What this very process uses. Blocks.
#[must_use]
pub fn own(detail: Detail) -> Footprint {
    let mut footprint = Footprint::default();
    if let Some(member) = system::own(detail) {
        footprint.add(member);
    }
    footprint
}
