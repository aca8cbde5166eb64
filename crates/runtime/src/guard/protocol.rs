//! The words between a manager, its guard and its trampolines.

/// The first line a guard says: the protocol's version.
pub(super) const HELLO: &str = "guard 1";

/// The line by which a manager that lives takes the removal of its temporary folder upon itself.
pub(super) const LEAVE: &str = "leave\n";

/// The word that makes a trampoline become its program.
pub(crate) const GO: &[u8] = b"go\n";
