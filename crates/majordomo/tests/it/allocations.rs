//! Allocations of a query: none after its buffers have grown.

use majordomo::{ComponentSpec, Decision, Manager, Prediction};

use crate::counting::allocations;
use crate::eventually::until;
use crate::support::{config, mib, run};

/// Topics of commands, a component each.
const TOPICS: [&str; 12] = [
    "alarm",
    "calendar",
    "camera",
    "email",
    "lights",
    "music",
    "news",
    "recipe",
    "taxi",
    "timer",
    "translate",
    "weather",
];

#[test]
fn queries_do_not_allocate() {
    run(async {
        let mut settings = config();
        settings.intents.evidence = false;
        let builder = Manager::builder().config(settings).budget(mib(100)).pressure(None);
        let builder = TOPICS.into_iter().fold(builder, |builder, name| {
            let mut spec = ComponentSpec::builtin(name).unwrap();
            spec.memory = mib(1);
            spec.keywords = vec![format!("my {name}")];
            builder.builtin(spec, |_| Ok(()))
        });
        let manager = builder.start().await.unwrap();
        for i in 0..120 {
            let name = TOPICS[i % 12];
            manager
                .intents()
                .teach(&format!("please see to the {name} number {i}"), &[name])
                .await
                .unwrap();
        }
        let learned = std::cell::RefCell::new(manager.intents().learned().await.unwrap());
        let looks = async {
            loop {
                learned.replace(manager.intents().learned().await.unwrap());
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = until(|| learned.borrow().retrains > 0) => {}
            () = looks => {}
        }
        // With a keyword, without one, with two components, with none, and longer than the rest.
        let texts: Vec<String> = TOPICS
            .iter()
            .map(|name| format!("please see to the {name}"))
            .chain(TOPICS.map(|name| format!("something about my {name}")))
            .chain(["my alarm and my taxi", "hello", "", "naïve 🎵 ÜBER"].map(str::to_owned))
            .chain([TOPICS.map(|name| format!("all of it, my {name} too")).join(", ")])
            .collect();
        let mut prediction = Prediction::default();
        let mut ask = || {
            let mut confident = 0;
            for text in &texts {
                manager.intents().predict(text, &mut prediction);
                confident += usize::from(prediction.decision == Decision::Confident);
            }
            confident
        };
        let confident = ask();
        assert!(confident >= 12, "{confident}");
        let before = allocations();
        for _ in 0..50 {
            assert_eq!(ask(), confident);
        }
        assert_eq!(allocations() - before, 0);
        // The counter does count an allocation.
        drop(std::hint::black_box(texts[0].clone()));
        assert_eq!(allocations() - before, 1);
    });
}
