//! On whose account an idempotent producer is remembered: that of the network its client comes from. One client must not
//! fill the room of all others with ids it makes up, and addresses are cheap only within a network.

use std::net::IpAddr;

use metadata::Share;

/// Bits of an address that name its network: a /24 of IPv4, a /64 of IPv6.
const IPV4_HOST_BITS: u32 = 8;
const IPV6_HOST_BITS: u32 = 64;

/// The same on every agent, so that a client has one wherever it goes. Clients whose address is not known share one, and so
/// do those behind one load balancer that does not pass addresses on.
pub(super) fn share(address: Option<IpAddr>) -> Share {
    let network = match address.map(|address| address.to_canonical()) {
        None => Vec::new(),
        Some(IpAddr::V4(address)) => {
            let network = address.to_bits() >> IPV4_HOST_BITS;
            network.to_be_bytes().to_vec()
        }
        Some(IpAddr::V6(address)) => {
            let network = address.to_bits() >> IPV6_HOST_BITS;
            network.to_be_bytes().to_vec()
        }
    };
    let hash = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &network);
    let [low, high, ..] = hash.to_le_bytes();
    Share(u16::from_le_bytes([low, high]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_one_share() {
        let of = |address: &str| share(Some(address.parse().unwrap()));
        assert_eq!(of("10.0.1.7"), of("10.0.1.200"));
        assert_eq!(of("10.0.1.7"), of("::ffff:10.0.1.9"), "a socket for both");
        assert_ne!(of("10.0.1.7"), of("10.0.2.7"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_ne!(share(None), of("10.0.1.7"));
    }
}
