//! Which numbers lead into which encapsulation: adding one is a file beside this one and a row in here.

use super::kind::Kind;
use super::options::Options;
use super::span::Span;
use super::walk::Walk;
use super::{
    capwap, erspan, fabricpath, geneve, gre, gtpu, ip, l2tp, mpls, nsh, pbb, pim, ppp, teredo,
    tzsp, vxlan, Inside,
};

/// Takes the layer off that begins at the span, or says why it cannot.
pub(super) type Open = for<'a> fn(&mut Walk, Span<'a>) -> Inside<'a>;

/// A number of some registry, and what it leads to.
pub(super) struct Row<N> {
    pub number: N,
    pub kind: Kind,
    pub open: Open,
}

const fn row<N>(number: N, kind: Kind, open: Open) -> Row<N> {
    Row { number, kind, open }
}

/// IP protocol numbers (IANA).
const IP_PROTOCOLS: &[Row<u8>] = &[
    row(4, Kind::IpIp, ip::ipip),
    row(41, Kind::IpIp, ip::ipip),
    row(47, Kind::Gre, gre::open),
    row(103, Kind::Pim, pim::open),
    row(137, Kind::Mpls, mpls::open),
];

/// EtherTypes (IEEE), in Ethernet frames and in everything that carries EtherTypes.
const ETHERTYPES: &[Row<u16>] = &[
    row(0x8847, Kind::Mpls, mpls::open),
    row(0x8848, Kind::Mpls, mpls::open),
    row(0x8864, Kind::Pppoe, ppp::pppoe),
    row(0x880b, Kind::Ppp, ppp::ppp),
    row(0x88e7, Kind::Pbb, pbb::open),
    row(0x8903, Kind::FabricPath, fabricpath::open),
    row(0x894f, Kind::Nsh, nsh::open),
];

/// EtherTypes that mean something in GRE alone, and of which GRE is a part.
const GRE_PROTOCOLS: &[Row<u16>] = &[
    row(0x88be, Kind::Erspan2, erspan::type_1_or_2),
    row(0x22eb, Kind::Erspan3, erspan::type_3),
];

/// UDP ports, at either end.
const UDP_PORTS: &[Row<u16>] = &[
    row(1701, Kind::L2tp, l2tp::open),
    row(2152, Kind::Gtpu, gtpu::open),
    row(3544, Kind::Teredo, teredo::open),
    row(4754, Kind::Gre, gre::open),
    row(5247, Kind::Capwap, capwap::open),
    row(6635, Kind::Mpls, mpls::open),
    row(37008, Kind::Tzsp, tzsp::open),
];

/// UDP ports that a user may choose, at the destination: the other end's is random.
const CHOSEN_PORTS: &[Row<Chosen>] = &[
    row(|options| &options.vxlan, Kind::Vxlan, vxlan::open),
    row(|options| &options.vxlan_gpe, Kind::VxlanGpe, vxlan::generic),
    row(|options| &options.geneve, Kind::Geneve, geneve::open),
];

type Chosen = fn(&Options) -> &[u16];

#[inline]
fn find<N: PartialEq + Copy>(rows: &'static [Row<N>], number: N) -> Option<&'static Row<N>> {
    rows.iter().find(|row| row.number == number)
}

#[inline]
pub(super) fn of_ip_protocol(number: u8) -> Option<&'static Row<u8>> {
    find(IP_PROTOCOLS, number)
}

#[inline]
pub(super) fn of_ethertype(number: u16) -> Option<&'static Row<u16>> {
    find(ETHERTYPES, number)
}

#[inline]
pub(super) fn of_gre(number: u16) -> Option<&'static Row<u16>> {
    find(GRE_PROTOCOLS, number)
}

/// The UDP rows under one set of options, found in one step: most UDP packets are no tunnel.
pub(super) struct Ports {
    rows: Vec<(Kind, Open)>,
    by_destination: Vec<u8>,
    by_source: Vec<u8>,
}

impl Ports {
    pub(super) fn new(options: &Options) -> Self {
        let mut made = Self {
            rows: Vec::new(),
            by_destination: vec![0; 1 << 16],
            by_source: vec![0; 1 << 16],
        };
        for row in UDP_PORTS {
            made.add(row.kind, row.open, &[row.number], true);
        }
        for row in CHOSEN_PORTS {
            made.add(row.kind, row.open, (row.number)(options), false);
        }
        made
    }

    fn add(&mut self, kind: Kind, open: Open, ports: &[u16], either_end: bool) {
        self.rows.push((kind, open));
        let number = self.rows.len() as u8; // a dozen rows
        for &port in ports {
            set(&mut self.by_destination, port, number);
            if either_end {
                set(&mut self.by_source, port, number);
            }
        }
    }

    #[inline]
    pub(super) fn find(&self, source: u16, destination: u16) -> Option<(Kind, Open)> {
        let by_destination = get(&self.by_destination, destination);
        let number = if by_destination == 0 {
            get(&self.by_source, source)
        } else {
            by_destination
        };
        self.rows.get(usize::from(number).checked_sub(1)?).copied()
    }
}

#[inline]
fn get(table: &[u8], port: u16) -> u8 {
    table.get(usize::from(port)).copied().unwrap_or(0)
}

fn set(table: &mut [u8], port: u16, number: u8) {
    if let Some(entry) = table.get_mut(usize::from(port)) {
        *entry = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../docs/encapsulations.md");

    /// Name, what it is recognised by, and the rest, of every row of the page's table.
    fn documented() -> impl Iterator<Item = (&'static str, &'static str)> {
        PAGE.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("| `")?.split_once("` | ")?;
            Some((name, rest.split(" | ").next()?))
        })
    }

    fn recognised_by(kind: Kind) -> &'static str {
        let row = documented().find(|(name, _)| *name == kind.name());
        row.unwrap_or_else(|| panic!("{} is in docs/encapsulations.md", kind.name()))
            .1
    }

    #[test]
    fn every_kind_has_its_row_in_the_documentation() {
        let headers = [Kind::Link, Kind::Ethernet, Kind::Ip, Kind::Udp, Kind::Ppp];
        for kind in Kind::ALL.into_iter().filter(|kind| !headers.contains(kind)) {
            recognised_by(kind);
        }
        for (name, _) in documented().take_while(|(name, _)| *name != "cut") {
            assert!(Kind::named(name).is_some(), "{name} is no kind");
        }
    }

    #[test]
    fn every_number_is_in_the_documentation() {
        let told = |kind, number: String| {
            assert!(
                recognised_by(kind).contains(&number),
                "{} by {number}",
                kind.name()
            );
        };
        for row in IP_PROTOCOLS {
            told(row.kind, row.number.to_string());
        }
        for row in ETHERTYPES.iter().filter(|row| row.kind != Kind::Ppp) {
            told(row.kind, format!("{:#06x}", row.number));
        }
        for row in GRE_PROTOCOLS {
            told(row.kind, format!("{:#06x}", row.number));
        }
        for row in UDP_PORTS {
            told(row.kind, row.number.to_string());
        }
        for row in CHOSEN_PORTS {
            for port in (row.number)(&Options::default()) {
                told(row.kind, port.to_string());
            }
        }
    }
}
