//! Pressure with a running manager and a scripted source: levels, status, actions, and counters.

use majordomo::{ByteSize, MemoryStatus, PressureLevel, PressureStatus};
use majordomo_memory::{PressureReading, ScriptHandle, ScriptedSource};

use crate::alone::alone;
use crate::support::{UP, World, lease, lease_within, mib, ms, run, says, state};

fn reading(available: u64, limit: u64) -> PressureReading {
    PressureReading::scripted(mib(available), mib(limit))
}

fn script(available: u64, limit: u64) -> (Box<ScriptedSource>, ScriptHandle) {
    let (source, handle) = ScriptedSource::shared("a script", reading(available, limit));
    (Box::new(source), handle)
}

/// The memory part of the status once `ok` holds.
async fn when(manager: &majordomo::Manager, ok: impl Fn(&MemoryStatus) -> bool) -> MemoryStatus {
    let looks = async {
        loop {
            let status = manager.status().await.unwrap();
            if ok(&status.memory) {
                return status.memory.clone();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::DEADLINE * 10, looks).await.expect("waited too long")
}

fn felt(m: &MemoryStatus) -> &PressureStatus {
    m.felt.as_ref().expect("a source was given")
}

#[test]
fn pressure_levels_act_at_once_and_are_reported_with_their_history() {
    run(async {
        let world = World::new();
        let (source, script) = script(7000, 8192);
        let mut config = crate::support::config();
        config.memory.pressure_dwell = ms(1);
        let specs = vec![world.program("idle", UP), world.program("held", UP)];
        let builder = world.builder(specs).config(config).pressure(Some(source));
        let manager = builder.start().await.unwrap();
        drop(lease(&manager, "idle").await.unwrap());
        let held = lease(&manager, "held").await.unwrap();
        script.set(reading(100, 8192));
        let m = when(&manager, |m| m.pressure == Some(PressureLevel::Emergency)).await;
        assert_eq!((felt(&m).available, felt(&m).limit), (mib(100), mib(8192)));
        crate::eventually::until(|| state(&manager, "idle") == "unloaded").await;
        assert_eq!(state(&manager, "held"), "ready");
        let refusal = lease(&manager, "idle").await.unwrap_err();
        says(&refusal.to_string(), &["memory pressure is EMERGENCY"]);

        script.fail("is not readable");
        let m = when(&manager, |m| felt(m).failing).await;
        assert_eq!(
            m.pressure,
            Some(PressureLevel::Emergency),
            "a failing source does not lower the level"
        );
        script.set(reading(7000, 8192));
        let m = when(&manager, |m| m.pressure == Some(PressureLevel::Low)).await;
        let history: Vec<_> =
            felt(&m).history.iter().map(|n| (n.level, n.event.as_str())).collect();
        assert_eq!(history[0], (PressureLevel::Emergency, ""), "{history:?}");
        assert!(history.iter().any(|n| n.1.contains("is not readable")), "{history:?}");
        assert!(history.iter().any(|n| n.1.contains("work again")), "{history:?}");
        // The level falls by one at a time.
        let levels: Vec<_> = history.iter().filter(|n| n.1.is_empty()).map(|n| n.0).collect();
        use PressureLevel::{Critical, Emergency, High, Low, Medium};
        assert_eq!(levels, [Emergency, Critical, High, Medium, Low]);
        assert_eq!(felt(&m).thresholds, [1024, 512, 256, 128].map(ByteSize::mib));
        drop(held);
        drop(lease(&manager, "idle").await.unwrap());
    });
}

#[test]
fn memory_of_other_programs_is_not_available_to_components() {
    // The growth of this process is counted as its own memory, to which other tests would add.
    if !alone("pressure::memory_of_other_programs_is_not_available_to_components") {
        return;
    }
    run(async {
        let world = World::new();
        let (source, script) = script(150, 400);
        let mut spec = world.program("large", UP);
        spec.memory = mib(200);
        let builder = world.builder(vec![spec]).budget(mib(300)).pressure(Some(source));
        let manager = builder.start().await.unwrap();
        let m = when(&manager, |m| m.external > ByteSize::ZERO).await;
        assert!(m.external > mib(100) && m.external <= mib(150), "{}", m.external);
        assert_eq!(m.overdraft, ByteSize::ZERO, "nothing is booked yet");
        let refusal = lease_within(&manager, "large", Some(ms(200))).await.unwrap_err();
        assert_eq!(refusal.code(), "deadline_exceeded", "{refusal}");
        script.set(reading(399, 400));
        when(&manager, |m| m.external == ByteSize::ZERO).await;
        drop(lease(&manager, "large").await.unwrap());
        // Now 240 MiB are booked, of which the program uses very little.
        script.set(reading(150, 400));
        let m = when(&manager, |m| m.overdraft > ByteSize::ZERO).await;
        assert_eq!(m.overdraft_by_kind.external, m.overdraft);
        crate::eventually::until(|| state(&manager, "large") == "unloaded").await;
        when(&manager, |m| m.overdraft == ByteSize::ZERO).await;
    });
}
