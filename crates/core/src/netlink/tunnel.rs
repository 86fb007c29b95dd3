//! Tunnel devices: what they wrap frames in and between which endpoints.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::socket::{attributes, u32_at};

const GRE_KEY: u16 = 0x2000;

/// A VXLAN, Geneve or GRE device's own settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tunnel {
    /// VNI or key; `None` when there is none or it is set per flow.
    pub vni: Option<u32>,
    /// Empty when the route decides.
    pub local: String,
    /// The configured peer or group, then what the forwarding table says.
    pub remotes: Vec<String>,
    /// UDP destination port, 0 where there is none.
    pub port: u16,
    /// Endpoints and VNI are chosen per flow (`external`, collect metadata).
    pub external: bool,
}

/// Numbers of the attributes of one link kind; 0 stands for one it does not have.
struct Layout {
    vni: u16,
    local: [u16; 2],
    remote: [u16; 2],
    port: u16,
    external: u16,
}

const VXLAN: Layout = Layout {
    vni: 1,
    local: [4, 17],
    remote: [2, 16],
    port: 15,
    external: 25,
};
const GENEVE: Layout = Layout {
    vni: 1,
    local: [0, 0],
    remote: [2, 7],
    port: 5,
    external: 6,
};
const GRE: Layout = Layout {
    vni: 0,
    local: [6, 0],
    remote: [7, 0],
    port: 0,
    external: 18,
};
const GRE_IFLAGS: u16 = 2;
const GRE_IKEY: u16 = 4;

/// The settings in the `IFLA_INFO_DATA` of a link of `kind`; `None` when that is no tunnel we know.
pub(super) fn parse(kind: &str, data: &[u8]) -> Option<Tunnel> {
    match kind {
        "vxlan" => Some(read(&VXLAN, data)),
        "geneve" => Some(read(&GENEVE, data)),
        "gre" | "gretap" | "erspan" | "ip6gre" | "ip6gretap" | "ip6erspan" => Some(Tunnel {
            vni: gre_key(data),
            ..read(&GRE, data)
        }),
        _ => None,
    }
}

fn read(layout: &Layout, data: &[u8]) -> Tunnel {
    let mut tunnel = Tunnel::default();
    for (kind, value) in attributes(data).filter(|&(kind, _)| kind != 0) {
        if kind == layout.vni {
            tunnel.vni = u32_at(value, 0);
        } else if layout.local.contains(&kind) {
            tunnel.local = address(value).unwrap_or_default();
        } else if layout.remote.contains(&kind) {
            tunnel.remotes.extend(address(value));
        } else if kind == layout.port {
            tunnel.port = big_endian(value).unwrap_or(0);
        } else if kind == layout.external {
            tunnel.external = value != [0];
        }
    }
    if tunnel.external {
        tunnel.vni = None;
    }
    tunnel
}

fn gre_key(data: &[u8]) -> Option<u32> {
    let find = |wanted| {
        attributes(data)
            .find(|&(kind, _)| kind == wanted)
            .map(|(_, value)| value)
    };
    let flags = big_endian(find(GRE_IFLAGS)?)?;
    let key = find(GRE_IKEY)?.try_into().ok().map(u32::from_be_bytes)?;
    (flags & GRE_KEY != 0).then_some(key)
}

fn big_endian(value: &[u8]) -> Option<u16> {
    value.try_into().ok().map(u16::from_be_bytes)
}

/// An IP address by its length; the unspecified one is none.
pub(super) fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        let address = Ipv4Addr::from(four);
        return (!address.is_unspecified()).then(|| address.to_string());
    }
    let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
    (!address.is_unspecified()).then(|| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::socket::attribute;
    use super::*;

    #[test]
    fn vxlan() {
        let data = [
            attribute(1, &100u32.to_ne_bytes()),
            attribute(2, &[192, 0, 2, 9]),
            attribute(4, &[192, 0, 2, 1]),
            attribute(15, &4789u16.to_be_bytes()),
            attribute(25, &[0]),
        ];
        let expected = Tunnel {
            vni: Some(100),
            local: "192.0.2.1".into(),
            remotes: vec!["192.0.2.9".into()],
            port: 4789,
            external: false,
        };
        assert_eq!(parse("vxlan", &data.concat()), Some(expected));
    }

    #[test]
    fn external_geneve_has_no_vni_of_its_own() {
        let data = [
            attribute(1, &0u32.to_ne_bytes()),
            attribute(5, &6081u16.to_be_bytes()),
            attribute(6, &[]),
        ];
        let tunnel = parse("geneve", &data.concat()).unwrap();
        assert_eq!(
            (tunnel.vni, tunnel.port, tunnel.external),
            (None, 6081, true)
        );
    }

    #[test]
    fn a_gre_key_counts_only_with_its_flag() {
        let data = |flags: u16| {
            [
                attribute(GRE_IFLAGS, &flags.to_be_bytes()),
                attribute(GRE_IKEY, &7u32.to_be_bytes()),
                attribute(6, &[0; 4]),
                attribute(7, &Ipv6Addr::LOCALHOST.octets()),
            ]
            .concat()
        };
        assert_eq!(parse("gretap", &data(GRE_KEY)).unwrap().vni, Some(7));
        let plain = parse("ip6gre", &data(0)).unwrap();
        assert_eq!((plain.vni, plain.local.as_str()), (None, ""));
        assert_eq!(plain.remotes, ["::1"]);
    }

    #[test]
    fn wrong_lengths_are_left_out() {
        let data = [
            attribute(1, &[1]),
            attribute(2, &[1, 2, 3]),
            attribute(15, &[1]),
        ]
        .concat();
        assert_eq!(parse("vxlan", &data), Some(Tunnel::default()));
        assert_eq!(parse("veth", &data), None);
    }
}
