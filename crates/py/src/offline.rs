//! The offline verbs as Python sees them; requests are read by attribute name (`tapwright.read.request`).

#![allow(clippy::needless_pass_by_value)] // what was extracted from Python objects is ours

mod job;
mod report;

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tapwright_core::offline::{
    About, By, DecapJob, FilterJob, InfoJob, Moment, Programs, RawIp, SliceJob, SplitJob,
};
use tapwright_core::write::Creation;

use crate::unwrap::UnwrapRequest;
use job::OfflineJob;
use report::Report;

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

pub(super) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<OfflineJob>()?;
    module.add_function(wrap_pyfunction!(decap, module)?)?;
    module.add_function(wrap_pyfunction!(filter_file, module)?)?;
    module.add_function(wrap_pyfunction!(slice, module)?)?;
    module.add_function(wrap_pyfunction!(split, module)?)?;
    module.add_function(wrap_pyfunction!(info, module)?)
}
