//! Senders nobody named: counted, never stored.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::wire::ethernet::{ethertype, Ethernet};
use crate::wire::ip::Ip;

/// How many are told apart; more would be a flood of forged ones.
const MOST: usize = 64;

/// Packets by sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strangers {
    by_address: BTreeMap<IpAddr, u64>,
    others: u64,
}

impl Strangers {
    /// Count a packet by the sender in its outermost IP header.
    pub fn count(&mut self, packet: &[u8]) {
        let known = self.by_address.len();
        match sender(packet) {
            Some(address) if known < MOST || self.by_address.contains_key(&address) => {
                *self.by_address.entry(address).or_default() += 1;
            }
            _ => self.others += 1,
        }
    }

    /// Who sent how many.
    pub fn each(&self) -> impl Iterator<Item = (IpAddr, u64)> + '_ {
        self.by_address
            .iter()
            .map(|(&address, &count)| (address, count))
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.by_address.values().sum::<u64>() + self.others
    }
}

fn sender(packet: &[u8]) -> Option<IpAddr> {
    let header = Ethernet::read(packet).ok()?;
    let rest = packet.get(header.header_len()..)?;
    match header.ethertype() {
        ethertype::IPV4 | ethertype::IPV6 => Ip::read(rest).ok().map(|ip| ip.addresses.pair().0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> Vec<u8> {
        let mut packet = vec![0; 34];
        packet[12..15].copy_from_slice(&[8, 0, 0x45]);
        packet[17] = 20;
        packet[29] = last;
        packet
    }

    #[test]
    fn they_are_told_apart_up_to_a_limit_and_all_are_counted() {
        let mut strangers = Strangers::default();
        for last in 0..=255 {
            strangers.count(&from(last));
            strangers.count(&from(1));
        }
        strangers.count(b"no packet");
        assert_eq!(strangers.each().count(), MOST);
        assert_eq!(strangers.each().nth(1), Some(([0, 0, 0, 1].into(), 257)));
        assert_eq!(strangers.total(), 513);
    }
}
