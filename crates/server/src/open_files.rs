//! The number of connections for which the system's limit of open files has room.
//!
//! Owns the shares of that limit. Invariant: both listeners together leave files for components and their state; a setting
//! that is reduced for it is logged, and named to clients that are refused for it.

use majordomo::{ServerConfig, count};

/// The part of the open files that the connections of a listener may have: one in so many.
const SHARE: u64 = 3;
/// Visitors of a listener at a time; the next ones wait in the system's queue meanwhile.
const VISITORS: usize = 128;
/// Visitors have at most one file for so many of the connections.
const VISITORS_SHARE: usize = 4;

/// Places of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub(crate) connections: usize,
    pub(crate) visitors: usize,
    /// The limit of open files, where it leaves room for fewer connections than are configured.
    reduced_by: Option<u64>,
}

impl Capacity {
    /// The places of a listener as configured, within what the system allows now.
    pub(crate) fn now(config: &ServerConfig) -> Self {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        Self::within(config.max_connections, files)
    }

    /// `files` is the limit of open files; none = there is no limit.
    fn within(max_connections: usize, files: Option<u64>) -> Self {
        let share = files.map_or(usize::MAX, |n| usize::try_from(n / SHARE).unwrap_or(usize::MAX));
        let share = share.max(1);
        Self {
            connections: max_connections.min(share),
            visitors: VISITORS.min(share / VISITORS_SHARE).max(1),
            reduced_by: files.filter(|_| share < max_connections),
        }
    }

    /// The bound of the connections, in words for a client that finds no place.
    pub(crate) fn bound(&self) -> String {
        match self.reduced_by {
            Some(files) => format!(
                "{} are open and in use, as many as the limit of open files ({files}) allows; close some, or raise that limit for the server (ulimit -n, LimitNOFILE=)",
                count(self.connections, "connection")
            ),
            None => {
                "server.max_connections are open and in use; close some, or raise it".to_owned()
            }
        }
    }

    /// Logs that fewer connections are possible than are configured: a warning for a value that an operator chose.
    pub(crate) fn log(&self, config: &ServerConfig) {
        let Some(files) = self.reduced_by else { return };
        let (max, enough) = (config.max_connections, config.max_connections as u64 * SHARE);
        let text = format!(
            "the limit of open files ({files}) allows {} a listener, fewer than server.max_connections ({max}); raise the limit to {enough} (ulimit -n, LimitNOFILE=), or lower the setting",
            count(self.connections, "connection")
        );
        match max == ServerConfig::default().max_connections {
            true => tracing::info!("{text}"),
            false => tracing::warn!("{text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_both_listeners_leave_files_for_components() {
        for (max, files, connections, visitors, is_reduced) in [
            (512, Some(20_000), 512, 128, false),
            (512, Some(1024), 341, 85, true),
            (600, Some(256), 85, 21, true),
            (512, None, 512, 128, false),
            (8, Some(24), 8, 2, false),
            (8, Some(0), 1, 1, true),
        ] {
            let capacity = Capacity::within(max, files);
            assert_eq!((capacity.connections, capacity.visitors), (connections, visitors));
            assert_eq!(capacity.reduced_by.is_some(), is_reduced, "{max} {files:?}");
            let n = 2 * (capacity.connections + capacity.visitors) as u64;
            assert!(files.is_none_or(|files| n < files.max(5)), "{max} {files:?}");
        }
    }
}
