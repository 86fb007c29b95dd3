//! The engine's counters as Python sees them.

use std::time::Duration;

use pyo3::prelude::*;
use tapwright_core::account::{Account, SourceAccount};
use tapwright_core::collect::Session;

/// The engine's account of one source.
#[pyclass(frozen, module = "tapwright._core")]
pub(super) struct SourceStats(SourceAccount);

#[pymethods]
impl SourceStats {
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }
    #[getter]
    fn port_packets(&self) -> Option<u64> {
        self.0.port.map(|(packets, _)| packets)
    }
    #[getter]
    fn port_bytes(&self) -> Option<u64> {
        self.0.port.map(|(_, bytes)| bytes)
    }
    #[getter]
    fn accepted(&self) -> u64 {
        self.0.accepted
    }
    #[getter]
    fn kernel_dropped(&self) -> u64 {
        self.0.kernel_dropped
    }
    #[getter]
    fn engine_dropped(&self) -> u64 {
        self.0.engine_dropped
    }
    #[getter]
    fn beyond_limit(&self) -> u64 {
        self.0.beyond_limit
    }
    #[getter]
    fn refused(&self) -> u64 {
        self.0.refused
    }
    #[getter]
    fn wrapped(&self) -> u64 {
        self.0.wrapped
    }
    #[getter]
    fn governed(&self) -> u64 {
        self.0.governed
    }
    #[getter]
    fn governed_estimated(&self) -> bool {
        self.0.governed_estimated
    }
    #[getter]
    fn cut(&self) -> u64 {
        self.0.cut
    }
    #[getter]
    fn written(&self) -> u64 {
        self.0.written
    }
    #[getter]
    fn written_bytes(&self) -> u64 {
        self.0.written_bytes
    }
    #[getter]
    fn whole_bytes(&self) -> u64 {
        self.0.whole_bytes
    }
    #[getter]
    fn wire_bytes(&self) -> u64 {
        self.0.wire_bytes
    }
    #[getter]
    fn first_ns(&self) -> u64 {
        self.0.first
    }
    #[getter]
    fn last_ns(&self) -> u64 {
        self.0.last
    }
    #[getter]
    fn ended(&self) -> &str {
        &self.0.ended
    }
}

/// A mirror that was received.
#[pyclass(frozen, module = "tapwright._core")]
pub(super) struct SessionStats(Session);

#[pymethods]
impl SessionStats {
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }
    #[getter]
    fn packets(&self) -> u64 {
        self.0.packets
    }
    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes
    }
    #[getter]
    fn first_ns(&self) -> u64 {
        self.0.first
    }
    #[getter]
    fn last_ns(&self) -> u64 {
        self.0.last
    }
    #[getter]
    fn shared(&self) -> bool {
        self.0.shared
    }
    #[getter]
    fn sequence(&self) -> Option<(u64, u64, u64, u64)> {
        let found = self.0.sequence.as_ref()?;
        Some((
            found.missing,
            found.reordered,
            found.repeated,
            found.restarts,
        ))
    }
}

/// A consistent copy of the engine's counters.
#[pyclass(frozen, module = "tapwright._core")]
pub(super) struct EngineStats(pub(super) Account, pub(super) bool);

#[pymethods]
impl EngineStats {
    #[getter]
    fn sources(&self) -> Vec<SourceStats> {
        self.0.sources.iter().cloned().map(SourceStats).collect()
    }
    #[getter]
    fn sessions(&self) -> Vec<SessionStats> {
        self.0.sessions.iter().cloned().map(SessionStats).collect()
    }
    #[getter]
    fn strangers(&self) -> (u64, Vec<(String, u64)>) {
        let each = self.0.strangers.each();
        let named = each.map(|(address, count)| (address.to_string(), count));
        (self.0.strangers.total(), named.collect())
    }
    #[getter]
    fn file_bytes(&self) -> u64 {
        self.0.file_bytes
    }
    #[getter]
    fn files(&self) -> Vec<String> {
        self.0
            .files
            .iter()
            .map(|path| path.to_string_lossy().into_owned())
            .collect()
    }
    #[getter]
    fn reordered(&self) -> u64 {
        self.0.reordered
    }
    #[getter]
    fn cpu(&self) -> f64 {
        Duration::from_nanos(self.0.cpu).as_secs_f64()
    }
    #[getter]
    fn stuck(&self) -> u64 {
        self.0.stuck
    }
    #[getter]
    fn running(&self) -> bool {
        self.1
    }
    #[getter]
    fn ended(&self) -> &str {
        &self.0.ended
    }
    #[getter]
    fn elapsed(&self) -> f64 {
        Duration::from_nanos(self.0.elapsed).as_secs_f64()
    }
}
