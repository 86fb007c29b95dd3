//! One interface block for each distinct wrapping.

use std::collections::HashMap;

use super::carry::Carry;
use super::stacks::{Seen, Stacks};
use crate::decap::{Name, Wrapping};
use crate::pcapng;
use crate::read::{Inputs, Origin};
use crate::write::WriteError;

/// None is known of inner frames; some readers refuse 0, which should mean that.
const SNAPLEN: u32 = 262_144;
const NANOSECONDS: u8 = 9;

/// Interfaces of the output, by what was around the frames.
pub struct Wrapped {
    stacks: Stacks,
    numbers: Vec<u32>,
    /// What all further ones share, for each link type.
    rest: HashMap<u16, u32>,
}

/// What an interface block is for.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The input and its interface.
    pub origin: (Origin, u32),
    /// Link type of the frames.
    pub link: u16,
    /// What was around them.
    pub stack: &'a [Wrapping],
}

impl Wrapped {
    /// None yet.
    pub fn new() -> Self {
        Self {
            stacks: Stacks::new(),
            numbers: Vec::new(),
            rest: HashMap::new(),
        }
    }

    /// How many distinct wrappings there were; None when they were too many to tell apart.
    pub fn count(&self) -> Option<usize> {
        self.rest.is_empty().then_some(self.stacks.len())
    }

    /// The number of the interface for `place`, which is described when it is new.
    #[inline]
    pub fn number(
        &mut self,
        carry: &mut Carry,
        inputs: &Inputs,
        place: &Place<'_>,
    ) -> Result<u32, WriteError> {
        let (origin, interface) = place.origin;
        let tag = (origin as u64) << 48 | u64::from(interface) << 16 | u64::from(place.link);
        match self.stacks.see(tag, place.stack) {
            Seen::Before(index) => Ok(self.numbers.get(index).copied().unwrap_or(0)),
            Seen::Now => self.describe(carry, inputs, place),
            Seen::TooMany => self.another(carry, inputs, place.link),
        }
    }

    #[cold]
    fn describe(
        &mut self,
        carry: &mut Carry,
        inputs: &Inputs,
        place: &Place<'_>,
    ) -> Result<u32, WriteError> {
        carry.begin(inputs)?;
        let (origin, interface) = place.origin;
        let digits = inputs
            .reader(origin)
            .interfaces()
            .get(interface as usize)
            .map_or(NANOSECONDS, |found| found.resolution.digits());
        let about = pcapng::Interface {
            linktype: place.link,
            name: name(inputs, place),
            description: from(inputs, place.origin),
            snaplen: SNAPLEN,
            ..pcapng::Interface::default()
        };
        let number = carry.writer.interface(&about, digits)?;
        self.numbers.push(number);
        Ok(number)
    }

    #[cold]
    fn another(
        &mut self,
        carry: &mut Carry,
        inputs: &Inputs,
        link: u16,
    ) -> Result<u32, WriteError> {
        if let Some(number) = self.rest.get(&link) {
            return Ok(*number);
        }
        carry.begin(inputs)?;
        let about = pcapng::Interface {
            linktype: link,
            snaplen: SNAPLEN,
            name: "more wrappings".to_owned(),
            ..pcapng::Interface::default()
        };
        let number = carry.writer.interface(&about, NANOSECONDS)?;
        self.rest.insert(link, number);
        Ok(number)
    }
}

/// Readable, and that of the input where nothing was taken off.
fn name(inputs: &Inputs, place: &Place<'_>) -> String {
    let (origin, interface) = place.origin;
    match inputs.reader(origin).interfaces().get(interface as usize) {
        Some(found) if place.stack.is_empty() => found.name.clone(),
        _ => Name(place.stack).to_string(),
    }
}

/// Where a packet was captured, for people.
fn from(inputs: &Inputs, (origin, interface): (Origin, u32)) -> String {
    let file = inputs
        .path(origin)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    match inputs.reader(origin).interfaces().get(interface as usize) {
        Some(found) if !found.name.is_empty() => {
            format!("unwrapped, was on {} in {file}", found.name)
        }
        _ => format!("unwrapped, was in {file}"),
    }
}
