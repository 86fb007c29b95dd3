//! The engine as Python sees it.

mod batch;
mod request;
mod stats;

use std::io;
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use tapwright_core::engine::{Engine as CoreEngine, OpenError};
use tapwright_core::govern::Step;
use tapwright_core::source::Spec;

use batch::Batch;
use request::{LimitsRequest, OutputRequest, SectionRequest, SourceRequest};
use stats::{EngineStats, SessionStats, SourceStats};

fn open_error(py: Python<'_>, failed: &OpenError) -> PyErr {
    let (subject, error) = (&failed.subject, &failed.error);
    let Some(errno) = error.raw_os_error().or(known(error)) else {
        return PyOSError::new_err(format!("{subject}: {error}"));
    };
    let text = io::Error::from_raw_os_error(errno).to_string();
    let text = text
        .split(" (os error")
        .next()
        .unwrap_or_default()
        .to_owned();
    // OSError chooses the subclass by errno: PermissionError, FileExistsError...
    match py
        .get_type::<PyOSError>()
        .call1((errno, text, subject.clone()))
    {
        Ok(value) => PyErr::from_value(value),
        Err(error) => error,
    }
}

/// errno of errors we made ourselves.
fn known(error: &io::Error) -> Option<i32> {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Some(17),
        io::ErrorKind::StorageFull => Some(28),
        io::ErrorKind::InvalidInput => Some(22),
        _ => None,
    }
}

/// One running capture.
#[pyclass(frozen, module = "tapwright._core")]
struct Engine(CoreEngine);

#[pymethods]
impl Engine {
    #[new]
    fn new(
        py: Python<'_>,
        sources: Vec<SourceRequest>,
        section: SectionRequest,
        output: OutputRequest,
        limits: LimitsRequest,
    ) -> PyResult<Self> {
        if sources.is_empty() {
            return Err(PyValueError::new_err(
                "there is nothing to capture: no sources",
            ));
        }
        let limits = request::limits(limits)?;
        let (about, names) = request::section(section);
        let specs: Vec<Spec> = sources
            .into_iter()
            .map(|source| request::spec(source, limits.snaplen, &about.os))
            .collect::<PyResult<_>>()?;
        let output = request::output(output)?;
        py.detach(|| CoreEngine::open(specs, about, names, output, limits))
            .map(Self)
            .map_err(|failed| open_error(py, &failed))
    }

    fn start(&self) -> PyResult<()> {
        Ok(self.0.start()?)
    }

    #[pyo3(signature = (reason=""))]
    fn stop(&self, reason: &str) {
        self.0.stop_because(reason);
    }

    #[allow(clippy::needless_pass_by_value)] // what Python hands over is ours
    fn step(&self, filters: Vec<(Vec<u8>, u32)>, lowered: bool, remark: String) -> PyResult<()> {
        if filters.iter().any(|(_, one_in)| *one_in == 0) {
            return Err(PyValueError::new_err("one packet in 0 cannot be kept"));
        }
        let filters: Vec<_> = filters
            .iter()
            .map(|(program, one_in)| Ok((request::unpacked(program)?, *one_in)))
            .collect::<PyResult<_>>()?;
        self.0.step(Step {
            filters,
            lowered,
            remark,
        });
        Ok(())
    }

    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let timeout = timeout.map(duration).transpose()?;
        Ok(py.detach(|| self.0.wait(timeout)))
    }

    fn stats(&self) -> EngineStats {
        let running = !self.0.wait(Some(Duration::ZERO));
        EngineStats(self.0.account(), running)
    }

    fn next_batch(&self, py: Python<'_>, timeout: f64) -> PyResult<Option<Batch>> {
        let timeout = duration(timeout)?;
        Ok(py.detach(|| self.0.next_batch(timeout)).map(Batch))
    }
}

fn duration(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Add what this file defines to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Engine>()?;
    module.add_class::<EngineStats>()?;
    module.add_class::<SourceStats>()?;
    module.add_class::<SessionStats>()?;
    module.add_class::<Batch>()
}
