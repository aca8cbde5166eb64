//! Files and folders that are trusted: whose they are, who may change them, and how they are opened.
//!
//! A file is opened once and checked by its descriptor, never by its path, so that no other file can take its place
//! between the check and the use. Its folder, and every folder above that up to the root, must be the user's or root's
//! and writable by no other user; in a folder with the sticky bit, such as `/tmp`, every name on the way must be the
//! user's or root's itself. No user is exempt from these rules, not even root.
//!
//! Owns the rules ([`Trust`], [`Owners`]), the errors that name the path, the fault and the way out ([`FileError`]),
//! and the lock of a folder ([`Lock`]). Does not know what is in a file. Blocking, but never waits for the writer of a
//! named pipe.
//!
//! ```
//! use std::io::{Read, Write};
//!
//! use majordomo_files::{Folder, Owners, Trust};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let path = std::env::temp_dir().join(format!("majordomo-files-{}", std::process::id()));
//! // Made with mode 0700 if it is missing; refused if another user could change it.
//! let folder = Folder::create(&path, Owners::User)?;
//! folder.write_fresh("token")?.write_all(b"secret")?;
//!
//! let mut token = String::new();
//! folder.read("token", Trust::Secret)?.read_to_string(&mut token)?;
//! assert_eq!(token, "secret");
//!
//! // The error names the path, the fault and the way out.
//! let missing = folder.read("none", Trust::Input).unwrap_err();
//! assert!(missing.is_missing());
//! # std::fs::remove_dir_all(&path)?;
//! # Ok(())
//! # }
//! ```
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
