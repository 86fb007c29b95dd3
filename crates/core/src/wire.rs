//! Packet headers: each is checked once when it is read; what it then says cannot fail.
//!
//! Nothing here indexes beyond what was checked, allocates or panics, whatever the bytes are.

#![deny(clippy::indexing_slicing)]

pub mod cooked;
pub mod erspan;
pub mod ethernet;
mod fault;
pub mod geneve;
pub mod gre;
pub mod gtpu;
pub mod ip;
pub mod l2tp;
pub mod mpls;
pub mod nsh;
pub mod ppp;
pub mod udp;
pub mod vxlan;
pub mod wlan;

pub use fault::Fault;

/// The first `N` bytes, or how many are missing.
fn head<const N: usize>(bytes: &[u8]) -> Result<&[u8; N], Fault> {
    bytes.first_chunk::<N>().ok_or(Fault::Short {
        needed: N,
        had: bytes.len(),
    })
}

/// `N` bytes at `offset`, or how many are missing.
fn at<const N: usize>(bytes: &[u8], offset: usize) -> Result<&[u8; N], Fault> {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk::<N>())
        .ok_or(Fault::Short {
            needed: offset + N,
            had: bytes.len(),
        })
}

/// That at least `needed` bytes are there.
fn require(bytes: &[u8], needed: usize) -> Result<(), Fault> {
    if bytes.len() < needed {
        return Err(Fault::Short {
            needed,
            had: bytes.len(),
        });
    }
    Ok(())
}

/// Three bytes as a number: VNIs and service identifiers.
fn be24([a, b, c]: [u8; 3]) -> u32 {
    u32::from_be_bytes([0, a, b, c])
}
