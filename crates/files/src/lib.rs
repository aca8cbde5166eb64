//! Files and folders that are trusted: whose they are, who may change them, and how they are opened.
//!
//! A file is opened once and checked by its descriptor, never by its path, so that no other file can take its place
//! between the check and the use. Its folder, and every folder above that up to the root, must be the user's or root's
//! and writable by no other user; in a folder with the sticky bit, such as `/tmp`, every name on the way must be the
//! user's or root's itself. Nobody is exempt from these rules, root neither.
//!
//! Owns the rules ([`Trust`], [`Owners`]), the errors that name the path, the fault and the way out ([`FileError`]),
//! and the lock of a folder ([`Lock`]). Does not know what is in a file. Blocking, but never waits for the writer of a
//! named pipe.
#![forbid(unsafe_code)]

mod error;
mod folder;
mod lock;
mod path;
mod rule;
mod user;

pub use error::{Fault, FileError};
pub use folder::{Folder, open};
pub use lock::{Lock, LockError};
pub use rule::{Owners, Trust, is_trusted_user};
