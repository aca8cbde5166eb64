//! The means of this machine, found on a child process of our own: the child is paged out, the bytes are proven to be free, it
//! is paged in, and its memory is still right.
//!
//! The child is `dd` with an output buffer of 8 MiB: it fills the buffer from its standard input, and then waits until its
//! first output is read. Invariant: the child and its cgroup are gone when the trial has ended, however that was.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use majordomo_core::ByteSize;
use majordomo_memory::MemoryCgroup;

use crate::advice::{Advice, advise, read_pages};
use crate::clock::{Limit, Stop};
use crate::error::{NotOffered, NotOfferedKind};
use crate::mappings::Mapping;
use crate::page_in::Placement;
use crate::page_out::PagedOut;
use crate::pagemap::{Page, PageMap};
use crate::pager::{Means, Pager};
use crate::process::Process;
use crate::range::Range;
use crate::reclaim;
use crate::swap::Swap;

/// Memory of the child.
const SIZE: ByteSize = ByteSize::mib(8);
/// A trial with less free swap would say little.
const ROOM: ByteSize = ByteSize::mib(16);
/// With less than this share of the child's memory free again, paging is not offered. The kernel counts the memory of a
/// cgroup in batches of up to 256 KiB for each processor.
const ENOUGH: f64 = 0.75;
/// All of it takes no longer, but for a disk that does not answer.
const TIME: Duration = Duration::from_secs(1);
/// The part of it that paging out may take.
const TIME_OUT: Duration = Duration::from_millis(700);

/// Finds out by a trial whether and how programs can be paged out here. `root` is `/` but in tests; `cgroups` the cgroup
/// below which those of components are made, if they get some. Blocks, for about a second at most.
///
/// # Errors
/// The reason why it is not offered, and what would help.
pub fn try_paging(root: &Path, cgroups: Option<&MemoryCgroup>) -> Result<Pager, NotOffered> {
    if !cfg!(target_os = "linux") {
        return Err(NotOffered::new(
            NotOfferedKind::System,
            "programs are paged out on Linux only",
        ));
    }
    let swap = Swap::read(root).map_err(|error| failed(format!("/proc/swaps: {error}")))?;
    check_swap(&swap)?;
    let own = MemoryCgroup::of_self(root).ok().flatten();
    check_limit(own.as_ref().or(cgroups))?;
    let mut subject = Subject::start(cgroups)?;
    let means = subject.means(root)?;
    let pager = Pager::new(root, means);
    subject.page_out(&pager)?;
    pager
        .page_in(&subject.members, None, Placement::Cached, subject.limit.left())
        .map_err(|error| failed(format!("the trial's child could not be paged in: {error}")))?;
    subject.check_memory()?;
    Ok(pager)
}

fn failed(why: String) -> NotOffered {
    NotOffered::new(NotOfferedKind::Trial, why)
}

fn check_swap(swap: &Swap) -> Result<(), NotOffered> {
    if swap.devices.is_empty() {
        let why = "this machine has no swap; `majordomo setup swap` makes a swap file, `majordomo setup zram` compressed memory";
        return Err(NotOffered::new(NotOfferedKind::NoSwap, why));
    }
    if swap.free < ROOM {
        let why = format!(
            "swap is full ({} of {} free); enlarge it with `majordomo setup swap`",
            swap.free, swap.total
        );
        return Err(NotOffered::new(NotOfferedKind::NoSwap, why));
    }
    Ok(())
}

/// Swap of the machine is of no use where a limit of the manager's cgroup, or of one above it, leaves no room there.
fn check_limit(cgroup: Option<&MemoryCgroup>) -> Result<(), NotOffered> {
    let Some((cgroup, room)) = cgroup.and_then(|c| Some((c, reclaim::swap_room(c)?))) else {
        return Ok(());
    };
    if room < ROOM {
        let dir = cgroup.dir().display();
        let why = format!(
            "memory.swap.max of {dir} or of a cgroup above it leaves {room} in swap; raise it (containers: --memory-swap)"
        );
        return Err(NotOffered::new(NotOfferedKind::NoSwap, why));
    }
    Ok(())
}

/// The child, and the cgroup that it is in.
struct Subject {
    members: [Process; 1],
    child: Child,
    cgroup: Option<OwnCgroup>,
    limit: Limit,
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Subject {
    fn start(cgroups: Option<&MemoryCgroup>) -> Result<Self, NotOffered> {
        let limit = Limit::begin(TIME, Stop::default());
        // Where none can be made just now, advice alone is tried.
        let cgroup = cgroups.and_then(|parent| OwnCgroup::make(parent).ok());
        let started = start::dd(cgroup.as_ref().map(|c| &c.0));
        let mut child =
            started.map_err(|error| failed(format!("the trial needs `dd`: {error}")))?;
        let opened = Process::open(child.id());
        let (process, is_filled) = match opened {
            Ok(process) => (process, start::has_output(&child, &limit)),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                let why = format!("the kernel has no pidfd_open ({error}); Linux 5.10 is needed");
                return Err(NotOffered::new(NotOfferedKind::Kernel, why));
            }
        };
        let subject = Self { members: [process], child, cgroup, limit };
        if is_filled {
            Ok(subject)
        } else {
            Err(failed("`dd` did not start within a second".to_owned()))
        }
    }

    fn process(&self) -> &Process {
        let [process] = &self.members;
        process
    }

    /// The means that the kernel permits.
    fn means(&self, root: &Path) -> Result<Means, NotOffered> {
        let process = self.process();
        let page = self.first_page(root).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                let why = "the kernel does not list pages of processes (/proc/PID/smaps and pagemap: \
                           CONFIG_PROC_PAGE_MONITOR); paging needs a kernel that does";
                NotOffered::new(NotOfferedKind::Kernel, why)
            }
            _ => no_right(&format!("its memory cannot be seen: {error}")),
        })?;
        let advised = advise(process, &[page], Advice::PageOut);
        let reads = advise(process, &[page], Advice::WillNeed);
        let means = Means {
            advises: advised.is_ok(),
            // A kernel that knows no such advice refuses each range.
            reads_by_advice: advised.is_ok() && reads.is_ok_and(|taken| taken > 0),
            reads: read_pages(process, &[page.start]).is_ok(),
            reclaims: self.cgroup.as_ref().is_some_and(|cgroup| reclaim::is_offered(&cgroup.0)),
        };
        match advised {
            Err(error) if !means.reclaims => Err(match error.raw_os_error() {
                Some(errno) if errno == rustix::io::Errno::NOSYS.raw_os_error() => {
                    let why = "the kernel has no process_madvise; Linux 5.10 is needed";
                    NotOffered::new(NotOfferedKind::Kernel, why)
                }
                _ => no_right(&format!("process_madvise: {error}")),
            }),
            _ => Ok(means),
        }
    }

    fn first_page(&self, root: &Path) -> io::Result<Range> {
        let map = PageMap::open(root, self.process())?;
        let pages = map.find_in(Mapping::may_be_paged, Page::is_own)?;
        let first = pages.first().map(|range| range.start);
        let start = first.ok_or_else(|| io::Error::other("the child has no memory"))?;
        Ok(Range::new(start, start + map.page()))
    }

    fn page_out(&self, pager: &Pager) -> Result<PagedOut, NotOffered> {
        let cgroup = self.cgroup.as_ref().map(|cgroup| &cgroup.0);
        let out = pager.page_out(&self.members, cgroup, None, TIME_OUT).map_err(|error| {
            failed(format!("the trial's child could not be paged out: {error}"))
        })?;
        // The content does not compress: on zram it says nothing of programs how much RAM that takes.
        let PagedOut { before, after, completed, .. } = out;
        let freed = out.freed + (after.zram - before.zram);
        if freed < SIZE.scaled(ENOUGH) {
            let why = format!(
                "a trial with {SIZE} freed {freed} only ({completed:?}; in swap {}, in the swap cache {}) by {}",
                after.swap,
                after.cached,
                pager.means()
            );
            return Err(failed(why));
        }
        Ok(out)
    }

    /// Reads the memory of the child, which it writes to its standard output.
    fn check_memory(&mut self) -> Result<(), NotOffered> {
        let mut content = vec![0; SIZE.0 as usize];
        let mut filled = 0;
        while filled < content.len() {
            let is_ready = start::has_output(&self.child, &self.limit);
            let output = self.child.stdout.as_mut().filter(|_| is_ready);
            let room = content.get_mut(filled..).unwrap_or_default();
            match output.map(|output| output.read(room)) {
                Some(Ok(n)) if n > 0 => filled += n,
                Some(Err(error)) => {
                    return Err(failed(format!("the trial's child did not go on: {error}")));
                }
                _ => {
                    return Err(failed(
                        "the trial's child did not go on within a second".to_owned(),
                    ));
                }
            }
        }
        if content != pattern() {
            return Err(failed("memory of the trial's child came back changed".to_owned()));
        }
        Ok(())
    }
}

fn no_right(why: &str) -> NotOffered {
    let why = format!(
        "this process may not page out others ({why}); run the manager with CAP_SYS_NICE and CAP_SYS_PTRACE (systemd: \
         AmbientCapabilities=CAP_SYS_NICE CAP_SYS_PTRACE) or as root, or give it a delegated cgroup v2 (systemd: Delegate=memory)"
    );
    NotOffered::new(NotOfferedKind::NoRight, why)
}

/// Content that does not compress, the same in each trial (xorshift64).
fn pattern() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(SIZE.0 as usize);
    while out.len() < SIZE.0 as usize {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out
}

/// A cgroup for the child; removed when dropped, after the child.
struct OwnCgroup(MemoryCgroup);

impl OwnCgroup {
    fn make(parent: &MemoryCgroup) -> io::Result<Self> {
        let cgroup = parent.child(&format!("majordomo-trial-{}", std::process::id()));
        match fs::create_dir(cgroup.dir()) {
            // Left by a process of the same number that was killed; no other has this name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Self(cgroup)),
            Err(error) => Err(error),
            Ok(()) => Ok(Self(cgroup)),
        }
    }
}

impl Drop for OwnCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(self.0.dir());
    }
}

#[cfg(target_os = "linux")]
mod start {
    //! Starts the child inside its cgroup, so that all of its memory counts there.
    #![expect(unsafe_code, reason = "a child enters its cgroup between fork and exec")]

    use std::fs::{File, OpenOptions};
    use std::io::{self, Seek, Write};
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    use majordomo_memory::MemoryCgroup;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::io::Errno;

    use crate::clock::Limit;

    pub(super) fn dd(cgroup: Option<&MemoryCgroup>) -> io::Result<Child> {
        let mut input = File::from(memfd_create("majordomo-trial", MemfdFlags::CLOEXEC)?);
        input.write_all(&super::pattern())?;
        input.rewind()?;
        let mut dd = Command::new("dd");
        // The output buffer is filled before anything is written.
        dd.args(["ibs=65536", &format!("obs={}", super::SIZE.0)]);
        dd.stdin(input).stdout(Stdio::piped()).stderr(Stdio::null());
        if let Some(cgroup) = cgroup {
            let members = OpenOptions::new().write(true).open(cgroup.dir().join("cgroup.procs"))?;
            let enter = move || Ok(rustix::io::write(&members, b"0").map(|_| ())?);
            // SAFETY: the closure makes one system call on a descriptor that is open in both processes, and neither
            // allocates nor locks.
            unsafe { dd.pre_exec(enter) };
        }
        dd.spawn()
    }

    /// Waits until the child has written something, or has ended; false when the time is over.
    pub(super) fn has_output(child: &Child, limit: &Limit) -> bool {
        let Some(output) = &child.stdout else { return false };
        loop {
            let timeout = Timespec::try_from(limit.left()).ok();
            let mut fds = [PollFd::new(output, PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                // A signal, such as that of another child which ended.
                Err(Errno::INTR) => {}
                polled => return polled.is_ok_and(|n| n > 0),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod start {
    use std::io;
    use std::process::Child;

    use majordomo_memory::MemoryCgroup;

    use crate::clock::Limit;

    pub(super) fn dd(_: Option<&MemoryCgroup>) -> io::Result<Child> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn has_output(_: &Child, _: &Limit) -> bool {
        false
    }
}
