//! The table as it is listed: bounded, with what is left out, and page by page.

use majordomo::Moment;

use super::{Entry, LeaseTable, leased};
use crate::lock::locked;
use crate::problem::Problem;
use crate::wire::{Holders, Lease, LeaseHolder, LeaseState, Leases, ms};

/// Rows of holders in a status.
const HOLDERS: usize = 256;
/// The most leases of a page.
pub(crate) const MAX_PAGE: usize = 1000;
/// A page ends after so many components, too: leases of many are large.
const PAGE_COMPONENTS: usize = 1024;

impl LeaseTable {
    pub(super) fn described(&self, number: u64, entry: &Entry, now: Moment) -> Lease {
        let components: Vec<_> = entry.with_leases(|l| l.iter().map(leased).collect());
        let revoked = components.iter().any(|c| c.revoked);
        Lease {
            id: format!("{}-{number}", self.boot),
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
        let table = locked(&self.table);
        let mut page = Leases {
            total: table.by_number.len(),
            components: table.n_components,
            ..Leases::default()
        };
        let mut n_components = 0;
        for (number, entry) in table.by_number.range(first..) {
            if page.leases.len() >= max || n_components >= PAGE_COMPONENTS {
                page.next = page.leases.last().map(|l| l.id.clone());
                break;
            }
            n_components += entry.n_components;
            page.leases.push(self.described(*number, entry, now));
        }
        Ok(page)
    }

    /// The holders of the oldest leases, and how many more there are.
    pub(crate) fn holders(&self, now: Moment) -> Holders {
        let table = locked(&self.table);
        let mut rows = Vec::new();
        for (number, entry) in &table.by_number {
            let room = HOLDERS - rows.len();
            if room == 0 {
                break;
            }
            let row = |lease: &majordomo::AnyLease| LeaseHolder {
                component: lease.id().clone(),
                revoked: lease.revoked(),
                tag: entry.terms.tag.clone(),
                age_ms: ms(now.since(entry.since)),
                lease: Some(format!("{}-{number}", self.boot)),
                old: entry.old,
            };
            entry.with_leases(|l| rows.extend(l.iter().take(room).map(row)));
        }
        Holders {
            left_out: table.n_components.saturating_sub(rows.len()),
            rows,
            n_leases: table.by_number.len(),
        }
    }
}
