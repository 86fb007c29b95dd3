//! One offline verb at work, as Python sees it: how far it is, what came of it.

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
use tapwright_core::offline::{OfflineError, Progress};
use tapwright_core::read::ReadError;
use tapwright_core::write::WriteError;

use super::report::{as_dict, Report};

type Outcome = Result<Report, OfflineError>;

enum State {
    Running(Receiver<Outcome>),
    Ended(Option<Outcome>),
}

/// One verb at work, in a thread of its own.
#[pyclass(frozen, module = "tapwright._core")]
pub(super) struct OfflineJob {
    progress: Arc<Progress>,
    state: Mutex<State>,
}

impl OfflineJob {
    pub(super) fn start(
        work: impl FnOnce(&Progress) -> Outcome + Send + 'static,
    ) -> PyResult<Self> {
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
