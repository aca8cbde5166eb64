//! Back ends of the text model in the product: after a retrain they are chosen, and the kept outcomes are re-scored.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use majordomo::{
    BackEnds, Builder, ChildCommand, ComponentSpec, Maker, Manager, Prediction, StatusValue,
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
