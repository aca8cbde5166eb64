//! Back ends of the text model in the product: after a retrain they are chosen, and the kept outcomes are re-scored.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use majordomo::{
    BackEnds, Builder, ChildCommand, ComponentSpec, GuardForm, Maker, Manager, Prediction,
    StatusValue,
};
use majordomo_predictor::{Backend, BackendError, DenseWeights};

use crate::support::{World, config, mib, run};

/// Has one back end, whose model cannot be exported.
#[derive(Default)]
struct Unexported(AtomicUsize);

impl Maker for Unexported {
    fn names(&self) -> Vec<String> {
        vec!["accelerator".to_owned()]
    }

    fn prepare(&self, weights: &DenseWeights, _folder: &Path) -> Result<(), BackendError> {
        assert!(weights.n_hidden() > 0);
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(BackendError::Failed("planted".to_owned()))
    }

    fn make(
        &self,
        _name: &str,
        _weights: &DenseWeights,
        _folder: &Path,
    ) -> Result<Arc<dyn Backend>, BackendError> {
        Err(BackendError::Failed("never made".to_owned()))
    }
}

fn builder(back_ends: BackEnds) -> Builder {
    let mut config = config();
    config.intents.retrain_pause = Duration::ZERO;
    let builder = Manager::builder().config(config).budget(mib(100)).pressure(None);
    ["music", "clock"].into_iter().fold(builder.back_ends(back_ends), |builder, name| {
        let mut spec = ComponentSpec::builtin(name).unwrap();
        spec.memory = mib(1);
        builder.builtin(spec, move |_| Ok(name))
    })
}

async fn teach(manager: &Manager) {
    for i in 0..40 {
        let (text, name) =
            if i % 2 == 0 { ("play some jazz", "music") } else { ("wake me at", "clock") };
        manager.intents().teach(&format!("{text} {i}"), &[name]).await.unwrap();
    }
}

async fn row(manager: &Manager, name: &str) -> Option<StatusValue> {
    let status = manager.status().await.unwrap();
    let section = status.sections.get("back_ends")?;
    section.iter().find(|(row, _)| row == name).map(|(_, value)| value.clone())
}

/// Waits until there is a re-scoring, or none; a returned status may be 50 ms old, and `run` bounds the time.
async fn rescored(manager: &Manager, expected: bool) {
    while row(manager, "rescored").await.is_some() != expected {
        tokio::task::yield_now().await;
    }
}

fn text(value: &str) -> Option<StatusValue> {
    Some(StatusValue::Text(value.to_owned()))
}

#[test]
fn retrained_model_is_rescored_by_the_kernels_where_there_is_no_other() {
    run(async {
        let program = std::env::current_exe().unwrap();
        let manager =
            builder(BackEnds::new(Arc::new(Unexported::default()), ChildCommand::hidden(program)));
        let manager = manager.start().await.unwrap();
        assert_eq!(row(&manager, "model_back_end").await, None, "nothing was learned yet");
        teach(&manager).await;
        rescored(&manager, true).await;
        assert_eq!(row(&manager, "model_back_end").await, text("simd"));
        assert_eq!(row(&manager, "prior_back_end").await, text("simd"));
        let why = text("the model was not exported: planted");
        assert_eq!(row(&manager, "model_failure").await, why);
        let Some(StatusValue::Count(n)) = row(&manager, "rescored").await else { panic!() };
        let Some(StatusValue::Count(right)) = row(&manager, "rescored_right").await else {
            panic!()
        };
        assert!(n >= 10 && right <= n, "{right} of {n}");
        let mut prediction = Prediction::default();
        manager.intents().predict("play some jazz again", &mut prediction);
        assert_eq!(prediction.needed.len(), 1);
        // A re-scoring holds texts; forgetting drops its result as well.
        manager.intents().forget_everything().await.unwrap();
        rescored(&manager, false).await;
        manager.shutdown(None).await;
    });
}

#[test]
fn model_that_is_rolled_back_is_rescored_in_place_of_the_one_after_it() {
    run(async {
        let program = std::env::current_exe().unwrap();
        let maker = Arc::new(Unexported::default());
        let manager = builder(BackEnds::new(maker, ChildCommand::hidden(program)));
        let manager = manager.start().await.unwrap();
        teach(&manager).await;
        rescored(&manager, true).await;
        let before = loop {
            let before = row(&manager, "rescored_version").await;
            if manager.intents().roll_back().await.unwrap() {
                break before;
            }
            manager.intents().teach("play some jazz once more", &["music"]).await.unwrap();
        };
        // Nothing is taught any more, so no retrain reports a model.
        while row(&manager, "rescored_version").await == before {
            tokio::task::yield_now().await;
        }
        manager.shutdown(None).await;
    });
}

#[test]
fn calibration_child_has_the_mark_by_which_the_guard_finds_it() {
    /// Its model is exported; nothing makes it, since the child is a script.
    struct Exported;

    impl Maker for Exported {
        fn names(&self) -> Vec<String> {
            vec!["accelerator".to_owned()]
        }

        fn prepare(&self, _weights: &DenseWeights, _folder: &Path) -> Result<(), BackendError> {
            Ok(())
        }

        fn make(
            &self,
            _name: &str,
            _weights: &DenseWeights,
            _folder: &Path,
        ) -> Result<Arc<dyn Backend>, BackendError> {
            Err(BackendError::Failed("never made".to_owned()))
        }
    }

    run(async {
        let world = World::new();
        let file = world.path("environment");
        let script = r#"env >"$1.new"; mv "$1.new" "$1""#;
        let words = ["-c", script, "sh", file.to_str().unwrap()];
        let child = ChildCommand {
            program: "/bin/sh".into(),
            args: words.map(Into::into).into(),
            env: Vec::new(),
        };
        let manager = builder(BackEnds::new(Arc::new(Exported), child));
        let manager = manager.guard(GuardForm::Shell).start().await.unwrap();
        teach(&manager).await;
        rescored(&manager, true).await;
        let environment = std::fs::read_to_string(&file).unwrap();
        let value = |name: &str| {
            environment.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        };
        let own = format!("{}-", std::process::id());
        let mark = value("MAJORDOMO_INCARNATION").unwrap();
        assert!(mark.starts_with(&own) && mark.ends_with("/__calibrate/0/0/"), "{mark}");
        // A program whose `main` takes no notice of the child's arguments starts no second manager.
        assert_eq!(value("MAJORDOMO_CALIBRATES"), Some("1"));
        manager.shutdown(None).await;
    });
}

#[test]
fn kept_model_is_calibrated_at_the_next_start() {
    run(async {
        let world = World::new();
        let maker = Arc::new(Unexported::default());
        let start = || {
            let child = ChildCommand::hidden(std::env::current_exe().unwrap());
            let maker: Arc<dyn Maker> = maker.clone();
            builder(BackEnds::new(maker, child)).state_dir(world.path("state")).start()
        };
        let manager = start().await.unwrap();
        teach(&manager).await;
        rescored(&manager, true).await;
        manager.shutdown(None).await;
        drop(manager);
        let before = maker.0.load(Ordering::Relaxed);
        let manager = start().await.unwrap();
        rescored(&manager, true).await;
        assert!(maker.0.load(Ordering::Relaxed) > before);
        manager.shutdown(None).await;
    });
}
