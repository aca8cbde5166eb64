//! Limits of processes: the choice on fixture directories, and real cgroups and kills where this machine has them.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use majordomo_core::ByteSize;
use majordomo_memory::{
    CgroupVersion, LimitChoice, LimitError, MemoryCgroup, OomEvidence, OomWatch, choose_limits,
};

use crate::child::TestChild;
use crate::fixture::Fixture;

/// The real thing where there is one. Otherwise one line says why not, and a run that requires it fails.
pub(crate) fn required<T, E: std::fmt::Display>(found: Result<T, E>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(why) => {
            eprintln!("skipped: {why}");
            let required = std::env::var_os("MAJORDOMO_REQUIRE_PRESSURE").is_some_and(|v| v == "1");
            assert!(!required, "MAJORDOMO_REQUIRE_PRESSURE=1, but {why}");
            None
        }
    }
}

/// Groups below the own one of this process, when it may make any.
pub(crate) fn real_cgroups() -> Option<LimitChoice> {
    let choice = choose_limits(Path::new("/"));
    required(match choice {
        LimitChoice::Cgroup(_) => Ok(choice),
        other => Err(other.to_string()),
    })
}

/// A name of a cgroup that no test run beside this one uses.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

#[test]
fn v2_is_chosen_where_delegated() {
    let f = Fixture::v2("/app");
    let app = "sys/fs/cgroup/app";
    f.v2_cgroup("/app", "max", "max", 0, 0);
    let choice = choose_limits(f.root());
    assert!(choice.to_string().contains("data limit per process"), "{choice}");
    assert!(choice.to_string().contains("cgroup.subtree_control"), "{choice}");

    f.put(&format!("{app}/cgroup.subtree_control"), "cpu\n");
    f.put(&format!("{app}/cgroup.controllers"), "cpu pids\n");
    assert!(choose_limits(f.root()).to_string().contains("no memory controller to hand on"));

    f.put(&format!("{app}/cgroup.controllers"), "cpu memory pids\n");
    f.put(&format!("{app}/cgroup.procs"), "1\n2\n");
    assert!(choose_limits(f.root()).to_string().contains("shared with other processes"));

    // Alone in its cgroup it moves to a leaf, and hands the controller on.
    let own = std::process::id();
    f.put(&format!("{app}/cgroup.procs"), &format!("{own}\n"));
    f.put(&format!("{app}/majordomo.main/cgroup.procs"), "");
    f.put(&format!("{app}/majordomo-probe-{own}/memory.max"), "max\n");
    let choice = choose_limits(f.root());
    assert!(
        matches!(&choice, LimitChoice::Cgroup(g) if g.version() == CgroupVersion::V2),
        "{choice}"
    );
    assert_eq!(text(&f, &format!("{app}/majordomo.main/cgroup.procs")), own.to_string());
    assert_eq!(text(&f, &format!("{app}/cgroup.subtree_control")), "+memory");
}

#[test]
fn v1_is_chosen_where_it_has_the_controller_and_is_writable_and_v2_never_stands_in_for_it() {
    let f = Fixture::v1("/app");
    f.v1_cgroup("/app", "max", 0, 0);
    // The unified hierarchy beside it could be written, and has no memory controller.
    f.put("sys/fs/cgroup/unified/app/cgroup.controllers", "memory\n");
    let choice = choose_limits(f.root());
    assert!(choice.to_string().contains("data limit per process"), "{choice}");
    assert!(choice.to_string().contains("no memory.limit_in_bytes"), "{choice}");

    let own = std::process::id();
    let probe = format!("sys/fs/cgroup/memory/app/majordomo-probe-{own}");
    f.put(&format!("{probe}/memory.limit_in_bytes"), "max\n");
    let choice = choose_limits(f.root());
    assert!(
        matches!(&choice, LimitChoice::Cgroup(g) if g.version() == CgroupVersion::V1),
        "{choice}"
    );
}

fn text(f: &Fixture, path: &str) -> String {
    fs::read_to_string(f.root().join(path)).unwrap()
}

#[test]
fn a_v2_limit_leads_with_high() {
    let f = Fixture::v2("/app");
    for file in ["memory.high", "memory.max", "memory.swap.max", "cgroup.procs"] {
        f.put(&format!("sys/fs/cgroup/app/majordomo-ocr-1/{file}"), "");
    }
    let mount = f.root().join("sys/fs/cgroup");
    let parent = MemoryCgroup::at(CgroupVersion::V2, mount.clone(), mount.join("app"));
    let choice = LimitChoice::Cgroup(parent);
    let limit = choice.limit("ocr-1", ByteSize(1000)).unwrap();
    limit.enter(4321).unwrap();
    let cgroup = "sys/fs/cgroup/app/majordomo-ocr-1";
    let got = ["memory.max", "memory.high", "memory.swap.max", "cgroup.procs"]
        .map(|file| text(&f, &format!("{cgroup}/{file}")));
    assert_eq!(got, ["1000", "900", "0", "4321"]);

    f.put(&format!("{cgroup}/cgroup.procs"), "77\n");
    let error = choice.limit("ocr-1", ByteSize(1000)).unwrap_err();
    assert!(matches!(error, LimitError::InUse(_)), "{error}");
}

#[test]
fn cgroup_of_a_component_that_may_be_parked_leaves_as_much_in_swap_as_its_limit() {
    let f = Fixture::v2("/app");
    let files = ["memory.high", "memory.max", "memory.swap.max", "cgroup.procs"];
    let cgroup = "sys/fs/cgroup/app/majordomo-ocr-1";
    let at = |f: &Fixture, version, mount: &str| {
        let mount = f.root().join(mount);
        LimitChoice::Cgroup(MemoryCgroup::at(version, mount.clone(), mount.join("app")))
    };
    let empty = || {
        for file in files {
            f.put(&format!("{cgroup}/{file}"), "");
        }
    };
    empty();
    let choice = at(&f, CgroupVersion::V2, "sys/fs/cgroup");
    let group = choice.group("ocr-1", Some(ByteSize(1000))).unwrap().unwrap();
    assert_eq!(group.limit(), Some(ByteSize(1000)));
    assert_eq!(
        files.map(|file| text(&f, &format!("{cgroup}/{file}"))),
        ["900", "1000", "1000", ""]
    );
    empty();
    let group = choice.group("ocr-1", None).unwrap().unwrap();
    group.enter(4321).unwrap();
    assert_eq!(group.limit(), None);
    assert_eq!(files.map(|file| text(&f, &format!("{cgroup}/{file}"))), ["", "", "", "4321"]);

    let f = Fixture::v1("/app");
    let cgroup = "sys/fs/cgroup/memory/app/majordomo-ocr-1";
    let files = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.swappiness"];
    for file in files {
        f.put(&format!("{cgroup}/{file}"), "");
    }
    let choice = at(&f, CgroupVersion::V1, "sys/fs/cgroup/memory");
    let group = choice.group("ocr-1", Some(ByteSize(1000))).unwrap().unwrap();
    assert!(group.cgroup().is_some());
    assert_eq!(files.map(|file| text(&f, &format!("{cgroup}/{file}"))), ["1000", "2000", "1"]);

    let without = LimitChoice::DataLimit { why: "a test".to_owned() };
    assert!(without.group("a", None).unwrap().is_none(), "nothing to make");
    assert_eq!(without.group("a", Some(ByteSize(7))).unwrap().unwrap().limit(), Some(ByteSize(7)));
}

#[test]
fn unusable_names_and_limits_are_refused() {
    let choice = LimitChoice::DataLimit { why: "a test".to_owned() };
    for name in ["", "..", "a/b", "ä", "a b"] {
        let error = choice.limit(name, ByteSize::mib(1)).unwrap_err();
        assert!(matches!(&error, LimitError::Name(n) if n == name), "{error}");
    }
    assert!(matches!(choice.limit("a", ByteSize::ZERO), Err(LimitError::Zero)));
    assert!(choice.limit("a", ByteSize(1)).unwrap().enter(u32::MAX).is_err());
}

#[test]
fn oom_evidence_on_fixtures() {
    let f = Fixture::v2("/g");
    f.v2_cgroup("/g", "1000", "max", 0, 0);
    f.put("proc/vmstat", "nr_free_pages 5\noom_kill 10\n");
    let cgroup = MemoryCgroup::of_self(f.root()).unwrap();
    let limit = Some(ByteSize(1000));
    let in_group = OomWatch::new(f.root(), cgroup, limit);
    let alone = OomWatch::new(f.root(), None, limit);

    assert_eq!(in_group.evidence(Some(9), false, Some(ByteSize(999))), None, "a plain kill");
    let near = OomEvidence::NearLimit { peak: ByteSize(960), limit: ByteSize(1000) };
    assert_eq!(alone.evidence(Some(9), false, Some(ByteSize(960))), Some(near));
    assert_eq!(alone.evidence(Some(9), true, Some(ByteSize(960))), None, "killed by us");
    assert_eq!(alone.evidence(Some(15), false, Some(ByteSize(960))), None, "terminated");
    assert_eq!(alone.evidence(None, false, Some(ByteSize(960))), None, "ended by itself");
    assert_eq!(alone.evidence(Some(9), false, Some(ByteSize(900))), None, "far from its limit");

    f.put("proc/vmstat", "nr_free_pages 5\noom_kill 12\n");
    let machine = OomEvidence::MachineKill { kills: 2 };
    assert_eq!(alone.evidence(Some(9), false, None), Some(machine));

    f.put("sys/fs/cgroup/g/memory.events", "high 5\nmax 3\noom 1\noom_kill 2\n");
    f.put("sys/fs/cgroup/g/memory.peak", "1000\n");
    let killed = OomEvidence::CgroupKill { kills: 1, peak: limit };
    assert_eq!(in_group.evidence(Some(9), false, None), Some(killed));
    assert_eq!(killed.to_string(), "out of memory: the kernel killed 1 in its cgroup at 1000 B");
}

#[test]
fn real_cgroup_bounds_its_process_and_reports_the_oom_kill() {
    let Some(choice) = real_cgroups() else { return };
    let limit = choice.limit(&unique("test-kill"), ByteSize::mib(48)).unwrap();
    let dir = limit.cgroup().unwrap().dir().to_owned();
    let watch = limit.watch_oom(Path::new("/"));
    let mut hog = TestChild::start("hog 96");
    limit.enter(hog.pid()).unwrap();
    hog.go();
    assert!(!hog.hears("held"), "96 MiB fit into 48");
    let status = hog.end();
    let evidence = watch.evidence(status.signal(), false, None);
    assert!(
        matches!(evidence, Some(OomEvidence::CgroupKill { kills: 1, peak: Some(p) })
            if p >= ByteSize::mib(47) && p <= ByteSize::mib(48)),
        "{status}: {evidence:?}"
    );
    drop(limit);
    assert!(!dir.exists(), "{} is left behind", dir.display());
}

#[test]
fn process_within_the_limit_of_its_real_cgroup_is_not_killed() {
    let Some(choice) = real_cgroups() else { return };
    let limit = choice.limit(&unique("test-fits"), ByteSize::mib(96)).unwrap();
    let watch = limit.watch_oom(Path::new("/"));
    let mut hog = TestChild::start("hog 48");
    limit.enter(hog.pid()).unwrap();
    hog.go();
    assert!(hog.hears("held"));
    let usage = limit.usage().unwrap().unwrap();
    assert!(usage >= ByteSize::mib(48) && usage <= ByteSize::mib(96), "{usage}");
    assert!(hog.end().success());
    assert_eq!(watch.evidence(None, false, None), None);
}

#[cfg(target_os = "linux")]
#[test]
fn a_data_limit_bounds() {
    let choice = LimitChoice::DataLimit { why: "a test".to_owned() };
    let limit = choice.limit("data", ByteSize::mib(48)).unwrap();
    let mut hog = TestChild::start("hog 96");
    limit.enter(hog.pid()).unwrap();
    hog.go();
    assert!(!hog.hears("held"), "96 MiB fit into 48");
    assert!(!hog.end().success());
}
