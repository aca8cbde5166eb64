//! The processes of a server, read from the system: which belong to components, their memory, CPU
//! time and I/O.
//!
//! Reads `/proc` alone and asks the server nothing. Every process below the server belongs to a
//! component, but for the guard and for children that have not become a program yet. The
//! component's name is in the manager's mark in the environment, unless the program overwrote its
//! environment, as redis does; then it may be named from outside. CPU time and I/O of ended
//! processes are those that the system adds to the parent that reaps them, so sums over parents
//! miss no ended process but those that no parent waits for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::used::{Io, Threads, Used, io};

/// The variable in the environment of every process of a component:
/// `SESSION/COMPONENT/LOAD/START/`.
const MARK: &[u8] = b"MAJORDOMO_INCARNATION=";
/// The argument of the process that ends components when the manager is killed.
const GUARD: &[u8] = b"__guard";
/// A component whose program hides its name.
const UNNAMED: &str = "(unnamed)";
/// Looks for processes that outlive their server, and the time between two.
const LOOKS: u32 = 40;
const LOOK: Duration = Duration::from_millis(100);

/// A process at one look.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    pid: i32,
    parent: i32,
    is_zombie: bool,
    /// Clock ticks since boot: two processes with the same id differ in it.
    start: u64,
    /// CPU ticks of the process.
    own_ticks: u64,
    /// CPU ticks of the children that it reaped.
    reaped_ticks: u64,
}

/// Reads a line of `/proc/PID/stat`.
fn row(line: &str) -> Option<Row> {
    let (pid, rest) = line.split_once(' ')?;
    // The name may contain anything, and ends with the last bracket.
    let fields: Vec<&str> = rest.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |place: usize| fields.get(place)?.parse::<u64>().ok();
    Some(Row {
        pid: pid.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        start: number(19)?,
        own_ticks: number(11)? + number(12)?,
        reaped_ticks: number(13)? + number(14)?,
    })
}

/// Proportional set sizes at one moment, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// The sum of each component's processes, by its name, with memory that is swapped out.
    pub(crate) components: BTreeMap<String, u64>,
    /// The part of it that is swapped out.
    pub(crate) swapped: u64,
    /// The manager's process.
    pub(crate) manager: u64,
    /// The process that ends components when the manager is killed.
    pub(crate) guard: u64,
    /// The part of the manager and the guard that no file holds.
    pub(crate) own_anonymous: u64,
}

impl Memory {
    /// All components.
    pub(crate) fn sum(&self) -> u64 {
        self.components.values().sum()
    }
}

/// The proportional set size of one process, in bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Pss {
    resident: u64,
    /// The part of it that no file holds.
    anonymous: u64,
    swapped: u64,
}

/// Follows the processes below a server.
#[derive(Debug)]
pub(crate) struct Processes {
    proc: PathBuf,
    server: i32,
    ticks_per_second: f64,
    /// The component of each process seen, none for the guard; by id and start.
    owners: BTreeMap<(i32, u64), Option<String>>,
    /// Names from outside, by the first process of a component.
    names: BTreeMap<i32, String>,
    /// Of the manager.
    threads: Threads,
}

impl Processes {
    pub(crate) fn new(server: u32) -> Self {
        Self {
            proc: PathBuf::from("/proc"),
            server: i32::try_from(server).unwrap_or(0),
            ticks_per_second: rustix::param::clock_ticks_per_second().max(1) as f64,
            owners: BTreeMap::new(),
            names: BTreeMap::new(),
            threads: Threads::default(),
        }
    }

    /// Names the component of a first process.
    pub(crate) fn name(&mut self, pid: i32, component: &str) {
        self.names.insert(pid, component.to_owned());
    }

    fn rows(&self) -> BTreeMap<i32, Row> {
        let Ok(all) = std::fs::read_dir(&self.proc) else { return BTreeMap::new() };
        all.flatten()
            .filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit())
            .filter_map(|entry| row(&std::fs::read_to_string(entry.path().join("stat")).ok()?))
            .map(|row| (row.pid, row))
            .collect()
    }

    /// The server and everything below it, with the component of each; parents before children.
    fn family(&mut self) -> Vec<(Row, Option<String>)> {
        let mut rows = self.rows();
        let mut out: Vec<(Row, Option<String>)> =
            rows.remove(&self.server).map(|row| (row, None)).into_iter().collect();
        let mut next = 0;
        while let Some((parent, owner)) = out.get(next).cloned() {
            let children: Vec<i32> =
                rows.values().filter(|r| r.parent == parent.pid).map(|r| r.pid).collect();
            for child in children.into_iter().filter_map(|pid| rows.remove(&pid)) {
                let owner = owner.clone().or_else(|| self.owner(&child));
                if owner.as_deref().is_some_and(|name| name != UNNAMED) {
                    self.owners.insert((child.pid, child.start), owner.clone());
                }
                out.push((child, owner));
            }
            next += 1;
        }
        out
    }

    /// The component of a child of the manager; none for the manager's own.
    fn owner(&mut self, row: &Row) -> Option<String> {
        let key = (row.pid, row.start);
        if let Some(owner) = self.owners.get(&key) {
            return owner.clone();
        }
        let environment = self.read(row.pid, "environ").unwrap_or_default();
        let mark = environment.split(|b| *b == 0).find_map(|w| w.strip_prefix(MARK));
        let marked = mark.and_then(|mark| {
            let mark = String::from_utf8_lossy(mark);
            mark.split('/').nth(1).map(str::to_owned)
        });
        if let Some(owner) = marked.or_else(|| self.names.get(&row.pid).cloned()) {
            return Some(owner);
        }
        let words = self.read(row.pid, "cmdline").unwrap_or_default();
        if words.split(|b| *b == 0).any(|word| word == GUARD) {
            self.owners.insert(key, None);
            return None;
        }
        // Between fork and exec a child is the manager once more, without a mark: it is looked at
        // again.
        let is_program = self.read(self.server, "cmdline").is_some_and(|own| own != words);
        (is_program && !words.is_empty()).then(|| UNNAMED.to_owned())
    }

    fn read(&self, pid: i32, file: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path(pid).join(file)).ok()
    }

    fn path(&self, pid: i32) -> PathBuf {
        Path::new(&self.proc).join(pid.to_string())
    }

    fn pss(&self, pid: i32) -> Pss {
        let rollup = self.read(pid, "smaps_rollup").unwrap_or_default();
        let rollup = String::from_utf8_lossy(&rollup);
        let kib = |name: &str| {
            let line = rollup.lines().find_map(|l| l.strip_prefix(name));
            line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        let bytes = |name: &str| kib(name) << 10;
        Pss { resident: bytes("Pss:"), anonymous: bytes("Pss_Anon:"), swapped: bytes("SwapPss:") }
    }

    fn look_at_threads(&mut self) {
        let Ok(all) = std::fs::read_dir(self.path(self.server).join("task")) else { return };
        let living = all.flatten().filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            Some((id, io(&std::fs::read_to_string(entry.path().join("io")).ok()?)))
        });
        let living = living.collect();
        self.threads.take(living);
    }

    /// The memory now.
    pub(crate) fn memory(&mut self) -> Memory {
        self.look_at_threads();
        let mut memory = Memory::default();
        for (row, owner) in self.family() {
            if row.is_zombie {
                continue;
            }
            let pss = self.pss(row.pid);
            // Memory that is swapped out is still the component's.
            let held = pss.resident + pss.swapped;
            if let Some(name) = owner {
                *memory.components.entry(name).or_default() += held;
                memory.swapped += pss.swapped;
                continue;
            }
            memory.own_anonymous += pss.anonymous;
            // The manager, or a child that is a copy of it until it becomes a program.
            let is_guard = self.owners.contains_key(&(row.pid, row.start));
            *if is_guard { &mut memory.guard } else { &mut memory.manager } += held;
        }
        memory
    }

    /// CPU time and I/O since the start of the server.
    pub(crate) fn used(&mut self) -> Used {
        let (mut components, mut manager) = (0, 0);
        let mut sum = Io::default();
        self.look_at_threads();
        for (row, owner) in self.family() {
            if owner.is_some() {
                components += row.own_ticks + row.reaped_ticks;
            } else {
                // The manager's children are components; its guard is reaped at the end.
                manager += row.own_ticks;
                components += row.reaped_ticks;
            }
            let text = self.read(row.pid, "io").unwrap_or_default();
            sum.add(io(&String::from_utf8_lossy(&text)));
        }
        Used {
            components_cpu_s: components as f64 / self.ticks_per_second,
            manager_cpu_s: manager as f64 / self.ticks_per_second,
            components_io: sum.since(self.threads.sum()),
            manager_io: self.threads.sum(),
        }
    }

    /// The processes of components that were seen and still run, each with its component.
    pub(crate) fn survivors(&self) -> Vec<(i32, String)> {
        let rows = self.rows();
        let lives = |pid: &i32, start: u64| {
            rows.get(pid).is_some_and(|row| row.start == start && !row.is_zombie)
        };
        let seen = self.owners.iter().filter(|((pid, start), _)| lives(pid, *start));
        seen.filter_map(|((pid, _), owner)| Some((*pid, owner.clone()?))).collect()
    }

    /// Those that outlive the server, once they have had a moment to end; each as `component (pid)`.
    pub(crate) async fn orphans(&self) -> Vec<String> {
        let mut left = Vec::new();
        for _ in 0..LOOKS {
            left = self.survivors();
            if left.is_empty() {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        left.into_iter().map(|(pid, component)| format!("{component} ({pid})")).collect()
    }
}

/// The mean number of runnable tasks over the last minute.
pub(crate) fn load_average() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read_whatever_the_name_of_the_program() {
        let line = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 50 60 7 8 20 0 1 0 987 1 1";
        let want = Row {
            pid: 7,
            parent: 3,
            is_zombie: false,
            start: 987,
            own_ticks: 110,
            reaped_ticks: 15,
        };
        assert_eq!(row(line), Some(want));
        assert_eq!(row("7 (a"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_and_cpu_time_of_a_marked_child_are_its_components() {
        use std::io::{BufRead as _, BufReader, Write as _};
        let mut child = std::process::Command::new("sh")
            .args(["-c", "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; echo up; read x"])
            .env("MAJORDOMO_INCARNATION", "s/chat/1/2/")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut processes = Processes::new(std::process::id());
        let memory = processes.memory();
        assert!(memory.components["chat"] > 0 && memory.manager > memory.components["chat"]);
        assert!(memory.sum() >= memory.components["chat"]);
        let pid = i32::try_from(child.id()).unwrap();
        assert_eq!(processes.survivors(), [(pid, "chat".to_owned())]);
        let before = processes.used();
        // Such a loop takes some hundredths of a second at least, three ticks.
        assert!(before.components_cpu_s >= 0.03, "{before:?}");
        writeln!(child.stdin.take().unwrap()).unwrap();
        child.wait().unwrap();
        assert_eq!(processes.survivors(), []);
        // The time of the ended child is among those that this process reaped.
        assert!(processes.used().components_cpu_s >= before.components_cpu_s);
    }

    #[test]
    fn a_copy_of_the_manager_and_swapped_memory_are_counted_where_they_belong() {
        let proc = std::env::temp_dir().join(format!("majordomo-lab-proc-{}", std::process::id()));
        let process = |pid: i32, parent: i32, words: &str, mark: &str| {
            let dir = proc.join(pid.to_string());
            std::fs::create_dir_all(&dir).unwrap();
            let stat = format!("{pid} (a) S {parent} 7 7 0 -1 1 1 2 3 4 5 6 7 8 20 0 1 0 987 1 1");
            std::fs::write(dir.join("stat"), stat).unwrap();
            std::fs::write(dir.join("cmdline"), words.replace(' ', "\0")).unwrap();
            std::fs::write(dir.join("environ"), mark).unwrap();
            let rollup = "Rss: 900 kB\nPss:                10 kB\nPss_Anon: 9 kB\nSwapPss: 3 kB\n";
            std::fs::write(dir.join("smaps_rollup"), rollup).unwrap();
        };
        process(10, 1, "majordomo serve", "");
        process(11, 10, "majordomo serve", "");
        process(12, 10, "majordomo __guard", "");
        process(13, 10, "chat", "MAJORDOMO_INCARNATION=s/chat/1/2/");
        let mut processes = Processes { proc: proc.clone(), ..Processes::new(10) };
        let memory = processes.memory();
        std::fs::remove_dir_all(&proc).unwrap();
        assert_eq!((memory.manager, memory.guard), (26 << 10, 13 << 10));
        assert_eq!((memory.components["chat"], memory.swapped), (13 << 10, 3 << 10));
        assert_eq!(memory.own_anonymous, 27 << 10);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_program_without_a_mark_is_a_component_and_the_guard_is_none() {
        let start = |words: &[&str]| {
            let mut child = std::process::Command::new("sh")
                .args(["-c", "echo up; read x", "sh"])
                .args(words)
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            use std::io::BufRead as _;
            let out = child.stdout.take().unwrap();
            std::io::BufReader::new(out).read_line(&mut String::new()).unwrap();
            child
        };
        let (mut hidden, mut guard) = (start(&[]), start(&["__guard"]));
        let mut processes = Processes::new(std::process::id());
        let memory = processes.memory();
        assert!(memory.components[UNNAMED] > 0 && memory.guard > 0, "{memory:?}");
        processes.name(i32::try_from(hidden.id()).unwrap(), "store");
        assert!(processes.memory().components["store"] > 0);
        for child in [&mut hidden, &mut guard] {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
    }
}
