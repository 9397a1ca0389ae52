//! Whom a connection or a link is counted for where room is shared: those who can have any number of them have one share.

use std::net::{IpAddr, Ipv6Addr};

/// An address of IPv4, a /64 of IPv6: within such a network addresses cost nothing. Clients whose address is not known are
/// one origin together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(Option<IpAddr>);

/// Bits of an address of IPv6 that do not name its network.
const IPV6_HOST_BITS: u32 = 64;

impl Origin {
    /// Whose that address is.
    #[must_use]
    pub fn of(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => {
                let network = address.to_bits() >> IPV6_HOST_BITS << IPV6_HOST_BITS;
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cost_nothing_are_one_origin() {
        let of = |address: &str| Origin::of(Some(address.parse().unwrap()));
        assert_eq!(of("10.0.1.7"), of("::ffff:10.0.1.7"), "a socket for both");
        assert_ne!(of("10.0.1.7"), of("10.0.1.8"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_ne!(Origin::of(None), of("10.0.1.7"));
    }
}
