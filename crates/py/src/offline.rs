//! The offline verbs as Python sees them; requests are read by attribute name (`tapwright.read.request`).

#![allow(clippy::needless_pass_by_value)] // what was extracted from Python objects is ours

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::Builder;
use std::time::Duration;

use pyo3::exceptions::{
    PyFileExistsError, PyInterruptedError, PyOSError, PyRuntimeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tapwright_core::offline::{
    About, Amount, By, DecapJob, DecapReport, FilterJob, FilterReport, InfoJob, InfoReport,
    InputReport, InterfaceInfo, Moment, OfflineError, Programs, Progress, RawIp, SliceJob,
    SplitJob, SplitReport, StuckReport, Totals,
};
use tapwright_core::read::{ReadError, Section};
use tapwright_core::write::{Creation, WriteError};

use crate::unwrap::UnwrapRequest;

#[derive(FromPyObject)]
struct Request {
    inputs: Vec<PathBuf>,
    output: String,
    force: bool,
    owner: Option<(u32, u32)>,
    application: String,
    comment: String,
}

impl Request {
    fn creation(&self) -> Creation {
        Creation {
            force: self.force,
            owner: self.owner,
        }
    }

    fn about(&self) -> About {
        About {
            application: self.application.clone(),
            comment: self.comment.clone(),
        }
    }
}

enum Report {
    Decap(DecapReport),
    Filter(FilterReport),
    Slice(Totals),
    Split(SplitReport),
    Info(Box<InfoReport>),
}

type Outcome = Result<Report, OfflineError>;

enum State {
    Running(Receiver<Outcome>),
    Ended(Option<Outcome>),
}

/// One verb at work, in a thread of its own.
#[pyclass(frozen, module = "tapwright._core")]
struct OfflineJob {
    progress: Arc<Progress>,
    state: Mutex<State>,
}

impl OfflineJob {
    fn start(work: impl FnOnce(&Progress) -> Outcome + Send + 'static) -> PyResult<Self> {
        let progress = Arc::new(Progress::default());
        let (told, outcome) = channel();
        let seen = Arc::clone(&progress);
        let run = move || {
            let _ = told.send(work(&seen));
        };
        Builder::new().name("tapwright-offline".into()).spawn(run)?;
        Ok(Self {
            progress,
            state: Mutex::new(State::Running(outcome)),
        })
    }

    /// Wait without the interpreter; true when it has ended.
    fn look(&self, timeout: Duration) -> bool {
        let Ok(mut state) = self.state.lock() else {
            return true;
        };
        let State::Running(outcome) = &*state else {
            return true;
        };
        let ended = match outcome.recv_timeout(timeout) {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) => return false,
            Err(RecvTimeoutError::Disconnected) => None,
        };
        *state = State::Ended(ended);
        true
    }
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

#[pymethods]
impl OfflineJob {
    #[getter]
    fn read(&self) -> u64 {
        load(&self.progress.watch.read)
    }

    #[getter]
    fn total(&self) -> u64 {
        load(&self.progress.total)
    }

    #[getter]
    fn packets(&self) -> u64 {
        load(&self.progress.packets)
    }

    fn stop(&self) {
        self.progress.stop();
    }

    fn wait(&self, py: Python<'_>, timeout: f64) -> PyResult<bool> {
        let timeout = Duration::try_from_secs_f64(timeout)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(py.detach(|| self.look(timeout)))
    }

    fn result<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        while !py.detach(|| self.look(Duration::from_millis(200))) {
            py.check_signals()?;
        }
        let Ok(mut state) = self.state.lock() else {
            return Err(panicked());
        };
        let State::Ended(outcome) = &mut *state else {
            return Err(panicked());
        };
        match outcome.take() {
            Some(Ok(report)) => as_dict(py, &report),
            Some(Err(error)) => Err(raised(error)),
            None => Err(panicked()),
        }
    }
}

fn panicked() -> PyErr {
    PyRuntimeError::new_err("the thread ended without a result")
}

/// Errors keep the system's own number and the name of the file.
fn raised(error: OfflineError) -> PyErr {
    match error {
        OfflineError::Open(path, ReadError::Io(error))
        | OfflineError::Write(WriteError::Io(path, error)) => {
            let text = error.to_string();
            let words = text
                .split(" (os error")
                .next()
                .unwrap_or_default()
                .to_owned();
            match error.raw_os_error().or_else(|| number(&error)) {
                Some(number) => PyOSError::new_err((number, words, path)),
                None => PyOSError::new_err(format!("{}: {words}", path.display())),
            }
        }
        OfflineError::Write(WriteError::Exists(path)) => {
            PyFileExistsError::new_err((17, "File exists", path)) // EEXIST
        }
        OfflineError::Stopped => PyInterruptedError::new_err("stopped"),
        other => PyValueError::new_err(other.to_string()),
    }
}

/// Errors that Rust itself makes have no number.
fn number(error: &std::io::Error) -> Option<i32> {
    match error.kind() {
        std::io::ErrorKind::IsADirectory => Some(21), // EISDIR
        std::io::ErrorKind::BrokenPipe => Some(32),   // EPIPE
        _ => None,
    }
}

#[pyfunction]
fn decap(request: Request, unwrap: UnwrapRequest, raw_ip: Option<&str>) -> PyResult<OfflineJob> {
    let raw_ip = match raw_ip {
        None => None,
        Some("raw") => Some(RawIp::Raw),
        Some("ethernet") => Some(RawIp::Ethernet),
        Some(other) => {
            return Err(PyValueError::new_err(format!(
                "raw IP cannot become {other:?}"
            )))
        }
    };
    let (creation, about) = (request.creation(), request.about());
    let (inputs, output) = (request.inputs, request.output.into());
    let job = DecapJob {
        inputs,
        output,
        creation,
        options: unwrap.into(),
        raw_ip,
        about,
    };
    OfflineJob::start(move |progress| job.run(progress).map(Report::Decap))
}

#[pyfunction]
fn filter_file(
    request: Request,
    unwrap: UnwrapRequest,
    inner: Option<Vec<(u16, Vec<u8>)>>,
    outer: Option<Vec<(u16, Vec<u8>)>>,
    ids: Vec<u32>,
) -> PyResult<OfflineJob> {
    let programs = |packed: Option<Vec<_>>| packed.map(|packed| Programs::new(&packed)).transpose();
    let refused = |why: tapwright_core::bpf::Refused| PyValueError::new_err(why.to_string());
    let (inner, outer) = (
        programs(inner).map_err(refused)?,
        programs(outer).map_err(refused)?,
    );
    let (creation, about) = (request.creation(), request.about());
    let (inputs, output) = (request.inputs, request.output.into());
    let job = FilterJob {
        inputs,
        output,
        creation,
        options: unwrap.into(),
        inner,
        outer,
        ids,
        about,
    };
    OfflineJob::start(move |progress| job.run(progress).map(Report::Filter))
}

#[derive(FromPyObject)]
struct SliceRequest {
    start: Option<(bool, u64)>,
    end: Option<(bool, u64)>,
    range: Option<(u64, u64)>,
    first: u64,
    snaplen: u32,
}

/// Whether a moment counts from the first packet, and its nanoseconds.
fn moment((relative, time): (bool, u64)) -> Moment {
    if relative {
        Moment::After(time)
    } else {
        Moment::At(time)
    }
}

#[pyfunction]
#[pyo3(name = "slice_file")]
fn slice(request: Request, part: SliceRequest) -> PyResult<OfflineJob> {
    let (creation, about) = (request.creation(), request.about());
    let job = SliceJob {
        inputs: request.inputs,
        output: request.output.into(),
        creation,
        from: part.start.map(moment),
        to: part.end.map(moment),
        range: part.range,
        first: part.first,
        snaplen: part.snaplen,
        about,
    };
    OfflineJob::start(move |progress| job.run(progress).map(Report::Slice))
}

#[pyfunction]
#[pyo3(name = "split_file")]
fn split(
    request: Request,
    unwrap: UnwrapRequest,
    by: &str,
    amount: u64,
    most: usize,
) -> PyResult<OfflineJob> {
    let by = match by {
        "vm" => By::Vm,
        "vni" => By::Vni,
        "flow" => By::Flow,
        "time" => By::Time(amount),
        "size" => By::Size(amount),
        other => {
            return Err(PyValueError::new_err(format!(
                "nothing can be split by {other:?}"
            )))
        }
    };
    let (creation, about) = (request.creation(), request.about());
    let (inputs, pattern) = (request.inputs, request.output);
    let job = SplitJob {
        inputs,
        pattern,
        creation,
        by,
        most,
        options: unwrap.into(),
        about,
    };
    OfflineJob::start(move |progress| job.run(progress).map(Report::Split))
}

#[pyfunction]
fn info(input: PathBuf, unwrap: UnwrapRequest) -> PyResult<OfflineJob> {
    let job = InfoJob {
        input,
        options: unwrap.into(),
    };
    OfflineJob::start(move |progress| {
        job.run(progress)
            .map(|report| Report::Info(Box::new(report)))
    })
}

/// A dictionary of named values.
macro_rules! dict {
    ($py:expr, $($name:literal => $value:expr),* $(,)?) => {{
        let made = PyDict::new($py);
        $(made.set_item($name, $value)?;)*
        made
    }};
}

type Made<'py> = PyResult<Bound<'py, PyDict>>;

fn each<'py, T>(
    py: Python<'py>,
    items: &[T],
    make: impl Fn(Python<'py>, &T) -> Made<'py>,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    items.iter().map(|item| make(py, item)).collect()
}

fn as_dict<'py>(py: Python<'py>, report: &Report) -> Made<'py> {
    match report {
        Report::Decap(report) => decapped(py, report),
        Report::Filter(report) => Ok(
            dict!(py, "totals" => totals(py, &report.totals)?, "no_program" => &report.no_program),
        ),
        Report::Slice(report) => Ok(dict!(py, "totals" => totals(py, report)?)),
        Report::Split(report) => {
            let parts: Vec<_> = report
                .parts
                .iter()
                .map(|part| (part.path.to_string_lossy(), part.packets, part.bytes))
                .collect();
            Ok(dict!(py, "totals" => totals(py, &report.totals)?, "parts" => parts))
        }
        Report::Info(report) => known(py, report),
    }
}

fn totals<'py>(py: Python<'py>, totals: &Totals) -> Made<'py> {
    Ok(dict!(py,
        "inputs" => each(py, &totals.inputs, input)?,
        "packets" => totals.packets,
        "written" => totals.written,
        "bytes" => totals.bytes,
        "left_out" => &totals.left_out,
    ))
}

fn input<'py>(py: Python<'py>, input: &InputReport) -> Made<'py> {
    Ok(dict!(py,
        "path" => &input.path,
        "format" => &input.format,
        "packets" => input.packets,
        "damage" => &input.damage,
    ))
}

fn stuck<'py>(py: Python<'py>, stuck: &StuckReport) -> Made<'py> {
    Ok(dict!(py,
        "layer" => stuck.layer,
        "reason" => stuck.reason,
        "packets" => stuck.packets,
        "first" => stuck.first,
        "offset" => stuck.offset,
        "detail" => &stuck.detail,
    ))
}

fn decapped<'py>(py: Python<'py>, report: &DecapReport) -> Made<'py> {
    Ok(dict!(py,
        "totals" => totals(py, &report.totals)?,
        "unwrapped" => report.unwrapped,
        "layers" => &report.layers,
        "stuck" => each(py, &report.stuck, stuck)?,
        "wrappings" => report.wrappings,
    ))
}

fn amount<'py>(py: Python<'py>, amount: &Amount) -> Made<'py> {
    Ok(dict!(py,
        "packets" => amount.packets,
        "captured" => amount.captured,
        "wire" => amount.wire,
        "cut" => amount.cut,
        "first" => amount.first,
        "last" => amount.last,
    ))
}

fn section<'py>(py: Python<'py>, section: &Section) -> Made<'py> {
    Ok(dict!(py,
        "hardware" => &section.hardware,
        "os" => &section.os,
        "application" => &section.application,
        "comment" => &section.comment,
    ))
}

fn interface<'py>(py: Python<'py>, interface: &InterfaceInfo) -> Made<'py> {
    Ok(dict!(py,
        "name" => &interface.name,
        "description" => &interface.description,
        "link" => interface.link,
        "snaplen" => interface.snaplen,
        "filter" => &interface.filter,
        "amount" => amount(py, &interface.amount)?,
        "dropped" => interface.dropped,
        "statistics" => &interface.statistics,
        "comment" => &interface.comment,
    ))
}

fn known<'py>(py: Python<'py>, report: &InfoReport) -> Made<'py> {
    Ok(dict!(py,
        "input" => input(py, &report.input)?,
        "size" => report.size,
        "amount" => amount(py, &report.amount)?,
        "backwards" => report.backwards,
        "timeless" => report.timeless,
        "sections" => each(py, &report.sections, section)?,
        "interfaces" => each(py, &report.interfaces, interface)?,
        "wrappings" => &report.wrappings,
        "more_wrappings" => report.more_wrappings,
        "stuck" => each(py, &report.stuck, stuck)?,
        "blocks" => &report.blocks,
    ))
}

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<OfflineJob>()?;
    module.add_function(wrap_pyfunction!(decap, module)?)?;
    module.add_function(wrap_pyfunction!(filter_file, module)?)?;
    module.add_function(wrap_pyfunction!(slice, module)?)?;
    module.add_function(wrap_pyfunction!(split, module)?)?;
    module.add_function(wrap_pyfunction!(info, module)?)
}
