//! The rules about owners and permissions of trusted files and folders.

use std::fs::{FileType, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use crate::error::Fault;
use crate::user::user;

const STICKY: u32 = 0o1000;

/// The users that may own a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// The user alone: for folders whose whole content is this program's.
    User,
    /// The user, or root: for folders that also have files of the system.
    UserOrRoot,
}

/// The purpose that a file is trusted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// To say what is done: the user's or root's, writable by no other user. Links to it are followed.
    Input,
    /// A secret: as an input, and readable by no other user.
    Secret,
    /// To be this program's own: the user's, writable by no other user, never behind a link.
    Own,
}

/// Whether both are of one file or folder.
pub(crate) fn is_same(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Whether a user is trusted: the user who runs this, or root.
#[must_use]
pub fn is_trusted_user(id: u32) -> bool {
    Owners::UserOrRoot.include(id, user())
}

impl Owners {
    fn include(self, owner: u32, user: u32) -> bool {
        owner == user || self == Self::UserOrRoot && owner == 0
    }
}

/// The owner and the permissions of a file or folder, as the system reports them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) owner: u32,
    pub(crate) group: u32,
    pub(crate) mode: u32,
    pub(crate) names: u64,
}

impl From<&Metadata> for Seen {
    fn from(metadata: &Metadata) -> Self {
        Self {
            owner: metadata.uid(),
            group: metadata.gid(),
            mode: metadata.mode() & 0o7777,
            names: metadata.nlink(),
        }
    }
}

impl Seen {
    fn permissions(self) -> u32 {
        self.mode & 0o777
    }

    pub(crate) fn check_owner(self, owners: Owners, user: u32) -> Result<(), Fault> {
        let owner = self.owner;
        if owners.include(owner, user) { Ok(()) } else { Err(Fault::Owner { owner, user }) }
    }

    /// A group with the user's own number is the user's, as many systems set it up, and group 0 is root's.
    fn check_writers(self, user: u32) -> Result<(), Fault> {
        let (mode, group, owner) = (self.permissions(), self.group, self.owner);
        if mode & 0o002 != 0 {
            return Err(Fault::WritableByAll { mode, owner });
        }
        if mode & 0o020 != 0 && group != user && group != 0 {
            return Err(Fault::WritableByGroup { mode, group, owner });
        }
        Ok(())
    }

    /// Checks a folder whose whole content is this program's. Others may make no names in it: the sticky bit would still
    /// let them take those that this program is going to use.
    pub(crate) fn check_own_folder(self, user: u32) -> Result<(), Fault> {
        self.check_owner(Owners::User, user)?;
        self.check_writers(user)
    }

    /// Checks a folder; true when others may make names in it, but only change their own (the sticky bit).
    pub(crate) fn check_folder(self, owners: Owners, user: u32) -> Result<bool, Fault> {
        self.check_owner(owners, user)?;
        match self.check_writers(user) {
            Ok(()) => Ok(false),
            Err(_) if self.mode & STICKY != 0 => Ok(true),
            Err(fault) => Err(fault),
        }
    }

    /// Checks a file. `is_shared`: others may make names in its folder.
    pub(crate) fn check_file(self, trust: Trust, is_shared: bool, user: u32) -> Result<(), Fault> {
        let owners = match trust {
            Trust::Input | Trust::Secret => Owners::UserOrRoot,
            Trust::Own => Owners::User,
        };
        self.check_owner(owners, user)?;
        self.check_writers(user)?;
        if trust == Trust::Secret && self.mode & 0o077 != 0 {
            return Err(Fault::Readable { mode: self.permissions() });
        }
        // There, another user can give a file of this user a second name.
        if is_shared { self.check_names() } else { Ok(()) }
    }

    /// Checks that a file has no other name.
    pub(crate) fn check_names(self) -> Result<(), Fault> {
        if self.names > 1 { Err(Fault::Names { count: self.names }) } else { Ok(()) }
    }
}

/// How a kind of file is called.
pub(crate) fn kind(kind: FileType) -> &'static str {
    match kind {
        k if k.is_file() => "a file",
        k if k.is_dir() => "a directory",
        k if k.is_fifo() => "a named pipe",
        k if k.is_socket() => "a socket",
        k if k.is_symlink() => "a symbolic link",
        _ => "a device",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: u32 = 1000;

    fn seen(owner: u32, group: u32, mode: u32) -> Seen {
        Seen { owner, group, mode, names: 1 }
    }

    #[test]
    fn only_the_user_and_root_may_own_a_trusted_file() {
        let check = |owner, user, trust| seen(owner, owner, 0o600).check_file(trust, false, user);
        for trust in [Trust::Input, Trust::Secret] {
            assert!(check(USER, USER, trust).is_ok() && check(0, USER, trust).is_ok());
            assert!(check(1001, USER, trust).is_err());
            assert!(check(0, 0, trust).is_ok());
            assert!(check(USER, 0, trust).is_err(), "root is not exempt");
        }
        assert!(check(USER, USER, Trust::Own).is_ok() && check(0, USER, Trust::Own).is_err());
        assert!(check(USER, 0, Trust::Own).is_err(), "root is not exempt");
    }

    #[test]
    fn no_other_user_may_write_a_trusted_file_or_read_a_secret() {
        let check = |group, mode, trust| seen(USER, group, mode).check_file(trust, false, USER);
        for trust in [Trust::Input, Trust::Own] {
            assert!(check(USER, 0o664, trust).is_ok() && check(0, 0o664, trust).is_ok());
            assert!(matches!(check(100, 0o664, trust), Err(Fault::WritableByGroup { .. })));
            assert!(check(100, 0o644, trust).is_ok());
            assert!(matches!(check(USER, 0o602, trust), Err(Fault::WritableByAll { .. })));
        }
        assert!(check(USER, 0o600, Trust::Secret).is_ok());
        for mode in [0o640, 0o604, 0o610] {
            assert!(matches!(check(USER, mode, Trust::Secret), Err(Fault::Readable { .. })));
        }
    }

    #[test]
    fn a_folder_that_others_may_write_needs_the_sticky_bit_and_a_trusted_owner() {
        let check = |owner, mode| {
            let folder = seen(owner, 100, mode);
            folder.check_folder(Owners::UserOrRoot, USER).map_err(|fault| fault.to_string())
        };
        assert_eq!(check(USER, 0o755), Ok(false));
        assert_eq!(check(0, 0o1777), Ok(true));
        assert_eq!(check(0, 0o1755), Ok(false));
        assert!(check(USER, 0o777).unwrap_err().contains("every user"));
        assert!(check(USER, 0o775).unwrap_err().contains("group 100"));
        assert!(check(1001, 0o1777).unwrap_err().contains("belongs to user 1001"));
        assert!(check(1001, 0o700).unwrap_err().contains("belongs to user 1001"));
        assert!(seen(0, 0, 0o755).check_folder(Owners::User, USER).is_err());
        assert!(seen(USER, 100, 0o755).check_own_folder(USER).is_ok());
        assert!(seen(USER, 100, 0o1777).check_own_folder(USER).is_err());
        assert!(seen(0, 0, 0o755).check_own_folder(USER).is_err());
    }

    #[test]
    fn a_second_name_counts_where_others_may_make_one() {
        let linked = Seen { names: 2, ..seen(USER, USER, 0o600) };
        assert!(linked.check_file(Trust::Input, false, USER).is_ok());
        let fault = linked.check_file(Trust::Input, true, USER);
        assert!(matches!(fault, Err(Fault::Names { count: 2 })));
    }
}
