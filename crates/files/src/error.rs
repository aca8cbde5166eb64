//! Why a file or folder is not opened: the path, the fault and the way out.

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::user::user;

/// A fault of a file, a folder or a link.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fault {
    /// The system refuses.
    Io(io::Error),
    /// It is of another kind, such as a named pipe in the place of a file.
    Kind {
        /// The kind that was found.
        found: &'static str,
        /// The kind that it must be.
        expected: &'static str,
    },
    /// It is a symbolic link, where none is followed.
    Link,
    /// It belongs to a user who is not trusted.
    Owner {
        /// That user.
        owner: u32,
        /// The user who runs this.
        user: u32,
    },
    /// Every user may write to it.
    WritableByAll {
        /// Its permission bits.
        mode: u32,
        /// The user who owns it.
        owner: u32,
    },
    /// A group of other users may write to it.
    WritableByGroup {
        /// Its permission bits.
        mode: u32,
        /// The number of that group.
        group: u32,
        /// The user who owns it.
        owner: u32,
    },
    /// Others may read a secret.
    Readable {
        /// Its permission bits.
        mode: u32,
    },
    /// It has further names (hard links), which may be those of another file.
    Names {
        /// How many names it has.
        count: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Kind { found, expected } => write!(f, "this is {found}, not {expected}"),
            Self::Link => f.write_str("this is a symbolic link, which is not followed here"),
            Self::Owner { owner, user } => {
                write!(f, "it belongs to user {owner}, not to user {user} who runs this")
            }
            Self::WritableByAll { mode, .. } => {
                write!(f, "every user of this machine may write to it (mode {mode:03o})")
            }
            Self::WritableByGroup { mode, group, .. } => {
                write!(f, "group {group} may write to it (mode {mode:03o})")
            }
            Self::Readable { mode } => write!(f, "others can read it (mode {mode:03o})"),
            Self::Names { count } => write!(f, "it has {count} names (hard links)"),
        }
    }
}

/// The subject of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The path that was asked for.
    Asked,
    /// A folder on the way to it.
    Folder,
    /// A link on the way to it.
    Link,
    /// The file or folder that a link leads to.
    Linked,
}

/// Why a file or folder is not opened. Displayed with the path, the fault and the way out.
#[derive(Debug)]
pub struct FileError {
    asked: PathBuf,
    at: PathBuf,
    subject: Subject,
    fault: Fault,
}

impl FileError {
    pub(crate) fn new(asked: &Path, at: &Path, subject: Subject, fault: Fault) -> Self {
        Self { asked: asked.to_owned(), at: at.to_owned(), subject, fault }
    }

    pub(crate) fn asked(path: &Path, fault: Fault) -> Self {
        Self::new(path, path, Subject::Asked, fault)
    }

    /// The fault itself.
    #[must_use]
    pub fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The file, folder or link that has the fault.
    #[must_use]
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// Whether the file is refused for what it is, and not because the system cannot open it.
    #[must_use]
    pub fn is_untrusted(&self) -> bool {
        !matches!(self.fault, Fault::Io(_) | Fault::Kind { .. })
    }

    /// The system's error, where that is the fault.
    ///
    /// # Errors
    /// This error, where it is another fault.
    pub fn into_system_error(self) -> Result<io::Error, Self> {
        match self.fault {
            Fault::Io(error) => Ok(error),
            _ => Err(self),
        }
    }

    /// Whether it does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(&self.fault, Fault::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// The fault without the path that was asked for; names the folder or link where the fault lies there.
    #[must_use]
    pub fn message(&self) -> String {
        let (at, fault) = (&self.at, &self.fault);
        match (self.subject, fault) {
            (Subject::Asked, _) | (_, Fault::Io(_)) => fault.to_string(),
            (Subject::Folder, _) => format!("its folder {at:?}: {fault}"),
            (Subject::Link, _) => format!("the link {at:?}: {fault}"),
            (Subject::Linked, _) => format!("it leads to {at:?}: {fault}"),
        }
    }

    /// The way out; none where only the system's error explains the failure.
    #[must_use]
    pub fn way_out(&self) -> Option<String> {
        let at = shell_word(&self.at);
        let user = user();
        // Only the owner and root may change permissions.
        let run = |owner: u32| if user == owner || user == 0 { "run" } else { "run as root" };
        Some(match &self.fault {
            Fault::Io(_) => return None,
            Fault::Kind { .. } => format!("remove or rename {at}, or choose another path"),
            Fault::Link => format!("remove it (rm {at}), or choose another path"),
            Fault::Owner { owner, user } => {
                let as_root = if *user == 0 { "" } else { " as root" };
                let of_link = if self.subject == Subject::Link { "-h " } else { "" };
                format!(
                    "choose another path, run this as user {owner}, or make it yours{as_root}: chown {of_link}{user} {at}"
                )
            }
            Fault::WritableByAll { mode, owner } if mode & 0o020 != 0 => {
                format!("{}: chmod go-w {at}", run(*owner))
            }
            Fault::WritableByAll { owner, .. } => format!("{}: chmod o-w {at}", run(*owner)),
            Fault::WritableByGroup { owner, .. } => format!("{}: chmod g-w {at}", run(*owner)),
            Fault::Readable { .. } => format!("make it private: chmod 600 {at}"),
            Fault::Names { .. } => {
                format!("remove this name of it (rm {at}), or choose another path")
            }
        })
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.asked, self.message())?;
        self.way_out().map_or(Ok(()), |way_out| write!(f, "; {way_out}"))
    }
}

impl std::error::Error for FileError {}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        match error.fault {
            Fault::Io(source) => source,
            Fault::Kind { .. } => Self::new(io::ErrorKind::InvalidInput, error),
            _ => Self::new(io::ErrorKind::PermissionDenied, error),
        }
    }
}

/// A path as a word of a shell's command line.
fn shell_word(path: &Path) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:,@%=".contains(c);
    match path.to_str() {
        Some(text) if text.chars().all(is_plain) => text.to_owned(),
        Some(text) if !text.chars().any(char::is_control) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        _ => {
            let bytes = path.as_os_str().as_bytes().iter();
            let escaped = bytes.map(|byte| match byte {
                b'\'' | b'\\' => format!("\\{}", char::from(*byte)),
                b' '..=b'~' => char::from(*byte).to_string(),
                _ => format!("\\{byte:03o}"),
            });
            format!("$'{}'", escaped.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn path_in_a_command_is_one_word_of_the_shell() {
        let check = |bytes: &[u8], word| {
            assert_eq!(shell_word(Path::new(OsStr::from_bytes(bytes))), word);
        };
        check(b"/var/lib/a-b_c.d", "/var/lib/a-b_c.d");
        check("/srv/jürgen".as_bytes(), "/srv/jürgen");
        check(b"/my files/$HOME", "'/my files/$HOME'");
        check(b"/it's", r"'/it'\''s'");
        check(b"/a\nb'\\\xff", r"$'/a\012b\'\\\377'");
    }
}
