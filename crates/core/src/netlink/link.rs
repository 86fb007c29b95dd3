//! One device out of an `RTM_NEWLINK` message.

use super::counters::LinkCounters;
use super::socket::{attributes, i32_at, text, u16_at, u32_at};
use super::tunnel::{self, Tunnel};

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_IFALIAS: u16 = 20;
const IFLA_STATS64: u16 = 23;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_LINK_NETNSID: u16 = 37;
const INFO_KIND: u16 = 1;
const INFO_DATA: u16 = 2;
const VLAN_ID: u16 = 1;
const BR_VLAN_FILTERING: u16 = 7;
const BR_VLAN_PROTOCOL: u16 = 8;
const BRIDGE_VLAN_INFO: u16 = 2;
const VLAN_PVID: u16 = 1 << 1;
const VLAN_UNTAGGED: u16 = 1 << 2;
const VLAN_RANGE_BEGIN: u16 = 1 << 3;
const VLAN_RANGE_END: u16 = 1 << 4;
/// `EtherType` of the tags of 802.1Q.
const DOT1Q: u16 = 0x8100;
const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 8;
/// Length of `struct ifinfomsg`.
const HEADER: usize = 16;

/// A network device as its own namespace shows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Link {
    /// ifindex, unique in its namespace.
    pub index: u32,
    /// Whatever its owner called it; bytes that are not UTF-8 are replaced.
    pub name: String,
    /// The kernel's link kind: `veth`, `tun`, `bridge`...; empty for physical devices.
    pub kind: String,
    /// Lower case with colons; empty when it has no Ethernet address.
    pub mac: String,
    /// Bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// The loopback device.
    pub loopback: bool,
    /// The administrator's description.
    pub alias: String,
    /// ifindex of the bridge or bond it is plugged into, 0 when none.
    pub master: u32,
    /// ifindex of the other end of a pair or of the device below, 0 when none.
    pub link: u32,
    /// The namespace of `link`, as a number local to this namespace; `None`: the same one.
    pub link_netnsid: Option<i32>,
    /// Where `link` was found: position of the namespace in the scan, and ifindex.
    pub peer: Option<(usize, u32)>,
    /// `address/prefix length`.
    pub addresses: Vec<String>,
    /// Since the device was made.
    pub counters: LinkCounters,
    /// A VLAN device's tag.
    pub vlan: Option<u16>,
    /// `EtherType` of the tags by which a bridge keeps VLANs apart; `None` where it does not.
    pub vlan_protocol: Option<u16>,
    /// A bridge port's VLANs, or those of the bridge itself.
    pub port_vlans: PortVlans,
    /// What a tunnel device wraps frames in.
    pub tunnel: Option<Tunnel>,
}

/// The VLANs of a port of a VLAN-aware bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortVlans {
    /// Where untagged frames go.
    pub pvid: Option<u16>,
    /// Those whose frames leave by it with their tag.
    pub tagged: Vec<u16>,
    /// Those whose frames leave by it without.
    pub untagged: Vec<u16>,
}

impl Link {
    /// From the payload of an `RTM_NEWLINK` message; `None` when it is too short to be one.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let flags = u32_at(payload, 8)?;
        let mut link = Self {
            index: u32_at(payload, 4)?,
            up: flags & IFF_UP != 0,
            loopback: flags & IFF_LOOPBACK != 0,
            ..Self::default()
        };
        for (kind, value) in attributes(payload.get(HEADER..)?) {
            link.take(kind, value);
        }
        Some(link)
    }

    fn take(&mut self, kind: u16, value: &[u8]) {
        match kind {
            IFLA_ADDRESS => self.mac = mac(value),
            IFLA_IFNAME => self.name = text(value),
            IFLA_MTU => self.mtu = u32_at(value, 0).unwrap_or(0),
            IFLA_LINK => self.link = u32_at(value, 0).unwrap_or(0),
            IFLA_MASTER => self.master = u32_at(value, 0).unwrap_or(0),
            IFLA_IFALIAS => self.alias = text(value),
            IFLA_STATS64 => self.counters = LinkCounters::parse(value),
            IFLA_LINK_NETNSID => self.link_netnsid = i32_at(value, 0),
            IFLA_LINKINFO => self.take_info(value),
            _ => {}
        }
    }

    fn take_info(&mut self, info: &[u8]) {
        let find = |wanted| attributes(info).find(|&(kind, _)| kind == wanted);
        self.kind = find(INFO_KIND)
            .map(|(_, name)| text(name))
            .unwrap_or_default();
        let Some((_, data)) = find(INFO_DATA) else {
            return;
        };
        let item = |wanted| attributes(data).find(|&(kind, _)| kind == wanted);
        match self.kind.as_str() {
            "vlan" => self.vlan = item(VLAN_ID).and_then(|(_, id)| u16_at(id, 0)),
            "bridge" => {
                let filters = item(BR_VLAN_FILTERING).is_some_and(|(_, on)| on == [1]);
                let protocol = item(BR_VLAN_PROTOCOL).and_then(|(_, kind)| u16_at(kind, 0));
                self.vlan_protocol = filters.then(|| protocol.map_or(DOT1Q, u16::from_be));
            }
            kind => self.tunnel = tunnel::parse(kind, data),
        }
    }
}

/// The VLANs of a bridge port, from an `AF_BRIDGE` link message: (ifindex, VLANs).
pub(super) fn port_vlans(payload: &[u8]) -> Option<(u32, PortVlans)> {
    let index = u32_at(payload, 4)?;
    let (_, nest) = attributes(payload.get(HEADER..)?).find(|&(kind, _)| kind == IFLA_AF_SPEC)?;
    let (mut vlans, mut begin) = (PortVlans::default(), None);
    for (_, info) in attributes(nest).filter(|&(kind, _)| kind == BRIDGE_VLAN_INFO) {
        let (Some(flags), Some(id)) = (u16_at(info, 0), u16_at(info, 2)) else {
            continue;
        };
        if flags & VLAN_PVID != 0 {
            vlans.pvid = Some(id);
        }
        if flags & VLAN_RANGE_BEGIN != 0 {
            begin = Some(id);
            continue;
        }
        let first = begin
            .take()
            .filter(|_| flags & VLAN_RANGE_END != 0)
            .unwrap_or(id);
        let leave = if flags & VLAN_UNTAGGED == 0 {
            &mut vlans.tagged
        } else {
            &mut vlans.untagged
        };
        leave.extend((first..=id).take(4096));
    }
    Some((index, vlans))
}

/// An Ethernet address; anything of another length is none.
pub(super) fn mac(bytes: &[u8]) -> String {
    if bytes.len() != 6 {
        return String::new();
    }
    let pairs: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use super::super::socket::attribute;
    use super::*;

    fn message(index: u32, flags: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[4..8].copy_from_slice(&index.to_ne_bytes());
        bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend(attributes.concat());
        bytes
    }

    fn info(kind: &str, data: &[Vec<u8>]) -> Vec<u8> {
        let nest = [
            attribute(INFO_KIND, kind.as_bytes()),
            attribute(INFO_DATA, &data.concat()),
        ];
        attribute(IFLA_LINKINFO, &nest.concat())
    }

    #[test]
    fn a_veth_whose_name_is_not_utf8() {
        let bytes = message(
            7,
            IFF_UP,
            &[
                attribute(IFLA_IFNAME, b"v\xff\x1b[2J\0"),
                attribute(IFLA_ADDRESS, &[2, 0, 0, 0, 0, 0xab]),
                attribute(IFLA_LINK, &3u32.to_ne_bytes()),
                attribute(IFLA_LINK_NETNSID, &4i32.to_ne_bytes()),
                info("veth", &[]),
            ],
        );
        let link = Link::parse(&bytes).unwrap();
        assert_eq!((link.index, link.up, link.loopback), (7, true, false));
        assert_eq!(link.name, "v\u{fffd}\x1b[2J");
        assert_eq!(link.mac, "02:00:00:00:00:ab");
        assert_eq!(
            (link.kind.as_str(), link.link, link.link_netnsid),
            ("veth", 3, Some(4))
        );
    }

    #[test]
    fn every_cut_of_a_message_is_survived() {
        let vlan = message(
            2,
            0,
            &[
                attribute(IFLA_IFNAME, b"eth0.5\0"),
                info("vlan", &[attribute(VLAN_ID, &5u16.to_ne_bytes())]),
            ],
        );
        assert_eq!(Link::parse(&vlan).unwrap().vlan, Some(5));
        for end in 0..vlan.len() {
            let cut = Link::parse(&vlan[..end]);
            assert_eq!(cut.is_some(), end >= HEADER);
        }
    }

    #[test]
    fn a_bridge_that_keeps_vlans_apart() {
        let protocol = |data: &[Vec<u8>]| {
            let link = Link::parse(&message(3, 0, &[info("bridge", data)])).unwrap();
            link.vlan_protocol
        };
        let filters = |on: u8| attribute(BR_VLAN_FILTERING, &[on]);
        let dot1ad = attribute(BR_VLAN_PROTOCOL, &[0x88, 0xa8]);
        assert_eq!(protocol(&[filters(1), dot1ad.clone()]), Some(0x88a8));
        assert_eq!(protocol(&[filters(1)]), Some(DOT1Q));
        assert_eq!(protocol(&[filters(0), dot1ad]), None);
    }

    #[test]
    fn bridge_vlans_with_a_range() {
        let entry = |flags: u16, id: u16| {
            attribute(
                BRIDGE_VLAN_INFO,
                &[flags.to_ne_bytes(), id.to_ne_bytes()].concat(),
            )
        };
        let nest = [
            entry(VLAN_PVID | VLAN_UNTAGGED, 10),
            entry(VLAN_RANGE_BEGIN, 20),
            entry(VLAN_RANGE_END, 23),
            entry(0, 99),
        ];
        let bytes = message(5, 0, &[attribute(IFLA_AF_SPEC, &nest.concat())]);
        let expected = PortVlans {
            pvid: Some(10),
            tagged: vec![20, 21, 22, 23, 99],
            untagged: vec![10],
        };
        assert_eq!(port_vlans(&bytes), Some((5, expected)));
    }

    #[test]
    fn a_backward_range_is_empty() {
        let entry = |flags: u16, id: u16| {
            attribute(
                BRIDGE_VLAN_INFO,
                &[flags.to_ne_bytes(), id.to_ne_bytes()].concat(),
            )
        };
        let nest = [entry(VLAN_RANGE_BEGIN, 4000), entry(VLAN_RANGE_END, 3)].concat();
        let bytes = message(5, 0, &[attribute(IFLA_AF_SPEC, &nest)]);
        assert_eq!(port_vlans(&bytes), Some((5, PortVlans::default())));
    }
}
