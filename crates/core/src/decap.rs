//! Unwrapping: from a packet as it was captured to the innermost frame in it, byte-exact and without a copy.
//!
//! Every encapsulation is one function in one file of this folder, and one row in `table.rs`.
//! A function reads its header, says what it found (`Walk::wrap`) and hands over what is inside.
//! A layer that does not parse stays as it is: the frame around it is then the innermost one,
//! and the reason is told.

#![deny(clippy::indexing_slicing)]

mod capwap;
mod erspan;
mod fabricpath;
mod frame;
mod geneve;
mod glance;
mod gre;
mod gtpu;
mod ip;
mod kind;
mod l2tp;
mod mpls;
mod nsh;
mod options;
mod pbb;
mod pim;
mod ppp;
mod span;
mod table;
mod teredo;
mod tzsp;
mod vxlan;
mod walk;
mod wrapping;

#[cfg(test)]
mod craft;

pub use frame::{Frame, FrameKind};
pub use kind::Kind;
pub use options::Options;
pub use span::Span;
pub use walk::{Decap, Marks, Stuck, Unwrapped};
pub use wrapping::{Name, Wrapping};

use crate::wire::Fault;

/// What an encapsulation's function gives back: the frame inside, or why there is none to be had.
type Inside<'a> = Result<Frame<'a>, Fault>;
