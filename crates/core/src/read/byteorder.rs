use crate::read::error::Damage;

/// The byte order of a file or section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

impl Order {
    /// That of this machine.
    pub const NATIVE: Self = if cfg!(target_endian = "big") {
        Self::Big
    } else {
        Self::Little
    };

    /// 16 bits.
    #[inline]
    pub const fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    /// 32 bits.
    #[inline]
    pub const fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    /// 64 bits.
    #[inline]
    pub const fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }
}

/// The fields of a block, one after another.
pub struct Fields<'a> {
    bytes: &'a [u8],
    order: Order,
    whole: usize,
}

impl<'a> Fields<'a> {
    /// Fields of `bytes`.
    #[inline]
    pub const fn new(bytes: &'a [u8], order: Order) -> Self {
        Self {
            bytes,
            order,
            whole: bytes.len(),
        }
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let Some((field, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(self.short(N));
        };
        self.bytes = rest;
        Ok(*field)
    }

    fn short(&self, more: usize) -> Damage {
        let needed = self.whole - self.bytes.len() + more;
        Damage::Length {
            of: "block body",
            says: self.whole as u64,
            bound: needed as u64,
        }
    }

    /// The next 16 bits.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Damage> {
        self.take().map(|bytes| self.order.u16(bytes))
    }

    /// The next 32 bits.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, Damage> {
        self.take().map(|bytes| self.order.u32(bytes))
    }

    /// The next 64 bits.
    pub fn u64(&mut self) -> Result<u64, Damage> {
        self.take().map(|bytes| self.order.u64(bytes))
    }

    /// A time, high word first whatever the order.
    #[inline]
    pub fn time(&mut self) -> Result<u64, Damage> {
        Ok(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }

    /// How many bytes were taken so far.
    #[inline]
    pub const fn position(&self) -> usize {
        self.whole - self.bytes.len()
    }

    /// What is left.
    #[inline]
    pub const fn rest(&self) -> &'a [u8] {
        self.bytes
    }
}
