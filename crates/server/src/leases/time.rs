//! The end of leases by time, and the warning about old ones.

use majordomo::{Manager, Moment, ServerConfig};

use super::LeaseTable;
use crate::wire::EndReason;

impl LeaseTable {
    /// Ends the leases that are due; returns the next due time.
    fn sweep(&self, limits: &ServerConfig, now: Moment) -> Option<Moment> {
        let mut ended = Vec::new();
        let mut index = self.index();
        while let Some(&(due, number)) = index.due.first()
            && due <= now
        {
            index.due.remove(&(due, number));
            let Some(mut entry) = self.entries.get_mut(&number) else { continue };
            entry.armed = None;
            let mut end = entry.expires.is_some_and(|t| t <= now).then_some(EndReason::Expired);
            if end.is_none() && entry.old_at.is_some_and(|t| t <= now) {
                // The setting may have changed since the lease was given.
                let old_at = entry.since + limits.max_lease_age;
                entry.old_at = Some(old_at).filter(|old_at| *old_at > now);
                entry.old = entry.old_at.is_none();
                if entry.old {
                    let (tag, pid) = (&entry.terms.tag, entry.terms.pid);
                    let names: Vec<_> =
                        entry.with_leases(|l| l.iter().map(|l| l.id().to_string()).collect());
                    tracing::warn!(
                        components = names.join(", "),
                        tag,
                        pid,
                        ended = limits.end_old_leases,
                        "a lease is older than server.max_lease_age"
                    );
                    index.version += 1;
                    end = limits.end_old_leases.then_some(EndReason::TooOld);
                }
            }
            if end.is_none() {
                index.arm(number, &mut entry);
            }
            drop(entry);
            if let Some(reason) = end {
                ended.extend(self.take(&mut index, number, reason));
            }
        }
        let next = index.due.first().map(|(due, _)| *due);
        drop(index);
        drop(ended);
        next
    }

    /// The task that ends leases by time. `limits` returns the settings in force.
    pub(crate) async fn keep_time(&self, manager: &Manager, limits: impl Fn() -> ServerConfig) {
        loop {
            let now = manager.now();
            let next = self.sweep(&limits(), now);
            let changed = self.changed.notified();
            match next {
                Some(due) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep(due.since(now)) => {}
                    }
                }
                None => changed.await,
            }
        }
    }
}
