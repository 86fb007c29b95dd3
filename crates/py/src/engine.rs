//! The engine as Python sees it; its requests are read by attribute name (`tapwright.capture.request`).

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tapwright_core::account::{Account, SourceAccount};
use tapwright_core::bpf::Program;
use tapwright_core::collect::Session;
use tapwright_core::decap::Options;
use tapwright_core::destination::Creation;
use tapwright_core::engine::{Engine as CoreEngine, Limits, OpenError};
use tapwright_core::govern::Step;
use tapwright_core::out::Output;
use tapwright_core::pcapng::{Interface, Section, ETHERNET};
use tapwright_core::ring::{duplicate, Instruction};
use tapwright_core::sink::Rotation;
use tapwright_core::source::{Role, Spec};

#[derive(FromPyObject)]
struct SourceRequest {
    name: String,
    description: String,
    device: String,
    index: u32,
    netns: String,
    outgoing_is_to_vm: bool,
    mac: String,
    addresses: Vec<String>,
    filter: String,
    program: Vec<u8>,
    judge: Vec<u8>,
    judge_inside: bool,
    unwrap: Option<UnwrapRequest>,
    role: String,
    gaps: bool,
}

#[derive(FromPyObject)]
struct UnwrapRequest {
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

#[derive(FromPyObject)]
struct SectionRequest {
    hardware: String,
    os: String,
    application: String,
    comment: String,
    names: Vec<(String, String)>,
}

#[derive(FromPyObject)]
struct OutputRequest {
    path: PathBuf,
    fd: i32,
    batches: bool,
    overwrite: bool,
    ring_bytes: u64,
    ring_files: u32,
    utc_offset: i32,
    owner: Option<(u32, u32)>,
}

#[derive(Clone, Copy, FromPyObject)]
struct LimitsRequest {
    snaplen: u32,
    packets: u64,
    seconds: f64,
    bytes: u64,
    buffer: u64,
}

fn spec(request: SourceRequest, snaplen: u32, os: &str) -> PyResult<Spec> {
    Ok(Spec {
        program: program(&request.program, snaplen)?,
        judge: judge(&request.judge)?,
        judges_inside: request.judge_inside,
        unwrap: request.unwrap.map(Options::from),
        role: role(&request.role, request.gaps)?,
        interface: Interface {
            linktype: ETHERNET,
            snaplen,
            name: request.name,
            description: request.description,
            mac: mac(&request.mac),
            addresses: request
                .addresses
                .iter()
                .filter_map(|text| address(text))
                .collect(),
            filter: request.filter,
            os: os.to_owned(),
        },
        device: request.device,
        index: request.index,
        netns: request.netns,
        outgoing_is_to_vm: request.outgoing_is_to_vm,
    })
}

/// Packed `struct sock_filter`s; none keeps everything.
fn program(bytes: &[u8], snaplen: u32) -> PyResult<Vec<Instruction>> {
    if bytes.is_empty() {
        return Ok(vec![Instruction {
            code: 6,
            jt: 0,
            jf: 0,
            k: snaplen,
        }]);
    }
    unpacked(bytes)
}

fn unpacked(bytes: &[u8]) -> PyResult<Vec<Instruction>> {
    if bytes.len() % 8 != 0 {
        return Err(PyValueError::new_err(
            "a program is made of 8 byte instructions",
        ));
    }
    let one = |raw: &[u8]| Instruction {
        code: u16::from_ne_bytes([raw[0], raw[1]]),
        jt: raw[2],
        jf: raw[3],
        k: u32::from_ne_bytes([raw[4], raw[5], raw[6], raw[7]]),
    };
    Ok(bytes.chunks_exact(8).map(one).collect())
}

fn role(name: &str, gaps: bool) -> PyResult<Role> {
    match name {
        "seen" => Ok(Role::Seen),
        "copied" => Ok(Role::Copied { tagged: false }),
        "copied tagged" => Ok(Role::Copied { tagged: true }),
        "mirrored" => Ok(Role::Mirrored { filtered: !gaps }),
        "tagged" => Ok(Role::Tagged),
        "strange" => Ok(Role::Strange),
        _ => Err(PyValueError::new_err(format!("{name} is no role"))),
    }
}

fn judge(bytes: &[u8]) -> PyResult<Option<Program>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    Program::from_bytes(bytes)
        .map(Some)
        .map_err(|error| PyValueError::new_err(error.to_string()))
}

/// What cannot be read is left out of the file: it is description, not data.
fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Vec<u8> = text
        .split(':')
        .map(|part| u8::from_str_radix(part, 16))
        .collect::<Result<_, _>>()
        .ok()?;
    bytes.try_into().ok()
}

fn address(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.split('%').next()?.parse().ok()?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    Some((address, prefix.parse().unwrap_or(longest)))
}

fn output(request: OutputRequest) -> PyResult<Output> {
    let named = usize::from(!request.path.as_os_str().is_empty());
    if named + usize::from(request.fd >= 0) + usize::from(request.batches) != 1 {
        return Err(PyValueError::new_err(
            "exactly one of path, fd and batches must be set",
        ));
    }
    if request.batches {
        return Ok(Output::Batches);
    }
    if request.fd >= 0 {
        return Ok(Output::Descriptor(duplicate(request.fd)?));
    }
    let rotation = (request.ring_bytes > 0).then_some(Rotation {
        bytes: request.ring_bytes,
        files: request.ring_files,
        utc_offset: request.utc_offset,
    });
    let creation = Creation {
        overwrite: request.overwrite,
        owner: request.owner,
    };
    Ok(Output::File(request.path, creation, rotation))
}

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

/// The engine's account of one source.
#[pyclass(frozen, module = "tapwright._core")]
struct SourceStats(SourceAccount);

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
struct SessionStats(Session);

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
struct EngineStats(Account, bool);

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

/// Packets as columns.
#[pyclass(frozen, module = "tapwright._core")]
struct Batch(tapwright_core::batch::Batch);

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
        if !limits.seconds.is_finite() || limits.seconds < 0.0 || limits.snaplen == 0 {
            return Err(PyValueError::new_err(
                "limits must be finite, and the snap length positive",
            ));
        }
        let os = section.os.clone();
        let specs: Vec<Spec> = sources
            .into_iter()
            .map(|source| spec(source, limits.snaplen, &os))
            .collect::<PyResult<_>>()?;
        let names = section
            .names
            .iter()
            .filter_map(|(text, name)| Some((address(text)?.0, name.clone())))
            .collect();
        let about = Section {
            hardware: section.hardware,
            os: section.os,
            application: section.application,
            comment: section.comment,
        };
        let output = self::output(output)?;
        let limits = Limits {
            snaplen: limits.snaplen,
            packets: limits.packets,
            seconds: limits.seconds,
            bytes: limits.bytes,
            buffer: limits.buffer,
        };
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
            .map(|(program, one_in)| Ok((unpacked(program)?, *one_in)))
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
