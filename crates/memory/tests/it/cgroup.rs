//! The own cgroup on fixture directories, v1 and v2, and on this machine.

use majordomo_core::{ByteSize, PressureLevel};
use majordomo_memory::{
    CgroupBound, CgroupEvents, CgroupSource, CgroupVersion, MemoryCgroup, PressureReading,
    PressureSource, ReadingSource, ScriptedSource, SourceChain, platform_source,
};

use crate::fixture::Fixture;

const MIB: u64 = 1 << 20;
const V1_UNLIMITED: &str = "9223372036854771712";

fn machine(available_mib: u64, total_mib: u64) -> PressureReading {
    PressureReading::of_machine(ByteSize::mib(available_mib), ByteSize::mib(total_mib))
}

fn cgroup_source(f: &Fixture, machine: PressureReading) -> CgroupSource<ScriptedSource> {
    CgroupSource::new(f.root(), ScriptedSource::shared("machine", machine).0)
}

#[test]
fn v1_bound_is_the_tightest_of_the_cgroup_and_its_ancestors() {
    let f = Fixture::v1("/outer/inner");
    f.v1_cgroup("", V1_UNLIMITED, 9000 * MIB, 0);
    f.v1_cgroup("/outer", &(2000 * MIB).to_string(), 1500 * MIB, 100 * MIB);
    f.v1_cgroup("/outer/inner", &(3000 * MIB).to_string(), 100 * MIB, 20 * MIB);
    let cgroup = MemoryCgroup::of_self(f.root()).unwrap().unwrap();
    assert_eq!(cgroup.version(), CgroupVersion::V1);
    // The outer cgroup is nearly full although the inner one is not.
    let want = CgroupBound { limit: ByteSize::mib(2000), available: ByteSize::mib(600) };
    assert_eq!(cgroup.bound().unwrap(), Some(want));
    assert_eq!(cgroup.events().unwrap(), CgroupEvents { high: 0, max: 7, oom_kill: 2 });

    let mut source = cgroup_source(&f, machine(9000, 16_000));
    let reading = source.read().unwrap();
    assert_eq!((reading.limit, reading.available), (want.limit, want.available));
    assert_eq!(reading.source, ReadingSource::Cgroup);
}

#[test]
fn v2_limits_by_max_and_high() {
    let f = Fixture::v2("/a/b");
    f.v2_cgroup("/a", "max", "max", 5000 * MIB, 0);
    f.v2_cgroup("/a/b", &(1024 * MIB).to_string(), &(900 * MIB).to_string(), 500 * MIB, 50 * MIB);
    let cgroup = MemoryCgroup::of_self(f.root()).unwrap().unwrap();
    let want = CgroupBound { limit: ByteSize::mib(900), available: ByteSize::mib(450) };
    assert_eq!(cgroup.bound().unwrap(), Some(want));
    assert_eq!(cgroup.events().unwrap(), CgroupEvents { high: 5, max: 3, oom_kill: 1 });
    assert_eq!(cgroup.peak().unwrap(), None, "kernels before 5.19 keep no peak");
    assert_eq!(cgroup.peak_working_set().unwrap(), None);
    assert!(cgroup.processes().is_err(), "it has no list of processes");
    f.put("sys/fs/cgroup/a/b/memory.peak", &(700 * MIB).to_string());
    f.put("sys/fs/cgroup/a/b/cgroup.procs", "7\n12\n");
    assert_eq!(cgroup.peak_working_set().unwrap(), Some(ByteSize::mib(650)));
    assert_eq!(cgroup.processes().unwrap(), [7, 12]);

    // A machine with less left than the cgroup has: its bytes count, the cgroup's limit stays the smaller.
    let reading = cgroup_source(&f, machine(100, 16_000)).read().unwrap();
    assert_eq!(reading.available, ByteSize::mib(100));
    assert_eq!((reading.limit, reading.source), (ByteSize::mib(900), ReadingSource::Cgroup));
}

#[test]
fn unmapped_swap_cache_counts_as_available() {
    let check = |f: &Fixture, dir: &str, stat: &str, want_mib: u64| {
        f.put(&format!("{dir}/memory.stat"), stat);
        let cgroup = MemoryCgroup::of_self(f.root()).unwrap().unwrap();
        assert_eq!(cgroup.unmapped_swap_cache().unwrap(), ByteSize::mib(want_mib), "{stat}");
        let of_files = ByteSize::mib(20);
        assert_eq!(cgroup.working_set().unwrap(), ByteSize::mib(500 - want_mib) - of_files);
        let available = cgroup.bound().unwrap().unwrap().available;
        assert_eq!(available, ByteSize::mib(524 + want_mib) + of_files);
    };
    let mib = |n: u64| n * MIB;
    let limit = (1024 * MIB).to_string();
    let v1 = Fixture::v1("/g");
    v1.v1_cgroup("", V1_UNLIMITED, 0, 0);
    v1.v1_cgroup("/g", &limit, 500 * MIB, 0);
    let v2 = Fixture::v2("/g");
    v2.v2_cgroup("/g", &limit, "max", 500 * MIB, 0);
    // Swap cache that is mapped is in the anonymous memory already; an older kernel counts none.
    for (cached, anonymous, want_mib) in [(200, 100, 200), (200, 250, 150), (0, 100, 0)] {
        let (cached, anonymous, file) = (mib(cached), mib(anonymous), mib(100));
        let stat = format!(
            "cache 1\ntotal_cache {file}\ntotal_rss {anonymous}\ntotal_swapcached {cached}\ntotal_inactive_file {}\n",
            mib(20)
        );
        check(&v1, "sys/fs/cgroup/memory/g", &stat, want_mib);
        let stat = format!(
            "anon {anonymous}\nfile {file}\nswapcached {cached}\ninactive_file {}\n",
            mib(20)
        );
        check(&v2, "sys/fs/cgroup/g", &stat, want_mib);
    }
}

#[test]
fn without_limits_the_machine_bounds() {
    let unlimited = Fixture::v2("/free");
    unlimited.v2_cgroup("/free", "max", "max", 10 * MIB, 0);
    let top = Fixture::v2("/");
    top.put("sys/fs/cgroup/cgroup.procs", "");
    let v1_top = Fixture::v1("/");
    v1_top.v1_cgroup("", V1_UNLIMITED, 10 * MIB, 0);
    for f in [unlimited, top, v1_top] {
        let mut source = cgroup_source(&f, machine(1000, 4000));
        assert_eq!(source.read().unwrap(), machine(1000, 4000));
        assert_eq!(source.take_reports(), []);
    }
}

#[test]
fn nearest_v2_cgroup_with_the_controller_is_the_bound() {
    let f = Fixture::v2("/slice/app");
    f.v2_cgroup("/slice", &(64 * MIB).to_string(), "max", 60 * MIB, 0);
    f.put("sys/fs/cgroup/slice/app/cgroup.procs", "");
    let bound = MemoryCgroup::of_self(f.root()).unwrap().unwrap().bound().unwrap().unwrap();
    assert_eq!((bound.limit, bound.available), (ByteSize::mib(64), ByteSize::mib(4)));
}

#[test]
fn container_whose_cgroup_is_the_top_of_the_mount_is_read() {
    let f = Fixture::new();
    f.put("proc/self/cgroup", "4:memory:/docker/abc\n");
    f.put("proc/self/mountinfo", "35 31 0:32 /docker/abc /cg/mem rw - cgroup cgroup rw,memory\n");
    f.put("cg/mem/memory.limit_in_bytes", "104857600\n");
    f.put("cg/mem/memory.usage_in_bytes", "4857600\n");
    f.put("cg/mem/memory.stat", "total_inactive_file 0\n");
    let cgroup = MemoryCgroup::of_self(f.root()).unwrap().unwrap();
    assert_eq!(cgroup.bound().unwrap().unwrap().available, ByteSize(100_000_000));
}

#[test]
fn cgroup_that_disappears_is_reported_and_the_next_source_answers() {
    let f = Fixture::v1("/box");
    f.v1_cgroup("", V1_UNLIMITED, 0, 0);
    f.v1_cgroup("/box", &(1000 * MIB).to_string(), 100 * MIB, 0);
    let (fallback, _handle) = ScriptedSource::shared("machine alone", machine(9000, 16_000));
    let cgroup = Box::new(cgroup_source(&f, machine(9000, 16_000)));
    let mut chain = SourceChain::new(vec![cgroup, Box::new(fallback)]);
    assert_eq!(chain.read().unwrap().limit, ByteSize::mib(1000));
    f.remove("sys/fs/cgroup/memory/box");
    assert_eq!(chain.read().unwrap().limit, ByteSize::mib(16_000));
    let reports: Vec<_> = chain.take_reports().iter().map(ToString::to_string).collect();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("does not exist); machine alone is asked instead"), "{reports:?}");
    f.v1_cgroup("/box", &(1000 * MIB).to_string(), 100 * MIB, 0);
    assert_eq!(chain.read().unwrap().limit, ByteSize::mib(1000));

    // The whole controller gone: not mistaken for "no limit".
    f.put("proc/self/cgroup", "9:name=systemd:/\n");
    assert_eq!(chain.read().unwrap().limit, ByteSize::mib(16_000));
}

#[test]
fn malformed_files_are_named() {
    let check = |break_it: &dyn Fn(&Fixture), want: &str| {
        let f = Fixture::v2("/g");
        f.v2_cgroup("/g", "1000000", "max", 1, 0);
        break_it(&f);
        let error = cgroup_source(&f, machine(1, 2)).read().unwrap_err().to_string();
        assert!(error.contains(want), "{error:?} should say {want:?}");
    };
    check(
        &|f| {
            f.put("sys/fs/cgroup/g/memory.max", "lots\n");
        },
        "memory.max: neither",
    );
    check(
        &|f| {
            f.put("sys/fs/cgroup/g/memory.current", "");
        },
        "memory.current",
    );
    check(
        &|f| {
            f.put("sys/fs/cgroup/g/memory.stat", "inactive_file x\n");
        },
        "memory.stat",
    );
    check(
        &|f| {
            f.put("proc/self/cgroup", "nonsense\n");
        },
        "cgroup: no list of cgroups",
    );
    check(
        &|f| {
            f.put("proc/self/cgroup", "0::/../other\n");
        },
        "is outside of the mount",
    );
    check(&|f| f.remove("proc/self/mountinfo"), "mountinfo");
}

#[test]
fn limits_of_cgroups_below_cause_no_events_of_the_own_cgroup() {
    let f = Fixture::v2("/g");
    f.v2_cgroup("/g", "max", "max", MIB, 0);
    let cgroup = MemoryCgroup::of_self(f.root()).unwrap().unwrap();
    let all = CgroupEvents { high: 5, max: 3, oom_kill: 1 };
    assert_eq!(cgroup.own_events().unwrap(), all, "a kernel without separate counters");
    let own = "low 0\nhigh 2\nmax 0\noom 0\noom_kill 0\n";
    f.put("sys/fs/cgroup/g/memory.events.local", own);
    assert_eq!(cgroup.own_events().unwrap(), CgroupEvents { high: 2, max: 0, oom_kill: 0 });
    assert_eq!(cgroup.events().unwrap(), all);
}

#[test]
fn stalls_hint_and_their_loss_is_reported() {
    let f = Fixture::v2("/g");
    f.v2_cgroup("/g", &(1000 * MIB).to_string(), "max", MIB, 0);
    let stalled = "some avg10=20.00 avg60=0 avg300=0 total=1\nfull avg10=0.00 total=0\n";
    let calm = "some avg10=0.00 avg60=0 avg300=0 total=1\nfull avg10=0.00 total=0\n";
    let hint = |source: &mut CgroupSource<ScriptedSource>| source.read().unwrap().hint();

    // A machine with plenty left stalls because of another cgroup's limit.
    f.put("proc/pressure/memory", stalled);
    assert_eq!(hint(&mut cgroup_source(&f, machine(9000, 10_000))), None);
    let mut source = cgroup_source(&f, machine(4000, 10_000));
    assert_eq!(hint(&mut source), Some(PressureLevel::Medium));
    assert_eq!(source.take_reports(), [], "a cgroup without stall file is no failure");

    f.put("proc/pressure/memory", calm);
    f.put("sys/fs/cgroup/g/memory.pressure", &stalled.replace("full avg10=0", "full avg10=50"));
    assert_eq!(hint(&mut source), None, "nearly all of the cgroup's limit is available");
    f.v2_cgroup("/g", &(1000 * MIB).to_string(), "max", 501 * MIB, 0);
    assert_eq!(hint(&mut source), Some(PressureLevel::Critical));
    f.remove("sys/fs/cgroup/g/memory.pressure");
    assert_eq!(hint(&mut source), None);
    assert_eq!(hint(&mut source), None);
    let reports: Vec<_> = source.take_reports().iter().map(ToString::to_string).collect();
    assert!(reports.len() == 1 && reports[0].contains("own cgroup's stalls failed"), "{reports:?}");
}

#[test]
fn this_machine_answers() {
    let mut source = platform_source();
    let reading = source.read().unwrap();
    assert!(reading.available <= reading.limit && reading.limit > ByteSize::ZERO, "{reading:?}");
    assert_eq!(source.take_reports(), []);
}
