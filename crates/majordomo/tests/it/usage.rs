//! What is learned of use: it survives a restart, is exported as a trace, and is forgotten on request.

use majordomo::{ComponentSpec, Manager};

use crate::support::{World, run};

async fn start(world: &World) -> Manager {
    let specs = ["mail", "music"].map(|name| {
        let mut spec = ComponentSpec::builtin(name).unwrap();
        spec.keywords = vec![name.to_owned()];
        spec
    });
    world
        .builder(specs.to_vec())
        .builtin_component("mail", |_| Ok(Plain))
        .builtin_component("music", |_| Ok(Plain))
        .state_dir(world.path("state"))
        .start()
        .await
        .unwrap()
}

struct Plain;
impl majordomo::Component for Plain {}

#[test]
fn use_is_remembered_exported_and_forgotten() {
    run(async {
        let world = World::new();
        let manager = start(&world).await;
        for text in ["mail", "music", "mail", "music", "mail and music"] {
            let outcome = manager.handle(text).await;
            outcome.mark_used();
        }
        // Asked by the lane that the observations took before.
        let told = manager.usage().await.unwrap();
        assert_eq!((told.commands_learned, told.commands_kept), (5, 5));
        assert_eq!(told.likeliest.len(), 2);
        manager.shutdown(None).await;

        let manager = start(&world).await;
        let again = manager.usage().await.unwrap();
        assert_eq!(again, told);
        let trace = manager.export_usage().await.unwrap();
        let rows: Vec<Vec<&str>> = trace.lines().map(|l| l.split('\t').collect()).collect();
        assert_eq!(rows.len(), 6, "{trace}");
        assert!(rows.iter().all(|r| r.len() == 3 && r[1].parse::<u64>().is_ok()), "{trace}");
        let used: Vec<_> = rows.iter().map(|r| r[2]).collect();
        assert_eq!(used, ["mail", "music", "mail", "music", "mail", "music"]);
        manager.forget_usage().await.unwrap();
        assert_eq!(manager.usage().await.unwrap(), majordomo::UsageSummary::default());
        manager.shutdown(None).await;

        let manager = start(&world).await;
        assert_eq!(manager.usage().await.unwrap(), majordomo::UsageSummary::default());
        assert_eq!(manager.export_usage().await.unwrap(), "");
        manager.shutdown(None).await;
    });
}
