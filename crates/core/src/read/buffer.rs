use std::io::{self, ErrorKind, Read};

use super::ahead::{Ahead, ROOM};
use super::error::{Damage, ReadError};
use super::LARGEST_BLOCK;

const RECORD_HEADER: usize = 24;

/// Where bytes are in a `Buffer`: begin and end.
pub type Stretch = (usize, usize);

/// Where bytes come from.
enum Supply {
    /// Straight from the stream, no more than there is.
    Stream(Box<dyn Read + Send>),
    /// From a thread that reads ahead.
    Ahead(Ahead),
}

/// A window onto a stream: bytes are looked at where they lie and then passed over.
pub struct Buffer {
    supply: Supply,
    data: Vec<u8>,
    start: usize,
    end: usize,
    /// Where `start` is in the stream.
    offset: u64,
    compressed: bool,
    /// The stream has ended, and how: everything before is delivered first.
    over: Option<io::Result<()>>,
}

impl Buffer {
    /// A window of at least `size` bytes.
    pub fn new(stream: Box<dyn Read + Send>, size: usize, compressed: bool) -> Self {
        Self {
            supply: Supply::Stream(stream),
            data: vec![0; size.max(64)],
            start: 0,
            end: 0,
            offset: 0,
            compressed,
            over: None,
        }
    }

    /// A window that a thread fills ahead of us.
    pub fn ahead(stream: Box<dyn Read + Send>, size: usize, compressed: bool) -> io::Result<Self> {
        let supply = Supply::Ahead(Ahead::new(stream, size)?);
        Ok(Self {
            supply,
            data: Vec::new(),
            start: 0,
            end: 0,
            offset: 0,
            compressed,
            over: None,
        })
    }

    /// Where we are in the stream.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next `count` bytes, None when the stream ended before them.
    #[inline]
    pub fn peek(&mut self, count: usize) -> Option<&[u8]> {
        if self.end - self.start < count {
            self.fill(count);
        }
        self.data
            .get(self.start..self.start + count)
            .filter(|_| self.end - self.start >= count)
    }

    /// As `peek`, for an array.
    #[inline]
    pub fn peek_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.peek(N)?.first_chunk::<N>().copied()
    }

    /// What is there without waiting for more.
    #[inline]
    pub fn there(&self) -> &[u8] {
        self.data.get(self.start..self.end).unwrap_or_default()
    }

    /// Pass over `count` bytes that were peeked at; where they are, for `at`.
    #[inline]
    pub fn pass(&mut self, count: usize) -> Stretch {
        let begin = self.start;
        self.start = (begin + count).min(self.end);
        self.offset += (self.start - begin) as u64;
        (begin, self.start)
    }

    /// Bytes passed over since the last `peek`.
    #[inline]
    pub fn at(&self, (begin, end): Stretch) -> &[u8] {
        self.data.get(begin..end).unwrap_or_default()
    }

    /// How many bytes are left of a stream that has ended.
    pub const fn left(&self) -> usize {
        self.end - self.start
    }

    /// Damage that begins `back` bytes before here.
    pub fn damaged(&self, back: usize, what: Damage) -> ReadError {
        ReadError::Damaged {
            offset: self.offset - back as u64,
            what,
            compressed: self.compressed,
        }
    }

    /// Why `peek(needed)` gave nothing although the stream should go on.
    pub fn cut_short(&mut self, needed: u64) -> ReadError {
        let had = self.left() as u64;
        let Some(Err(error)) = self.over.take_if(|over| over.is_err()) else {
            return self.damaged(0, Damage::CutShort { needed, had });
        };
        self.over = Some(Ok(()));
        if self.compressed {
            return self.damaged(0, Damage::Compression(error.to_string()));
        }
        ReadError::Io(error)
    }

    /// At the end of all blocks: whether the stream ended there by itself.
    pub fn ended(&mut self) -> Result<(), ReadError> {
        match self.over {
            Some(Err(_)) => Err(self.cut_short(0)),
            _ => Ok(()),
        }
    }

    #[cold]
    fn fill(&mut self, count: usize) {
        if count > LARGEST_BLOCK + RECORD_HEADER {
            return; // whoever asks has checked the length; a stream of that size is not buffered
        }
        match &mut self.supply {
            Supply::Stream(_) => self.fill_here(count),
            Supply::Ahead(_) => {
                while self.end - self.start < count && self.over.is_none() {
                    self.next_chunk();
                }
            }
        }
    }

    fn fill_here(&mut self, count: usize) {
        self.data.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if count > self.data.len() {
            self.data.resize(count, 0);
        }
        while self.end < count && self.over.is_none() {
            let Supply::Stream(stream) = &mut self.supply else {
                return;
            };
            let Some(room) = self.data.get_mut(self.end..) else {
                return;
            };
            match stream.read(room) {
                Ok(0) => self.over = Some(Ok(())),
                Ok(more) => self.end += more.min(room.len()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.over = Some(Err(error)),
            }
        }
    }

    /// Take the next chunk, and put what is left of this one in front of it.
    fn next_chunk(&mut self) {
        let Supply::Ahead(ahead) = &mut self.supply else {
            return;
        };
        let mut chunk = match ahead.next() {
            Ok(chunk) if chunk.is_empty() => return self.over = Some(Ok(())),
            Ok(chunk) => chunk,
            Err(error) => return self.over = Some(Err(error)),
        };
        let left = self.data.get(self.start..self.end).unwrap_or_default();
        let front = ROOM.checked_sub(left.len());
        if let Some(room) = front.and_then(|at| chunk.get_mut(at..ROOM)) {
            room.copy_from_slice(left);
            self.start = ROOM - left.len();
            std::mem::swap(&mut self.data, &mut chunk);
        } else {
            self.data.truncate(self.end);
            self.data.drain(..self.start);
            let more = chunk.get(ROOM..).unwrap_or_default();
            self.data.extend_from_slice(more);
            self.start = 0;
        }
        self.end = self.data.len();
        if chunk.capacity() > ROOM {
            ahead.give_back(chunk);
        }
    }
}
