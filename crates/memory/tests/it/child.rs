//! Child processes of the tests: this test binary itself, with its role in a variable.
//!
//! Each waits for a line on its standard input before it begins, so that it can be bounded first, and writes a
//! line to its standard output when it is done.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write, stdin};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

const ROLE: &str = "MAJORDOMO_TEST_CHILD";

/// Resident bytes of this process, counted page by page.
#[cfg(target_os = "linux")]
pub(crate) fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let rss = text.lines().find_map(|l| l.strip_prefix("Rss:")).unwrap();
    rss.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() << 10
}

/// A child process; killed and reaped when dropped.
pub(crate) struct TestChild {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl TestChild {
    /// Starts a child in a role: `hog MIB`, or `thrash FILE`, which writes 64 MiB and reads them over and over.
    pub(crate) fn start(role: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child::body", "--ignored", "--nocapture", "--quiet"])
            .env(ROLE, role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut started = Self { child, stdin, stdout };
        assert!(started.hears("waiting"), "the child does not start");
        started
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it begin.
    pub(crate) fn go(&mut self) {
        self.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    /// Reads its output up to a line that ends so; false when it ended before.
    pub(crate) fn hears(&mut self, word: &str) -> bool {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).unwrap() > 0 {
            if line.trim_end().ends_with(word) {
                return true;
            }
            line.clear();
        }
        false
    }

    /// Lets it begin, and waits for its end, which must be a good one.
    #[cfg(target_os = "linux")]
    pub(crate) fn succeeds(role: &str) {
        let mut child = Self::start(role);
        child.go();
        let mut said = String::new();
        child.stdout.read_to_string(&mut said).unwrap();
        let status = child.end();
        assert!(status.success(), "{role}: {status}\n{said}");
        println!("{role}: {}", said.trim());
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> ExitStatus {
        drop(self.stdin.take());
        self.child.wait().unwrap()
    }
}

impl Drop for TestChild {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_for_word() -> Option<String> {
    let mut line = String::new();
    let n = stdin().lock().read_line(&mut line).unwrap();
    (n > 0).then_some(line)
}

#[test]
#[ignore = "the body of child processes that other tests start"]
fn body() {
    let Ok(role) = std::env::var(ROLE) else { return };
    println!("waiting");
    let Some(_) = wait_for_word() else { return };
    match role.split_once(' ') {
        Some(("hog", mib)) => {
            let held = vec![1u8; mib.parse::<usize>().unwrap() << 20];
            println!("{} held", std::hint::black_box(&held).len());
            // Holds until its standard input ends.
            while wait_for_word().is_some() {}
        }
        Some(("thrash", path)) => {
            // Written here, so that its cache counts in the cgroup of this process.
            let mut block = vec![7; 1 << 20];
            let mut file = File::create(path).unwrap();
            for _ in 0..64 {
                file.write_all(&block).unwrap();
            }
            file.sync_all().unwrap();
            loop {
                let mut file = File::open(path).unwrap();
                while file.read(&mut block).unwrap() > 0 {}
            }
        }
        #[cfg(all(feature = "arena", target_os = "linux"))]
        Some(("arena", "whole")) => crate::arena::gives_back_whole(),
        #[cfg(all(feature = "arena", target_os = "linux"))]
        Some(("arena", "shared")) => crate::arena::shared_slices_outlive_the_arena(),
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        Some(("heap", "small")) => crate::trim::small_allocations_come_back(),
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        Some(("heap", "threads")) => crate::trim::what_threads_freed_comes_back(),
        _ => panic!("unknown role {role:?}"),
    }
}
