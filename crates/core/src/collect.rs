//! Receiving mirrors: who exports what to us, and what of it is missing.

mod sequence;
mod sessions;
mod strangers;

pub use sequence::{Arrival, Sequence};
pub use sessions::{Session, Sessions};
pub use strangers::Strangers;
