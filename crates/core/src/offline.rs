//! The offline verbs: capture files in, capture files or figures out.  One pass, bounded memory, any system.

#![deny(clippy::indexing_slicing)]

mod carry;
mod clock;
mod decap;
mod dress;
mod error;
mod filter;
mod flow;
mod info;
mod progress;
mod pump;
mod report;
mod slice;
mod split;
mod stacks;
mod wrapped;

pub use carry::About;
pub use decap::{DecapJob, DecapReport};
pub use dress::RawIp;
pub use error::OfflineError;
pub use filter::{FilterJob, FilterReport, Programs};
pub use info::{Amount, InfoJob, InfoReport, InterfaceInfo};
pub use progress::Progress;
pub use report::{InputReport, StuckReport, Totals};
pub use slice::{Moment, SliceJob};
pub use split::{By, Part, SplitJob, SplitReport};
