//! Connects the pressure thread to the control lane.

use std::sync::Arc;

use majordomo_core::Config;
use majordomo_engine::Input;
use majordomo_memory::PressureSource;

use super::lanes::Lanes;
use crate::clock::Clock;
use crate::message::Control;
use crate::pressure::Felt;

/// Feels pressure on an owned thread until the shell is gone.
pub(super) fn feel_pressure(
    source: Box<dyn PressureSource>,
    config: &Config,
    clock: Clock,
    lanes: &Arc<Lanes>,
) -> std::io::Result<Felt> {
    let lanes = Arc::downgrade(lanes);
    Felt::start(source, &config.memory, clock, move |level| {
        let Some(lanes) = lanes.upgrade() else { return false };
        lanes.control().send(Control::Engine(Box::new(Input::Pressure(level))));
        true
    })
}
