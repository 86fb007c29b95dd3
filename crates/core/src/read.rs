//! Reading capture files: pcap and pcapng, plain or compressed, one pass, in bounded memory.
//!
//! Files are hostile. A damaged one yields everything before the damage, then says what is wrong
//! and at which byte. No length in a file is believed further than `LARGEST_BLOCK`.

#![deny(clippy::indexing_slicing)]

mod ahead;
mod buffer;
mod byteorder;
#[cfg(test)]
mod craft;
mod error;
mod format;
mod interface;
mod item;
mod located;
mod merge;
mod options;
mod pcap;
mod pcapng;
mod reader;
mod source;
mod watch;

pub use error::ReadError;
pub use format::{Compression, Format};
pub use interface::{Interface, Resolution, Section};
pub use item::{Block, BlockKind, Item, Packet, Statistics};
pub use merge::{Inputs, Origin};
pub use options::{code, each as each_option, put as put_option, Options};
pub use reader::{Reader, Step};
pub use watch::Watch;

/// The largest block or record that is believed; as Wireshark and libpcap have it.
pub const LARGEST_BLOCK: usize = 16 << 20;
