//! Footprints of real processes.

use libtest_mimic::Trial;
use majordomo_core::ByteSize;
use majordomo_registry::ReadySpec;
use majordomo_runtime::footprint::{self, Figure, Footprint, Sampler};
use majordomo_runtime::guard::GuardForm;
use majordomo_runtime::process::RunningProcess;

use crate::eventually::eventually;
use crate::support::{DEADLINE, Dir, add_async, context, loader, read_pid, spec};

pub(crate) fn tests(tests: &mut Vec<Trial>) {
    add_async(tests, "footprint::of_components", of_components);
    #[cfg(target_os = "linux")]
    {
        add_async(tests, "footprint::members_in_sessions_of_their_own_count", detached);
        add_async(tests, "footprint::memory_that_forks_share_counts_once", fork_shared);
        add_async(tests, "footprint::pages_that_forks_copy_count", fork_copied);
        add_async(tests, "footprint::peak_of_a_load_counts_shared_memory_once", peak_of_forks);
        add_async(tests, "footprint::peak_of_a_load_is_kept_after_memory_is_freed", peak_of_spike);
        add_async(tests, "footprint::children_that_come_and_go_take_nothing_away", come_and_go);
    }
}

fn up() -> ReadySpec {
    ReadySpec::Stdout("up".into())
}

fn is_about(size: ByteSize, mib: u64) -> bool {
    (ByteSize::mib(mib)..ByteSize::mib(mib + mib / 2 + 5)).contains(&size)
}

async fn of_components() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    let hog = loader.start(context(spec(&["hog", "50"], up()))).await.unwrap();
    let child_pid = dir.path("child");
    let parent = spec(&["parent", child_pid.to_str().unwrap()], up());
    let pair = loader.start(context(parent)).await.unwrap();
    read_pid(&child_pid);
    let check = |found: &[Option<Footprint>]| {
        let [Some(of_pair), Some(of_hog)] = found else { panic!("{found:?}") };
        assert!((2..=3).contains(&of_pair.members), "{of_pair:?}: the shell may have a sleep");
        assert_eq!((of_hog.members, of_hog.figure), (1, Figure::Proportional));
        assert!(is_about(of_hog.exact, 50) && of_hog.exact <= of_hog.resident, "{of_hog:?}");
        assert!(of_pair.exact > ByteSize::ZERO && of_pair.exact < of_hog.exact, "{of_pair:?}");
    };
    check(&[footprint::exact(&pair), footprint::exact(&hog)]);
    // Again and again: known members first, and everybody now and then.
    let mut sampler = Sampler::default();
    for _ in 0..12 {
        check(&sampler.look(&[&pair, &hog]));
    }
    hog.stop(DEADLINE).await.unwrap();
    assert_eq!(sampler.look(&[&pair, &hog])[1], None);
    assert_eq!(footprint::exact(&hog), None);
    assert_eq!(sampler.look(&[]), []);
    pair.kill();
    pair.wait_down().await.unwrap();
    assert!(footprint::own() > ByteSize::mib(1));
}

#[cfg(target_os = "linux")]
async fn detached() {
    for how in ["session", "double-fork"] {
        let dir = Dir::new();
        let loader = loader(&dir, GuardForm::Shell).await;
        let words = ["with-child", how, "hog", "50"];
        let process = loader.start(context(spec(&words, up()))).await.unwrap();
        let found = footprint::exact(&process).unwrap();
        assert!(is_about(found.exact, 50) && found.members == 2, "{how}: {found:?}");
        let sampled = Sampler::default().look(&[&process])[0].unwrap();
        assert!(is_about(sampled.exact, 50) && sampled.members == 2, "{how}: {sampled:?}");
        process.stop(DEADLINE).await.unwrap();
    }
}

/// A component with about so many MiB that forks when the file `go` is there, and its forks end when it is not.
#[cfg(target_os = "linux")]
struct Forking {
    dir: Dir,
    process: RunningProcess,
    _loader: majordomo_runtime::process::ProcessLoader,
}

#[cfg(target_os = "linux")]
impl Forking {
    async fn start(dir: Dir, forks: &str, child: &str, ready: &str) -> Self {
        let loader = loader(&dir, GuardForm::Shell).await;
        let start_file = dir.path("go").display().to_string();
        let spec = spec(&["forks", forks, &start_file, child], ReadySpec::Stdout(ready.into()));
        let process = loader.start(context(spec)).await.unwrap();
        Self { dir, process, _loader: loader }
    }

    async fn up(forks: &str, child: &str) -> Self {
        Self::start(Dir::new(), forks, child, "up").await
    }

    fn go(&self) {
        std::fs::write(self.dir.path("go"), "").unwrap();
    }
}

/// The quick sum of resident sizes is six times as much, which is what asks for the exact look.
#[cfg(target_os = "linux")]
async fn fork_shared() {
    let forking = Forking::up("5", "waits").await;
    let mut sampler = Sampler::default();
    let before = sampler.look(&[&forking.process])[0].unwrap();
    assert!(before.exact > ByteSize::mib(18), "{before:?}");
    forking.go();
    eventually(DEADLINE, "its forks count", || {
        let found = sampler.look(&[&forking.process])[0].unwrap();
        assert!(found.exact < before.exact.scaled(1.5), "{before:?} {found:?}");
        found.members >= 6 && found.resident > before.resident.scaled(3.0)
    });
    std::fs::remove_file(forking.dir.path("go")).unwrap();
    eventually(DEADLINE, "its forks are gone", || {
        let found = sampler.look(&[&forking.process])[0].unwrap();
        assert!(found.exact > before.exact.scaled(0.6), "{before:?} {found:?}");
        // It may have a `sleep` itself.
        found.members <= 2 && found.exact > before.exact.scaled(0.9)
    });
    let load = footprint::exact(&forking.process).unwrap();
    assert!(load.exact > before.exact.scaled(0.9), "{before:?} {load:?}");
}

/// Neither the members nor the sum of their resident sizes change when a fork writes to what it shares.
#[cfg(target_os = "linux")]
async fn fork_copied() {
    let forking = Forking::up("2", "writes").await;
    let mut sampler = Sampler::default();
    let before = sampler.look(&[&forking.process])[0].unwrap();
    forking.go();
    eventually(DEADLINE, "their copies count", || {
        let found = sampler.look(&[&forking.process])[0].unwrap();
        found.exact > before.exact.scaled(2.0)
    });
}

#[cfg(target_os = "linux")]
async fn peak_of_forks() {
    let dir = Dir::new();
    std::fs::write(dir.path("go"), "").unwrap();
    let forked = Forking::start(dir, "5", "waits", "forked").await;
    let load = forked.process.measure_load().await.unwrap();
    let resident = footprint::exact(&forked.process).unwrap().resident;
    assert!(load.exact > ByteSize::mib(18) && load.peak >= load.exact, "{load:?}");
    assert!(load.peak.scaled(2.0) < resident, "{load:?}, {resident:?} resident");
}

#[cfg(target_os = "linux")]
async fn peak_of_spike() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    let process = loader.start(context(spec(&["spike", "60"], up()))).await.unwrap();
    let load = process.measure_load().await.unwrap();
    assert!(load.exact < ByteSize::mib(30) && is_about(load.peak, 60), "{load:?}");
}

#[cfg(target_os = "linux")]
async fn come_and_go() {
    let forking = Forking::up("100000", "ends").await;
    let mut sampler = Sampler::default();
    let before = sampler.look(&[&forking.process])[0].unwrap();
    forking.go();
    let mut with_forks = 0;
    eventually(DEADLINE, "forks were seen often enough", || {
        let found = sampler.look(&[&forking.process])[0].unwrap();
        let range = before.exact.scaled(0.7)..before.exact.scaled(1.5);
        assert!(range.contains(&found.exact), "{before:?} {found:?}");
        with_forks += u32::from(found.members > 1);
        with_forks >= 20
    });
}
