//! The interpreter of classic BPF as Python sees it: for files, and to judge filters.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use tapwright_core::bpf::{Beside, Program, Refused};

fn refused(why: Refused) -> PyErr {
    PyValueError::new_err(why.to_string())
}

/// A verified program.
#[pyclass(frozen, module = "tapwright._core")]
struct Bpf(Program);

#[pymethods]
impl Bpf {
    #[new]
    fn new(program: &[u8]) -> PyResult<Self> {
        Program::from_bytes(program).map(Self).map_err(refused)
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[pyo3(signature = (packet, length=None, *, protocol=0, kind=0, device=0, vlan=None, network=14))]
    #[allow(clippy::too_many_arguments)] // one keyword for each thing a program can ask for
    fn run(
        &self,
        packet: &[u8],
        length: Option<u32>,
        protocol: u16,
        kind: u8,
        device: u32,
        vlan: Option<(u16, u16)>,
        network: u32,
    ) -> u32 {
        let beside = Beside {
            protocol,
            kind,
            device,
            vlan,
            network,
        };
        self.0
            .run_with(packet, length.unwrap_or(packet.len() as u32), &beside)
    }

    #[allow(clippy::needless_pass_by_value)] // what was extracted from Python objects is ours
    fn run_all(&self, packets: Vec<PyBackedBytes>) -> Vec<u32> {
        packets
            .iter()
            .map(|packet| self.0.run(packet, packet.len() as u32))
            .collect()
    }
}

#[pyfunction]
fn run_bpf(program: &[u8], packets: Vec<PyBackedBytes>) -> PyResult<Vec<u32>> {
    Ok(Bpf::new(program)?.run_all(packets))
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Bpf>()?;
    module.add_function(wrap_pyfunction!(run_bpf, module)?)
}
