//! The offer, or the reason why there is none: on fixture directories and on this machine.

use std::process::Command;

use libtest_mimic::Trial;
use majordomo_paging::{NotOfferedKind, try_paging};

use crate::eventually::eventually;
use crate::fixture::{Fixture, add, cgroups, pager, required};
use crate::subject::Subject;

pub(crate) fn tests(tests: &mut Vec<Trial>) {
    add(tests, "offered::machine_without_swap_names_the_way_out", without_swap);
    add(tests, "offered::full_swap_is_named_with_its_figures", full_swap);
    add(tests, "offered::limit_of_the_own_cgroup_that_leaves_no_swap_is_named", limited_swap);
    add(tests, "offered::trial_leaves_no_child_and_no_cgroup", leaves_nothing);
    add(
        tests,
        "offered::without_the_capability_cgroups_are_reclaimed_or_nothing_is_offered",
        rights,
    );
}

fn without_swap() {
    let f = Fixture::with_swaps("");
    let why = try_paging(f.root(), None).unwrap_err();
    assert_eq!(why.kind(), NotOfferedKind::NoSwap);
    let text = why.to_string();
    assert!(text.contains("majordomo setup swap") && text.contains("no swap"), "{text}");
}

fn full_swap() {
    let f = Fixture::with_swaps("/swapfile file 1048576 1047552 -2\n");
    let text = try_paging(f.root(), None).unwrap_err().to_string();
    assert!(text.contains("swap is full (1 MiB of 1 GiB free)"), "{text}");
}

fn limited_swap() {
    let f = Fixture::with_swaps("/swapfile file 1048576 0 -2\n");
    f.put("proc/self/cgroup", "0::/app\n");
    f.put("proc/self/mountinfo", "30 21 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    for file in ["cgroup.procs", "cgroup.controllers", "app/cgroup.procs"] {
        f.put(&format!("sys/fs/cgroup/{file}"), "memory\n");
    }
    f.put("sys/fs/cgroup/app/memory.current", "4096\n");
    f.put("sys/fs/cgroup/app/memory.swap.max", "0\n");
    let why = try_paging(f.root(), None).unwrap_err();
    let text = why.to_string();
    assert_eq!(why.kind(), NotOfferedKind::NoSwap, "{text}");
    assert!(text.contains("memory.swap.max") && text.contains("0 B"), "{text}");
}

fn leaves_nothing() {
    let Some(_) = pager() else { return };
    let own = std::process::id();
    // Tests beside this one try paging, too.
    eventually("the child of the trial to be gone", || {
        let ps = Command::new("ps").args(["--ppid", &own.to_string(), "-o", "comm="]).output();
        ps.map_or(true, |ps| !String::from_utf8_lossy(&ps.stdout).contains("dd"))
    });
    if let Some(cgroup) = cgroups() {
        let dir = cgroup.child(&format!("majordomo-trial-{own}")).dir().to_owned();
        eventually("the cgroup of the trial to be removed", || !dir.exists());
    }
}

fn rights() {
    let Some(_) = pager() else { return };
    let command = ["setpriv", "--bounding-set=-sys_nice"];
    let probe = Command::new(command[0]).args([command[1], "true"]).status();
    let can_drop = probe.is_ok_and(|status| status.success());
    let Some(()) = required(can_drop.then_some(()).ok_or("setpriv cannot drop a capability"))
    else {
        return;
    };
    let mut subject = Subject::start_through(&command);
    let text = subject.ask("offered alone");
    assert!(text.starts_with("NoRight: ") && text.contains("CAP_SYS_NICE"), "{text}");
    assert!(text.contains("Delegate=memory"), "{text}");
    if cgroups().is_some() {
        let text = subject.ask("offered cgroups");
        assert!(text.starts_with("reclaim of cgroups; pages are read again"), "{text}");
    }
}
