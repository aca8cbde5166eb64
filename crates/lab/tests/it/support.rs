//! A folder, and the binary running in it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually::eventually;

/// Ten times the longest wait of a test.
pub(crate) const DEADLINE: Duration = Duration::from_secs(6);

/// A folder of a test's own.
pub(crate) struct World(PathBuf);

impl World {
    pub(crate) fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("majordomo-lab-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn start(&self, words: &[&str]) -> Running<'_> {
        let file = |name: &str| std::fs::File::create(self.path(name)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_majordomo-lab"))
            .args(words)
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("err"))
            .current_dir(&self.0)
            .spawn()
            .unwrap();
        Running { world: self, child }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(Path::new(&self.0)));
    }
}

pub(crate) struct Running<'a> {
    world: &'a World,
    child: Child,
}

impl Running<'_> {
    pub(crate) fn interrupt(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The exit code and what was printed.
    pub(crate) fn end(self) -> (Option<i32>, String) {
        self.end_within(DEADLINE)
    }

    /// The same of a program that may take this long.
    pub(crate) fn end_within(mut self, deadline: Duration) -> (Option<i32>, String) {
        let mut status = None;
        eventually(deadline, "the end of the program", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let said = self.world.read("out") + &self.world.read("err");
        (status.unwrap().code(), said)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
