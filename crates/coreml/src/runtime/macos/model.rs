//! One loaded model of Core ML.
//!
//! Owns compiling, loading and predicting, inside an autorelease pool and behind a firewall for Objective-C exceptions.
//! Inputs are read where they are (no copy); outputs are copied out by their strides. Invariant: each object of Core ML stays
//! on the thread of its model, which is neither `Send` nor `Sync`.

use std::cell::RefCell;
use std::ffi::c_void;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use block2::RcBlock;
use majordomo_predictor::BackendError;
use objc2::rc::{Retained, autoreleasepool};
use objc2::runtime::{AnyObject, ProtocolObject};
use objc2::{AnyThread, exception};
use objc2_core_ml::{
    MLComputeUnits, MLDictionaryFeatureProvider, MLFeatureProvider, MLFeatureValue, MLModel,
    MLModelConfiguration, MLMultiArray, MLMultiArrayDataType,
};
use objc2_foundation::{NSArray, NSDictionary, NSError, NSNumber, NSString, NSURL};

use crate::arrays::{ModelInput, Tensor, TensorData, Width, gathered, strides_of};
use crate::tensor::ComputeUnits;

/// An input by its name.
pub(super) enum Input<'a> {
    /// Shape, and as many numbers in row-major order.
    Array { name: &'a str, shape: &'a [usize], numbers: Numbers<'a> },
    /// A file.
    Image { name: &'a str, path: &'a Path },
}

/// Numbers that Core ML reads where they are.
#[derive(Clone, Copy)]
pub(super) enum Numbers<'a> {
    F32(&'a [f32]),
    F16(&'a [u16]),
    F64(&'a [f64]),
    I32(&'a [i32]),
}

impl<'a> From<&'a ModelInput> for Input<'a> {
    fn from(input: &'a ModelInput) -> Self {
        match input {
            ModelInput::Tensor(Tensor { name, shape, data }) => Self::Array {
                name,
                shape,
                numbers: match data {
                    TensorData::F32(data) => Numbers::F32(data),
                    TensorData::F16(data) => Numbers::F16(data),
                    TensorData::F64(data) => Numbers::F64(data),
                    TensorData::I32(data) => Numbers::I32(data),
                },
            },
            ModelInput::Image { name, path } => Self::Image { name, path },
        }
    }
}

impl Input<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Array { name, .. } | Self::Image { name, .. } => name,
        }
    }
}

impl Numbers<'_> {
    /// Where they are, how many, and of which type.
    fn parts(&self) -> (NonNull<c_void>, usize, MLMultiArrayDataType) {
        match self {
            Self::F32(data) => {
                (NonNull::from(*data).cast(), data.len(), MLMultiArrayDataType::Float32)
            }
            Self::F16(data) => {
                (NonNull::from(*data).cast(), data.len(), MLMultiArrayDataType::Float16)
            }
            Self::F64(data) => {
                (NonNull::from(*data).cast(), data.len(), MLMultiArrayDataType::Double)
            }
            Self::I32(data) => {
                (NonNull::from(*data).cast(), data.len(), MLMultiArrayDataType::Int32)
            }
        }
    }
}

/// A model on the thread that loaded it.
pub(super) struct Model {
    model: Loaded,
    /// Removed after the model: Core ML may read its files later than it opens them.
    _compiled: Option<Temporary>,
}

/// A compiled model in a temporary place of ours.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The object of Core ML; present until the drop.
struct Loaded(Option<Retained<MLModel>>);

impl Drop for Loaded {
    /// The thread that keeps models has no pool of its own.
    fn drop(&mut self) {
        autoreleasepool(|_| drop(self.0.take()));
    }
}

/// Runs `call` in a pool of its own; an Objective-C exception becomes an error. A Rust panic is passed on.
pub(super) fn guarded<T>(
    call: impl FnOnce() -> Result<T, BackendError>,
) -> Result<T, BackendError> {
    autoreleasepool(|_| {
        exception::catch(AssertUnwindSafe(call)).unwrap_or_else(|thrown| {
            let text = thrown.map(|exception| exception.to_string());
            Err(BackendError::Failed(format!(
                "an exception of Core ML: {}",
                text.as_deref().unwrap_or("without a reason")
            )))
        })
    })
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of `map_err`")]
fn reported(error: Retained<NSError>) -> BackendError {
    BackendError::Failed(error.localizedDescription().to_string())
}

/// The URL of a path; without `file:` Core ML takes it for something else.
pub(super) fn url(path: &Path) -> Result<Retained<NSURL>, BackendError> {
    let failed = || BackendError::Failed(format!("{} is no path for Core ML", path.display()));
    NSURL::from_file_path(path).ok_or_else(failed)
}

pub(super) fn configuration(units: ComputeUnits) -> Retained<MLModelConfiguration> {
    let units = match units {
        ComputeUnits::CpuOnly => MLComputeUnits::CPUOnly,
        ComputeUnits::CpuAndGpu => MLComputeUnits::CPUAndGPU,
        ComputeUnits::CpuAndNeuralEngine => MLComputeUnits::CPUAndNeuralEngine,
    };
    // SAFETY: a new object, used on this thread only.
    let out = unsafe { MLModelConfiguration::new() };
    // SAFETY: the value is one of the constants of the enumeration.
    unsafe { out.setComputeUnits(units) };
    out
}

/// Compiles a package or file into a temporary place.
#[expect(
    deprecated,
    reason = "this thread may block, and a model is opened on the thread that keeps it"
)]
fn compile(url: &NSURL) -> Result<Retained<NSURL>, BackendError> {
    // SAFETY: the URL names a file of this machine; the call blocks and keeps nothing of ours.
    unsafe { MLModel::compileModelAtURL_error(url) }.map_err(reported)
}

impl Model {
    /// Loads a compiled model, or compiles a package or file into a temporary place first.
    pub(super) fn open(path: &Path, units: ComputeUnits) -> Result<Self, BackendError> {
        guarded(|| {
            let given = url(path)?;
            if path.extension().is_some_and(|ending| ending == "mlmodelc") {
                return Self::load(&given, units);
            }
            let compiled = compile(&given)?;
            let temporary = compiled.to_file_path().map(Temporary);
            Ok(Self { _compiled: temporary, ..Self::load(&compiled, units)? })
        })
    }

    /// Loads `compiled`, which is made of `package` where it is missing.
    pub(super) fn compiled(
        package: &Path,
        compiled: &Path,
        units: ComputeUnits,
    ) -> Result<Self, BackendError> {
        guarded(|| {
            if !compiled.exists() {
                let package = url(package)?;
                let made = compile(&package)?;
                let made = made
                    .to_file_path()
                    .ok_or_else(|| BackendError::Failed("the model was compiled nowhere".into()))?;
                move_folder(&made, compiled).map_err(|error| {
                    BackendError::Failed(format!("the compiled model was not kept: {error}"))
                })?;
            }
            let compiled = url(compiled)?;
            Self::load(&compiled, units)
        })
    }

    fn load(url: &NSURL, units: ComputeUnits) -> Result<Self, BackendError> {
        let configuration = configuration(units);
        // SAFETY: both objects live through the call, which blocks.
        let model =
            unsafe { MLModel::modelWithContentsOfURL_configuration_error(url, &configuration) };
        Ok(Self { model: Loaded(Some(model.map_err(reported)?)), _compiled: None })
    }

    /// Computes all outputs that are arrays, ordered by name.
    pub(super) fn predict(&self, inputs: &[Input<'_>]) -> Result<Vec<Tensor>, BackendError> {
        guarded(|| {
            let unloaded = || BackendError::Ended("it is unloaded".to_owned());
            let model = self.model.0.as_ref().ok_or_else(unloaded)?;
            let names: Vec<_> =
                inputs.iter().map(|input| NSString::from_str(input.name())).collect();
            let value = |input: &Input<'_>| match *input {
                Input::Array { name, shape, numbers } => array(name, shape, numbers),
                Input::Image { name, path } => image(model, name, path),
            };
            let values: Vec<_> = inputs.iter().map(value).collect::<Result<_, _>>()?;
            let keys: Vec<&NSString> = names.iter().map(|name| &**name).collect();
            let objects: Vec<&AnyObject> =
                values.iter().map(|value| &***value as &AnyObject).collect();
            let features = NSDictionary::<NSString, AnyObject>::from_slices(&keys, &objects);
            let provider = MLDictionaryFeatureProvider::alloc();
            // SAFETY: every value of the dictionary is a feature value.
            let provider = unsafe {
                MLDictionaryFeatureProvider::initWithDictionary_error(provider, &features)
            };
            let provider = provider.map_err(reported)?;
            let provider = ProtocolObject::from_ref(&*provider);
            // SAFETY: the model is on its own thread; the inputs live until the call has returned.
            let outputs = unsafe { model.predictionFromFeatures_error(provider) };
            let outputs = outputs.map_err(reported)?;
            tensors(&outputs)
        })
    }
}

/// Renames a folder, or copies it where it is on another file system.
fn move_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    if std::fs::rename(from, to).is_ok() {
        return Ok(());
    }
    // Beside the target first: a copy that was broken off must not look complete.
    let part = to.with_extension("part");
    let _ = std::fs::remove_dir_all(&part);
    copy_folder(from, &part)?;
    std::fs::rename(&part, to)?;
    std::fs::remove_dir_all(from)
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn numbers(values: &[usize]) -> Retained<NSArray<NSNumber>> {
    let values: Vec<_> = values.iter().map(|&value| NSNumber::new_usize(value)).collect();
    NSArray::from_retained_slice(&values)
}

/// An array of Core ML over the numbers of an input.
fn array(
    name: &str,
    shape: &[usize],
    numbers_of_input: Numbers<'_>,
) -> Result<Retained<MLFeatureValue>, BackendError> {
    let (pointer, n, kind) = numbers_of_input.parts();
    let count = shape.iter().try_fold(1usize, |n, side| n.checked_mul(*side));
    if count != Some(n) || n == 0 {
        return Err(BackendError::Failed(format!("input `{name}` has {n} numbers for {shape:?}")));
    }
    let strides = strides_of(shape);
    // SAFETY: shape and strides stay within the numbers, which outlive the prediction, the only user of the array. Core ML reads
    // inputs and does not write them. Without a deallocator it frees nothing.
    let array = unsafe {
        MLMultiArray::initWithDataPointer_shape_dataType_strides_deallocator_error(
            MLMultiArray::alloc(),
            pointer,
            &numbers(shape),
            kind,
            &numbers(&strides),
            None,
        )
    };
    let array = array.map_err(reported)?;
    // SAFETY: the value keeps the array alive.
    Ok(unsafe { MLFeatureValue::featureValueWithMultiArray(&array) })
}

/// A picture in a file, scaled to the size that the model's input of this name takes.
fn image(
    model: &MLModel,
    name: &str,
    path: &Path,
) -> Result<Retained<MLFeatureValue>, BackendError> {
    // SAFETY: plain getters of a model that is on its own thread.
    let inputs = unsafe { model.modelDescription().inputDescriptionsByName() };
    let described = inputs.objectForKey(&NSString::from_str(name));
    // SAFETY: as above; a description of another kind returns none.
    let constraint = described.and_then(|input| unsafe { input.imageConstraint() });
    let Some(constraint) = constraint else {
        return Err(BackendError::Failed(format!("the model has no picture `{name}` as input")));
    };
    let file = url(path)?;
    // SAFETY: the objects live through the call; there are no options of a wrong type.
    let value = unsafe {
        MLFeatureValue::featureValueWithImageAtURL_constraint_options_error(
            &file,
            &constraint,
            None,
        )
    };
    value.map_err(reported)
}

fn tensors(outputs: &ProtocolObject<dyn MLFeatureProvider>) -> Result<Vec<Tensor>, BackendError> {
    // SAFETY: the provider is on its own thread.
    let names = unsafe { outputs.featureNames() }.to_vec();
    let mut out = Vec::new();
    for name in names {
        // SAFETY: as above; the name is one of its own.
        let value = unsafe { outputs.featureValueForName(&name) };
        // SAFETY: a value without an array returns none.
        let array = value.and_then(|value| unsafe { value.multiArrayValue() });
        if let Some(array) = array {
            out.push(tensor(name.to_string(), &array)?);
        }
    }
    out.sort_by(|a: &Tensor, b| a.name.cmp(&b.name));
    Ok(out)
}

/// Copies an array out; its rows may be padded.
fn tensor(name: String, array: &MLMultiArray) -> Result<Tensor, BackendError> {
    // SAFETY: plain getters of an array that no other thread has.
    let (shape, strides, kind) = unsafe { (array.shape(), array.strides(), array.dataType()) };
    let list = |numbers: &NSArray<NSNumber>| -> Vec<usize> {
        numbers.to_vec().iter().map(|number| number.as_usize()).collect()
    };
    let (shape, strides) = (list(&shape), list(&strides));
    if shape.len() != strides.len() {
        let (sides, steps) = (shape.len(), strides.len());
        let why = format!("output `{name}` has {sides} dimensions and {steps} strides");
        return Err(BackendError::Failed(why));
    }
    let width = match kind {
        MLMultiArrayDataType::Float16 => Width::Half,
        MLMultiArrayDataType::Float32 => Width::Single,
        MLMultiArrayDataType::Double => Width::Double,
        MLMultiArrayDataType::Int32 => Width::Integer,
        other => {
            let why = format!("output `{name}` has numbers of type {}", other.0);
            return Err(BackendError::Failed(why));
        }
    };
    let data = RefCell::new(None);
    let handler = RcBlock::new(|bytes: NonNull<c_void>, size: isize| {
        let size = usize::try_from(size).unwrap_or(0);
        // SAFETY: Core ML gives `size` readable bytes for the time of this call.
        let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>().as_ptr(), size) };
        *data.borrow_mut() = gathered(bytes, &shape, &strides, width);
    });
    // SAFETY: the handler is called before this returns and not kept.
    unsafe { array.getBytesWithHandler(&handler) };
    drop(handler);
    let data = data.into_inner();
    let data = data.ok_or_else(|| BackendError::Failed(format!("output `{name}` is too short")))?;
    Ok(Tensor { name, shape, data })
}
