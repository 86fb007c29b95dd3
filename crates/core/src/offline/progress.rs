use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use super::error::OfflineError;
use crate::read::{Inputs, Watch};

/// How far a verb is, for others to look at; and the way to stop it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of the input files read so far, and whether to go on.
    pub watch: Arc<Watch>,
    /// Bytes there are to read; 0 when unknown.
    pub total: AtomicU64,
    /// Packets read so far.
    pub packets: AtomicU64,
}

/// Between two looks at the stop flag.
const STRIDE: u64 = 1024;

impl Progress {
    /// Ask it to end without a result.
    pub fn stop(&self) {
        self.watch.stop();
    }

    /// Open the inputs, so that how much was read of how much can be told.
    pub(super) fn open(&self, paths: &[PathBuf]) -> Result<Inputs, OfflineError> {
        let opened = Inputs::open(paths, &self.watch);
        self.check()?;
        let inputs = opened?;
        let sizes: Option<Vec<u64>> = (0..inputs.count())
            .map(|origin| inputs.reader(origin).size())
            .collect();
        self.total.store(
            sizes.map_or(0, |sizes| sizes.iter().sum()),
            Ordering::Relaxed,
        );
        Ok(inputs)
    }

    /// To be called for each item; `packets` is how many there were.
    #[inline]
    pub(super) fn at(&self, packets: u64) -> Result<(), OfflineError> {
        if packets % STRIDE == 0 {
            return self.look(packets);
        }
        Ok(())
    }

    #[cold]
    fn look(&self, packets: u64) -> Result<(), OfflineError> {
        self.packets.store(packets, Ordering::Relaxed);
        self.check()
    }

    /// Whether it was asked to end: a pipe that was no longer waited for looks as if it had.
    pub(super) fn check(&self) -> Result<(), OfflineError> {
        if self.watch.stopped() {
            return Err(OfflineError::Stopped);
        }
        Ok(())
    }
}
