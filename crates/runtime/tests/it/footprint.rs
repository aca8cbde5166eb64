//! Footprints of real processes.

use libtest_mimic::Trial;
use majordomo_core::ByteSize;
use majordomo_registry::ReadySpec;
use majordomo_runtime::footprint::{self, Detail};
use majordomo_runtime::guard::GuardForm;
use majordomo_runtime::{Group, StartTime};

use crate::support::{DEADLINE, Dir, add_async, context, loader, read_pid, spec};

pub(crate) fn tests(tests: &mut Vec<Trial>) {
    add_async(tests, "footprint::of_groups", of_groups);
}

async fn of_groups() {
    let dir = Dir::new();
    let loader = loader(&dir, GuardForm::Shell).await;
    let up = || ReadySpec::Stdout("up".into());
    let hog = loader.start(context(spec(&["hog", "50"], up()))).await.unwrap();
    let child_pid = dir.path("child");
    let pair =
        loader.start(context(spec(&["parent", child_pid.to_str().unwrap()], up()))).await.unwrap();
    read_pid(&child_pid);
    let stranger = Group { pgid: hog.group().pgid, start: StartTime::new("1").unwrap() };
    let is_about = |size: ByteSize| (ByteSize::mib(50)..ByteSize::mib(80)).contains(&size);
    for detail in [Detail::Quick, Detail::Exact] {
        let groups = vec![pair.group().clone(), hog.group().clone()];
        let found = footprint::sample_async(groups, detail).await;
        let [Some(of_pair), Some(of_hog)] = found.as_slice() else { panic!("{found:?}") };
        assert!((2..=3).contains(&of_pair.members), "{of_pair:?}: the shell may have a sleep");
        assert_eq!(of_hog.members, 1);
        assert!(is_about(of_hog.resident) && is_about(of_hog.best()), "{of_hog:?}");
        assert_eq!(of_hog.exact.is_some(), detail == Detail::Exact);
        assert!(of_pair.best() > ByteSize::ZERO && of_pair.best() < of_hog.best());
        assert_eq!(footprint::sample(std::slice::from_ref(&stranger), detail), [None]);
        assert!(footprint::own(detail).best() > ByteSize::mib(1));
    }
    // Again and again: known members first, and everybody now and then.
    let mut sampler = footprint::Sampler::default();
    let groups = [pair.group().clone(), hog.group().clone()];
    for _ in 0..12 {
        let [Some(of_pair), Some(of_hog)] = sampler.look(&groups, Detail::Quick)[..] else {
            panic!("somebody is missing")
        };
        assert!((2..=3).contains(&of_pair.members) && of_hog.members == 1);
        assert!(is_about(of_hog.resident));
    }
    let mut other = footprint::Sampler::default();
    for _ in 0..2 {
        assert_eq!(other.look(std::slice::from_ref(&stranger), Detail::Quick), [None]);
    }
    hog.stop(DEADLINE).await.unwrap();
    assert!(sampler.look(&groups, Detail::Quick)[1].is_none());
    assert_eq!(footprint::sample(&[hog.group().clone()], Detail::Quick), [None]);
    assert_eq!(footprint::sample(&[], Detail::Exact), []);
    pair.kill();
    pair.wait_down().await.unwrap();
}
