//! rtnetlink as Python sees it: whole namespaces, and counters for live statistics.

use std::path::PathBuf;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tapwright_core::netlink as core;

/// In the order of `tapwright.model.Counters`.
type Counters = (u64, u64, u64, u64, u64, u64, u64, u64, u64);

fn counters(from: &core::LinkCounters) -> Counters {
    (
        from.rx_packets,
        from.rx_bytes,
        from.rx_dropped,
        from.rx_errors,
        from.tx_packets,
        from.tx_bytes,
        from.tx_dropped,
        from.tx_errors,
        from.multicast,
    )
}

/// A network device.
#[pyclass(frozen, module = "tapwright._core")]
struct Link(core::Link);

#[pymethods]
impl Link {
    #[getter]
    fn index(&self) -> u32 {
        self.0.index
    }
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }
    #[getter]
    fn kind(&self) -> &str {
        &self.0.kind
    }
    #[getter]
    fn mac(&self) -> &str {
        &self.0.mac
    }
    #[getter]
    fn mtu(&self) -> u32 {
        self.0.mtu
    }
    #[getter]
    fn up(&self) -> bool {
        self.0.up
    }
    #[getter]
    fn loopback(&self) -> bool {
        self.0.loopback
    }
    #[getter]
    fn alias(&self) -> &str {
        &self.0.alias
    }
    #[getter]
    fn master(&self) -> u32 {
        self.0.master
    }
    #[getter]
    fn elsewhere(&self) -> bool {
        self.0.link_netnsid.is_some()
    }
    #[getter]
    fn peer(&self) -> Option<(usize, u32)> {
        self.0.peer
    }
    #[getter]
    fn addresses(&self) -> Vec<String> {
        self.0.addresses.clone()
    }
    #[getter]
    fn counters(&self) -> Counters {
        counters(&self.0.counters)
    }
    #[getter]
    fn vlan(&self) -> Option<u16> {
        self.0.vlan
    }
    #[getter]
    fn vlan_protocol(&self) -> Option<u16> {
        self.0.vlan_protocol
    }
    #[getter]
    fn pvid(&self) -> Option<u16> {
        self.0.port_vlans.pvid
    }
    #[getter]
    fn tagged(&self) -> Vec<u16> {
        self.0.port_vlans.tagged.clone()
    }
    #[getter]
    fn untagged(&self) -> Vec<u16> {
        self.0.port_vlans.untagged.clone()
    }
    #[getter]
    fn tunnel(&self) -> Option<Tunnel> {
        self.0.tunnel.clone().map(Tunnel)
    }
}

/// What a tunnel device wraps frames in.
#[pyclass(frozen, module = "tapwright._core")]
struct Tunnel(core::Tunnel);

#[pymethods]
impl Tunnel {
    #[getter]
    fn vni(&self) -> Option<u32> {
        self.0.vni
    }
    #[getter]
    fn local(&self) -> &str {
        &self.0.local
    }
    #[getter]
    fn remotes(&self) -> Vec<String> {
        self.0.remotes.clone()
    }
    #[getter]
    fn port(&self) -> u16 {
        self.0.port
    }
    #[getter]
    fn external(&self) -> bool {
        self.0.external
    }
}

/// What one network namespace holds, or why it could not be read.
#[pyclass(frozen, module = "tapwright._core")]
struct Namespace {
    #[pyo3(get)]
    inode: u64,
    #[pyo3(get)]
    error: Option<Py<PyAny>>,
    #[pyo3(get)]
    links: Vec<Py<Link>>,
    #[pyo3(get)]
    neighbours: Vec<(u32, String, String)>,
}

impl Namespace {
    fn new(py: Python<'_>, from: core::Namespace) -> PyResult<Self> {
        let links = from.links.into_iter().map(|link| Py::new(py, Link(link)));
        let error = from
            .error
            .map(|error| os_error(&error).into_value(py).into_any());
        Ok(Self {
            inode: from.inode,
            error,
            links: links.collect::<PyResult<_>>()?,
            neighbours: from
                .neighbours
                .into_iter()
                .map(|n| (n.index, n.mac, n.address))
                .collect(),
        })
    }
}

/// With errno and the system's own words, as Python's functions raise it.
fn os_error(error: &std::io::Error) -> PyErr {
    PyOSError::new_err(in_words(error))
}

fn in_words(error: &std::io::Error) -> (Option<i32>, String) {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    (error.raw_os_error(), words.to_owned())
}

/// Read whole network namespaces; `""` is our own.
#[pyfunction]
fn scan_links(py: Python<'_>, paths: Vec<PathBuf>) -> PyResult<Vec<Namespace>> {
    let found = py.detach(move || core::scan(&paths))?;
    found
        .into_iter()
        .map(|namespace| Namespace::new(py, namespace))
        .collect()
}

/// Counters of devices, namespace by namespace.
#[pyfunction]
fn link_counters(
    py: Python<'_>,
    wanted: Vec<(PathBuf, Vec<u32>)>,
) -> PyResult<Vec<Vec<Option<Counters>>>> {
    let found = py.detach(move || core::counters_of(&wanted))?;
    let all = |read: Vec<Option<core::LinkCounters>>| {
        read.iter().map(|one| one.as_ref().map(counters)).collect()
    };
    Ok(found.into_iter().map(all).collect())
}

/// One message to the kernel in a namespace, encoded by its caller; the payloads of the answers.
#[pyfunction]
fn netlink_message<'py>(
    py: Python<'py>,
    path: PathBuf,
    kind: u16,
    flags: u16,
    body: &[u8],
) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let answers = py.detach(|| core::message(&path, kind, flags, body));
    let answers = answers.map_err(|refusal| refused(&refusal, path))?;
    Ok(answers
        .iter()
        .map(|answer| PyBytes::new(py, answer))
        .collect())
}

/// A namespace that cannot be entered is the error's file, as Python's own functions have it.
fn refused(refusal: &core::Refusal, path: PathBuf) -> PyErr {
    let (code, mut words) = in_words(&refusal.error);
    if !refusal.said.is_empty() {
        words = format!("{words}: {}", refusal.said);
    }
    if refusal.outside {
        return PyOSError::new_err((code, words, path));
    }
    PyOSError::new_err((code, words))
}

/// Add everything here to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Link>()?;
    module.add_class::<Tunnel>()?;
    module.add_class::<Namespace>()?;
    module.add_function(wrap_pyfunction!(scan_links, module)?)?;
    module.add_function(wrap_pyfunction!(link_counters, module)?)?;
    module.add_function(wrap_pyfunction!(netlink_message, module)?)
}
