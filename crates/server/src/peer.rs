//! The other end of a connection.

use majordomo::Party;

/// How a connection came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Unix,
    Tcp,
}

/// The client at the other end; handed to the routes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The connection's number.
    pub(crate) connection: u64,
    /// The client's process, where the system reports it.
    pub(crate) pid: Option<u32>,
}

impl Peer {
    /// The tag of a client that states none: its process, where that is known.
    pub(crate) fn tag(self) -> Option<String> {
        self.pid.map(|pid| format!("pid {pid}"))
    }

    /// The client as a party without a tag of its own.
    pub(crate) fn party(self) -> Party {
        let Self { connection, pid } = self;
        Party { tag: self.tag().map(Into::into), pid, connection: Some(connection) }
    }
}
