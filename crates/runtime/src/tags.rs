//! What holders of leases call themselves, so that those who have to wait for them are told.
//!
//! Owns a table beside the leases, which know nothing of it: tagging costs the fast path nothing. Invariant: a tag
//! is in the table as long as its [`Tagged`] lives.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use majordomo_core::{ComponentId, EventKind, EventRecord, Holder, HolderKind, Refusal};

/// Tags of one component that a refusal tells.
const TOLD: usize = 4;

#[derive(Debug, Default)]
struct Table {
    next: u64,
    by_component: BTreeMap<ComponentId, BTreeMap<u64, Arc<str>>>,
}

/// The table.
#[derive(Debug, Default)]
pub(crate) struct Tags(Mutex<Table>);

fn locked(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    // Every change leaves the table whole, so a panic elsewhere does not spoil it.
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tags {
    /// Names those who lease these components, until the answer is dropped.
    pub(crate) fn add(self: &Arc<Self>, components: Vec<ComponentId>, tag: &str) -> Tagged {
        let tag = Arc::from(tag);
        let mut table = locked(&self.0);
        let number = table.next;
        table.next += 1;
        for id in &components {
            table.by_component.entry(id.clone()).or_default().insert(number, Arc::clone(&tag));
        }
        Tagged { tags: Arc::clone(self), components, number }
    }

    /// Fills in who holds: the first few, oldest first.
    pub(crate) fn tell(&self, holders: &mut [Holder]) {
        if holders.is_empty() {
            return;
        }
        let table = locked(&self.0);
        for holder in holders {
            if let HolderKind::Leased { .. } = holder.kind
                && let Some(tags) = table.by_component.get(&holder.component)
            {
                holder.tags = tags.values().take(TOLD).cloned().collect();
            }
        }
    }

    pub(crate) fn tell_refusal(&self, refusal: &mut Refusal) {
        if let Some(holders) = refusal.holders_mut() {
            self.tell(holders);
        }
    }

    pub(crate) fn tell_record(&self, record: &mut EventRecord) {
        if let EventKind::Refused { refusal, .. } = &mut record.kind {
            self.tell_refusal(refusal);
        }
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
    fn tags_are_told_while_they_live() {
        let tags = Arc::new(Tags::default());
        let ears = vec![ComponentId::new("ears").unwrap()];
        let first = tags.add(ears.clone(), "editor");
        let second = tags.add(ears, "indexer");
        let told = |kind| {
            let mut holders = [holder("ears", kind), holder("eyes", kind)];
            tags.tell(&mut holders);
            holders.map(|h| h.to_string())
        };
        let leased = HolderKind::Leased { leases: 2 };
        assert_eq!(
            told(leased),
            ["ears (1 MiB, 2 leases: editor, indexer)", "eyes (1 MiB, 2 leases)"]
        );
        assert_eq!(told(HolderKind::Pinned)[0], "ears (1 MiB, pinned)");
        drop(first);
        assert_eq!(told(leased)[0], "ears (1 MiB, 2 leases: indexer)");
        drop(second);
        assert!(locked(&tags.0).by_component.is_empty());
    }
}
