//! Components that are models of Core ML: managed like others, inside this process, on macOS.
//!
//! Owns the check of a configuration on every platform, and the component. The model itself is opened and asked by
//! `majordomo-coreml`.

use std::path::Path;

use majordomo_core::{ComponentId, quoted_path};
use majordomo_registry::{CoreMlSpec, Finding, Severity};
use majordomo_runtime::Factory;

/// The finding about a component that this build or system cannot load, or whose model does not exist.
pub(crate) fn look(id: &ComponentId, spec: &CoreMlSpec, folder: &Path) -> Option<Finding> {
    let suggestion = "remove the component here, or start it as a program: command = [\"program\"]";
    if !cfg!(target_os = "macos") {
        return Some(Finding {
            severity: Severity::Error,
            code: "no-loader",
            message: format!("component \"{id}\" cannot be loaded: macOS only (a Core ML model)"),
            suggestion: suggestion.to_owned(),
        });
    }
    if !cfg!(feature = "coreml") {
        return Some(Finding {
            severity: Severity::Error,
            code: "no-loader",
            message: format!("component \"{id}\" cannot be loaded: this build has no Core ML"),
            suggestion: "build it with the feature `coreml`".to_owned(),
        });
    }
    let path = folder.join(&spec.model);
    (!path.exists()).then(|| Finding {
        severity: Severity::Warning,
        code: "no-model",
        message: format!("the model {} of component \"{id}\" does not exist", quoted_path(&path)),
        suggestion:
            "correct the path, or compile it: xcrun coremlcompiler compile NAME.mlpackage FOLDER"
                .to_owned(),
    })
}

#[cfg(feature = "coreml")]
pub use model::CoreMlModel;

/// The factory of all Core ML components, where this build and system have it.
pub(crate) fn factory(base_dir: &Path) -> Option<Factory> {
    #[cfg(feature = "coreml")]
    return cfg!(target_os = "macos").then(|| model::factory(base_dir.to_owned()));
    #[cfg(not(feature = "coreml"))]
    {
        let _ = base_dir;
        None
    }
}

#[cfg(feature = "coreml")]
mod model {
    //! The component behind a lease.

    use std::time::Duration;

    use majordomo_core::ByteSize;
    use majordomo_coreml::{ModelInput, Tensor, TensorThread};
    use majordomo_runtime::{Component, LoadError};

    /// A loaded model of Core ML: the type that a component with `model = "..."` is leased as. The model is unloaded
    /// with the component.
    #[derive(Debug)]
    pub struct CoreMlModel {
        thread: TensorThread,
        bytes: Option<ByteSize>,
    }

    /// The memory of a model: by how much this process has grown while it was loaded; where it has not, or where that is not
    /// known, the size of the model's files. Loads at the same time are in each other's growth.
    fn footprint(
        before: Option<ByteSize>,
        after: Option<ByteSize>,
        on_disk: Option<ByteSize>,
    ) -> Option<ByteSize> {
        let growth = before.zip(after).map(|(before, after)| after.saturating_sub(before));
        growth.filter(|bytes| *bytes > ByteSize::ZERO).or(on_disk)
    }

    impl CoreMlModel {
        /// Computes the model's outputs that are arrays, ordered by name. Inputs are arrays of any type that Core ML takes, such
        /// as the tokens of a text, and pictures in files. Blocks, at most for `time_out`: call it on a blocking thread.
        ///
        /// # Errors
        /// Inputs that the model does not have or whose numbers do not fit their shape, no answer within `time_out`, and whatever
        /// Core ML reports.
        pub fn predict(
            &self,
            inputs: Vec<ModelInput>,
            time_out: Duration,
        ) -> Result<Vec<Tensor>, LoadError> {
            Ok(self.thread.predict(inputs, time_out)?)
        }
    }

    impl Component for CoreMlModel {
        fn footprint(&self) -> Option<ByteSize> {
            self.bytes
        }

        fn health(&self) -> Result<(), String> {
            self.thread.health().map_err(|error| error.to_string())
        }
    }

    pub(crate) use loading::factory;

    mod loading {
        //! The load of a model, and the bytes that are booked for it.

        use std::path::{Path, PathBuf};

        use majordomo_core::ByteSize;
        use majordomo_coreml::open_model;
        use majordomo_memory::{Measure, process_footprint};
        use majordomo_registry::ComputeUnits;
        use majordomo_runtime::{Factory, Instance};

        use super::{CoreMlModel, footprint};

        /// The factory of all Core ML components; relative models are below `base_dir`.
        pub(crate) fn factory(base_dir: PathBuf) -> Factory {
            Factory::blocking(move |ctx| {
                let spec = ctx.spec().core_ml().ok_or("the component is no Core ML model")?;
                let path = base_dir.join(&spec.model);
                let units = match spec.compute_units {
                    ComputeUnits::Cpu => majordomo_coreml::ComputeUnits::CpuOnly,
                    ComputeUnits::CpuGpu => majordomo_coreml::ComputeUnits::CpuAndGpu,
                    ComputeUnits::CpuNe => majordomo_coreml::ComputeUnits::CpuAndNeuralEngine,
                };
                let own = || process_footprint(std::process::id(), Measure::Resident).ok();
                let before = own();
                let thread = open_model(&path, units, ctx.deadline())?;
                let bytes = footprint(before, own(), size(&path).ok().map(ByteSize));
                Ok(Instance::component(CoreMlModel { thread, bytes }))
            })
        }

        /// Bytes of a file, or of all files below a folder. Links are not followed.
        fn size(path: &Path) -> std::io::Result<u64> {
            let about = std::fs::symlink_metadata(path)?;
            if !about.is_dir() {
                return Ok(about.len());
            }
            let entries = std::fs::read_dir(path)?;
            entries.map(|entry| size(&entry?.path())).sum()
        }
    }

    #[cfg(test)]
    mod tests {
        use majordomo_coreml::TensorModel;
        use majordomo_predictor::BackendError;

        use super::*;

        #[test]
        fn footprint_is_the_growth_or_the_size_on_disk() {
            let mib = |n| Some(ByteSize::mib(n));
            assert_eq!(footprint(mib(100), mib(180), mib(50)), mib(80));
            for (before, after) in [(mib(100), mib(90)), (mib(1), mib(1)), (None, mib(9))] {
                assert_eq!(footprint(before, after, mib(50)), mib(50));
            }
            assert_eq!(footprint(None, None, None), None);
        }

        #[test]
        fn model_whose_thread_panicked_is_unhealthy() {
            struct Panicking;
            impl TensorModel for Panicking {
                fn predict(&mut self, _: &[ModelInput]) -> Result<Vec<Tensor>, BackendError> {
                    panic!("planted")
                }
            }
            let long = Duration::from_secs(60);
            let open = || Ok(Box::new(Panicking) as Box<dyn TensorModel>);
            let thread = TensorThread::start(long, Box::new(open)).expect("it opens");
            let model = CoreMlModel { thread, bytes: None };
            assert_eq!(model.health(), Ok(()));
            assert!(model.predict(Vec::new(), long).is_err());
            while model.health().is_ok() {
                std::thread::yield_now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finding_names_what_is_missing() {
        let id = ComponentId::new("eyes").expect("a name");
        let spec = CoreMlSpec::new("nowhere/eyes.mlmodelc");
        let found = look(&id, &spec, Path::new("/")).expect("there is no such model");
        let expected = if !cfg!(target_os = "macos") {
            "component \"eyes\" cannot be loaded: macOS only (a Core ML model)"
        } else if cfg!(feature = "coreml") {
            "does not exist"
        } else {
            "this build has no Core ML"
        };
        assert!(found.message.contains(expected), "{}", found.message);
        let severity = if found.code == "no-model" { Severity::Warning } else { Severity::Error };
        assert_eq!(found.severity, severity);
    }
}
