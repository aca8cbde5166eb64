//! The watcher: wakers and time-outs everywhere, the kernel's own wake-ups where this machine has them.

use std::path::Path;
use std::time::Duration;

use majordomo_core::{ByteSize, Moment, PressureLevel, PressureProfile};
use majordomo_memory::{
    CgroupEvents, CgroupSource, CgroupVersion, Hints, MemoryCgroup, PressureClassifier,
    PressureReading, PressureSource, PressureWatcher, ScriptedSource, WakeCause, Wakeup,
    WatchConfig, WatchMeans, pressure_thresholds,
};

use crate::child::TestChild;
use crate::fixture::Fixture;
use crate::limits::{real_cgroups, required, unique};

/// Longer than anything here takes; a wait that long is a failure.
const LONG: Duration = Duration::from_secs(60);

fn bare() -> (Fixture, PressureWatcher) {
    let f = Fixture::new();
    let config = WatchConfig { root: f.root().to_owned(), cgroup: None };
    let watcher = PressureWatcher::new(&config).unwrap();
    (f, watcher)
}

#[test]
fn ends_by_time_or_by_its_waker() {
    let (_f, mut watcher) = bare();
    assert!(matches!(watcher.means(), [WatchMeans::Missing { .. }]), "{:?}", watcher.means());
    assert!(watcher.wait(Duration::from_millis(1)).is_timeout());
    let waker = watcher.waker();
    // Many wakes before a wait are one.
    for _ in 0..1000 {
        waker.wake();
    }
    assert_eq!(watcher.wait(LONG).causes, [WakeCause::Woken]);
    assert!(watcher.wait(Duration::ZERO).is_timeout());
    let thread = std::thread::spawn(move || watcher.wait(LONG));
    waker.wake();
    assert_eq!(thread.join().unwrap().causes, [WakeCause::Woken]);
    waker.wake();
}

#[test]
fn causes_hint_at_the_gravest_level() {
    let check = |causes: Vec<WakeCause>, want: Option<PressureLevel>| {
        let hints = Wakeup { causes: causes.clone() }.hints();
        assert_eq!(hints, Hints { own: want, ..Hints::default() }, "{causes:?}");
    };
    let events = |high, max, oom_kill| WakeCause::Cgroup(CgroupEvents { high, max, oom_kill });
    check(vec![], None);
    check(vec![WakeCause::Woken], None);
    check(vec![WakeCause::Usage { threshold: ByteSize(1) }], None);
    check(vec![events(1, 0, 0), WakeCause::Woken], Some(PressureLevel::High));
    check(vec![events(1, 1, 0)], Some(PressureLevel::Critical));
    check(vec![events(0, 0, 1), events(1, 0, 0)], Some(PressureLevel::Emergency));
}

/// A wake-up and an average of the same stall are judged alike: while plenty of memory is available neither counts.
#[test]
fn wakeups_and_averages_obey_one_rule() {
    const STALLED: &str = "some avg10=80.00 total=1\nfull avg10=20.00 total=1\n";
    const CALM: &str = "some avg10=0.00 total=1\nfull avg10=0.00 total=1\n";
    let check = |own_cgroup: bool, machine_gib: u64, want: PressureLevel| {
        let case = format!("own_cgroup = {own_cgroup}, {machine_gib} of 24 GiB available");
        let level = |reading: &PressureReading| {
            let mut c = PressureClassifier::new(PressureProfile::Share, Duration::ZERO);
            c.observe(reading, Moment::ZERO)
        };
        let f = Fixture::v2("/g");
        f.v2_cgroup("/g", "max", "max", 1, 0);
        let machine = PressureReading::of_machine(ByteSize::gib(machine_gib), ByteSize::gib(24));
        let mut source = CgroupSource::new(f.root(), ScriptedSource::shared("machine", machine).0);
        let (stalled, calm) = match own_cgroup {
            true => ("sys/fs/cgroup/g/memory.pressure", "proc/pressure/memory"),
            false => ("proc/pressure/memory", "sys/fs/cgroup/g/memory.pressure"),
        };
        f.put(calm, CALM).put(stalled, CALM);
        let cause = WakeCause::Stall { own_cgroup, hint: PressureLevel::High };
        let woken = Wakeup { causes: vec![cause] };
        let reading = source.read().unwrap().with_hints(woken.hints());
        assert_eq!(level(&reading), want, "woken, {case}");
        f.put(stalled, STALLED);
        assert_eq!(level(&source.read().unwrap()), want, "sampled, {case}");
    };
    check(false, 22, PressureLevel::Low);
    check(false, 12, PressureLevel::Low);
    check(false, 11, PressureLevel::High);
    check(true, 22, PressureLevel::Low);
    check(true, 12, PressureLevel::Low);
    check(true, 11, PressureLevel::High);
}

/// macOS reports the level itself: the wake-up carries no level, the next reading does, and
/// it counts however much memory is available.
#[test]
fn a_systems_own_level_counts_by_its_reading() {
    let woken = Wakeup { causes: vec![WakeCause::System] };
    assert_eq!(woken.hints(), Hints::default());
    let level = Hints { own: Some(PressureLevel::Critical), ..Hints::default() };
    let plenty = PressureReading::of_machine(ByteSize::gib(22), ByteSize::gib(24));
    let reading = plenty.with_hints(level).with_hints(woken.hints());
    assert_eq!(reading.hint(), Some(PressureLevel::Critical));
}

#[test]
fn v2_files_of_a_fixture_are_armed() {
    let f = Fixture::v2("/g");
    f.v2_cgroup("/g", "1000", "max", 0, 0);
    f.put("sys/fs/cgroup/g/memory.pressure", "");
    let cgroup = MemoryCgroup::of_self(f.root()).unwrap().unwrap();
    assert_eq!(cgroup.version(), CgroupVersion::V2);
    let config =
        WatchConfig { root: f.root().to_owned(), cgroup: Some((cgroup, [ByteSize(1); 4])) };
    let watcher = PressureWatcher::new(&config).unwrap();
    let means: Vec<_> = watcher.means().iter().map(ToString::to_string).collect();
    assert_eq!(means.len(), 3, "{means:?}");
    assert!(means[0].starts_with("no PSI trigger at"), "{means:?}");
    assert_eq!(means[1..], ["PSI of the own cgroup, 1 s window", "memory.events (cgroup v2)"]);
}

#[test]
fn watcher_wakes_when_a_real_cgroup_fills_up() {
    let Some(choice) = real_cgroups() else { return };
    let limit = choice.limit(&unique("test-usage"), ByteSize::mib(128)).unwrap();
    let cgroup = limit.cgroup().unwrap().clone();
    let version = cgroup.version();
    let thresholds = pressure_thresholds(PressureProfile::Share, ByteSize::mib(128));
    let config = WatchConfig { root: "/".into(), cgroup: Some((cgroup, thresholds)) };
    let mut watcher = PressureWatcher::new(&config).unwrap();
    let (means, hog) = match version {
        CgroupVersion::V1 => (WatchMeans::UsageThresholds { count: 4 }, "hog 110"),
        // Above `memory.high`, which stands at 115 MiB.
        CgroupVersion::V2 => (WatchMeans::CgroupEvents, "hog 120"),
    };
    assert!(watcher.means().contains(&means), "{:?}", watcher.means());
    let mut hog = TestChild::start(hog);
    limit.enter(hog.pid()).unwrap();
    hog.go();
    if version == CgroupVersion::V2 {
        while watcher.wait(LONG).hints().own < Some(PressureLevel::High) {}
        return;
    }
    assert!(hog.hears("held"));
    // 110 of 128 MiB leave 18: below MEDIUM's 32, HIGH's 25.6 and CRITICAL's 19.2.
    let mut crossed = Vec::new();
    while crossed.len() < 3 {
        let wakeup = watcher.wait(LONG);
        assert!(!wakeup.is_timeout(), "crossed {crossed:?} only");
        for cause in wakeup.causes {
            if let WakeCause::Usage { threshold } = cause {
                crossed.push(threshold);
            }
        }
    }
    crossed.sort_unstable();
    let want: Vec<_> = thresholds[..3].iter().map(|t| ByteSize::mib(128) - *t).collect();
    assert_eq!(crossed, want);
}

#[test]
fn real_stalls_wake() {
    let config = WatchConfig { root: "/".into(), cgroup: None };
    let mut watcher = PressureWatcher::new(&config).unwrap();
    let armed = match watcher.means() {
        [WatchMeans::Stalls { .. }] => Ok(()),
        other => Err(format!("{other:?}")),
    };
    let Some(()) = required(armed) else { return };
    let Some(choice) = real_cgroups() else { return };
    // Reading a file over and over in a cgroup that holds a fraction of it: every pass reads from the disk.
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = dir.join(format!("majordomo-stall-{}", std::process::id()));
    let limit = choice.limit(&unique("test-stall"), ByteSize::mib(24)).unwrap();
    let mut reader = TestChild::start(&format!("thrash {}", file.display()));
    limit.enter(reader.pid()).unwrap();
    reader.go();
    let wakeup = watcher.wait(LONG);
    drop(reader);
    std::fs::remove_file(&file).unwrap();
    let stalled = if wakeup.is_timeout() {
        Err("the disk is too fast: reading in a full cgroup stalls for less than 10 % of the time")
    } else {
        Ok(())
    };
    let Some(()) = required(stalled) else { return };
    assert!(wakeup.hints().machine >= Some(PressureLevel::Medium), "{wakeup:?}");
    assert!(matches!(wakeup.causes[0], WakeCause::Stall { own_cgroup: false, .. }), "{wakeup:?}");
}
