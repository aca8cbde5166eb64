//! The learned use survives a restart, is exported as a trace, and is forgotten on request.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use majordomo::{Builder, ComponentSpec, Factory, Manager, WallSeconds};

use crate::support::{World, run};

fn builder(world: &World) -> Builder {
    let specs = ["mail", "music"].map(|name| {
        let mut spec = ComponentSpec::builtin(name).unwrap();
        spec.keywords = vec![name.to_owned()];
        spec
    });
    world
        .builder(specs.to_vec())
        .factory("mail", Factory::component(|_| Ok(Plain)))
        .factory("music", Factory::component(|_| Ok(Plain)))
        .state_dir(world.path("state"))
}

async fn start(world: &World) -> Manager {
    builder(world).start().await.unwrap()
}

struct Plain;
impl majordomo::Component for Plain {}

#[test]
fn clock_set_back_keeps_the_history_in_order() {
    run(async {
        let world = World::new();
        let clock = Arc::new(AtomicI64::new(0));
        let shown = Arc::clone(&clock);
        let manager = builder(&world)
            .wall_clock(move || WallSeconds(shown.load(Ordering::Relaxed)))
            .start()
            .await
            .unwrap();
        let jumps =
            [("mail", 1_000_000), ("music", 400_000), ("mail", 400_060), ("music", 9_000_000)];
        for (text, at) in jumps {
            clock.store(at, Ordering::Relaxed);
            manager.command(text).await.mark_used();
            // The latest record has the time of the clock.
            assert_eq!(manager.usage().summary().await.unwrap().latest, Some(WallSeconds(at)));
        }
        let trace = manager.usage().export().await.unwrap();
        let times: Vec<_> = trace.lines().filter_map(|l| l.split('\t').nth(1)).collect();
        assert_eq!(times, ["1000000", "1000000", "1000000", "9000000"], "{trace}");
        manager.shutdown(None).await;
    });
}

#[test]
fn use_is_learned_exported_and_forgotten() {
    run(async {
        let world = World::new();
        let manager = start(&world).await;
        for text in ["mail", "music", "mail", "music", "mail and music"] {
            let outcome = manager.command(text).await;
            outcome.mark_used();
        }
        // The summary follows the observations in the same queue.
        let summary = manager.usage().summary().await.unwrap();
        assert_eq!((summary.commands_learned, summary.commands_kept), (5, 5));
        assert_eq!(summary.likeliest.len(), 2);
        manager.shutdown(None).await;

        let manager = start(&world).await;
        let again = manager.usage().summary().await.unwrap();
        assert_eq!(again, summary);
        let trace = manager.usage().export().await.unwrap();
        let rows: Vec<Vec<&str>> = trace.lines().map(|l| l.split('\t').collect()).collect();
        assert_eq!(rows.len(), 6, "{trace}");
        assert!(rows.iter().all(|r| r.len() == 3 && r[1].parse::<u64>().is_ok()), "{trace}");
        let used: Vec<_> = rows.iter().map(|r| r[2]).collect();
        assert_eq!(used, ["mail", "music", "mail", "music", "mail", "music"]);
        manager.usage().forget().await.unwrap();
        assert_eq!(manager.usage().summary().await.unwrap(), majordomo::UsageSummary::default());
        manager.shutdown(None).await;

        let manager = start(&world).await;
        assert_eq!(manager.usage().summary().await.unwrap(), majordomo::UsageSummary::default());
        assert_eq!(manager.usage().export().await.unwrap(), "");
        manager.shutdown(None).await;
    });
}
