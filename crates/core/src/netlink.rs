//! What the kernel knows of network devices, asked over rtnetlink.
//!
//! Attributes are walked by hand on `netlink-packet-core`'s iterators: a device in somebody's
//! container may carry any bytes as its name, and one such device must not hide the others.
//! Nothing here panics on what the kernel or a stranger wrote; what cannot be read is left out.

mod counters;
mod link;
mod message;
mod peers;
mod scan;
mod socket;
mod tunnel;

pub use counters::{counters, CounterReader, LinkCounters};
pub use link::{Link, PortVlans};
pub use message::{message, Refusal};
pub use scan::{counters_of, scan, Namespace, Neighbour};
pub use socket::in_netns;
pub use tunnel::Tunnel;
