//! Writing capture files: pcapng or pcap, compressed by suffix, in place only when complete.

#![deny(clippy::indexing_slicing)]

mod behind;
mod compress;
mod error;
mod layout;
mod out;
mod target;
mod writer;

pub use error::WriteError;
pub use layout::Layout;
pub use target::Creation;
pub use writer::Writer;
