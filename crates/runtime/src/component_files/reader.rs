//! The read ahead of files within a bandwidth that all speculative reads share, and counts the bytes that were not cached
//! before.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use majordomo_core::ByteSize;
use majordomo_memory::{cached_bytes, read_ahead};
use tokio::time::{Instant, sleep_until};

use super::parts::NeededFile;

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

/// The bandwidth of all speculative reads together: a bucket that bytes empty and time fills.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// When the bytes that were taken have all been paid.
    paid_at: Mutex<Option<Instant>>,
}

impl Bucket {
    /// Takes bytes, and waits until they are paid at so many bytes each second. Cancel safe: what was taken stays so.
    async fn take(&self, bytes: u64, bandwidth: ByteSize) {
        let span = Duration::from_secs_f64(bytes as f64 / bandwidth.0.max(1) as f64);
        let at = {
            let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
            let at = paid_at.map_or_else(Instant::now, |at| at.max(Instant::now())) + span;
            *paid_at = Some(at);
            at
        };
        sleep_until(at).await;
    }
}

/// How fast a read may be.
#[derive(Clone, Debug)]
pub(crate) enum Pace {
    /// As fast as possible: a load waits for it.
    Demanded,
    /// Within so many bytes each second, which all speculative reads share.
    Speculative(ByteSize, Arc<Bucket>),
}

/// One read.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) files: Vec<NeededFile>,
    pub(crate) pace: Pace,
    /// No more is brought into the cache: it would push out what others need.
    pub(crate) most: ByteSize,
    pub(crate) account: Arc<Account>,
}

/// The read ahead of all files. Dropping the future ends that.
pub(crate) async fn read(reading: Reading) {
    read_by(reading, cached_bytes).await;
}

/// The cached bytes of a range of a file, where the system says so.
type Look = fn(&File, u64, u64) -> Option<u64>;

async fn read_by(reading: Reading, cached: Look) {
    let Reading { files, pace, most, account } = reading;
    for NeededFile { path, parts } in files {
        let opened = tokio::task::spawn_blocking(move || open_shared(&path));
        let Ok(Some((file, len))) = opened.await else { continue };
        for piece in parts.ranges(len).flat_map(pieces) {
            let (file, len) = (Arc::clone(&file), piece.end - piece.start);
            let read = move || read_piece(&file, piece.start, piece.end, cached);
            let read = tokio::task::spawn_blocking(read).await;
            // An unreadable rest is left to the load, which reports it.
            let Ok(Ok(n_read)) = read else { break };
            account.seen.fetch_add(len, Ordering::Relaxed);
            account.read.fetch_add(n_read, Ordering::Relaxed);
            if account.read() >= most {
                return;
            }
            if let Pace::Speculative(bandwidth, bucket) = &pace
                && n_read > 0
            {
                bucket.take(n_read, *bandwidth).await;
            }
        }
    }
}

/// None is longer than [`PIECE`].
fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range.step_by(PIECE as usize).map(move |from| from..(from + PIECE).min(end))
}

fn open_shared(path: &Path) -> Option<(Arc<File>, u64)> {
    super::open(path).map(|(file, len)| (Arc::new(file), len))
}

/// Reads the stretches of a piece that are not cached, and returns their bytes.
fn read_piece(file: &File, from: u64, end: u64, cached: Look) -> std::io::Result<u64> {
    if cached(file, from, end - from) == Some(end - from) {
        return Ok(0);
    }
    let (mut offset, mut n_read) = (from, 0);
    while offset < end {
        let len = STRETCH.min(end - offset);
        let missing = len - cached(file, offset, len).unwrap_or(0);
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
    use std::path::PathBuf;

    use super::super::parts::Parts;
    use super::*;

    const MIB: ByteSize = ByteSize::mib(1);

    struct Temporary(PathBuf);

    impl Temporary {
        fn of_mib(n: usize, name: &str) -> Self {
            let name = format!("majordomo-read-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, vec![7; n << 20]).unwrap();
            Self(path)
        }
    }

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    /// A read of a file of which nothing is cached, and its account.
    fn reading(file: &Temporary, pace: Pace, most: ByteSize) -> (Reading, Arc<Account>) {
        let account = Arc::new(Account::default());
        let whole = |path| NeededFile { path, parts: Parts::whole() };
        let files = vec![whole("/nowhere".into()), whole(file.0.clone())];
        (Reading { files, pace, most, account: Arc::clone(&account) }, account)
    }

    fn speculative(bucket: &Arc<Bucket>) -> Pace {
        Pace::Speculative(MIB, Arc::clone(bucket))
    }

    fn nothing(_: &File, _: u64, _: u64) -> Option<u64> {
        Some(0)
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn speculative_reads_share_one_bandwidth() {
        let (first, second) = (Temporary::of_mib(2, "first"), Temporary::of_mib(3, "second"));
        let bucket = Arc::default();
        let began = Instant::now();
        let (a, of_a) = reading(&first, speculative(&bucket), ByteSize::gib(1));
        let (b, of_b) = reading(&second, speculative(&bucket), ByteSize::gib(1));
        tokio::join!(read_by(a, nothing), read_by(b, nothing));
        assert_eq!((of_a.read(), of_b.read()), (ByteSize::mib(2), ByteSize::mib(3)));
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(5), "5 MiB at 1 MiB/s took {took:?}");
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn dropped_read_ends_and_a_demanded_one_takes_no_time() {
        let file = Temporary::of_mib(4, "dropped");
        let (slow, account) = reading(&file, speculative(&Arc::default()), ByteSize::gib(1));
        let within = tokio::time::timeout(Duration::from_millis(1500), read_by(slow, nothing));
        assert!(within.await.is_err(), "4 MiB take 4 s");
        assert_eq!(account.read(), ByteSize::mib(2));
        let began = Instant::now();
        let (fast, account) = reading(&file, Pace::Demanded, ByteSize::gib(1));
        read_by(fast, nothing).await;
        assert_eq!((account.read(), began.elapsed()), (ByteSize::mib(4), Duration::ZERO));
    }

    #[tokio::test]
    async fn only_the_needed_parts_of_a_file_are_read() {
        let file = Temporary::of_mib(5, "parts");
        let (mut some, account) = reading(&file, Pace::Demanded, ByteSize::gib(1));
        // A MiB and a half, in two parts, one of which is longer than the file.
        some.files[1].parts = Parts::parse("0-8,64-1000").unwrap();
        read_by(some, nothing).await;
        assert_eq!(account.read(), ByteSize::kib(1536));
    }

    #[tokio::test]
    async fn no_more_than_the_bound_is_brought_into_the_cache() {
        let file = Temporary::of_mib(5, "bounded");
        let (bounded, account) = reading(&file, Pace::Demanded, ByteSize::mib(2));
        read_by(bounded, nothing).await;
        assert_eq!(account.read(), ByteSize::mib(2));
        // Cached bytes cost nothing.
        let (whole, account) = reading(&file, Pace::Demanded, ByteSize::mib(2));
        read_by(whole, |_, _, len| Some(len)).await;
        assert_eq!(account.read(), ByteSize::ZERO);
        assert_eq!(account.seen.load(Ordering::Relaxed), 5 << 20);
    }
}
