//! Real processes are paged out and in.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use libtest_mimic::Trial;
use majordomo_core::ByteSize;
use majordomo_paging::{
    Completed, Held, PagedOut, Pager, PagingError, Placement, Process, Stop, WorkingSet,
};

use crate::eventually::eventually;
use crate::fixture::{Fixture, OwnCgroup, add, pager};
use crate::subject::Subject;

/// Long enough for a slow disk; nothing takes that long when all is well.
const LIMIT: Duration = Duration::from_secs(60);
const SIZE: ByteSize = ByteSize::mib(64);

pub(crate) fn tests(tests: &mut Vec<Trial>) {
    for (name, in_cgroup) in [("with_cgroup", true), ("without_cgroup", false)] {
        let name = |rule: &str| format!("page::{rule}_{name}");
        let rule = "freed_bytes_are_proven_and_memory_comes_back_right";
        add(tests, &name(rule), move || freed_and_right(in_cgroup));
        let rule = "prefetched_pages_that_are_not_touched_are_freed_again";
        add(tests, &name(rule), move || untouched_are_freed(in_cgroup));
    }
    add(tests, "page::pages_touched_since_the_wake_are_the_working_set", working_set);
    add(tests, "page::mapped_pages_are_there_before_the_program_touches_them", mapped);
    add(tests, "page::locked_memory_is_left_and_reported", locked);
    add(tests, "page::memory_shared_by_a_fork_is_left_until_the_fork_ends", forked);
    add(tests, "page::unchanged_pages_of_a_mapped_file_are_left", file_pages);
    add(tests, "page::open_connection_is_served_by_a_program_that_is_paged_out", connection);
    add(tests, "page::all_members_are_paged", members);
    add(tests, "page::process_that_has_ended_is_an_error", ended);
    add(tests, "page::locked_memory_alone_is_an_error", locked_alone);
    add(tests, "page::page_out_that_is_ended_from_outside_stops", ended_from_outside);
    add(tests, "page::time_that_is_over_stops_a_page_out_and_a_page_in", out_of_time);
}

/// A subject that holds memory, in a cgroup of its own if a test asks for one.
struct Scene {
    pager: Pager,
    subject: Subject,
    cgroup: Option<OwnCgroup>,
}

impl Scene {
    fn new(in_cgroup: bool) -> Option<Self> {
        let pager = pager()?;
        let cgroup = if in_cgroup { Some(OwnCgroup::make()?) } else { None };
        let subject = Subject::start();
        if let Some(cgroup) = &cgroup {
            subject.enter(&cgroup.0);
        }
        let mut scene = Self { pager, subject, cgroup };
        scene.subject.ask(&format!("hold {}", SIZE.0 >> 20));
        Some(scene)
    }

    fn members(&self) -> [Process; 1] {
        [self.subject.process()]
    }

    fn out(&self, prefetched: Option<&WorkingSet>) -> PagedOut {
        let cgroup = self.cgroup.as_ref().map(|cgroup| &cgroup.0);
        self.pager.page_out(&self.members(), cgroup, prefetched, LIMIT).unwrap()
    }

    fn touched(&self) -> WorkingSet {
        self.pager.touched(&self.members())
    }

    fn held(&self) -> Held {
        let cgroup = self.cgroup.as_ref().map(|cgroup| &cgroup.0);
        self.pager.held(&self.members(), cgroup)
    }
}

fn assert_freed(out: &PagedOut) {
    // Of bytes that do not compress, zram takes as many as it is given.
    let gone = out.freed + out.after.zram;
    assert!(out.expected >= SIZE && gone >= out.expected.scaled(0.9), "{out:?}");
    assert!(out.after.swap >= SIZE.scaled(0.95), "{out:?}");
    assert!(out.after.cached <= SIZE.scaled(0.05), "{out:?}");
    assert!(out.written <= out.expected.scaled(2.0), "{out:?}");
    assert_eq!(out.completed, Completed::Whole, "{out:?}");
}

fn freed_and_right(in_cgroup: bool) {
    let Some(mut scene) = Scene::new(in_cgroup) else { return };
    let usage =
        |scene: &Scene| scene.cgroup.as_ref().map_or(ByteSize::ZERO, |c| c.0.usage().unwrap());
    let before = usage(&scene);
    let out = scene.out(None);
    assert_freed(&out);
    assert!(!in_cgroup || usage(&scene) + SIZE.scaled(0.9) <= before, "{out:?}");
    let paged_in = scene.pager.page_in(&scene.members(), None, Placement::Cached, LIMIT).unwrap();
    assert!(paged_in.asked >= SIZE.scaled(0.95), "{paged_in:?}");
    assert_eq!(paged_in.completed, Completed::Whole);
    assert_eq!(scene.subject.ask("check"), "true");
    assert!(scene.held().mapped >= SIZE, "{:?}", scene.held());
}

fn working_set() {
    let Some(mut scene) = Scene::new(true) else { return };
    scene.out(None);
    scene.subject.ask("touch 8");
    let mut set = scene.touched();
    let is_about_eight =
        |set: &WorkingSet| set.bytes() >= ByteSize::mib(8) && set.bytes() <= ByteSize::mib(12);
    assert!(is_about_eight(&set), "{}", set.bytes());
    assert!(set.size() < ByteSize::kib(16), "{}", set.size());

    // A prefetch is no touch.
    scene.out(None);
    let paged_in =
        scene.pager.page_in(&scene.members(), Some(&set), Placement::Cached, LIMIT).unwrap();
    assert_eq!(paged_in.asked, set.bytes());
    assert!(scene.touched().bytes() < ByteSize::mib(3), "{}", scene.touched().bytes());

    scene.subject.ask("touch 8");
    set.merge(scene.touched());
    assert!(is_about_eight(&set), "{}", set.bytes());
    assert_eq!(scene.subject.ask("check"), "true");
}

fn untouched_are_freed(in_cgroup: bool) {
    let Some(mut scene) = Scene::new(in_cgroup) else { return };
    scene.out(None);
    let paged_in = scene.pager.page_in(&scene.members(), None, Placement::Cached, LIMIT).unwrap();
    scene.subject.ask("touch 8");
    let out = scene.out(Some(&paged_in.prefetched));
    assert!(out.after.cached <= SIZE.scaled(0.05), "{out:?}");
    assert!(out.after.mapped <= ByteSize::mib(8), "{out:?}");
    assert_eq!(scene.subject.ask("check"), "true");
}

fn mapped() {
    let Some(mut scene) = Scene::new(true) else { return };
    if !scene.pager.means().to_string().contains("second page-out") {
        return;
    }
    scene.out(None);
    let set = None;
    let paged_in = scene.pager.page_in(&scene.members(), set, Placement::Mapped, LIMIT).unwrap();
    assert_eq!(paged_in.completed, Completed::Whole);
    assert!(scene.held().mapped >= SIZE, "{:?}", scene.held());
    assert!(scene.touched().bytes() >= SIZE, "{}", scene.touched().bytes());
    assert_eq!(scene.subject.ask("check"), "true");
    assert_freed(&scene.out(Some(&paged_in.prefetched)));
}

fn locked() {
    let Some(mut scene) = Scene::new(true) else { return };
    assert_eq!(scene.subject.ask("lock 4"), "locked");
    let out = scene.out(None);
    assert_eq!(out.left.locked, ByteSize::mib(4), "{out:?}");
    assert!(out.after.mapped >= ByteSize::mib(4), "{out:?}");
    assert!(out.expected < SIZE + ByteSize::mib(4), "it is not expected: {out:?}");
}

fn locked_alone() {
    let Some(pager) = pager() else { return };
    let Some(cgroup) = OwnCgroup::make() else { return };
    let mut subject = Subject::start();
    subject.enter(&cgroup.0);
    assert_eq!(subject.ask("lock 64"), "locked");
    let out = pager.page_out(&[subject.process()], Some(&cgroup.0), None, LIMIT);
    match out {
        Err(PagingError::NothingFreed { locked, .. }) => assert!(locked >= SIZE, "{locked}"),
        other => panic!("{other:?}"),
    }
}

/// As when the program is stopped meanwhile: its pages are left where it needs them.
fn ended_from_outside() {
    let Some(scene) = Scene::new(true) else { return };
    let stop = Stop::default();
    let pager = scene.pager.clone().ended_by(stop.clone());
    let cgroup = scene.cgroup.as_ref().map(|cgroup| &cgroup.0);
    stop.end();
    let out = pager.page_out(&scene.members(), cgroup, None, LIMIT).unwrap();
    assert_eq!(out.completed, Completed::OutOfTime, "{out:?}");
    assert!(out.left.kept >= SIZE.scaled(0.5), "one piece at most: {out:?}");
}

fn forked() {
    let Some(mut scene) = Scene::new(true) else { return };
    let child: u32 = scene.subject.ask("fork").parse().unwrap();
    let cgroup = scene.cgroup.as_ref().map(|cgroup| &cgroup.0);
    let out = scene.pager.page_out(&scene.members(), cgroup, None, LIMIT);
    match out {
        Err(PagingError::NothingFreed { shared, .. }) => assert!(shared >= SIZE, "{shared}"),
        other => panic!("{other:?}"),
    }
    let child = Process::open(child).unwrap();
    // Both are members: what they share counts once.
    let both = [scene.subject.process(), Process::open(child.pid()).unwrap()];
    match scene.pager.page_out(&both, cgroup, None, LIMIT) {
        Err(PagingError::NothingFreed { shared, .. }) => {
            assert!(shared >= SIZE && shared < SIZE.scaled(1.5), "{shared}");
        }
        other => panic!("{other:?}"),
    }
    let kill = std::process::Command::new("kill").args(["-9", &child.pid().to_string()]).status();
    assert!(kill.unwrap().success());
    eventually("the fork to end", || child.has_ended());
    let out = scene.out(None);
    assert!(out.left.shared < ByteSize::mib(1) && out.expected >= SIZE, "{out:?}");
    assert_eq!(scene.subject.ask("check"), "true");
}

fn file_pages() {
    let Some(mut scene) = Scene::new(true) else { return };
    let f = Fixture::new();
    let path = f.root().join("model.bin");
    fs::write(&path, vec![1; 8 << 20]).unwrap();
    assert_eq!(scene.subject.ask(&format!("map {}", path.display())), "mapped");
    let resident = || {
        let smaps = fs::read_to_string(format!("/proc/{}/smaps", scene.subject.pid())).unwrap();
        let after = smaps.split_once("model.bin").unwrap().1;
        let value = |key: &str| -> u64 {
            let value = after.lines().find_map(|l| l.strip_prefix(key)).unwrap();
            value.trim().trim_end_matches(" kB").parse().unwrap()
        };
        (value("Rss:") - value("Anonymous:"), value("Anonymous:"), value("Swap:"))
    };
    let (of_file, changed, in_swap) = resident();
    assert!(of_file >= 4 << 10 && (changed, in_swap) == (1 << 10, 0), "{of_file} {changed}");
    let out = scene.out(None);
    let (of_file_now, kept, in_swap) = resident();
    assert_eq!((of_file_now, kept + in_swap), (of_file, changed), "{out:?}");
    // Pages that another processor has touched last may not be on a list of the kernel yet, up to 31 of them.
    assert!(in_swap >= changed - 256, "{out:?}");
}

fn connection() {
    let Some(mut scene) = Scene::new(true) else { return };
    let address = scene.subject.ask("serve");
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(LIMIT)).unwrap();
    let mut asks = |byte: u8| {
        let mut answer = [0];
        connection.write_all(&[byte]).unwrap();
        connection.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [byte]);
    };
    asks(1);
    scene.out(None);
    asks(2);
    let served = scene.held();
    assert!(served.mapped < ByteSize::mib(8), "it is served by few pages: {served:?}");
}

fn members() {
    let Some(scene) = Scene::new(true) else { return };
    let mut second = Subject::start();
    second.enter(&scene.cgroup.as_ref().unwrap().0);
    second.ask("hold 16");
    let members = [scene.subject.process(), second.process()];
    let cgroup = scene.cgroup.as_ref().map(|cgroup| &cgroup.0);
    let out = scene.pager.page_out(&members, cgroup, None, LIMIT).unwrap();
    let both = SIZE + ByteSize::mib(16);
    assert!(out.expected >= both && out.after.swap >= both.scaled(0.9), "{out:?}");
    assert_eq!(second.ask("check"), "true");
    drop(second);
    // One that has ended meanwhile is no error.
    scene.pager.page_in(&members, None, Placement::Cached, LIMIT).unwrap();
}

fn ended() {
    let Some(pager) = pager() else { return };
    let subject = Subject::start();
    let members = [subject.process()];
    drop(subject);
    assert!(members[0].has_ended());
    let out = pager.page_out(&members, None, None, LIMIT);
    if !pager.means().needs_cgroup() {
        assert!(matches!(out, Err(PagingError::Ended)), "{out:?}");
    }
    assert!(matches!(
        pager.page_in(&members, None, Placement::Cached, LIMIT),
        Err(PagingError::Ended)
    ));
    assert!(pager.touched(&members).is_empty());
    assert_eq!(pager.held(&members, None), Held::default());
}

fn out_of_time() {
    let Some(mut scene) = Scene::new(true) else { return };
    let cgroup = scene.cgroup.as_ref().map(|cgroup| &cgroup.0);
    let out = scene.pager.page_out(&scene.members(), cgroup, None, Duration::ZERO).unwrap();
    assert_eq!(out.completed, Completed::OutOfTime, "{out:?}");
    assert!(out.left.kept >= SIZE.scaled(0.5), "one piece at most: {out:?}");
    scene.out(None);
    let paged_in =
        scene.pager.page_in(&scene.members(), None, Placement::Cached, Duration::ZERO).unwrap();
    assert_eq!(paged_in.completed, Completed::OutOfTime);
    assert_eq!(scene.subject.ask("check"), "true");
}
