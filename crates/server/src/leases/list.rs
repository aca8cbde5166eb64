//! Lists of leases, in the order of their numbers: pages, and the oldest holders for a status.

use majordomo::Moment;

use super::LeaseTable;
use super::entry::{Entry, leased};
use crate::problem::Problem;
use crate::wire::{Holders, Lease, LeaseHolder, LeaseState, Leases, ms};

/// Rows of holders in a status.
const HOLDERS: usize = 256;
/// The most leases of a page.
pub(crate) const MAX_PAGE: usize = 1000;
/// A page ends after this many components, too: leases of many components are large.
const PAGE_COMPONENTS: usize = 1024;

impl LeaseTable {
    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.boot)
    }

    /// A lease as it is sent.
    pub(super) fn described(&self, number: u64, entry: &Entry, now: Moment) -> Lease {
        let components: Vec<_> = entry.with_leases(|l| l.iter().map(leased).collect());
        let revoked = components.iter().any(|c| c.revoked);
        Lease {
            id: self.id(number),
            state: if revoked { LeaseState::Revoked } else { LeaseState::Active },
            components,
            bind: entry.terms.bind,
            tag: entry.terms.tag.clone(),
            pid: entry.terms.pid,
            age_ms: ms(now.since(entry.since)),
            expires_in_ms: entry.expires.map(|t| ms(t.since(now))),
            old: entry.old,
        }
    }

    /// At most `max` leases, those after `after`, oldest first.
    pub(crate) fn page(
        &self,
        after: Option<&str>,
        max: usize,
        now: Moment,
    ) -> Result<Leases, Problem> {
        let first = after.map_or(Ok(0), |id| self.number(id).map(|n| n.saturating_add(1)))?;
        let index = self.index();
        let mut page = Leases {
            total: index.numbers.len(),
            components: index.n_components,
            ..Leases::default()
        };
        let mut rest = index.numbers.range(first..).copied();
        let numbers: Vec<_> = rest.by_ref().take(max).collect();
        let has_more = rest.next().is_some();
        drop(index);
        let mut n_components = 0;
        let mut last = None;
        for number in &numbers {
            if n_components >= PAGE_COMPONENTS {
                break;
            }
            last = Some(number);
            // A lease that ended meanwhile is left out.
            if let Some(entry) = self.entries.get(number) {
                n_components += entry.n_components;
                page.leases.push(self.described(*number, &entry, now));
            }
        }
        if has_more || last != numbers.last() {
            page.next = last.map(|number| self.id(*number));
        }
        Ok(page)
    }

    /// The holders of the oldest leases, and how many rows are left out.
    pub(crate) fn holders(&self, now: Moment) -> Holders {
        let index = self.index();
        let (n_leases, n_components) = (index.numbers.len(), index.n_components);
        let numbers: Vec<_> = index.numbers.iter().take(HOLDERS).copied().collect();
        drop(index);
        let mut rows = Vec::new();
        for number in numbers {
            let Some(entry) = self.entries.get(&number) else { continue };
            let row = |lease: &majordomo::AnyLease| LeaseHolder {
                component: lease.id().clone(),
                revoked: lease.revoked(),
                tag: entry.terms.tag.clone(),
                age_ms: ms(now.since(entry.since)),
                lease: Some(self.id(number)),
                old: entry.old,
            };
            let room = HOLDERS - rows.len();
            entry.with_leases(|l| rows.extend(l.iter().take(room).map(row)));
        }
        Holders { left_out: n_components.saturating_sub(rows.len()), rows, n_leases }
    }
}
