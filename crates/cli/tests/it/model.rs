//! `model export` and `model inspect` with the real binary.

use crate::support::World;

#[cfg(not(feature = "coreml"))]
#[test]
fn build_without_core_ml_says_how_to_get_it() {
    let world = World::new();
    for words in [
        &["model", "export", "--state-dir", "state", "-o", "a.mlpackage"][..],
        &["model", "inspect", "a.mlpackage"],
    ] {
        let ran = world.run(words);
        ran.check(1, &[], &[words[1], "cargo install", "--features coreml"]);
    }
}

#[cfg(feature = "coreml")]
mod with_core_ml {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use majordomo::{
        BackEnds, Backend, BackendError, ByteSize, CalibrationPlan, ChildCommand, ComponentSpec,
        Config, DenseWeights, Maker, Manager, StatusValue,
    };

    use super::*;

    /// A world with a learned model.
    fn learned() -> World {
        let world = World::new();
        let texts = ["music\tplay some jazz", "clock\twake me at six", "\tgood morning"];
        let lines: String = (0..60).map(|i| format!("{} {i}\n", texts[i % 3])).collect();
        world.write("t.tsv", lines);
        world.run(&["learn", "t.tsv", "--state-dir", "state"]).check(0, &[], &[]);
        world
    }

    /// Names a back end that the program does not have, so that its child says so; and has the kernels measured.
    struct Unknown;

    impl Maker for Unknown {
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
            Err(BackendError::Failed("never made here".to_owned()))
        }
    }

    #[test]
    fn calibration_child_of_the_program_measures_and_reports() {
        let plan = CalibrationPlan {
            hot_calls: 1,
            idle_calls: 1,
            idle: Duration::ZERO,
            ..CalibrationPlan::default()
        };
        let child = ChildCommand::hidden(env!("CARGO_BIN_EXE_majordomo"));
        let back_ends = BackEnds::new(Arc::new(Unknown), child).plan(plan);
        let mut config = Config::default();
        config.intents.retrain_pause = Duration::ZERO;
        let builder = Manager::builder().config(config).budget(ByteSize::mib(100)).pressure(None);
        let builder = ["music", "clock"].into_iter().fold(builder, |builder, name| {
            let mut spec = ComponentSpec::builtin(name).unwrap();
            spec.memory = ByteSize::mib(1);
            builder.builtin(spec, move |_| Ok(name))
        });
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build().unwrap().block_on(async {
            let manager = builder.back_ends(back_ends).start().await.unwrap();
            for i in 0..40 {
                let (text, name) =
                    if i % 2 == 0 { ("play jazz", "music") } else { ("wake me at", "clock") };
                manager.intents().teach(&format!("{text} {i}"), &[name]).await.unwrap();
            }
            let row = async |name: &str| {
                let status = manager.status().await.unwrap();
                let rows = status.sections.get("back_ends").cloned().unwrap_or_default();
                rows.into_iter().find(|(row, _)| row == name).map(|(_, value)| value)
            };
            while row("rescored").await.is_none() {
                tokio::task::yield_now().await;
            }
            let text = async |name: &str| match row(name).await {
                Some(StatusValue::Text(text)) => text,
                other => panic!("{name}: {other:?}"),
            };
            let kernels = text("model_candidate_simd").await;
            assert!(kernels.contains("512 rows") && kernels.contains("after a pause"), "{kernels}");
            let unknown = text("model_candidate_accelerator").await;
            assert!(
                unknown.starts_with("rejected: ") && unknown.contains("accelerator"),
                "{unknown}"
            );
            assert_eq!(text("model_back_end").await, "simd");
            manager.shutdown(None).await;
        });
    }

    #[test]
    fn calibration_child_without_a_request_says_whose_it_is() {
        let ran = World::new().run(&["__calibrate"]);
        ran.check(2, &[], &["__calibrate is run by the manager only"]);
    }

    fn export<'a>(more: &[&'a str]) -> Vec<&'a str> {
        [&["model", "export", "--state-dir", "state"], more].concat()
    }

    #[test]
    fn model_is_exported_and_described() {
        let world = learned();
        let ran = world.run(&export(&["-o", "a.mlpackage"]));
        let shown =
            ["mlpackage, fp32, macOS 12", "1 text of 96 units to 3 scores", "none, music, clock"];
        ran.check(0, &shown, &[]);
        world.run(&["model", "inspect", "a.mlpackage"]).check(0, &shown, &[]);
        let again = world.run(&export(&["-o", "a.mlpackage"]));
        again.check(1, &[], &["a.mlpackage exists already", "--force"]);
        let half = ["--precision", "fp16", "--batch", "8", "--force", "-o", "a.mlpackage"];
        world.run(&export(&half)).check(0, &["fp16, macOS 13", "8 texts"], &[]);
        let several = ["--batch", "1", "--batch", "32", "-o", "b.mlmodel"];
        world.run(&export(&several)).check(0, &["b-b1.mlmodel", "b-b32.mlmodel", "32 texts"], &[]);

        let ran = world.run(&["--json", "model", "inspect", "a.mlpackage"]);
        ran.check(0, &[], &[]);
        let [file] = ran.json().try_into().unwrap();
        assert_eq!(file["labels"], serde_json::json!(["music", "clock"]));
        assert_eq!((&file["batch"], &file["precision"]), (&8.into(), &"fp16".into()));
    }

    #[test]
    fn export_without_a_model_or_a_possible_file_is_refused() {
        let world = World::new();
        let none = world.run(&export(&["-o", "a.mlpackage"]));
        none.check(1, &[], &["state has no learned data"]);
        let world = learned();
        let refused = |more: &[&str], why: &str| {
            world.run(&export(more)).check(1, &[], &[why]);
        };
        refused(&["-o", "a.zip"], "must end in .mlpackage or .mlmodel");
        refused(&["--format", "mlmodel", "-o", "a.mlpackage"], "must end in .mlmodel");
        refused(&["--precision", "fp16", "-o", "a.mlmodel"], "single precision only");
        refused(&["-o", "none/a.mlmodel"], "none");
        world.write("b.mlmodel", "no model");
        let broken = world.run(&["model", "inspect", "b.mlmodel"]);
        broken.check(1, &[], &["b.mlmodel", "the model: it"]);
    }
}
