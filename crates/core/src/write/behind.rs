use std::io;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::thread::{Builder, JoinHandle};

use super::compress::Sink;

/// Writes (and compresses) in a thread of its own, a few buffers behind.
pub struct Behind {
    full: Option<SyncSender<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// Buffers on their way; more would not make it faster.
const BUFFERS: usize = 3;

impl Behind {
    /// Start the thread.
    pub fn new(sink: Sink, size: usize) -> io::Result<Self> {
        let (full, todo) = sync_channel::<Vec<u8>>(BUFFERS);
        let (done, empty) = sync_channel(BUFFERS + 1);
        for _ in 0..BUFFERS {
            let _ = done.send(Vec::with_capacity(size));
        }
        let thread = Builder::new()
            .name("tapwright-write".into())
            .spawn(move || work(sink, &todo, &done))?;
        Ok(Self {
            full: Some(full),
            empty,
            thread: Some(thread),
        })
    }

    /// Hand over a full buffer and get an empty one.
    pub fn swap(&mut self, buffer: Vec<u8>) -> io::Result<Vec<u8>> {
        let sent = self
            .full
            .as_ref()
            .is_some_and(|full| full.send(buffer).is_ok());
        match self.empty.recv() {
            Ok(empty) if sent => Ok(empty),
            _ => Err(self.finish().err().unwrap_or_else(gone)),
        }
    }

    /// Wait until all is written.
    pub fn finish(&mut self) -> io::Result<()> {
        self.full = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(gone()),
            None => Ok(()),
        }
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

fn work(mut sink: Sink, todo: &Receiver<Vec<u8>>, done: &SyncSender<Vec<u8>>) -> io::Result<()> {
    while let Ok(mut buffer) = todo.recv() {
        sink.write(&buffer)?;
        buffer.clear();
        let _ = done.send(buffer);
    }
    sink.finish()
}

fn gone() -> io::Error {
    io::Error::other("the writing thread has ended")
}
