//! The declarations of a configuration, for parts that serve components to others.

use std::sync::Arc;

use majordomo_registry::{ComponentSpec, GatewaySpec};

/// The components and the gateway of a configuration.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Declared {
    /// In the order of the configuration; those that were added in code last.
    pub components: Vec<Arc<ComponentSpec>>,
    /// None = it is off.
    pub gateway: Option<Arc<GatewaySpec>>,
}

impl Declared {
    pub(crate) fn new(
        components: Vec<Arc<ComponentSpec>>,
        gateway: Option<Arc<GatewaySpec>>,
    ) -> Self {
        Self { components, gateway }
    }
}
