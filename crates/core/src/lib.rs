//! Everything tapwright does per packet.
//!
//! What works on files does so on any system; what captures is Linux.

#[cfg(target_os = "linux")]
pub mod account;
#[cfg(target_os = "linux")]
pub mod batch;
#[cfg(target_os = "linux")]
pub mod body;
pub mod bpf;
#[cfg(target_os = "linux")]
pub mod collect;
#[cfg(target_os = "linux")]
mod compose;
pub mod decap;
#[cfg(target_os = "linux")]
pub mod destination;
#[cfg(target_os = "linux")]
pub mod engine;
#[cfg(target_os = "linux")]
pub mod frame;
#[cfg(target_os = "linux")]
pub mod geometry;
#[cfg(target_os = "linux")]
pub mod govern;
#[cfg(target_os = "linux")]
mod nap;
#[cfg(target_os = "linux")]
pub mod netlink;
#[cfg(target_os = "linux")]
pub mod netns;
pub mod offline;
#[cfg(target_os = "linux")]
pub mod order;
#[cfg(target_os = "linux")]
pub mod out;
#[cfg(target_os = "linux")]
mod parallel;
pub mod pcapng;
#[cfg(target_os = "linux")]
pub mod ports;
pub mod read;
#[cfg(target_os = "linux")]
pub mod ring;
#[cfg(target_os = "linux")]
pub mod sink;
#[cfg(target_os = "linux")]
pub mod source;
#[cfg(target_os = "linux")]
mod sources;
#[cfg(target_os = "linux")]
mod waiting;
pub mod wire;
#[cfg(target_os = "linux")]
mod worker;
pub mod write;
