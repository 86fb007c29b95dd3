//! Packets as columns that Python reads without a copy of its own.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Packets as columns.
#[pyclass(frozen, module = "tapwright._core")]
pub(super) struct Batch(pub(super) tapwright_core::batch::Batch);

/// A column as a read-only memoryview of `format` over its own bytes.
fn column<'py>(py: Python<'py>, bytes: &[u8], format: &str) -> PyResult<Bound<'py, PyAny>> {
    let view = py
        .import("builtins")?
        .getattr("memoryview")?
        .call1((PyBytes::new(py, bytes),))?;
    view.call_method1("cast", (format,))
}

fn packed<const N: usize, T: Copy>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| bytes(value)).collect()
}

#[pymethods]
impl Batch {
    fn __len__(&self) -> usize {
        self.0.len()
    }
    #[getter]
    fn time<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        column(py, &packed(&self.0.time, u64::to_ne_bytes), "q")
    }
    #[getter]
    fn source<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        column(py, &packed(&self.0.source, u32::to_ne_bytes), "I")
    }
    #[getter]
    fn direction<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        column(py, &self.0.direction, "B")
    }
    #[getter]
    fn length<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        column(py, &packed(&self.0.length, u32::to_ne_bytes), "I")
    }
    #[getter]
    fn captured<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        column(py, &packed(&self.0.captured, u32::to_ne_bytes), "I")
    }
    #[getter]
    fn offset<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        column(py, &packed(&self.0.offset, u64::to_ne_bytes), "Q")
    }
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        column(py, &self.0.data, "B")
    }
}
