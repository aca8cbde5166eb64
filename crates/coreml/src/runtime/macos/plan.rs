//! Where Core ML would run the operations of a model: its compute plan.
//!
//! Owns the counting by device. macOS 14.4 and newer; older systems have no plan, which is no failure.

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use block2::RcBlock;
use objc2::ClassType;
use objc2::runtime::{AnyClass, NSObjectProtocol};
use objc2_core_ml::{
    MLCPUComputeDevice, MLComputePlan, MLGPUComputeDevice, MLNeuralEngineComputeDevice,
};
use objc2_foundation::{NSError, NSString};

use super::model::{configuration, guarded, url};
use crate::tensor::ComputeUnits;

/// The plan is made on a queue of Core ML, which may never answer.
const TIME_OUT: Duration = Duration::from_secs(20);

/// Operations by device of a compiled model; none where the system makes no plan.
pub(super) fn placement(compiled: &Path, units: ComputeUnits) -> Option<Vec<(String, u32)>> {
    AnyClass::get(c"MLComputePlan")?;
    let (to, answer) = channel();
    let asked = guarded(|| {
        let (url, configuration) = (url(compiled)?, configuration(units));
        let handler = RcBlock::new(move |plan: *mut MLComputePlan, _error: *mut NSError| {
            // SAFETY: Core ML gives a plan that lives for the time of this call, or null.
            let plan = unsafe { plan.as_ref() };
            // No receiver: the time-out has passed.
            let _ = to.send(plan.map(count));
        });
        // SAFETY: Core ML copies the block, which owns what it uses.
        unsafe {
            MLComputePlan::loadContentsOfURL_configuration_completionHandler(
                &url,
                &configuration,
                &handler,
            );
        }
        Ok(())
    });
    asked.ok()?;
    answer.recv_timeout(TIME_OUT).ok()?
}

fn count(plan: &MLComputePlan) -> Vec<(String, u32)> {
    let mut out = vec![("CPU", 0), ("GPU", 0), ("Neural Engine", 0), ("unknown", 0)];
    let counted = guarded(|| {
        // SAFETY: the plan is on this thread for the time of this call, and so are all objects below it.
        let program = unsafe { plan.modelStructure().program() };
        // SAFETY: as above.
        let functions = program.map(|program| unsafe { program.functions() });
        let main = functions.and_then(|f| f.objectForKey(&NSString::from_str("main")));
        let Some(main) = main else { return Ok(()) };
        // SAFETY: as above.
        for operation in unsafe { main.block().operations() }.to_vec() {
            // SAFETY: as above. Constants have no device.
            let usage = unsafe { plan.computeDeviceUsageForMLProgramOperation(&operation) };
            let Some(usage) = usage else { continue };
            // SAFETY: as above.
            let device = unsafe { usage.preferredComputeDevice() };
            let classes = [
                MLCPUComputeDevice::class(),
                MLGPUComputeDevice::class(),
                MLNeuralEngineComputeDevice::class(),
            ];
            let known = classes.iter().position(|class| device.isKindOfClass(class));
            out[known.unwrap_or(3)].1 += 1;
        }
        Ok(())
    });
    if counted.is_err() {
        return Vec::new();
    }
    let used = out.into_iter().filter(|(_, n)| *n > 0);
    used.map(|(device, n)| (device.to_owned(), n)).collect()
}
