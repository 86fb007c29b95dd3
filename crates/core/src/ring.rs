//! One `AF_PACKET` socket with a `TPACKET_V3` ring: the only unsafe code of the crate.
//!
//! Layouts are those of `linux/if_packet.h`. The kernel fills blocks and hands them over one
//! by one; a block belongs to us from the moment its status says USER until we give it back.
//! A `Block` borrows the ring, so it cannot outlive its memory, and `release` takes the ring
//! mutably, so no block can be looked at while it is given back.
#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{c_int, c_void, socklen_t};

/// One classic BPF instruction, as the kernel's `struct sock_filter`.
pub type Instruction = libc::sock_filter;

/// The kernel's largest classic BPF program (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// How large a ring is and how long a packet may wait in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes of one block, a power of two of at least one page.
    pub block_size: u32,
    /// Number of blocks, at least 2.
    pub blocks: u32,
    /// Milliseconds after which the kernel hands over a block that is not full.
    pub retire_ms: u32,
}

/// What the kernel counted since it was last asked (`struct tpacket_stats_v3`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Statistics {
    /// Packets the filter accepted, dropped ones included.
    pub accepted: u64,
    /// Of those, lost because the ring was full.
    pub dropped: u64,
}

/// An open ring, bound to one device.
pub struct Ring {
    fd: OwnedFd,
    /// As words, which all fields we touch while the kernel may are.
    map: NonNull<AtomicU32>,
    geometry: Geometry,
}

// SAFETY: the map is plain memory that only this value points to; nothing of it is bound to a thread.
unsafe impl Send for Ring {}

// tpacket_block_desc: version, offset_to_priv, then hdr.bh1 with block_status and num_pkts
const BLOCK_STATUS: usize = 8;
const BLOCK_PACKETS: usize = 12;
const STATUS_USER: u32 = 1; // TP_STATUS_USER
const STATUS_LOSING: u32 = 1 << 2; // TP_STATUS_LOSING

impl Ring {
    /// Open a socket in the calling thread's namespace, with its filter and ring; it hears nothing until it is bound.
    pub fn open(geometry: Geometry, filter: &[Instruction]) -> io::Result<Self> {
        // Protocol 0: no device is heard.
        // SAFETY: no pointers.
        let fd = unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                0,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a descriptor we just got and nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        set(&fd, libc::SOL_PACKET, libc::PACKET_VERSION, &V3)?;
        attach(&fd, filter)?;
        let map = map_ring(&fd, geometry)?;
        Ok(Self { fd, map, geometry })
    }

    /// Hear a device from now on.
    pub fn bind(&self, ifindex: u32) -> io::Result<()> {
        // SAFETY: sockaddr_ll is plain data for which zero is valid.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = i32::try_from(ifindex).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: the address is a live sockaddr_ll of the size given.
        check(unsafe {
            libc::bind(
                self.fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as socklen_t,
            )
        })
    }

    /// Hear frames for any address, until the socket is closed.
    pub fn hear_all(&self, ifindex: u32) -> io::Result<()> {
        // SAFETY: packet_mreq is plain data for which zero is valid.
        let mut wish: libc::packet_mreq = unsafe { std::mem::zeroed() };
        wish.mr_ifindex = i32::try_from(ifindex).map_err(|_| io::ErrorKind::InvalidInput)?;
        wish.mr_type = libc::PACKET_MR_PROMISC as libc::c_ushort;
        set(
            &self.fd,
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            &wish,
        )
    }

    /// Replace the filter; takes effect for the next packet.
    pub fn set_filter(&self, filter: &[Instruction]) -> io::Result<()> {
        attach(&self.fd, filter)
    }

    /// The ring's size and timing.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Block `index` when the kernel has handed it over.
    pub fn block(&self, index: u32) -> Option<Block<'_>> {
        let status = self.word(index, BLOCK_STATUS).load(Ordering::Acquire);
        if status & STATUS_USER == 0 {
            return None;
        }
        let size = self.geometry.block_size as usize;
        // SAFETY: `word` checked the index; the block lies inside the map, and the kernel does not
        // touch it while its status says USER, which only `release(&mut self)` changes.
        let bytes = unsafe {
            std::slice::from_raw_parts(
                self.map.as_ptr().cast::<u8>().add(index as usize * size),
                size,
            )
        };
        Some(Block {
            bytes,
            losing: status & STATUS_LOSING != 0,
        })
    }

    /// Whether the kernel has put packets into block `index` without having handed it over.
    ///
    /// It counts them there while it fills the block. Packets it put in before this call are always seen.
    pub fn is_filling(&self, index: u32) -> bool {
        self.word(index, BLOCK_PACKETS).load(Ordering::Acquire) > 0
    }

    /// Give block `index` back to the kernel.
    pub fn release(&mut self, index: u32) {
        self.word(index, BLOCK_STATUS).store(0, Ordering::Release);
    }

    fn word(&self, index: u32, field: usize) -> &AtomicU32 {
        assert!(index < self.geometry.blocks, "block index out of range");
        assert!(
            field < 48 && field % 4 == 0,
            "not a word of a block's descriptor"
        );
        let offset = index as usize * self.geometry.block_size as usize + field;
        // SAFETY: inside the map, a whole word, and both sides access it as one.
        unsafe { self.map.add(offset / 4).as_ref() }
    }

    /// Counts since the last call.
    pub fn statistics(&self) -> io::Result<Statistics> {
        let mut raw = [0u32; 3];
        get(
            &self.fd,
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            &mut raw,
        )?;
        Ok(Statistics {
            accepted: u64::from(raw[0]),
            dropped: u64::from(raw[1]),
        })
    }

    /// Take the socket's pending error, so that it is not reported again.
    pub fn take_error(&self) {
        let mut error: c_int = 0;
        let _ = get(&self.fd, libc::SOL_SOCKET, libc::SO_ERROR, &mut error);
    }

    /// Whether the device is gone for good; one that is only down may come up again.
    pub fn is_orphan(&self) -> bool {
        !matches!(self.bound_to(), Ok(index) if index > 0)
    }

    /// The ifindex the socket is bound to; the kernel makes it -1 when the device is unregistered.
    fn bound_to(&self) -> io::Result<i32> {
        // SAFETY: zero is a valid sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut length = size_of::<libc::sockaddr_ll>() as socklen_t;
        // SAFETY: both pointers are to live values, and the length is the buffer's.
        check(unsafe {
            libc::getsockname(
                self.fd.as_raw_fd(),
                (&raw mut address).cast(),
                &raw mut length,
            )
        })?;
        Ok(address.sll_ifindex)
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let length = self.geometry.block_size as usize * self.geometry.blocks as usize;
        // SAFETY: exactly what was mapped; no Block can be alive here.
        unsafe { libc::munmap(self.map.as_ptr().cast(), length) };
    }
}

/// A block of packets the kernel handed over.
pub struct Block<'ring> {
    /// The whole block, its descriptor first.
    pub bytes: &'ring [u8],
    /// Packets were lost before this block was full, and nobody has read the counts since.
    pub losing: bool,
}

const V3: c_int = 2; // TPACKET_V3

fn map_ring(fd: &OwnedFd, geometry: Geometry) -> io::Result<NonNull<AtomicU32>> {
    const FRAME: u32 = 2048; // only its divisibility matters in version 3
    let length = geometry.block_size as usize * geometry.blocks as usize;
    // SAFETY: tpacket_req3 is plain data for which zero is valid.
    let mut request: libc::tpacket_req3 = unsafe { std::mem::zeroed() };
    request.tp_block_size = geometry.block_size;
    request.tp_block_nr = geometry.blocks;
    request.tp_frame_size = FRAME;
    request.tp_frame_nr = (length / FRAME as usize) as u32;
    request.tp_retire_blk_tov = geometry.retire_ms;
    set(fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
    // SAFETY: a fresh mapping of the ring we just made; the kernel chooses the address.
    let map = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            fd.as_raw_fd(),
            0,
        )
    };
    if map == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(map.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

fn attach(fd: &OwnedFd, filter: &[Instruction]) -> io::Result<()> {
    if filter.is_empty() || filter.len() > MAX_INSTRUCTIONS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(), // the kernel only reads it
    };
    set(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
}

/// A copy of a descriptor given by its number, as from another language; fails when it is not open.
pub fn duplicate(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; a number that is no open descriptor is refused.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    check(copy)?;
    // SAFETY: a descriptor we just got and nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Switch an option of any socket on.
pub(crate) fn enable(fd: &OwnedFd, level: c_int, name: c_int) -> io::Result<()> {
    let on: c_int = 1;
    set(fd, level, name, &on)
}

fn set<T>(fd: &OwnedFd, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let pointer: *const c_void = (&raw const *value).cast();
    // SAFETY: the pointer is to a live T, and its size is given.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            pointer,
            size_of::<T>() as socklen_t,
        )
    })
}

fn get<T>(fd: &OwnedFd, level: c_int, name: c_int, value: &mut T) -> io::Result<()> {
    let mut length = size_of::<T>() as socklen_t;
    let pointer: *mut c_void = (&raw mut *value).cast();
    // SAFETY: the pointer is to a live T for which every bit pattern is valid here, and its size is given.
    check(unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, pointer, &raw mut length) })
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
