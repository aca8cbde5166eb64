//! The read ahead of files within a bandwidth, and counts the bytes that were not cached before.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use majordomo_core::ByteSize;
use majordomo_memory::{cached_bytes, read_ahead};
use tokio::time::sleep;

/// Read between two pauses.
const PIECE: u64 = 1 << 20;
/// A stretch that is looked for in the cache as a whole.
const STRETCH: u64 = 128 << 10;

/// Bytes of one read so far.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Not cached before. A statistic.
    read: AtomicU64,
    /// Looked at.
    seen: AtomicU64,
}

impl Account {
    pub(crate) fn read(&self) -> ByteSize {
        ByteSize(self.read.load(Ordering::Relaxed))
    }
}

/// One read.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) files: Vec<PathBuf>,
    /// Bytes each second; none = as fast as possible, since a load waits for them.
    pub(crate) bandwidth: Option<ByteSize>,
    pub(crate) account: Arc<Account>,
}

/// The read ahead of all files. Dropping the future ends that.
pub(crate) async fn read(reading: Reading) {
    let Reading { files, bandwidth, account } = reading;
    for path in files {
        let opened = tokio::task::spawn_blocking(move || open_shared(&path));
        let Ok(Some((file, len))) = opened.await else { continue };
        let mut offset = 0;
        while offset < len {
            let (piece, from) = (Arc::clone(&file), offset);
            let end = (offset + PIECE).min(len);
            let read = tokio::task::spawn_blocking(move || read_piece(&piece, from, end)).await;
            // An unreadable rest is left to the load, which reports it.
            let Ok(Ok(n_read)) = read else { break };
            account.seen.fetch_add(end - offset, Ordering::Relaxed);
            account.read.fetch_add(n_read, Ordering::Relaxed);
            if let Some(bandwidth) = bandwidth.filter(|_| n_read > 0) {
                sleep(Duration::from_secs_f64(n_read as f64 / bandwidth.0.max(1) as f64)).await;
            }
            offset = end;
        }
    }
}

fn open_shared(path: &Path) -> Option<(Arc<File>, u64)> {
    super::open(path).map(|(file, len)| (Arc::new(file), len))
}

/// Reads the stretches of a piece that are not cached, and returns their bytes.
fn read_piece(file: &File, from: u64, end: u64) -> std::io::Result<u64> {
    if cached_bytes(file, from, end - from) == Some(end - from) {
        return Ok(0);
    }
    let (mut offset, mut n_read) = (from, 0);
    while offset < end {
        let len = STRETCH.min(end - offset);
        let missing = len - cached_bytes(file, offset, len).unwrap_or(0);
        if missing > 0 {
            read_ahead(file, offset, len)?;
            n_read += missing;
        }
        offset += len;
    }
    Ok(n_read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn speculative_read_keeps_its_bandwidth_and_ends_when_it_is_dropped() {
        let path = std::env::temp_dir().join(format!("majordomo-read-{}", std::process::id()));
        std::fs::write(&path, vec![7; 3 << 20]).unwrap();
        let account = Arc::new(Account::default());
        let files = vec![path.clone(), "/nowhere".into()];
        let bandwidth = Some(ByteSize::mib(1));
        read(Reading { files, bandwidth, account: Arc::clone(&account) }).await;
        assert_eq!(account.seen.load(Ordering::Relaxed), 3 << 20);
        // Written just now: all of it is cached where the system says so.
        let unknown = cached_bytes(&File::open(&path).unwrap(), 0, 1).is_none();
        assert_eq!(account.read(), ByteSize(if unknown { 3 << 20 } else { 0 }));
        std::fs::remove_file(&path).unwrap();
    }
}
