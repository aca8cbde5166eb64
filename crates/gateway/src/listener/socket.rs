//! A socket that clients connect to: a TCP port or a path.
//!
//! Owns the file of a Unix socket: one that a program left behind is replaced, one at which a program listens is not, and
//! the own one is removed at the end.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use majordomo::ListenAddress;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::client::Stream;

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: SocketFile },
}

/// The file of a Unix socket; removed when it is dropped, unless another program has replaced it.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: u64,
}

impl Socket {
    /// Listens at an address; a path is relative to `folder`.
    ///
    /// # Errors
    /// The system's; `AddrInUse` when a program listens there.
    pub(super) async fn bind(address: &ListenAddress, folder: &Path) -> io::Result<Self> {
        match address {
            ListenAddress::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            ListenAddress::Unix(path) => {
                let path = folder.join(path);
                remove_stale(&path).await?;
                let listener = UnixListener::bind(&path)?;
                // Only this user's programs connect.
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
                let inode = std::fs::symlink_metadata(&path)?.ino();
                Ok(Self::Unix { listener, _file: SocketFile { path, inode } })
            }
        }
    }

    /// The next client. Cancel safe.
    ///
    /// # Errors
    /// The system's.
    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                drop(stream.set_nodelay(true));
                Ok(Stream::Tcp(stream))
            }
            Self::Unix { listener, .. } => Ok(Stream::Unix(listener.accept().await?.0)),
        }
    }
}

/// Removes a socket at which no program listens.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type().is_socket(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !is_socket {
        let why = "a file that is no socket exists there";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(error) => Err(error),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|file| file.ino() == self.inode) {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stale_sockets_are_replaced_and_others_are_not() {
        let folder = std::env::temp_dir().join(format!("mj-listen-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let address = ListenAddress::parse("./a.sock").unwrap();
        let path = folder.join("a.sock");
        // A program that was killed leaves its file.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let first = Socket::bind(&address, &folder).await.unwrap();
        let again = Socket::bind(&address, &folder).await.unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(first);
        assert!(!path.exists());
        std::fs::write(&path, "mine").unwrap();
        let file = Socket::bind(&address, &folder).await.unwrap_err();
        assert_eq!(file.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
