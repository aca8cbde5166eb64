//! Learning which components texts need: learned and ignored outcomes, persistence, forgetting.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use majordomo::{
    Builder, ComponentSpec, Decision, Factory, IntentError, Learned, Manager, OfflineIntents,
    Outcome, Prediction, StatusValue,
};
use majordomo_core::{StateStore, StoreOp};
use majordomo_runtime::state::{FILE, RedbStore};

use crate::eventually::until;
use crate::support::{World, config, mib, run, says, state};

struct Part(&'static str);

/// Builtins `music`, `clock` and `weather`, each with one keyword. Retrains follow each other
/// without a pause.
fn builder() -> Builder {
    builder_with(Duration::ZERO)
}

fn builder_with(retrain_pause: Duration) -> Builder {
    let mut config = config();
    config.intents.retrain_pause = retrain_pause;
    let parts = [("music", "song"), ("clock", "alarm"), ("weather", "forecast")];
    let builder = Manager::builder().config(config).budget(mib(100)).pressure(None);
    parts.into_iter().fold(builder, |builder, (name, keyword)| {
        let mut spec = ComponentSpec::builtin(name).unwrap();
        spec.memory = mib(1);
        spec.keywords = vec![keyword.to_owned()];
        builder.builtin(spec, move |_| Ok(Part(name)))
    })
}

async fn manager() -> Manager {
    builder().start().await.unwrap()
}

async fn manager_in(dir: &Path) -> Manager {
    builder().state_dir(dir).start().await.unwrap()
}

/// Texts without a keyword, by the component that they need.
const TEXTS: [(&str, [&str; 4]); 3] = [
    ("music", ["play some jazz", "start the playlist", "louder please", "put on the radio"]),
    ("clock", ["wake me at six", "set a timer", "what time is it", "remind me at noon"]),
    ("weather", ["will it rain", "is it cold outside", "do i need an umbrella", "how hot is it"]),
];
const ENDS: [&str; 6] = ["", "now", "again", "for me", "today", "once more"];

/// `n` outcomes, at most 72 different ones.
async fn teach(manager: &Manager, n: usize) {
    for i in 0..n {
        let (name, texts) = TEXTS[i % 3];
        let text = format!("{} {}", texts[(i / 3) % 4], ENDS[(i / 12) % 6]);
        manager.intents().teach(&text, &[name]).await.unwrap();
    }
}

/// The learned figures once `ok` holds.
async fn learned_when(manager: &Manager, ok: impl Fn(&Learned) -> bool) -> Learned {
    let now = std::cell::RefCell::new(manager.intents().learned().await.unwrap());
    let looks = async {
        loop {
            now.replace(manager.intents().learned().await.unwrap());
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = until(|| ok(&now.borrow())) => {}
        () = looks => {}
    }
    now.into_inner()
}

fn names(outcome: &Outcome) -> Vec<&str> {
    outcome.needed().iter().map(|n| n.id.as_str()).collect()
}

/// The decision of a manager, without a load.
fn decided(manager: &Manager, text: &str) -> (Decision, Vec<String>) {
    let mut prediction = Prediction::default();
    manager.intents().predict(text, &mut prediction);
    let name = |s: &majordomo::Scored| manager.name_of(s.key).unwrap().to_string();
    (prediction.decision, prediction.needed.iter().map(name).collect())
}

#[track_caller]
fn needs(manager: &Manager, text: &str, want: &[&str]) {
    let got = decided(manager, text);
    let decision = if want.is_empty() { Decision::None } else { Decision::Confident };
    assert_eq!(got, (decision, want.iter().map(|w| (*w).to_owned()).collect()), "{text:?}");
}

async fn row(manager: &Manager, name: &str) -> StatusValue {
    let status = manager.status().await.unwrap();
    let rows = &status.sections["intents"];
    rows.iter().find(|r| r.0 == name).unwrap_or_else(|| panic!("no row {name}")).1.clone()
}

#[test]
fn phrase_is_learned_from_corrections() {
    run(async {
        let manager = manager().await;
        // No evidence names a component: nothing is loaded, and the user corrects the outcome.
        let mut outcome = manager.command("play some jazz").await;
        assert_eq!((outcome.decision(), outcome.leases().len()), (Decision::None, 0));
        outcome.feedback(&["music"]).unwrap();
        for i in 1..24 {
            let (name, texts) = TEXTS[i % 3];
            let mut outcome = manager.command(&format!("{} {i}", texts[(i / 3) % 4])).await;
            outcome.feedback(&[name]).unwrap();
        }
        let learned = learned_when(&manager, |l| l.retrains > 0).await;
        assert_eq!((learned.outcomes, learned.has_model), (24, true));
        let outcome = manager.command("play jazz").await;
        assert_eq!(names(&outcome), ["music"]);
        let need = &outcome.needed()[0];
        assert!(need.confidence >= need.threshold, "{need:?}");
        assert!(need.n_grams.iter().any(|g| g.text.contains("jazz") && g.weight > 0.0), "{need:?}");
        assert!(need.evidence.is_empty() && outcome.model_version() > 0);
        assert_eq!(outcome.component::<Part>("music").unwrap().0, "music");
        // Keywords still count, alone and together with the learned model.
        let outcome = manager.command("a song").await;
        assert_eq!(outcome.needed()[0].evidence[0].keyword, "song");
    });
}

#[test]
fn negated_command_loads_nothing_and_reports_why() {
    run(async {
        let manager = manager().await;
        let outcome = manager.command("do not play that song").await;
        assert_eq!((outcome.decision(), outcome.leases().len()), (Decision::None, 0));
        let candidate = &outcome.candidates()[0];
        assert_eq!((candidate.id.as_str(), &*candidate.evidence[0].keyword), ("music", "song"));
        assert!(candidate.evidence[0].negated && candidate.confidence < candidate.threshold);
        drop(outcome);
        teach(&manager, 72).await;
        learned_when(&manager, |l| l.retrains > 0).await;
        needs(&manager, "play some jazz", &["music"]);
        needs(&manager, "please do not play some jazz", &[]);
        needs(&manager, "don't play some jazz, wake me at six", &["clock"]);
        needs(&manager, "don't forget to wake me at six", &["clock"]);
    });
}

#[test]
fn only_uses_and_feedback_are_learned() {
    run(async {
        let manager = manager().await;
        // Leased and not used.
        drop(manager.command("a song in the kitchen").await);
        // Marked as used as a whole: this repeats the decision and is no feedback.
        let outcome = manager.command("an alarm in the kitchen").await;
        outcome.mark_used();
        drop(outcome);
        // Leases taken out of the outcome for a later use.
        drop(manager.command("another song").await.into_leases());
        // No decision and no feedback.
        drop(manager.command("in the kitchen").await);
        assert_eq!(manager.intents().learned().await.unwrap().outcomes, 0);
        // One of two was used.
        let outcome = manager.command("a song and the forecast").await;
        assert_eq!(names(&outcome), ["music", "weather"]);
        assert_eq!(outcome.component::<Part>("weather").unwrap().0, "weather");
        drop(outcome);
        let outcomes = manager.intents().outcomes().await.unwrap();
        assert_eq!(outcomes.len(), 1);
        assert_eq!(outcomes[0].0, "a song and the forecast");
        assert_eq!(outcomes[0].1[0].as_str(), "weather");
        // Feedback overrides uses and marks. Empty feedback says that no component was needed.
        let mut outcome = manager.command("the song I hate").await;
        assert!(outcome.component::<Part>("music").is_some());
        outcome.mark_used();
        outcome.feedback(&[]).unwrap();
        let learned = manager.intents().learned().await.unwrap();
        assert_eq!((learned.outcomes, learned.without), (2, 1));
        let used: Vec<_> = learned.components.iter().map(|c| (c.0.as_str(), c.1)).collect();
        assert_eq!(used, [("weather", 1)]);
    });
}

#[test]
fn own_decisions_are_not_learned() {
    run(async {
        let manager = manager().await;
        teach(&manager, 36).await;
        learned_when(&manager, |l| l.retrains > 0).await;
        // Outcomes taught during a retrain may start another one.
        while row(&manager, "retraining").await == StatusValue::Bool(true) {
            manager.intents().learned().await.unwrap();
        }
        let before = manager.intents().learned().await.unwrap();
        for i in 0..200 {
            let outcome = manager.command(&format!("play some jazz number {i}")).await;
            assert_eq!(names(&outcome), ["music"], "{i}");
            outcome.mark_used();
        }
        let after = manager.intents().learned().await.unwrap();
        assert_eq!((after.outcomes, after.retrains), (before.outcomes, before.retrains));
        assert_eq!(row(&manager, "learned").await, StatusValue::Count(36));
    });
}

#[test]
fn unsure_decision_loads_nothing() {
    run(async {
        let mut settings = config();
        // No learned threshold lies above a minimum confidence of 1.
        settings.intents.min_confidence = majordomo::Confidence::saturating(1.0);
        let manager = builder().config(settings).start().await.unwrap();
        teach(&manager, 36).await;
        learned_when(&manager, |l| l.retrains > 0).await;
        let mut outcome = manager.command("play some jazz or wake me").await;
        assert_eq!(outcome.decision(), Decision::Unsure);
        assert!(outcome.needed().is_empty() && outcome.leases().is_empty());
        let candidates: Vec<_> = outcome.candidates().iter().map(|c| c.id.as_str()).collect();
        assert!(candidates.contains(&"music"), "{candidates:?}");
        let first = &outcome.candidates()[0];
        assert!(first.confidence < first.threshold && !first.n_grams.is_empty(), "{first:?}");
        assert_eq!(state(&manager, "music"), "unloaded");
        // A correction by the user is learned as any other outcome.
        outcome.feedback(&["music", "clock"]).unwrap();
        assert_eq!(manager.intents().learned().await.unwrap().outcomes, 37);
    });
}

#[test]
fn learned_model_survives_a_restart() {
    run(async {
        let world = World::new();
        let dir = world.path("state");
        let manager = manager_in(&dir).await;
        teach(&manager, 72).await;
        learned_when(&manager, |l| l.retrains > 0).await;
        needs(&manager, "will it rain soon", &["weather"]);
        let before = manager.intents().learned().await.unwrap();
        assert!(manager.shutdown(None).await.is_empty());
        assert!(matches!(
            manager.intents().teach("x", &[]).await,
            Err(IntentError::ShuttingDown | IntentError::Busy)
        ));
        let manager = manager_in(&dir).await;
        needs(&manager, "will it rain soon", &["weather"]);
        let after = manager.intents().learned().await.unwrap();
        assert_eq!(after.components, before.components);
        assert_eq!((after.outcomes, after.without), (72, 0));
        assert!(after.version >= before.version && after.has_model);
        manager.shutdown(None).await;
        // The state is also readable without a manager.
        let mut offline = OfflineIntents::open(Some(&dir), &config()).unwrap();
        assert_eq!(offline.learned().outcomes, 72);
        let answer = offline.explain("will it rain soon");
        assert_eq!(answer.needed[0].id.as_str(), "weather");
    });
}

#[test]
fn reload_keeps_the_learned_model_of_other_components() {
    run(async {
        let world = World::new();
        let section = |name: &str| format!("[components.{name}]\nloader = \"builtin\"\n");
        let all = ["music", "clock", "weather"].map(section).concat();
        world.write("c.toml", &all);
        let start = Manager::builder().config_file(world.path("c.toml")).pressure(None);
        let start = ["music", "clock", "weather", "lights"]
            .into_iter()
            .fold(start, |b, name| b.factory(name, Factory::new(move |_| Ok(Part(name)))));
        let manager = start.start().await.unwrap();
        teach(&manager, 72).await;
        learned_when(&manager, |l| l.retrains > 0).await;
        needs(&manager, "play some jazz", &["music"]);
        let without = ["lights", "music", "weather"].map(section).concat();
        let more = "[intents]\nmin_gap = 0.2\n[components.video]\nloader = \"builtin\"\nfactory = \"music\"\n\
                    keywords = [\"film\"]\n";
        world.write("c.toml", &(without + more));
        manager.operator().reload().await.unwrap();
        needs(&manager, "play some jazz", &["music"]);
        needs(&manager, "will it rain", &["weather"]);
        needs(&manager, "a film", &["video"]);
        // A removed component is not predicted, and nothing is learned for its name.
        let (_, found) = decided(&manager, "wake me at six");
        assert!(!found.contains(&"clock".to_owned()), "{found:?}");
        let error = manager.intents().teach("wake me", &["clock"]).await.unwrap_err();
        says(&error.to_string(), &["clock"]);
        for i in 0..8 {
            manager.intents().teach(&format!("dim the lamp {i}"), &["lights"]).await.unwrap();
        }
        needs(&manager, "dim the lamp 9", &["lights"]);
        // The model knows a component that is added again.
        world.write("c.toml", &all);
        manager.operator().reload().await.unwrap();
        needs(&manager, "wake me at six", &["clock"]);
        needs(&manager, "play some jazz", &["music"]);
        // With learning disabled, only keywords count and nothing is learned.
        world.write("c.toml", &format!("[intents]\nenabled = false\n{all}"));
        manager.operator().reload().await.unwrap();
        needs(&manager, "play some jazz", &[]);
        let error = manager.intents().teach("play", &["music"]).await.unwrap_err();
        assert!(matches!(error, IntentError::Off), "{error}");
    });
}

/// The state file as bytes, and every other file beside it.
fn bytes_of(dir: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().path());
    files.filter(|f| f.is_file()).flat_map(|f| std::fs::read(f).unwrap()).collect()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

#[test]
fn forgotten_text_is_removed_from_disk_and_model() {
    run(async {
        let world = World::new();
        let dir = world.path("state");
        let manager = manager_in(&dir).await;
        for _ in 0..3 {
            manager.intents().teach("call zebediah quickly", &["clock"]).await.unwrap();
        }
        teach(&manager, 48).await;
        manager.shutdown(None).await;
        assert!(contains(&bytes_of(&dir), "zebediah"));
        let manager = manager_in(&dir).await;
        let retrains = manager.intents().learned().await.unwrap().retrains;
        assert!(!manager.intents().forget("call another person").await.unwrap());
        assert!(manager.intents().forget("Call  ZEBEDIAH, quickly!").await.unwrap());
        assert!(!manager.intents().forget("call zebediah quickly").await.unwrap());
        assert!(!contains(&bytes_of(&dir), "zebediah"));
        assert!(contains(&bytes_of(&dir), "jazz"));
        // The model is replaced by one that was trained without the text.
        learned_when(&manager, |l| l.retrains > retrains).await;
        assert!(
            !manager.intents().outcomes().await.unwrap().iter().any(|o| o.0.contains("zebediah"))
        );
        manager.intents().forget_everything().await.unwrap();
        assert!(!contains(&bytes_of(&dir), "jazz"));
        let learned = manager.intents().learned().await.unwrap();
        assert_eq!((learned.outcomes, learned.has_model), (0, false));
        needs(&manager, "play some jazz", &[]);
        manager.shutdown(None).await;
        assert!(!contains(&bytes_of(&dir), "jazz"));
    });
}

#[test]
fn unusable_state_is_set_aside() {
    run(async {
        let world = World::new();
        let dir = world.path("state");
        let manager = manager_in(&dir).await;
        teach(&manager, 24).await;
        manager.shutdown(None).await;
        let put = |value: &[u8]| StoreOp::Put {
            namespace: "intents".into(),
            key: "state".into(),
            value: value.into(),
        };
        let good = {
            let (store, _) = RedbStore::open(&dir).unwrap();
            store.get("intents", "state").unwrap().unwrap()
        };
        // The version of the hash follows mark and format; the checksum covers the rest.
        let mut other_version = good.clone();
        other_version[8] ^= 1;
        let mut damaged = good.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        for bad in [&b""[..], b"MJDT", &damaged, &good[..good.len() / 3], &other_version] {
            let (store, _) = RedbStore::open(&dir).unwrap();
            store.apply(&[put(bad)]).unwrap();
            drop(store);
            let manager = manager_in(&dir).await;
            assert_eq!(manager.intents().learned().await.unwrap().outcomes, 0);
            needs(&manager, "a song", &["music"]);
            needs(&manager, "play some jazz", &[]);
            teach(&manager, 2).await;
            manager.shutdown(None).await;
            let (store, _) = RedbStore::open(&dir).unwrap();
            assert_eq!(store.get("intents", "set-aside").unwrap().as_deref(), Some(bad));
        }
        let manager = manager_in(&dir).await;
        assert_eq!(manager.intents().learned().await.unwrap().outcomes, 2);
        manager.intents().forget_everything().await.unwrap();
        assert!(!contains(&std::fs::read(dir.join(FILE)).unwrap(), "umbrella"));
        manager.shutdown(None).await;
    });
}

#[test]
fn unusual_texts_and_outcomes_are_handled() {
    run(async {
        let manager = manager().await;
        let long = "song ".repeat(200_000);
        let odd = [
            "",
            "   \t\n",
            "!?…",
            "\0\u{1}\u{7f}\u{85}\u{200b}",
            "🎵🎶🎷 🚀",
            "שיר חדש בבקשה",
            "أغنية جديدة",
            "s\u{301}o\u{301}n\u{301}g\u{301}",
            &"x".repeat(100_000),
            &long,
        ];
        let check = |text: &str| {
            let mut prediction = Prediction::default();
            manager.intents().predict(text, &mut prediction);
            let all = prediction.needed.iter().chain(&prediction.candidates);
            assert!(all.clone().all(|s| (0.0..=1.0).contains(&s.confidence.get())), "{text:.20}");
        };
        for text in odd {
            check(text);
            let mut outcome = manager.command(text).await;
            assert!(outcome.refusal().is_none());
            outcome.feedback(&["music"]).unwrap();
        }
        needs(&manager, "", &[]);
        needs(&manager, &long, &["music"]);
        let error = manager.intents().teach(" … ", &["music"]).await.unwrap_err();
        assert!(matches!(error, IntentError::NoWord), "{error}");
        let error = manager.intents().teach("a word", &["musik"]).await.unwrap_err();
        says(&error.to_string(), &["did you mean \"music\"?"]);
        // Outcomes with one component only, and then contradictory outcomes.
        for i in 0..40 {
            manager.intents().teach(&format!("number {i}"), &["music"]).await.unwrap();
        }
        learned_when(&manager, |l| l.retrains > 0).await;
        for i in 0..60 {
            let used = [&["music"][..], &["clock"], &[], &["music", "clock", "weather"]][i % 4];
            manager.intents().teach("one and the same", used).await.unwrap();
            manager.intents().teach(&format!("nothing at all {i}"), &[]).await.unwrap();
        }
        for text in odd.into_iter().chain(["one and the same", "nothing at all", "number 7"]) {
            check(text);
        }
        // A component that was never used is still found by its keyword.
        needs(&manager, "forecast", &["weather"]);
    });
}

#[test]
fn shutdown_cancels_a_retrain() {
    run(async {
        let world = World::new();
        let dir = world.path("state");
        let manager = manager_in(&dir).await;
        for i in 0..600 {
            let (name, texts) = TEXTS[i % 3];
            manager
                .intents()
                .teach(&format!("{} number {i}", texts[(i / 3) % 4]), &[name])
                .await
                .unwrap();
        }
        // A retrain always runs while this many outcomes arrive.
        let running = row(&manager, "retraining").await;
        manager.shutdown(None).await;
        assert_eq!(running, StatusValue::Bool(true));
        let manager = manager_in(&dir).await;
        assert_eq!(manager.intents().learned().await.unwrap().outcomes, 600);
        learned_when(&manager, |l| l.has_model).await;
        manager.shutdown(None).await;
    });
}

#[test]
fn retrains_pause_between_each_other_unless_forgetting_requires_one() {
    run(async {
        let manager = builder_with(Duration::from_secs(3600)).start().await.unwrap();
        teach(&manager, 12).await;
        learned_when(&manager, |l| l.retrains == 1).await;
        // More than enough for several retrains.
        teach(&manager, 72).await;
        // The learner answers after it has decided about a retrain.
        assert_eq!(manager.intents().learned().await.unwrap().retrains, 1);
        assert_eq!(row(&manager, "retraining").await, StatusValue::Bool(false));
        assert!(manager.intents().forget("play some jazz").await.unwrap());
        learned_when(&manager, |l| l.retrains == 2).await;
    });
}

#[test]
fn many_threads_query_while_one_learns() {
    run(async {
        let manager = Arc::new(manager().await);
        let queries: Vec<_> = (0..8)
            .map(|_| {
                let manager = Arc::clone(&manager);
                std::thread::spawn(move || {
                    let mut prediction = Prediction::default();
                    let (mut version, mut n) = (0, 0);
                    while n < 2_000 || version < 200 {
                        for (name, texts) in TEXTS {
                            manager.intents().predict(texts[n % 4], &mut prediction);
                            assert!(prediction.version >= version, "the model went back");
                            version = prediction.version;
                            for scored in &prediction.needed {
                                assert!(manager.name_of(scored.key).is_some(), "{name}");
                            }
                            n += 1;
                        }
                    }
                })
            })
            .collect();
        let handling = tokio::spawn({
            let manager = Arc::clone(&manager);
            async move {
                for i in 0..300 {
                    let outcome = manager.command(&format!("a song, number {i}")).await;
                    assert!(outcome.component::<Part>("music").is_some());
                }
            }
        });
        for i in 0..300 {
            let (name, texts) = TEXTS[i % 3];
            manager
                .intents()
                .teach(&format!("{} number {i}", texts[(i / 3) % 4]), &[name])
                .await
                .unwrap();
        }
        handling.await.unwrap();
        for query in queries {
            query.join().unwrap();
        }
        let learned = learned_when(&manager, |l| l.retrains > 1).await;
        assert_eq!(learned.outcomes, 600);
        for (name, texts) in TEXTS {
            needs(&manager, texts[0], &[name]);
        }
    });
}

#[test]
fn status_reports_queries_outcomes_and_model() {
    run(async {
        let manager = manager().await;
        drop(manager.command("a song").await);
        drop(manager.command("hello there").await);
        assert_eq!(row(&manager, "answered").await, StatusValue::Count(1));
        teach(&manager, 48).await;
        learned_when(&manager, |l| l.retrains > 0).await;
        teach(&manager, 12).await;
        // A status may be 50 ms old.
        let rows = async || {
            let status = manager.status().await.unwrap();
            status.sections["intents"].iter().cloned().collect::<std::collections::BTreeMap<_, _>>()
        };
        let mut all = rows().await;
        while all["learned"] != StatusValue::Count(60) {
            tokio::task::yield_now().await;
            all = rows().await;
        }
        assert_eq!(all["none"], StatusValue::Count(1));
        assert_eq!(all["outcomes_kept"], StatusValue::Count(48));
        assert_eq!(all["outcomes_dropped"], StatusValue::Count(0));
        let StatusValue::Number(accuracy) = all["accuracy"] else { panic!("{all:?}") };
        assert!(accuracy > 0.0 && accuracy < 1.0, "{accuracy}");
        let StatusValue::Bytes(bytes) = all["model_bytes"] else { panic!("{all:?}") };
        assert!(bytes > mib(1) && bytes < mib(16), "{bytes}");
        let StatusValue::Time(p50) = all["query_p50"] else { panic!("{all:?}") };
        assert!(!p50.is_zero());
        says(&all["state"].to_string(), &["forgotten at the end"]);
        // The status contains no text of a user.
        assert!(!format!("{:?}", manager.status().await.unwrap()).contains("song"));
        let outcome = manager.command("a song about my secret").await;
        assert!(!format!("{outcome:?}").contains("secret"), "{outcome:?}");
    });
}
