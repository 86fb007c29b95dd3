//! What the engine is asked to do, read from Python's objects by attribute name (`tapwright.capture.request`).

use std::net::IpAddr;
use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tapwright_core::bpf::Program;
use tapwright_core::decap::Options;
use tapwright_core::destination::Creation;
use tapwright_core::engine::Limits;
use tapwright_core::out::Output;
use tapwright_core::pcapng::{Interface, Section, ETHERNET};
use tapwright_core::ring::{duplicate, Instruction};
use tapwright_core::sink::Rotation;
use tapwright_core::source::{Role, Spec};

use crate::unwrap::UnwrapRequest;

#[derive(FromPyObject)]
pub(super) struct SourceRequest {
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
pub(super) struct SectionRequest {
    hardware: String,
    os: String,
    application: String,
    comment: String,
    names: Vec<(String, String)>,
}

#[derive(FromPyObject)]
pub(super) struct OutputRequest {
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
pub(super) struct LimitsRequest {
    snaplen: u32,
    packets: u64,
    seconds: f64,
    bytes: u64,
    buffer: u64,
}

pub(super) fn spec(request: SourceRequest, snaplen: u32, os: &str) -> PyResult<Spec> {
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

pub(super) fn unpacked(bytes: &[u8]) -> PyResult<Vec<Instruction>> {
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

pub(super) fn limits(request: LimitsRequest) -> PyResult<Limits> {
    if !request.seconds.is_finite() || request.seconds < 0.0 || request.snaplen == 0 {
        return Err(PyValueError::new_err(
            "limits must be finite, and the snap length positive",
        ));
    }
    Ok(Limits {
        snaplen: request.snaplen,
        packets: request.packets,
        seconds: request.seconds,
        bytes: request.bytes,
        buffer: request.buffer,
    })
}

/// What the file says of the host, and the names of its addresses.
pub(super) fn section(request: SectionRequest) -> (Section, Vec<(IpAddr, String)>) {
    let names = request
        .names
        .iter()
        .filter_map(|(text, name)| Some((address(text)?.0, name.clone())))
        .collect();
    let about = Section {
        hardware: request.hardware,
        os: request.os,
        application: request.application,
        comment: request.comment,
    };
    (about, names)
}

pub(super) fn output(request: OutputRequest) -> PyResult<Output> {
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
