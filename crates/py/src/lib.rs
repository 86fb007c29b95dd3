//! Python bindings of tapwright-core: bindings only, no decision is taken here.

mod bpf;
#[cfg(target_os = "linux")]
mod engine;
#[cfg(target_os = "linux")]
mod netlink;
mod offline;
mod unwrap;

use pyo3::prelude::*;

/// The native part of tapwright.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    bpf::register(module)?;
    #[cfg(target_os = "linux")]
    engine::register(module)?;
    #[cfg(target_os = "linux")]
    netlink::register(module)?;
    offline::register(module)
}
