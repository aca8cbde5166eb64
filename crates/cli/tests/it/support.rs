//! Shared by the tests: a world of their own with its own binary, and runs of that binary.

use std::cell::Cell;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::eventually::eventually;
pub(crate) use crate::processes::MARK;
use crate::processes::{marked, running, signal};

/// Long enough for a busy machine; nothing waits that long when all is well.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// A component's program: prints that it is up and runs until it is stopped.
pub(crate) const UP: &str = "echo up; exec sleep 1000";

/// Prints that it is up and ignores TERM.
pub(crate) const STUBBORN: &str = "trap '' TERM; echo up; while :; do sleep 1; done";

/// A directory with a link to the binary, by which its processes are known, and a mark for those it starts.
/// When it is dropped, none of them may live.
pub(crate) struct World {
    dir: PathBuf,
    program: PathBuf,
    /// Short, since the system bounds the path of a socket.
    runtime: PathBuf,
    n_runs: Cell<u32>,
}

impl World {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("cli-{}-{n}", std::process::id());
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // Left by a run that had the same process id.
        drop(std::fs::remove_dir_all(&dir));
        std::fs::create_dir_all(&dir).unwrap();
        let dir = dir.canonicalize().unwrap();
        let program = dir.join("majordomo");
        let built = env!("CARGO_BIN_EXE_majordomo");
        std::fs::hard_link(built, &program)
            .or_else(|_| std::fs::copy(built, &program).map(drop))
            .unwrap();
        let runtime = std::env::temp_dir().join(format!("mj-{}-{n}", std::process::id()));
        drop(std::fs::remove_dir_all(&runtime));
        std::fs::create_dir_all(&runtime).unwrap();
        Self { dir, program, runtime, n_runs: Cell::new(0) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    /// The default socket of a server.
    pub(crate) fn socket(&self) -> PathBuf {
        self.runtime.join("majordomo/majordomo.sock")
    }

    /// Starts a server, and waits until it listens.
    pub(crate) fn serve(&self, words: &[&str]) -> Running<'_> {
        let words: Vec<_> = ["serve"].iter().chain(words).copied().collect();
        let running = self.start(&words, Stdio::null());
        running.says(".sock");
        running
    }

    pub(crate) fn mark(&self) -> String {
        self.dir.display().to_string()
    }

    /// The living programs of this world's components.
    pub(crate) fn components(&self) -> Vec<i32> {
        marked(MARK, &self.mark())
    }

    /// Those and the living processes of the binary itself: manager, guard, workers.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let mut all = self.components();
        all.extend(running(&self.program));
        all
    }

    /// A section of a configuration file.
    pub(crate) fn section(&self, name: &str, script: &str, more: &str) -> String {
        format!(
            "[components.{name}]\nmemory = \"10MiB\"\ncommand = [\"/bin/sh\", \"-c\", {script:?}]\n\
             cwd = \".\"\nenv = {{ {MARK} = {:?} }}\nready = {{ stdout = \"up\" }}\n{more}\n",
            self.mark()
        )
    }

    /// The section of a program with `protocol = "stdio"` that answers each line: an error to a question with "fail", the whole line
    /// to one with "object".
    pub(crate) fn answering_lines(&self, name: &str) -> String {
        self.write(
            "lines.sh",
            r#"echo '{"ready":true}'
            while read -r line; do
                id=${line#*:} id=${id%%,*}
                case $line in
                *fail*) echo "{\"id\":$id,\"error\":\"there is no page 3\"}" ;;
                *object*) echo "{\"id\":$id,\"answer\":$line}" ;;
                *) printf '{"id":%s,"answer":"one\\ntwo"}\n' "$id" ;;
                esac
            done"#,
        );
        let section = self.section(name, "exec /bin/sh lines.sh", "protocol = \"stdio\"");
        section.replace("ready = { stdout = \"up\" }", "ready = \"line\"")
    }

    /// Starts the binary in this directory; its output is written to files.
    pub(crate) fn start(&self, words: &[&str], stdin: Stdio) -> Running<'_> {
        let program = self.program.clone();
        self.start_as(Command::new(program).args(words), stdin)
    }

    /// The same by a command that leads to the binary.
    pub(crate) fn start_as(&self, command: &mut Command, stdin: Stdio) -> Running<'_> {
        let n = self.n_runs.replace(self.n_runs.get() + 1);
        let (out, err) = (format!("out-{n}"), format!("err-{n}"));
        let child = command
            .current_dir(&self.dir)
            .env_remove("RUST_LOG")
            .env_remove("MAJORDOMO_SOCKET")
            .env("TMPDIR", &self.dir)
            .env("XDG_RUNTIME_DIR", &self.runtime)
            .stdin(stdin)
            .stdout(File::create(self.path(&out)).unwrap())
            .stderr(File::create(self.path(&err)).unwrap())
            .spawn();
        Running { world: self, child: child.unwrap(), out, err }
    }

    /// Starts the binary with its standard output at a file of the system; the rest is written to a file.
    pub(crate) fn start_into(&self, out: &str, words: &[&str]) -> Running<'_> {
        let mut command = Command::new("/bin/sh");
        let script = format!("exec \"$0\" \"$@\" >{out}");
        command.args(["-c", &script]).arg(&self.program).args(words);
        self.start_as(&mut command, Stdio::null())
    }

    /// Starts the binary with pipes for standard input and output, of which the caller has the ends.
    pub(crate) fn start_piped(&self, words: &[&str]) -> Running<'_> {
        let mut running = self.start_as(&mut Command::new("/bin/true"), Stdio::null());
        running.child.wait().unwrap();
        running.child = Command::new(&self.program)
            .args(words)
            .current_dir(&self.dir)
            .env_remove("RUST_LOG")
            .env_remove("MAJORDOMO_SOCKET")
            .env("TMPDIR", &self.dir)
            .env("XDG_RUNTIME_DIR", &self.runtime)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(self.path(&running.err)).unwrap())
            .spawn()
            .unwrap();
        running
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        self.start(words, Stdio::null()).end()
    }

    /// The same with something to read.
    pub(crate) fn run_with(&self, words: &[&str], stdin: &[u8]) -> Ran {
        let mut running = self.start(words, Stdio::piped());
        let mut pipe = running.child.stdin.take().unwrap();
        pipe.write_all(stdin).unwrap();
        drop(pipe);
        running.end()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            eventually(DEADLINE, "the end of every process", || self.processes().is_empty());
        }
        drop(std::fs::remove_dir_all(&self.dir));
        drop(std::fs::remove_dir_all(&self.runtime));
    }
}

/// A run under way.
pub(crate) struct Running<'a> {
    world: &'a World,
    pub(crate) child: Child,
    out: String,
    err: String,
}

impl Running<'_> {
    pub(crate) fn out(&self) -> String {
        self.world.read(&self.out)
    }

    pub(crate) fn err(&self) -> String {
        self.world.read(&self.err)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        assert!(signal(i32::try_from(self.child.id()).unwrap(), name));
    }

    /// Waits until its output has a text.
    pub(crate) fn says(&self, text: &str) {
        eventually(DEADLINE, text, || self.out().contains(text));
    }

    /// Ends it as an operator does.
    pub(crate) fn stop(self) -> Ran {
        self.signal("TERM");
        self.end()
    }

    pub(crate) fn end(mut self) -> Ran {
        let mut code = None;
        eventually(DEADLINE, "the end of the program", || {
            code = self.child.try_wait().unwrap();
            code.is_some()
        });
        let (out, err) = (self.out(), self.world.read(&self.err));
        // No output here is a terminal.
        assert!(!out.contains('\u{1b}') && !err.contains('\u{1b}'), "{out}{err}");
        assert!(!err.contains("panicked"), "{err}");
        Ran { code: code.unwrap().code(), out, err }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Usually they have ended already; a test that failed leaves no process behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    /// None when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// It exited so, and its output and errors have all of these.
    #[track_caller]
    pub(crate) fn check(&self, code: i32, out: &[&str], err: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for (text, parts) in [(&self.out, out), (&self.err, err)] {
            for part in parts {
                assert!(text.contains(part), "{part:?} is missing in: {text}");
            }
        }
    }

    /// Every line of its output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let parse =
            |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line:?}"));
        self.out.lines().map(parse).collect()
    }
}
