use std::fmt;

use super::kind::Kind;
use crate::wire::ip::Addresses;

/// One layer that was taken off: who sent it to whom, and which of their tunnels it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wrapping {
    /// Which encapsulation.
    pub kind: Kind,
    /// VNI, key, session, label, tunnel endpoint...: what the encapsulation tells its tunnels apart by.
    pub id: Option<u32>,
    /// The addresses of the IP header that carried it, when there was one.
    pub outer: Option<Addresses>,
    /// The mirrored port's index, in ERSPAN type II.
    pub index: Option<u32>,
}

impl Wrapping {
    /// All of it as a few numbers, for hashing: many packets a second are told apart by this.
    #[inline]
    pub fn words(&self, mut word: impl FnMut(u64)) {
        let id = self.id.map_or(u64::MAX, u64::from);
        word(self.kind as u64 ^ id << 8);
        if let Some(index) = self.index {
            word(u64::from(index));
        }
        match self.outer {
            None => {}
            Some(Addresses::V4(source, destination)) => {
                word(
                    u64::from(u32::from_ne_bytes(source)) << 32
                        | u64::from(u32::from_ne_bytes(destination)),
                );
            }
            Some(Addresses::V6(source, destination)) => {
                for half in [source, destination].map(u128::from_ne_bytes) {
                    word(half as u64);
                    word((half >> 64) as u64);
                }
            }
        }
    }
}

impl fmt::Display for Wrapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if let Some(id) = self.id {
            write!(f, " {id}")?;
        }
        if let Some(index) = self.index {
            write!(f, " index {index}")?;
        }
        if let Some(outer) = self.outer {
            let (source, destination) = outer.pair();
            write!(f, " {source}>{destination}")?;
        }
        Ok(())
    }
}

/// The readable name of all layers around a frame, outermost first: `geneve 7 10.0.0.1>10.0.0.2 / vxlan 5001 ...`.
pub struct Name<'a>(pub &'a [Wrapping]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, wrapping) in self.0.iter().enumerate() {
            if depth > 0 {
                f.write_str(" / ")?;
            }
            wrapping.fmt(f)?;
        }
        Ok(())
    }
}
