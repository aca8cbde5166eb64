//! The process that is paged: this binary, which does what lines on its standard input say and answers each with a line.

use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use majordomo_memory::MemoryCgroup;
use majordomo_paging::Process;

pub(crate) const ARG: &str = "__subject";
/// As the first word of a line: the answer is the reason why this process may not page.
const OFFERED: &str = "offered";

/// A running subject; killed and reaped when dropped.
pub(crate) struct Subject {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Subject {
    pub(crate) fn start() -> Self {
        Self::start_through(&[])
    }

    /// Starts it as the last words of a command.
    pub(crate) fn start_through(command: &[&str]) -> Self {
        let own = std::env::current_exe().unwrap();
        let mut words = command.iter().map(std::ffi::OsStr::new).chain([own.as_os_str()]);
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .arg(ARG)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut subject = Self { child, stdin, stdout };
        assert_eq!(subject.ask("hello"), "hello");
        subject
    }

    /// Moves it to a cgroup, before it takes memory.
    pub(crate) fn enter(&self, cgroup: &MemoryCgroup) {
        std::fs::write(cgroup.dir().join("cgroup.procs"), self.child.id().to_string()).unwrap();
    }

    /// Sends a line and returns the answer.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        writeln!(self.stdin, "{line}").unwrap();
        let mut answer = String::new();
        self.stdout.read_line(&mut answer).unwrap();
        answer.trim_end().to_owned()
    }

    pub(crate) fn process(&self) -> Process {
        Process::open(self.child.id()).unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Content that does not compress, and differs from page to page.
fn content(mib: usize) -> Vec<u64> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..mib << 17).map(next).collect()
}

/// The subject's side.
pub(crate) fn main() -> ExitCode {
    let mut held = Vec::new();
    let mut mapped = Vec::new();
    let mut connections = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let mib = || rest.parse::<usize>().unwrap();
        let answer = match verb {
            "hold" => {
                held = content(mib());
                "held".to_owned()
            }
            "touch" => {
                let sum = held.iter().take(mib() << 17).fold(0, |sum, word| sum ^ word);
                black_box(sum);
                "touched".to_owned()
            }
            "check" => (held == content(held.len() >> 17)).to_string(),
            "lock" => {
                mapped.push(system::locked(mib() << 20));
                "locked".to_owned()
            }
            "map" => {
                mapped.push(system::private_file(rest));
                "mapped".to_owned()
            }
            "fork" => system::fork_that_waits().to_string(),
            "serve" => {
                let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                connections.push(listener.local_addr().unwrap());
                std::thread::spawn(move || echo(&listener));
                connections.last().unwrap().to_string()
            }
            OFFERED => offered(rest),
            _ => line,
        };
        println!("{answer}");
    }
    drop(mapped);
    ExitCode::SUCCESS
}

fn echo(listener: &TcpListener) {
    let (mut connection, _) = listener.accept().unwrap();
    let mut byte = [0];
    while connection.read_exact(&mut byte).is_ok() {
        connection.write_all(&byte).unwrap();
    }
}

/// The means that this process would have, or the reason why it has none.
fn offered(how: &str) -> String {
    let cgroups = if how == "cgroups" { crate::fixture::cgroups() } else { None };
    let root = std::path::Path::new("/");
    match majordomo_paging::try_paging(root, cgroups.as_ref()) {
        Ok(pager) => pager.means().to_string(),
        Err(why) => format!("{:?}: {why}", why.kind()),
    }
}

mod system {
    #![expect(unsafe_code, reason = "mappings and forks are made as C programs make them")]

    use std::os::fd::AsFd;
    use std::ptr::null_mut;

    use rustix::mm::{MapFlags, ProtFlags, mlock, mmap, mmap_anonymous};

    /// A mapping that lasts as long as this process.
    pub(super) struct Forever;

    pub(super) fn locked(len: usize) -> Forever {
        // SAFETY: the mapping is new, and nothing else knows its addresses.
        unsafe {
            let start = mmap_anonymous(
                null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
            .unwrap();
            std::slice::from_raw_parts_mut(start.cast::<u8>(), len).fill(7);
            mlock(start, len).unwrap();
        }
        Forever
    }

    /// Maps a file privately, reads all of it, and changes its first MiB.
    pub(super) fn private_file(path: &str) -> Forever {
        let file = std::fs::File::open(path).unwrap();
        let len = file.metadata().unwrap().len() as usize;
        // SAFETY: the mapping is new and private, and nothing changes the file.
        unsafe {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            let start =
                mmap(null_mut(), len, protection, MapFlags::PRIVATE, file.as_fd(), 0).unwrap();
            let bytes = std::slice::from_raw_parts_mut(start.cast::<u8>(), len);
            std::hint::black_box(bytes.iter().map(|b| u64::from(*b)).sum::<u64>());
            bytes[..1 << 20].fill(9);
        }
        Forever
    }

    /// A fork that shares all memory, and ends with its parent.
    pub(super) fn fork_that_waits() -> i32 {
        // SAFETY: this process has one thread, and its fork makes system calls only.
        match unsafe { libc::fork() } {
            0 => {
                let _ = rustix::process::set_parent_process_death_signal(Some(
                    rustix::process::Signal::KILL,
                ));
                loop {
                    // SAFETY: waits for a signal.
                    unsafe { libc::pause() };
                }
            }
            pid => pid,
        }
    }
}
