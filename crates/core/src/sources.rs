//! All sources of a capture.

use std::io;
use std::ops::{Index, IndexMut};

use crate::account::SourceAccount;
use crate::geometry::SMALL;
use crate::govern::Step;
use crate::order::Order;
use crate::parallel::parallel;
use crate::ports::Ports;
use crate::ring::Geometry;
use crate::source::{Role, Source, Spec};

/// The open sources, in the order of the file's interface blocks.
pub struct Sources {
    all: Vec<Source>,
    ports: Ports,
    shape: Geometry,
}

impl Sources {
    /// Open every source; on failure, what the device is called, and why.
    pub fn open(specs: Vec<Spec>, shape: Geometry) -> Result<Self, (String, io::Error)> {
        let opened = parallel(specs, |spec| {
            let device = spec.device.clone();
            let shape = if spec.role == Role::Strange {
                SMALL
            } else {
                shape
            };
            Source::open(spec, shape).map_err(|error| (device, error))
        });
        let mut sources = Self {
            all: Vec::with_capacity(opened.len()),
            ports: Ports::default(),
            shape,
        };
        let mut failed = None;
        for result in opened {
            match result {
                Ok(source) => sources.all.push(source),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(failed) = failed {
            return Err(failed);
        }
        for source in &mut sources.all {
            let listening = source.listen(&mut sources.ports);
            listening.map_err(|error| (source.spec().device.clone(), error))?;
        }
        Ok(sources)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Source> {
        self.all.iter()
    }

    /// Of each ring.
    pub fn shape(&self) -> Geometry {
        self.shape
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Take at most one block of each ring; whether there was any.
    pub fn gather(&mut self, order: &mut Order) -> bool {
        let mut came = false;
        for (number, source) in self.all.iter_mut().enumerate() {
            came |= source.gather(number as u16, order);
        }
        came
    }

    /// No packet older than this can still come, if `now` was read before the last `gather`.
    pub fn horizon(&self, now: u64) -> u64 {
        let horizons = self.all.iter().map(|source| source.horizon(now));
        horizons.min().unwrap_or(now)
    }

    /// Time of the newest packet of those rings that run full.
    pub fn pressed(&self) -> Option<u64> {
        let pressed = self.all.iter().filter(|source| source.is_pressed());
        pressed.map(Source::latest).max()
    }

    /// Do as a step says; how many sources could not.
    pub fn step(&mut self, step: &Step) -> usize {
        let mut refused = 0;
        for (source, (program, one_in)) in self.all.iter_mut().zip(&step.filters) {
            if !program.is_empty() {
                let done = source.step(program, *one_in, &mut self.ports);
                refused += usize::from(done.is_err());
            }
        }
        refused
    }

    /// Let nothing more in.
    pub fn close_intake(&mut self) {
        for source in &mut self.all {
            source.close_intake(&mut self.ports);
        }
    }

    /// Read the kernel's counts.
    pub fn count(&mut self) {
        self.all.iter_mut().for_each(Source::count);
    }

    /// Whether all the kernel accepted has been gathered.
    pub fn is_gathered(&self) -> bool {
        self.all.iter().all(Source::is_gathered)
    }

    /// Whether no device is left.
    pub fn are_gone(&self) -> bool {
        self.all.iter().all(Source::is_gone)
    }

    /// Read the ports' own counters.
    pub fn refresh(&mut self) {
        self.count(); // what is left out by sampling is the difference of both
        self.ports.refresh(&mut self.all);
    }

    /// Notice devices that are gone.
    pub fn look_after(&mut self) {
        self.all.iter_mut().for_each(Source::look_after);
        let all = &self.all;
        if all.iter().any(Source::is_gone) {
            let lives = |path: &str| {
                let mut inside = all.iter().filter(|source| source.spec().netns == path);
                inside.any(|source| !source.is_gone())
            };
            self.ports.keep(lives);
        }
    }

    /// Copies of their accounts.
    pub fn accounts(&self) -> Vec<SourceAccount> {
        self.all
            .iter()
            .map(|source| source.account.clone())
            .collect()
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        parallel(std::mem::take(&mut self.all), drop);
    }
}

impl Index<u16> for Sources {
    type Output = Source;

    #[inline]
    fn index(&self, number: u16) -> &Source {
        &self.all[usize::from(number)]
    }
}

impl IndexMut<u16> for Sources {
    #[inline]
    fn index_mut(&mut self, number: u16) -> &mut Source {
        &mut self.all[usize::from(number)]
    }
}
