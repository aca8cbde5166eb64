//! How much memory process groups use.
//!
//! Two ways: quick (resident pages; pages that members share count once for each) for the steady look,
//! and exact (Linux: proportional set size; macOS: physical footprint) for the rare one. Knows nothing of
//! components or budgets. Everything here reads files or runs a tool, so it belongs on a blocking
//! thread. Invariant: one pass over the process table serves all groups, and a [`Sampler`] that looks every second
//! makes that pass once in ten looks.

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

/// One look of a [`Sampler`] in so many goes through the whole process table.
const WHOLE_EVERY: u32 = 10;

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

/// Measures the same groups again and again, for a small part of what [`sample`] costs on a machine with many
/// processes: it looks at the members that it knows and at their children, and at all processes once in ten looks,
/// when an exact figure is asked for, and when a group is new.
#[derive(Debug, Default)]
pub struct Sampler {
    members: BTreeMap<i32, Vec<i32>>,
    looks: u32,
}

impl Sampler {
    /// As [`sample`]. A member that is no child of a known one may be missing for nine looks. Blocks.
    #[must_use]
    pub fn look(&mut self, groups: &[Group], detail: Detail) -> Vec<Option<Footprint>> {
        let is_whole = detail != Detail::Quick
            || self.looks.is_multiple_of(WHOLE_EVERY)
            || groups.iter().any(|g| !self.members.contains_key(&g.pgid));
        self.looks = self.looks.wrapping_add(1);
        if is_whole {
            return measure(groups, detail, &mut self.members);
        }
        let members = &mut self.members;
        let known = |g: &Group| system::of_members(g, members.get_mut(&g.pgid)?);
        groups.iter().map(known).collect()
    }
}

/// Measures groups; none for one that has no living member, or whose number means another group now.
/// The answer has the order of `groups`. Blocks.
#[must_use]
pub fn sample(groups: &[Group], detail: Detail) -> Vec<Option<Footprint>> {
    measure(groups, detail, &mut BTreeMap::new())
}

/// The same, with the members' process ids by group.
fn measure(
    groups: &[Group],
    detail: Detail,
    members: &mut BTreeMap<i32, Vec<i32>>,
) -> Vec<Option<Footprint>> {
    members.clear();
    if groups.is_empty() {
        return Vec::new();
    }
    let wanted: BTreeMap<i32, usize> =
        groups.iter().enumerate().map(|(i, g)| (g.pgid, i)).collect();
    members.extend(groups.iter().map(|g| (g.pgid, Vec::new())));
    let mut found = vec![Footprint::default(); groups.len()];
    system::each_member(
        detail,
        |pgid, pid, member| {
            if let Some(&i) = wanted.get(&pgid) {
                found[i].add(member);
                members.entry(pgid).or_default().push(pid);
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
