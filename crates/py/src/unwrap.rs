//! What a caller asks of unwrapping, live or from a file.

use pyo3::prelude::*;
use tapwright_core::decap::Options;

/// Read by attribute name.
#[derive(FromPyObject)]
pub(crate) struct UnwrapRequest {
    depth: usize,
    vxlan: Vec<u16>,
    vxlan_gpe: Vec<u16>,
    geneve: Vec<u16>,
}

impl From<UnwrapRequest> for Options {
    fn from(request: UnwrapRequest) -> Self {
        Self {
            depth: request.depth,
            vxlan: request.vxlan,
            vxlan_gpe: request.vxlan_gpe,
            geneve: request.geneve,
        }
    }
}
