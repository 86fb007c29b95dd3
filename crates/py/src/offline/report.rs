//! What offline verbs report, as Python sees it: dictionaries.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use tapwright_core::offline::{
    Amount, DecapReport, FilterReport, InfoReport, InputReport, InterfaceInfo, SplitReport,
    StuckReport, Totals,
};
use tapwright_core::read::Section;

/// What a verb found.
pub(super) enum Report {
    Decap(DecapReport),
    Filter(FilterReport),
    Slice(Totals),
    Split(SplitReport),
    Info(Box<InfoReport>),
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

/// What a verb found, as a dictionary.
pub(super) fn as_dict<'py>(py: Python<'py>, report: &Report) -> Made<'py> {
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
