//! The members of a component: one rule, used for measuring, stopping, killing, and deciding that it is down.
//!
//! A living process is a member of the component whose process group or cgroup it is in; else of the one that it was
//! a member of before; else of its parent's; else of the one whose mark its environment carries. So a process that
//! leaves its process group, opens a session, loses its parent or clears its environment stays a member, unless it
//! does all of that before the first look.
//!
//! Cost: a whole look reads one line for every process of the machine, and the environment of each process once. A
//! quick look reads that line for the members known and for their new children.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use majordomo_memory::MemoryCgroup;
use rustix::process::Signal;

use super::entry::{Entry, ProcessGroup, StartTime, TAG_VARIABLE};
use super::signal::{signal_process, signal_process_group};
use super::system;

/// The members of one incarnation. Dropping it ends following them.
#[derive(Debug)]
pub(crate) struct Members {
    table: Arc<ProcessTable>,
    process_group: ProcessGroup,
    mark: Arc<str>,
    cgroup: Option<MemoryCgroup>,
}

impl Members {
    /// The leader's process group.
    pub(crate) fn process_group(&self) -> &ProcessGroup {
        &self.process_group
    }

    /// The value of [`TAG_VARIABLE`] that all of them inherit.
    pub(crate) fn mark(&self) -> &Arc<str> {
        &self.mark
    }

    /// The cgroup that holds them and no other process, where there is one.
    pub(crate) fn cgroup(&self) -> Option<&MemoryCgroup> {
        self.cgroup.as_ref()
    }

    /// The table in which they are followed.
    pub(crate) fn table(&self) -> &Arc<ProcessTable> {
        &self.table
    }

    /// All that live, zombies not counted: a whole look. Blocks.
    pub(crate) fn find(&self) -> Vec<Entry> {
        self.table.look_at_all().remove(&self.mark).unwrap_or_default()
    }

    /// Those known and their children: a quick look. Blocks.
    pub(crate) fn find_known(&self) -> Vec<Entry> {
        self.table.look_at_known(Some(&self.mark)).remove(&self.mark).unwrap_or_default()
    }

    /// Signals those of `found` that are outside of the process group. Returns how many got the signal.
    pub(crate) fn signal_outside_process_group(&self, found: &[Entry], signal: Signal) -> usize {
        let outside = found.iter().filter(|e| e.pgid != self.process_group.pgid);
        outside.filter(|e| e.signal(signal)).count()
    }

    /// Signals the process group, whose leader has not been reaped.
    pub(crate) fn signal_process_group(&self, signal: Signal) {
        let ProcessGroup { pgid, start } = &self.process_group;
        // A leader that could not make its process group so far is alone.
        if !signal_process_group(*pgid, signal) && system::start_time(*pgid).as_ref() == Some(start)
        {
            signal_process(*pgid, signal);
        }
    }

    /// Ends following them: the process group's number may mean another one from now on.
    pub(crate) fn unfollow(&self) {
        let mut seen = self.table.seen();
        if seen.followed.get(&self.process_group.pgid).is_some_and(|f| f.mark == self.mark) {
            seen.followed.remove(&self.process_group.pgid);
        }
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        self.unfollow();
    }
}

/// The members of one look, by the component's mark.
pub(crate) type ByMark = BTreeMap<Arc<str>, Vec<Entry>>;

/// Which process was found to be whose, over all components of one manager.
#[derive(Debug)]
pub(crate) struct ProcessTable {
    own: i32,
    /// How the marks of this manager begin.
    session: String,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// By the number of the process group.
    followed: BTreeMap<i32, Followed>,
    /// By process id.
    processes: BTreeMap<i32, Process>,
}

#[derive(Debug)]
struct Followed {
    start: StartTime,
    mark: Arc<str>,
    cgroup: Option<MemoryCgroup>,
}

#[derive(Debug)]
struct Process {
    start: StartTime,
    owner: Owner,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner {
    /// The component with this mark, for good.
    Component(Arc<str>),
    /// Its environment has no mark of ours.
    Unmarked,
    /// Its environment could not be read so far.
    Unread,
}

impl ProcessTable {
    /// A table for the manager with this session.
    pub(crate) fn new(session: &str) -> Arc<Self> {
        let own = i32::try_from(std::process::id()).unwrap_or(0);
        Arc::new(Self { own, session: format!("{session}/"), seen: Mutex::default() })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Every entry is checked against the system before it is used, so a panic in between does no harm.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to follow a component's processes.
    pub(crate) fn follow(
        self: &Arc<Self>,
        process_group: ProcessGroup,
        mark: &str,
        cgroup: Option<MemoryCgroup>,
    ) -> Members {
        let mark: Arc<str> = mark.into();
        let followed = Followed {
            start: process_group.start.clone(),
            mark: Arc::clone(&mark),
            cgroup: cgroup.clone(),
        };
        self.seen().followed.insert(process_group.pgid, followed);
        Members { table: Arc::clone(self), process_group, mark, cgroup }
    }

    /// Looks at every process of the machine. Blocks.
    pub(crate) fn look_at_all(&self) -> ByMark {
        let mut seen = self.seen();
        let in_cgroup = seen.in_cgroups();
        let entries: BTreeMap<i32, Entry> =
            system::scan().into_iter().map(|e| (e.pid, e)).collect();
        seen.processes.retain(|pid, p| entries.get(pid).is_some_and(|e| e.start == p.start));
        let mut decided = BTreeMap::from([(self.own, None)]);
        let mut found = ByMark::new();
        for entry in entries.values() {
            let owner = self.decide(entry, &entries, &in_cgroup, &mut seen, &mut decided);
            if let Some(mark) = owner.filter(|_| !entry.zombie) {
                found.entry(mark).or_default().push(entry.clone());
            }
        }
        found
    }

    /// The component of a process, by the rule of this file; its ancestors are decided with it.
    fn decide(
        &self,
        entry: &Entry,
        entries: &BTreeMap<i32, Entry>,
        in_cgroup: &BTreeMap<i32, Arc<str>>,
        seen: &mut Seen,
        decided: &mut BTreeMap<i32, Option<Arc<str>>>,
    ) -> Option<Arc<str>> {
        let mut undecided = Vec::new();
        let mut owner = None;
        let mut at = Some(entry);
        // Parents that do not end at a process without one are no tree: nothing is decided by them.
        while let Some(entry) = at.filter(|_| undecided.len() <= entries.len()) {
            if let Some(known) = decided.get(&entry.pid) {
                owner.clone_from(known);
                break;
            }
            let leader = entries.get(&entry.pgid);
            let by_itself = seen
                .by_process_group(entry, leader)
                .or_else(|| in_cgroup.get(&entry.pid).cloned())
                .or_else(|| seen.remembered(entry));
            undecided.push(entry);
            if by_itself.is_some() {
                owner = by_itself;
                break;
            }
            at = entries.get(&entry.ppid);
        }
        for entry in undecided.into_iter().rev() {
            owner = owner.or_else(|| self.by_mark(entry, seen));
            if let Some(mark) = &owner {
                seen.remember(entry, Owner::Component(Arc::clone(mark)));
            }
            decided.insert(entry.pid, owner.clone());
        }
        owner
    }

    /// By the environment, which is read once for each process.
    fn by_mark(&self, entry: &Entry, seen: &mut Seen) -> Option<Arc<str>> {
        let is_read = |p: &Process| p.start == entry.start && p.owner == Owner::Unmarked;
        if entry.kernel || entry.zombie || seen.processes.get(&entry.pid).is_some_and(is_read) {
            return None;
        }
        let owner = match system::variable(entry.pid, TAG_VARIABLE) {
            None => Owner::Unread,
            Some(Some(mark)) if mark.starts_with(&self.session) => Owner::Component(mark.into()),
            Some(_) => Owner::Unmarked,
        };
        seen.remember(entry, owner.clone());
        match owner {
            Owner::Component(mark) => Some(mark),
            Owner::Unmarked | Owner::Unread => None,
        }
    }

    /// Looks at the members known, at their children, at what this process has adopted, and at cgroups; of one
    /// component or of all. Blocks.
    pub(crate) fn look_at_known(&self, only: Option<&Arc<str>>) -> ByMark {
        if cfg!(not(target_os = "linux")) {
            // Each look at one process would run a program there, as does one at all.
            let mut all = self.look_at_all();
            all.retain(|mark, _| only.is_none_or(|only| only == mark));
            return all;
        }
        let mut seen = self.seen();
        let mut queue: VecDeque<(i32, Arc<str>)> = seen
            .followed
            .iter()
            .map(|(pgid, f)| (*pgid, Arc::clone(&f.mark)))
            .chain(seen.in_cgroups())
            .chain(seen.processes.iter().filter_map(|(pid, p)| match &p.owner {
                Owner::Component(mark) => Some((*pid, Arc::clone(mark))),
                Owner::Unmarked | Owner::Unread => None,
            }))
            .filter(|(_, mark)| only.is_none_or(|only| only == mark))
            .collect();
        for pid in system::children(self.own).unwrap_or_default() {
            if seen.processes.get(&pid).is_some_and(|p| p.owner != Owner::Unread) {
                continue;
            }
            let adopted = system::entry(pid);
            if let Some(mark) = adopted.and_then(|entry| self.by_mark(&entry, &mut seen))
                && only.is_none_or(|only| *only == mark)
            {
                queue.push_back((pid, mark));
            }
        }
        let mut looked_at = BTreeMap::new();
        let mut found = ByMark::new();
        while let Some((pid, mark)) = queue.pop_front() {
            if looked_at.insert(pid, ()).is_some() {
                continue;
            }
            let Some(entry) = system::entry(pid) else {
                seen.processes.remove(&pid);
                continue;
            };
            let other = |f: &Followed| f.start != entry.start && f.mark == mark;
            let is_other = seen.processes.get(&pid).is_some_and(|p| p.start != entry.start)
                || seen.followed.get(&pid).is_some_and(other);
            if is_other {
                seen.processes.remove(&pid);
                continue;
            }
            seen.remember(&entry, Owner::Component(Arc::clone(&mark)));
            let children = system::children(pid).unwrap_or_default();
            queue.extend(children.into_iter().map(|child| (child, Arc::clone(&mark))));
            if !entry.zombie {
                found.entry(mark).or_default().push(entry);
            }
        }
        found
    }
}

impl Seen {
    /// By the process group, unless its number means another, younger one by now.
    fn by_process_group(&self, entry: &Entry, leader: Option<&Entry>) -> Option<Arc<str>> {
        let followed = self.followed.get(&entry.pgid)?;
        let is_ours = leader.is_none_or(|leader| leader.start == followed.start);
        is_ours.then(|| Arc::clone(&followed.mark))
    }

    fn remembered(&self, entry: &Entry) -> Option<Arc<str>> {
        match self.processes.get(&entry.pid) {
            Some(Process { start, owner: Owner::Component(mark) }) if *start == entry.start => {
                Some(Arc::clone(mark))
            }
            _ => None,
        }
    }

    fn remember(&mut self, entry: &Entry, owner: Owner) {
        self.processes.insert(entry.pid, Process { start: entry.start.clone(), owner });
    }

    /// The processes in the components' cgroups.
    fn in_cgroups(&self) -> BTreeMap<i32, Arc<str>> {
        let mut found = BTreeMap::new();
        for followed in self.followed.values() {
            let pids = followed.cgroup.as_ref().and_then(|cgroup| cgroup.processes().ok());
            let pids = pids.unwrap_or_default().into_iter();
            found.extend(pids.map(|pid| (pid, Arc::clone(&followed.mark))));
        }
        found
    }
}
