//! Which zone a client is in, where it does not say so itself: by the range that its address is in, or by the listener at
//! which it came. Read by `config/`, asked through the context.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Ranges and listeners, and the zones they are in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientZones {
    /// Narrow ranges before wide ones.
    ranges: Vec<(Range, String)>,
    listeners: Vec<(String, String)>,
}

/// Addresses that begin alike.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Range {
    first: IpAddr,
    /// Bits that are the same in all.
    prefix: u32,
}

impl ClientZones {
    /// The narrowest range decides; the listener does where none has the address.
    #[must_use]
    pub fn of(&self, address: Option<IpAddr>, listener: &str) -> Option<&str> {
        let in_range = |address: IpAddr| {
            // A socket for both kinds of addresses shows the old ones in disguise.
            let address = address.to_canonical();
            self.ranges
                .iter()
                .find(|(range, _)| range.contains(address))
                .map(|(_, zone)| zone)
        };
        let by_listener = || {
            self.listeners
                .iter()
                .find(|(name, _)| name == listener)
                .map(|(_, zone)| zone)
        };
        let zone = address.and_then(in_range).or_else(by_listener);
        zone.map(String::as_str)
    }

    /// Listeners that are named here.
    pub fn listeners(&self) -> impl Iterator<Item = &str> {
        self.listeners.iter().map(|(name, _)| name.as_str())
    }
}

impl FromStr for ClientZones {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut zones = Self::default();
        for entry in text.split(',').map(str::trim) {
            let (which, zone) = entry
                .split_once('=')
                .filter(|(which, zone)| !which.is_empty() && !zone.is_empty())
                .ok_or_else(|| {
                    format!(
                        "'{entry}' names no zone: write RANGE=ZONE or LISTENER=ZONE, as in 10.0.1.0/24=a"
                    )
                })?;
            let twice = || format!("{which} is there twice");
            if which.contains('/') || which.parse::<IpAddr>().is_ok() {
                let range: Range = which.parse()?;
                if zones.ranges.iter().any(|(known, _)| *known == range) {
                    return Err(twice());
                }
                zones.ranges.push((range, zone.to_owned()));
            } else {
                if zones.listeners().any(|known| known == which) {
                    return Err(twice());
                }
                zones.listeners.push((which.to_owned(), zone.to_owned()));
            }
        }
        zones
            .ranges
            .sort_by_key(|(range, _)| std::cmp::Reverse(range.prefix));
        Ok(zones)
    }
}

impl Range {
    fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && start(address, self.prefix) == self.first
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let wrong = || format!("'{text}' is not a range of addresses: write it as in 10.0.1.0/24");
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| wrong())?,
            None => most,
        };
        if prefix > most {
            return Err(wrong());
        }
        let first = start(address, prefix);
        let range = Self { first, prefix };
        if first != address {
            return Err(format!("'{text}' begins inside a range: write {range}"));
        }
        Ok(range)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The first address of the range that the address is in.
fn start(address: IpAddr, prefix: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone<'a>(zones: &'a ClientZones, address: &str, listener: &str) -> Option<&'a str> {
        zones.of(Some(address.parse().unwrap()), listener)
    }

    #[test]
    fn the_narrowest_range_decides_and_then_the_listener() {
        let text = "10.0.0.0/8=wide, 10.0.1.0/24=a,10.0.1.7=one,fd00::/8=six,outside=o";
        let zones: ClientZones = text.parse().unwrap();
        for (address, listener, expected) in [
            ("10.0.1.3", "outside", Some("a")),
            ("10.0.1.7", "", Some("one")),
            ("10.0.2.1", "", Some("wide")),
            ("::ffff:10.0.1.3", "", Some("a")),
            ("11.0.1.3", "", None),
            ("11.0.1.3", "outside", Some("o")),
            ("fdff::1", "", Some("six")),
            ("fe00::1", "", None),
        ] {
            assert_eq!(zone(&zones, address, listener), expected, "{address}");
        }
        assert_eq!(zones.of(None, "outside"), Some("o"));
        let all: ClientZones = "0.0.0.0/0=everywhere".parse().unwrap();
        assert_eq!(zone(&all, "255.1.2.3", ""), Some("everywhere"));
        assert_eq!(zone(&all, "::1", ""), None);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_would_be_right() {
        for (text, part) in [
            ("", "'' names no zone"),
            ("10.0.1.0/24", "10.0.1.0/24=a"),
            ("10.0.1.0/24=", "names no zone"),
            ("10.0.1.5/24=a", "write 10.0.1.0/24"),
            ("10.0.1.0/33=a", "as in 10.0.1.0/24"),
            ("10.0.1/24=a", "as in 10.0.1.0/24"),
            ("10.0.0.0/8=a,10.0.0.0/8=b", "10.0.0.0/8 is there twice"),
            ("x=a,x=b", "x is there twice"),
        ] {
            let said = text.parse::<ClientZones>().unwrap_err();
            assert!(said.contains(part), "{text}: {said}");
        }
    }
}
