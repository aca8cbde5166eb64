//! Tags of holders of leases, which refusals of other callers name.
//!
//! Owns a table beside the leases, which know nothing of it: tagging costs the fast path nothing. Invariant: a tag
//! is in the table as long as its [`Tagged`] lives.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use majordomo_core::{ComponentId, EventKind, EventRecord, Holder, HolderKind, LeftOut, Refusal};

/// Tags of one component that a refusal names.
const MAX_SHOWN: usize = 4;

/// A holder of leases or a waiter, as far as it is known. Two are the same party when they share a connection, or a tag
/// that no other living process uses for itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// Its name for itself; none = it stated no name.
    pub tag: Option<Arc<str>>,
    /// Its process, where that is known.
    pub pid: Option<u32>,
    /// Its connection, for clients of a server.
    pub connection: Option<u64>,
}

impl Party {
    /// Whether a waiter is the party that holds leases.
    fn holds_as(&self, holder: &Self) -> bool {
        let same_connection = self.connection.is_some() && self.connection == holder.connection;
        let same_tag = self.tag.is_some() && self.tag == holder.tag;
        let other_process = self.pid != holder.pid && holder.pid.is_some_and(lives);
        same_connection || (same_tag && !other_process)
    }
}

fn lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

/// A tag as it is shown, and its owner.
#[derive(Debug)]
struct Tag {
    shown: Arc<str>,
    party: Party,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    by_component: BTreeMap<ComponentId, BTreeMap<u64, Arc<Tag>>>,
}

/// All tags, by component.
#[derive(Debug, Default)]
pub(crate) struct Tags(Mutex<Table>);

fn locked(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    // Every change leaves the table whole, so a panic elsewhere does not spoil it.
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tags {
    /// Names the holder of leases on these components, until the answer is dropped.
    pub(crate) fn add(
        self: &Arc<Self>,
        components: Vec<ComponentId>,
        tag: &str,
        party: Party,
    ) -> Tagged {
        let tag = Arc::new(Tag { shown: Arc::from(tag), party });
        let mut table = locked(&self.0);
        let number = table.next;
        table.next += 1;
        for id in &components {
            table.by_component.entry(id.clone()).or_default().insert(number, Arc::clone(&tag));
        }
        Tagged { tags: Arc::clone(self), components, number }
    }

    /// How many leases on a component a party holds itself.
    pub(crate) fn held_by(&self, party: &Party, component: &ComponentId) -> u32 {
        let table = locked(&self.0);
        let tags = table.by_component.get(component).into_iter().flat_map(BTreeMap::values);
        let n = tags.filter(|t| party.holds_as(&t.party)).count();
        u32::try_from(n).unwrap_or(u32::MAX)
    }

    /// Fills in who holds: the first few, oldest first.
    pub(crate) fn fill_in(&self, holders: &mut [Holder]) {
        if holders.is_empty() {
            return;
        }
        let table = locked(&self.0);
        for holder in holders {
            if let HolderKind::Leased { .. } | HolderKind::Draining = holder.kind
                && let Some(tags) = table.by_component.get(&holder.component)
            {
                holder.tags = tags.values().take(MAX_SHOWN).map(|t| Arc::clone(&t.shown)).collect();
            }
        }
    }

    pub(crate) fn fill_in_refusal(&self, refusal: &mut Refusal) {
        if let Some(holders) = refusal.holders_mut() {
            self.fill_in(holders);
        }
    }

    pub(crate) fn fill_in_record(&self, record: &mut EventRecord) {
        match &mut record.kind {
            EventKind::Refused { refusal, .. } => self.fill_in_refusal(refusal),
            EventKind::Granted { left_out, .. } => self.fill_in_left_out(left_out),
            _ => {}
        }
    }

    pub(crate) fn fill_in_left_out(&self, left_out: &mut [LeftOut]) {
        left_out.iter_mut().for_each(|l| self.fill_in_refusal(&mut l.refusal));
    }
}

/// Keeps a tag in the table; to be kept beside the leases that it is about.
pub struct Tagged {
    tags: Arc<Tags>,
    components: Vec<ComponentId>,
    number: u64,
}

impl fmt::Debug for Tagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tagged").field(&self.components).finish()
    }
}

impl Drop for Tagged {
    fn drop(&mut self) {
        let mut table = locked(&self.tags.0);
        for id in &self.components {
            if let Some(tags) = table.by_component.get_mut(id) {
                tags.remove(&self.number);
                if tags.is_empty() {
                    table.by_component.remove(id);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use majordomo_core::ByteSize;

    fn holder(name: &str, kind: HolderKind) -> Holder {
        let component = ComponentId::new(name).unwrap();
        Holder { component, booked: ByteSize::mib(1), kind, tags: Vec::new() }
    }

    #[test]
    fn a_party_is_known_by_its_connection_or_by_its_tag() {
        let own = std::process::id();
        let party =
            |tag: Option<&str>, pid, connection| Party { tag: tag.map(Arc::from), pid, connection };
        let check = |waits: &Party, holds: &Party, same| assert_eq!(waits.holds_as(holds), same);
        check(&party(None, None, Some(1)), &party(Some("a"), None, Some(1)), true);
        check(&party(None, None, None), &party(None, None, None), false);
        check(&party(Some("a"), Some(own), Some(1)), &party(Some("a"), Some(own), Some(2)), true);
        check(&party(Some("a"), None, Some(1)), &party(Some("b"), None, Some(2)), false);
        // Two living processes that call themselves the same are two; the successor of one that ended is the same.
        check(&party(Some("a"), Some(1), None), &party(Some("a"), Some(own), None), false);
        let gone = u32::try_from(i32::MAX).unwrap();
        check(&party(Some("a"), Some(own), None), &party(Some("a"), Some(gone), None), true);
    }

    #[test]
    fn refusal_names_the_tags_that_are_held() {
        let tags = Arc::new(Tags::default());
        let ears = vec![ComponentId::new("ears").unwrap()];
        let first = tags.add(ears.clone(), "editor", Party::default());
        let second = tags.add(ears, "indexer", Party::default());
        let shown = |kind| {
            let mut holders = [holder("ears", kind), holder("eyes", kind)];
            tags.fill_in(&mut holders);
            holders.map(|h| h.to_string())
        };
        let leased = HolderKind::Leased { leases: 2 };
        assert_eq!(
            shown(leased),
            ["ears (1 MiB, 2 leases: editor, indexer)", "eyes (1 MiB, 2 leases)"]
        );
        assert_eq!(shown(HolderKind::Pinned)[0], "ears (1 MiB, pinned)");
        drop(first);
        assert_eq!(shown(leased)[0], "ears (1 MiB, 2 leases: indexer)");
        drop(second);
        assert!(locked(&tags.0).by_component.is_empty());
    }
}
