//! Ethernet II and IEEE 802.3 with any number of VLAN tags (IEEE 802.1Q, 802.1ad).

use super::{head, Fault};

/// Length of the header without tags.
pub const LEN: usize = 14;
const TAG: usize = 4;
const MOST_TAGS: usize = 8;

/// EtherTypes that mean something here.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// Transparent Ethernet bridging: an Ethernet frame.
    pub const BRIDGED: u16 = 0x6558;
    /// IEEE 802.1Q VLAN tag.
    pub const VLAN: u16 = 0x8100;
    /// IEEE 802.1ad service tag.
    pub const SERVICE: u16 = 0x88a8;
    /// MPLS unicast and multicast.
    pub const MPLS: [u16; 2] = [0x8847, 0x8848];
    /// The point-to-point protocol, in GRE.
    pub const PPP: u16 = 0x880b;
}

/// An Ethernet frame's header, tags included.
#[derive(Clone, Copy, Debug)]
pub struct Ethernet<'a> {
    head: &'a [u8; LEN],
    ethertype: u16,
    len: usize,
    vlan: Option<u16>,
}

impl<'a> Ethernet<'a> {
    /// Read the header and every tag behind it.
    #[inline]
    pub fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let head = head::<LEN>(bytes)?;
        let mut found = Self {
            head,
            ethertype: u16::from_be_bytes([head[12], head[13]]),
            len: LEN,
            vlan: None,
        };
        while is_tag(found.ethertype) {
            let tag = super::at::<TAG>(bytes, found.len)?;
            found
                .vlan
                .get_or_insert(u16::from_be_bytes([tag[0], tag[1]]) & 0x0fff);
            found.ethertype = u16::from_be_bytes([tag[2], tag[3]]);
            found.len += TAG;
            if found.len > LEN + MOST_TAGS * TAG {
                return Err(Fault::TooMany(MOST_TAGS));
            }
        }
        if found.ethertype < 0x0600 {
            found.step_over_snap(bytes);
        }
        Ok(found)
    }

    /// IEEE 802.3 with LLC and SNAP: the EtherType comes 6 bytes later.
    fn step_over_snap(&mut self, bytes: &[u8]) {
        if let Ok([0xaa, 0xaa, 0x03, 0, 0, 0, high, low]) = super::at::<8>(bytes, self.len) {
            self.ethertype = u16::from_be_bytes([*high, *low]);
            self.len += 8;
        }
    }

    /// Destination address.
    pub const fn destination(&self) -> [u8; 6] {
        let h = self.head;
        [h[0], h[1], h[2], h[3], h[4], h[5]]
    }

    /// Source address.
    pub const fn source(&self) -> [u8; 6] {
        let h = self.head;
        [h[6], h[7], h[8], h[9], h[10], h[11]]
    }

    /// The EtherType behind all tags (and SNAP); below 0x0600 it is a length, and LLC follows.
    #[inline]
    pub const fn ethertype(&self) -> u16 {
        self.ethertype
    }

    /// Where the payload begins.
    #[inline]
    pub const fn header_len(&self) -> usize {
        self.len
    }

    /// VLAN identifier of the outermost tag.
    pub const fn vlan(&self) -> Option<u16> {
        self.vlan
    }
}

#[inline]
const fn is_tag(ethertype: u16) -> bool {
    matches!(
        ethertype,
        ethertype::VLAN | ethertype::SERVICE | 0x9100 | 0x9200 | 0x9300
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(middle: &[u8]) -> Vec<u8> {
        [&[2; 12], middle].concat()
    }

    #[test]
    fn tags_are_walked() {
        let double = frame(&[0x88, 0xa8, 0x20, 7, 0x81, 0, 0, 9, 8, 0]);
        let read = Ethernet::read(&double).unwrap();
        assert_eq!(
            (read.ethertype(), read.header_len(), read.vlan()),
            (ethertype::IPV4, 22, Some(7))
        );
    }

    #[test]
    fn snap_is_stepped_over_and_llc_is_not() {
        let snap = frame(&[0, 40, 0xaa, 0xaa, 3, 0, 0, 0, 0x86, 0xdd]);
        let llc = frame(&[0, 40, 0x42, 0x42, 3, 0, 0, 0, 0, 0]);
        assert_eq!(Ethernet::read(&snap).unwrap().ethertype(), ethertype::IPV6);
        assert_eq!(Ethernet::read(&llc).unwrap().ethertype(), 40);
    }

    #[test]
    fn endless_tags_end() {
        let mut endless = vec![0; 12];
        endless.extend([0x81, 0, 0, 1].repeat(400));
        assert_eq!(Ethernet::read(&endless).unwrap_err(), Fault::TooMany(8));
        assert_eq!(
            Ethernet::read(&endless[..17]).unwrap_err(),
            Fault::Short {
                needed: 18,
                had: 17
            }
        );
    }
}
